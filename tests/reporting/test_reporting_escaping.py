"""Texts of users are shown as they are and mean nothing to any renderer."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt

from scaling.reporting import Report, build
from scaling.reporting.document import (
    Document,
    Listing,
    Note,
    Paragraph,
    Section,
    Table,
    Verdict,
    printable,
)
from scaling.reporting.figures.style import label
from scaling.reporting.figures.svg import finish
from scaling.reporting.renderers.pdf import source

SHOWN = ["file", "title", "question", "group", "run", "convention", "command", "study"]
ATTACKS = [
    '<script>alert("x")</script>',
    '"><img src=x onerror=alert(1)>',
    "</title></style></script><svg/onload=alert(1)>",
    "'; alert(1); '",
    "{{ 7*7 }} {% raw %}",
    '#eval("1 + 1") #import "@preview/x:1.0.0"',
    '"#panic()"',
    '\\") #eval("1") (\\"',
    "$ x $ *strong* _emph_ `raw` @ref <label> // comment",
    "| a | b |\n|---|---|",
    "![i](http://evil.example/x.png) [l](javascript:alert(1)) <http://evil.example>",
    "# heading\n- item\n> quote\n```\ncode",
    "&lt;script&gt; &amp; &#60;",
    "]]> <!-- --> <![CDATA[",
    "back\\slash\\",
    "%5C%22 \\u003c",
]


class Tags(HTMLParser):
    """Gathers tags, attributes and the text outside scripts."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.text, self.raw = [], [], [], []
        self.inside = None
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        (self.raw if self.inside in ("script", "style") else self.text).append(data)


def document(text):
    """Return a document with `text` in every place that may hold a user's words."""
    table = Table(text, (text, "b"), ((text, text), ("1", text)), ("left", "right"), note=text)
    blocks = (Paragraph(text), Note("SC900", "warning", text), table, Listing(text, text))
    verdict = Verdict("weak", text, text, text, (Note("SC900", "warning", text),))
    return Document(text, text, text, (verdict,), (Section(text, blocks),), footer=text)


def bare(code):
    """Return Typst code without its strings, and without widths, which follow their length."""
    return re.sub(r"\b(1fr|auto)\b", "_", re.sub(r'"(?:\\.|[^"\\])*"', '""', code))


@pytest.fixture(scope="module")
def plain():
    """Return the tags of a document without anything odd in it."""
    return Tags(Report(document("word")).html()).tags


def markdown_tags(text):
    return Tags(MarkdownIt("commonmark", {"html": True}).enable("table").render(text))


# ------------------------------------------------------------------------------ any text, anywhere


@pytest.mark.parametrize("text", ATTACKS)
def test_html_shows_the_text_and_has_no_other_tag(text, plain):
    page = Tags(Report(document(text)).html())
    assert page.tags == plain
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "".join(page.text).count(text) >= 12
    assert "".join(page.raw).count(text) == 0


@pytest.mark.parametrize("text", ATTACKS)
def test_markdown_shows_the_text_and_has_no_other_tag(text):
    page = markdown_tags(Report(document(text)).markdown())
    assert page.tags == markdown_tags(Report(document("word")).markdown()).tags
    flat = text.replace("\n", " ")
    assert "".join(page.text).count(flat) >= 12 - ("\n" in text)


@pytest.mark.parametrize("text", ATTACKS)
def test_typst_holds_the_text_in_string_literals_alone(text):
    code, files = source(document(text))
    assert bare(code) == bare(source(document("word"))[0])
    assert files == {}
    assert text.splitlines()[0].replace("\\", "\\\\").replace('"', '\\"') in code


def test_pdf_shows_the_text(squeezed, words_of_pdf):
    pytest.importorskip("typst", reason="typst is needed to render PDF")
    section = Section("x", tuple(Paragraph(text) for text in ATTACKS))
    report = Report(Document("t", "s", "q", (Verdict("weak", "", "h", "s"),), (section,)))
    text = squeezed(words_of_pdf(report.pdf()))
    for attack in ATTACKS:
        assert squeezed(attack) in text, attack


@pytest.mark.parametrize("text", ["\x1b[2Jx", "a\u202eb", "a\x07b", "a\u2028b", "a\x00b", "\ue000"])
def test_characters_that_hide_text_are_replaced(text):
    odd = next(c for c in text if not c.isprintable())
    report = Report(document(text))
    for rendering in (report.html(), report.markdown(), report.text(), source(report.document)[0]):
        assert odd not in rendering
        assert "\ufffd" in rendering


def test_spaces_and_lines_stay():
    assert printable("a\nb\u00a0c\u2009d\u202fé–×10⁹") == "a\nb\u00a0c\u2009d\u202fé–×10⁹"


def test_a_notebook_shows_the_text():
    page = Tags(Report(document(ATTACKS[0]))._repr_html_())
    assert page.tags == ["p", "b", "br", "ul", "li"]
    assert ATTACKS[0] in "".join(page.text)


# ------------------------------------------------------------------------- a hostile table of runs


def test_the_page_of_a_hostile_table(hostile, whole, evil):
    page, other = Tags(hostile.html), Tags(whole.html)
    assert page.tags.count("script") == other.tags.count("script") == 2
    assert set(page.tags) <= set(other.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    text = "".join(page.text)
    for place in SHOWN:
        assert evil[place] in text, place
    assert "<b>#import</b>" in text
    assert 'run != "<script>|#x"' in text


def test_tooltips_of_a_hostile_table(hostile, evil):
    inside = hostile.html.split('id="points">')[1].split("</script>")[0]
    tips = [text for text, _ in json.loads(inside)["tips"]]
    assert any(evil["run"] in tip for tip in tips)
    assert "<" not in inside


def test_the_markdown_of_a_hostile_table(hostile, whole, evil):
    page, other = markdown_tags(hostile.markdown), markdown_tags(whole.markdown)
    assert set(page.tags) <= set(other.tags)
    text = "".join(page.text)
    for place in SHOWN:
        assert evil[place] in text, place
    made = MarkdownIt("commonmark").enable("table").render(hostile.markdown)
    rows = [r for r in re.findall(r"<tr>.*?</tr>", made, re.DOTALL) if "alert(3)" in r]
    assert len(rows) == 20
    assert {row.count("<td") for row in rows} == {9}


def test_the_pdf_of_a_hostile_table(hostile, evil, squeezed):
    text = squeezed(hostile.pdf_text)
    for place in ("title", "question", "group", "convention", "file", "study"):
        assert squeezed(evil[place]) in text, place
    assert "alert(3)" in text


def test_the_typst_of_a_hostile_table(hostile, without_figures):
    code = bare(source(without_figures(hostile.document))[0])
    for word in ("eval", "panic", "import", "iframe", "script", "alert", "read", "passwd"):
        assert word not in code


def test_keys_of_figures_are_harmless(hostile, many):
    keys = [f.key for r in (hostile, many) for f in r.document.figures]
    assert all(re.fullmatch(r"[a-z0-9-]+", key) for key in keys)
    for rendered in (hostile, many):
        own = [f.key for f in rendered.document.figures]
        assert len(own) == len(set(own))


# ----------------------------------------------------------------------------------------- figures


@pytest.mark.parametrize("text", ["$x^2$", "$\\frac{", "a\\b", "\x1b[0m", "日本語", "a" * 200])
def test_units_are_harmless_in_figures(text):
    """Units and costs are the only foreign texts in figures; mathtext must not see them."""
    shown = label(text)
    assert len(shown) <= 62
    assert "\x1b" not in shown
    assert "$" not in shown.replace("\\$", "")


def test_an_odd_unit_does_not_break_a_figure(hostile):
    unit = {"source": "loss", "unit": "$\\frac{ 日本 </text><script>", "scale": 1.0}
    table = {**hostile.fits.table, "columns": {**hostile.fits.table["columns"], "loss": unit}}
    document = build(replace(hostile.fits, table=table))
    figure = next(f for f in document.figures if f.key.startswith("frontier"))
    root = ElementTree.fromstring(figure.svg)
    assert any("</text><script>" in (e.text or "") for e in root.iter())


def test_titles_of_figures_are_escaped():
    svg = '<?xml version="1.0"?>\n<svg width="1" xmlns="x">\n <g id="a"/>\n</svg>'
    done = finish(svg, "k", "<b>&\"'", "</desc><script>", {})
    root = ElementTree.fromstring(done)
    assert [child.text for child in list(root)[:2]] == ["<b>&\"'", "</desc><script>"]


def test_what_is_not_an_svg():
    with pytest.raises(ValueError, match="SVG"):
        finish("<html></html>", "k", "t", "d", {})


# ------------------------------------------------------------------------------------------- paths


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("scaling fit /home/someone/x/runs.csv -o out.json", "scaling fit runs.csv -o out.json"),
        ("scaling fit C:\\Users\\someone\\runs.csv", "scaling fit runs.csv"),
        ("scaling fit ~/secret/runs.csv", "scaling fit runs.csv"),
        ("--where 'N/1e6 > 3'", "--where 'N/1e6 > 3'"),
        ("sweeps/quickstart.toml", "sweeps/quickstart.toml"),
        ("https://example.org/a/b.csv", "https://example.org/a/b.csv"),
    ],
)
def test_absolute_paths_are_cut(whole, text, expected):
    (listing,) = [
        b for b in build(whole.fits, command=text).blocks
        if isinstance(b, Listing) and b.caption == "Command"
    ]  # fmt: skip
    assert listing.text == expected


def test_paths_of_the_whole_report_are_cut(whole):
    for rendering in (whole.html, whole.markdown, whole.text):
        assert "secret" not in rendering
        assert "scaling fit runs.csv" in rendering
