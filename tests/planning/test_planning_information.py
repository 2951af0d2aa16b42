"""Information and the delta method, against hand formulas, differences and published tables."""

import numpy as np
import pytest

from scaling.errors import PlanError
from scaling.fitting.allocation import best_size
from scaling.laws import get
from scaling.laws.cost import Cost
from scaling.planning.choosing.information import (
    Runs,
    decision_gradients,
    pooled,
    precision,
    precisions,
    sensitivities,
    whitened,
)
from scaling.planning.choosing.prior import Noise, explicit, language_models, published

EPOCH = published("besiroglu-2024").truths[0]
BUDGETS = np.geomspace(1e16, 1e18, 5)


def isoflop(truth, half, sizes=7):
    best = np.exp(best_size(truth.law, truth.params, np.log(BUDGETS))[0])
    n = (best[:, None] * half ** np.linspace(-1.0, 1.0, sizes)).ravel()
    return Runs(n, np.repeat(BUDGETS, sizes) / 6.0 / n)


# Fisher information of the Epoch truth, 35 runs, 1e16 to 1e18, SD of ln loss .004, target 1e21, as
# tabulated in the literature of designs: alpha, a, ln N*, ln loss to the printed digits.
@pytest.mark.parametrize(
    ("half", "printed"),
    [
        (2.0, (0.014, 0.012, 0.12, 0.017)),
        (4.0, (0.008, 0.006, 0.06, 0.012)),
        (16.0, (0.004, 0.003, 0.04, 0.008)),
    ],
)
def test_isoflop_designs_have_the_tabulated_precision(half, printed):
    runs = isoflop(EPOCH, half)
    assert (6.0 * runs.N * runs.D).sum() == pytest.approx(1.0e19, rel=0.03)
    found = precision(EPOCH, runs, 1e21)
    assert found.identified
    se = [found.se[name] for name in ("alpha", "a", "ln N*", "ln loss")]
    digits = (3, 3, 2, 3)
    assert [round(v, k) for v, k in zip(se, digits, strict=True)] == list(printed)


def test_a_fixed_ratio_of_data_to_size_identifies_nothing():
    n = np.sqrt(np.geomspace(1e16, 1e18, 35) / 120.0)
    found = precision(EPOCH, Runs(n, 20.0 * n), 1e21)
    assert not found.identified
    assert all(found.se[name] == np.inf for name in ("alpha", "a", "ln N*", "ln loss"))
    # over the directions that are seen the pseudo-inverse says what is tabulated: 4.0 and 6.1
    root = np.sqrt(np.diag(found.covariance))[EPOCH.law.names.index("alpha")]
    assert round(float(root), 1) == 4.0
    gradient = decision_gradients([EPOCH], 1e21)[0][0]
    assert round(float(np.sqrt(gradient @ found.covariance @ gradient)), 1) == 6.1


def test_sensitivities_are_the_derivatives_of_ln_loss():
    p = EPOCH.params
    n, d = np.array([1e7, 3e8]), np.array([4e9, 1e8])
    by_n, by_d = p["A"] * n ** -p["alpha"], p["B"] * d ** -p["beta"]
    loss = p["E"] + by_n + by_d
    hand = [1.0, by_n, by_d, -by_n * np.log(n), -by_d * np.log(d)]
    hand = np.stack([np.broadcast_to(h, n.shape) / loss for h in hand], axis=1)
    np.testing.assert_allclose(sensitivities(EPOCH, n, d), hand, rtol=1e-12)


def test_gradients_of_the_additive_law_are_the_closed_forms():
    p, c = EPOCH.params, 1e19
    alpha, beta = p["alpha"], p["beta"]
    total = alpha + beta
    level = np.log(alpha * p["A"] / (beta * p["B"]))
    log_n = (level + beta * np.log(c / 6.0)) / total
    size = [
        0.0,
        1.0 / total,
        -1.0 / total,
        1.0 / alpha / total - log_n / total,
        -1.0 / beta / total + (np.log(c / 6.0) - log_n) / total,
    ]
    exponent = [0.0, 0.0, 0.0, -beta / total**2, alpha / total**2]
    n = np.exp(log_n)
    loss = sensitivities(EPOCH, np.array([n]), np.array([c / 6.0 / n]))[0]
    found = decision_gradients([EPOCH], c)[0]
    np.testing.assert_allclose(found, [exponent, size, loss], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("formula", ["6*N*D", "6*N*D + 500*N**0.5*D"])
def test_gradients_of_the_loss_agree_with_differences(formula):
    """The optimum moves too; the envelope theorem says that it does not matter."""
    cost, c = Cost("x", formula), 1e19
    truth = explicit("coupled", {**EPOCH.params, "k": 0.8}).truths[0]

    def log_loss(params):
        u, v = best_size(truth.law, params, np.log([c]), cost)
        return float(np.log(truth.law.loss(params, {"N": np.exp(u), "D": np.exp(v)}))[0])

    found = decision_gradients([truth], c, cost)[0][2]
    for j, name in enumerate(truth.law.names):
        step, value = 1e-4, truth.params[name]
        moved = [
            value * np.exp(s) if truth.law.parameter(name).in_log else value + s
            for s in (-step, step)
        ]
        ends = [log_loss({**truth.params, name: m}) for m in moved]
        assert found[j] == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=1e-6, abs=1e-8)


def test_another_cost_gives_the_numerical_optimum_its_gradients():
    """A cost of powers of N and D has a closed form: N^p D^q = c moves D* along with N*."""
    cost, c, p = Cost("powers", "6*N**1.2*D"), 1e21, EPOCH.params
    alpha, beta = p["alpha"], p["beta"]
    # minimise A N^-alpha + B D^-beta with ln D = ln(c/6) - 1.2 ln N
    total = alpha + 1.2 * beta
    found = decision_gradients([EPOCH], c, cost)[0]
    np.testing.assert_allclose(found[1][1:3], [1.0 / total, -1.0 / total], rtol=1e-7)
    da = np.array([-beta, alpha]) / total**2
    np.testing.assert_allclose(found[0][3:], da, rtol=1e-6)


def test_standard_errors_agree_with_those_of_simulated_linear_fits():
    """Least squares of the linearised law over many draws of noise."""
    runs = isoflop(EPOCH, 4.0)
    rows = sensitivities(EPOCH, runs.N, runs.D)
    noise = np.random.default_rng(1).standard_normal((4000, len(rows))) * 0.004
    scale = np.sqrt((rows**2).sum(axis=0))
    draws = np.linalg.lstsq(rows / scale, noise.T, rcond=None)[0].T / scale
    found = precision(EPOCH, runs, 1e19)
    np.testing.assert_allclose(draws.std(axis=0), np.sqrt(np.diag(found.covariance)), rtol=0.05)
    decided = draws @ decision_gradients([EPOCH], 1e19)[0].T
    assert decided[:, 1].std() == pytest.approx(found.se["ln N*"], rel=0.05)


def test_a_larger_law_costs_precision_and_unknown_directions_are_infinite():
    small, runs = precision(EPOCH, isoflop(EPOCH, 4.0), 1e19), isoflop(EPOCH, 4.0)
    lifted = published("besiroglu-2024").fitted_by(get("coupled")).truths[0]
    large = precision(lifted, runs, 1e19)
    assert large.names == get("coupled").names
    assert large.identified
    for name in ("a", "ln N*", "ln loss", "alpha"):
        assert large.se[name] >= small.se[name]
    assert large.se["ln loss"] > 1.4 * small.se["ln loss"]
    few = precision(EPOCH, Runs(runs.N[:4], runs.D[:4]), 1e19)
    assert not few.identified
    assert few.se["ln N*"] == np.inf


def test_replicates_divide_the_variance_and_noise_scales_it():
    runs = isoflop(EPOCH, 4.0)
    once, often = (precision(EPOCH, Runs(runs.N, runs.D, np.full(35, k)), 1e19) for k in (1.0, 4.0))
    assert often.se["a"] == pytest.approx(once.se["a"] / 2.0, rel=1e-9)
    louder = language_models(Noise(0.012), off=1.0).truths[1]
    assert precision(louder, runs, 1e19).se["a"] == pytest.approx(3.0 * once.se["a"], rel=1e-9)


def test_trunks_enter_as_the_inverse_of_their_covariance():
    noise = Noise(0.002, trunk=0.003)
    truth = published("hoffmann-2022", noise=noise).truths[0]
    n, d = np.repeat([1e7, 1e8, 1e9], 3), np.tile([1e9, 4e9, 1.6e10], 3)
    trunk = np.repeat([4, -1, 2], 3)
    cov = 0.002**2 * np.eye(9)
    for members in (slice(0, 3), slice(6, 9)):
        cov[members, members] += 0.003**2
    cov[3:6, 3:6] += 0.003**2 * np.eye(3)
    rows = sensitivities(truth, n, d)
    w = whitened(truth, Runs(n, d, None, trunk))
    np.testing.assert_allclose(w.T @ w, rows.T @ np.linalg.solve(cov, rows), rtol=1e-9)
    # a copy of every trunk has noise of its own
    twice = whitened(truth, Runs(n, d, np.full(9, 2.0), trunk))
    np.testing.assert_allclose(twice.T @ twice, 2.0 * w.T @ w, rtol=1e-9)
    # the second copy of the first trunk holds its first branch alone
    more = whitened(truth, Runs(n, d, np.r_[2.0, np.ones(8)], trunk))
    extra = np.outer(rows[0], rows[0]) / (0.002**2 + 0.003**2)
    np.testing.assert_allclose(more.T @ more, w.T @ w + extra, rtol=1e-9)


def test_pooled_errors_are_the_weighted_root_mean_square():
    prior = language_models(off=1.0)
    runs = isoflop(EPOCH, 4.0)
    found = precisions(prior, runs, 1e19)
    mean = pooled(prior, found)
    assert mean["a"] == pytest.approx(np.sqrt(np.mean([p.se["a"] ** 2 for p in found])))
    assert "k" not in mean


def test_sixty_four_draws_take_one_call():
    """Truths of one law are differentiated together: the same as one by one."""
    truths = language_models().truths
    together = decision_gradients(truths, 1e19)
    for truth, found in zip(truths, together, strict=True):
        np.testing.assert_allclose(found, decision_gradients([truth], 1e19)[0], rtol=1e-9)


@pytest.mark.parametrize(
    ("runs", "text"),
    [
        (Runs(np.array([1e7]), np.array([1e9, 1e9])), "lengths"),
        (Runs(np.array([]), np.array([])), "lengths"),
        (Runs(np.array([1e7, -1.0]), np.array([1e9, 1e9])), "row 2"),
        (Runs(np.array([1e7]), np.array([np.nan])), "row 1"),
        (Runs(np.array([1e7]), np.array([1e9]), np.array([0.0])), "row 1"),
        (Runs(np.array([1e7]), np.array([1e9]), np.array([1.5]), np.array([1])), "whole"),
    ],
)
def test_what_is_no_run_is_refused(runs, text):
    with pytest.raises(PlanError, match=text) as caught:
        precision(EPOCH, runs, 1e19)
    assert caught.value.code == "SC211"


def test_a_law_without_an_optimum_at_the_target_is_refused():
    """A coefficient of a thousandth of a nat at one token: less data is always better."""
    params = {**EPOCH.params, "B": 1e-90}
    truth = explicit("chinchilla", params).truths[0]
    with pytest.raises(PlanError, match="no optimum at C = 1e"):
        decision_gradients([truth], 1e19, Cost("x", "6*N*D + 1e3*D"))
