"""Install the built wheel into a fresh environment and run the archive's tests there.

``python .ci/installed.py JOB [--tests all]``, after ``make build``; `make check-wheel`,
`make check-minimum` and `make check-newest` do both. The tests are unpacked from the source archive
into an empty folder, without the package: what they import is what pip installed. Only the standard
library is needed here.

No job but `wheel` has torch: the oldest that pyproject allows, and those for other Pythons, are
downloads of gigabytes, so training is tested under the versions of constraints.txt alone. Ray,
Slurm, trackers and Hugging Face likewise. What is left out says so among the skipped tests.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ["pdf", "parquet", "test"]
# A study from its plan to its report, and the loop.
TRAINING = [
    "tests/training/test_training_loop.py",
    "tests/test_sweeps.py::test_a_study_runs_in_small[quickstart]",
]
# Old releases warn of newer ones of what they use: whether they work is asked, not what they say.
QUIET = ["-W", "ignore::DeprecationWarning"]
# Versions, Pythons (the first that is there), extras, and what else pytest is told.
JOBS = {
    "wheel": ("pinned", ["3.11"], [*EXTRAS, "train"], TRAINING),
    "minimum": ("lowest", ["3.11"], EXTRAS, QUIET),
    "newest": ("newest", ["3.14", "3.13", "3.12", "3.11"], EXTRAS, []),
}
# About three minutes on two cores, out of twenty: what touches NumPy, SciPy, pandas, SymPy, Typer,
# pydantic and matplotlib most. `--tests all` runs all that is not slow.
PART = """
tests/runs tests/laws tests/count tests/test_no_torch.py tests/test_layers.py tests/test_codes.py
tests/test_cli_surface.py tests/cli/test_cli_json.py tests/cli/test_cli_plot.py
tests/cli/test_cli_predict_compare.py tests/fitting/test_fitting_recovery.py
tests/fitting/test_fitting_objective.py tests/fitting/test_fitting_isoflop.py
tests/fitting/test_fitting_json.py tests/fitting/test_fitting_packed.py
tests/planning/test_planning_plan.py tests/planning/test_planning_study.py
tests/reporting/test_reporting_docs.py tests/reporting/test_reporting_html.py
tests/reporting/test_reporting_notebook.py tests/reporting/figures/test_every_kind.py
""".split()


def main() -> int:
    """Run one job; return the exit status of its tests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("--tests", choices=["part", "all"], default="part")
    parser.add_argument("--python", help="an interpreter; by default the job's")
    asked = parser.parse_args()
    versions, pythons, extras, more = JOBS[asked.job]
    interpreter = asked.python or find_python(pythons)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"scaling-{asked.job}-") as place:
        python, folder = install(Path(place), interpreter, versions, extras)
        tests = [*(["tests"] if asked.tests == "all" else PART), *more]
        say(f"{asked.job}: installed after {time.monotonic() - started:.0f} s")
        status = run_tests(python, folder, tests)
    how = "FAILED" if status else "passed"
    say(f"{asked.job}: {how} in {time.monotonic() - started:.0f} s")
    return status


def find_python(versions: list[str]) -> str:
    """Return the first interpreter that runs, those of pyenv among them."""
    for version in versions:
        kept = (Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python{version}")
        for found in [shutil.which(f"python{version}"), *sorted(kept)]:
            if found and _version(found).startswith(f"{version}."):
                return str(found)
        say(f"no python{version} here")
    sys.exit("error: none of these Pythons is here: " + ", ".join(versions))


def _version(python: str | Path) -> str:
    code = "import platform, venv; print(platform.python_version())"
    return subprocess.run([python, "-c", code], capture_output=True, text=True).stdout


def install(place: Path, interpreter: str, versions: str, extras: list[str]) -> tuple[Path, Path]:
    """Install the wheel, unpack the tests; return the interpreter and the folder of the tests."""
    (wheel,), (archive,) = (sorted((ROOT / "dist").glob(e)) for e in ("*.whl", "*.tar.gz"))
    subprocess.run([interpreter, "-m", "venv", place / "env"], check=True)
    python = place / "env" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    if versions == "pinned":
        pip += ["-c", ROOT / "constraints.txt"]
    elif versions == "lowest":
        (place / "lowest.txt").write_text(lowest(extras))
        pip += ["-c", place / "lowest.txt"]
    subprocess.run([*pip, f"{wheel}[{','.join(extras)}]"], check=True)
    with tarfile.open(archive) as packed:
        packed.extractall(place, filter="data")
    (folder,) = place.glob("*/PKG-INFO")
    shutil.rmtree(folder.parent / "scaling")
    say(f"{wheel.name}[{','.join(extras)}], {versions} versions, Python {_version(python).strip()}")
    subprocess.run([python, "-m", "pip", "list", "--format=freeze"], check=True)
    return python, folder.parent


def lowest(extras: list[str]) -> str:
    """Return constraints to the lowest versions that pyproject.toml allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = project["dependencies"] + [
        line for extra in extras for line in project["optional-dependencies"][extra]
    ]
    return "".join(f"{re.fullmatch(BOUND, line)[1]}=={re.fullmatch(BOUND, line)[2]}\n"
                   for line in needed)  # fmt: skip


CHOSEN = "-m|not slow and not gpu|-n|2|--dist|loadfile|-p|no:cacheprovider".split("|")
BOUND = r"([\w.-]+)>=([\d.]+)"  # as every dependency is written


def run_tests(python: Path, folder: Path, tests: list[str]) -> int:
    """Run tests where nothing but the archive's files lies; what is skipped says why."""
    env = {k: v for k, v in os.environ.items() if k not in ("CI", "PYTHONPATH")}
    where = [python, "-c", "import scaling; print(scaling.__file__)"]
    found = subprocess.run(where, cwd=folder, env=env, check=True, capture_output=True, text=True)
    if python.parents[1] not in Path(found.stdout).parents:
        sys.exit(f"error: not the installed package: {found.stdout}")
    command = [python, "-m", "pytest", "-q", *CHOSEN, *tests]
    return subprocess.run(command, cwd=folder, env=env).returncode


def say(text: str) -> None:
    """Write a line at once, so that it stands above what subprocesses write."""
    sys.stdout.write(f"== {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
