"""Loss above E on log axes, at the estimate and at the ends of E's interval."""

from dataclasses import replace

import numpy as np
import pytest

from scaling.reporting.context import Context
from scaling.reporting.figures.excess import EXCESS, excess_data


@pytest.fixture(scope="module")
def data(quickstart):
    """Return the figure of the quickstart."""
    return excess_data(Context(quickstart), quickstart.fits[0])


def test_the_runs_are_loss_less_the_offset(data, quickstart):
    (fit,) = quickstart.fits
    assert data.excess == pytest.approx(fit.fitted["loss"] - fit.params["E"])
    assert data.below == 0
    assert [panel.name for panel in data.panels] == ["C", "N", "D"]
    assert data.interval == fit.intervals["E"]


def test_the_lines_are_the_terms_of_the_law(data, quickstart):
    p = quickstart.fits[0].params
    c, n, d = data.panels
    assert n.loss - p["E"] == pytest.approx(p["A"] * n.line_x ** -p["alpha"], rel=1e-9)
    assert d.loss - p["E"] == pytest.approx(p["B"] * d.line_x ** -p["beta"], rel=1e-9)
    slopes = np.diff(np.log(c.loss - p["E"])) / np.diff(np.log(c.line_x))
    gamma = p["alpha"] * p["beta"] / (p["alpha"] + p["beta"])
    assert slopes == pytest.approx(np.full(len(slopes), -gamma), rel=1e-6)


def test_other_offsets_bend_the_line(data, quickstart):
    low, high = quickstart.fits[0].intervals["E"]
    columns = data.columns()
    runs = [k for k, what in enumerate(columns["what"]) if what == "run"]
    assert len(runs) == 30
    loss = quickstart.fits[0].fitted["loss"]
    assert [columns["at_E_low"][k] for k in runs] == pytest.approx(loss - low, rel=1e-5)
    assert [columns["at_E_high"][k] for k in runs] == pytest.approx(loss - high, rel=1e-5)
    line = data.panels[0]
    for end, sign in ((low, 1), (high, -1)):
        bent = np.diff(np.diff(np.log(line.loss - end)[line.loss > end]))
        assert (sign * bent > 0).all()


def test_runs_below_the_offset_are_counted(quickstart):
    (fit,) = quickstart.fits
    losses = sorted(fit.fitted["loss"])
    params = dict(fit.params) | {"E": 0.5 * (losses[3] + losses[4])}
    data = excess_data(Context(quickstart), replace(fit, params=params))
    assert data.below == 4
    assert len(data.tips) == len(data.loss) == 26
    assert "Not shown: 4 runs at or below E." in data.caption


def test_a_law_of_data_is_set_against_data(stored, drawing):
    fits = stored("fashion-mnist")
    data = excess_data(Context(fits), fits.fits[0])
    (panel,) = data.panels
    p = fits.fits[0].params
    assert panel.loss - p["E"] == pytest.approx(p["B"] * panel.line_x ** -p["beta"])
    assert "error − E" in drawing(EXCESS, data).words


def test_without_an_interval_there_is_one_line(quickstart, stored):
    bare = replace(quickstart.fits[0], draws={}, interval=None)
    data = excess_data(Context(quickstart), bare)
    assert data.interval is None
    assert "interval" not in data.caption
    masked = stored("masked-lm")
    assert excess_data(Context(masked), masked.fits[0]) is None  # Kaplan's law has no E


def test_tips_are_at_their_runs(data, epoch, drawing):
    found = drawing(EXCESS, data)
    for k, panel in enumerate(data.panels):
        marks = found.markers(f"runs{k}")
        order = marks[:, 0].astype(int)
        assert np.corrcoef(np.log(panel.x)[order], marks[:, 1])[0, 1] > 0.99999
        assert np.corrcoef(np.log(data.excess)[order], marks[:, 2])[0, 1] < -0.99999
    many = drawing(EXCESS, excess_data(Context(epoch), epoch.fits[0]))
    assert many.svg.count("data-i=") == 240  # in the first panel; the others are one path each
    assert many.svg.count("h0") == 2 * 240
