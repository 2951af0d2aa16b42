"""Sweeps on a real Slurm of three nodes, and what may befall them."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("torch")

from scaling.runs.records import PointFiles, load_plan, read_record
from tests.training.faults import SEEDS, kill, smoke


@pytest.fixture
def sweep(sweep_on, slurm, seed):
    yield sweep_on("slurm", slurm, seed)
    slurm.run("scancel", "--user=root")


def test_the_quickstart_is_the_same_under_slurm(tmp_path, slurm):
    profile = tmp_path / "quick.toml"
    profile.write_text("[engine.slurm]\npoll_seconds = 1\n")
    options = ["--engine", "slurm", "--profile", str(profile)]
    assert smoke(tmp_path / "slurm", slurm.env, *options) == smoke(tmp_path / "local", {})


@pytest.mark.parametrize("seed", SEEDS)
def test_a_worker_is_killed(sweep, quiet, seed):
    sweep.start()
    kill(sweep.rng.choice(sweep.midway(2)))
    sweep.finish()
    sweep.check(quiet)
    assert [e["why"] for e in sweep.events("lost")] == ["Slurm: FAILED"]
    assert max(sweep.starts().values()) == 2


@pytest.mark.parametrize("seed", SEEDS)
def test_a_node_is_killed(sweep, slurm, quiet, seed):
    """Slurm itself runs again what was on it."""
    sweep.start()
    name = sweep.rng.choice(sweep.midway())["node"]
    slurm.kill_node(name, told=True)
    try:
        sweep.finish()
    finally:
        slurm.restore_node(name)
    sweep.check(quiet)
    assert max(sweep.starts().values()) == 2


@pytest.mark.parametrize("seed", SEEDS)
def test_the_driver_is_killed_and_started_again(sweep, quiet, seed):
    """Jobs go on meanwhile, and nothing is started twice."""
    sweep.start()
    sweep.midway(2)
    sweep.process.kill()
    sweep.process.wait()
    sweep.start()
    sweep.finish()
    sweep.check(quiet)
    assert set(sweep.starts().values()) == {1}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_job_is_asked_to_leave(sweep, slurm, quiet, seed):
    """As before a time limit: it keeps a checkpoint and has Slurm run it again."""
    sweep.start()
    victim = sweep.rng.choice(sweep.midway(2))
    slurm.run("scancel", "--signal=USR2", victim["process"].removeprefix("slurm-"))
    sweep.finish()
    sweep.check(quiet)
    assert {e["id"] for e in sweep.events("stopped")} == {victim["id"]}  # Slurm may ask again
    assert sweep.events("lost") == []
    assert sweep.starts()[victim["id"]] >= 2


@pytest.mark.parametrize("seed", SEEDS)
def test_jobs_are_preempted(sweep, slurm, quiet, seed):
    sweep.start()
    sweep.midway(2)
    wrap = ("-p", "urgent", "-N", "3", "--exclusive", "-o", "/dev/null", "--wrap", "srun sleep 2")
    slurm.run("sbatch", *wrap)
    sweep.finish()
    sweep.check(quiet)
    assert sweep.events("stopped")
    assert sweep.events("lost") == []


DEAF = """#!/bin/sh
if [ -e "{flag}" ]; then
  echo "$0: error: Unable to contact slurm controller (connect failure)" >&2
  exit 1
fi
exec {real} "$@"
"""


@pytest.mark.slow
def test_a_slurm_that_is_away_for_a_while_costs_nothing(sweep_on, slurm, quiet, tmp_path):
    """A job dies meanwhile, and cannot be submitted again until Slurm is back."""
    sweep, folder = sweep_on("slurm", slurm, 0), tmp_path / "bin"
    folder.mkdir()
    for name in ("sbatch", "squeue"):
        wrapper = folder / name
        wrapper.write_text(DEAF.format(flag=tmp_path / name, real=shutil.which(name)))
        wrapper.chmod(0o755)
    sweep.env["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
    sweep.start()
    victim = sweep.midway(2)[0]
    (tmp_path / "sbatch").touch()
    (tmp_path / "squeue").touch()
    kill(victim)
    time.sleep(3.0)
    (tmp_path / "squeue").unlink()
    sweep.wait(lambda: "could not be submitted again yet" in sweep.talk(), "a refusal")
    (tmp_path / "sbatch").unlink()
    sweep.finish()
    sweep.check(quiet)
    assert max(sweep.starts().values()) == 2


def test_a_driver_that_is_left_by_ctrl_c_leaves_its_jobs(sweep_on, slurm, quiet):
    sweep = sweep_on("slurm", slurm, 0)
    others = "NodeName=n[2-3]"
    # One node takes two of the six jobs at a time, and then no more: the others wait for long.
    slurm.run("scontrol", "update", others, "State=DRAIN", "Reason=test")
    try:
        sweep.start()
        sweep.midway()
        slurm.run("scontrol", "update", "PartitionName=debug", "State=DOWN")
        sweep.process.send_signal(signal.SIGINT)
        sweep.finish(130)
        assert "stay with Slurm; this command follows them" in " ".join(sweep.talk().split())
        assert not (sweep.out / "driver.lock").exists()
        other = [*sweep.command()[:-3], "local"]
        refused = subprocess.run(other, env=sweep.env, capture_output=True, text=True, check=False)
    finally:
        slurm.run("scontrol", "update", "PartitionName=debug", "State=UP")
        slurm.run("scontrol", "update", others, "State=RESUME")
    assert refused.returncode == 1
    assert "SC301" in refused.stderr
    sweep.start()
    sweep.finish()
    sweep.check(quiet)
    assert set(sweep.starts().values()) == {1}


def test_what_a_driver_has_left_is_cancelled_without_one(sweep_on, slurm, quiet):
    sweep = sweep_on("slurm", slurm, 0)
    sweep.start()
    sweep.midway(2)
    sweep.end()
    words = [sys.executable, "-m", "scaling", "sweep", "cancel", str(sweep.out)]
    done = subprocess.run(words, env=sweep.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "taking the jobs of this sweep from Slurm" in done.stderr
    assert slurm.run("squeue", "-h", "-o", "%i").strip() == ""
    kept = [p for p in load_plan(sweep.out) if PointFiles.of(sweep.out, p["id"]).checkpoints()]
    assert kept
    sweep.start()
    sweep.finish()
    sweep.check(quiet)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_job_that_is_told_to_end_but_not_cancelled_runs_again(sweep, slurm, quiet, seed):
    """As on a cluster that preempts by SIGTERM."""
    sweep.start()
    victim = sweep.rng.choice(sweep.midway(2))
    slurm.run("scancel", "--signal=TERM", victim["process"].removeprefix("slurm-"))
    sweep.finish()
    sweep.check(quiet)
    assert sweep.events("lost") == []
    assert sweep.starts()[victim["id"]] >= 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_job_that_a_person_cancels_stays_cancelled(sweep, slurm, quiet, seed):
    sweep.start()
    victim = sweep.rng.choice(sweep.midway(2))
    slurm.run("scancel", victim["process"].removeprefix("slurm-"))
    sweep.finish(130)
    assert "Stopped by scancel with 1 point left" in sweep.talk()
    assert read_record(sweep.out, victim["id"]) is None
    sweep.start()
    sweep.finish()
    sweep.check(quiet)


@pytest.mark.slow
def test_a_node_that_cannot_even_launch_jobs_is_left_to_slurm(sweep_on, slurm_with, quiet):
    cluster = slurm_with(full_spool=["n2"])
    sweep = sweep_on("slurm", cluster, 0)
    sweep.start()
    sweep.finish()
    sweep.check(quiet)
    assert {e["node"] for e in sweep.events("ready")} == {"n1", "n3"}
    cluster.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_node_with_a_full_scratch_disk_is_given_up(sweep_on, slurm_with, quiet, seed):
    cluster = slurm_with(full_scratch=["n2"])
    sweep = sweep_on("slurm", cluster, seed)
    sweep.start()
    sweep.finish()
    sweep.check(quiet)
    assert "Machine n2 is given up" in sweep.talk()
    ready = {e["node"] for e in sweep.events("ready")}
    assert ready == {"n1", "n3"}
    cluster.close()
