"""Kill matrix through the command line: whatever dies, the results are those of a quiet run.

Runners and workers get SIGKILL at seeded random moments, or in the midst of writing a checkpoint or
a record. Every point must end with exactly one record, and results.csv, records and curves must
equal the quiet run's bit for bit. With ``-s`` the tests print what they did.
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
    STACKS,
    TRUNKS,
    Matrix,
    interrupt,
    kill_runners,
    kill_workers,
    kill_writes,
    measure,
    tell,
)

KINDS = {"small": SMALL, "trunks": TRUNKS, "stacks": STACKS}


@pytest.fixture(scope="module")
def matrix_of(tmp_path_factory):
    """Return the matrix of a study, whose quiet run is made once."""
    made = {}

    def get(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            study = folder / "study.toml"
            study.write_text(KINDS[name])
            made[name] = measure(Matrix(study, folder, False, name == "stacks"))
        return made[name]

    return get


@pytest.fixture(scope="module")
def small(matrix_of):
    return matrix_of("small")


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    return measure(Matrix(QUICKSTART, tmp_path_factory.mktemp("smoke"), smoke=True))


@pytest.fixture
def often(smoke):
    """Return quickstart as it is and with frequent checkpoints, which do not enter ids."""
    return [QUICKSTART, frequent(smoke, OFTEN)]


def frequent(matrix, line):
    copy = matrix.folder / f"often-{len(list(matrix.folder.iterdir()))}.toml"
    copy.write_text(QUICKSTART.read_text().replace('name = "local"\n', f'name = "local"\n{line}'))
    assert line in copy.read_text()
    return copy


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


@pytest.mark.parametrize("kind", ["trunks", pytest.param("stacks", marks=pytest.mark.slow)])
def test_killed_in_the_midst_of_writes(matrix_of, kind):
    began, matrix = time.monotonic(), matrix_of(kind)
    kill_writes(matrix, 2, seed=13, studies=[matrix.study])
    tell(matrix, began)


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


@pytest.mark.slow
def test_twenty_writes_of_the_quickstart_that_are_killed(smoke):
    began = time.monotonic()
    studies = [frequent(smoke, "checkpoint_seconds = 0.02\n")]
    kill_writes(smoke, 20, seed=23, studies=studies)
    tell(smoke, began)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["trunks", "stacks"])
def test_forty_kills_of_trunks_and_of_stacks(matrix_of, kind):
    began, matrix = time.monotonic(), matrix_of(kind)
    kill_writes(matrix, 20, seed=31, studies=[matrix.study])
    kill_runners(matrix, 10, seed=32, studies=[matrix.study])
    kill_workers(matrix, 10, seed=33, studies=[matrix.study])
    tell(matrix, began)
