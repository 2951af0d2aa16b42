"""A task of one's own and a stage that comes first, on nodes that know the sweep folder alone."""

import os
import subprocess
import sys
import tomllib

import pytest

pytest.importorskip("torch")

from scaling import api
from scaling.runs.records import PRETRAIN, load_plan, read_record
from tests.training.test_training_own import CODE, STUDY, TRANSFER, _toml


def run_in_slurm(slurm, folder, out):
    """Run a sweep under Slurm from a folder; return what its command said."""
    words = [sys.executable, "-m", "scaling", "sweep", "run", "study.toml", "-o", str(out),
             "--engine", "slurm", "--device", "cpu"]  # fmt: skip
    env = {**os.environ, **slurm.env}
    return subprocess.run(
        words, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=240
    )


def test_nodes_find_the_code_of_a_task(slurm, tmp_path):
    (tmp_path / "sines.py").write_text(CODE)
    text = STUDY.replace("[1e4, 2e4, 4e4, 8e4]", "[4e3]")
    assert tomllib.loads(text)["design"]["data"] == [4e3]
    (tmp_path / "study.toml").write_text(text)
    done = run_in_slurm(slurm, tmp_path, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    records = [read_record(tmp_path / "out", p["id"]) for p in load_plan(tmp_path / "out")]
    assert [r["status"] for r in records] == ["done"] * 5


def test_nodes_find_the_weights_that_points_start_from(slurm, tmp_path):
    (tmp_path / "study.toml").write_text(_toml(TRANSFER))
    done = run_in_slurm(slurm, tmp_path, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    here = tmp_path / "here"
    planned = api.plan(tmp_path / "study.toml")
    api.run(planned, here, engine="debug")
    for folder in (PRETRAIN, "."):
        for point in load_plan(here / folder):
            there, own = (read_record(at / folder, point["id"]) for at in (tmp_path / "out", here))
            assert there["loss"] == own["loss"]
