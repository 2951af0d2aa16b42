"""Choices of method beside the interval: dots, ranges, and panels that are not there."""

from dataclasses import replace

import numpy as np
import pytest

from scaling.reporting import build
from scaling.reporting.document import Figure
from scaling.reporting.figures.sensitivity import SENSITIVITY, sensitivity_data
from tests.reporting.drawn_figures import along, checked, context, fitted, places, runs


@pytest.fixture(scope="module")
def fits():
    return fitted(runs(6), sensitivity=True, approaches=("surface", "isoflop"))


def test_dots_are_the_variants_of_the_panel(fits):
    (fit,) = fits.fits
    s = fit.sensitivity
    data = sensitivity_data(context(fits), fit)
    a, n = data.quantities
    assert data.kinds == tuple(s["kind"])
    assert np.allclose(a.values, np.array(s["a"], dtype=float), equal_nan=True)
    assert np.allclose(n.values, np.array(s["N"], dtype=float), equal_nan=True)
    assert (a.fit, a.lo, a.hi) == (fit.params["a"], *fit.intervals["a"])
    best = fit.optimal(C=s["C"][0]).iloc[0]
    assert (n.fit, n.lo, n.hi) == (
        pytest.approx(best["N"]),
        pytest.approx(best["N_lo"]),
        pytest.approx(best["N_hi"]),
    )
    assert len(data.tips) == np.isfinite(a.values).sum()
    svg = checked(SENSITIVITY, data)
    for line, kind in enumerate(data.order):
        for group, q, scale in (("a", a, np.asarray), ("n", n, np.log)):
            found = places(svg, f"{group}{line}")
            own = [int(data.shown[i]) for i, _, _ in found]
            assert {data.kinds[i] for i in own} == {kind}
            if len(own) > 1 and np.ptp(q.values[own]) > 1e-3 * q.fit:
                assert along(scale(q.values[own]), [x for _, x, _ in found]) > 0.9999
    for i, tip in zip(data.shown, data.tips, strict=True):
        assert tip.text.startswith(f"{s['change'][i]}\na ")


def test_ranges_are_said(fits):
    (fit,) = fits.fits
    data = sensitivity_data(context(fits), fit)
    own = [a for a, k in zip(fit.sensitivity["a"], fit.sensitivity["kind"], strict=True)
           if k == "objective" and a is not None]  # fmt: skip
    from scaling.reporting import numbers

    assert f"objective {numbers.span(own)}" in data.alt
    assert "its 90% interval" in data.caption


def test_variants_that_fail_are_counted_and_not_drawn(fits):
    (fit,) = fits.fits
    panel = {k: list(v) for k, v in fit.sensitivity.items()}
    lost = [i for i, kind in enumerate(panel["kind"]) if kind == "objective"]
    for i in lost:
        for name in ("a", "N", "b", "D", "loss"):
            panel[name][i] = None
    data = sensitivity_data(context(fits), replace(fit, sensitivity=panel))
    svg = checked(SENSITIVITY, data)
    assert f"0 of {len(lost)}" in svg
    assert "objective" not in data.alt


def test_without_intervals(fits):
    (fit,) = fits.fits
    bare = replace(fit, interval=None, draws={})
    data = sensitivity_data(context(replace(fits, fits=(bare,))), bare)
    assert np.isnan(data.quantities[0].lo)
    assert "interval" not in data.caption
    checked(SENSITIVITY, data)


def test_no_panel_no_figure(fits):
    (fit,) = fits.fits
    assert sensitivity_data(context(fits), replace(fit, sensitivity={})) is None
    assert sensitivity_data(context(fits), replace(fit, status="not-identified")) is None
    one = {k: v[:1] for k, v in fit.sensitivity.items()}
    assert sensitivity_data(context(fits), replace(fit, sensitivity=one)) is None


def test_it_stands_above_its_tables(fits):
    sections = build(fits).sections
    (section,) = [s for s in sections if s.heading.startswith("Sensitivity")]
    assert [type(b).__name__ for b in section.blocks] == ["Figure", "Table", "Table"]
    others = [b for s in sections if s is not section for b in s.blocks if isinstance(b, Figure)]
    assert not any(b.key.startswith("sensitivity") for b in others)
