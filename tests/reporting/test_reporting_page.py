"""The page's own parts: templates of users, what is folded, what very many runs leave out."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from scaling.errors import ConfigError
from scaling.reporting import Report
from scaling.reporting.document import Document, Figure, Section, Table, Tip, Verdict
from scaling.reporting.figures.svg import finish
from scaling.reporting.renderers import html

EXTENDS = '{% extends "report.html.j2" %}\n'


def document(count=3, rows=3, columns=("run", "loss")):
    """Return a document of a figure with `count` points, `rows` of which have a row."""
    uses = "".join(f'<use href="#m" x="{k}" y="1"/>' for k in range(count))

    def draw(*words):
        svg = f'<svg width="1" xmlns="x"><g id="p">{uses}</g></svg>'
        return finish(svg, *words[-3:], {"p": list(range(count))})

    tips = tuple(Tip(f"run {k}", f"run-a-{k}") for k in range(count))
    data = {"n": list(range(count))}
    figure = Figure("k", "title", "caption", "alt", "good", data, tips, draw)
    table = Table("Every run", columns, tuple((f"r{k}", "1.5") for k in range(rows)),
                  ("left", "right"), anchors=tuple(f"run-a-{k}" for k in range(rows)))  # fmt: skip
    verdict = Verdict("weak", "", "headline", "sure")
    return Document("title", "sub", "", (verdict,), (Section("Data", (table, figure), key="data"),))


# ---------------------------------------------------------------------------------------- templates


def test_a_template_overrides_a_block_and_keeps_the_rest(write):
    path = write(
        "t.j2", EXTENDS + "{% block header %}<header>{{ d.title }} of us</header>{% endblock %}"
    )
    page = Report(document()).html(path)
    assert "<header>title of us</header>" in page
    assert "<h1>" not in page
    assert "headline" in page
    assert page.count("<script") == 2


@pytest.mark.parametrize("block", ["style", "header", "answer", "section", "footer"])
def test_every_block_can_be_overridden(write, block):
    path = write("t.j2", EXTENDS + f"{{% block {block} %}}/*{block} of us*/{{% endblock %}}")
    page = Report(document()).html(path)
    assert f"/*{block} of us*/" in page
    assert page != Report(document()).html()


def test_the_template_of_the_manual(write):
    manual = (Path(__file__).parents[2] / "docs" / "reference" / "page.md").read_text(
        encoding="utf-8"
    )
    (text,) = re.findall(r"```jinja\n(.*?)```", manual, re.DOTALL)
    page = Report(document()).html(write("t.j2", text))
    assert "<h1>Our lab: title</h1>" in page
    assert "h1 { color: teal }" in page
    assert ":root{" in page


def test_a_template_can_use_the_parts_of_the_page(write):
    text = (
        "{% block answer %}{{ verdict_of(d.verdicts[0], 1) }}{% endblock %}"
        "{% block section %}{{ block_of(s.blocks[0], s.heading) }}{% endblock %}"
    )
    page = Report(document()).html(write("t.j2", EXTENDS + text))
    assert "headline" in page
    assert page.count("<table") == 1
    assert "<figure" not in page


def test_texts_are_escaped_in_a_template(write):
    path = write("t.j2", EXTENDS + "{% block footer %}{{ d.title }}{% endblock %}")
    page = Report(replace(document(), title="<script>x</script>")).html(path)
    assert "<script>x" not in page


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (EXTENDS + "\n{% block header %}", 3),
        (EXTENDS + "{% block header %}\n{{ d.title }\n{% endblock %}", 3),
        ("{% nonsense %}", 1),
    ],
)
def test_a_broken_template_is_named_with_its_line(write, text, line):
    path = write("t.j2", text)
    with pytest.raises(ConfigError) as caught:
        Report(document()).html(path)
    (fault,) = caught.value.faults
    assert fault.code == "SC004"
    assert fault.where == f"{path}:{line}"
    assert "extends" in fault.expected


def test_an_unknown_name_in_a_template(write):
    path = write("t.j2", EXTENDS + "{% block header %}{{ nothing_here }}{% endblock %}")
    with pytest.raises(ConfigError, match="nothing_here") as caught:
        Report(document()).html(path)
    assert caught.value.faults[0].code == "SC004"


def test_a_missing_template(tmp_path):
    with pytest.raises(ConfigError) as caught:
        Report(document()).html(tmp_path / "none.j2")
    assert caught.value.faults[0].code == "SC005"


def test_a_template_reaches_no_python(write):
    path = write("t.j2", EXTENDS + "{% block header %}{{ ''.__class__.__mro__ }}{% endblock %}")
    with pytest.raises(ConfigError) as caught:
        Report(document()).html(path)
    assert caught.value.faults[0].code == "SC004"


# ------------------------------------------------------------------------------ what is heavy


def points(page):
    return json.loads(page.split('id="points">')[1].split("</script>")[0])


def test_few_points_keep_every_tip():
    page = Report(document(5, 3)).html()
    assert [text for text, _ in points(page)["tips"]] == [f"run {k}" for k in range(5)]
    assert page.count("data-i=") == 5


def test_of_very_many_points_those_with_a_row_keep_their_tip(monkeypatch):
    monkeypatch.setattr(html, "MOST_TIPS", 4)
    page = Report(document(7, 3)).html()
    assert points(page) == {"tips": [[f"run {k}", f"run-a-{k}"] for k in range(3)],
                            "figures": {"k": [0, 1, 2]}}  # fmt: skip
    assert re.findall(r'data-i="(\d+)"', page) == ["0", "1", "2"]
    assert page.count("<use ") == 7


def test_data_that_outweigh_the_page_are_named_and_left_out(monkeypatch):
    monkeypatch.setattr(html, "MOST_PACKED", 10)
    page = Report(document(50, 3)).html()
    assert "download=" not in page
    assert "its data stand in the report as JSON" in page


def test_a_row_of_a_table_costs_little():
    few, many = (len(Report(document(3, rows)).html()) for rows in (100, 1100))
    assert (many - few) / 1000 < 60


def test_columns_are_set_by_one_rule_a_table():
    page = Report(document()).html()
    assert '<table class="a0" data-sorts>' in page
    assert ".a0 :is(td,th):nth-child(2){text-align:right}" in page
    wide = Report(document(columns=("x" * 40, "y"))).html()
    assert ".a0 :is(td,th):nth-child(1){overflow-wrap:anywhere}" in wide


def test_labels_of_regions_are_numbered():
    one = document()
    page = Report(
        replace(one, sections=(*one.sections, Section("More", one.sections[0].blocks[:1], key="m")))
    ).html()
    assert 'aria-label="Every run"' in page
    assert 'aria-label="Every run (2)"' in page
