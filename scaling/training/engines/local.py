"""The local engine: one supervised worker process a slot, one thread each on a CPU."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scaling.errors import Fault, TrainingError
from scaling.runs.records import PointFiles, commit_record, load_plan, read_record
from scaling.training.engines.base import Event, Job

MAX_STARTS = 3  # starts of a point without a newer checkpoint
STOP_SECONDS = 20.0


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Slot:
    """A worker process and the job it has."""

    def __init__(self, number: int, command: list[str], log: Path) -> None:
        self.number = number
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
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
        self.point: str | None = None
        self.buffer = b""

    def send(self, point: str) -> None:
        assert self.process.stdin is not None
        self.point = point
        self.process.stdin.write(json.dumps({"points": [point]}).encode() + b"\n")
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
        Processes; one a usable core if None (one on a GPU).
    device : {"auto", "cpu", "cuda"}
    checkpoint_seconds : float
    """

    def __init__(
        self, out: Path, workers: int | None, device: str, checkpoint_seconds: float
    ) -> None:
        self.out, self.device = out, device
        self.workers = workers or (1 if device == "cuda" else usable_cores())
        self.command = [
            sys.executable,
            "-m",
            "scaling.training.worker",
            str(out),
            device,
            str(checkpoint_seconds),
        ]
        self.queue: deque[str] = deque()
        self.slots: list[_Slot] = []
        self.selector = selectors.DefaultSelector()
        self.starts: dict[str, tuple[int, str]] = {}
        self.stillborn = 0  # workers in a row that died before they were ready

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue the points of `jobs` and start as many workers as they can use."""
        for job in jobs:
            self.queue.extend(job.points)
        while len(self.slots) < min(self.workers, len(self.queue)):
            self._open(len(self.slots))

    def _open(self, number: int) -> None:
        slot = _Slot(number, self.command, self.out / "logs" / f"worker-{number}.log")
        assert slot.process.stdout is not None
        os.set_blocking(slot.process.stdout.fileno(), False)
        self.selector.register(slot.process.stdout, selectors.EVENT_READ, slot)
        self.slots.append(slot)

    def busy(self) -> bool:
        """Whether points are queued or running."""
        return bool(self.queue) or any(slot.point for slot in self.slots)

    def poll(self, timeout: float) -> list[Event]:
        """Hand out points, gather events, replace dead workers."""
        for slot in self.slots:
            if slot.ready and slot.point is None and self.queue:
                self._give(slot)
        events: list[Event] = []
        for key, _ in self.selector.select(timeout):
            events += self._read(key.data)
        return events

    def _give(self, slot: _Slot) -> None:
        point = self.queue.popleft()
        newest = PointFiles.of(self.out, point).checkpoints()
        mark = newest[0].name if newest else ""
        count, old = self.starts.get(point, (0, ""))
        self.starts[point] = (count + 1 if mark == old else 1, mark)
        try:
            slot.send(point)
        except OSError:  # the worker died meanwhile; its end of file will be read next
            slot.point = point

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
            if event["event"] == "ready":
                slot.ready = True
                self.stillborn = 0
            elif event["event"] == "error":
                self.cancel()
                raise TrainingError(
                    Fault(
                        event["code"],
                        "worker",
                        event["text"].removeprefix("error"),
                        mend="--device cpu" if event["code"] == "SC306" else "",
                    )
                )
            elif event["event"] == "done":
                slot.point = None
            events.append(event)
        return events

    def _bury(self, slot: _Slot) -> list[Event]:
        """Requeue the point of a dead worker, or give it up, and start another worker."""
        assert slot.process.stdout is not None
        self.selector.unregister(slot.process.stdout)
        slot.process.wait()
        code = slot.process.returncode
        slot.close()
        self.slots.remove(slot)
        if not slot.ready and slot.point is None:
            self.stillborn += 1
            if code < 0 and self.stillborn < MAX_STARTS:  # killed from outside, not by itself
                self._open(slot.number)
                return []
            self.cancel()
            raise TrainingError(
                Fault(
                    "SC302",
                    f"logs/worker-{slot.number}.log",
                    f"a worker could not start (exit {code})",
                    mend="read that log",
                )
            )
        events: list[Event] = []
        point = slot.point
        if point is not None and read_record(self.out, point) is None:
            if self.starts[point][0] >= MAX_STARTS:
                self._give_up(point, code)
                events.append(
                    {
                        "event": "done",
                        "id": point,
                        "status": "failed",
                        "loss": None,
                        "seconds": None,
                        "cause": "its worker died repeatedly",
                    }
                )
            else:
                self.queue.appendleft(point)
                events.append({"event": "lost", "id": point, "code": code})
        elif point is not None:
            events.append(
                {
                    "event": "done",
                    "id": point,
                    "status": "done",
                    "loss": None,
                    "seconds": None,
                    "cause": None,
                }
            )
        if self.queue:
            self._open(slot.number)
        return events

    def _give_up(self, point: str, code: int) -> None:
        plan = next(p for p in load_plan(self.out) if p["id"] == point)
        cause = f"its worker died {MAX_STARTS} times without a newer checkpoint (exit {code})"
        commit_record(
            self.out,
            {
                "id": point,
                "status": "failed",
                "loss": None,
                "loss_se": None,
                "train_loss": None,
                "steps_done": 0,
                "cause": cause,
                "max_grad_norm": None,
                "seconds": 0.0,
                "point": plan,
                "provenance": {},
            },
        )

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
