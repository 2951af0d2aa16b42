"""The built wheel installs ``scaling`` alone and works from an empty folder."""

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("build")
pytest.importorskip("hatchling")

ROOT = Path(__file__).parents[1]


def run(command, **options):
    return subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True, text=True, timeout=300, check=False, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    target = tmp_path_factory.mktemp("wheel")
    done = run(["-m", "build", "--wheel", "--no-isolation", "-o", target, ROOT])
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (made,) = target.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    target = tmp_path_factory.mktemp("site")
    done = run(["-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", target, wheel])
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def program(site, tmp_path):
    """Run Python in an empty folder, with the installed wheel first on the path."""
    empty = tmp_path / "empty"
    empty.mkdir()
    env = {**os.environ, "PYTHONPATH": str(site)}
    return lambda *command: run(command, cwd=empty, env=env)


def test_wheel_holds_only_scaling(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"scaling"}
    assert "scaling/py.typed" in names
    assert any(n.startswith("scaling/reporting/renderers/templates/") for n in names)
    assert any(n.endswith(".dist-info/licenses/LICENSE") for n in names)
    assert {f"scaling/sweeps/{p.name}" for p in (ROOT / "sweeps").glob("*.toml")} <= set(names)
    assert not [n for n in names if n.endswith((".pyc", ".csv", ".pt"))]


def test_wheel_holds_every_module(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    source = {p.relative_to(ROOT).as_posix() for p in (ROOT / "scaling").rglob("*.py")}
    assert source <= names


def test_installing_adds_only_scaling(site):
    # `bin` holds the console script: pip puts it beside the packages when given --target.
    found = {p.name for p in site.iterdir() if not p.name.endswith(".dist-info")}
    assert found == {"scaling", "bin"}


@pytest.mark.parametrize(
    "name", ["analysis", "benchmarks", "docs", "reports", "sweeps", "tests", "cli"]
)
def test_other_folders_cannot_be_imported(program, name):
    # -S leaves out site-packages, where a development install may name the checkout.
    done = program("-S", "-c", f"import {name}")
    assert done.returncode != 0
    assert f"No module named '{name}'" in done.stderr
    assert program("-S", "-c", "import scaling").returncode == 0


def test_help_and_version(program, site):
    where = program("-c", "import scaling; print(scaling.__file__)").stdout
    assert where.startswith(str(site))
    done = program("-m", "scaling", "--help")
    assert done.returncode == 0, done.stderr
    assert "study" in done.stdout
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert program("-m", "scaling", "--version").stdout.strip() == f"scaling {project['version']}"


def test_fits_and_reports(program, small_table):
    done = program("-m", "scaling", "fit", small_table, "--bootstrap", "50", "-o", "fit.json")
    assert done.returncode == 0, done.stderr
    folder = small_table.parent / "empty"
    done = program("-m", "scaling", "report", "fit.json", "-o", "report.html")
    assert done.returncode == 0, done.stderr
    assert (folder / "report.html").stat().st_size > 10_000


def templates():
    own = tomllib.loads((ROOT / "scaling" / "cli" / "templates.toml").read_text(encoding="utf-8"))
    return sorted([*own, *(path.stem for path in (ROOT / "sweeps").glob("*.toml"))])


def test_every_template_is_written_and_plans(program, tmp_path):
    """In one process, which forgets the checkout: -S leaves out site-packages' own paths."""
    code = """
import json, sys
from pathlib import Path
from typer.testing import CliRunner
import scaling
from scaling.cli.app import app
from scaling.planning.study import read_study

said = {}
for name in sys.argv[1:]:
    done = CliRunner().invoke(app, ["init", name, "--template", name])
    assert done.exit_code == 0, (name, done.output, done.exception)
    study = read_study(Path(name) / "study.toml")
    if study.data.table is None and not (name == "fashion-mnist" or name == "isoflop-text"):
        words = ["sweep", "plan", f"{name}/study.toml", "--json", "--no-preflight"]
        smoke = ["--smoke"] if name != "task" else []
        done = CliRunner().invoke(app, [*words, *smoke])
        assert done.exit_code == 0, (name, done.output, done.exception)
        assert json.loads(done.stdout)["points"]
    said[name] = sorted(path.name for path in Path(name).iterdir())
print(json.dumps({"from": scaling.__file__, "files": said}))
"""
    done = program("-c", code, *templates())
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert "site0" in found["from"], "the wheel, not the checkout"
    assert set(found["files"]) == set(templates())
    assert found["files"]["quickstart"] == ["study.toml"]
    assert found["files"]["table"] == ["results.csv", "study.toml"]
    assert found["files"]["task"] == ["sines.py", "study.toml"]


def test_the_wheel_says_what_to_cite(program):
    assert "@software{scaling-study," in program("-m", "scaling", "--citation").stdout


def test_writes_pdf(program, small_table):
    pytest.importorskip("typst")
    options = ["--bootstrap", "50", "-o", "fit.json"]
    assert program("-m", "scaling", "fit", small_table, *options).returncode == 0
    options = ["-o", "report.html", "--pdf", "report.pdf"]
    done = program("-m", "scaling", "report", "fit.json", *options)
    assert done.returncode == 0, done.stderr
    assert (small_table.parent / "empty" / "report.pdf").read_bytes().startswith(b"%PDF")
