"""Legends name what is drawn, all of it and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from scaling.reporting import numbers
from scaling.reporting.context import Context
from scaling.reporting.figures.holdout import HOLDOUT, MOST_NAMED, HoldoutData, Rolling
from scaling.reporting.figures.isoflop import ISOFLOP, isoflop_data


def rolled(count):
    """Return a figure of held-out errors from some cuts, one run each."""
    cut, far = np.geomspace(1e18, 1e20, count), np.geomspace(2.0, 9.0, count)
    error = np.linspace(-2.0, 2.0, count)
    place = np.arange(count, dtype=float)
    rolling = Rolling("chinchilla", "C", cut, far, np.abs(error), error, place, far, error)
    return HoldoutData(rolling, None, None, "loss", "", 0.95)


@pytest.mark.parametrize("count", [2, MOST_NAMED, MOST_NAMED + 3])
def test_all_cuts_are_named_or_none(count, drawing):
    data = rolled(count)
    words = drawing(HOLDOUT, data).words
    named = [f"runs above {numbers.quantity(float(cut), 2)}" in words for cut in data.rolling.cut]
    assert all(named) if count <= MOST_NAMED else not any(named)
    assert ("runs above a cut, one marker a cut" in words) == (count > MOST_NAMED)


def test_refused_minima_are_in_the_legend_where_there_are_some(quickstart, drawing):
    fits = quickstart
    data = isoflop_data(Context(fits), fits.fits[0].group)
    first = data.budgets[0]
    for bracketed in (True, False):
        minimum = replace(first.minimum, bracketed=bracketed)
        every = tuple(
            replace(b, minimum=replace(b.minimum, bracketed=True)) for b in data.budgets[1:]
        )
        shown = replace(data, budgets=(replace(first, minimum=minimum), *every))
        words = drawing(ISOFLOP, shown).words
        assert "minimum" in words
        assert ("minimum refused" in words) is not bracketed
