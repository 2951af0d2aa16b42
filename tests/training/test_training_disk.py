"""Full and read-only disks, real ones: a clear error, nothing half-written, the same bits after.

The program runs in a mount namespace of its own; its folder is a small file system in memory.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("torch")

from scaling.runs.records import PointFiles, load_plan, read_record
from scaling.training import driver
from tests.training.conftest import ROOT, timeless

MOUNT = ["unshare", "--mount", "sh", "-c"]
STUDY = {
    "data": {
        "source": "markov",
        "options": {"symbols": 16, "tokens": 60_000, "validation_tokens": 8_000},
    },
    "design": {"kind": "grid", "params": [9e2], "data": [1.6e4, 3.2e4]},
    "engine": {"checkpoint_seconds": 0.001},
}
SCRIPT = """
set -e
mount -t tmpfs -o size=4m none "$0"
cd "$0"
fill() { dd if=/dev/zero of=ballast bs=1k 2>/dev/null || true; truncate -s -"$1"k ballast; }
sweep() { "$PY" -m scaling sweep run "$1" -o out --workers 1 --device cpu 1>&2; }
"""


def may_mount():
    if shutil.which("unshare") is None:
        return False
    done = subprocess.run([*MOUNT, "mount -t tmpfs none /mnt"], capture_output=True, check=False)
    return done.returncode == 0


needs_mount = pytest.mark.skipif(not may_mount(), reason="may not mount a file system")


def inside(folder, script, *words):
    """Run a shell script where `folder` is a file system of 4 MB."""
    folder.mkdir(exist_ok=True)
    return subprocess.run(
        [*MOUNT, SCRIPT + textwrap.dedent(script), str(folder), *map(str, words)],
        capture_output=True, text=True, env=environment(), check=False, timeout=120,
    )  # fmt: skip


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT), "PY": sys.executable}


def left_in(out):
    """Return everything that a finished sweep has; nothing half-written may be among it."""
    found = {"results.csv": (out / "results.csv").read_bytes()}
    for point in load_plan(out):
        files = PointFiles.of(out, point["id"])
        assert sorted(p.name for p in files.folder.iterdir()) == ["curve.csv", "record.json"]
        found[point["id"]] = timeless(read_record(out, point["id"])), files.curve.read_bytes()
    return found


@pytest.fixture(scope="module")
def plain(plan_into, tmp_path_factory):
    return plan_into(tmp_path_factory.mktemp("plain"), **STUDY)


@pytest.fixture(scope="module")
def quiet(plain, tmp_path_factory):
    """Return what the study leaves when nothing happens to it."""
    out = tmp_path_factory.mktemp("quiet") / "out"
    shutil.copytree(plain, out)
    driver.run(out, workers=1, device="cpu")
    return left_in(out)


@needs_mount
def test_a_checkpoint_that_finds_the_disk_full_says_so(tmp_path):
    """Torch makes another error of it, which would look like a fault of the point."""
    done = inside(
        tmp_path,
        """
        fill 500
        "$PY" - <<'END'
        import torch
        from pathlib import Path
        from scaling.errors import OutputError
        from scaling.training.checkpoint import Checkpoints
        kept = Checkpoints(Path("run"))
        kept.save(20, {"weights": torch.arange(100.0)})
        for numbers in (200_000, 2_000_000):
            try:
                kept.save(40, {"weights": torch.zeros(numbers)})
            except OutputError as error:
                print(error)
        print(sorted(path.name for path in Path("run").iterdir()))
        print(kept.latest(torch.device("cpu"))["weights"].sum())
        END
        """,
    )
    said = "error[SC003] run/checkpoint-0000000040.pt  cannot be written: No space left"
    assert done.stdout.count(said) == 2, done.stderr
    assert "['checkpoint-0000000020.pt', 'checkpoint-0000000020.sha256']" in done.stdout
    assert "tensor(4950.)" in done.stdout


# The room that is free decides which file finds none; seconds between checkpoints likewise.
@needs_mount
@pytest.mark.parametrize(
    ("room", "seconds", "file"),
    [
        pytest.param(0, 0.001, "driver.lock", marks=pytest.mark.slow),
        (28, 0.001, "checkpoint-00000000[24]0.(pt|sha256)"),
        pytest.param(44, 0.001, "checkpoint-00000000[46]0.(pt|sha256)", marks=pytest.mark.slow),
        pytest.param(8, 60.0, "(curve.csv|progress.json)", marks=pytest.mark.slow),
        pytest.param(12, 60.0, "(record.json|curve.csv|progress.json)", marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_is_told_and_the_same_command_goes_on(
    plain, quiet, tmp_path, room, seconds, file
):
    place, kept = tmp_path / "place", tmp_path / "kept"
    planned = shutil.copytree(plain, tmp_path / "planned")
    study = json.loads((planned / "study.json").read_text())
    study["engine"]["checkpoint_seconds"] = seconds
    (planned / "study.json").write_text(json.dumps(study))
    done = inside(
        place,
        """
        cp -r "$1" out
        fill "$2"
        code=0
        sweep out || code=$?
        echo "code $code"
        mkdir "$3"
        cp -r out "$3/full"
        rm ballast
        sweep out
        cp -r out "$3/out"
        """,
        planned,
        room,
        kept,
    )
    assert done.stdout.split("\n")[0] == "code 2", done.stderr
    said = " ".join(done.stderr.split())
    found = re.search(r"error\[SC003\] out/(\S+) cannot be written: No space left on device", said)
    assert found, done.stderr
    assert re.search(file + "$", found[1])
    for point in load_plan(kept / "full"):
        record = read_record(kept / "full", point["id"])
        assert record is None or record["status"] == "done"
    assert not (kept / "full" / "driver.lock").exists()
    assert left_in(kept / "out") == quiet


@needs_mount
def test_a_plan_that_finds_no_room_leaves_nothing(tmp_path):
    done = inside(tmp_path / "place", "fill 0; sweep $1", ROOT / "sweeps" / "quickstart.toml")
    assert done.returncode == 2
    assert "error[SC003] out/" in done.stderr


@needs_mount
@pytest.mark.parametrize("planned", [True, False])
def test_a_read_only_folder_is_told_before_anything_is_trained(plain, tmp_path, planned):
    done = inside(
        tmp_path / "place",
        """
        cp -r "$1" out
        mount -o remount,ro "$0"
        sweep "$2"
        """,
        plain,
        "out" if planned else ROOT / "sweeps" / "quickstart.toml",
    )
    assert done.returncode == 2
    assert "error[SC003] out/" in done.stderr
    assert "Read-only file system" in " ".join(done.stderr.split())
    assert "done" not in done.stderr


@needs_mount
def test_a_folder_that_becomes_read_only_is_told_and_the_same_command_goes_on(
    plain, quiet, tmp_path
):
    kept = tmp_path / "kept"
    done = inside(
        tmp_path / "place",
        """
        cp -r "$1" out
        sweep out & runner=$!
        while ! ls out/points/*/*/checkpoint-*.pt 2> /dev/null 1>&2; do sleep 0.02; done
        while ! mount -o remount,ro "$0" 2> /dev/null; do :; done  # busy while one is written
        code=0
        wait $runner || code=$?
        echo "code $code"
        mount -o remount,rw "$0"
        sweep out
        cp -r out "$2"
        """,
        plain,
        kept,
    )
    assert done.stdout.split("\n")[0] == "code 2", done.stderr
    assert "error[SC003] out/" in done.stderr
    assert "internal" not in done.stderr
    assert left_in(kept) == quiet
