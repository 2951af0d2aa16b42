"""Simulated studies are the fits that the engine makes of the same tables."""

import numpy as np
import pandas as pd
import pytest

import scaling as sc
from scaling.fitting.intervals import small_sample_factor
from scaling.fitting.simulate import Noise, simulate

TRUTH = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}
N, D = (
    x.ravel() for x in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(1e9, 1e11, 5))
)  # fmt: skip
X = {"N": N, "D": D}
LAW = sc.law("chinchilla")
LOG_LOSS = np.log(LAW.loss(TRUTH, X))


def errors(studies, sd=0.003, seed=3):
    return sd * np.random.default_rng(seed).standard_normal((studies, len(N)))


def test_without_noise_every_study_finds_the_truth():
    found = simulate(LAW, X, LOG_LOSS, np.zeros((3, len(N))), len(N))
    assert (found.studies, found.failed) == (3, 0)
    for name, value in TRUTH.items():
        np.testing.assert_allclose(found.columns[name], value, rtol=1e-4)


@pytest.mark.parametrize(
    ("objective", "delta"),
    [("log-huber", 1e-3), ("log-huber", 0.02), ("log-mse", 1.0), ("huber", 1e-2), ("mse", 1.0)],
)
def test_each_study_is_the_fit_of_its_table(objective, delta):
    """The whole engine, with its own starts and its own noise column, on the same losses."""
    noise = errors(4)
    found = simulate(LAW, X, LOG_LOSS, noise, len(N), objective=objective, delta=delta)
    assert found.failed == 0
    for k, row in enumerate(noise):
        frame = pd.DataFrame({**X, "loss": np.exp(LOG_LOSS + row)})
        options = {} if "mse" in objective else {"delta": delta}
        fit = sc.fit(frame, "chinchilla", objective=objective, bootstrap=0, **options)
        for name in ("E", "alpha", "beta"):
            assert found.columns[name][k] == pytest.approx(fit.params[name], rel=2e-3)
        at = {"N": np.array([1e8, 1e10]), "D": np.array([1e10, 1e12])}
        own = {n: np.array([c[k]]) for n, c in found.columns.items()}
        np.testing.assert_allclose(LAW.loss(own, at), LAW.loss(fit.params, at), rtol=2e-5)


def test_a_threshold_from_the_errors_scales_with_them():
    """With delta in proportion to the noise, estimates deviate in proportion to it."""
    noise = errors(40, sd=1e-4)
    small = simulate(LAW, X, LOG_LOSS, noise, len(N), delta="auto")
    twice = simulate(LAW, X, LOG_LOSS, 2.0 * noise, len(N), delta="auto")
    one, two = (s.columns["alpha"] - TRUTH["alpha"] for s in (small, twice))
    slope = (one @ two) / (one @ one)
    assert slope == pytest.approx(2.0, rel=0.02)


def test_another_law_may_be_fitted_than_is_true():
    truth = {**TRUTH, "alpha": 0.75, "beta": 0.62, "A": 2e4, "B": 9e4, "k": 0.45}
    log_loss = np.log(sc.law("coupled").loss(truth, X))
    found = simulate(LAW, X, log_loss, errors(5, 1e-5), len(N))
    assert found.law.name == "chinchilla"
    fit = sc.fit(pd.DataFrame({**X, "loss": np.exp(log_loss)}), "chinchilla", bootstrap=0)
    np.testing.assert_allclose(found.columns["alpha"], fit.params["alpha"], rtol=0.02)
    assert set(found.columns) == set(LAW.names)


def test_the_factor_is_that_of_a_small_sample():
    found = simulate(LAW, X, LOG_LOSS, errors(2), 9, level=0.9)
    assert found.factor == small_sample_factor(9, 5, 0.9)
    assert found.factor > 1.0


# ------------------------------------------------------------------------------------------ noise


def test_a_study_keeps_its_errors_whatever_the_number_of_studies():
    noise = Noise(np.full(4, 0.1), 0.2, np.array([0, 0, 1, 1]))
    np.testing.assert_array_equal(noise.draw(3, 7), noise.draw(8, 7)[:3])
    assert (noise.draw(3, 7) != noise.draw(3, 8)).all()


def test_runs_of_a_trunk_share_its_noise():
    """Variances and covariances of 20,000 draws: their standard errors are 1 to 1.5%."""
    row = np.array([0.1, 0.2, 0.3, 0.1])
    found = np.cov(Noise(row, 0.2, np.array([0, 0, 1, 1])).draw(20_000, 0).T)
    wanted = np.diag(row**2)
    wanted[:2, :2] += 0.04
    wanted[2:, 2:] += 0.04
    np.testing.assert_allclose(found, wanted, atol=0.06 * 0.05 + 0.0005)
    alone = np.cov(Noise(row, 0.0, np.zeros(4, np.int64)).draw(20_000, 0).T)
    np.testing.assert_allclose(np.diag(alone), row**2, rtol=0.06)
    assert abs(alone[0, 1]) < 0.001
