"""What Slurm is asked and told, in its own commands."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scaling.errors import Fault, OutputError, TrainingError, counted
from scaling.training.engines.base import Check, Job, device_counts
from scaling.training.lock import ask_to_stop, withdraw

STOP_SECONDS = 60.0
ANSWER_SECONDS = 60.0  # for a command of Slurm
MINUTES = 60  # of a job, where nobody says
SIGNAL_SECONDS = 90
HELD = {  # as on a node whose own disk is full
    "launch failed requeued held", "JobHoldMaxRequeue", "job requeued in held state",
}  # fmt: skip
NEVER = {"InvalidAccount", "InvalidQOS", "PartitionConfig", "PartitionTimeLimit"}
NAMES = 200  # of arrays in one question
WHERE = ("partition", "constraint", "account", "qos", "exclude")
SIZES = ("cpus-per-task", "mem", "gres")
CONFIGURE = "run this where jobs are submitted, or set SLURM_CONF to the cluster's slurm.conf"
LIMIT = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):\d+")  # of time, as sinfo prints it
DOWN = re.compile(r"down|drain|fail|not_resp|unk|error|boot|maint", re.IGNORECASE)
ENDED = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
         "PREEMPTED", "REVOKED", "TIMEOUT"}  # fmt: skip


@dataclass
class Element:
    """One element of an array.

    Attributes
    ----------
    job : Job
    state : str
        As Slurm has it; empty until it shows the element.
    number : str
        Slurm's name of it, such as ``17_3``.
    since : float
        When it was submitted.
    """

    job: Job
    state: str = ""
    number: str = ""
    since: float = field(default_factory=time.monotonic)


def manifest(out: Path, name: str) -> Path:
    """What an array was given."""
    return out / "slurm" / f"{name}.json"


def ask(*command: str, seconds: float = ANSWER_SECONDS) -> str | None:
    """Standard output of a command of Slurm, or None if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def states(names: Collection[str]) -> dict[tuple[str, int], tuple[str, str, str]] | None:
    """State, number and reason of the elements of arrays, by array and index; None unanswered."""
    if not names:
        return {}
    found, ordered = {}, sorted(names)
    for first in range(0, len(ordered), NAMES):
        listed = ",".join(ordered[first : first + NAMES])
        text = ask("squeue", "-h", "-r", "-t", "all", "-n", listed, "-o", "%i|%j|%T|%r")
        if text is None:
            return None
        for line in text.splitlines():
            number, name, state, reason = line.split("|", 3)
            index = number.rpartition("_")[2] if "_" in number else "0"
            found[(name, int(index))] = (state, number, reason)
    return found


def living(out: Path) -> dict[tuple[str, int], Element]:
    """Elements of a sweep that Slurm has, whoever submitted them.

    Raises
    ------
    TrainingError
        SC316 if there were arrays and Slurm does not answer.
    """
    names = [path.stem for path in (out / "slurm").glob("scaling-*.json")]
    found = states(names)
    if found is None:
        raise TrainingError(Fault("SC316", "squeue", "does not answer", "the jobs of this sweep"))
    elements = {}
    for (name, index), (state, number, _) in found.items():
        if state in ENDED:
            continue
        kept = json.loads(manifest(out, name).read_text(encoding="utf-8"))
        order = kept["orders"][index]
        job = Job(tuple(order["points"]), order["kind"], kept["devices"])
        elements[(name, index)] = Element(job, state, number)
    return elements


def cancel(out: Path, names: Collection[str]) -> tuple[int, int | None]:
    """Take arrays from Slurm; what runs keeps a checkpoint first.

    Returns
    -------
    ran, left : int
        Elements that ran, and that are there still; None if Slurm does not say.
    """
    if not names:
        return 0, 0
    listed = ",".join(sorted(names))
    ask("scancel", "--state=PENDING", f"--name={listed}")
    with contextlib.suppress(OSError, OutputError):
        ask_to_stop(out, "driver")
    end = time.monotonic() + STOP_SECONDS
    running = first = _running(names)
    while running != 0 and time.monotonic() < end:
        time.sleep(0.5)
        running = _running(names)
        first = running if first is None else first
    ask("scancel", f"--name={listed}")
    while running != 0 and time.monotonic() < end + STOP_SECONDS:
        time.sleep(0.5)
        running = _running(names)
    withdraw(out)
    return first or 0, running


def _running(names: Collection[str]) -> int | None:
    found = states(names)
    return None if found is None else sum(state not in ENDED for state, _, _ in found.values())


def own_number() -> str:
    """Slurm's name of the job of this process: of an element, not of its whole array."""
    array, task = (os.environ.get(f"SLURM_ARRAY_{k}_ID") for k in ("JOB", "TASK"))
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID", "0")


def wanted() -> bool:
    """Whether the job of this process is to go on: it was not cancelled, and not requeued yet."""
    return "JobState=RUNNING" in (ask("scontrol", "show", "job", own_number(), "-o") or "")


def machines_in(text: str) -> int:
    """Different machines of a list."""
    return len(set(text.split()))


def directives(settings: Mapping[str, Any], on_gpu: bool, devices: int) -> dict[str, Any]:
    """What Slurm is asked for, by sbatch's names."""
    memory = settings.get("memory_gib")
    found = {
        **{name: settings.get(name) for name in WHERE},
        "time": int(settings.get("minutes") or MINUTES),
        "nodes": 1,
        "ntasks-per-node": 1,
        "cpus-per-task": int(settings.get("cpus") or 1) * devices,
        "mem": None if memory is None else f"{int(float(memory) * 1024)}M",
        "gres": _gres(settings.get("gres") or ("gpu" if on_gpu else None), devices),
        "requeue": True,
        **(settings.get("extra") or {}),
    }
    return {k: v for k, v in found.items() if v is not None and v is not False}


def _gres(name: str | None, devices: int) -> str | None:
    """Generic resources with a number: that of the devices, unless there is one."""
    return name if name is None or name.rpartition(":")[2].isdigit() else f"{name}:{devices}"


def signal_seconds(settings: Mapping[str, Any]) -> int:
    """Seconds before its time is up at which a job is asked to keep a checkpoint."""
    return int(settings.get("signal_seconds") or SIGNAL_SECONDS)


def checks(setup: Mapping[str, Any], out: Path | None, on_gpu: bool) -> Iterator[Check]:
    """Look at what a run by Slurm needs: the programs, an answer, and whether it takes the jobs."""
    if importlib.util.find_spec("submitit") is None:
        yield Check("submitit", "not installed", "SC001", "pip install 'scaling-study[slurm]'")
        return
    missing = [name for name in ("sbatch", "squeue", "scontrol", "srun") if not shutil.which(name)]
    if missing:
        mend = "run this where jobs are submitted, or load Slurm's module"
        yield Check("slurm", f"no {missing[0]} on this machine", "SC316", mend)
        return
    nodes, why = _said("sinfo", "-h", "-N", "-o", "%N %T")
    if nodes is None:
        mend = "scontrol ping" if "configuration" not in why else CONFIGURE
        yield Check("slurm", f"sinfo does not answer: {why}", "SC316", mend)
        return
    up = {name for name, state in map(str.split, nodes.splitlines()) if not DOWN.match(state)}
    count = machines_in("\n".join(nodes.split()[::2]))
    down = f", {count - len(up)} of them down or drained (sinfo -R says why)" * (len(up) < count)
    yield Check("slurm", counted(count, "node") + down)
    slurm = setup.get("slurm") or {}
    if 60 * int(slurm.get("minutes") or MINUTES) < 2 * signal_seconds(slurm):
        found = f"{signal_seconds(slurm)} s before the end of {slurm.get('minutes')} min"
        mend = "more minutes, or fewer signal_seconds"
        yield Check("[engine.slurm] signal_seconds", found, "SC317", mend)
    for devices in device_counts(setup):
        yield _test(slurm, on_gpu, devices)
    if out is not None:
        yield _seen(slurm, out)


def _test(settings: Mapping[str, Any], on_gpu: bool, devices: int) -> Check:
    """Ask Slurm whether it would take such a job."""
    flags = directives(settings, on_gpu, devices)
    words = [f"--{k}" if v is True else f"--{k}={v}" for k, v in flags.items()]
    command = ["sbatch", "--test-only", *words, "--wrap=true"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return Check("sbatch", "does not answer", "SC316", "scontrol ping")
    if done.returncode == 0:
        return _too_long(flags) or Check("sbatch", "takes such a job")
    return _explained(refused(done.stderr), flags)


def _said(*command: str) -> tuple[str | None, str]:
    """Standard output of a command of Slurm, or None and why there is none."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return None, f"no end after {ANSWER_SECONDS:.0f} s"
    if done.returncode == 0:
        return done.stdout, ""
    last = "".join(done.stderr.strip().splitlines()[-1:])
    return None, re.split("(?:error|fatal): ", last)[-1] or f"exit {done.returncode}"


def _explained(fault: Fault, flags: Mapping[str, Any]) -> Check:
    """Say beside a refusal what there is instead."""
    what, partition = fault.found.lower(), flags.get("partition")
    found, mend = fault.found, fault.mend
    if "partition" in what and partition:
        there = sorted(set((ask("sinfo", "-h", "-o", "%R") or "").split()))
        found = f'no partition "{partition}"; there are {", ".join(there)}'
        mend = f'set partition = "{there[0]}" in [engine.slurm]' if there else mend
    elif "node configuration" in what or "gres" in what:
        asked = [f"{name} {flags[name]}" for name in SIZES if flags.get(name)]
        found = f"no node has {', '.join(asked)}; the most is {_most(partition)}"
        mend = "ask for less: [engine] devices, or [engine.slurm] cpus, gres or memory_gib"
    return Check(fault.where, found, fault.code, mend)


def _too_long(flags: Mapping[str, Any]) -> Check | None:
    """Say that a job is longer than its partition allows: Slurm takes it, and never starts it."""
    text = ask("sinfo", "-h", "-o", "%P|%l") or ""
    limits: dict[str, str] = {}
    for line in text.splitlines():
        name, _, limit = line.strip().partition("|")
        limits |= {name.removesuffix("*"): limit} | ({"": limit} if name.endswith("*") else {})
    fixed = LIMIT.fullmatch(limits.get(flags.get("partition") or "", ""))
    if fixed is None:
        return None
    days, hours, minutes = (int(part or 0) for part in fixed.groups())
    most = (24 * days + hours) * 60 + minutes
    if flags["time"] <= most:
        return None
    found = f"{flags['time']} minutes are more than the {most} that the partition allows"
    return Check("sbatch", found, "SC317", f"set minutes = {most} in [engine.slurm]")


def _most(partition: str | None) -> str:
    """The most that a node of a partition has of each."""
    lines = (ask("sinfo", "-h", "-N", "-o", "%c|%m|%G", *_in(partition)) or "").splitlines()
    rows = [line.strip().split("|") for line in lines]
    if not rows:
        return "not known"
    cpus, memory = (max(int(row[i].rstrip("+")) for row in rows) for i in (0, 1))
    gres = sorted({re.sub(r"\(.*?\)", "", row[2]) for row in rows if row[2] != "(null)"})
    return f"{cpus} CPUs, {memory}M, {' or '.join(gres) or 'no gres'}"


def _in(partition: str | None) -> list[str]:
    return [f"--partition={partition}"] if partition else []


def _seen(settings: Mapping[str, Any], out: Path) -> Check:
    """Let a node that is free look at the sweep; on a full cluster the jobs themselves do."""
    word = secrets.token_hex(4)
    code = "import sys, scaling; open(sys.argv[1], 'w').write('seen')"
    sign = out / f".seen.{word}.tmp"
    command = ["srun", "--immediate=5", "--ntasks=1", "--time=1", "--quiet"]
    command += [f"--{k}={settings[k]}" for k in WHERE if settings.get(k)]
    lines = "\n".join([*(settings.get("setup") or []), 'exec "$0" "$@"'])
    try:
        done = subprocess.run(
            [*command, "bash", "-c", lines, sys.executable, "-c", code, str(sign)],
            capture_output=True, text=True,
            timeout=ANSWER_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Check("srun", "no node was free to look at the sweep folder")
    seen = sign.exists() and sign.read_text() == "seen"
    with contextlib.suppress(OSError):
        sign.unlink()
    if seen:
        return Check("srun", "a node sees and writes the sweep folder")
    if "Unable to allocate" in done.stderr or "Immediate execution" in done.stderr:
        return Check("srun", "no node was free to look at the sweep folder")
    every = done.stderr.strip().splitlines()
    said = [line for line in every if not line.startswith("srun:")] or every  # why, not only that
    mend = "an -o, and this package, on storage that all nodes share"
    found = "a node cannot write there" + f": {said[-1]}" * bool(said)
    return Check(str(out), found, "SC314", mend)


def refused(text: str) -> Fault:
    """What Slurm said when it refused a job."""
    lines = [line.split("error: ")[-1] for line in text.splitlines() if "error:" in line.lower()]
    found = lines[-1] if lines else (text.strip().splitlines() or ["refused"])[-1]
    mend = "[engine.slurm] partition, minutes, gres, constraint or extra; sinfo shows what there is"
    return Fault("SC317", "sbatch", found, mend=mend)


def never(reason: str) -> Fault:
    """Say that Slurm keeps jobs that it would never start."""
    mend = "[engine.slurm] minutes, cpus, gres or partition; sinfo -o '%P %l %c %G' shows limits"
    return Fault("SC317", "squeue", f"Slurm would never start these jobs: {reason}", mend=mend)


def stillborn(out: Path, number: str, count: int) -> Fault:
    """What is known of jobs that ended before they said anything."""
    log = out / "slurm" / f"{number}_0_log.err"
    said = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    found = f"{counted(count, 'job')} ended without a word; the last one: {number}"
    if said:
        return Fault("SC302", str(log), found, mend="read that file", excerpt=said[-1])
    mend = "an -o on storage that all nodes share"
    return Fault("SC314", str(out), f"{found}; not even its log was written", mend=mend)
