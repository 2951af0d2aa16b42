"""The page: well formed, accessible, small, and whole without a network."""

import base64
import csv
import gzip
import io
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest

from scaling.reporting import Report, build

VOID = {"meta", "br", "hr", "img", "link", "input", "col", "source", "base"}
SVG = "{http://www.w3.org/2000/svg}"
LIMIT = 1_000_000
# What a page may lead to: its own places, and data that it carries.
DATA = ("#", "data:text/csv;charset=utf-8,", "data:application/gzip;base64,")


class Page(HTMLParser):
    """Checks nesting and gathers elements with their attributes."""

    def __init__(self, html):
        super().__init__()
        self.stack, self.elements, self.faults = [], [], []
        self.feed(html)
        self.close()
        if self.stack:
            self.faults.append(f"left open: {self.stack}")

    def handle_starttag(self, tag, attributes):
        self._end_cell(tag)
        names = [name for name, _ in attributes]
        if len(names) != len(set(names)):
            self.faults.append(f"an attribute twice in {tag}")
        self.elements.append((tag, dict(attributes), tuple(self.stack)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.stack.pop()

    def _end_cell(self, tag):
        """End a cell where the next one starts or its row ends, as HTML lets it."""
        if tag in ("td", "tr") and self.stack[-1:] == ["td"]:
            self.stack.pop()

    def handle_endtag(self, tag):
        if tag == "tr":
            self._end_cell(tag)
        if not self.stack or self.stack[-1] != tag:
            self.faults.append(f"</{tag}> closes {self.stack[-1:]} at {self.getpos()}")
        if tag in self.stack:
            while self.stack.pop() != tag:
                pass

    def all(self, *tags):
        return [attributes for tag, attributes, _ in self.elements if tag in tags]


@pytest.fixture
def page(rendered):
    """Return the parsed page of each report."""
    return Page(rendered.html)


def svgs(html):
    return re.findall(r"<svg .*?</svg>", html, re.DOTALL)


def test_tags_are_nested(page):
    assert page.faults == []
    assert page.elements[0][:2] == ("html", {"lang": "en"})
    assert page.all("meta")[0] == {"charset": "utf-8"}
    for tag in ("head", "body", "main", "title", "h1", "header", "footer"):
        assert len([t for t, _, above in page.elements if t == tag and "svg" not in above]) == 1


def test_no_id_stands_twice_and_every_reference_has_its_target(page, rendered):
    ids = [a["id"] for _, a, _ in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    wanted = set(re.findall(r'href="#([^"]+)"', rendered.html))
    wanted |= set(re.findall(r"url\(#([^)]+)\)", rendered.html))
    for _, attributes, _ in page.elements:
        wanted |= set((attributes.get("aria-labelledby") or "").split())
    assert wanted <= set(ids)


def test_nothing_is_loaded(page):
    loading = ("src", "href", "xlink:href", "srcset", "poster", "data", "action", "background")
    for tag, attributes, _ in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form", "image", "audio")
        assert "http-equiv" not in attributes
        for name in loading:
            value = attributes.get(name)
            assert value is None or value.startswith(DATA), (tag, value)
        for value in attributes.values():
            if "url(" in (value or "") and "style" in attributes:
                assert set(re.findall(r"url\((.)", attributes["style"])) <= {"#"}


def test_styles_and_scripts_load_nothing(whole):
    styles = re.findall(r"<style[^>]*>(.*?)</style>", whole.html, re.DOTALL)
    assert len(styles) >= 1
    for text in styles:
        assert "@import" not in text
        assert "@font-face" not in text
        assert "url(" not in text
        assert "http" not in text
    (script,) = re.findall(r"<script>(.*?)</script>", whole.html, re.DOTALL)
    for word in ("http", "fetch", "XMLHttpRequest", "import(", "eval", "innerHTML", "WebSocket"):
        assert word not in script


def test_it_is_small(rendered):
    assert len(rendered.html.encode()) < LIMIT


@pytest.mark.slow
def test_it_is_small_with_many_runs(analysed):
    lines = [
        [f"run-{i}-{j}", n, d, 6 * n * d, 1.7 + 400 / n**0.34 + 410 / d**0.28]
        for i, n in enumerate(np.geomspace(1e7, 1e10, 20))
        for j, d in enumerate(np.geomspace(1e9, 1e12, 20))
    ]
    fits = analysed(lines, head=["run", "N", "D", "C", "loss"], bootstrap=0)
    assert len(Report(build(fits)).html().encode()) < LIMIT


# --------------------------------------------------------------------------------- accessible parts


def test_every_figure_says_what_it_shows(rendered):
    figures = rendered.document.figures
    found = svgs(rendered.html)
    assert len(found) == len(figures)
    for text, figure in zip(found, figures, strict=True):
        root = ElementTree.fromstring(text)
        assert root.get("role") == "img"
        title, description = list(root)[:2]
        assert (title.tag, description.tag) == (f"{SVG}title", f"{SVG}desc")
        assert title.text == figure.title
        assert description.text == figure.alt
        assert root.get("aria-labelledby").split() == [title.get("id"), description.get("id")]
        ids = [e.get("id") for e in root.iter() if e.get("id")]
        named = re.compile(rf"{figure.key}-[a-z0-9]+|s[0-9a-f]{{5}}\d+")
        assert all(named.fullmatch(i) for i in ids)
        assert root.find(f".//{SVG}text") is not None  # text stays text
    assert "<metadata>" not in rendered.html


def test_every_figure_is_explained(rendered):
    for figure in rendered.document.figures:
        assert figure.caption
        assert figure.alt
        assert figure.good.endswith(".")
        assert f"Good looks like this: {figure.good.split()[0]}" in rendered.html


def test_tables_have_heads_and_captions(page, rendered):
    heads = page.all("th")
    assert heads
    assert all(a.get("scope") == "col" for a in heads)
    assert len(page.all("caption")) == len(page.all("table"))
    regions = [a for a in page.all("div") if a.get("role") == "region"]
    assert len(regions) == len(page.all("table"))
    assert all(a.get("aria-label") and a.get("tabindex") == "0" for a in regions)


def test_the_answer_can_be_skipped_to(page):
    first = next(a for tag, a, above in page.elements if tag == "a")
    assert (first["class"], first["href"]) == ("skip", "#answer")
    assert "answer" in [a.get("id") for a in page.all("div")]


def test_print_and_dark_are_cared_for(whole):
    assert "@media print" in whole.html
    assert "color-scheme:light dark" in whole.html


# ----------------------------------------------------------------------------- data behind a figure


def test_the_data_of_every_figure_can_be_taken(page, rendered):
    links = {a["download"].removesuffix(".gz"): a for a in page.all("a") if "download" in a}
    assert set(links) == {f"{f.key}.csv" for f in rendered.document.figures}
    for figure in rendered.document.figures:
        link = links[f"{figure.key}.csv"]
        raw = unquote(link["href"].split(",", 1)[1])
        if link["download"].endswith(".gz"):
            raw = gzip.decompress(base64.b64decode(raw)).decode()
        head, *rows = csv.reader(io.StringIO(raw))
        assert head == list(figure.data)
        lengths = {len(column) for column in figure.data.values()}
        assert lengths == {len(rows)}
        assert rows


def markers(figure, group):
    """Return tooltip number and place of each marker of a group."""
    root = ElementTree.fromstring(figure.svg)
    (parent,) = [e for e in root.iter(f"{SVG}g") if e.get("id") == f"{figure.key}-{group}"]
    uses = list(parent.iter(f"{SVG}use"))
    return [(int(u.get("data-i")), float(u.get("x")), float(u.get("y"))) for u in uses]


def quantity(tip, name):
    """Read a number of a tooltip."""
    digits = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻−", "0123456789--")
    text = re.search(rf"^{name} (.+)$", tip.text, re.MULTILINE)[1].translate(digits)
    base, _, power = text.replace(",", "").rstrip("%").partition("×10")
    return float(base) * 10.0 ** int(power or 0)


def along(values, places):
    return abs(np.corrcoef(values, places)[0, 1])


def test_tooltips_belong_to_their_markers(whole):
    for figure in whole.document.figures:
        numbered = [int(i) for i in re.findall(r'data-i="(\d+)"', figure.svg)]
        assert set(numbered) == set(range(len(figure.tips)))
    points = json.loads(whole.html.split('id="points">')[1].split("</script>")[0])
    assert {
        key: [tuple(points["tips"][i]) for i in drawn] for key, drawn in points["figures"].items()
    } == {f.key: [(t.text, t.anchor) for t in f.tips] for f in whole.document.figures if f.tips}
    (residuals,) = [f for f in whole.document.figures if f.key.startswith("residuals")]
    for group, name in (("runs0", "N"), ("runs1", "D"), ("runs2", "C")):
        found = markers(residuals, group)
        assert len(found) == 21
        tips = [residuals.tips[i] for i, _, _ in found]
        assert along([np.log(quantity(t, name)) for t in tips], [x for _, x, _ in found]) > 0.9999
        assert along([quantity(t, "residual") for t in tips], [y for _, _, y in found]) > 0.9999
    found = markers(residuals, "quantiles")
    tips = [residuals.tips[i] for i, _, _ in found]
    assert along([quantity(t, "residual") for t in tips], [y for _, _, y in found]) > 0.9999
    (frontier,) = [f for f in whole.document.figures if f.key.startswith("frontier")]
    found = markers(frontier, "runs")
    tips = [frontier.tips[i] for i, _, _ in found]
    assert along([np.log(quantity(t, "C")) for t in tips], [x for _, x, _ in found]) > 0.9999
    losses = [np.log(quantity(t, "loss")) for t in tips]
    assert along(losses, [y for _, _, y in found]) > 0.9999


def test_tooltips_of_isoflops_belong_to_their_markers(whole):
    (figure,) = [f for f in whole.document.figures if f.key.startswith("isoflop")]
    found = [m for k in range(3) for m in markers(figure, f"runs{k}")]
    tips = [figure.tips[i] for i, _, _ in found]
    assert len(tips) == len(set(tips)) == 21
    assert along([np.log(quantity(t, "N")) for t in tips], [x for _, x, _ in found]) > 0.9999
    assert along([quantity(t, "loss") for t in tips], [y for _, _, y in found]) > 0.9999


def test_drawing_leaves_the_settings_of_matplotlib_alone(curve):
    import matplotlib

    before = dict(matplotlib.rcParams)
    assert curve.document.figures[0].draw("k", "t", "a")
    assert dict(matplotlib.rcParams) == before
