"""Priors: what they hold, where their optima are, and what is refused."""

import numpy as np
import pytest
import scipy.optimize

from scaling.errors import PlanError
from scaling.laws import get
from scaling.planning.choosing.prior import (
    Noise,
    Prior,
    Truth,
    about_center,
    coupled_like,
    explicit,
    known,
    language_models,
    posterior,
    published,
)

PARAMS = {"E": 1.8, "A": 480.0, "B": 2100.0, "alpha": 0.35, "beta": 0.37}


def lowest(truth, compute):
    """ln N of the lowest loss along 6ND = compute, by search."""

    def loss(u):
        n = np.exp(u)
        return float(truth.law.loss(truth.params, {"N": n, "D": compute / 6.0 / n}))

    return scipy.optimize.minimize_scalar(loss, bracket=(14.0, 20.0), tol=1e-12).x


def test_published_values_are_those_of_the_catalogue():
    assert {"hoffmann-2022", "besiroglu-2024", "kaplan-2020"} <= set(known())
    both = published("hoffmann-2022", "besiroglu-2024")
    assert both.truths[0].params["alpha"] == 0.33917084
    assert both.truths[1].params["B"] == 2085.4342
    assert both.weights.tolist() == [0.5, 0.5]


def test_optimum_and_exponent_are_where_the_loss_is_lowest():
    prior = language_models()
    n, d, loss = prior.optimum(np.array([1e18, 1e20]))
    assert n.shape == d.shape == loss.shape == (9, 2)
    np.testing.assert_allclose(6.0 * n * d, [[1e18, 1e20]] * 9, rtol=1e-12)
    for truth, sizes, a in zip(prior.truths, n, prior.exponents(1e19), strict=True):
        np.testing.assert_allclose(np.log(sizes), [lowest(truth, c) for c in (1e18, 1e20)], 1e-6)
        assert np.log(sizes[1] / sizes[0]) / np.log(100.0) == pytest.approx(a, abs=1e-12)


@pytest.mark.parametrize("power", [0.35, 0.45, 2.0])
def test_a_coupled_truth_keeps_the_frontier_and_changes_the_rest(power):
    base = published("besiroglu-2024").truths[0]
    other = coupled_like(base, power)
    budgets = np.array([1e15, 1e18, 1e24])
    for ours, theirs in zip(
        Prior((base,), "").optimum(budgets), Prior((other,), "").optimum(budgets), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11)
    off = {"N": 1e9, "D": 1e8}
    assert abs(np.log(base.law.loss(base.params, off) / other.law.loss(other.params, off))) > 0.01


def test_a_center_gives_the_optimum_asked_for_under_every_law():
    prior = about_center(8e7, 1e18, 0.45, gamma=0.2, floor=1.5, reducible=2.0)
    assert prior.assumed
    assert [m.code for m in prior.messages()] == ["SC214"]
    assert not language_models().messages()
    assert {t.law.name for t in prior.truths} == {"chinchilla", "coupled"}
    n, _, loss = prior.optimum(np.array([1e18, 1e20]))
    np.testing.assert_allclose(n[:, 0], 8e7, rtol=1e-11)
    np.testing.assert_allclose(loss[:, 0], 3.5, rtol=1e-12)
    np.testing.assert_allclose(np.log(n[:, 1] / n[:, 0]) / np.log(100.0), 0.45, rtol=1e-11)
    # R falls as C^-gamma along the optimum
    np.testing.assert_allclose(loss[:, 1] - 1.5, 2.0 * 100.0**-0.2, rtol=1e-11)


def test_a_center_without_a_loss_takes_the_level_of_a_published_law():
    loss = about_center(5e8, 1e20).optimum(np.array([1e20]))[2]
    level = published("besiroglu-2024").optimum(np.array([1e20]))[2]
    np.testing.assert_allclose(loss, np.full((3, 1), level[0, 0]), rtol=1e-12)


@pytest.mark.parametrize("exponent", [0.02, 0.5, 0.98])
def test_any_exponent_makes_a_prior(exponent):
    prior = about_center(5e8, 1e20, exponent)
    np.testing.assert_allclose(prior.exponents(1e20), exponent, rtol=1e-9)


def test_shifted_truths_have_their_optimum_a_factor_off_and_the_same_loss():
    base = published("hoffmann-2022")
    moved = base.shifted((0.5, 1.0, 2.0))
    n, _, loss = moved.optimum(np.array([1e17, 1e21]))
    own, _, level = base.optimum(np.array([1e17, 1e21]))
    np.testing.assert_allclose(n / own, [[0.5, 0.5], [1.0, 1.0], [2.0, 2.0]], rtol=1e-11)
    np.testing.assert_allclose(loss, np.repeat(level, 3, axis=0), rtol=1e-12)
    assert len(language_models(off=1.0).truths) == 3


def test_a_posterior_keeps_sound_draws_evenly():
    draws = {name: np.full(200, value) for name, value in PARAMS.items()}
    draws["A"] = np.linspace(300.0, 600.0, 200)
    draws["E"][3] = np.nan
    draws["B"][5] = 1e-100  # clamped: no data term
    kept = posterior(get("chinchilla"), draws, Noise(0.01), most=50)
    assert len(kept.truths) == 50
    values = np.array([t.params["A"] for t in kept.truths])
    assert set(values) <= set(np.delete(draws["A"], [3, 5]))
    assert np.diff(values).max() < 2.1 * np.diff(values).min()
    assert kept.truths[0].noise.sd == 0.01


def test_noise_grows_towards_small_runs_and_adds_what_a_trunk_shares():
    noise = Noise(0.003, growth=0.2, compute=1e18, trunk=0.004)
    n, d = np.array([1e7, 1e6]), np.array([1e18, 1e16]) / 6.0 / np.array([1e7, 1e6])
    np.testing.assert_allclose(noise.own(n, d), [0.003, 0.003 * 100.0**0.2], rtol=1e-12)
    np.testing.assert_allclose(noise.total(n, d)[0], 0.005, rtol=1e-12)


def test_a_truth_is_lifted_into_a_larger_law():
    truth = published("besiroglu-2024").fitted_by(get("coupled")).truths[0]
    assert truth.lifted() == {**truth.params, "k": 1.0}
    one = Truth(get("over-training"), {"E": 1.0, "A": 2.0, "B": 3.0, "alpha": 0.3}, "own")
    lifted = Prior((one,), "").fitted_by(get("nested-q")).truths[0].lifted()
    assert lifted == {"E": 1.0, "A": 2.0, "B": 3.0, "alpha": 0.3, "beta": 0.3, "q": 1.0}


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: published("nobody-1999"), "hoffmann-2022"),
        (lambda: explicit("chinchilla", {"E": 1.0}), "alpha"),
        (lambda: explicit("chinchilla", {**PARAMS, "beta": -1.0}), "beta"),
        (lambda: explicit("power-N", {"E": 1.0, "A": 1.0, "alpha": 0.3}), "of N and D"),
        (lambda: Noise(0.0), "noise"),
        (lambda: Noise(0.1, trunk=-1.0), "noise"),
        (lambda: Prior((), "nothing"), "nothing"),
        (lambda: about_center(1e8, 1e18, 1.0), "below 1"),
        (lambda: coupled_like(published("kaplan-2020").truths[0]), "chinchilla"),
        (lambda: published("kaplan-2020").shifted((2.0,)), "kaplan"),
        (lambda: language_models(off=-2.0), "above 0"),
        (
            lambda: explicit("coupled", {**PARAMS, "k": 0.5}).fitted_by(get("chinchilla")),
            "no case of chinchilla",
        ),
        (lambda: posterior(get("chinchilla"), dict.fromkeys(PARAMS, np.nan)), "no usable draw"),
        (lambda: Truth(get("chinchilla"), PARAMS, "x", weight=0.0), "weight"),
    ],
)
def test_what_is_no_prior_is_refused(make, text):
    with pytest.raises(PlanError, match=text) as caught:
        make()
    assert caught.value.code == "SC210"
