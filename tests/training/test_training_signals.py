"""Signals and deadlines through the command line: checkpoints, a clean end, and the same bits."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
if not Path("/proc/self/cmdline").exists():
    pytest.skip("needs /proc to find worker processes", allow_module_level=True)

from scaling.runs.records import PointFiles, load_plan, read_record  # noqa: E402
from scaling.training.checkpoint import Checkpoints  # noqa: E402
from scaling.training.engines.local import MAX_STARTS  # noqa: E402
from tests.training.killing import (  # noqa: E402
    PATIENCE,
    SEVERAL,
    Matrix,
    await_training,
    check,
    measure,
    workers_of,
)

# Checkpoints are only those of who is asked to leave.
STUDY = (SEVERAL % ("", "")).replace("0.02", "1e4")


@pytest.fixture(scope="module")
def matrix(tmp_path_factory):
    folder = tmp_path_factory.mktemp("signals")
    study = folder / "study.toml"
    study.write_text(STUDY)
    return measure(Matrix(study, folder, smoke=False))


def talk(out):
    return (out / "talk.txt").read_text()


def left_well(out):
    """Every point that had begun has a record or a whole checkpoint; nothing else is left."""
    assert workers_of(out) == []
    assert not (out / "driver.lock").exists()
    assert (out / "results.csv").exists()
    assert not list(out.rglob("*.tmp"))
    steps = []
    for point in load_plan(out):
        files = PointFiles.of(out, point["id"])
        if read_record(out, point["id"]) is None and files.progress.exists():
            steps.append(next(Checkpoints(files.folder).steps()))
    return steps


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        ("SIGUSR2", "local"),
        pytest.param("SIGTERM", "local", marks=pytest.mark.slow),
        pytest.param("SIGTERM", "debug", marks=pytest.mark.slow),
    ],
)
def test_a_signal_to_the_runner_ends_it_with_checkpoints(matrix, tmp_path, name, engine):
    out = tmp_path / "out"
    process = matrix.start(out, options=["--engine", engine])
    await_training(process, out)
    process.send_signal(getattr(signal, name))
    assert process.wait(PATIENCE) == 130, talk(out)
    said = " ".join(talk(out).split())
    assert f"Stopped by {name} with " in said
    assert "[SC313]" in said
    assert left_well(out)
    matrix.finish(out)
    check(matrix, out)


@pytest.mark.slow
def test_a_deadline_ends_the_run_with_checkpoints_as_often_as_it_takes(matrix, tmp_path):
    out, codes = tmp_path / "out", []
    deadline = 0.5 * matrix.began
    while 0 not in codes:
        process = matrix.start(out, options=["--deadline", str(deadline)])
        codes.append(process.wait(PATIENCE))
        assert codes[-1] in (0, 130), talk(out)
        left_well(out)
        deadline *= 1.2  # a busy machine may not even have begun
    assert 130 in codes
    assert "Stopped by deadline with " in talk(out)
    assert "[SC313]" in talk(out)
    check(matrix, out)


def test_a_worker_that_is_asked_to_leave_loses_nothing(matrix, tmp_path):
    """However often: it is no death, so its point is not given up."""
    out, asked = tmp_path / "out", 0
    process = matrix.start(out)
    await_training(process, out)
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        running = [p for p in out.glob("points/*/*/progress.json") if p.stat().st_mtime > 0]
        for pid in workers_of(out)[:1] if running and asked <= MAX_STARTS else ():
            os.kill(pid, signal.SIGUSR2)
            asked += 1
            while pid in workers_of(out):
                time.sleep(0.01)
        time.sleep(0.05)
    assert process.wait(PATIENCE) == 0, talk(out)
    assert asked >= 1
    assert "a worker died" not in talk(out)
    check(matrix, out)


@pytest.mark.slow
def test_a_second_signal_changes_nothing(matrix, tmp_path):
    out = tmp_path / "out"
    process = matrix.start(out)
    await_training(process, out)
    for _ in range(3):
        process.send_signal(signal.SIGUSR2)
        process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 130
    assert left_well(out)


def test_a_deadline_that_is_over_trains_nothing(matrix, tmp_path):
    out = tmp_path / "out"
    done = subprocess.run(
        [*matrix.command(out, matrix.study), "--deadline", "0"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 130
    assert "SC313" in done.stderr
    assert left_well(out) == []
    assert all(read_record(out, p["id"]) is None for p in load_plan(out))
