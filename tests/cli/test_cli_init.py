"""``scaling init``: every template is a study that reads, plans and, in small, is fitted."""

import csv
import json
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scaling.cli.app import app
from scaling.cli.init import _complete
from scaling.cli.templates import DEFAULT, templates
from scaling.errors import ScalingError
from scaling.planning.study import read_study

ROOT = Path(__file__).parents[2]
SWEEPS = sorted(path.stem for path in (ROOT / "sweeps").glob("*.toml"))
OWN = ["table", "law", "task"]


@pytest.fixture
def cli(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, list(map(str, words)))


def test_every_ready_made_study_is_a_template():
    assert sorted(templates()) == sorted([*SWEEPS, *OWN])
    assert next(iter(templates())) == DEFAULT


@pytest.mark.parametrize("name", [*SWEEPS, *OWN])
def test_a_template_is_a_study(cli, tmp_path, name):
    done = cli("init", "made/here", "--template", name)
    assert done.exit_code == 0, done.output
    text = (tmp_path / "made" / "here" / "study.toml").read_text(encoding="utf-8")
    read_study(tmp_path / "made" / "here" / "study.toml")
    assert "sweeps/" not in text, "the copy names no place that is not there"
    assert done.stdout.splitlines()[0] == "made/here/study.toml"
    assert "Next: cd made/here" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Next: scaling s")
    if name in SWEEPS:
        assert tomllib.loads(text) == tomllib.loads(
            (ROOT / "sweeps" / f"{name}.toml").read_text(encoding="utf-8")
        )


@pytest.mark.parametrize("name", ["table", "law"])
def test_a_table_is_fitted_and_gives_back_its_truth(cli, tmp_path, name):
    assert cli("init", "--template", name).exit_code == 0
    rows = list(csv.DictReader((tmp_path / "results.csv").read_text().splitlines()))
    assert list(rows[0]) == ["params", "tokens", "flops", "loss"]
    assert len(rows) == 35
    text = (
        (tmp_path / "study.toml")
        .read_text()
        .replace("[[fit]]", "[[fit]]\nbootstrap = 200\nsensitivity = false\nbacktest = false")
    )
    (tmp_path / "study.toml").write_text(text)
    done = cli("study", "--no-pdf")
    assert done.exit_code == 0, done.output
    fit = json.loads((tmp_path / "out" / "fit.json").read_text())["fits"][0]
    assert fit["status"] == "converged"
    truth = templates()[name].drawn["truth"]
    assert set(truth) == set(fit["params"]) - {"a", "b"}
    for key, value in truth.items():
        assert fit["params"][key] == pytest.approx(value, rel=0.2)
        said = f"{key} {value:g}"
        assert said in text, f"study.toml says the truth: {said}"
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000


def test_a_table_is_drawn_the_same_every_time():
    assert templates()["table"].written() == templates()["table"].written()


def test_nothing_is_replaced_unasked(cli, tmp_path):
    (tmp_path / "results.csv").write_text("mine")
    done = cli("init", "--template", "table")
    assert isinstance(done.exception, ScalingError)
    assert done.exception.code == "SC002"
    assert "--force" in str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]
    assert cli("init", "--template", "table", "--force").exit_code == 0
    assert (tmp_path / "results.csv").read_text().startswith("params,")


def test_a_folder_that_cannot_be_written(cli):
    done = cli("init", "/proc/nowhere", "--template", "table")
    assert done.exception.code == "SC003"


def test_an_unknown_template(cli):
    done = cli("init", "--template", "quikstart")
    assert done.exception.code == "SC004"
    assert "did you mean quickstart?" in str(done.exception)


def test_the_list_has_a_line_a_template(cli):
    lines = cli("init", "--list").stdout.splitlines()
    assert [line.split()[0] for line in lines if line[0] != " "] == list(templates())
    assert max(map(len, lines)) <= 80
    said = " ".join(" ".join(lines).split())
    assert said.count("? Cost: ") + said.count(". Cost: ") == len(templates())
    rows = json.loads(cli("init", "--list", "--json").stdout)["templates"]
    assert [row["name"] for row in rows] == list(templates())
    assert all(row["question"] and row["cost"] for row in rows)
    assert next(r for r in rows if r["name"] == "task")["files"] == ["study.toml", "sines.py"]


def test_json_names_what_was_written(cli):
    done = cli("init", "here", "--template", "task", "--json")
    data = json.loads(done.stdout)
    assert data["files"] == ["here/study.toml", "here/sines.py"]
    assert data["next"][0] == "cd here"


def test_without_torch_it_says_what_to_install(cli, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "torch" else found(name)
    )
    assert "Next: pip install 'scaling-study[train]'" in cli("init").stderr
    assert "pip install" not in cli("init", "other", "--template", "table").stderr


def test_names_are_completed():
    assert [name for name, _ in _complete("ta")] == ["table", "task"]
    assert _complete("nothing") == []
