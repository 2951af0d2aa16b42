"""Writing: whole or not at all, and once where it is said to be once."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scaling.errors import OutputError
from scaling.runs.files import canonical_json, commit_once, refuse_existing, write_atomic

ROOT = Path(__file__).parents[2]
PATHS = 40
RACER = """
import sys
from pathlib import Path
from scaling.runs.files import commit_once
me, folder, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
won = [k for k in range(count) if commit_once(folder / f"{k}" / "record.json", me * 20000)]
print(*won)
"""


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_of_racing_processes_exactly_one_wins_each_file(tmp_path):
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, me, str(tmp_path), str(PATHS)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for me in "xyz"
    ]  # fmt: skip
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    wins = {}
    for me, racer in zip("xyz", racers, strict=True):
        out, _ = racer.communicate(timeout=60)
        assert racer.returncode == 0
        for k in out.split():
            wins.setdefault(int(k), []).append(me)
    assert sorted(wins) == list(range(PATHS))
    for k, winners in wins.items():
        assert len(winners) == 1
        assert (tmp_path / str(k) / "record.json").read_text() == winners[0] * 20000
        assert names(tmp_path / str(k)) == ["record.json"]


def test_the_first_commit_stays(tmp_path):
    path = tmp_path / "deep" / "record.json"
    assert commit_once(path, "first")
    assert not commit_once(path, "second")
    assert path.read_text() == "first"
    assert names(path.parent) == ["record.json"]


def test_writing_replaces_the_whole_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "new" / "fit.json"
    write_atomic(path, "a much longer text")
    write_atomic(path, b"short")
    assert path.read_bytes() == b"short"
    assert names(path.parent) == ["fit.json"]


@pytest.mark.parametrize("action", [write_atomic, commit_once])
def test_a_full_disk_keeps_the_old_file_and_leaves_no_litter(tmp_path, monkeypatch, action):
    path = tmp_path / "fit.json"
    path.write_text("old")

    def full(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError) as caught:
        action(path, "new")
    assert caught.value.code == "SC003"
    assert caught.value.faults[0].mend
    assert path.read_text() == "old"
    assert names(tmp_path) == ["fit.json"]


@pytest.mark.parametrize("action", [write_atomic, commit_once])
def test_a_target_in_a_place_that_is_no_folder(tmp_path, action):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(OutputError) as caught:
        action(tmp_path / "file" / "fit.json", "new")
    assert caught.value.code == "SC003"
    assert (tmp_path / "file").read_text() == "kept"


def test_a_folder_is_not_replaced(tmp_path):
    (tmp_path / "fit.json").mkdir()
    with pytest.raises(OutputError):
        write_atomic(tmp_path / "fit.json", "new")
    assert names(tmp_path) == ["fit.json"]


def test_refuse_existing(tmp_path):
    path = tmp_path / "fit.json"
    refuse_existing(path, force=False)
    path.write_text("old")
    refuse_existing(path, force=True)
    with pytest.raises(OutputError) as caught:
        refuse_existing(path, force=False)
    assert (caught.value.code, caught.value.exit_code) == ("SC002", 2)
    assert "--force" in caught.value.faults[0].mend


def test_canonical_json_is_one_text():
    assert canonical_json({"b": 0.1, "a": [1, None]}) == '{"a":[1,null],"b":0.1}'
    assert canonical_json({"b": 1, "a": 2}) == canonical_json({"a": 2, "b": 1})
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(float("nan"))
