"""Whole sweeps: trunks against separate runs, the time between points, killing and resuming."""

import contextlib
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common
from worker_common import environment, median

from scaling import api
from scaling.runs.records import PointFiles, load_plan, read_record
from scaling.training.engines.local import LocalEngine
from scaling.training.grouping import jobs_of

TRUNK_AIM, OVERHEAD_AIM = 0.75, 1.0
KILLS = 4
MARKOV = {"source": "markov", "options": {"symbols": 64, "tokens": 2e6, "validation_tokens": 1e5}}
HOOK = """
import sys, time
from scaling.training import worker
from scaling.training.trainer import Trainer
real = Trainer.train_step
def train_step(self):
    found = real(self)
    if self.step in (1, int(self.point["steps"])):
        float(found[0])  # waits for the device
        print("step", self.point["id"], self.step, time.time(), file=sys.stderr, flush=True)
    return found
Trainer.train_step = train_step
worker.main()
"""


def _planned(folder, design, context, **more):
    study = {"schema": 1, "data": MARKOV, "model": {"context": 32, "layers": 2},
             "design": {"kind": "grid", **design}, "engine": {"device": context.device.type},
             **more}  # fmt: skip
    plan = api.plan(study)
    plan.write(folder)
    return plan


def _command(folder):
    return [sys.executable, "-m", "scaling", "sweep", "run", str(folder), "--workers", "1"]


def _run(folder):
    """Run a planned sweep with its command; return its seconds, and those of processors."""
    began, busy = time.perf_counter(), _busy()
    subprocess.run(_command(folder), check=True, capture_output=True, env=environment())
    return time.perf_counter() - began, _busy() - busy


def _busy():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _records(folder):
    records = [read_record(folder, point["id"]) for point in load_plan(folder)]
    lost = [r for r in records if r is None or r["status"] != "done"]
    if lost:
        raise RuntimeError(f"points were lost: {lost[0]}")
    return records


# ----------------------------------------------------------------------------------------- trunks


def trunks(context):
    """Every D of a size as a branch of one trunk, against separate runs."""
    least = 2e5  # so that a round takes half a minute and more
    lengths = [least * 2**i for i in range(4)]
    recipe = {"overrides": {"decay": 0.2}}
    rounds = context.rounds or (1 if context.cuda else 3)
    spent = {True: [], False: []}
    with tempfile.TemporaryDirectory() as name:
        for number in range(rounds):
            for shared in (True, False) if number % 2 else (False, True):
                out = Path(name) / f"{shared}-{number}"
                design = {"params": [1e4, 1.6e4], "data": lengths, "trunks": shared}
                plan = _planned(out, design, context, recipe=recipe)
                spent[shared].append(_run(out))
                found = _records(out)
                if shared:
                    branches, promised = found, plan.total.flops
                else:
                    runs, apart = found, plan.total.flops
    wall, busy = ({k: [s[i] for s in spent[k]] for k in spent} for i in (0, 1))
    ratios = [a / b for a, b in zip(wall[True], wall[False], strict=True)]
    value = median(ratios)
    work = median([a / b for a, b in zip(busy[True], busy[False], strict=True)])
    worst = max(abs(a["loss"] - b["loss"]) for a, b in zip(branches, runs, strict=True))
    kept = sum(r["C_spent"] for r in branches)
    rows = [
        ("separate runs", f"{median(wall[False]):.1f}", f"{median(busy[False]):.1f}",
         f"{apart:.4g}", f"{sum(r['C_spent'] for r in runs):.4g}"),
        ("trunks", f"{median(wall[True]):.1f}", f"{median(busy[True]):.1f}", f"{promised:.4g}",
         f"{kept:.4g}"),
        ("ratio", f"{value:.2f}", f"{work:.2f}", f"{promised / apart:.3f}",
         f"{kept / sum(r['C_spent'] for r in runs):.3f}"),
    ]  # fmt: skip
    same = "equal bit for bit" if worst == 0 else f"{worst:.2g} apart at most"
    notes = [
        f"{context.name()}. 2 sizes (N = 1e4 and 1.6e4) x {len(lengths)} lengths, D doubling from "
        f"{least:.0f}, decay 0.2; `sweep run` on one worker, {rounds} "
        f"round{'s' * (rounds > 1)} in turns, start included.",
        f"Wall time {value:.2f} of that of separate runs (aim {TRUNK_AIM:g}: "
        f"{'met' if value <= TRUNK_AIM else 'not met'}); by round "
        f"{', '.join(f'{r:.2f}' for r in ratios)}.",
        f"Losses of the {len(runs)} points are {same}. C_spent of the records is "
        f"{kept / promised - 1:+.2%} of what the plan says.",
    ]
    header = (
        f"{len(runs)} points",
        "wall [s]",
        "processor [s]",
        "C of the plan [FLOP]",
        "C_spent [FLOP]",
    )
    return "Trunks against separate runs", [common.table(header, rows), common.bullets(notes)]


# --------------------------------------------------------------------------------------- overhead


def overhead(context):
    """Time that a warm worker needs around the steps of a point."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "out"
        design = {"params": [1e4, 1e5, 1e6], "data": [2e4], "seeds": 4}
        plan = _planned(out, design, context)
        points = load_plan(out)
        settings = {"stack": 1}
        jobs = jobs_of(points, points, False, settings, _engine(out, context.device.type, settings))
        done, marks = _followed(out, jobs, context.device.type, settings)
        sizes = {p["id"]: p["N"] for p in points}
        found = {}
        for before, (point, when) in zip([None, *done], done, strict=False):
            record = read_record(out, point)
            evaluating = record["effort"]["evaluation_seconds"]
            first, last = marks[point, 1], marks[point, record["point"]["steps"]]
            if before is not None:
                row = first - before[1], when - last, evaluating
                found.setdefault(sizes[point], []).append(row)
    rows, worst = [], 0.0
    for n in sorted(found):
        starts, ends, evaluating = zip(*found[n], strict=True)
        bare = [a - b for a, b in zip(ends, evaluating, strict=True)]
        worst = max(worst, *starts, *bare)
        rows.append((f"{n:.2g}", len(starts), f"{median(starts):.3f}", f"{max(starts):.3f}",
                     f"{median(bare):.3f}", f"{max(bare):.3f}",
                     f"{median(evaluating):.2f}"))  # fmt: skip
    header = ("N", "points", "to the first step [s]", "largest", "last step to record [s]",
              "largest", "evaluation [s]")  # fmt: skip
    notes = [
        f"{context.name()}. {len(plan)} short points on one process of the local engine, whose "
        "steps tell the time; the first point of the process is left out.",
        "From the record of the point before, as the engine hears of it, until the first step is "
        "done; and from the last step until the engine hears of the record, less the evaluation.",
        f"Largest: {worst:.2f} s (aim under {OVERHEAD_AIM:g} s: "
        f"{'met' if worst < OVERHEAD_AIM else 'not met'}).",
    ]
    return "Time between points", [common.table(header, rows), common.bullets(notes)]


def _engine(out, device, settings):
    return LocalEngine(out, 1, device, settings, {p["id"]: p["trunk"] for p in load_plan(out)})


def _followed(out, jobs, device, settings):
    """Train jobs on a hooked worker; return (id, time) of each end, and times of steps."""
    engine = _engine(out, device, settings)
    engine.command = [sys.executable, "-c", HOOK, *engine.command[3:]]
    before = dict(os.environ)
    os.environ.update(environment())
    done = []
    try:
        engine.submit(jobs)
        while engine.busy():
            for event in engine.poll(0.5):
                if event["event"] == "done":
                    done.append((event["id"], time.time()))
                elif event["event"] == "given up":
                    raise RuntimeError(event["cause"])
    finally:
        engine.cancel()
        os.environ.clear()
        os.environ.update(before)
    lines = (out / "logs" / "worker-0.log").read_text().splitlines()
    told = [line.split() for line in lines if line.startswith("step ")]
    return done, {(name, int(step)): float(when) for _, name, step, when in told}


# ----------------------------------------------------------------------------------------- resume


def resume(context):
    """A sweep that is killed again and again, against one that is left alone."""
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        quiet, killed = Path(name) / "quiet", Path(name) / "killed"
        engine = {"device": context.device.type, "checkpoint_seconds": 0.3}
        design = {"params": [1e4, 1e5], "data": [1e5, 4e5]}
        for out in (quiet, killed):
            _planned(out, design, context, engine=engine)
        seconds, _ = _run(quiet)
        rows, total = [], 0.0
        for number in range(KILLS):
            after = rng.uniform(0.15, 0.4) * seconds
            whom = "worker" if number % 2 else "driver"
            left, ended = _killed(killed, after, whom)
            total += ended
            rows.append((number + 1, whom, f"{after:.1f}", *left))
            if left[0] == len(load_plan(killed)):
                break
        total += _run(killed)[0]
        both = list(zip(_records(quiet), _records(killed), strict=True))
        curves = all(
            PointFiles.of(quiet, a["id"]).curve.read_bytes()
            == PointFiles.of(killed, a["id"]).curve.read_bytes()
            for a, _ in both
        )
    worst = max(abs(a["loss"] - b["loss"]) for a, b in both)
    same = "equal bit for bit" if worst == 0 else f"{worst:.3g} apart at most"
    notes = [
        f"{context.name()}. {len(both)} points, a checkpoint every {engine['checkpoint_seconds']} "
        "s; SIGKILL to the driver, or to its worker and somewhat later to the driver; after each "
        "the same command goes on.",
        f"Final losses are {same}; learning curves are {'equal' if curves else 'not equal'} byte "
        "for byte.",
        f"The quiet run took {seconds:.1f} s, all attempts of the other {total:.1f} s.",
    ]
    header = ("attempt", "killed", "after [s]", "points done", "checkpoints")
    return "Killed and resumed", [common.table(header, rows, text=2), common.bullets(notes)]


def _killed(out, after, whom):
    """Start the sweep, kill a process of it; return what it left, and the seconds it ran."""
    began = time.perf_counter()
    process = subprocess.Popen(
        _command(out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(after)
    if whom == "worker" and process.poll() is None:
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for worker in workers:
            os.kill(int(worker), signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.3 * after)  # in which the driver starts another one
    process.kill()
    process.wait()
    done = sum(read_record(out, point["id"]) is not None for point in load_plan(out))
    return (done, len(list(out.glob("points/*/*/checkpoint-*.pt")))), time.perf_counter() - began
