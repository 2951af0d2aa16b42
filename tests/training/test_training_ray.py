"""Sweeps on a real Ray of three nodes, and what may befall them."""

import json
import os
import signal
import subprocess
import sys

import pytest

pytest.importorskip("torch")

from tests.training.faults import SEEDS, kill, smoke


@pytest.fixture
def sweep(sweep_on, ray_cluster, seed):
    return sweep_on("ray", ray_cluster, seed)


def test_the_quickstart_is_the_same_under_ray_as_under_any_number_of_workers(tmp_path, ray_cluster):
    found = [
        smoke(tmp_path / "one", {}, "--workers", "1"),
        smoke(tmp_path / "two", {}, "--workers", "2"),
        smoke(tmp_path / "ray", ray_cluster.env, "--engine", "ray"),
    ]
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_worker_is_killed(sweep, quiet, seed):
    sweep.start()
    victims = sweep.midway(2)
    kill(sweep.rng.choice(victims))
    sweep.finish()
    sweep.check(quiet)
    assert sweep.events("lost")
    assert max(sweep.starts().values()) == 2


@pytest.mark.parametrize("seed", SEEDS)
def test_a_node_is_killed(sweep, ray_cluster, quiet, seed):
    sweep.start()
    name = sweep.rng.choice(sweep.midway(1, nodes=("n1", "n2")))["node"]
    ray_cluster.kill_node(name)
    try:
        sweep.finish()
    finally:
        ray_cluster.add_node(name)
    sweep.check(quiet)
    assert {e["why"] for e in sweep.events("lost")} == {"node lost"}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_driver_is_killed_and_started_again(sweep, quiet, seed):
    sweep.start()
    sweep.midway(2)
    sweep.process.kill()
    sweep.process.wait()
    sweep.start()
    sweep.finish()
    sweep.check(quiet)
    assert max(sweep.starts().values()) > 1


@pytest.mark.parametrize("seed", SEEDS)
def test_a_process_is_asked_to_leave(sweep, quiet, seed):
    sweep.start()
    victim = sweep.rng.choice(sweep.midway(2))
    os.kill(victim["pid"], sweep.rng.choice([signal.SIGTERM, signal.SIGUSR2]))
    sweep.finish()
    sweep.check(quiet)
    assert [e["id"] for e in sweep.events("stopped")] == [victim["id"]]
    assert sweep.events("lost") == []


@pytest.mark.parametrize("seed", SEEDS)
def test_a_node_with_a_full_scratch_disk_is_given_up(sweep, ray_cluster, quiet, seed):
    """One that comes while the sweep runs, so that it is not found before."""
    sweep.start()
    sweep.midway(1)
    ray_cluster.add_node("n3", full_scratch=True)
    try:
        sweep.finish()
    finally:
        ray_cluster.kill_node("n3")
    sweep.check(quiet)
    assert "is given up" in sweep.talk()
    assert "SC315" in sweep.talk()


@pytest.mark.parametrize(
    "how",
    [
        "cancel",
        *(pytest.param(how, marks=pytest.mark.slow) for how in ("ctrl-c", "deadline", "sigterm")),
    ],
)
def test_a_sweep_is_stopped_while_tasks_run_and_wait(sweep_on, ray_cluster, quiet, how):
    sweep = sweep_on("ray", ray_cluster, 0)
    sweep.start(*(["--deadline", "6"] if how == "deadline" else []))
    if how != "deadline":
        sweep.midway(1)  # of six points on three places
    if how == "cancel":
        words = [sys.executable, "-m", "scaling", "sweep", "cancel", str(sweep.out)]
        subprocess.run(words, env=sweep.env, check=True, capture_output=True)
    elif how != "deadline":
        sweep.process.send_signal(signal.SIGINT if how == "ctrl-c" else signal.SIGTERM)
    sweep.finish(130)
    assert "Check failed" not in sweep.talk()
    assert not (sweep.out / "driver.lock").exists()
    assert not (sweep.out / "stop").exists()
    status = [sys.executable, "-m", "scaling", "sweep", "status", str(sweep.out), "--json"]
    done = subprocess.run(status, env=sweep.env, check=True, capture_output=True)
    assert json.loads(done.stdout)["counts"]["running"] == 0
    sweep.start()
    sweep.finish()
    sweep.check(quiet)
