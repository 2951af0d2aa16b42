"""Content folders hold content: no code, no other people's data, no machine's paths."""

import csv
import hashlib
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from scaling.planning.study import read_study

ROOT = Path(__file__).parents[1]
TYPES = {
    "sweeps": {".toml", ".md"},
    "analysis": {".toml", ".json", ".md"},
    "reports": {".html", ".pdf", ".json", ".npz", ".md"},
}
TEXT = {".py", ".md", ".toml", ".html", ".json", ".txt", ".cff", ".yml", ".yaml", ".j2", ".csv"}
MACHINE_PATH = re.compile(
    r"(?<![\w.:/~-])/(?:root|home|work|Users|tmp|opt|mnt|srv)/(?!someone\b|user\b)\w+"
    r"|\b[A-Z]:\\Users\\(?!someone\b|user\b)\w+"
)
STUDIES = sorted((ROOT / "sweeps").glob("*.toml"))


def files(folder):
    return [p for p in sorted((ROOT / folder).rglob("*")) if p.is_file()]


@pytest.fixture(scope="module")
def checkout():
    """Return the files that git keeps or would keep."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a checkout")
    return [p for n in done.stdout.split("\0") if n and (p := ROOT / n).is_file()]


@pytest.mark.parametrize("folder", sorted(TYPES))
def test_only_the_types_of_the_design(folder):
    stray = [p.name for p in files(folder) if p.suffix not in TYPES[folder]]
    assert stray == []


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_studies_are_valid(path):
    tomllib.loads(path.read_text(encoding="utf-8"))
    assert read_study(path).study.title


def test_reports_are_small_and_belong_to_a_sweep():
    sweeps = {p.stem for p in STUDIES}
    for path in files("reports"):
        slug = path.relative_to(ROOT / "reports").parts[0].split(".")[0]
        assert slug in sweeps or slug == "README", path.name
        assert path.stat().st_size <= 1_000_000, path.name


def test_no_machine_paths(checkout):
    found = []
    for path in checkout:
        if path.suffix in TEXT and path != Path(__file__):
            match = MACHINE_PATH.search(path.read_text(encoding="utf-8", errors="ignore"))
            if match:
                found.append(f"{path.relative_to(ROOT)}: {match.group()}")
    assert found == []


@pytest.mark.parametrize("text", ['"/home/ann/x"', "see /work/runs", r"C:\Users\ann\x"])
def test_machine_paths_are_seen(text):
    assert MACHINE_PATH.search(text)


@pytest.mark.parametrize("text", ["https://x.org/home/ann", "a/work/b", "/home/someone/x"])
def test_other_paths_are_not(text):
    assert not MACHINE_PATH.search(text)


def test_other_peoples_data_are_not_kept(checkout, data_dir):
    with (data_dir / "MANIFEST.csv").open(newline="", encoding="utf-8") as handle:
        theirs = {
            row["sha256"] for row in csv.DictReader(handle) if Path(row["path"]).suffix == ".csv"
        }
    ours = {hashlib.sha256(p.read_bytes()).hexdigest(): p.name for p in checkout}
    assert {name for sha, name in ours.items() if sha in theirs} == set()


def test_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = project["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert version in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_constraints_cover_what_the_package_needs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    needed = [*project["dependencies"], *(r for e in PINNED for r in extras[e])]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    missing = {_plain(re.split(r"[^\w.-]", r)[0]) for r in needed} - {
        _plain(pin.split("==")[0]) for pin in pins
    }
    assert missing == set()


PINNED = ("train", "pdf", "test", "lint", "docs")


def _plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()
