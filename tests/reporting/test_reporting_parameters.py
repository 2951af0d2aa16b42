"""Correlations of parameters, and the allocation by decade of compute."""

from dataclasses import replace

import numpy as np
import pytest

from scaling.reporting import build, numbers
from scaling.reporting.document import Paragraph, Table
from scaling.reporting.sections.parameters import correlations
from scaling.reporting.sections.predictions import decades, decades_table
from tests.reporting.drawn_figures import context, fitted, runs


@pytest.fixture(scope="module")
def fits():
    return fitted(runs(7), bootstrap=40)


def test_correlations_are_those_of_the_draws(fits):
    (fit,) = fits.fits
    names, spread, matrix = correlations(fit)
    assert names == ["E", "ln A", "ln B", "alpha", "beta"]
    a, b = np.log(fit.draws["A"]), fit.draws["alpha"]
    r = ((a - a.mean()) * (b - b.mean())).mean() / (a.std() * b.std())
    assert matrix[1, 3] == pytest.approx(r)
    assert spread[1] == pytest.approx(a.std(ddof=1))
    (section,) = [s for s in build(fits).sections if s.heading == "Fit"]
    (table,) = [
        b for b in section.blocks
        if isinstance(b, Table) and b.caption == "Correlation of the parameters"
    ]  # fmt: skip
    assert table.long
    assert table.rows[3][3] == f"{r:+.2f}"
    assert table.rows[0][3:] == ("",) * 4
    off = np.abs(np.tril(matrix, -1))
    i, j = np.unravel_index(off.argmax(), off.shape)
    (told,) = [
        b.text for b in section.blocks if isinstance(b, Paragraph) and "replicates" in b.text
    ]
    assert f"{names[j]} and {names[i]} move" in told
    assert f"{off.max():.3f}" in told


def test_no_correlations_without_draws_or_of_what_is_fixed(fits):
    (fit,) = fits.fits
    assert correlations(replace(fit, draws={})) is None
    fixed = {name: np.full(9, 1.0) for name in fit.draws}
    assert correlations(replace(fit, draws=fixed)) is None
    some = {**fixed, "E": np.arange(9.0), "alpha": np.arange(9.0)[::-1]}
    names, _, matrix = correlations(replace(fit, draws=some))
    assert names == ["E", "alpha"]
    assert matrix[0, 1] == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("low", "high", "target", "first", "last"),
    [(2e18, 1e21, None, 18, 23), (1e18, 1e18, None, 18, 20), (2e18, 3e21, 5e25, 18, 26)],
)
def test_decades(low, high, target, first, last):
    assert np.allclose(np.log10(decades(low, high, target)), np.arange(first, last + 1))


def test_far_targets_have_few_rows():
    assert len(decades(1e10, 1e12, 1e60)) <= 14


def test_the_table_says_what_the_law_says(fits):
    (fit,) = fits.fits
    table = decades_table(context(fits), fit)
    assert [row[0] for row in table.rows] == [
        f"1×10{k}" for k in ("¹⁸", "¹⁹", "²⁰", "²¹", "²²", "²³")
    ]
    best = fit.optimal(C=1e21, interval=0.9).iloc[0]
    row = table.rows[3]
    assert row[1] == "1×"
    mantissa = float(row[2].split("×")[0])
    exponent = int(np.floor(np.log10(best["N"])))
    assert mantissa == pytest.approx(best["N"] / 10**exponent, rel=0.05)
    assert float(row[5].split()[0]) == pytest.approx(best["loss"], rel=1e-3)
    assert [row[-1] for row in table.rows][-1] == "no"
    assert "90% intervals in brackets" in table.note


def test_no_table_without_an_optimum(fits):
    curve = fitted(runs(7), laws=["power-C"], bootstrap=0)
    assert decades_table(context(curve), curve.fits[0]) is None
    (fit,) = fits.fits
    assert decades_table(context(fits), replace(fit, status="not-identified")) is None
    bare = fitted(runs(7), bootstrap=0)
    table = decades_table(context(bare), bare.fits[0])
    assert "no intervals" in table.note
    assert not any("(" in cell for row in table.rows for cell in row)


def rows_of(fits):
    (section,) = [s for s in build(fits).sections if s.heading == "Fit"]
    (table,) = [b for b in section.blocks if isinstance(b, Table) and b.caption == "Parameters"]
    return {row[0]: row for row in table.rows}


def test_the_error_of_a_coefficient_is_that_of_its_logarithm(fits):
    (fit,) = fits.fits
    rows = rows_of(fits)
    spread = fit.interval.factor * np.log(fit.draws["A"]).std(ddof=1)
    assert rows["A"][2] == f"ln A ± {numbers.error(float(spread))}"
    assert rows["alpha"][2] == numbers.error(fit.interval.se["alpha"])


def test_what_lies_at_its_bound_is_said_to_and_has_no_interval(fits):
    (fit,) = fits.fits
    held = replace(
        fit,
        params={**fit.params, "E": 0.0},
        draws={**fit.draws, "E": np.zeros(len(fit.draws["E"]))},
        certificate={**fit.certificate, "at_bound": ["E"]},
        interval=replace(
            fit.interval,
            params={**fit.interval.params, "E": (0.0, 0.0)},
            se={**fit.interval.se, "E": 0.0},
        ),
    )
    row = rows_of(replace(fits, fits=(held,)))["E"]
    assert row[1:4] == ("0 (at its bound)", numbers.MISSING, numbers.MISSING)


def test_an_interval_below_one_is_explained(fits):
    (fit,) = fits.fits
    for factor, told in ((0.87, True), (1.2, False)):
        other = replace(fit, interval=replace(fit.interval, factor=factor))
        (method,) = [s for s in build(replace(fits, fits=(other,))).sections if s.key == "method"]
        said = " ".join(b.text for b in method.blocks if isinstance(b, Paragraph))
        assert ("drawn in for the narrow Huber threshold: in all times 0.87" in said) == told
