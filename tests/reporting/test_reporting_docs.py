"""docs/reference/reports.md is true: its table of figures is whole, and its template works."""

import re
from pathlib import Path

import pytest

from scaling.fitting.stored import load
from scaling.reporting import Report, build
from scaling.reporting.figures.kinds import KINDS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "reports.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w+)` \| (fit|group|treatment|all) \|", PAGE, re.MULTILINE)


def test_every_figure_stands_in_the_table_in_the_order_of_reports():
    found = dict(ROWS)
    assert found == {kind.name: kind.per for kind in KINDS}
    usual = [kind.name for kind in KINDS]
    assert [name for name, _ in ROWS] == usual


@pytest.mark.parametrize("ending", ["html", "pdf", "md", "txt", "json"])
def test_every_rendering_is_described(ending):
    assert f"| `.{ending}` |" in PAGE


def test_the_template_of_the_page_works(tmp_path):
    (text,) = re.findall(r"^```jinja[^\n]*\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    template = tmp_path / "lab.html.j2"
    template.write_text(text, encoding="utf-8")
    fits = load(ROOT / "reports" / "quickstart.fit.json")
    plain = Report(build(fits)).html()
    own = Report(build(fits)).html(template)
    for said in ("Example Lab, internal", "kept for two years", "lab@example.org", "#7a1f5c"):
        assert own.count(said) == 1
        assert said not in plain
    assert re.findall("<section id=[^>]*>", own) == re.findall("<section id=[^>]*>", plain)
