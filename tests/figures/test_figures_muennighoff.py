"""Repeated data of Muennighoff et al.: log residuals, sum of Huber, base law frozen (section 5)."""

import numpy as np
import pytest

import scaling as sc

FILE = "muennighoff2023/runs.csv"
LAW = "data-constrained"
BASE = {
    "E": np.exp(0.6254804), "A": np.exp(6.255414), "B": np.exp(7.3049974),
    "alpha": 0.3526596, "beta": 0.3526596,
}  # fmt: skip
PUBLISHED = {**BASE, "R_D": 15.387756, "R_N": 5.309743}
DATA_DECAY = (
    "E + A/N**alpha"
    " + B/(D_unique*(1 + R_D*(1 - exp(-maximum(D/D_unique - 1, 0)/R_D))))**beta"
)  # fmt: skip


@pytest.fixture(scope="module")
def points(runs):
    """Return the 182 runs; in circulating copies D and D_unique are exchanged."""
    frame = runs(FILE)
    assert len(frame) == 182
    assert (frame.D >= frame.D_unique).all()
    return frame


@pytest.fixture(scope="module")
def fit(points):
    return sc.fit(points, LAW, fixed=BASE, bootstrap=200, profile=("R_D",))


def held(points, **fixed):
    """Fit the decay constants that are not given."""
    return sc.fit(points, LAW, fixed={**BASE, **fixed}, bootstrap=0)


# --------------------------------------------------------------------------------- stated points


def test_published_parameters_of_the_law_are_these():
    (published,) = sc.law(LAW).published
    assert dict(published.params) == pytest.approx(PUBLISHED, rel=1e-12)


def test_the_objective_at_the_published_point(points, huber):
    value = huber(LAW, PUBLISHED, points)
    assert value == pytest.approx(0.01582593526, abs=1e-10)
    assert value == pytest.approx(0.015825936570763588, abs=1e-8)
    found = held(points, R_D=15.387756, R_N=5.309743)
    assert found.objective.value == pytest.approx(value, rel=1e-12)


def test_explained_variance_at_the_published_point(points, r_squared):
    assert r_squared(LAW, PUBLISHED, points) == pytest.approx(0.7722046084968408, abs=1e-12)


@pytest.mark.parametrize(
    ("N", "D", "loss"),
    [(6.34e9, 242e9, 2.2256440889984477), (8.67e9, 178e9, 2.2269634075087867)],
)
def test_predictions_at_the_published_point(points, N, D, loss):
    found = held(points, R_D=15.387756, R_N=5.309743).predict(N=N, D=D, D_unique=25e9)
    assert found.loss[0] == pytest.approx(loss, abs=1e-12)


def test_no_decay_at_all(points, r_squared):
    """N' = N and D' = D is the additive law."""
    assert r_squared("chinchilla", BASE, points) == pytest.approx(0.4451684378759986, abs=1e-10)


# ------------------------------------------------------------------------------------------- fits


def test_the_best_objective(fit, points, huber):
    """Best known: .0158046625 at R_D 95.365, R_N 1.706; the published point is a local optimum."""
    assert fit.objective.value <= 0.01580467
    assert fit.objective.value == pytest.approx(huber(LAW, fit.params, points), rel=1e-10)
    assert {k: fit.params[k] for k in BASE} == pytest.approx(BASE, rel=1e-15)


def test_the_best_point_explains_more(fit, r_squared, points):
    assert r_squared(LAW, fit.params, points) == pytest.approx(0.7910, abs=1e-3)


def test_the_local_optimum_near_the_published_point(points):
    bounds = {"R_D": (12.0, 20.0), "R_N": (4.0, 7.0)}
    found = sc.fit(points, LAW, fixed=BASE, bounds=bounds, bootstrap=0)
    assert found.objective.value == pytest.approx(0.01582593207, abs=1e-9)
    assert found.params["R_D"] == pytest.approx(15.372, abs=0.05)
    assert found.params["R_N"] == pytest.approx(5.315, abs=0.05)


def test_a_wider_box_is_no_worse_than_the_optimum_inside_it(points):
    bounds = {"R_D": (8.0, 25.0), "R_N": (3.0, 9.0)}
    found = sc.fit(points, LAW, fixed=BASE, bounds=bounds, bootstrap=0)
    assert found.objective.value <= 0.01582593526


def test_data_decay_only(points, r_squared):
    """Published R² .7354468934623781 at R_D 2.915: N' = N, as a formula of the user."""
    found = sc.fit(points, formula=DATA_DECAY, fixed=BASE, bootstrap=0)
    assert found.params["R_D"] == pytest.approx(2.915, abs=0.005)
    assert r_squared(found.law, found.params, points) == pytest.approx(0.73545, abs=1e-4)


def test_data_decay_only_by_the_law_itself(points, r_squared):
    """At R_N = 1e6 no run's excess parameters decay by more than 1e-4."""
    found = held(points, R_N=1e6)
    assert found.params["R_D"] == pytest.approx(2.915, abs=0.005)
    assert r_squared(LAW, found.params, points) == pytest.approx(0.73545, abs=1e-4)


def test_parameter_decay_only_is_better_than_its_published_fit(points, r_squared):
    """Published with R² .44878; the same formula reaches .793, R_N about .74."""
    found = held(points, R_D=1e8)
    assert found.objective.value == pytest.approx(0.015924, abs=1e-6)
    assert found.params["R_N"] == pytest.approx(0.74, abs=0.01)
    assert r_squared(LAW, found.params, points) == pytest.approx(0.793, abs=1e-3)


# ----------------------------------------------------------------------- R_D is not pinned down


@pytest.mark.parametrize(
    ("R_D", "value"),
    [(5, 0.016160), (15.39, 0.015826), (30, 0.015821), (100, 0.015805), (1000, 0.015878)],
)
def test_the_profile_of_repetitions_is_flat(points, R_D, value):
    assert held(points, R_D=R_D).objective.value == pytest.approx(value, abs=1e-6)


def test_the_fit_says_that_repetitions_are_not_pinned_down(fit):
    told = [m.text for m in fit.messages if m.code == "SC418"]
    assert any(text.startswith("R_D is not pinned down") for text in told)
    low, high = fit.intervals["R_D"]
    assert low < 10
    assert high > 90


def test_the_profile_holds_both_optima(fit):
    (profile,) = fit.profiles
    assert profile["parameter"] == "R_D"
    assert profile["interval"][0] < 10
    assert max(profile["values"]) > 1000


def test_the_profile_has_no_upper_end(fit):
    """The deviance tends to 1.22, below the limit of 3.89, as R_D grows."""
    (profile,) = fit.profiles
    assert profile["interval"][1] is None


@pytest.mark.parametrize("R", [1e12, 1e17, 1e100])
def test_huge_decay_constants_are_no_decay(points, R):
    found = sc.law(LAW).loss({**BASE, "R_D": R, "R_N": R}, points)
    assert found == pytest.approx(sc.law("chinchilla").loss(BASE, points), rel=1e-9)
