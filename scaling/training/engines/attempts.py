"""What has been tried of each job, and what comes next: the same under every engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from scaling.runs.records import PointFiles, checkpoints_in, read_record, trunk_folder
from scaling.training.engines.base import Event, Job, done_event

MAX_STARTS = 3  # starts of a job without a newer checkpoint or a new record
RETRIES = 2  # of a point that raised an exception
# How a start of a job ended: its process came to the end of it; it was asked to leave, or its
# machine was lost, neither of which counts; or it died, which a point may have brought about.
End = Literal["finished", "left", "lost", "died"]


def reached(out: Path, points: Sequence[str], trunk: str) -> tuple[str, ...]:
    """Records and newest checkpoints of a job: what changes when a start has not been in vain."""
    done = [name for name in points if read_record(out, name) is not None]
    folders = [PointFiles.of(out, name).folder for name in points] + [trunk_folder(out, trunk)]
    return (*done, *(path.name for folder in folders for path in checkpoints_in(folder)[:1]))


class Attempts:
    """Keeps count of starts and exceptions; results are read from records.

    Parameters
    ----------
    out : Path
        Sweep folder.
    trunks : mapping
        Trunk of each point, by id.
    """

    def __init__(self, out: Path, trunks: Mapping[str, str]) -> None:
        self.out, self.trunks = out, trunks
        self.starts: dict[Job, tuple[int, tuple[str, ...] | None]] = {}
        self.exceptions: dict[str, int] = {}
        self.told: set[str] = set()  # points whose end was made known

    def begin(self, job: Job) -> dict[str, Any]:
        """Note a start; return the job as a process takes it."""
        mark = reached(self.out, job.points, self.trunks[job.points[0]])
        count, old = self.starts.get(job, (0, None))
        self.starts[job] = (count + 1 if mark == old else 1, mark)
        return self.order(job)

    def order(self, job: Job) -> dict[str, Any]:
        """A job as a process takes it, with the exceptions that each point may still raise."""
        spare = {name: max(0, RETRIES - self.exceptions.get(name, 0)) for name in job.points}
        return {"points": list(job.points), "kind": job.kind, "spare": spare}

    def news(self, event: Event) -> bool:
        """Follow an event of a process; return whether it was not known before."""
        if event["event"] == "exception":
            for name in event["points"]:
                self.exceptions[name] = self.exceptions.get(name, 0) + 1
        elif event["event"] == "done":
            if event["id"] in self.told:
                return False
            self.told.add(event["id"])
        return True

    def end(
        self, job: Job, end: End, at: str | None = None, code: int | str = 0
    ) -> tuple[Job | None, list[Event]]:
        """What is left of a job when its start has ended, and what there is to tell.

        Parameters
        ----------
        job : Job
        end : {"finished", "left", "lost", "died"}
        at : str, optional
            The point that was at work.
        code : int or str
            Exit code, or what else is known of a death.
        """
        records = {name: read_record(self.out, name) for name in job.points}
        events: list[Event] = [
            done_event(record)
            for name, record in records.items()
            if record is not None and name not in self.told
        ]
        self.told.update(event["id"] for event in events)
        # What was told is done, even where a network disk does not show it yet.
        left = [n for n, record in records.items() if record is None and n not in self.told]
        starts, mark = self.starts.pop(job, (1, None))
        kind, points = job.kind, job.points
        if end != "died":
            starts, mark = 0, None
        if left and starts >= MAX_STARTS:
            starts, mark = 0, None
            if kind == "stack":  # taken apart, so that the point that kills it can be told
                kind = "alone"
            else:
                lost = at if at in left else left[0]
                left.remove(lost)
                points = tuple(name for name in points if name != lost)
                cause = f"its worker died {MAX_STARTS} times without a newer checkpoint"
                cause += f" (exit {code})" if isinstance(code, int) else f" ({code})"
                events.append({"event": "given up", "id": lost, "cause": cause})
        if not left:
            return None, events
        again = Job(points, kind, job.devices)
        self.starts[again] = (starts, mark)
        if end in ("lost", "died"):
            events.append({"event": "lost", "id": at if at in left else left[0], "code": code})
        return again, events
