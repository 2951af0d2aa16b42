"""What happens to real clusters: a sweep on one, what strikes it, and what must be left of it."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scaling.runs.records import PointFiles, load_plan
from scaling.training.engines.journal import read_journal, story
from tests.training.killing import QUICKSTART, ROOT, contents

PATIENCE = 240.0
STUDY = """
schema = 1
[data]
source = "markov"
options = { symbols = 64, tokens = 200000, validation_tokens = 20000 }
[design]
kind = "grid"
params = [2.1e3, 4.3e3]
data = [1.5e5, 2e5, 3e5]
[engine]
checkpoint_seconds = 0.2
"""
PROFILE = """
[engine]
device = "cpu"
[engine.slurm]
poll_seconds = 1
minutes = 30
extra = { overcommit = true }
"""
SEEDS = [pytest.param(0), *(pytest.param(i, marks=pytest.mark.slow) for i in range(1, 10))]


class Sweep:
    """A sweep that a driver runs on a cluster.

    Parameters
    ----------
    folder : Path
    engine : {"ray", "slurm"}
    cluster : Cluster
    seed : int
        Of what strikes, and when.
    """

    def __init__(self, folder, engine, cluster, seed=0):
        self.folder, self.engine, self.cluster = folder, engine, cluster
        self.rng = random.Random(f"{engine} {seed}")
        self.out = folder / "out"
        self.study, self.profile = folder / "study.toml", folder / "profile.toml"
        self.study.write_text(STUDY)
        self.profile.write_text(PROFILE)
        self.env = {**os.environ, "PYTHONPATH": str(ROOT), **cluster.env}
        self.process = None

    def command(self):
        words = ["sweep", "run", str(self.study), "-o", str(self.out), "--engine", self.engine]
        return [sys.executable, "-m", "scaling", *words, "--profile", str(self.profile)]

    def start(self, *options):
        with (self.folder / "talk.txt").open("ab") as talk:
            self.process = subprocess.Popen(
                [*self.command(), *options], stdout=subprocess.DEVNULL, stderr=talk, env=self.env
            )

    def end(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def talk(self):
        return (self.folder / "talk.txt").read_text()

    def finish(self, code=0):
        """Wait for the driver's end; it has come to the end of the sweep."""
        assert self.process.wait(PATIENCE) == code, self.talk()

    def wait(self, condition, what):
        """Wait while the driver works."""
        end = time.monotonic() + PATIENCE
        while not (found := condition()):
            assert self.process.poll() is None, f"it ended without {what}\n{self.talk()}"
            assert time.monotonic() < end, f"no {what}"
            time.sleep(0.05)
        return found

    def running(self):
        """What journals say of processes that are in the first half of a point, with its id."""
        found = []
        for path in (self.out / "logs").glob(f"{self.engine}-*.jsonl"):
            events, _ = read_journal(path)
            ready = [e for e in events if e["event"] == "ready"]
            if events and ready and events[-1]["event"] == "start":
                name = events[-1]["id"]
                if self.share(name) < 0.5 and Path(f"/proc/{ready[-1]['pid']}").exists():
                    node = ready[-1]["node"] or self.cluster.node_of(ready[-1]["pid"])
                    found.append({**ready[-1], "id": name, "process": path.stem, "node": node})
        return found

    def share(self, name):
        """How much of a point is done; 1 if it does not run."""
        try:
            state = json.loads(PointFiles.of(self.out, name).progress.read_text())
        except (OSError, ValueError):
            return 1.0
        return state["step"] / state["steps"]

    def midway(self, count=1, nodes=None):
        """Wait until so many processes, of some nodes, are in the midst of points; return them."""

        def there():
            return [p for p in self.running() if nodes is None or p["node"] in nodes]

        self.wait(lambda: len(there()) >= count, "running points")
        time.sleep(self.rng.uniform(0.0, 0.5))
        return self.wait(there, "running points")

    def check(self, quiet):
        """Compare what is left with a quiet run: one record a point, and the same results."""
        assert contents(self.out) == quiet
        assert not (self.out / "driver.lock").exists()
        left = [p for p in self.out.rglob("*") if p.match("checkpoint-*") or p.suffix == ".tmp"]
        assert left == []

    def starts(self):
        """How often each point was started."""
        told = {p["id"]: story(self.out, p["id"]) for p in load_plan(self.out)}
        return {name: sum(e["event"] == "start" for e in events) for name, events in told.items()}

    def events(self, kind):
        """Events of all journals, of a kind."""
        every = [e for p in (self.out / "logs").glob("*.jsonl") for e in read_journal(p)[0]]
        return [e for e in every if e["event"] == kind]


def kill(process):
    os.kill(process["pid"], signal.SIGKILL)


def quiet_run(folder):
    """Return what a run of the study on this host alone leaves."""
    (folder / "study.toml").write_text(STUDY)
    words = [sys.executable, "-m", "scaling", "sweep", "run", "study.toml", "-o", "out"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([*words, "--device", "cpu"], cwd=folder, env=env, check=True)
    return contents(folder / "out")


def smoke(folder, env, *options):
    """Return what the quickstart leaves at its smallest size."""
    words = [sys.executable, "-m", "scaling", "sweep", "run", str(QUICKSTART), "--smoke"]
    command = [*words, "-o", str(folder), "--device", "cpu", *options]
    env = {**os.environ, "PYTHONPATH": str(ROOT), **env}
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    return contents(folder / "smoke")
