"""The corner of bootstrap replicates."""

from dataclasses import replace

import numpy as np
import pytest

from scaling.reporting.context import Context
from scaling.reporting.figures.bootstrap import BOOTSTRAP, bootstrap_data


@pytest.fixture(scope="module")
def data(quickstart):
    """Return the figure of the quickstart."""
    return bootstrap_data(Context(quickstart), quickstart.fits[0])


def test_scales_are_in_logs_and_a_is_derived(data, quickstart):
    (fit,) = quickstart.fits
    assert data.names == ("E", "ln A", "ln B", "α", "β", "a")
    raw = fit.draws
    factor = fit.interval.factor
    for k, name in ((1, "A"), (2, "B")):
        want = np.log(fit.params[name]) + factor * np.log(raw[name] / fit.params[name])
        assert data.draws[:, k] == pytest.approx(want)
    a = raw["beta"] / (raw["alpha"] + raw["beta"])
    assert data.draws[:, 5] == pytest.approx(fit.params["a"] + factor * (a - fit.params["a"]))


def test_percentiles_are_those_of_the_quoted_intervals(data, quickstart):
    (fit,) = quickstart.fits
    ends = np.percentile(data.draws, [2.5, 97.5], axis=0)
    for k, name in ((1, "A"), (3, "alpha"), (5, "a")):
        shown = np.exp(ends[:, k]) if name == "A" else ends[:, k]
        assert shown == pytest.approx(fit.intervals[name], rel=1e-4)


def test_correlations_are_of_the_shown_parameters(data, quickstart, drawing):
    draws = quickstart.fits[0].draws
    want = np.corrcoef(np.log(draws["A"]), draws["alpha"])[0, 1]
    assert data.correlation[1, 3] == pytest.approx(want)
    assert f"ln A and α correlate +{want:.2f}" in data.caption
    words = drawing(BOOTSTRAP, data).words
    for i in range(6):
        for j in range(i):
            assert f"{data.correlation[i, j]:+.2f}".replace("-", "−") in words
    columns = data.columns()
    rows = {(y, x): k for k, (y, x) in enumerate(zip(columns["y"], columns["x"], strict=True))}
    assert len(rows) == 21
    assert columns["correlation"][rows["α", "ln A"]] == pytest.approx(want, rel=1e-5)
    assert columns["median"][rows["E", "E"]] == pytest.approx(np.median(data.draws[:, 0]))


def test_failed_replicates_are_told(data):
    assert "999 replicates" in data.caption
    assert "1 failed" in data.caption


def test_dots_are_evenly_thinned(data, drawing):
    steps = np.diff(data.thinned)
    assert len(data.thinned) == 80
    assert (data.thinned[0], data.thinned[-1]) == (0, 998)
    assert steps.max() - steps.min() <= 1
    svg = drawing(BOOTSTRAP, data).svg
    assert 0.9 * 15 * 80 <= svg.count("h0") <= 15 * 80


def test_a_law_of_data_has_a_corner_of_three(stored):
    fits = stored("fashion-mnist")
    data = bootstrap_data(Context(fits), fits.fits[0])
    assert data.names == ("E", "ln B", "β")
    assert len(data.thinned) == 400


def test_a_parameter_that_is_held_is_told(quickstart, drawing):
    (fit,) = quickstart.fits
    draws = dict(fit.draws) | {"alpha": np.full(999, fit.params["alpha"])}
    data = bootstrap_data(Context(quickstart), replace(fit, draws=draws))
    assert "α" not in data.names
    assert "α does not vary" in data.caption
    assert drawing(BOOTSTRAP, data).words


def test_replicates_that_are_not_finite_are_left_out(quickstart):
    (fit,) = quickstart.fits
    draws = {name: values.copy() for name, values in fit.draws.items()}
    draws["beta"][7] = np.nan
    data = bootstrap_data(Context(quickstart), replace(fit, draws=draws))
    assert len(data.draws) == 998
    assert np.isfinite(data.correlation).all()


def test_without_replicates_there_is_no_figure(quickstart):
    (fit,) = quickstart.fits
    assert bootstrap_data(Context(quickstart), replace(fit, draws={})) is None
    few = {name: values[:5] for name, values in fit.draws.items()}
    assert bootstrap_data(Context(quickstart), replace(fit, draws=few)) is None
