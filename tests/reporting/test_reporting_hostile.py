"""Odd characters and hostile words in every place, and in every output that a report has."""

import base64
import csv
import gzip
import io
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest
from markdown_it import MarkdownIt

from scaling.fitting.analyse import Ways, analyse
from scaling.fitting.options import Options
from scaling.laws import get
from scaling.reporting import Report, build
from scaling.reporting.document import (
    Checklist,
    Document,
    Fact,
    Figure,
    Item,
    Listing,
    Note,
    Paragraph,
    Section,
    Table,
    Tip,
    Verdict,
    csv_of,
)
from scaling.reporting.figures.svg import finish
from scaling.reporting.notebook import html_of_verdicts
from scaling.reporting.renderers import html
from scaling.reporting.renderers.markdown import escape
from scaling.reporting.renderers.pdf import source
from scaling.runs.read import read_table

# Shown as they are.
SHOWN = {
    "emoji": "\U0001f680\U0001f468\U0001f3fd",
    "combining": "e\u0301\u0302\u0303",
    "hebrew": "\u05d0\u05d1\u05d2",
    "long": "q" * 300,
    "link": "javascript:alert(1)",
    "set": "#set text(red)",
    "label": "<a> @a",
    "equals": "= heading",
    "minus": "- item",
    "plus": "+ item",
    "slash": "/ term: text",
    "maths": "$x$ $$y$$",
    "struck": "~~struck~~",
    "user": "@user and #12",
    "web": "www.evil.example and https://evil.example",
    "footnote": "[^1] [a]: url",
    "rule": "---",
    "setext": "===",
    "fence": "~~~",
    "number": "1. one",
}
# Shown with a mark in place of the character that hides or moves others.
REPLACED = {
    "zero width": "a\u200bb",
    "joiner": "a\u200db",
    "isolate": "\u2067abc\u2069",
    "override": "\u202eabc",
    "surrogate": "a\udc80b",
    "escape": "\x1b[31mred",
    "tab": "a\tb",
    "return": "a\rb",
    "bell": "\x07",
}
PIXEL = '<svg width="1" xmlns="x"><g id="p"><use href="#m" x="1" y="1"/></g></svg>'


def drawing(key, title, alt):
    return finish(PIXEL, key, title, alt, {"p": [0]})


class Draw:
    """Draws whichever way a figure asks."""

    def __call__(self, *words):
        return drawing(*words[-3:])


def document(text):
    """Return a document with `text` in every place that may hold a user's words."""
    table = Table(text, (text, "b"), ((text, text), ("1", text)), ("left", "right"), note=text,
                  anchors=("run-a-1", "run-a-2"))  # fmt: skip
    figure = Figure("k", text, text, text, text, {text: [text, "1"]}, (Tip(text, "run-a-1"),),
                    Draw())  # fmt: skip
    items = tuple(Item("warn", text, text, text, "SC900") for _ in "ab")
    blocks = (
        Paragraph(text),
        Note("SC900", "warning", text),
        Listing(text, text),
        Checklist(text, items),
        table,
        figure,
    )
    verdict = Verdict("weak", text, text, text, (Note("SC900", "error", text),),
                      (Fact(text, text, text),), (1, 0, 0), (text,))  # fmt: skip
    return Document(text, text, text, (verdict,), (Section(text, blocks, key="s"),), footer=text)


class Page(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.text, self.inside = [], [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside not in ("script", "style"):
            self.text.append(data)


def bare(code):
    """Return Typst code without strings, widths and sizes, which follow the length of texts."""
    return re.sub(r"\b(1fr|auto|[\d.]+pt)\b", "_", re.sub(r'"(?:\\.|[^"\\])*"', '""', code))


def markdown_page(text):
    return Page(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
                .render(Report(document(text)).markdown()))  # fmt: skip


@pytest.fixture(scope="module")
def plain():
    """Return the tags of a page and of Markdown, and the Typst code, of one plain word."""
    made = document("word")
    return Page(Report(made).html()).tags, markdown_page("word").tags, bare(source(made)[0])


# ------------------------------------------------------------------------------ any text, anywhere


@pytest.mark.parametrize("name", SHOWN)
def test_every_output_shows_the_text(name, plain):
    text = SHOWN[name]
    report = Report(document(text))
    page, marked = Page(report.html()), markdown_page(text)
    assert page.tags == plain[0]
    assert "".join(page.text).count(text) >= 24
    hrefs = [value for key, value in page.attributes if key == "href"]
    assert not [href for href in hrefs if not href.startswith(("#", "data:"))]
    assert marked.tags == plain[1]
    assert "".join(marked.text).count(text) >= 20
    code, _ = source(report.document)
    assert bare(code) == plain[2]
    assert text in report.text().replace("\n    ", " ").replace("\n", "")
    assert text in json.loads(report.json())["title"]


@pytest.mark.parametrize("name", REPLACED)
def test_no_output_has_what_hides_text(name, plain):
    text = REPLACED[name]
    odd = [c for c in text if not c.isprintable()]
    report = Report(document(text))
    html = re.sub(r"<svg.*?</svg>|\"data:[^\"]*\"", "", report.html(), flags=re.DOTALL)
    outputs = (html, report.markdown(), report.text(), source(report.document)[0],
               html_of_verdicts(report.document.verdicts))  # fmt: skip
    for output in outputs:
        for character in odd:
            assert character not in output
        assert "\ufffd" in output
    assert Page(report.html()).tags == plain[0]


@pytest.mark.parametrize("name", [*SHOWN, *REPLACED])
def test_every_output_can_be_written(name, tmp_path):
    report = Report(document({**SHOWN, **REPLACED}[name]))
    for ending in ("html", "md", "txt", "json"):
        path = tmp_path / f"r.{ending}"
        report.write(path)
        assert path.read_text(encoding="utf-8")
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["title"]


def test_empty_texts_leave_no_holes_that_break():
    report = Report(document(""))
    assert Page(report.html()).tags.count("table") == 1
    assert report.markdown()
    assert report.text()
    assert source(report.document)[0]


def test_the_pdf_shows_the_texts(words_of_pdf, squeezed):
    pytest.importorskip("typst", reason="typst is needed to render PDF")
    texts = [*(SHOWN[k] for k in SHOWN if k not in ("emoji", "combining", "hebrew")), "\u202eabc"]
    blocks = tuple(Paragraph(text) for text in texts)
    verdict = Verdict("weak", texts[4], texts[5], texts[6], cautions=tuple(texts))
    report = Report(Document(texts[0], "", "", (verdict,), (Section("s", blocks),)))
    text = squeezed(words_of_pdf(report.pdf())).replace("\u200b", "")
    for each in texts[:-1]:
        assert squeezed(each).replace("-", "") in text.replace("-", ""), each
    assert "\u202e" not in text


# ---------------------------------------------------------------------------------------- Markdown


def test_markdown_of_github_links_nothing():
    """Links without brackets are GitHub's own: the marks that it looks for must be broken."""
    assert "www.evil" not in escape("www.evil.example")
    assert escape("https://evil.example") == "https\\://evil.example"
    assert "\\@user" in escape("@user")
    assert "\\#12" in escape("#12")
    assert "\\$x\\$" in escape("$x$")
    assert "\\[\\^1\\]" in escape("[^1]")


@pytest.mark.parametrize("text", ["0.478 (0.3–0.6)", "-0.5", "1.757", "a-b", "5 = 5", "+1.2%"])
def test_markdown_of_numbers_stays_plain(text):
    assert escape(text) == text


@pytest.mark.parametrize("text", ["    code", "\n# heading", "12) x", "- - -", "+", "==="])
def test_a_text_never_starts_a_block(text):
    page = Page(MarkdownIt("commonmark").render(f"before\n\n{escape(text)}\n"))
    assert set(page.tags) == {"p"}


# --------------------------------------------------------------------------------------------- CSV


@pytest.mark.parametrize("text", ["=1+1", "+x", "-cmd", "@SUM(A1)", "\t=1", '=HYPERLINK("x")'])
def test_a_text_is_no_formula_in_a_spreadsheet(text):
    made = csv_of({text: [text, "a"], "n": [-1.5, -2]})
    rows = list(csv.reader(io.StringIO(made)))
    assert rows[0][0] == rows[1][0] == f"'{text}"
    assert [row[1] for row in rows[1:]] == ["-1.5", "-2"]


@pytest.mark.parametrize("text", ["-1.5e3", "+2", "-inf", "a=b", "1-2", ""])
def test_other_cells_stay_as_they_are(text):
    assert next(csv.reader(io.StringIO(csv_of({"x": [text, "y"]}).split("\n", 1)[1])), [""]) in (
        [text],
        [],
    )


def test_a_return_starts_no_row():
    rows = list(csv.reader(io.StringIO(csv_of({"x": ["a\r=1", "\r=1"]}))))
    assert rows == [["x"], ["a\n=1"], ["'\n=1"]]


def test_downloads_of_a_page_hold_no_formula():
    page = Page(Report(document("=1+1")).html())
    links = [v for k, v in page.attributes if k == "href" and v.startswith("data:text/csv")]
    (data,) = [unquote(link.split(",", 1)[1]) for link in links]
    assert [row[0] for row in csv.reader(io.StringIO(data))] == ["'=1+1", "'=1+1", "1"]


# ------------------------------------------------------------------------------- a hostile analysis

GROUPS = ("=cmd|' /C calc'!A0", "<b onclick=alert(1)>\u202e#eval $\\frac{")
STUDY = {
    "<script>alert(1)</script>": {"#panic()": "`x`", "| a |": ["$y$", "\x1b[2J"]},
    "data": {"source": "[a]: javascript:alert(1)", "<img src=x>": "</style>"},
}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """Return the report of two hostile groups with odd columns, states and runs."""
    law = get("chinchilla")
    truth = dict(law.published[0].params)
    lines, rng = [], np.random.default_rng(5)
    for group in GROUPS:
        for n in np.geomspace(1e7, 1e9, 4):
            for d in np.geomspace(1e9, 1e11, 4):
                loss = float(law.loss(truth, {"N": n, "D": d})) * np.exp(0.002 * rng.normal())
                lines.append([f"@run{len(lines)}", group, n, d, loss, "done", "</td><script>"])
    lines.append(["-bad", GROUPS[0], 1e8, 1e10, "", "diverged", "</td>\u202e"])
    path = tmp_path_factory.mktemp("attack") / "runs.csv"
    head = ["run", "group", "N", "D", "loss", "status", "$x$|<script>"]
    with path.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([head, *lines])
    options = Options(bootstrap=5, interval=0.9, seed=1)
    fits = analyse(
        read_table(path), laws=(), approaches=("surface",), options=options, ways=Ways("parabola")
    )
    return Report(build(fits, study=STUDY, title="javascript:alert(1)"))


def test_the_page_of_hostile_groups(attacked, plain):
    page = Page(attacked.html())
    assert page.tags.count("script") == 2
    assert {"iframe", "img", "b onclick", "i"} & set(page.tags) == set()
    assert not [key for key, _ in page.attributes if key.startswith("on")]
    assert GROUPS[0] in "".join(page.text)
    for value in ("\u202e", "\x1b"):
        assert value not in re.sub(r"<svg.*?</svg>", "", attacked.html(), flags=re.DOTALL)


def test_other_outputs_of_hostile_groups(attacked):
    assert "\x1b" not in attacked.text()
    assert "\u202e" not in attacked.text()
    assert "\u202e" not in attacked.markdown()
    assert "\u202e" not in attacked._repr_html_()
    json.loads(attacked.json())


def test_the_pdf_of_hostile_groups(attacked, words_of_pdf):
    pytest.importorskip("typst", reason="typst is needed to render PDF")
    text = words_of_pdf(attacked.pdf())
    assert "javascript:alert(1)" in text
    assert "=cmd|" in text


def test_ids_of_hostile_groups_are_harmless(attacked):
    ids = [v for k, v in Page(attacked.html()).attributes if k == "id"]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", each) for each in ids)
    assert len(ids) == len(set(ids))


def test_packed_downloads_hold_no_formula(monkeypatch):
    monkeypatch.setattr(html, "MOST_CSV", 3)
    figure = next(f for f in document("@x").figures)
    link, ending = html._csv_uri(figure)
    assert ending == "csv.gz"
    text = gzip.decompress(base64.b64decode(link.split(",", 1)[1])).decode()
    assert text.splitlines() == ["'@x", "'@x", "1"]
