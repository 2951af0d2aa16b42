"""The local engine: one supervised worker process a slot, one thread each on a CPU."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from scaling.errors import Fault, TrainingError
from scaling.runs.provenance import gpu_driver
from scaling.training import installation
from scaling.training.engines.attempts import MAX_STARTS, Attempts, End
from scaling.training.engines.base import Check, Event, Job, error_of

STOP_SECONDS = 60.0  # for a step, and for writing a large checkpoint
SIGNS = ("/proc/driver/nvidia/gpus", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")  # of a GPU


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """Names of the GPUs that workers may use, as ``CUDA_VISIBLE_DEVICES`` has them.

    Where the machine seems to have some, torch is asked in a process of its own: it may have been
    built without CUDA, and a driver may be missing.
    """
    asked = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [] if asked is None else [n for n in asked.split(",") if n.strip() not in ("", "-1")]
    there = bool(names) if asked is not None else bool(_signs())
    count = _usable_gpus(asked) if there else 0
    return (names or [str(i) for i in range(count)])[:count]


@lru_cache
def _usable_gpus(asked: str | None) -> int:
    """How many GPUs torch sees under a setting of ``CUDA_VISIBLE_DEVICES``."""
    del asked
    code = "import torch; print(torch.cuda.device_count())"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    return int(found.stdout) if found.stdout.strip().isdigit() else 0


def checks(settings: Mapping[str, Any]) -> Iterator[Check]:
    """Look at what a run on this machine needs: its cores, its memory and its GPUs."""
    yield Check("cores", f"{usable_cores()} of {os.cpu_count()} usable")
    yield Check("memory", _memory())
    device, devices = settings.get("device", "auto"), int(settings.get("devices", 1))
    seen = installation.torch_seen()
    if device == "cpu" or not seen.multiplies:
        return
    gpus = len(visible_gpus())
    if seen.wrong or not gpus:
        found, mend = _no_gpu(seen)
        asked = device == "cuda"
        mend = "" if not _signs() and not asked else mend
        yield Check("GPU", found, "SC306", mend, optional=not asked and not gpus)
    elif gpus < devices:
        found = f"{devices} for each point; this machine has {gpus}"
        yield Check("devices", found, "SC312", f"set devices = {gpus} in [engine]")
    else:
        names = sorted(set(seen.gpus))
        driver = gpu_driver()
        suits = (
            f"torch built for {seen.built}"
            if driver is None
            else (f"driver {driver}, torch built for CUDA {seen.built}")
        )
        yield Check("GPU", f"{gpus} of {', '.join(names)}, each multiplies; {suits}")


def _signs() -> list[str]:
    return [sign for sign in SIGNS if Path(sign).exists()]


def _no_gpu(seen: installation.Torch) -> tuple[str, str]:
    """Say why no GPU can be used, and what to do about it."""
    asked = os.environ.get("CUDA_VISIBLE_DEVICES")
    if asked is not None and not any(n.strip() not in ("", "-1") for n in asked.split(",")):
        return f'hidden by CUDA_VISIBLE_DEVICES="{asked}"', "unset CUDA_VISIBLE_DEVICES"
    if not _signs():
        return "none on this machine", 'set device = "cpu" or "auto" in [engine]'
    if seen.built is None:
        found = f"a driver is here, but torch {seen.version} was built for the CPU alone"
        if _signs() == ["/dev/kfd"]:
            return found, "install a torch for ROCm: https://pytorch.org/get-started/locally"
        return found, "pip install --force-reinstall torch torchvision"
    found = f"torch {seen.version}, built for {seen.built}, cannot use it: {seen.wrong or 'none'}"
    return found, f"nvidia-smi shows the driver; it must be for CUDA {seen.built} or newer"


def _memory() -> str:
    """Memory of this machine, or of the container that this process is in."""
    lines = Path("/proc/meminfo")
    limit = Path("/sys/fs/cgroup/memory.max")
    try:
        text = dict(line.split(":", 1) for line in lines.read_text().splitlines())
        total, free = (int(text[k].split()[0]) << 10 for k in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        return "not known"
    with contextlib.suppress(OSError, ValueError):
        total = min(total, int(limit.read_text()))
    return f"{min(free, total) / 2**30:.1f} GiB of {total / 2**30:.1f} GiB free"


class _Slot:
    """A worker process and the job it has."""

    def __init__(self, number: int, command: list[str], log: Path, gpus: Sequence[str]) -> None:
        self.number = number
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environment,
                start_new_session=True,
            )
        self.ready = False
        self.job: Job | None = None
        self.point: str | None = None  # of the job, where it is now
        self.buffer = b""

    def send(self, job: Job, order: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.job, self.point = job, None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue


class LocalEngine:
    """Runs jobs in worker processes on this machine and replaces workers that die.

    Parameters
    ----------
    out : Path
        Sweep folder.
    workers : int or None
        Processes; if None one for each GPU that a job needs, or one a usable core.
    device : {"auto", "cpu", "cuda"}
    setup : mapping
        Settings of `scaling.training.setup.Setup`.
    trunks : mapping
        Trunk of each point, by id.
    """

    def __init__(
        self,
        out: Path,
        workers: int | None,
        device: str,
        setup: dict[str, Any],
        trunks: dict[str, str],
    ) -> None:
        self.out, self.attempts = out, Attempts(out, trunks)
        self.gpus = visible_gpus() if device != "cpu" else []
        self.each = int(setup.get("devices", 1))
        self.seats = max(1, len(self.gpus) // self.each)  # GPUs, or groups of them
        self.on_gpu = self.packs = bool(self.gpus) or device == "cuda"
        self.places = workers or (self.seats if self.on_gpu else usable_cores())
        self.setup = setup
        self.command = [
            sys.executable,
            "-m",
            "scaling.training.worker",
            str(out),
            device,
            json.dumps(setup),
        ]
        self.queue: deque[Job] = deque()
        self.slots: list[_Slot] = []
        self.selector = selectors.DefaultSelector()
        self.stillborn = 0  # workers in a row that died before they were ready

    def open(self) -> tuple[str, ...]:
        """Nothing is at work without this process."""
        return ()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue the jobs and start as many workers as they can use."""
        self.queue.extend(jobs)
        together = -(-min(self.places, len(self.queue)) // self.seats)  # on a GPU
        if self.gpus and together > 1:
            self.command[5] = json.dumps({**self.setup, "share": 1.0 / together})
        while len(self.slots) < min(self.places, len(self.queue)):
            self._open(len(self.slots))

    def _open(self, number: int) -> None:
        first = number % self.seats * self.each
        gpus = self.gpus[first : first + self.each]
        name = f"worker-{number}"
        slot = _Slot(number, [*self.command, name], self.out / "logs" / f"{name}.log", gpus)
        assert slot.process.stdout is not None
        os.set_blocking(slot.process.stdout.fileno(), False)
        self.selector.register(slot.process.stdout, selectors.EVENT_READ, slot)
        self.slots.append(slot)

    def busy(self) -> bool:
        """Whether jobs are queued or running."""
        return bool(self.queue) or any(slot.job for slot in self.slots)

    def poll(self, timeout: float) -> list[Event]:
        """Hand out jobs, gather events, replace dead workers."""
        for slot in self.slots:
            if slot.ready and slot.job is None and self.queue:
                self._give(slot)
        events: list[Event] = []
        for key, _ in self.selector.select(timeout):
            events += self._read(key.data)
        return events

    def _give(self, slot: _Slot) -> None:
        job = self.queue.popleft()
        try:
            slot.send(job, self.attempts.begin(job))
        except OSError:  # the worker died meanwhile; its end of file will be read next
            slot.job = job

    def _read(self, slot: _Slot) -> list[Event]:
        assert slot.process.stdout is not None
        data = slot.process.stdout.read()
        if data is None:
            return []
        if not data:
            return self._bury(slot)
        *lines, slot.buffer = (slot.buffer + data).split(b"\n")
        events = []
        for line in lines:
            event: dict[str, Any] = json.loads(line)
            kind = event["event"]
            if kind == "ready":
                slot.ready = True
                self.stillborn = 0
            elif kind == "error":
                self.cancel()
                raise error_of(event)
            elif kind == "finished":
                events += self._settle(slot)
            elif kind in ("start", "progress"):
                slot.point = event["id"]
            if self.attempts.news(event):
                events.append(event)
        return events

    def _settle(self, slot: _Slot) -> list[Event]:
        """Take a finished job from its worker, and queue what is to be tried again."""
        assert slot.job is not None
        again, events = self.attempts.end(slot.job, "finished")
        slot.job = slot.point = None
        if again is not None:
            self.queue.append(again)
        return events

    def _bury(self, slot: _Slot) -> list[Event]:
        """Requeue the job of a dead worker, or give its point up, and start another worker."""
        assert slot.process.stdout is not None
        self.selector.unregister(slot.process.stdout)
        slot.process.wait()
        code = slot.process.returncode
        slot.close()
        self.slots.remove(slot)
        if not slot.ready and slot.job is None:
            self.stillborn += 1
            if code < 0 and self.stillborn < MAX_STARTS:  # killed from outside, not by itself
                self._open(slot.number)
                return []
            self.cancel()
            installation.refuse_broken()
            raise TrainingError(
                Fault(
                    "SC302",
                    f"logs/worker-{slot.number}.log",
                    f"a worker could not start (exit {code})",
                    mend="read that log",
                )
            )
        events: list[Event] = []
        if slot.job is not None:  # a worker that was asked to leave ends with 0
            end: End = "died" if code else "left"
            again, events = self.attempts.end(slot.job, end, slot.point, code)
            if again is not None:
                self.queue.appendleft(again)
        if self.queue:
            self._open(slot.number)
        return events

    def cancel(self) -> None:
        """Ask the workers to checkpoint and leave; end those that do not."""
        self.queue.clear()
        for slot in self.slots:
            slot.process.terminate()
        for slot in self.slots:
            try:
                slot.process.wait(STOP_SECONDS if slot.ready else 0.1)
            except subprocess.TimeoutExpired:
                slot.process.kill()
                slot.process.wait()
            slot.close()
        self.slots.clear()
        self.selector.close()
        self.selector = selectors.DefaultSelector()

    def leave(self) -> tuple[str, ...]:
        """Workers do not outlive this process."""
        self.cancel()
        return ()
