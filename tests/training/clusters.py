"""Real clusters on this host: a Slurm and a Ray of three nodes, whose nodes tests may end."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NEEDED = ("unshare", "nsenter", "mount", "setsid")  # of util-linux
SLURM = ("slurmctld", "slurmd", "munged", "munge", "sbatch", "srun")


def without(*commands):
    """Return what of the commands, and of what nodes need, this host lacks."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    lacking = [name for name in (*NEEDED, *commands) if shutil.which(name, path=path) is None]
    if not lacking and subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        lacking = ["the right to make mount namespaces"]
    return ", ".join(lacking)


def without_slurm():
    return without(*SLURM)


def without_ray():
    return "ray" if importlib.util.find_spec("ray") is None else without()


class Cluster:
    """A cluster that a script starts, each node in a namespace of its own.

    Jobs find `scratch` in TMPDIR; on the nodes of `full_scratch` a disk without space lies there.
    """

    script: str

    def __init__(self, folder, full_scratch=(), full_spool=()):
        self.folder = Path(folder).resolve()
        self.scratch = self.folder / "scratch"
        self._full = {"FULL_SCRATCH": " ".join(full_scratch), "FULL_SPOOL": " ".join(full_spool)}
        try:
            self._call("up", **self._full)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def _call(self, verb, *words, **env):
        own = {"PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "OWNER": str(os.getpid())}
        done = subprocess.run(
            [HERE / self.script, verb, self.folder, *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, env={**os.environ, **own, **env}, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def node_of(self, pid):
        """Return the node that a process runs on, by the mount point that it sees."""
        try:
            seen = Path(f"/proc/{pid}/mountinfo").read_text()
        except OSError:  # it has ended
            return None
        found = re.search(rf" {re.escape(str(self.folder))}/disk/(\S+) ", seen)
        return found and found[1]

    def kill_node(self, name):
        """End a node with all that runs on it, as a power cut would."""
        self._call("kill", name)

    def close(self):
        self._call("down")


class SlurmCluster(Cluster):
    """Slurm with nodes n1 to n3 of two CPUs and two GPUs, and partitions debug and urgent.

    The spool folders of the nodes of `full_spool` have no space.
    """

    script = "slurm_cluster.sh"

    @property
    def env(self):
        return {"SLURM_CONF": str(self.folder / "slurm.conf"), "TMPDIR": str(self.scratch)}

    def run(self, *words):
        """Run a command of Slurm and return what it prints."""
        env = {**os.environ, **self.env}
        return subprocess.run(words, env=env, text=True, check=True, stdout=subprocess.PIPE).stdout

    def kill_node(self, name, told=False):
        """End a node; unless the controller is told, it takes some 15 s to notice."""
        super().kill_node(name)
        if told:
            self.run("scontrol", "update", f"nodename={name}", "state=down", "reason=power cut")

    def restore_node(self, name, repaired=False):
        """Start a node again; its disks have space if it was repaired."""
        self._call("node", name, **({"FULL_SCRATCH": "", "FULL_SPOOL": ""} if repaired else {}))

    def squeue(self):
        """Return state, reason and node of each job and array task, ended ones included."""
        lines = self.run("squeue", "-h", "-r", "-t", "all", "-o", "%i|%T|%r|%N").splitlines()
        return {words[0]: tuple(words[1:]) for words in (line.split("|") for line in lines)}


class RayCluster(Cluster):
    """Ray with nodes head, n1 and n2 of one CPU."""

    script = "ray_cluster.sh"

    @property
    def address(self):
        return (self.folder / "address").read_text().strip()

    @property
    def env(self):
        return {
            "RAY_ADDRESS": self.address,
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(self.scratch),
        }

    def add_node(self, name="n3", full_scratch=False):
        """Start a node, one that was ended or another."""
        full = {"FULL_SCRATCH": name} if full_scratch else {}
        self._call("node", name, **full)
