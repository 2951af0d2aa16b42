"""Wheel and archive: the one installs ``scaling`` alone and works from an empty folder."""

import email
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import get_args

import pytest

from scaling.fitting.result import Status

pytest.importorskip("build")
pytest.importorskip("hatchling")
pytest.importorskip("hatch_fancy_pypi_readme")

ROOT = Path(__file__).parents[1]
if not (ROOT / "scaling").is_dir():
    pytest.skip("no source to build beside the tests", allow_module_level=True)
LEFT_OUT = {".ci", ".gitignore", ".pre-commit-config.yaml"}  # of the checkout, not in the archive
STATUS = " | ".join(f"Literal[{status!r}]" for status in get_args(Status))
SNIPPET = """
import scaling as sc

found = sc.fit(sc.read("results.csv"), law="chinchilla")
reveal_type(found)
assert isinstance(found, sc.Fit)
reveal_type(found.params)
reveal_type(found.status)
reveal_type(found.plot)
reveal_type(sc.load("fit.json"))
reveal_type(sc.isoflop)
reveal_type(sc.compare(found))
reveal_type(sc.plan("study.toml"))
reveal_type(sc.preflight)
reveal_type(sc.suggest("out"))
reveal_type(sc.law("chinchilla"))
reveal_type(sc.report(found))
found.parms
sc.fti
"""


def run(command, **options):
    return subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True, text=True, timeout=300, check=False, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    target = tmp_path_factory.mktemp("wheel")
    done = run(["-m", "build", "--no-isolation", "-o", target, ROOT])
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (made,) = target.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def archive(wheel):
    """Return the names in the source archive, below its one folder."""
    (made,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(made) as packed:
        return {name.split("/", 1)[1] for name in packed.getnames()}


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


def test_the_archive_carries_what_its_tests_read(archive):
    command = ["git", "ls-files", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a checkout")
    kept = {n for n in done.stdout.split("\0") if n and (ROOT / n).is_file()}
    missing = {name for name in kept - archive if name.split("/")[0] not in LEFT_OUT}
    assert missing == {n for n in kept if re.fullmatch(r"reports/[^/]+\.(html|pdf)", n)}
    assert archive - kept <= {"PKG-INFO", ".gitignore", *untracked()}


def untracked():
    command = ["git", "ls-files", "-z", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.split("\0")


def test_the_index_shows_no_link_that_is_dead_there(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        told = email.message_from_bytes(archive.read(name))
    text = told.get_payload(decode=True).decode()
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert [link for link in links if not link.startswith("https://")] == []
    first, *_ = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert text.startswith(first)
    assert "docs/report.png" not in text
    assert told["Description-Content-Type"] == "text/markdown"
    versions = [c.split(" :: ")[-1] for c in told.get_all("Classifier") if ":: Python ::" in c]
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in versions


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


def test_types_reach_whoever_installs_it(site, tmp_path):
    """As a user's mypy sees it: the package in site-packages, with its py.typed."""
    pytest.importorskip("mypy")
    done = run(["-m", "venv", "--without-pip", tmp_path / "env"])
    assert done.returncode == 0, done.stderr
    (packages,) = (tmp_path / "env").glob("lib/python*/site-packages")
    (packages / "scaling").symlink_to(site / "scaling")
    (tmp_path / "mine.py").write_text(SNIPPET)
    python = tmp_path / "env" / "bin" / "python"
    options = ["--strict", "--python-executable", python, "--cache-dir", tmp_path / "cache"]
    done = run(["-m", "mypy", *options, "mine.py"], cwd=tmp_path)
    told = re.findall(r'Revealed type is "(.*)"', done.stdout)
    ends = [re.sub(r"\w+\.(?=\w)", "", each).split(" -> ")[-1] for each in told]
    assert ends == [
        "Fit | Fits", "Mapping[str, float]", STATUS, "Any", "Fit | Fits", "Allocation",
        "Comparison", "Plan", "Preflight", "Suggestions", "Law", "Report",
    ]  # fmt: skip
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(errors) == 2, errors
    assert '"Fit" has no attribute "parms"' in errors[0]
    assert 'Module has no attribute "fti"' in errors[1]
