"""Without torch, tables are fitted and reported on, and training says what to install."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
QUICKSTART = ROOT / "sweeps" / "quickstart.toml"
# Python runs this at its start, in worker processes too; to both `import` and `find_spec` it looks
# as if torch were not installed.
HOOK = """
import importlib.machinery
import sys


class Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision"):
            return None
        return super().find_spec(name, path, target)


sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = Finder
"""


@pytest.fixture
def python(tmp_path):
    """Run Python in an empty folder, without torch."""
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(HOOK)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(hook), str(ROOT)])}

    def run(*args):
        return subprocess.run(
            [sys.executable, *map(str, args)],
            cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    return run


@pytest.mark.parametrize("name", ["torch", "torchvision"])
def test_the_hook_works(python, name):
    done = python("-c", f"import importlib.util as u; print(u.find_spec({name!r})); import {name}")
    assert done.stdout.strip() == "None"
    assert f"No module named '{name}'" in done.stderr


def test_fit_and_report(python, small_table, tmp_path):
    options = ["--bootstrap", 50, "-o", "fit.json"]
    done = python("-m", "scaling", "fit", small_table, *options)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "fit.json").read_text())["schema"] == "scaling/fit@1"
    done = python("-m", "scaling", "report", "fit.json", "-o", "report.html")
    assert done.returncode == 0, done.stderr
    assert "</html>" in (tmp_path / "report.html").read_text()


def test_report_on_a_table(python, small_table, tmp_path):
    done = python("-m", "scaling", "report", small_table, "-o", "report.html")
    assert done.returncode == 0, done.stderr
    assert "</html>" in (tmp_path / "report.html").read_text()


def test_planning(python):
    done = python("-m", "scaling", "sweep", "plan", QUICKSTART, "--smoke", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["points"]


def test_training_names_the_extra(python):
    done = python("-m", "scaling", "sweep", "run", QUICKSTART, "-o", "out", "--smoke")
    assert done.returncode == 2, done.stderr
    assert "SC001" in done.stderr
    assert "scaling-study[train]" in done.stderr
