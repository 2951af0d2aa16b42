"""Laws side by side: the figure, the table, and what is said where one law was fitted."""

from dataclasses import replace

import numpy as np
import pytest

from scaling.fitting.backtest import compare_laws
from scaling.reporting import build
from scaling.reporting.document import Figure, Listing, Note, Paragraph, Table
from scaling.reporting.figures.laws import LAWS, above_lowest, error_text, laws_data
from tests.reporting.drawn_figures import checked, context, fitted, runs


def compared(frame, laws, **options):
    fits = fitted(frame, laws=laws, bootstrap=0, **options)
    rows = []
    for group in dict.fromkeys(f.group for f in fits.fits):
        rows += compare_laws([f for f in fits.fits if f.group == group])[0]
    return replace(fits, laws=tuple(rows))


@pytest.fixture(scope="module")
def three():
    return compared(runs(5), ["chinchilla", "over-training", "power-C"], objective="log-mse")


@pytest.fixture(scope="module")
def huber():
    return compared(runs(5), ["over-training", "power-C"])


def test_errors_and_criteria_are_those_of_the_comparison(three):
    data = laws_data(context(three), None)
    rows = sorted(three.laws, key=lambda r: r["backtest"]["rank"])
    assert data.names == tuple(r["law"] for r in rows)
    assert data.k == tuple(r["k"] for r in rows)
    error = np.array([100 * r["backtest"]["rmse_log"] for r in rows])
    assert np.allclose(data.error, error)
    assert np.allclose(data.above, error - error.min())
    assert data.above[0] == 0
    for name in ("aicc", "bic"):
        values = np.array([r[name] for r in rows])
        assert np.allclose(getattr(data, name), values - values.min())
    for own, row in zip(data.origins, rows, strict=True):
        assert np.allclose(own, [100 * o["rmse_log"] for o in row["backtest"]["origins"]])
    assert data.criteria
    assert LAWS.shape(data) == (1, 2)
    svg = checked(LAWS, data)
    assert f"k {data.k[0]}, n {data.n[0]} (best)" in svg


def test_no_criteria_without_a_likelihood(huber):
    data = laws_data(context(huber), None)
    assert not data.criteria
    assert LAWS.shape(data) == (1, 1)
    assert "AICc" not in data.caption
    checked(LAWS, data)


def test_laws_that_were_not_scored_stand_last(three):
    first, *others = three.laws
    blank = {**first["backtest"], "rmse_log": None, "bias_log": None, "rank": None}
    fits = replace(three, laws=({**first, "backtest": blank}, *others))
    data = laws_data(context(fits), None)
    assert data.names[-1] == first["law"]
    assert np.isnan(data.error[-1])
    assert "not scored" in data.alt
    assert "not scored" in checked(LAWS, data)
    every = tuple({**r, "backtest": {**r["backtest"], "rmse_log": None}} for r in three.laws)
    assert laws_data(context(replace(three, laws=every)), None) is None


def test_criteria_are_compared_on_equally_many_runs():
    rows = [{"aicc": v, "n": n} for v, n in ((5.0, 20), (None, 20), (-90.0, 18), (3.0, 20))]
    assert np.allclose(above_lowest(rows, "aicc"), [2, np.nan, np.nan, 0], equal_nan=True)
    none = [{"aicc": None, "n": 20}]
    assert np.isnan(above_lowest(none, "aicc")).all()


def test_one_law_gives_no_figure_but_says_what_was_not_tried(three):
    (row,) = [r for r in three.laws if r["law"] == "chinchilla"]
    one = replace(three, fits=three.fits[:1], laws=(row,))
    assert one.fits[0].law.name == "chinchilla"
    assert laws_data(context(one), None) is None
    (section,) = [s for s in build(one).sections if "Held-out error of the law" in s.heading]
    assert not any(isinstance(b, Figure) for b in section.blocks)
    (table,) = [b for b in section.blocks if isinstance(b, Table)]
    origins = row["backtest"]["origins"]
    assert len(table.rows) == len(origins)
    assert table.rows[0][4] == f"{100 * origins[0]['rmse_log']:.2f}%"
    (told,) = [b.text for b in section.blocks if isinstance(b, Paragraph)]
    (command,) = [b.text for b in section.blocks if isinstance(b, Listing)]
    assert "Not tried: over-training" in told
    assert command.startswith("scaling compare ")
    assert "--law chinchilla --law over-training" in command


def test_the_section_of_several_laws(three, huber):
    document = build(three)
    (section,) = [s for s in document.sections if s.heading.startswith("Laws compared")]
    figure, table, *_ = section.blocks
    assert isinstance(figure, Figure)
    assert [row[0] for row in table.rows] == ["1", "2", "3"]
    assert "compare laws of equally many" in table.note
    for row, found in zip(table.rows, laws_data(context(three), None).error, strict=True):
        assert row[4] == f"{found:.2f}%"
    (section,) = [s for s in build(huber).sections if s.heading.startswith("Laws compared")]
    assert "log-huber delta 0.001 is not a likelihood" in section.blocks[1].note


def test_messages_of_the_comparison_stand_in_the_section(huber):
    message = {"code": "SC435", "severity": "info", "text": "told apart by nothing."}
    first, *others = huber.laws
    fits = replace(huber, laws=({**first, "messages": [message]}, *others))
    (section,) = [s for s in build(fits).sections if s.heading.startswith("Laws compared")]
    assert Note("SC435", "info", "told apart by nothing.") in section.blocks


def test_no_rows_no_section(three):
    headings = {s.heading for s in build(replace(three, laws=())).sections}
    assert not any(h.startswith(("Laws compared", "Held-out error")) for h in headings)


def test_each_group_has_its_own():
    frame = runs(5, groups=("x", "y"))
    fits = compared(frame, ["over-training", "power-C"])
    for group in ("x", "y"):
        assert laws_data(context(fits), group).n == (20, 20)
    headings = [s.heading for s in build(fits).sections if s.heading.startswith("Laws compared")]
    assert headings == [f"Laws compared by held-out error: group {g}" for g in ("x", "y")]


def test_small_errors_keep_two_digits():
    assert [error_text(x) for x in (2.345, 0.1, 0.0123, 0.0)] == [
        "2.35%",
        "0.10%",
        "0.012%",
        "0.00%",
    ]
    assert error_text(np.nan) == "not scored"
