"""What ``scaling doctor`` says of real clusters."""

import pytest

from scaling.training.engines import ray_cluster as ray_commands
from scaling.training.engines import slurm_commands


@pytest.fixture
def slurm_checks(slurm, monkeypatch):
    """Look at the Slurm of the tests for a study with these settings."""
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)

    def look(out=None, on_gpu=False, devices=1, **settings):
        found = slurm_commands.checks({"devices": devices, "slurm": settings}, out, on_gpu)
        return {check.name: check for check in found}

    return look


def test_slurm_takes_the_jobs_and_sees_the_sweep(slurm_checks, planned):
    found = slurm_checks(planned(), on_gpu=True, devices=2, setup=["export A=1"])
    assert {name: check.found for name, check in found.items()} == {
        "slurm": "3 nodes",
        "sbatch": "takes such a job",
        "srun": "a node sees and writes the sweep folder",
    }


@pytest.mark.parametrize(
    ("settings", "found", "mend"),
    [
        (
            {"partition": "nowhere"},
            'no partition "nowhere"; there are debug, urgent',
            'set partition = "debug" in [engine.slurm]',
        ),
        (
            {"on_gpu": True, "devices": 4},
            "no node has cpus-per-task 4, gres gpu:4; the most is 2 CPUs, 4000M, gpu:2",
            "ask for less: [engine] devices, or [engine.slurm] cpus, gres or memory_gib",
        ),
        (
            {"partition": "urgent", "minutes": 61},
            "61 minutes are more than the 60 that the partition allows",
            "set minutes = 60 in [engine.slurm]",
        ),
    ],
)
def test_slurm_would_never_run_such_a_job(slurm_checks, settings, found, mend):
    check = slurm_checks(**settings)["sbatch"]
    assert (check.found, check.code, check.mend) == (found, "SC317", mend)


def test_a_sweep_that_slurm_nodes_do_not_see(slurm_checks, tmp_path):
    check = slurm_checks(tmp_path / "not" / "there")[str(tmp_path / "not" / "there")]
    assert check.code == "SC314"
    assert "No such file or directory" in check.found


def test_slurm_says_which_nodes_are_down(slurm, slurm_checks):
    slurm.run("scontrol", "update", "nodename=n3", "state=drain", "reason=test")
    try:
        found = slurm_checks()["slurm"].found
    finally:
        slurm.run("scontrol", "update", "nodename=n3", "state=resume")
    assert found == "3 nodes, 1 of them down or drained (sinfo -R says why)"


def ray_checks(cluster, out=None, **settings):
    settings = {"name": "ray", "device": "auto", **settings}
    settings["ray"] = {"address": cluster.address, **settings.get("ray", {})}
    return list(ray_commands.checks(settings, out))


def test_ray_nodes_see_the_sweep(ray_cluster, planned):
    found = [check.found for check in ray_checks(ray_cluster, planned())]
    assert found[1:] == [
        "3 nodes with 3 CPUs and 0 GPUs",
        "1 CPU for each point, which a node has",
        "3 of 3 can train and see the sweep folder",
    ]


def test_ray_has_no_such_node(ray_cluster):
    last = ray_checks(ray_cluster, device="cuda", devices=2)[-1]
    assert last.code == "SC317"
    assert last.found == "2 CPU, 2 GPU for each point, which no node has; the most is 1 CPU, 0 GPU"


def test_ray_nodes_that_do_not_see_the_sweep(ray_cluster, tmp_path):
    last = ray_checks(ray_cluster, tmp_path)[-1]
    assert (last.code, last.optional) == ("SC314", False)
    assert "has no plan.jsonl" in last.found
