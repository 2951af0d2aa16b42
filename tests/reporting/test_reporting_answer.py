"""The answer: what is predicted, how it is labelled, and that it is withheld where it must be."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import scaling as sc
from scaling.errors import OutputError
from scaling.fitting.allocation import best_size
from scaling.fitting.fit import surface_allocation
from scaling.fitting.result import Fits
from scaling.reporting import Report, build, numbers
from scaling.reporting.document import Checklist, Figure, Note, Paragraph, Table
from scaling.reporting.sections.answer import extrapolation, ladder

SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻−", "0123456789--")


def number(text):
    """Read a number as the report writes it."""
    base, _, power = text.translate(SUPERSCRIPT).replace(",", "").partition("×10")
    return float(base) * 10.0 ** int(power or 0)


def tables(document):
    return {b.caption: b for b in document.blocks if isinstance(b, Table)}


def renderings(rendered):
    return [rendered.html, rendered.markdown, rendered.text, rendered.pdf_text]


# -------------------------------------------------------------------------------------- predicted


def test_predictions_are_those_of_the_fit(whole):
    (fit,) = whole.fits.fits
    table = tables(whole.document)["Compute-optimal training"]
    largest = float((6 * fit.fitted["N"] * fit.fitted["D"]).max())
    compute = [largest, 10 * largest, 100 * largest, 5e24]
    expected = fit.optimal(C=compute)
    assert [number(row[0].removesuffix(" (target)")) for row in table.rows] == pytest.approx(
        compute
    )
    assert [row[0].endswith("(target)") for row in table.rows] == [False] * 3 + [True]
    for row, (_, want) in zip(table.rows, expected.iterrows(), strict=True):
        assert number(row[1].rstrip("×")) == pytest.approx(want.factor, rel=0.01)
        for cell, name in zip(row[2:6], ("N", "D", "ratio", "loss"), strict=True):
            shown = number(cell.split(" (")[0])
            value = want.D / want.N if name == "ratio" else want[name]
            assert shown == pytest.approx(value, rel=0.02), name
            if name != "ratio":
                low, high = ("lo", "hi") if name == "loss" else (f"{name}_lo", f"{name}_hi")
                text = numbers.interval(float(want[low]), float(want[high]))
                assert cell.endswith(f"({text})")
        assert row[6] == ("yes" if want.inside_hull else "no")
    assert "C = 6ND" in table.note
    assert "90% intervals in brackets" in table.note
    assert "extrapolations" in table.note


def test_the_headline_is_that_of_the_target(whole):
    (fit,) = whole.fits.fits
    row = fit.optimal(C=5e24).iloc[0]
    verdict = whole.document.verdict
    size = numbers.within(row.N, row.N_lo, row.N_hi)
    data = numbers.within(row.D, row.D_lo, row.D_hi)
    loss = numbers.within(row.loss, row.lo, row.hi)
    assert verdict.headline.startswith("With 5.00×10²⁴ FLOP (extrapolated to 50,000×")
    assert f"train {size} parameters on {data} tokens; predicted loss {loss}" in verdict.headline
    assert verdict.sure.startswith("Intervals: pairs bootstrap, percentile, small-sample factor ")
    assert ", 25 replicates." in verdict.sure
    levels = [fact.sure for fact in verdict.facts if fact.name.startswith(("N* [", "D* [", "loss"))]
    assert len(levels) == 3
    assert all(text.startswith("90% ") and "; 80% " in text for text in levels)
    assert "C = 6ND" in verdict.sure
    assert verdict.level == "weak"


def test_without_a_target_the_largest_run_is_meant(whole):
    verdict = build(whole.fits).verdict
    assert "the largest compute measured; no target was given" in verdict.headline
    assert "SC410" not in [n.code for n in verdict.reasons]


@pytest.mark.parametrize(
    ("factor", "inside", "severity"),
    [
        (1.0, True, None),
        (0.5, True, None),
        (1.0, None, None),
        (0.5, False, "info"),
        (1.01, True, "info"),
        (99.0, False, "info"),
        (101.0, True, "warning"),
        (2999.0, False, "warning"),
        (3001.0, True, "error"),
    ],
)
def test_extrapolation_is_graded(factor, inside, severity):
    note = extrapolation(factor, inside)
    if severity is None:
        assert note is None
        return
    assert (note.code, note.severity) == ("SC410", severity)
    assert ("hull" in note.text) == (inside is False)
    assert (numbers.factor(factor) in note.text) == (factor > 1)


@pytest.mark.parametrize("target", [5e20, 1e21, 5e22, 1e25])
def test_extrapolation_is_labelled_wherever_the_target_is(whole, target):
    (fit,) = whole.fits.fits
    document = build(whole.fits, target_flops=target)
    notes = [
        n for n in (*document.verdict.reasons, *document.blocks)
        if isinstance(n, Note) and n.code == "SC410"
    ]  # fmt: skip
    row = fit.optimal(C=target).iloc[0]
    outside = row.factor > 1.0001 or not row.inside_hull
    assert len(notes) == int(outside)
    if outside and row.factor > 1:
        assert numbers.factor(row.factor) in notes[0].text
        assert "extrapolated" in document.verdict.headline


def test_the_ladder():
    assert ladder(2e20, None).tolist() == [2e20, 2e21, 2e22]
    assert ladder(2e20, 5e20).tolist() == [2e20, 5e20, 2e21, 2e22]
    assert len(ladder(2e20, 2e21 * (1 + 1e-12))) == 3


def test_a_good_study_is_supported(analysed):
    lines = [
        [n, d, 6 * n * d, (1.7 + 400 / n**0.34 + 410 / d**0.28) * np.exp(e)]
        for (n, d), e in zip(
            [(n, d) for n in np.geomspace(1e7, 1e10, 6) for d in np.geomspace(1e9, 5e11, 6)],
            0.002 * np.random.default_rng(1).standard_normal(36),
            strict=True,
        )
    ]
    fits = analysed(lines, head=["N", "D", "C", "loss"])
    document = build(fits)
    assert document.verdict.level == "supported"
    assert document.verdict.reasons == ()


def test_a_law_of_one_variable_divides_nothing(curve):
    verdict = curve.document.verdict
    (fit,) = curve.fits.fits
    assert verdict.headline.startswith("At D = 1.00×10¹⁰ tokens the predicted loss is ")
    assert "no intervals (bootstrap 0)" in verdict.sure
    table = tables(curve.document)["Predicted loss along D"]
    for row in table.rows:
        expected = fit.predict(D=number(row[0])).loss[0]
        assert number(row[2]) == pytest.approx(expected, rel=1e-3)
    assert "how to divide compute" in table.note
    assert "N*" not in curve.text


def test_minima_alone_predict_no_loss(minima):
    (allocation,) = minima.fits.allocations
    verdict = minima.document.verdict
    assert verdict.level == "weak"
    assert "approach isoflop" in verdict.headline
    assert "predicted loss" not in verdict.headline
    assert "no loss is predicted" in verdict.sure
    (table,) = [t for name, t in tables(minima.document).items() if "by isoflop" in name]
    for row in table.rows:
        want = np.exp(allocation.line["N"][0] + allocation.a * np.log(number(row[0])))
        assert number(row[2]) == pytest.approx(want, rel=0.05)


def test_groups_and_laws_are_told_apart(many):
    subjects = [v.subject for v in many.document.verdicts]
    assert len(set(subjects)) == 4
    assert all("group" in s and "law" in s for s in subjects)
    headings = [s.heading for s in many.document.sections if s.heading.startswith("Fit")]
    assert len(set(headings)) == 4


# --------------------------------------------------------------------------------------- withheld


def traces(fit):
    """Return the ways in which the report might write a parameter or an optimum."""
    found = set()
    for name, value in fit.params.items():
        found.add(numbers.exact(value))
        if fit.interval is not None:
            found.add(numbers.estimate(value, fit.interval.se[name]))
            found.add(numbers.interval(*fit.interval.params[name]))
        found.add(numbers.quantity(value, 4))
    if fit.law.frontier:
        best = best_size(fit.law, fit.params, np.log([1e24, 1.2e22, 1e20]))
        found |= {numbers.quantity(float(v)) for v in np.exp(best).ravel()}
    data = {numbers.quantity(v) for name in "NDC" for v in fit.rows[name] if v is not None}
    # Short ones, and values of the runs themselves, stand in the data by chance.
    return {text for text in found - data if len(text) >= 5}


def test_nothing_of_an_unidentified_fit_is_quoted(lost):
    (fit,) = lost.fits.fits
    document = lost.document
    assert document.verdict.level == "not identified"
    assert document.verdict.headline.startswith("No answer: ")
    assert document.sections[0].heading == "Prediction"
    assert [type(b) for b in document.sections[0].blocks] == [Paragraph]
    assert document.figures == ()
    assert "Parameters" not in tables(document)
    assert "Exponents of this study and those of papers" not in tables(document)
    (row,) = tables(document)["Exponents by approach: N* ∝ C^a, D* ∝ C^b"].rows
    assert row[1:5] == ("—",) * 4
    shown = traces(fit)
    assert len(shown) > 8
    for rendering in renderings(lost):
        bare = re.sub(r"(?s)Every run.*?in logs\.", "", rendering)
        assert [text for text in shown if text in bare] == []
        assert "train " not in bare
    assert "not identified" in lost.html
    assert "NOT IDENTIFIED" in lost.text
    assert "**not identified" in lost.markdown


@pytest.mark.parametrize("status", ["not-identified", "max-iterations", "failed"])
def test_every_such_status_withholds_the_answer(whole, status):
    """The same fit, of which we know what it would have said."""
    (good,) = whole.fits.fits
    bad = replace(good, status=status)
    document = build(Fits((bad,), (surface_allocation(bad),), whole.fits.table), target_flops=5e24)
    assert document.verdict.level == "not identified"
    assert document.figures == ()
    report = Report(document)
    for rendering in (report.html(), report.markdown(), report.text()):
        for trace in traces(good):
            assert trace not in re.sub(r"(?s)Every run.*?in logs\.", "", rendering), trace
        assert status in rendering


def test_lengths_of_few_sizes_leave_no_empty_figure():
    """No law is identified and no budget is bracketed: no allocation can be drawn."""
    rows = [(n, d) for n in (4e3, 1e4, 2e4) for d in (1e5, 2e5, 4e5, 8e5)]
    frame = pd.DataFrame(rows, columns=["N", "D"])
    frame["C"], frame["loss"] = 6 * frame.N * frame.D, 1.5 + 40 / frame.N**0.5 + 30 / frame.D**0.4
    fit = sc.fit(frame, bootstrap=20)
    minima = sc.isoflop(frame)
    assert fit.status == "not-identified"
    assert not any(m.bracketed for m in minima.minima)
    document = build(Fits((fit,), (minima,), fit.table))
    assert [f for f in document.figures if "N*" in f.caption] == []
    Report(document).html()


def test_the_other_group_keeps_its_answer(hostile, evil):
    one, two = hostile.document.verdicts
    assert evil["group"] in one.subject
    assert one.level != "not identified"
    assert (two.subject, two.level) == ("group other", "not identified")
    captions = [b.caption for b in hostile.document.sections[0].blocks if isinstance(b, Table)]
    assert captions == [
        f"{what}: group {evil['group']}"
        for what in ("Compute-optimal training", "Allocation by decade of compute")
    ]
    shown = traces(hostile.fits.fits[1]) - traces(hostile.fits.fits[0])
    bare = re.sub(r"(?s)Every run.*?in logs\.", "", hostile.text)
    assert [text for text in shown if text in bare] == []


def test_nothing_fitted_is_no_answer(whole):
    document = build(Fits((), (), whole.fits.table))
    assert document.verdict.level == "not identified"
    assert document.verdict.headline == "No answer: nothing was fitted."
    assert Report(document).text()


# ------------------------------------------------------------------------------------ the document


def test_the_answer_comes_first(whole):
    headings = [s.heading for s in whole.document.sections]
    order = ["Prediction", "Checks", "Data", "Figures", "Fit", "Method", "Reproducibility"]
    assert [heading for heading in headings if heading in order] == order
    for rendering in renderings(whole):
        assert rendering.index(whole.document.title) < rendering.index("Reproducibility")


def test_parameters_are_given_in_full(whole):
    (fit,) = whole.fits.fits
    table = tables(whole.document)["Parameters"]
    assert [row[0] for row in table.rows] == list(fit.params)
    for row in table.rows:
        name = row[0]
        assert float(row[4]) == fit.params[name]
        se = fit.interval.se[name]
        if name in ("A", "B"):  # their error is that of the logarithm
            se = fit.params[name] * fit.interval.factor * np.log(fit.draws[name]).std(ddof=1)
        assert row[1] == numbers.estimate(fit.params[name], se)
        assert row[3] == numbers.interval(*fit.intervals[name])
        assert row[5]


def test_every_run_is_listed(whole):
    table = tables(whole.document)["Every run"]
    assert len(table.rows) == 30
    assert table.columns[0] == "row"
    remarks = [row[-1] for row in table.rows]
    assert remarks.count("held out") == 7
    assert "status diverged" in remarks


def test_counts_of_a_run_are_exact(analysed):
    sizes = (512, 14592, 1.5e6 + 1)
    lines = [[n, 98304.5 * k, 1.7 + 40 / n**0.3 + 1 / k] for n in sizes for k in (0.5, 1, 2, 4)]
    table = tables(build(analysed(lines, head=["N", "D", "loss"], bootstrap=0)))["Every run"]
    at = table.columns.index("N")
    assert list(dict.fromkeys(row[at] for row in table.rows)) == ["512", "14,592", "1.500×10⁶"]
    at = table.columns.index("D")
    assert table.rows[0][at] == "49,150"  # no whole number: 49152.25
    assert table.rows[1][at] == "98,300"


def test_every_check_is_listed(whole, lost):
    for rendered in (whole, lost):
        (fit,) = rendered.fits.fits
        found = next(b for b in rendered.document.blocks if isinstance(b, Checklist))
        listed = {(item.name, item.state, item.text) for item in found.items}
        assert listed == {(c.name, c.verdict, numbers.readable(c.found)) for c in fit.checks}


def test_refused_minima_are_listed_with_a_reason(analysed):
    lines = []
    for k, budget in enumerate((1e18, 1e19, 1e20)):
        for f in np.geomspace(2, 20, 6):
            n = f * 1e8 * 10 ** (k / 2)
            d = budget / 6 / n
            lines.append([budget, n, d, 1.7 + 400 / n**0.34 + 410 / d**0.28])
    fits = analysed(lines, head=["budget", "N", "D", "loss"], approaches=("isoflop",), bootstrap=0)
    document = build(fits)
    table = tables(document)["Minimum of each budget"]
    assert [row[5] for row in table.rows] == ["no"] * 3
    assert all("edge" in row[6] and row[1] == "—" for row in table.rows)
    assert document.verdict.level == "not identified"
    assert {"SC406", "SC417"} <= {n.code for n in document.verdict.reasons}


def test_long_tables_are_cut_in_a_terminal_and_say_so(whole):
    assert "… 10 more rows" in whole.text
    assert max(map(len, whole.text.splitlines())) <= 80


def test_tables_keep_their_shape():
    with pytest.raises(ValueError, match="alignment"):
        Table("t", ("a", "b"), (), ("left",))
    with pytest.raises(ValueError, match="cell"):
        Table("t", ("a", "b"), (("1",),), ("left", "left"))


def test_reports_are_written_by_their_ending(curve, tmp_path):
    report = curve.report
    for ending in ("html", "md", "txt"):
        report.write(tmp_path / f"r.{ending}")
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == curve.html
    assert (tmp_path / "r.md").read_text(encoding="utf-8") == curve.markdown
    assert (tmp_path / "r.txt").read_text(encoding="utf-8") == curve.text
    with pytest.raises(OutputError) as caught:
        report.write(tmp_path / "r.docx")
    assert caught.value.code == "SC003"


def test_the_public_function_gives_the_same_answer(curve):
    (fit,) = curve.fits.fits
    report = sc.report(fit, title="Mine")
    assert report.document.title == "Mine"
    assert report.document.verdict == curve.document.verdict
    found = [b.title for b in report.document.blocks if isinstance(b, Figure)]
    assert found == ["Loss above the irreducible part", "Residuals"]


def test_what_was_fitted_is_named_and_not_called_a_loss_in_nats():
    data = np.geomspace(1e3, 1e6, 12)
    frame = pd.DataFrame({"N": 1e5, "D": data, "loss": 2 + 30 / data**0.4})
    frame["loss_unit"], frame["error"] = "nats per image", 0.05 + 8 / data**0.5
    document = sc.report(sc.fit(frame, "power-D", response="error", bootstrap=0)).document
    (verdict,) = document.verdicts
    assert "predicted error is" in verdict.headline
    assert "nats" not in verdict.headline
    assert "images" in verdict.headline
    assert any("error" in t.columns for t in tables(document).values() if "along D" in t.caption)
