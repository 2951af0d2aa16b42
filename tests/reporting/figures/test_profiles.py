"""Deviance along traced parameters, with both intervals."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t

from scaling.reporting.context import Context
from scaling.reporting.figures.profiles import PROFILES, profile_data


@pytest.fixture(scope="module")
def data(epoch):
    """Return the figure of Epoch's points, of which two parameters were traced."""
    return profile_data(Context(epoch), epoch.fits[0])


def test_the_points_are_the_traced_ones(data, epoch):
    (fit,) = epoch.fits
    assert [p.name for p in data.profiles] == ["alpha", "B"]
    for p, traced in zip(data.profiles, fit.profiles, strict=True):
        assert p.values == pytest.approx(sorted(traced["values"]))
        assert p.interval == tuple(traced["interval"])
        assert p.bootstrap == fit.intervals[p.name]
        assert p.values[np.argmin(p.deviance)] == pytest.approx(fit.params[p.name])


def test_the_limit_is_where_the_intervals_end(data):
    assert data.limit == pytest.approx(t.ppf(0.975, 240 - 5) ** 2)
    for p in data.profiles:
        for end in p.interval:
            root = np.interp(end, p.values, np.sqrt(p.deviance))
            assert root == pytest.approx(np.sqrt(data.limit), rel=0.02)


def test_both_intervals_are_said(data, drawing):
    assert data.alt.count("bootstrap") == data.alt.count("profile") == 2
    words = drawing(PROFILES, data).words
    assert {"alpha", "B", "deviance", "limit", "bootstrap interval"} <= set(words)
    what = data.columns()["what"]
    assert what.count("end of the profile's interval") == 4
    assert what.count("end of the bootstrap's interval") == 4


def test_an_open_side_is_said(epoch, drawing):
    (fit,) = epoch.fits
    open_ended = dict(fit.profiles[0]) | {"interval": [None, fit.profiles[0]["interval"][1]]}
    data = profile_data(Context(epoch), replace(fit, profiles=(open_ended,)))
    assert "profile no end to" in data.alt
    assert drawing(PROFILES, data).words


def test_without_a_bootstrap_there_is_no_bar(epoch, drawing):
    data = profile_data(Context(epoch), replace(epoch.fits[0], draws={}, interval=None))
    assert "bootstrap" not in data.caption + data.alt
    assert "bootstrap interval" not in drawing(PROFILES, data).words


def test_without_a_traced_parameter_there_is_no_figure(epoch, quickstart):
    assert profile_data(Context(quickstart), quickstart.fits[0]) is None
    lost = dict(epoch.fits[0].profiles[0]) | {"values": [None], "deviance": [None]}
    assert profile_data(Context(epoch), replace(epoch.fits[0], profiles=(lost,))) is None
