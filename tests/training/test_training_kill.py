"""Kill matrix through the command line: whatever dies, the results are those of a quiet run.

Runners and workers get SIGKILL at seeded random moments. Every point must end with exactly one
record, and results.csv, records and curves must equal the quiet run's bit for bit. With ``-s`` the
tests print what they did.
"""

import time
from pathlib import Path

import pytest

pytest.importorskip("torch")
if not Path("/proc/self/cmdline").exists():
    pytest.skip("needs /proc to find worker processes", allow_module_level=True)

from tests.training.killing import (
    OFTEN,
    QUICKSTART,
    SMALL,
    Matrix,
    interrupt,
    kill_runners,
    kill_workers,
    measure,
    tell,
)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    study = folder / "study.toml"
    study.write_text(SMALL)
    return measure(Matrix(study, folder, smoke=False))


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    return measure(Matrix(QUICKSTART, tmp_path_factory.mktemp("smoke"), smoke=True))


@pytest.fixture
def often(smoke):
    """Return quickstart as it is and with frequent checkpoints, which do not enter ids."""
    copy = smoke.folder / "often.toml"
    copy.write_text(QUICKSTART.read_text().replace('name = "local"\n', f'name = "local"\n{OFTEN}'))
    assert OFTEN in copy.read_text()
    return [QUICKSTART, copy]


def test_a_runner_is_alone_and_may_be_interrupted_and_killed_twice(small):
    began = time.monotonic()
    kill_runners(
        small, 2, seed=11, studies=[small.study], prepare=lambda out: interrupt(small, out)
    )
    tell(small, began)


def test_two_killed_workers(small):
    began = time.monotonic()
    kill_workers(small, 2, seed=12, studies=[small.study])
    tell(small, began)


@pytest.mark.slow
def test_ten_killed_runners_of_the_quickstart(smoke, often):
    began = time.monotonic()
    kill_runners(smoke, 10, seed=21, studies=often)
    tell(smoke, began)


@pytest.mark.slow
def test_ten_killed_workers_of_the_quickstart(smoke, often):
    began = time.monotonic()
    kill_workers(smoke, 10, seed=22, studies=often)
    tell(smoke, began)
