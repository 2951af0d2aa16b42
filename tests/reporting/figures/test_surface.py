"""Contours of the law over N and D, the hull of the runs, and the optimum at the target."""

from dataclasses import replace

import numpy as np
import pytest

from scaling.fitting.prediction import inside_hull
from scaling.reporting.context import Context
from scaling.reporting.figures.surface import SURFACE, _contour, surface_data


@pytest.fixture(scope="module")
def data(epoch):
    """Return the figure of Epoch's points with a target a hundred times beyond."""
    return surface_data(Context(epoch, 1e24), epoch.fits[0])


def test_contours_have_the_loss_that_they_say(data, epoch):
    p = epoch.fits[0].params
    for level in data.levels:
        for line in _contour(data, level):
            n, d = line.T
            loss = p["E"] + p["A"] * n ** -p["alpha"] + p["B"] * d ** -p["beta"]
            assert loss == pytest.approx(np.full(len(n), level), rel=0.01)


def test_the_hull_holds_every_run_and_its_corners_are_runs(data):
    cloud = np.log(np.column_stack([data.N, data.D]))
    for corner in data.hull:
        assert np.abs(cloud - corner).sum(axis=1).min() < 1e-12
    middle = data.hull.mean(axis=0)
    grown = middle + 1.0001 * (data.hull - middle)
    assert inside_hull(grown, *cloud.T).all()


def test_diagonals_cost_what_they_say(data):
    assert len(data.diagonals) > 2
    for compute, n, d in data.diagonals:
        assert 6 * n * d == pytest.approx(np.full(len(n), compute), rel=1e-9)


def test_the_path_and_the_star_are_optimal(data, epoch):
    p = epoch.fits[0].params

    def loss(n, d):
        return p["E"] + p["A"] * n ** -p["alpha"] + p["B"] * d ** -p["beta"]

    for n, d in [*zip(data.path_N[::5], data.path_D[::5], strict=True), data.best]:
        for off in (0.9, 1.1):
            assert loss(n * off, d / off) > loss(n, d)
    assert 6 * data.best[0] * data.best[1] == pytest.approx(1e24)
    want = epoch.fits[0].optimal(C=1e24)
    assert data.bar_N[[0, -1]] == pytest.approx([want["N_lo"][0], want["N_hi"][0]])
    assert 6 * data.bar_N * data.bar_D == pytest.approx(np.full(len(data.bar_N), 1e24))


def test_the_axes_hold_runs_and_target(data):
    for grid, runs, star in ((data.grid_N, data.N, 0), (data.grid_D, data.D, 1)):
        assert grid[0] < runs.min()
        assert grid[-1] > max(runs.max(), data.best[star])


def test_tips_are_at_their_runs(data, drawing):
    found = drawing(SURFACE, data).markers("runs")
    order = found[:, 0].astype(int)
    assert len(order) == len(data.N)
    assert np.corrcoef(np.log(data.N)[order], found[:, 1])[0, 1] > 0.99999
    assert np.corrcoef(np.log(data.D)[order], found[:, 2])[0, 1] < -0.99999


def test_contours_name_their_loss(data, drawing):
    words = drawing(SURFACE, data).words
    assert sum(f"{level:g}" in words for level in data.levels) >= len(data.levels) - 2


def test_runs_on_a_line_have_no_hull(epoch, drawing):
    (fit,) = epoch.fits
    rows = dict(fit.rows) | {"D": [20 * n for n in fit.rows["N"]]}
    data = surface_data(Context(epoch), replace(fit, rows=rows))
    assert len(data.hull) == 0
    assert "hull" not in data.caption
    assert drawing(SURFACE, data).numbered == set(range(240))


def test_without_draws_or_target_there_is_no_bar(epoch):
    bare = replace(epoch.fits[0], draws={}, interval=None)
    data = surface_data(Context(epoch, 1e24), bare)
    assert data.best is not None
    assert len(data.bar_N) == 0
    assert surface_data(Context(epoch), bare).best is None


def test_a_law_of_data_alone_has_no_surface(stored):
    fits = stored("fashion-mnist")
    assert surface_data(Context(fits), fits.fits[0]) is None
