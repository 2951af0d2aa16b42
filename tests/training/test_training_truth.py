"""Losses that are known without training: against sums term by term, simulations and formulas."""

import math

import numpy as np
import pytest
from scipy.special import zeta

from scaling.laws import get
from scaling.options import read
from scaling.runs.sources.registry import source_of
from scaling.training.tasks.truth import MODULES, loss, oracle, parity, powers, regression, truth


def options_of(name, **given):
    return read(source_of(name).options, given)


def mean_of(name, options, N, D, seeds):
    """Mean over seeds and its standard error."""
    found = [loss(name, options, N, D, seed)[0] for seed in range(seeds)]
    return np.mean(found), np.std(found, ddof=1) / math.sqrt(seeds)


# ------------------------------------------------------------------------------------------- items


@pytest.mark.parametrize("alpha", [0.3, 0.5, 1.0])
@pytest.mark.parametrize(("draws", "room"), [(50, 7), (1000, 200), (10**6, 400_000)])
def test_expected_misses_term_by_term(alpha, draws, room):
    items = np.arange(1.0, room + 1)
    theta = items ** -(1 + alpha) / zeta(1 + alpha)
    expected = (theta * (1 - theta) ** draws).sum() + 1 - theta.sum()
    assert powers.missed(alpha, draws, room) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("alpha", [0.3, 0.8])
def test_misses_over_unlimited_items(alpha):
    """Against a sum to 4e6 and, beyond, the first order in what is hardly ever met."""
    items = np.arange(1.0, 4e6 + 1)
    theta = items ** -(1 + alpha) / zeta(1 + alpha)
    low = (theta * (1 - 0.3 * theta) ** 2000).sum()
    found = powers.missed(alpha, 2000, share=0.3)
    assert low < found
    met = 2000 * 0.3 * (1 / zeta(1 + alpha) ** 2) * zeta(2 + 2 * alpha, 4e6 + 1)
    assert found == pytest.approx(low + powers.tail(alpha, 4_000_000) - met, rel=1e-7)


@pytest.mark.parametrize("alpha", [0.3, 0.5, 1.0])
def test_limits_of_a_memory(alpha):
    b = powers.coefficient_of_data(alpha) * (1e9) ** (-alpha / (1 + alpha))
    assert powers.missed(alpha, 1e9) == pytest.approx(b, rel=1e-3)
    a = powers.coefficient_of_size(alpha) * (1e6 + 0.5) ** -alpha
    assert powers.tail(alpha, 10**6) == pytest.approx(a, rel=1e-6)


@pytest.mark.parametrize("first", [0, 1, 50])
def test_drawn_items_have_their_chances(first):
    alpha, count = 0.5, 400_000
    items = powers.above(alpha, first, count, np.random.default_rng(1))
    assert items.min() == first + 1
    ranks = np.arange(first + 1, first + 11)
    p = powers.chances(alpha, ranks.astype(float)) / powers.tail(alpha, first)
    seen = np.array([(items == rank).mean() for rank in ranks])
    assert (np.abs(seen - p) < 5 * np.sqrt(p / count)).all()
    far = (items > 1000 * (first + 1)).mean()
    q = powers.tail(alpha, 1000 * (first + 1)) / powers.tail(alpha, first)
    assert far == pytest.approx(q, abs=5 * math.sqrt(q / count))


def test_a_memory_knows_what_it_met(monkeypatch):
    """With few items drawn together, rare ones must be met and be found again."""
    monkeypatch.setattr(powers, "DENSE", 64)
    draws = [powers.meet(0.4, 5000, np.random.default_rng(s)) for s in range(60)]
    assert all(len(memory.rare) > 10 for memory in draws)
    mass = np.array([1 - memory.mass(0.4) for memory in draws])
    error = mass.std() / math.sqrt(len(mass))
    assert mass.mean() == pytest.approx(powers.missed(0.4, 5000), abs=4 * error)
    memory = draws[0]
    assert memory.knows(memory.rare).all()
    assert not memory.knows(memory.rare + 0.5).any()
    every = np.arange(1.0, 2000.0)
    theta = powers.chances(0.4, every)
    assert theta @ memory.knows(every) == pytest.approx(memory.mass(0.4, 1999), rel=1e-12)


# --------------------------------------------------------------------- sampled against expectation

SAMPLED = [
    ("hutter", {}, 300, 5000),
    ("hutter", {"alpha": 0.3}, 10**5, 3000),
    ("hutter", {"validation": 20_000, "alpha": 1.0}, 100, 1000),
    ("additive", {"measure": "error"}, 200, 5000),
    ("additive", {"measure": "log", "labels": 4}, 500, 2000),
]


@pytest.mark.parametrize(("name", "given", "N", "D"), SAMPLED)
def test_what_is_sampled_is_what_is_expected(name, given, N, D):
    options = options_of(name, **given)
    exact, none = loss(name, options | {"draw": "exact"}, N, D, 0)
    mean, error = mean_of(name, options, N, D, 40)
    own = loss(name, options, N, D, 0)[1]
    assert none == 0
    assert (own > 0) == bool(options["validation"])
    assert 0 < error < 0.02 * exact
    assert mean == pytest.approx(exact, abs=4 * math.hypot(error, own))


@pytest.mark.parametrize("measure", ["log", "error"])
def test_labels_are_flipped_at_evaluation(measure):
    """Where every item is known the loss is the floor, by examples as by formula."""
    options = options_of("additive", alpha_N=4, alpha_D=4, measure=measure, validation=400_000)
    value, error = loss("additive", options, 10**6, 10**9, 0)
    floor = truth("additive", options)["E"]
    by_hand = 0.1
    if measure == "log":
        by_hand = -0.9 * math.log(0.9) - 0.1 * math.log(0.1 / 15)
    assert floor == pytest.approx(by_hand, rel=1e-12)
    assert value == pytest.approx(floor, abs=4 * error)
    assert error < 0.01 * floor


@pytest.mark.parametrize("measure", ["log", "error"])
def test_the_additive_source_is_additive(measure):
    """Exactly: second differences vanish. And in the limit with the coefficients that it states."""
    options = options_of("additive", measure=measure, draw="exact")
    corner = [loss("additive", options, n, d, 0)[0] for n in (50, 5000) for d in (40, 10**6)]
    assert corner[0] - corner[1] - corner[2] + corner[3] == pytest.approx(0, abs=1e-12)
    p = truth("additive", options)
    law = get("chinchilla").loss(p, {"N": np.array([200.0, 1e6]), "D": np.array([2e4, 1e9])})
    found = [loss("additive", options, n, d, 0)[0] for n, d in ((200, 20_000), (10**6, 10**9))]
    assert np.array(found) - p["E"] == pytest.approx(law - p["E"], rel=2.5e-3)


def test_draws_are_functions_of_seed_size_and_data():
    for name in ("hutter", "additive", "regression", "oracle"):
        options = options_of(name)
        base = loss(name, options, 64, 1000, 0)
        assert loss(name, options, 64, 1000, 0) == base
        assert loss(name, options, 64, 1000, 1) != base
        assert loss(name, options | {"seed": 1}, 64, 1000, 0) != base


# ------------------------------------------------------------------------------------------ oracle


@pytest.mark.parametrize(
    ("name", "law", "which"),
    [("hoffmann-2022", "chinchilla", 0), ("besiroglu-2024", "chinchilla", 1)],
)
def test_published_laws_are_those_of_the_catalogue(name, law, which):
    known = truth("oracle", options_of("oracle", law=name))
    assert known == pytest.approx({**get(law).published[which].params, "k": 1.0}, rel=1e-12)


def test_kaplan_is_a_case_of_the_coupled_law():
    options = options_of("oracle", law="kaplan-2020", noise=0)
    N, D = 10**9, 10**11
    expected = get("kaplan").loss(get("kaplan").published[0].params, {"N": N, "D": D})
    assert oracle.loss(options, N, D, 0) == (pytest.approx(float(expected), rel=1e-12), 0.0)


def test_noise_is_relative():
    options = options_of("oracle", noise=0.01)
    clean = oracle.loss(options | {"noise": 0.0}, 10**8, 10**10, 0)[0]
    logs = [math.log(oracle.loss(options, 10**8, 10**10, s)[0] / clean) for s in range(2000)]
    assert np.std(logs) == pytest.approx(0.01, rel=0.06)
    assert np.mean(logs) == pytest.approx(0, abs=0.001)


# ------------------------------------------------------------------------------------------ parity


def test_skills_grow_by_gradient_descent():
    """Descent on a and b in small steps follows the closed form."""
    options = options_of("parity", alpha=0.6, start=0.02)
    p = powers.chances(0.6, np.arange(1.0, 31.0))
    a, b, size = np.full(30, math.sqrt(0.02)), np.full(30, math.sqrt(0.02)), 0.002
    for _ in range(int(40 / size)):
        rest = p * (1 - a * b)
        a, b = a + size * rest * b, b + size * rest * a
    assert a * b == pytest.approx(parity.strength(options, p, 40), rel=5e-3)
    expected = 0.5 * (p @ (1 - a * b) ** 2 + powers.tail(0.6, 30))
    assert parity.loss(options, 30, 40, 0)[0] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("room", [1000, 300_000])
def test_parity_term_by_term(room):
    options = options_of("parity")
    p = powers.chances(0.5, np.arange(1.0, room + 1))
    expected = 0.5 * (p @ (1 - parity.strength(options, p, 1e6)) ** 2 + powers.tail(0.5, room))
    assert parity.loss(options, room, 10**6, 0)[0] == pytest.approx(expected, rel=1e-9)


# -------------------------------------------------------------------------------------- regression


@pytest.mark.parametrize(("features", "steps"), [(1, 64), (12, 500), (40, 2000)])
def test_simulated_descent_has_the_expected_loss(features, steps):
    """Over data and over teachers."""
    options = options_of("regression", noise=0.3)
    found = [
        loss("regression", options | {"seed": seed}, features, steps, seed)[0]
        for seed in range(200)
    ]
    error = np.std(found) / math.sqrt(len(found))
    exact = loss("regression", options | {"draw": "exact"}, features, steps, 0)[0]
    assert np.mean(found) == pytest.approx(exact, abs=4 * error)
    assert error < 0.05 * exact


def test_leaps_are_many_steps():
    options = options_of("regression")
    variances = regression.spectrum(options, 30)
    one = regression._stepped(variances, np.ones(30), 0.4, 0.3, 1000)
    two = regression._leapt(variances, np.ones(30), 0.4, 0.3, 1000)
    assert one == pytest.approx(two, rel=1e-9)


def test_the_step_halves_over_equal_parts():
    options = options_of("regression", rate=0.5)
    parts = list(regression.schedule(options, 1000))
    assert sum(count for _, count in parts) == 1000
    assert len(parts) == 9
    assert parts[0][0] == pytest.approx(0.5 / (math.pi**2 / 6))
    assert parts[3][0] == pytest.approx(parts[0][0] / 8)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_every_truth_is_named_by_its_source(name):
    source = source_of(name)
    options = options_of(name)
    assert source.kind == "truth"
    made = source.make(options, None)
    assert made.entropy == truth(name, options)["E"]
    assert made.train_units == options["units"]
    other = source.make(options | {"seed": 5}, None)
    assert made.digest != other.digest
