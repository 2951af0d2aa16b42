"""``scaling data sources``, and speeds in the unit of D."""

import json

from typer.testing import CliRunner

from scaling.cli.app import app
from scaling.cli.progress import Board
from scaling.count.tasks import TASKS
from scaling.runs.sources.registry import names, source_of


def cli(*args):
    return CliRunner().invoke(app, list(args))


def test_every_source_is_listed_with_its_tasks():
    lines = cli("data", "sources").stdout.splitlines()
    assert [line.split()[0] for line in lines] == names()
    assert "task: images" in next(line for line in lines if line.startswith("shapes "))


def test_the_options_of_a_source_fit_a_screen():
    found = cli("data", "sources", "markov").stdout
    assert all(len(line) <= 80 for line in found.splitlines())
    assert all(option.name in found for option in source_of("markov").options)


def test_the_options_as_json():
    data = json.loads(cli("data", "sources", "--json").stdout)
    assert data["schema"] == "scaling/sources@1"
    assert {row["name"] for row in data["sources"]} == set(names())


def test_an_unknown_source_is_refused():
    found = cli("data", "sources", "wikipedia")
    assert found.exception.code == "SC012"


def test_every_task_has_a_source_and_every_kind_a_task():
    kinds = {source_of(name).kind for name in names()} - {"external"}
    assert {kind for task in TASKS.values() for kind in task.reads} == kinds


def test_speeds_are_in_what_D_counts(tmp_path):
    point = {"id": "a" * 16, "family": "decoder", "steps": 10, "C": 1.0, "N": 1, "D": 1,
             "trunk": "t", "budget": None, "seconds": None, "group": "g", "lr": 0.1}  # fmt: skip
    units = [
        Board([{**point, "family": family}], tmp_path).units for family in ("decoder", "resnet")
    ]
    assert units == ["tokens", "examples"]
    assert Board([{**point, "family": "own:Task"}], tmp_path).units == "examples"
