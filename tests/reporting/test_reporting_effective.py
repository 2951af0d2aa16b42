"""The section on effective data: the answer, the cells and every limit, in all four renderings."""

import json
import re

import numpy as np
import pytest
from scaling.reporting.figures_effective_data import MOST_PANELS, effective_data

from scaling.fitting.analyse import analyse
from scaling.fitting.effective import Ask
from scaling.fitting.options import Options
from scaling.fitting.stored import from_dict
from scaling.reporting import Report, build
from scaling.reporting.document import Figure, Table
from scaling.runs.read import from_frame
from tests.effective_runs import times, transferred, treated_runs

CASES = {
    "helps": ("multiplier", times(1.8), {}),
    "transfer": ("transfer", transferred(2e5, 0.2), {"seeds": 2}),
    "hurts": ("transfer", times(0.4), {}),
    "nothing": ("transfer", times(1.0), {"seeds": 3}),
    "unbounded": ("multiplier", times(1.0), {"shift": -1.5}),
}
NAME = "<b>crop & flip</b> | $x$"


@pytest.fixture(scope="module", params=list(CASES))
def case(request, squeezed):
    """Return each case with its report; what is rendered has gone through JSON."""
    form, worth, more = CASES[request.param]
    table = treated_runs(worth, sizes=(4e6,), names=("none", NAME), **more)
    options = Options(bootstrap=60)
    fits = analyse(
        from_frame(table), laws=["power-D"], options=options, effective=Ask(form, "none")
    )
    again = from_dict(json.loads(fits.to_json()))
    assert again.to_json() == fits.to_json()
    return request.param, again, Report(build(again))


def text_of(report, kind, squeezed, words_of_pdf):
    """Return what a person reads in a rendering."""
    if kind == "html":
        import html

        return squeezed(html.unescape(re.sub(r"<[^>]+>", "", report.html())))
    if kind == "markdown":
        return squeezed(re.sub(r"\\(.)", r"\1", report.markdown()))
    if kind == "text":
        return squeezed(report.text())
    pytest.importorskip("typst", reason="typst is needed to render PDF")
    return squeezed(words_of_pdf(report.pdf()))


@pytest.mark.parametrize("kind", ["html", "markdown", "text", "pdf"])
def test_the_answer_and_the_messages_stand_in_every_rendering(
    case, kind, squeezed, words_of_pdf, without_figures
):
    _, fits, report = case
    if kind == "pdf":
        report = Report(without_figures(report.document))
    text = text_of(report, kind, squeezed, words_of_pdf)
    (item,) = fits.effective[0].treatments
    assert text.count(squeezed(item.sentence)) >= 2  # in the verdict and in the section
    for m in (*fits.effective[0].messages, *item.messages):
        assert squeezed(m.text) in text, m
    assert squeezed("Effective data of") in text


def test_the_sentence_says_it_plainly(case):
    name, fits, report = case
    (item,) = fits.effective[0].treatments
    start = {
        "helps": f"{NAME} is worth 1.",
        "transfer": f"{NAME} is worth",
        "hurts": f"{NAME} hurts",
        "nothing": "There is no evidence",
        "unbounded": f"{NAME} is worth",
    }[name]
    assert item.sentence.startswith(start)
    level = report.document.verdicts[-1].level
    if name in ("nothing", "unbounded"):
        assert level == "weak"


def test_every_cell_has_a_row(case):
    _, fits, report = case
    (item,) = fits.effective[0].treatments
    section = next(s for s in report.document.sections if s.heading == "Effective data")
    table = next(b for b in section.blocks if isinstance(b, Table) and "by cell" in b.caption)
    assert len(table.rows) == len(item.cells)
    reach = [row[-1] for row in table.rows]
    assert reach == [c["reach"] for c in item.cells]
    for row, cell in zip(table.rows, item.cells, strict=True):
        assert (row[3] == "no bound") == (cell["D_E"] is None)


def test_the_figure_shows_what_was_found(case):
    _, fits, report = case
    (item,) = fits.effective[0].treatments
    data = effective_data(fits.effective[0], item)
    (panel,) = data.panels
    known = [c for c in item.cells if c["D_E"] is not None]
    assert panel.shift_to.tolist() == [c["D_E"] for c in known]
    assert len(panel.treated_D) == item.n
    assert len(data.tips) == item.n
    columns = data.columns()
    assert len({len(v) for v in columns.values()}) == 1
    section = next(s for s in report.document.sections if s.heading == "Effective data")
    (figure,) = [b for b in section.blocks if isinstance(b, Figure)]
    assert figure.svg_html.count("data-i=") == item.n
    assert NAME not in figure.svg_html


def test_many_sizes_show_some_and_say_so():
    sizes = tuple(np.geomspace(1e6, 1e8, 8))
    table = treated_runs(times(1.8), sizes=sizes, data=(1e5, 1e6, 1e7))
    fits = analyse(
        from_frame(table), options=Options(bootstrap=10), effective=Ask("multiplier", "none")
    )
    found = fits.effective[0]
    data = effective_data(found, found.treatments[0])
    assert (len(data.panels), data.hidden) == (MOST_PANELS, 3)
    report = Report(build(fits))
    assert "5 sizes of 8 are shown" in report.text() or "5 sizes of 8" in report.markdown()


def test_without_intervals():
    table = treated_runs(times(1.8), sizes=(4e6,))
    fits = analyse(
        from_frame(table), laws=["power-D"], options=Options(bootstrap=0),
        effective=Ask("multiplier", "none"),
    )  # fmt: skip
    report = Report(build(fits))
    assert "without a bootstrap" in " ".join(report.text().split())
    assert report.document.verdicts[-1].sure == "No intervals."
    assert "<svg" in report.html()
