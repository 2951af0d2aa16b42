"""What the kill matrix does: studies, their quiet runs, and ways to end processes."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from scaling.runs.records import PointFiles, load_plan, read_record

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "sweeps" / "quickstart.toml"
ENV = {**os.environ, "PYTHONPATH": str(ROOT)}
PATIENCE = 300.0
OFTEN = "checkpoint_seconds = 0.1\n"
SMALL = f"""
schema = 1
[data]
source = "markov"
options = {{ symbols = 64, tokens = 200000, validation_tokens = 20000 }}
[design]
kind = "grid"
params = [2.1e3, 4.3e3]
data = [4e4, 8e4]
[engine]
{OFTEN}"""


SEVERAL = """
schema = 1
[data]
source = "markov"
options = { symbols = 64, tokens = 200000, validation_tokens = 20000 }
[design]
kind = "grid"
params = [2.1e3]
data = [3e4, 6e4]
%s
[engine]
checkpoint_seconds = 0.02
%s
"""
TRUNKS = (SEVERAL % ("trunks = true", "")).replace("[2.1e3]", "[2.1e3, 4.3e3]")
STACKS = SEVERAL % ("seeds = 4", "stack = 4")
STAGES = ("data", "rename", "hash", "prune", "data", "commit")


@dataclass
class Matrix:
    """A study, its quiet run, and what was done to its other runs."""

    study: Path
    folder: Path
    smoke: bool
    stacked: bool = False
    began: float = 0.0  # seconds from the start of the quiet run to its first training
    seconds: float = 0.0  # and to its end
    quiet: dict = field(default_factory=dict)
    log: list = field(default_factory=list)

    def command(self, out, study):
        options = ["--smoke"] if self.smoke else []
        words = ["sweep", "run", str(study), *options, "-o", str(out)]
        return [sys.executable, "-m", "scaling", *words, "--workers", "2", "--device", "cpu"]

    def start(self, out, study=None, shim=None, options=()):
        out.mkdir(exist_ok=True)
        env = ENV if shim is None else {**ENV, "PYTHONPATH": f"{shim}{os.pathsep}{ROOT}"}
        with (out / "talk.txt").open("ab") as talk:
            return subprocess.Popen(
                [*self.command(out, study or self.study), *options],
                stdout=subprocess.DEVNULL, stderr=talk, env=env, start_new_session=True,
            )  # fmt: skip

    def sweep(self, out):
        """Return the folder that the command fills."""
        return out / "smoke" if self.smoke else out

    def moments(self, rng, count):
        """Draw seconds after the start: every other one while points train."""
        late = 0.9 * self.seconds
        return [rng.uniform(self.began if i % 2 else 0.05, late) for i in range(count)]

    def finish(self, out, study=None):
        """Run the command to its end."""
        process = self.start(out, study)
        assert process.wait(PATIENCE) == 0, (out / "talk.txt").read_text()


def contents(sweep, stacked=False):
    """Return results.csv and, point by point, the record without its seconds and the curve.

    Of stacks, how many points were left to be trained together is not compared either.
    """
    found = {"results.csv": (sweep / "results.csv").read_bytes()}
    for point in load_plan(sweep):
        files = PointFiles.of(sweep, point["id"])
        names = sorted(path.name for path in files.folder.glob("record*"))
        assert names == ["record.json"], f"{point['id']}: {names}"
        record = read_record(sweep, point["id"])
        assert record["status"] == "done", record["cause"]
        del record["seconds"], record["effort"]
        del record["provenance"]["commit"]  # somebody may work on the checkout meanwhile
        if stacked:
            del record["provenance"]["stacked"]
        found[point["id"]] = record, files.curve.read_bytes()
    return found


def check(matrix, out):
    sweep = matrix.sweep(out)
    found = contents(sweep, matrix.stacked)
    assert list(found) == list(matrix.quiet)
    for name, value in matrix.quiet.items():
        assert found[name] == value, name
    assert not (sweep / "driver.lock").exists()
    assert workers_of(sweep) == []
    left = [p for p in sweep.rglob("*") if p.match("checkpoint-*") or p.suffix == ".tmp"]
    assert left == []


def workers_of(sweep):
    """Return the process ids of the living workers of a sweep folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if "scaling.training.worker" in words and str(sweep) in words:
                found.append(int(entry.name))
    return sorted(found)


def gone(sweep, patience=10.0):
    """Wait for the last worker to leave; return how long it took."""
    began = time.monotonic()
    while workers_of(sweep):
        assert time.monotonic() - began < patience, "workers outlive their runner"
        time.sleep(0.01)
    return time.monotonic() - began


def await_training(process, sweep):
    while not list(sweep.glob("points/*/*/progress.json")):
        assert process.poll() is None, (sweep / "talk.txt").read_text()
        time.sleep(0.01)


def state(sweep):
    """Say what a kill met."""
    if not (sweep / "plan.jsonl").exists():
        return "no plan"
    points = load_plan(sweep)
    done = sum(read_record(sweep, p["id"]) is not None for p in points)
    kept = sum(bool(PointFiles.of(sweep, p["id"]).checkpoints()) for p in points)
    return f"{done}/{len(points)} records, {kept} points with checkpoints"


def measure(matrix):
    out = matrix.folder / "quiet"
    began = time.monotonic()
    process = matrix.start(out)
    await_training(process, matrix.sweep(out))
    matrix.began = time.monotonic() - began
    assert process.wait(PATIENCE) == 0
    matrix.seconds = time.monotonic() - began
    matrix.quiet = contents(matrix.sweep(out), matrix.stacked)
    return matrix


def kill_runners(matrix, kills, seed, studies, each=2, prepare=None):
    """Kill runners at random moments, `each` times a folder, and run the command to its end."""
    rng, done, trial = random.Random(seed), 0, 0
    while done < kills:
        out = matrix.folder / f"runner-{seed}-{trial}"
        study, sweep = studies[trial % len(studies)], matrix.sweep(out)
        if prepare is not None:
            prepare(out)
        for moment in matrix.moments(rng, min(each, kills - done)):
            process = matrix.start(out, study)
            try:
                process.wait(moment)
            except subprocess.TimeoutExpired:
                met, workers = state(sweep), len(workers_of(sweep))
                process.kill()
                process.wait()
                left = gone(sweep)
                done += 1
                matrix.log.append(
                    {"killed": "runner", "folder": out.name, "at": round(moment, 2), "met": met,
                     "workers": workers, "gone_after": round(left, 3)}
                )  # fmt: skip
            else:
                assert process.returncode == 0, (out / "talk.txt").read_text()
                break  # it was done before its time came
        matrix.finish(out, study)
        check(matrix, out)
        trial += 1


def kill_workers(matrix, kills, seed, studies, each=2):
    """Kill random workers at random moments, up to `each` a run; the run itself must go on."""
    rng, done, trial = random.Random(seed), 0, 0
    while done < kills:
        out = matrix.folder / f"worker-{seed}-{trial}"
        sweep = matrix.sweep(out)
        began = time.monotonic()
        process = matrix.start(out, studies[trial % len(studies)])
        for moment in sorted(matrix.moments(rng, min(each, kills - done))):
            time.sleep(max(0.0, began + moment - time.monotonic()))
            while not (workers := workers_of(sweep)) and process.poll() is None:
                time.sleep(0.01)  # none has started yet
            if not workers:
                break
            victim, met = rng.choice(workers), state(sweep)
            try:
                os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:
                continue
            done += 1
            matrix.log.append(
                {"killed": "worker", "folder": out.name, "at": round(moment, 2), "met": met}
            )
        assert process.wait(PATIENCE) == 0, (out / "talk.txt").read_text()
        check(matrix, out)
        trial += 1


def kill_writes(matrix, kills, seed, studies, each=5):
    """Kill workers and runners in the midst of a write, up to `each` a folder."""
    rng, done, trial = random.Random(seed), 0, 0
    while done < kills:
        out = matrix.folder / f"write-{seed}-{trial}"
        sweep, study, shim = matrix.sweep(out), studies[trial % len(studies)], out / "shim"
        shim.mkdir(parents=True)
        shutil.copy(Path(__file__).with_name("strike.py"), shim / "sitecustomize.py")
        orders, write = [], 0
        for i in range(min(each, kills - done)):
            write += rng.randint(1, 5)
            stage = STAGES[(done + i) % len(STAGES)]
            number = rng.randint(1, len(matrix.quiet) - 2) if stage == "commit" else write
            victim = "runner" if rng.random() < 0.5 else "worker"
            first = stage == "commit" or i == 0
            orders.append({"stage": stage, "write": number, "victim": victim, "first": first})
        (shim / "orders.json").write_text(json.dumps(orders))
        code = -signal.SIGKILL
        while code == -signal.SIGKILL:
            process = matrix.start(out, study, shim)
            code = process.wait(PATIENCE)
            gone(sweep)
        assert code == 0, (out / "talk.txt").read_text()
        check(matrix, out)
        struck = (shim / "log.txt").read_text().splitlines() if (shim / "log.txt").exists() else []
        for line in map(json.loads, struck):
            matrix.log.append({"killed": line["victim"], "folder": out.name, **line})
        done += len(struck)
        trial += 1
        assert trial <= kills, "strikes do not hit"


def tell(matrix, began):
    for line in matrix.log:
        print(json.dumps(line))
    points, folders = len(matrix.quiet) - 1, len({line["folder"] for line in matrix.log})
    writes = sum("stage" in line for line in matrix.log)
    seconds = time.monotonic() - began
    print(
        f"{len(matrix.log)} kills ({writes} in the midst of a write) in {folders} folders of "
        f"{points} points, one record each, equal to the quiet run; {seconds:.0f} s, quiet run "
        f"{matrix.seconds:.1f} s"
    )
    matrix.log.clear()


def interrupt(matrix, out):
    """Let a second runner be refused, then interrupt the first one."""
    process = matrix.start(out)
    await_training(process, out)
    process.send_signal(signal.SIGSTOP)  # so that the sweep cannot end before the second starts
    second = subprocess.run(
        matrix.command(out, matrix.study), capture_output=True, text=True, env=ENV, check=False
    )
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    assert second.returncode == 1
    assert "error[SC301]" in second.stderr
    assert f"process {process.pid}" in second.stderr
    assert process.wait(PATIENCE) == 130
    assert workers_of(out) == []
    assert not (out / "driver.lock").exists()
    assert (out / "results.csv").exists()
