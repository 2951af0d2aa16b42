"""Profiles of a parameter, against a loop with scipy; what they show where runs say nothing."""

import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.stats import t

import scaling as sc
from scaling.errors import ConfigError

POWER = {"E": 2.0, "B": 900.0, "beta": 0.4}


@pytest.fixture(scope="module")
def frame(runs):
    """Return 24 noisy runs of a power law of D."""
    return runs("power-D", POWER, {"D": np.geomspace(1e7, 1e10, 24)}, noise=0.003, seed=2)


def rest(frame, beta):
    """Sum of squares with the exponent held, the others optimised by scipy."""
    u, logs = np.log(frame.D.to_numpy()), np.log(frame.loss.to_numpy())

    def residual(z):
        return np.log(z[0] + np.exp(z[1] - beta * u)) - logs

    start = [2.0, np.log(900.0) + (beta - 0.4) * u.mean()]
    best = least_squares(residual, start, bounds=([0, -60], [np.inf, 60]), xtol=1e-15, ftol=1e-15)
    return 2 * best.cost


def test_deviance_and_interval_of_an_exponent(frame):
    fit = sc.fit(frame, "power-D", objective="log-mse", bootstrap=0, profile=("beta",))
    (profile,) = fit.profiles
    lowest = fit.objective.value
    expected = [(rest(frame, v) / lowest - 1) * (24 - 3) for v in profile["values"]]
    assert profile["deviance"] == pytest.approx(expected, rel=1e-4, abs=1e-4)
    limit = t.ppf(0.975, 21) ** 2
    low, high = profile["interval"]
    assert low < fit.params["beta"] < high
    for end in (low, high):
        assert (rest(frame, end) / lowest - 1) * 21 == pytest.approx(limit, rel=0.05)


@pytest.mark.parametrize("objective", ["log-huber", "log-mse"])
def test_profiles_of_all_parameters_are_about_as_wide_as_the_bootstrap(runs, hoffmann, objective):
    frame = runs("chinchilla", hoffmann, noise=0.004, seed=5)
    fit = sc.fit(frame, objective=objective, bootstrap=200, profile=("all",))
    assert [p["parameter"] for p in fit.profiles] == list(fit.law.names)
    for profile in fit.profiles:
        lo, hi = fit.intervals[profile["parameter"]]
        low, high = profile["interval"]
        assert 0.4 < (high - low) / (hi - lo) < 1.6, profile["parameter"]
    assert "profile 95%" in fit.summary()


def test_an_end_that_is_never_reached_is_none(runs):
    """A floor that runs far above it do not show."""
    frame = runs("power-D", {"E": 1e-3, "B": 900.0, "beta": 0.2}, {"D": np.geomspace(1e7, 1e8, 12)},
                 noise=0.01)  # fmt: skip
    fit = sc.fit(frame, "power-D", bootstrap=0, profile=("E",))
    assert fit.profiles[0]["interval"][0] is None


def test_profiles_are_kept_in_the_file(frame, tmp_path):
    fit = sc.fit(frame, "power-D", bootstrap=10, profile=("beta",))
    fit.save(tmp_path / "fit.json")
    assert sc.load(tmp_path / "fit.json").profiles == fit.profiles


def test_a_parameter_that_is_not_free_is_refused(frame):
    for profile, fixed in ((("gamma",), {}), (("E",), {"E": 2.0})):
        with pytest.raises(ConfigError) as caught:
            sc.fit(frame, "power-D", bootstrap=0, profile=profile, fixed=fixed)
        assert caught.value.code == "SC004"
