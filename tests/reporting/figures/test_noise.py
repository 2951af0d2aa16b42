"""How far seeds scatter, against how far the law misses."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2

from scaling.fitting.result import Fits
from scaling.reporting.context import Context
from scaling.reporting.figures.noise import NOISE, noise_data
from scaling.reporting.repeats import repeats_of, residual_sd


def points_of(fit):
    """Return ln loss of the fitted runs by N and D."""
    found = {}
    rows = fit.rows
    for n, d, y, used in zip(rows["N"], rows["D"], rows[fit.response], rows["used"], strict=True):
        if used:
            found.setdefault((n, d), []).append(np.log(y))
    return {key: y for key, y in found.items() if len(y) > 1}


@pytest.mark.parametrize("name", ["quickstart", "recommendation", "fashion-mnist"])
def test_the_scatter_is_that_of_repeated_points(name, stored):
    fits = stored(name)
    fit = fits.fits[0]
    want = points_of(fit)
    found = repeats_of(fit)
    assert len(want) == len(found.sd)
    assert found.sd == pytest.approx([np.std(y, ddof=1) for y in want.values()])
    assert found.mean == pytest.approx([np.exp(np.mean(y)) for y in want.values()])
    pooled = sum(np.var(y, ddof=1) * (len(y) - 1) for y in want.values()) / found.freedom
    assert found.pooled == pytest.approx(np.sqrt(pooled))
    data = noise_data(Context(fits), fit.group)
    assert data.pooled == pytest.approx(100 * found.pooled)
    assert data.x == pytest.approx(found.C)


def test_intervals_are_chi_squared(quickstart):
    data = noise_data(Context(quickstart), quickstart.fits[0].group)
    for sd, low, high, count in zip(data.sd, data.lo, data.hi, data.count, strict=True):
        left = count - 1
        assert chi2.cdf(left * sd**2 / high**2, left) == pytest.approx(0.16)
        assert chi2.cdf(left * sd**2 / low**2, left) == pytest.approx(0.84)
    assert data.pooled_lo < data.pooled < data.pooled_hi


def test_the_residuals_stand_beside_it(quickstart, drawing):
    (fit,) = quickstart.fits
    used = np.array(fit.rows["residual"], dtype=float)
    want = np.sqrt((used**2).sum() / (30 - 5))
    assert residual_sd(fit) == pytest.approx(want)
    data = noise_data(Context(quickstart), fit.group)
    assert data.residual == (("chinchilla", pytest.approx(100 * want)),)
    assert "residuals of chinchilla" in drawing(NOISE, data).words


def test_without_repeats_there_is_no_figure(epoch, stored):
    assert noise_data(Context(epoch), None) is None
    known = stored("known-truth")
    assert noise_data(Context(known), known.fits[0].group) is None


def test_a_repeat_without_a_seed_or_with_the_same_is_none(quickstart):
    (fit,) = quickstart.fits
    for seeds in ([None] * 30, [0.0] * 30):
        assert repeats_of(replace(fit, rows=dict(fit.rows) | {"seed": seeds})) is None


def test_rows_left_out_are_no_repeats(quickstart):
    (fit,) = quickstart.fits
    used = [seed == 0.0 for seed in fit.rows["seed"]]
    assert repeats_of(replace(fit, rows=dict(fit.rows) | {"used": used})) is None


def test_equal_runs_are_told_and_not_drawn(quickstart):
    (fit,) = quickstart.fits
    losses = list(fit.rows["loss"])
    losses[1] = losses[0]
    changed = replace(fit, rows=dict(fit.rows) | {"loss": losses})
    data = noise_data(Context(Fits((changed,), table=quickstart.table)), fit.group)
    assert (data.hidden, len(data.sd)) == (1, 5)
    assert "1 points whose runs are all equal" in data.caption
