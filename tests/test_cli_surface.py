"""The surface of the program: help, exit codes, what --help loads, the docs' commands."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from scaling.cli.app import app

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "commands.md"
COMMANDS = ["study", "sweep plan", "sweep run", "sweep status", "fit", "report", "laws list",
            "laws show", "bench", "explain"]  # fmt: skip
HEAVY = ["matplotlib", "numpy", "pandas", "scipy", "seaborn", "sympy", "torch"]
ENV = {**os.environ, "PYTHONPATH": str(ROOT)}


def walk(command, path=()):
    """Yield the words and the command of every leaf."""
    children = getattr(command, "commands", None)
    if children is None:
        yield " ".join(path), command
    else:
        for name, child in children.items():
            yield from walk(child, (*path, name))


LEAVES = dict(walk(typer.main.get_command(app)))


def scaling(*args, cwd=ROOT):
    return subprocess.run(
        [sys.executable, "-m", "scaling", *map(str, args)],
        capture_output=True, text=True, cwd=cwd, env=ENV, timeout=120, check=False,
    )  # fmt: skip


def sections():
    """Return the text of each command's section of the page."""
    parts = re.split(r"^## scaling (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("arguments", [("--help",), ("fit", "--help"), ("--version",)])
def test_help_loads_nothing_heavy(arguments):
    code = (
        "import sys\n"
        f"sys.argv = ['scaling', *{arguments!r}]\n"
        "from scaling.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=ENV, check=True
    )
    assert out.stdout.splitlines()[-1] == "HEAVY []"


def test_every_registered_command_is_listed_here():
    assert sorted(LEAVES) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help(name):
    command = LEAVES[name]
    assert (command.help or "").strip()
    undescribed = [p.name for p in command.params if not getattr(p, "help", None)]
    assert undescribed == []
    out = scaling(*name.split(), "--help")
    assert out.returncode == 0
    assert not out.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_stands_in_the_docs(name):
    section = sections()[name]
    words = set(re.findall(r"--?[a-z][a-z-]*", section))
    options = {
        o for p in LEAVES[name].params for o in (*p.opts, *p.secondary_opts) if o.startswith("-")
    }
    assert sorted(options - words - {"-h", "--help"}) == []


def test_the_docs_name_no_command_or_option_that_is_not_there():
    assert sorted(sections()) == sorted(COMMANDS)
    for name, section in sections().items():
        options = {o for p in LEAVES[name].params for o in (*p.opts, *p.secondary_opts)}
        table = re.findall(r"^\| `(.+?)`", section, flags=re.M)
        named = {o for cell in table for o in re.findall(r"(?<!\S)--?[a-z][a-z-]*", cell)}
        assert sorted(named - options) == [], name


def test_misspelt_option_and_missing_file(tmp_path):
    assert scaling("fit", "--lw", "x").returncode == 2
    out = scaling("fit", "nowhere.csv", cwd=tmp_path)
    assert out.returncode == 2
    assert "error[SC005]" in out.stderr
    assert "Traceback" not in out.stderr


def test_explain_and_version():
    out = scaling("explain", "sc102")
    assert out.returncode == 0
    assert "not a number" in out.stdout
    assert scaling("explain", "SC999").returncode == 2
    assert scaling("--version").stdout.startswith("scaling ")


def test_plan_from_flags_as_json():
    out = scaling("sweep", "plan", "--params", "4e3,8e3", "--data", "1e4,2e4", "--json")
    assert out.returncode == 0
    data = json.loads(out.stdout)
    assert data["schema"] == "scaling/plan@1"
    assert data["totals"]["points"] == 4
