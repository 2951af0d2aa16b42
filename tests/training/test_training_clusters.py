"""The clusters of the other tests: nodes are there, have what they should, and can be ended."""

import json
import os
import subprocess
import sys
import time

# By node, what a task finds: the package, whether there is space, and its environment.
TASK = """
import json, ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

@ray.remote(max_retries=0)
def look():
    import os, pathlib, scaling
    try:
        space = bool(pathlib.Path(os.environ["TMPDIR"], str(os.getpid())).write_bytes(bytes(9999)))
    except OSError:
        space = False
    keep = "TMPDIR", "OMP_NUM_THREADS"
    return [scaling.__file__, space, *map(os.environ.get, keep)]

ray.init(log_to_driver=False, logging_level="error")
nodes = {n["NodeManagerAddress"]: n["NodeID"] for n in ray.nodes() if n["Alive"]}
tasks = [look.options(scheduling_strategy=On(i, soft=False)).remote() for i in nodes.values()]
print(json.dumps(dict(zip(nodes, ray.get(tasks), strict=True))))
"""


def look(cluster):
    env = {**os.environ, **cluster.env}
    command = [sys.executable, "-W", "ignore", "-c", TASK]
    return json.loads(subprocess.run(command, env=env, check=True, capture_output=True).stdout)


def test_slurm_nodes_have_gpus(slurm):
    assert slurm.run("sinfo", "-h", "-p", "debug", "-o", "%D %T").split() == ["3", "idle"]
    for count, seen in ((1, "0"), (2, "0,1")):
        shown = slurm.run("srun", f"--gres=gpu:{count}", "printenv", "CUDA_VISIBLE_DEVICES")
        assert shown.strip() == seen


def test_jobs_of_a_lost_slurm_node_are_requeued(slurm):
    wrap = ("--gres=gpu:1", "-o", "/dev/null", "--wrap", "exec srun sleep 60")
    job = slurm.run("sbatch", "--parsable", "-w", "n2", *wrap).strip()
    _await(lambda: slurm.squeue()[job] == ("RUNNING", "None", "n2"))
    slurm.kill_node("n2", told=True)
    _await(lambda: slurm.squeue()[job] == ("PENDING", "BeginTime", ""))
    slurm.restore_node("n2")
    slurm.run("scancel", job)
    assert slurm.squeue()[job][0] == "CANCELLED"


def test_slurm_nodes_with_full_disks(slurm_with):
    cluster = slurm_with(full_scratch=["n3"], full_spool=["n2"])
    write = ("bash", "-c", "head -c 9999 /dev/zero >$TMPDIR/$$ && echo space || echo none")
    found = [cluster.run("srun", "-w", name, *write).strip() for name in ("n1", "n3")]
    assert found == ["space", "none"]
    job = cluster.run("sbatch", "--parsable", "-w", "n2", "--wrap", "true").strip()
    _await(lambda: cluster.squeue()[job] == ("PENDING", "launch failed requeued held", ""))
    cluster.kill_node("n2")
    cluster.restore_node("n2", repaired=True)
    assert cluster.run("srun", "-w", "n2", "echo", "runs") == "runs\n"


def test_ray_tasks_run_on_every_node(ray_cluster):
    found = look(ray_cluster)
    assert len(found) == 3
    for package, space, folder, threads in found.values():
        assert package.startswith(ray_cluster.env["PYTHONPATH"])
        assert (space, folder, threads) == (True, str(ray_cluster.scratch), "1")


def test_ray_nodes_come_and_go(ray_cluster):
    ray_cluster.kill_node("n1")
    ray_cluster.add_node("n3", full_scratch=True)
    spaces = {address: found[1] for address, found in look(ray_cluster).items()}
    assert spaces == {"127.0.0.10": True, "127.0.0.12": True, "127.0.0.13": False}


def _await(fact, patience=10.0):
    until = time.monotonic() + patience
    while not fact():
        assert time.monotonic() < until
        time.sleep(0.1)
