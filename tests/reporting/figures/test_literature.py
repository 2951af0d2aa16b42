"""Published exponents: what is set beside what, what is hollow, and that E never is."""

from dataclasses import replace

import numpy as np
import pytest

from scaling.laws import get
from scaling.laws.literature import LITERATURE as PRINTED
from scaling.reporting import build
from scaling.reporting.document import Figure, Table
from scaling.reporting.figures.literature import (
    LITERATURE,
    MOST_OWN,
    literature_data,
    own_entries,
    printed_entries,
)
from tests.reporting.drawn_figures import checked, context, fitted, runs


@pytest.fixture(scope="module")
def fits():
    return fitted(runs(7), approaches=("surface", "isoflop"))


def stated(fits, convention):
    return replace(fits, table={**fits.table, "convention": convention})


def test_every_printed_exponent_is_there_and_E_is_not(fits):
    data = literature_data(context(fits), None)
    assert data.quantities == ("a", "b", "alpha", "beta")
    shown = {e.source: e for e in data.entries if not e.own}
    for item in PRINTED:
        for name in data.quantities:
            assert shown[item.source].values.get(name) == item.values.get(name)
            assert shown[item.source].intervals.get(name) == item.intervals.get(name)
        assert shown[item.source].kind == item.kind
    assert len(shown) == len(PRINTED)  # what the law itself carries is the same two papers
    assert "E" not in data.columns()["quantity"]
    checked(LITERATURE, data)


def test_this_study_by_approach_with_its_intervals(fits):
    (fit,) = fits.fits
    (isoflop,) = [a for a in fits.allocations if a.approach == "isoflop"]
    surface, minima = own_entries(context(fits))
    for name in ("a", "b", "alpha", "beta"):
        assert surface.values[name] == fit.params[name]
        assert surface.intervals[name] == fit.intervals[name]
    assert minima.values == {"a": isoflop.a, "b": isoflop.b}
    assert minima.intervals["a"] == tuple(isoflop.interval["a"])
    assert surface.kind.startswith("90% ")
    assert (surface.approach, minima.approach) == ("surface", "isoflop")


@pytest.mark.parametrize(
    ("convention", "same"),
    [
        ("N = body + head; C = 3 x forward matrix products", {"Porian"}),
        ("N total parameters, embeddings included", {"Hoffmann", "Besiroglu"}),
        ("non-embedding parameters", {"Porian"}),
        ("whatever", set()),
    ],
)
def test_other_conventions_are_hollow_and_it_is_said(fits, convention, same):
    data = literature_data(context(stated(fits, convention)), None)
    filled = {e.source.split()[0] for e in data.entries if not e.own and data.same(e)}
    assert filled == same
    assert all(data.same(e) for e in data.entries[:1])
    assert "Hollow: does not count as the first" in data.caption
    svg = checked(LITERATURE, data)
    assert "N without embeddings; no interval" in svg
    assert "N total; 10th to 90th" in svg


def test_exponents_of_another_law_are_not_compared():
    fits = fitted(runs(7), laws=["over-training"], bootstrap=0)
    data = literature_data(context(fits), None)
    assert data.quantities == ("a", "b")
    checked(LITERATURE, data)


def test_a_law_brings_what_was_printed_for_it():
    law = get("kaplan")
    (entry,) = [e for e in printed_entries([law]) if "law kaplan" in e.source]
    p = law.published[0].params
    # N* of Kaplan's joint law: (alpha_D + ...) by hand from the inner sum
    alpha = p["alpha_N"] / p["alpha_D"]
    assert entry.values["a"] == pytest.approx(1 / (1 + alpha))
    assert entry.values["b"] == pytest.approx(alpha / (1 + alpha))


def test_many_groups():
    fits = fitted(runs(5, groups=("x", "y")), bootstrap=0)
    data = literature_data(context(fits), None)
    assert [e.source for e in data.entries[:2]] == [
        "this study: surface, group x",
        "this study: surface, group y",
    ]
    checked(LITERATURE, data)
    (fit, _) = fits.fits
    crowd = tuple(replace(fit, group=f"g{k}") for k in range(12))
    data = literature_data(context(replace(fits, fits=crowd, allocations=())), None)
    assert sum(e.own for e in data.entries) == MOST_OWN
    assert f"{12 - MOST_OWN} more fits" in data.caption
    checked(LITERATURE, data)


def test_nothing_to_set_beside(fits):
    curve = fitted(runs(7), laws=["power-C"], bootstrap=0)
    assert literature_data(context(curve), None) is None
    (fit,) = fits.fits
    lost = replace(fits, fits=(replace(fit, status="not-identified"),), allocations=())
    assert literature_data(context(lost), None) is None
    assert literature_data(context(replace(fits, fits=(), allocations=())), None) is None


def test_the_section_has_one_figure_and_one_table(fits):
    sections = build(fits).sections
    (section,) = [s for s in sections if s.heading == "Beside published values"]
    figure, table = section.blocks
    assert isinstance(figure, Figure)
    assert isinstance(table, Table)
    count = sum(name in item.values for item in PRINTED for name in ("a", "b", "alpha", "beta"))
    assert len(table.rows) == count
    (hoffmann,) = [r for r in table.rows if r[0] == "a" and r[2].endswith("approach 2")]
    assert hoffmann[3:5] == ("0.49", "0.462–0.534")
    assert "10th to 90th" in hoffmann[5]
    isoflop = own_entries(context(fits))[1]
    (lone,) = [r for r in table.rows if r[0] == "a" and r[2].startswith("Kaplan")]
    assert hoffmann[1] != lone[1]  # like with like: its own minima, not its surface
    assert float(hoffmann[1].split()[0]) == pytest.approx(isoflop.values["a"], abs=5e-3)
    assert "E is not compared" in table.note
    assert not any(r[0] == "E" for r in table.rows)


def test_values_are_finite(fits):
    data = literature_data(context(fits), None)
    assert all(np.isfinite(v) for v in data.columns()["value"])
