"""Every analysis of published data gives again what was printed, through the program."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scaling.cli.app import app
from scaling.errors import ConfigError
from scaling.planning.study import read_study
from scaling.runs.public import get_set

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "analysis"
STUDIES = sorted(FOLDER.glob("*.toml"))
HEAD = ("# Question:", "# Source:", "# Run:")


def run(path, out):
    return CliRunner().invoke(app, ["study", str(path), "-o", str(out), "--no-pdf"])


@pytest.fixture
def data(data_dir, monkeypatch):
    """Tables come from SCALING_DATA_DIR and nowhere else."""
    monkeypatch.setenv("SCALING_CACHE_DIR", str(data_dir / "no-cache"))


def test_there_are_analyses():
    assert len(STUDIES) >= 10


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_an_analysis_says_its_question_its_source_and_how_to_run_it(path):
    text = path.read_text(encoding="utf-8")
    head = text[: text.index("schema = 1")].splitlines()
    assert all(any(line.startswith(word) for line in head) for word in HEAD)
    assert f"scaling study analysis/{path.name} -o out/{path.stem}" in "\n".join(head)
    study = read_study(path)
    assert study.study.title
    assert study.study.question.endswith("?")
    assert study.printed
    assert study.data.table in {t.name for t in get_set(study.data.public).files}
    if get_set(study.data.public).offered:
        assert f"scaling data fetch {study.data.public}\n" in text


def test_the_readme_names_every_analysis():
    rows = (FOLDER / "README.md").read_text(encoding="utf-8").splitlines()
    named = {m[1] for row in rows if (m := re.match(r"\| `([\w-]+)` \|", row))}
    assert named == {path.stem for path in STUDIES}


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_an_analysis_gives_what_was_printed(path, tmp_path):
    found = run(path, tmp_path)
    assert found.exit_code == 0, (found.output, found.exception)
    asked = tomllib.loads(path.read_text(encoding="utf-8"))
    stored = json.loads((tmp_path / "fit.json").read_text(encoding="utf-8"))
    rows = stored["provenance"]["printed"]
    assert [row["printed"] for row in rows] == [figure["value"] for figure in asked["printed"]]
    for row, figure in zip(rows, asked["printed"], strict=True):
        allowed = figure.get("tolerance", abs(figure["value"]) * figure.get("relative", 0.0))
        assert abs(row["found"] - figure["value"]) <= allowed, row
        assert row["agrees"] is True
        assert row["source"] == figure["source"]
    assert f"{len(rows)} of {len(rows)} agree" in found.output
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert asked["study"]["title"].split(":")[0] in page.replace("&#39;", "'")


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("number", [0, 5])
def test_a_figure_off_by_ten_tolerances_is_named(number, tmp_path):
    """The copy lies elsewhere: its table is found by name all the same."""
    text = (FOLDER / "openclip-frontier.toml").read_text(encoding="utf-8")
    figure = tomllib.loads(text)["printed"][number]
    off = figure["value"] * (1 + 10 * figure["relative"])
    parts = text.split("[[printed]]")
    written = f"value = {figure['value']}\n"
    assert written in parts[number + 1]
    parts[number + 1] = parts[number + 1].replace(written, f"value = {off}\n")
    copy = tmp_path / "copy.toml"
    copy.write_text("[[printed]]".join(parts), encoding="utf-8")
    found = run(copy, tmp_path / "out")
    assert found.exit_code == 1
    assert f"{len(parts) - 2} of {len(parts) - 1} agree" in found.output
    (marked,) = [line for line in found.output.splitlines() if line.startswith("  ! ")]
    assert f"{off:.6g}" in marked
    assert figure["quantity"] in marked
    rows = json.loads((tmp_path / "out" / "fit.json").read_text())["provenance"]["printed"]
    assert [i for i, row in enumerate(rows) if not row["agrees"]] == [number]
    assert (tmp_path / "out" / "report.html").is_file()


def test_a_table_that_is_not_at_hand_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("SCALING_DATA_DIR", raising=False)
    monkeypatch.setenv("SCALING_CACHE_DIR", str(tmp_path / "cache"))
    found = run(FOLDER / "over-training.toml", tmp_path / "out")
    assert isinstance(found.exception, ConfigError)
    (fault,) = found.exception.faults
    assert fault.code == "SC005"
    assert fault.mend == "scaling data fetch gadre2024_redpajama"
    assert not (tmp_path / "out").exists()
