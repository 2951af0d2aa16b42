"""What is known of a machine and of a checkout, without their names."""

import getpass
import json
import os
import platform
import subprocess

import pytest

from scaling.runs.costs import SOFTWARE, software_of
from scaling.runs.provenance import commit, platform_of


def git(folder, *args):
    who = ("-c", "user.name=n", "-c", "user.email=e@e", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *who, *args], cwd=folder, check=True, capture_output=True,
                          text=True).stdout.strip()  # fmt: skip


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "a").write_text("1")
    git(folder, "add", "a")
    git(folder, "commit", "-qm", "first")
    return folder


def test_commit_and_changes(checkout):
    head = git(checkout, "rev-parse", "HEAD")
    assert commit(checkout) == {"commit": head, "dirty": False}
    (checkout / "a").write_text("2")
    assert commit(checkout) == {"commit": head, "dirty": True}


def test_outside_a_checkout_or_without_git_there_is_none(checkout, tmp_path, monkeypatch):
    assert commit(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit(checkout) is None


def test_a_git_that_does_not_answer_is_no_error(checkout, tmp_path, monkeypatch):
    slow = tmp_path / "bin"
    slow.mkdir()
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout
    text = f'#!/bin/sh\n[ "$1" = status ] && exec sleep 5\nexec {real.strip()} "$@"\n'
    (slow / "git").write_text(text)
    (slow / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow}{os.pathsep}{os.environ['PATH']}")
    found = commit(checkout, seconds=0.5)
    assert found is not None
    assert (len(found["commit"]), found["dirty"]) == (40, None)


def test_a_machine_is_described_and_not_named():
    found = platform_of()
    assert found == {
        "system": platform.system(), "machine": platform.machine(), "cpus": os.cpu_count(),
    }  # fmt: skip
    assert platform.node() not in json.dumps(found)
    assert getpass.getuser() not in found.values()


def test_software_of_a_sweep_and_its_stages(tmp_path):
    def record(**own):
        return {"effort": {}, "point": {}, "provenance": {"data": "ff", "threads": 1} | own}

    for folder, records in (
        (".", [record(torch="2.1", device="cpu", commit={"commit": "ab", "dirty": False}),
               record(torch="2.0", device="cpu", commit=None)]),
        ("pretrain", [record(torch="2.1", device="H100", cuda="12.4", cudnn=9)]),
    ):  # fmt: skip
        path = tmp_path / folder
        path.mkdir(exist_ok=True)
        (path / "records.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    found = software_of(tmp_path)
    assert found == {
        "torch": ["2.0", "2.1"], "cuda": ["12.4"], "cudnn": [9], "device": ["H100", "cpu"],
        "commit": ["ab"],
    }  # fmt: skip
    assert list(found) == [name for name in SOFTWARE if name in found]
    assert software_of(tmp_path / "nothing") == {}
