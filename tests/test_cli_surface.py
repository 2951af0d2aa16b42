"""The surface of the program: help, exit codes, what --help loads, the docs' commands.

``python tests/test_cli_surface.py`` writes docs/reference/commands.md.
"""

import inspect
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
PAGE = ROOT / "docs" / "reference" / "commands.md"
COMMANDS = ["init", "study", "sweep plan", "sweep run", "sweep status", "sweep logs",
            "sweep cancel", "sweep classes", "sweep suggest", "import", "check", "fit",
            "predict", "compare", "report", "plot", "data list", "data fetch", "data sources",
            "laws list",
            "laws show", "bench", "doctor", "config", "explain"]  # fmt: skip
HEAVY = ["matplotlib", "numpy", "pandas", "scipy", "seaborn", "sympy", "torch"]
HERE = """study.toml sweeps out/quickstart out/images results.csv recipes.csv curve.csv export.csv
flan.csv wandb mlflow.db fit.json old new"""
NETWORK = {"data fetch"}
PROFILE = "mkdir -p ~/.config/scaling && echo '[engine]' > ~/.config/scaling/cluster.toml"
INTRODUCTION = f"""<!-- here: {HERE} -->
# Commands

Data go to standard output, talk to standard error. Every command explains itself with `--help`.

Exit codes: 0 done (diverged points give a warning); 1 some points failed, or a printed figure
disagrees; 2 usage, configuration or data error; 3 internal error; 4 the fit failed or is not
identified; 130 interrupted.
"""
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


def page():
    """Return docs/reference/commands.md."""
    return INTRODUCTION + "".join(section(name) for name in COMMANDS)


def section(name):
    """Return what the page says of a command: its help and its options."""
    command = LEAVES[name]
    lines = [line.strip() for line in inspect.cleandoc(command.help).splitlines() if line.strip()]
    examples = [line for line in lines if line.startswith("scaling ")]
    prose = " ".join(line for line in lines if line not in examples)
    parts = [f"\n## scaling {name}\n", prose + "\n"]
    if examples:
        parts += ["<!-- elsewhere: network -->"] * (name in NETWORK)
        if name == "init":  # the page's folder has a study, which the other commands read
            parts.append("<!-- before: mv study.toml kept.toml -->")
        if name == "doctor":
            parts.append(f"<!-- before: {PROFILE} -->")
        parts.append("```sh\n" + "\n".join(map(commented, examples)) + "\n```\n")
        if name == "init":
            parts.append("<!-- before: mv kept.toml study.toml -->\n")
    rows = [(spelling(p), describe(p)) for p in command.params if p.name != "help"]
    parts.append("| Argument or option | Meaning |\n|---|---|")
    parts += [f"| `{spelled}` | {meaning} |" for spelled, meaning in rows]
    return "\n".join(parts) + "\n"


def commented(example):
    """Return an example of a help text as a line of the shell."""
    return re.sub(r"\s{3,}", "     # ", example)


def spelling(parameter):
    if parameter.param_type_name == "argument":
        return parameter.name.upper()
    return ", ".join(sorted([*parameter.opts, *parameter.secondary_opts], key=len))


def describe(parameter):
    default = parameter.default
    shown = default is not None and not isinstance(default, bool | list | tuple)
    return parameter.help.replace("|", "\\|") + (f" Default: {default}." if shown else "")


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


def test_every_command_and_option_stands_in_the_docs():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tests/test_cli_surface.py"


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


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
