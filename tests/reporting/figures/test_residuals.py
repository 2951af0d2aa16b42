"""Residuals against every variable and as quantiles, beside the noise of seeds."""

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest

from scaling.reporting import numbers
from scaling.reporting.context import Context
from scaling.reporting.figures.residuals import RESIDUALS, residual_data, worst


@pytest.fixture(scope="module")
def data(quickstart):
    """Return the figure of the quickstart."""
    return residual_data(Context(quickstart), quickstart.fits[0])


def test_residuals_are_logs_of_loss_over_law(data, quickstart):
    (fit,) = quickstart.fits
    p, f = fit.params, fit.fitted
    law = p["E"] + p["A"] * f["N"] ** -p["alpha"] + p["B"] * f["D"] ** -p["beta"]
    assert data.residual == pytest.approx(100 * np.log(f["loss"] / law), abs=1e-9)
    assert list(data.x) == ["N", "D", "C", "D/N"]
    assert data.x["D/N"] == pytest.approx(f["D"] / f["N"])
    assert data.x["C"] == pytest.approx(6 * f["N"] * f["D"])


def test_quantiles_are_normal_ones_in_order(data):
    n = len(data.residual)
    want = [NormalDist().inv_cdf((k + 0.5) / n) for k in range(n)]
    assert data.quantile == pytest.approx(want)
    assert data.standardised == pytest.approx(
        np.sort((data.residual) - data.residual.mean()) / data.spread
    )
    assert data.residual[data.order] == pytest.approx(np.sort(data.residual))


def test_the_noise_is_that_of_pairs_of_seeds(data, quickstart):
    """Of two runs the variance is half the square of their difference."""
    rows = quickstart.fits[0].rows
    pairs = {}
    for n, d, y in zip(rows["N"], rows["D"], rows["loss"], strict=True):
        pairs.setdefault((n, d), []).append(np.log(y))
    squares = [0.5 * (y[0] - y[1]) ** 2 for y in pairs.values() if len(y) == 2]
    assert len(squares) == 6
    assert data.noise == pytest.approx(100 * np.sqrt(np.mean(squares)))
    assert "between seeds, 1.4%" in data.caption


def test_the_farthest_three_are_named(data, drawing):
    order = np.argsort(-np.abs(data.residual))[:3]
    assert [name for name, _ in worst(data)] == [data.names[i] for i in order]
    words = drawing(RESIDUALS, data).words
    for k, i in enumerate(order, start=1):
        assert words.count(str(k)) >= 2  # against C, and among the quantiles
        size = numbers.quantity(float(data.x["N"][i]), 2)
        assert f"{k}, N {size}, D " in data.caption
        assert f"({data.names[i]})" in data.caption
        assert data.names[i] in data.caption


def test_runs_kept_out_are_hollow_and_far_ones_at_the_edge(epoch, drawing):
    (fit,) = epoch.fits
    data = residual_data(Context(epoch), fit)
    assert (data.fitted, len(data.residual)) == (240, 245)
    rows = fit.rows
    out = [i for i, used in enumerate(rows["used"]) if not used]
    assert data.residual[240:] == pytest.approx([100 * rows["residual"][i] for i in out])
    beyond = int((data.residual[240:] > data.reach).sum())
    assert 0 < beyond < 5
    assert f"{beyond} of them beyond the axis" in data.caption
    found = drawing(RESIDUALS, data)
    held = found.markers("held0")
    assert list(held[:, 0]) == list(range(240, 245))
    assert np.isclose(held[:, 2], held[:, 2].min()).sum() == beyond
    assert data.columns()["fitted"].count(False) == 5


def test_without_anything_kept_out_nothing_is_hollow(data, drawing):
    assert "hollow" not in data.caption
    assert "run kept out" not in drawing(RESIDUALS, data).words


def test_a_ladder_of_one_ratio_has_no_panel_of_it(epoch):
    (fit,) = epoch.fits
    rows = dict(fit.rows) | {"D": [20.0 * n for n in fit.rows["N"]]}
    data = residual_data(Context(epoch), replace(fit, rows=rows))
    assert "D/N" not in data.x


def test_without_seeds_there_is_no_noise(quickstart, drawing):
    (fit,) = quickstart.fits
    rows = {name: v for name, v in fit.rows.items() if name != "seed"}
    data = residual_data(Context(quickstart), replace(fit, rows=rows))
    assert data.noise is None
    assert "one SD between seeds" not in drawing(RESIDUALS, data).words


def test_tips_are_at_their_runs(data, drawing):
    found = drawing(RESIDUALS, data)
    for k, x in enumerate(data.x.values()):
        marks = found.markers(f"runs{k}")
        order = marks[:, 0].astype(int)
        assert np.corrcoef(np.log(x)[order], marks[:, 1])[0, 1] > 0.99999
        assert np.corrcoef(data.residual[order], marks[:, 2])[0, 1] < -0.99999
    marks = found.markers("quantiles")
    assert np.corrcoef(data.residual[marks[:, 0].astype(int)], marks[:, 2])[0, 1] < -0.99999
