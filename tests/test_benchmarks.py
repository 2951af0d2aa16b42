"""docs/benchmarks.md shows every result, and benchmarks/README.md says how to repeat each."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "benchmarks"
RESULTS = sorted((FOLDER / "results").iterdir())
PAGE = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
README = (FOLDER / "README.md").read_text(encoding="utf-8")


def test_the_page_shows_every_result_under_its_title():
    shown = re.findall(r'^### (.+)\n\n--8<-- "benchmarks/results/([\w.]+):3:"$', PAGE, re.MULTILINE)
    written = {p.name: p.read_text(encoding="utf-8").splitlines()[0] for p in RESULTS}
    assert {name: f"# {title}" for title, name in shown} == written
    assert len(shown) == len(written)


@pytest.mark.parametrize("path", RESULTS, ids=lambda p: p.stem)
def test_a_result_says_when_and_where_it_was_measured(path):
    text = " ".join(path.read_text(encoding="utf-8").split())
    assert re.search(r"Measured \d{4}-\d\d-\d\d, commit [0-9a-f]{7}", text)
    assert re.search(r"Python 3\.\d+", text)
    assert re.search(r"\d+ cores", text)


def test_the_readme_says_how_long_every_script_takes():
    rows = dict(re.findall(r"^\|`(\w+)\.py` *\|[^|]+\|([^|]+)\|$", README, re.MULTILINE))
    scripts = {p.stem for p in FOLDER.glob("*.py") if "__main__" in p.read_text(encoding="utf-8")}
    assert set(rows) == scripts - {"worker_steps"}  # a part of worker.py, started by it
    assert all(takes.strip() for takes in rows.values())
    assert [p.name for p in RESULTS if not p.stem.startswith(tuple(rows))] == []


def test_the_page_includes_how_to_repeat_them():
    assert '--8<-- "benchmarks/README.md:3:"' in PAGE
