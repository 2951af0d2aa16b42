"""Optimal designs, against enumeration, a linear program and the certificate of the limit."""

import itertools

import numpy as np
import pytest
import scipy.optimize

from scaling.errors import PlanError
from scaling.planning.choosing.candidates import Candidates, problem
from scaling.planning.choosing.exchange import Limits, Search
from scaling.planning.choosing.information import Runs, decision_gradients, precision, sensitivities
from scaling.planning.choosing.limit import limit
from scaling.planning.choosing.optimal import bound_of, gains, optimal
from scaling.planning.choosing.prior import (
    Noise,
    about_center,
    explicit,
    language_models,
    published,
)

EPOCH = published("besiroglu-2024")
BOTH = {"exponent": 1.0, "size": 1.0}
COUPLED = {"E": 1.5, "A": 2e4, "B": 9e4, "alpha": 0.7, "beta": 0.6, "k": 0.45}
TRUTHS = {
    "chinchilla": published("hoffmann-2022"),
    "epoch": EPOCH,
    "coupled": explicit("coupled", COUPLED),
}


def baseline(prior):
    """5 budgets x 7 sizes over ±4x."""
    budgets = np.geomspace(1e16, 1e18, 5)
    n = (prior.optimum(budgets)[0][0][:, None] * 4.0 ** np.linspace(-1, 1, 7)).ravel()
    return Runs(n, np.repeat(budgets, 7) / 6.0 / n)


def box(runs, steps=32):
    """Candidates inside the ranges of N, D and C of some runs."""
    n, d = np.meshgrid(
        np.geomspace(runs.N.min(), runs.N.max(), steps),
        np.geomspace(runs.D.min(), runs.D.max(), steps),
        indexing="ij",
    )
    c, own = 6.0 * n * d, 6.0 * runs.N * runs.D
    inside = (c >= own.min() * (1 - 1e-9)) & (c <= own.max() * (1 + 1e-9))
    return Candidates(n[inside], d[inside], c[inside])


def small(noise=None):
    """Nine candidates of all corners and the middle."""
    n, d = (x.ravel() for x in np.meshgrid([2e6, 2e7, 2e8], [1e8, 1e9, 1e10], indexing="ij"))
    return Candidates(n, d, 6.0 * n * d), published("besiroglu-2024", noise=noise)


def trunked(noise):
    """Three sizes, each a trunk with three lengths of which four fifths are on the trunk."""
    cells, prior = small(noise)
    trunk = np.repeat([3, -1, 8], 3)
    return Candidates(cells.N, cells.D, cells.cost, trunk, 0.8 * cells.cost), prior


# ------------------------------------------------------------------------------------- acceptance


@pytest.mark.parametrize("name", TRUTHS)
def test_a_third_of_the_compute_reaches_the_precision_of_the_isoflop_grid(name):
    """Knowing N*(C) and no more, as the grid does; whether the law is coupled or not."""
    prior = TRUTHS[name]
    grid = baseline(prior)
    cells = box(grid)
    total = float((6.0 * grid.N * grid.D).sum())
    center = float(prior.optimum(np.array([1e17]))[0][0, 0])
    believed = about_center(center, 1e17, float(prior.exponents(1e17)[0]))
    found = optimal(believed, cells, budget=total / 3.0, target=1e19, decision=BOTH, most=35)
    assert found.cost <= total / 3.0 * (1 + 1e-12)
    assert sum(found.replicates) <= 35
    assert found.efficiency > 0.95
    truth = prior.truths[0]
    ours, theirs = (precision(truth, r, 1e19).se for r in (found.runs(cells), grid))
    assert ours["a"] < 0.8 * theirs["a"]
    assert ours["ln N*"] < 0.92 * theirs["ln N*"]


# -------------------------------------------------------------------------------------- optimality


@pytest.mark.parametrize("decision", ["size", "exponent", "loss", BOTH])
def test_the_choice_is_the_best_of_all_choices(decision):
    cells, prior = small()
    budget, most = 9e18, 7
    found = optimal(
        prior, cells, budget=budget, target=1e19, decision=decision, most=most, distinct=0
    )
    search = Search(problem(prior, cells, 1e19, decision), Limits(budget, most))
    best = np.inf
    for k in range(5, most + 1):
        for choice in itertools.combinations_with_replacement(range(len(cells)), k):
            counts = np.bincount(choice, minlength=len(cells))
            if len(set(choice)) >= 5 and cells.cost @ counts <= budget:
                best = min(best, search.value(counts))
    assert found.criterion == pytest.approx(best, abs=1e-6)
    assert 0.5 < found.efficiency <= 1.0


@pytest.mark.parametrize(("decision", "row"), [("exponent", 0), ("size", 1), ("loss", 2)])
def test_the_limit_is_elfvings(decision, row):
    """With a budget alone the smallest variance is (min sum |w| sqrt(cost))^2 / budget over all w
    with sum w j = g: a linear program (Elfving 1952)."""
    cells, budget = box(baseline(EPOCH), 20), 1e18
    truth = EPOCH.truths[0]
    rows = sensitivities(truth, cells.N, cells.D) / 0.004
    g = decision_gradients([truth], 1e19)[0][row]
    scale = np.sqrt((rows**2).mean(axis=0))
    found = scipy.optimize.linprog(
        np.tile(np.sqrt(cells.cost), 2),
        A_eq=np.hstack([(rows / scale).T, -(rows / scale).T]),
        b_eq=g / scale,
    )
    exact = found.fun / np.sqrt(budget)
    ours = bound_of(EPOCH, cells, budget=budget, target=1e19, decision=decision, most=1e9)
    assert ours <= exact * (1 + 1e-6)
    assert ours == pytest.approx(exact, rel=3e-3)


@pytest.mark.parametrize("most", [12, 35])
def test_the_limit_holds_and_is_tight(most):
    prior, cells = language_models(off=1.0), box(baseline(EPOCH), 24)
    task = problem(prior, cells, 1e19, BOTH)
    found = limit(task, 3e18, float(most))
    assert found.value <= found.reached <= found.value + 0.01
    assert found.replicates.sum() <= most * (1 + 1e-9)
    assert found.replicates @ cells.cost <= 3e18 * (1 + 1e-9)
    # no choice passes it
    search, rng = Search(task, Limits(3e18, most)), np.random.default_rng(0)
    for _ in range(50):
        counts = np.bincount(rng.integers(0, len(cells), most), minlength=len(cells))
        if cells.spent(counts) <= 3e18:
            assert search.value(counts) > found.value
    choice = optimal(prior, cells, budget=3e18, target=1e19, decision=BOTH, most=most)
    assert choice.criterion > found.value
    assert choice.efficiency == pytest.approx(np.exp(found.value - choice.criterion), rel=1e-9)


@pytest.mark.parametrize(("name", "share"), [("epoch", 1.0), ("chinchilla", 0.125)])
def test_a_choice_is_near_the_limit_where_greedy_starts_fail(name, share):
    """For the loss the design needs few large runs, which greedy additions do not find."""
    prior = TRUTHS[name]
    runs = baseline(prior)
    budget = share * float((6.0 * runs.N * runs.D).sum())
    found = optimal(prior, box(runs, 48), budget=budget, target=1e19, decision="loss")
    assert found.efficiency > 0.92


def test_the_limit_holds_beside_runs_that_exist():
    cells, runs = box(baseline(EPOCH), 20), baseline(EPOCH)
    task = problem(EPOCH, cells, 1e19, BOTH, given=Runs(runs.N[:20], runs.D[:20]))
    found = limit(task, 1e18, 10.0)
    assert found.reached - 0.01 <= found.value <= found.reached
    search = Search(task, Limits(1e18, 10))
    assert search.value(search.exchange(search.greedy(0.3))) > found.value
    assert search.value(np.zeros(len(cells), dtype=int)) > found.reached + 0.1


def test_predicted_errors_are_those_of_the_chosen_runs():
    prior, cells = language_models(), box(baseline(EPOCH), 16)
    found = optimal(prior, cells, budget=2e18, target=1e20, most=20)
    assert found.identified
    assert list(found.indices) == sorted(set(found.indices))
    variance = [np.log([p.se["a"], p.se["ln N*"], p.se["ln loss"]]).mean() for p in found.predicted]
    assert found.criterion == pytest.approx(2.0 * prior.weights @ variance, abs=1e-3)
    again = precision(prior.truths[4], found.runs(cells), 1e20)
    assert again.se == found.predicted[4].se


def test_a_choice_depends_on_no_unit_and_on_nothing_else():
    cells = box(baseline(EPOCH), 16)
    hours = Candidates(cells.N, cells.D, cells.cost / 1.44e18)
    one = optimal(EPOCH, cells, budget=2e18, target=1e19, most=20)
    assert one == optimal(EPOCH, cells, budget=2e18, target=1e19, most=20)
    two = optimal(EPOCH, hours, budget=2e18 / 1.44e18, target=1e19, most=20)
    assert (one.indices, one.replicates) == (two.indices, two.replicates)


def test_distinct_sizes_are_kept_and_cost_something():
    cells = box(baseline(EPOCH), 16)
    free, kept = (
        optimal(EPOCH, cells, budget=3e18, target=1e19, decision="exponent", most=12, distinct=k)
        for k in (0, 7)
    )
    for found, least in ((free, 1), (kept, 7)):
        for level in cells.levels:
            assert len(set(level[list(found.indices)])) >= least
    assert any(len(set(level[list(free.indices)])) < 7 for level in cells.levels)
    assert kept.criterion > free.criterion


def test_runs_that_exist_are_reckoned_with():
    """Where half of the box has been measured already, the other half is worth more."""
    cells = box(baseline(EPOCH), 16)
    large = np.flatnonzero(cells.N >= np.median(cells.N))
    given = Runs(cells.N[large], cells.D[large])
    alone, beside = (
        optimal(EPOCH, cells, budget=2e18, target=1e19, most=20, given=g) for g in (None, given)
    )

    def share(found):
        small = cells.N[list(found.indices)] < np.median(cells.N)
        return np.array(found.replicates)[small].sum() / sum(found.replicates)

    assert share(beside) > share(alone)
    had = precision(EPOCH.truths[0], given, 1e19).se
    assert beside.predicted[0].se["a"] < min(had["a"], alone.predicted[0].se["a"])


# ------------------------------------------------------------------------------------------ trunks


def test_a_trunk_is_paid_once_for_each_copy():
    cells, _ = trunked(None)
    cost = cells.cost
    counts = np.array([1, 1, 1, 0, 2, 0, 0, 2, 1])
    first = 0.2 * cost[:3].sum() + 0.8 * cost[2]
    none = 2.0 * cost[4]
    last = 0.2 * cost[7:].sum() + 0.8 * cost[8] + cost[7]  # the second copy is a run of its own
    assert cells.spent(counts) == pytest.approx(first + none + last, rel=1e-12)
    for i in range(len(cells)):
        more = cells.spent(counts + np.eye(9, dtype=int)[i]) - cells.spent(counts)
        assert cells.more(counts)[i] == pytest.approx(more, rel=1e-6)


@pytest.mark.parametrize("trunk", [0.0, 0.003])
def test_scores_of_additions_are_the_criterion_after_them(trunk):
    cells, prior = trunked(Noise(0.002, trunk=trunk))
    search = Search(problem(prior, cells, 1e19, BOTH), Limits(1e20, 30))
    counts = np.array([1, 0, 2, 1, 1, 1, 1, 0, 1])
    for without in (None, 2, 8):
        left = counts.copy()
        if without is not None:
            left[without] -= 1
        after = [search.value(left + one) for one in np.eye(9, dtype=int)]
        np.testing.assert_allclose(search.with_one_more(counts, without), after, atol=1e-8)


def test_the_criterion_with_trunks_is_that_of_their_covariance():
    cells, prior = trunked(Noise(0.002, trunk=0.003))
    counts = np.array([1, 1, 2, 1, 1, 1, 1, 1, 1])
    value = Search(problem(prior, cells, 1e19, "size"), Limits(1e20, 30)).value(counts)
    runs = Runs(cells.N, cells.D, counts.astype(float), cells.trunk)
    se = precision(prior.truths[0], runs, 1e19).se["ln N*"]
    assert value == pytest.approx(2.0 * np.log(se), abs=1e-4)


def test_branches_are_chosen_for_their_price():
    alone, prior = small(Noise(0.004))
    shared = Candidates(alone.N, alone.D, alone.cost, np.arange(9) // 3, 0.8 * alone.cost)
    options = {"budget": 9e18, "target": 1e19, "most": 60}
    dear, cheap = (optimal(prior, c, **options) for c in (alone, shared))
    assert cheap.criterion < dear.criterion
    assert cheap.cost <= 9e18
    assert cheap.efficiency is None
    counts = np.zeros(9, dtype=int)
    counts[list(cheap.indices)] = cheap.replicates
    assert cheap.cost == shared.spent(counts) < alone.spent(counts)


# ------------------------------------------------------------------------------------------- gains


def test_gains_are_what_one_more_run_would_bring():
    runs, prior = baseline(EPOCH), language_models(off=1.0)
    cells = box(runs, 12)
    found = gains(prior, runs, cells, target=1e19, decision="size")
    before = np.array([precision(t, runs, 1e19).se["ln N*"] for t in prior.truths])
    for i in found.order[[0, 5, -1]]:
        more = Runs(np.r_[runs.N, cells.N[i]], np.r_[runs.D, cells.D[i]])
        after = np.array([precision(t, more, 1e19).se["ln N*"] for t in prior.truths])
        left = float(np.exp(2.0 * np.mean(np.log(after / before))))
        assert found.reduction[i] == pytest.approx(1.0 - left, rel=1e-3, abs=1e-7)
        assert found.per_cost[i] == pytest.approx(-np.log(left) / cells.cost[i], rel=1e-3, abs=0)
    assert np.all(np.diff(found.per_cost[found.order]) <= 1e-9 * found.per_cost.max())


# ------------------------------------------------------------------------------------------ refusal


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"budget": 1e14}, "SC212", "cheapest candidate"),
        ({"budget": float("nan")}, "SC212", "no candidate"),
        ({"most": 0}, "SC212", "at least 1 run"),
        ({"decision": "beauty"}, "SC212", "exponent, size, loss"),
        ({"decision": {"size": -1.0}}, "SC212", "exponent, size, loss"),
        ({"decision": {}}, "SC212", "exponent, size, loss"),
        ({"most": 4}, "SC213", "at most 4 runs"),
        ({"budget": 3e15}, "SC213", "raise the budget"),
    ],
)
def test_what_allows_no_choice_is_refused(change, code, text):
    cells, prior = small()
    options = {"budget": 1e19, "target": 1e19, "decision": "size", "distinct": 0} | change
    with pytest.raises(PlanError, match=text) as caught:
        optimal(prior, cells, **options)
    assert caught.value.code == code


def test_candidates_on_one_ray_are_refused():
    n = np.geomspace(1e6, 1e8, 30)
    ray = Candidates(n, 20.0 * n, 120.0 * n**2)
    with pytest.raises(PlanError, match="no candidate tells of the size") as caught:
        optimal(EPOCH, ray, budget=1e19, target=1e19, decision="size")
    assert caught.value.code == "SC213"


@pytest.mark.parametrize(
    "make",
    [
        lambda one: Candidates(one, one, np.r_[one, one]),
        lambda one: Candidates(one, -one, one),
        lambda one: Candidates(one, one, one, np.array([1])),
        lambda one: Candidates(one, one, one, np.array([1]), 2.0 * one),
        lambda one: Candidates(one[:0], one[:0], one[:0]),
    ],
)
def test_what_are_no_candidates_is_refused(make):
    with pytest.raises(PlanError) as caught:
        make(np.array([1e9]))
    assert caught.value.code == "SC212"
