"""Every ready-made study goes through plan, train, fit and report with ``--smoke``."""

import csv
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("torch")

from typer.testing import CliRunner

from scaling.cli.app import app

ROOT = Path(__file__).parents[1]
STUDIES = sorted((ROOT / "sweeps").glob("*.toml"))
TRAINED = [p for p in STUDIES if 'source = "external"' not in p.read_text(encoding="utf-8")]
HEAD = ("# Question:", "# Cost:", "# Expect:")


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_a_study_says_its_question_its_cost_and_what_to_expect(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = [line for line in lines[: lines.index("schema = 1")] if line.startswith("#")]
    assert all(any(line.startswith(word) for line in comment) for word in HEAD)
    assert tomllib.loads("\n".join(lines))["study"]["question"]


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")  # inductor's own
@pytest.mark.parametrize("path", TRAINED, ids=lambda p: p.stem)
def test_a_study_runs_in_small(path, tmp_path):
    options = ["-o", tmp_path / "out", "--smoke", "--engine", "debug", "--no-pdf"]
    found = CliRunner().invoke(app, ["study", *map(str, [path, *options])])
    assert found.exit_code == 0, (found.output, found.exception)
    folder = tmp_path / "out" / "smoke"
    text = (folder / "results.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    planned = (folder / "plan.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(rows) == len(planned) > 0
    assert {row["status"] for row in rows} == {"done"}
    variants = {v["name"] for v in tomllib.loads(path.read_text()).get("variant", [])}
    assert {row["group"] for row in rows} == variants or not variants
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert tomllib.loads(path.read_text())["study"]["title"].split(":")[0] in page
