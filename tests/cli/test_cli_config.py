"""Defaults of options from files and the environment: their order, their origins, their refusal."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scaling.cli import machine, settings
from scaling.cli.app import app
from scaling.errors import ScalingError
from tests.cli.conftest import ENV


@pytest.fixture
def cli(tmp_path, monkeypatch):
    """Run a command in the test's folder; `user` and `local` are the texts of the two files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCALING_CONFIG", str(tmp_path / "user.toml"))
    (tmp_path / "user.toml").touch()

    def run(*words, user=None, local=None):
        if user is not None:
            (tmp_path / "user.toml").write_text(user)
        if local is not None:
            (tmp_path / "scaling.toml").write_text(local)
        words = list(map(str, words))
        monkeypatch.setattr(sys, "argv", ["scaling", *words])
        return CliRunner().invoke(app, words)

    return run


def test_the_stronger_place_wins(cli, monkeypatch, small_table):
    def seed(*words):
        found = cli("fit", small_table, "--bootstrap", 0, "--no-backtest", "--json", *words)
        assert found.exit_code == 0, found.output
        return json.loads(found.stdout)["provenance"]["command"], found.stderr

    assert "--seed" not in seed()[0]
    cli("config", user="[fit]\nseed = 1\n")
    assert "scaling fit --seed 1 results.csv" in seed()[0]
    cli("config", local="[fit]\nseed = 2\n")
    command, said = seed()
    assert "--seed 2" in command
    assert "--seed 1" not in command
    assert "seed = 2 from ./scaling.toml\n" in said
    monkeypatch.setenv("SCALING_FIT_SEED", "3")
    command, said = seed()
    assert "--seed 3" in command
    assert "seed = 3 from SCALING_FIT_SEED\n" in said
    command, said = seed("--seed", 4)
    assert command.endswith("--seed 4")
    assert "--seed 3" not in command
    assert " from " not in said


def test_the_recorded_command_gives_the_same_fit(cli, tmp_path, small_table):
    local = """[fit]
bootstrap = 25
interval-method = "wild"
fix = ["E=1.7"]
backtest = false
"""
    first = cli("fit", small_table, "-o", "a.json", local=local)
    assert first.exit_code in (0, 4), first.output
    stored = json.loads((tmp_path / "a.json").read_text())
    command = stored["provenance"]["command"]
    for option in ("--bootstrap 25", "--interval-method wild", "--fix E=1.7", "--no-backtest"):
        assert option in command
    (tmp_path / "scaling.toml").unlink()
    again = cli(*command.replace("a.json", "b.json").split()[1:])
    assert again.exit_code == first.exit_code
    assert " from ./scaling.toml" not in again.stderr
    assert json.loads((tmp_path / "b.json").read_text())["fits"] == stored["fits"]


def test_options_of_a_command_in_a_group(cli, monkeypatch):
    monkeypatch.setenv("SCALING_SWEEP_RUN_WORKERS", "3")
    found = cli("config", local='[sweep.run]\nworkers = 2\ndevice = "cpu"\n')
    assert found.stdout.splitlines() == [
        "[sweep.run] workers = 3     SCALING_SWEEP_RUN_WORKERS",
        '[sweep.run] device = "cpu"  ./scaling.toml',
    ]
    assert "looked at ./scaling.toml\n" in found.stderr


def test_every_option_with_its_origin(cli):
    found = cli("config", "show", "fit", "--all", "--json", local="[fit]\nbootstrap = 200\n")
    data = json.loads(found.stdout)
    rows = {row["option"]: row for row in data["settings"]}
    assert rows["bootstrap"]["value"] == 200
    assert rows["bootstrap"]["origin"] == "./scaling.toml"
    assert rows["seed"] == {
        "section": "fit", "option": "seed", "value": 0, "text": "0", "origin": "built-in",
    }  # fmt: skip
    assert data["files"][1] == {"path": "./scaling.toml", "found": True}
    assert all(row["section"] == "fit" for row in data["settings"])
    assert len(json.loads(cli("config", "--all", "--json").stdout)["settings"]) >= 200


def test_nothing_is_set(cli):
    found = cli("config")
    assert found.stdout == ""
    assert found.stderr.startswith("nothing is set")
    assert cli("config", "no", "such").exception.code == "SC004"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[fit]\nbootstrp = 2\n", ("[fit] bootstrp", 'did you mean "bootstrap"?')),
        ("[ftt]\nseed = 2\n", ("[ftt]", 'did you mean "fit"?')),
        ("[sweep.rnu]\nworkers = 2\n", ("[sweep] rnu", 'did you mean "run"?')),
        ("seed = 2\n", ("[seed]", "no such command")),
        ("fit = 2\n", ("[fit]", "a section [fit] of options")),
        ('[fit]\nbootstrap = "many"\n', ("[fit] bootstrap", "'many'", "an integer")),
        ("[fit]\nbootstrap = 2.5\n", ("[fit] bootstrap", "2.5", "an integer")),
        ("[fit]\nbootstrap = true\n", ("[fit] bootstrap", "True", "an integer")),
        ("[fit]\nbootstrap = -1\n", ("[fit] bootstrap", "-1", "0")),
        ("[fit]\ninterval = [1]\n", ("[fit] interval", "a number")),
        ("[fit]\nsensitivity = 1\n", ("[fit] sensitivity", "true or false")),
        ("[fit]\nwhere = [true]\n", ("[fit] where", "True", "text")),
        ("[fit", ("./scaling.toml", "not TOML")),
    ],
)
def test_what_cannot_be_used_is_refused(cli, small_table, text, said):
    words = ("sweep", "run") if text.startswith("[sweep") else ("fit", small_table)
    found = cli(*words, local=text)
    assert isinstance(found.exception, ScalingError)
    assert {fault.code for fault in found.exception.faults} == {"SC013"}
    assert found.exception.faults[0].where.startswith("./scaling.toml")
    for words in said:
        assert words in str(found.exception)
    assert found.stdout == ""
    told = cli("config")
    assert told.exit_code == 2
    assert said[0] in told.stderr


def test_the_doctor_says_what_is_expected(cli):
    cli("config", local="[fit]\nxyzzy = 1\n")
    (check,) = machine.setting_checks()
    assert check.mend.startswith("one of ")
    assert "bootstrap" in check.mend


def test_all_faults_at_once(cli, small_table, monkeypatch):
    monkeypatch.setenv("SCALING_FIT_SED", "1")
    monkeypatch.setenv("SCALING_FIT_BOOTSTRAP", "many")
    found = cli("fit", small_table, local="[fit]\nsed = 2\nfull = 1\n", user="[xyz]\n")
    assert len(found.exception.faults) == 5
    assert "did you mean SCALING_FIT_SEED?" in str(found.exception)


def test_what_another_command_would_use_stops_nothing(cli, monkeypatch):
    monkeypatch.setenv("SCALING_STUDY_NAME", "x")
    found = cli("laws", "list", local="[report]\nthem = 1\n")
    assert found.exit_code == 0
    assert "not used here, and cannot be: ./scaling.toml [report] them; see" in found.stderr
    assert "SCALING_STUDY_NAME; see scaling config" in found.stderr
    assert "them" in str(cli("report", "x.csv").exception)
    (fault,) = cli("study").exception.faults
    assert (fault.where, fault.mend) == ("SCALING_STUDY_NAME", "unset SCALING_STUDY_NAME")


@pytest.mark.parametrize("words", [("--help",), ("fit", "--help"), ("--version",), ("config",),
                                   ("explain", "SC013"), ("init", "new")])  # fmt: skip
def test_broken_settings_do_not_stop_help(cli, words):
    found = cli(*words, local="[fit]\nbootstrp = 2\n")
    assert found.exit_code == (2 if words == ("config",) else 0)
    assert found.output


def test_a_value_goes_through_the_checks_of_its_flag(cli, tmp_path, small_table):
    found = cli("report", small_table, local='[report]\ntheme = "nothing"\n')
    assert isinstance(found.exception, ScalingError)
    assert "--theme" in str(found.exception) or "theme" in str(found.exception)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("text", "value"), [("0", False), ("no", False), ("TRUE", True), ("on", True)]
)
def test_switches_of_the_environment(cli, monkeypatch, text, value):
    monkeypatch.setenv("SCALING_STUDY_PDF", text)
    (row,) = json.loads(cli("config", "--json").stdout)["settings"]
    assert row["value"] is value


def test_a_repeated_option_of_the_environment_has_words_of_a_shell(cli, monkeypatch):
    monkeypatch.setenv("SCALING_FIT_WHERE", "'loss < 3' 'N > 2'")
    (row,) = json.loads(cli("config", "--json").stdout)["settings"]
    assert row["value"] == ["loss < 3", "N > 2"]


def test_the_user_s_file(cli, monkeypatch, tmp_path):
    monkeypatch.setenv("SCALING_CONFIG", str(tmp_path / "nowhere.toml"))
    found = cli("laws", "list")
    assert "SCALING_CONFIG" in str(found.exception)
    monkeypatch.delenv("SCALING_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    (tmp_path / "xdg" / "scaling").mkdir(parents=True)
    (tmp_path / "xdg" / "scaling" / "config.toml").write_text("[fit]\nseed = 9\n")
    (row,) = json.loads(cli("config", "--json").stdout)["settings"]
    assert row["origin"].endswith("xdg/scaling/config.toml")


def test_a_home_that_may_not_be_read(cli, monkeypatch, tmp_path):
    def locked(path, **_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_text", locked)
    said = str(cli("laws", "list").exception)
    assert "user.toml" in said
    assert "./scaling.toml" in said
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SCALING_CONFIG", raising=False)
    read = Path.read_text
    monkeypatch.setattr(
        "pathlib.Path.read_text",
        lambda path, **how: locked(path) if path.name == "config.toml" else read(path, **how),
    )
    assert cli("laws", "list").exit_code == 0
    assert "config.toml: not there" in cli("config").stderr


def test_names_of_variables_are_all_different():
    import typer

    root = typer.main.get_command(app)
    names = [settings.variable(command, option) for command, leaf in settings.commands(root)
             for option in settings.options(leaf)]  # fmt: skip
    assert len(names) == len(set(names))
    assert not {"SCALING_CONFIG", "SCALING_VERBOSE", "SCALING_CACHE_DIR", "SCALING_DATA_DIR",
                "SCALING_DATA_URL"} & set(names)  # fmt: skip


def test_help_does_not_name_them(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "scaling", "fit", "--help"],
        capture_output=True, text=True, env=ENV, cwd=tmp_path, check=True,
    )  # fmt: skip
    assert "SCALING_" not in done.stdout
