"""Learning curves: what is drawn of them, joins, diverged runs, and how many are shown."""

from dataclasses import replace

import numpy as np
import pytest

from scaling.reporting.figures.curves import (
    CURVES,
    MOST_CURVES,
    MOST_DIVERGED,
    MOST_POINTS,
    curves_data,
)
from tests.reporting.drawn_figures import LAW, TRUTH, along, checked, context, fitted, places, runs

COLUMNS = ("run", "N", "D", "C", "loss", "what", "status", "trunk")


@pytest.fixture(scope="module")
def fits():
    return fitted(runs(5), bootstrap=0)


def curve(run, n, data, *, what="training", status="done", trunk=None, shift=0.0):
    """Return rows of one curve, as `Fits.curves` keeps them."""
    loss = LAW.loss(TRUTH, {"N": np.full(len(data), float(n)), "D": np.asarray(data)}) + shift
    return [
        (run, n, float(d), 6 * n * float(d), float(y), what, status, trunk)
        for d, y in zip(data, loss, strict=True)
    ]


def columns(*parts):
    rows = [row for part in parts for row in part]
    return {name: [row[k] for row in rows] for k, name in enumerate(COLUMNS)}


def known(fits, **more):
    """Return a curve of every run that was fitted, ending where the run does."""
    rows = fits.fits[0].rows
    ends = zip(rows["run"], rows["N"], rows["D"], strict=True)
    return [curve(run, n, np.geomspace(d / 100, d, 30), **more) for run, n, d in ends]


def test_every_run_with_its_final_point(fits):
    rows = fits.fits[0].rows
    found = replace(fits, curves=columns(*known(fits)))
    data = curves_data(context(found), None)
    assert [c.run for c in data.curves] == rows["run"]
    assert (data.runs, data.shown) == (20, 20)
    assert np.allclose(data.final_N, rows["N"])
    assert np.allclose(data.final_D, rows["D"])
    assert np.allclose(data.final_loss, rows["loss"])  # of the table, not of the curve
    for c, d in zip(data.curves, rows["D"], strict=True):
        assert c.D[-1] == pytest.approx(d)
        assert np.allclose(c.loss, LAW.loss(TRUTH, {"N": c.N, "D": c.D}))
        assert not any((c.validation, c.diverged, c.joined))
    assert data.caption.startswith("Training loss along training")
    svg = checked(CURVES, data)
    shown = places(svg, "final")
    assert along(np.log(data.final_D)[[i for i, _, _ in shown]], [x for _, x, _ in shown]) > 0.99999
    logs = np.log(data.final_loss)
    assert along(logs[[i for i, _, _ in shown]], [y for _, _, y in shown]) > 0.99999
    assert all(t.anchor for t in data.tips)
    assert [t.text.split("\n")[0] for t in data.tips] == rows["run"]


def test_validation_and_training_are_told_apart(fits):
    found = columns(*known(fits), *known(fits, what="validation", shift=0.02))
    data = curves_data(context(replace(fits, curves=found)), None)
    assert sum(c.validation for c in data.curves) == 20
    assert "Validation (thick) and training loss (thin)" in data.caption
    assert len(data.tips) == 20
    assert set(data.columns()["what"]) == {"training", "validation", "final"}
    checked(CURVES, data)
    one = columns(*known(fits, what="validation"))
    assert curves_data(context(replace(fits, curves=one)), None).caption.startswith("Validation")


def test_branches_start_on_their_trunk(fits):
    data = np.geomspace(1e8, 1e10, 41)
    stem = curve("r0", 1e8, data, trunk="t")
    branch = curve("r1", 1e8, np.geomspace(3e9, 4e9, 5), trunk="t", shift=-0.05)
    other = curve("r2", 1e8, np.geomspace(3e9, 4e9, 5), trunk="u")
    late = curve("r3", 1e8, np.geomspace(9.5e9, 9.9e9, 5), trunk="t")
    found = curves_data(context(replace(fits, curves=columns(stem, branch, other, late))), None)
    by = {c.run: c for c in found.curves}
    assert [run for run, c in by.items() if c.joined] == ["r1"]
    before = data[data <= 3e9].max()
    assert by["r1"].D[0] == pytest.approx(before)
    assert by["r1"].loss[0] == pytest.approx(float(LAW.loss(TRUTH, {"N": 1e8, "D": before})))
    assert len(by["r1"].D) == 6
    assert "branches start on the trunk" in found.caption
    checked(CURVES, found)


def test_diverged_runs_are_red_and_have_no_final_point(fits):
    good, bad = known(fits)[:2]
    lost = [(*row[:4], row[4] * (1 + k), *row[5:6], "diverged", None) for k, row in enumerate(bad)]
    data = curves_data(context(replace(fits, curves=columns(good, lost))), None)
    assert [c.diverged for c in data.curves] == [False, True]
    assert len(data.tips) == 1
    assert "red with a cross: diverged" in data.caption
    assert "1 diverged" in data.alt
    assert "#b2182b" in checked(CURVES, data)
    only = curves_data(context(replace(fits, curves=columns(lost))), None)
    assert only.tips == ()
    checked(CURVES, only)


def test_many_runs_are_thinned_evenly_and_it_is_said(fits):
    sizes = np.geomspace(1e6, 1e9, 200)
    parts = [curve(f"q{k}", n, np.geomspace(1e7, 1e9, 300)) for k, n in enumerate(sizes)]
    bad = [curve(f"b{k}", 1e7, np.geomspace(1e7, 1e8, 9), status="diverged") for k in range(30)]
    data = curves_data(context(replace(fits, curves=columns(*parts, *bad))), None)
    shown = [c for c in data.curves if not c.diverged]
    assert len(data.curves) <= MOST_CURVES
    assert sum(c.diverged for c in data.curves) == MOST_DIVERGED
    assert sum(len(c.D) for c in data.curves) <= MOST_POINTS + 2 * len(data.curves)
    drawn = np.log(sorted(c.N for c in shown))
    assert drawn[0] == pytest.approx(np.log(1e6))
    assert drawn[-1] == pytest.approx(np.log(1e9))
    assert np.diff(drawn).max() < 2 * np.diff(drawn).mean()
    assert f"{data.shown} of 230 runs are shown" in data.caption
    for c in shown:  # the first and the last point stay
        assert (c.D[0], c.D[-1]) == (pytest.approx(1e7), pytest.approx(1e9))
    checked(CURVES, data)


@pytest.mark.parametrize("gap", ["N", "trunk", "status", "what"])
def test_columns_that_say_nothing(fits, gap):
    found = columns(*known(fits)[:3])
    blank = {**found, gap: [None] * len(found["run"])}
    missing = {name: values for name, values in found.items() if name != gap}
    for columns_left in (blank, missing):
        data = curves_data(context(replace(fits, curves=columns_left)), None)
        assert len(data.curves) == 3
    checked(CURVES, data)


@pytest.mark.parametrize("gap", ["run", "D", "loss"])
def test_columns_that_nothing_can_do_without(fits, gap):
    found = columns(*known(fits)[:3])
    del found[gap]
    assert curves_data(context(replace(fits, curves=found)), None) is None


def test_branches_leave_where_the_rate_of_the_trunk_has_not_begun_to_fall(fits):
    stem = curve("r0", 1e8, np.geomspace(1e8, 1e10, 41), trunk="t")
    branch = curve("r1", 1e8, np.geomspace(3e9, 4e9, 5), trunk="t")
    for fall, joined in ((2e9, False), (5e9, True)):
        found = columns(stem, branch)
        found["branch"] = [fall if run == "r0" else None for run in found["run"]]
        data = curves_data(context(replace(fits, curves=found)), None)
        assert [c.joined for c in data.curves] == [False, joined]


def test_nothing_to_draw(fits):
    assert curves_data(context(fits), None) is None
    lone = columns(curve("r0", 1e8, [1e9]))
    assert curves_data(context(replace(fits, curves=lone)), None) is None
    blank = columns(curve("r0", 1e8, [1e8, 1e9]))
    blank["loss"] = [None, float("nan")]
    assert curves_data(context(replace(fits, curves=blank)), None) is None


def test_a_run_that_no_fit_knows_ends_where_its_curve_does(fits):
    found = columns(curve("elsewhere", 1e8, np.geomspace(1e8, 1e9, 5)))
    data = curves_data(context(replace(fits, curves=found)), None)
    assert data.final_D[0] == pytest.approx(1e9)
    assert data.tips[0].anchor == ""
    checked(CURVES, data)


def test_groups_have_their_own_curves():
    fits = fitted(runs(5, groups=("x", "y")), bootstrap=0)
    every = {fit.group: fit.rows["run"] for fit in fits.fits}
    parts = [curve(r, 1e8, [1e8, 1e9]) for names in every.values() for r in names]
    fits = replace(fits, curves=columns(*parts))
    for group, names in every.items():
        assert [c.run for c in curves_data(context(fits), group).curves] == names
    named = columns(*parts)
    named["group"] = ["x"] * len(named["run"])
    assert len(curves_data(context(replace(fits, curves=named)), "x").curves) == 40
    assert curves_data(context(replace(fits, curves=named)), "y") is None
