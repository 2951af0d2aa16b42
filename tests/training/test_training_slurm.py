"""Sweeps on a real Slurm of three nodes, and what may befall them."""

import pytest

pytest.importorskip("torch")

from scaling.runs.records import read_record
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
    name = sweep.rng.choice(sweep.midway(3))["node"]
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
