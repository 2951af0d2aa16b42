"""``scaling --citation`` says what CITATION.cff says."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scaling.cli import citation
from scaling.cli.app import app

FILE = Path(__file__).parents[2] / "CITATION.cff"
PEOPLE = """cff-version: 1.2.0
title: 'A title'
authors:
  - family-names: Lovelace
    given-names: Ada
  - name: The others
date-released: 2026-11-30
url: "https://example.org/scaling"
version: 0.1.0
license: Apache-2.0
"""


def entry(text):
    """Fields of the BibTeX entry, without the braces that keep capitals."""
    fields = dict(re.findall(r"^  (\w+) = \{(.*)\},$", text, re.M))
    return {name: re.sub(r"[{}]", "", value) for name, value in fields.items()}


def test_it_equals_the_file():
    yaml = pytest.importorskip("yaml")
    done = CliRunner().invoke(app, ["--citation"])
    assert done.exit_code == 0
    cff = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    names = [a.get("name") or f"{a['given-names']} {a['family-names']}" for a in cff["authors"]]
    found = entry(done.stdout)
    assert found["title"] == cff["title"]
    assert found["author"] == " and ".join(names)
    assert found["version"] == str(cff["version"])
    assert found["license"] == cff["license"]
    assert found.get("url") == (cff.get("url") or cff.get("repository-code"))
    sentence = done.stdout.splitlines()[0]
    assert all(text in sentence for text in (*names, cff["title"], str(cff["version"])))


def test_people_a_year_and_an_address(tmp_path, monkeypatch):
    (tmp_path / "CITATION.cff").write_text(PEOPLE)
    monkeypatch.setattr(citation, "shipped", lambda name: tmp_path / name)
    found = entry(citation.citation())
    assert found["author"] == "Ada Lovelace and The others"
    assert found["year"] == "2026"
    assert found["url"] == "https://example.org/scaling"
    assert "Ada Lovelace, The others (2026). A title. Version " in citation.citation()
