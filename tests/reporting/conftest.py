"""Fits whose reports the tests read, each laid out and rendered once."""

import csv
import re
import shutil
import subprocess
import unicodedata
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
from browser import Visits, chromium, lacking

from scaling.fitting.analyse import Ways, analyse
from scaling.fitting.options import Options
from scaling.fitting.stored import load
from scaling.laws import get
from scaling.reporting import Report, build
from scaling.reporting.document import Figure
from scaling.runs.read import read_table

LAW = get("chinchilla")
TRUTH = dict(LAW.published[0].params)
HEAD = ["run", "group", "budget", "N", "D", "C", "loss", "status"]
BUDGETS = np.geomspace(1e18, 1e21, 4)
# What a hostile table might carry; every one stands in a place that users write.
EVIL = {
    "file": '"><img src=x onerror=alert(1)>.csv',
    "title": '<script>alert("title")</script>',
    "question": '#eval(read("/etc/passwd")) | `x` $\\pi$ *b* _i_ [l](javascript:1)',
    "group": "<svg onload=alert(2)>|{{7*7}}",
    "run": "</script><script>alert(3)</script>",
    "column": "N | <b>#import</b> \\",
    "convention": '#set text(red) <iframe src=//evil.example> & "quoted" | ~~x~~',
    "command": "scaling fit ``` <script>alert(4)</script> #panic()",
    "study": "https://evil.example/@import url(x) <script>alert(5) </pre>",
}


def isoflop_lines(sizes, *, noise=0.002, seed=0, offset=0.0, group="", run="r"):
    """Return CSV lines of `HEAD` for four budgets."""
    rng = np.random.default_rng(seed)
    lines = []
    for budget in BUDGETS:
        for factor in np.geomspace(0.25, 4, sizes):
            n = factor * float(LAW.frontier.size(TRUTH, budget))
            d = budget / 6 / n
            loss = float(LAW.loss(TRUTH, {"N": n, "D": d})) + offset
            loss *= np.exp(noise * rng.standard_normal())
            name = f"{run}{seed}-{len(lines)}"
            lines.append([name, group, budget, n, d, budget, loss, "done"])
    return lines


def ladder_lines(count, group=""):
    """Return CSV lines of `HEAD` for runs with 20 tokens a parameter."""
    n = np.geomspace(1e7, 1e10, count)
    loss = LAW.loss(TRUTH, {"N": n, "D": 20 * n})
    loss = loss * np.exp(0.002 * np.random.default_rng(0).standard_normal(count))
    return [
        [f"ladder{k}", group, "", n[k], 20 * n[k], 120 * n[k] ** 2, loss[k], "done"]
        for k in range(count)
    ]


def undrawn(document):
    """Return the document without its figures, which take most of the time."""
    sections = tuple(
        replace(s, blocks=tuple(b for b in s.blocks if not isinstance(b, Figure)))
        for s in document.sections
    )
    return replace(document, sections=sections)


class Rendered:
    """A report with each rendering made once; the PDF has no figures unless it is `whole`."""

    def __init__(self, fits, *, whole=False, **options):
        self.fits, self.options, self.whole = fits, options, whole
        self.report = Report(build(fits, **options))
        self.document = self.report.document

    @cached_property
    def html(self):
        return self.report.html()

    @cached_property
    def markdown(self):
        return self.report.markdown()

    @cached_property
    def text(self):
        return self.report.text()

    @cached_property
    def pdf(self):
        pytest.importorskip("typst", reason="typst is needed to render PDF")
        return Report(self.document if self.whole else undrawn(self.document)).pdf()

    @cached_property
    def pdf_text(self):
        return pdf_words(self.pdf)


def pdf_words(made):
    """Return the words of a PDF, without page numbers."""
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not installed")
    done = subprocess.run(["pdftotext", "-", "-"], input=made, capture_output=True, check=True)
    return re.sub(r"(?m)^\f?\d+ / \d+$", "", done.stdout.decode())


def squeeze(text):
    """Return `text` without white space, ligatures and other forms that renderers choose."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text))


@pytest.fixture(scope="session")
def squeezed():
    """Return the function that makes renderings comparable."""
    return squeeze


@pytest.fixture(scope="session")
def words_of_pdf():
    """Return the function that reads a PDF."""
    return pdf_words


@pytest.fixture(scope="session")
def without_figures():
    """Return the function that takes the figures out of a document."""
    return undrawn


@pytest.fixture(scope="session", autouse=True)
def undated():
    """Keep the environment's date out of PDFs."""
    patch = pytest.MonkeyPatch()
    patch.delenv("SOURCE_DATE_EPOCH", raising=False)
    yield
    patch.undo()


# ----------------------------------------------------------------------------------------- reports


@pytest.fixture(scope="session")
def analysed(tmp_path_factory):
    """Return a function that fits lines of a table as the command line does."""

    def make(
        lines,
        *,
        head=HEAD,
        file="runs.csv",
        maps=None,
        convention=None,
        where=None,
        laws=(),
        approaches=("surface",),
        **options,
    ):
        path = tmp_path_factory.mktemp("table") / file
        with path.open("w", newline="", encoding="utf-8") as handle:
            csv.writer(handle).writerows([head, *lines])
        table = read_table(path, maps=maps, convention=convention, where=where)
        chosen = Options(**{"bootstrap": 25, "interval": 0.9, "seed": 1, **options})
        return analyse(
            table, laws=laws, approaches=approaches, options=chosen, ways=Ways("parabola")
        )

    return make


@pytest.fixture(scope="session")
def whole(analysed):
    """Return a report with everything in it: both approaches, hold-out, rows left out."""
    lines = isoflop_lines(7)
    lines[8][-2] *= 1.03  # a run that the law misses
    lines.append(["bad", "", 1e18, 1e8, 2e9, 1e18, "", "diverged"])
    lines.append(["odd", "", 1e18, 2e8, 1e9, 1e18, 9.9, "done"])
    fits = analysed(
        lines, approaches=("surface", "isoflop"), where="loss < 9", holdout="budget > 9e20"
    )
    return Rendered(
        fits,
        whole=True,
        title="A whole study",
        target_flops=5e24,
        question="How large a model?",
        study={"data": {"source": "text"}, "design": {"kind": "isoflop", "budgets": [1e18, 1e21]}},
        command="scaling fit /home/someone/secret/runs.csv",
    )


@pytest.fixture(scope="session")
def lost(analysed):
    """Return the report of a ladder, which identifies nothing."""
    return Rendered(analysed(ladder_lines(20)), target_flops=1e24)


@pytest.fixture(scope="session")
def curve(analysed):
    """Return the report of a law of one variable, without bootstrap."""
    d = np.geomspace(1e7, 1e10, 16)
    loss = 2 + 900 / d**0.4 * np.exp(0.01 * np.random.default_rng(0).standard_normal(16))
    lines = [[f"r{k}", d[k], loss[k]] for k in range(16)]
    return Rendered(analysed(lines, head=["run", "tokens", "loss"], bootstrap=0))


@pytest.fixture(scope="session")
def many(analysed):
    """Return the report of two groups by two laws and both approaches."""
    lines = [
        *isoflop_lines(5, seed=1, group="base"),
        *isoflop_lines(5, seed=2, group="tuned", offset=-0.1),
    ]
    fits = analysed(
        lines, laws=["chinchilla", "power-C"], approaches=("surface", "isoflop"), bootstrap=15
    )
    return Rendered(fits)


@pytest.fixture(scope="session")
def minima(analysed):
    """Return the report of isoFLOP minima without a surface."""
    fits = analysed(isoflop_lines(6, noise=5e-4), approaches=("isoflop",), bootstrap=40)
    return Rendered(fits, target_flops=1e23)


@pytest.fixture(scope="session")
def hostile(analysed):
    """Return the report of a table whose every text is an attack; one group is a ladder."""
    lines = isoflop_lines(5, seed=3, group=EVIL["group"], run=EVIL["run"])
    lines += ladder_lines(12, group="other")
    lines.append(["x", "other", 1e18, 2e8, 1e9, 1e18, 9.9, "done"])
    fits = analysed(
        lines,
        head=[EVIL["column"] if name == "N" else name for name in HEAD],
        file=EVIL["file"],
        convention=EVIL["convention"],
        bootstrap=10,
        maps={"N": f"source[{EVIL['column']!r}] * 1"},
        where='loss < 9 and run != "<script>|#x"',
    )
    return Rendered(
        fits,
        title=EVIL["title"],
        question=EVIL["question"],
        command=EVIL["command"],
        study={"data": {"source": EVIL["study"]}},
    )


@pytest.fixture(scope="session")
def evil():
    """Return the hostile texts by place."""
    return EVIL


@pytest.fixture(params=["whole", "lost", "curve", "hostile"])
def rendered(request):
    """Return each of the reports whose figures are drawn in turn."""
    return request.getfixturevalue(request.param)


# ----------------------------------------------------------------------------------------- browser


@pytest.fixture(scope="module")
def browser(absent):
    """Return a running Chromium; one a file, as `browser.chromium` says why."""
    reason = lacking()
    if reason:
        absent(reason)
    with chromium() as running:
        yield running


@pytest.fixture
def visit(browser):
    """Return the function that opens a file; no page may ask for another one or complain."""
    visits = Visits(browser)
    yield visits
    visits.close()
    assert [w.strangers for w in visits.watches] == [[]] * len(visits.watches)
    assert [w.complaints for w in visits.watches] == [[]] * len(visits.watches)


@pytest.fixture(scope="session")
def page_of(tmp_path_factory):
    """Return the function that writes the page of a report to a file, once."""
    folder = tmp_path_factory.mktemp("pages")
    written = {}

    def write(report):
        if id(report) not in written:
            path = folder / f"{len(written)}.html"
            path.write_text(report.html, encoding="utf-8")
            written[id(report)] = (path, report)
        return written[id(report)][0]

    return write


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory):
    """Return the page of the demo's fit, which is checked in, as it is laid out now."""
    path = tmp_path_factory.mktemp("demo") / "quickstart.html"
    fits = load(Path(__file__).parents[2] / "reports" / "quickstart.fit.json")
    path.write_text(Report(build(fits)).html(), encoding="utf-8")
    return path
