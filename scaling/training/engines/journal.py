"""What processes that train tell of themselves: a journal each, in the sweep folder.

Journals are news for whoever looks and for `scaling sweep logs`; results are records.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from scaling.runs.records import RUNNING_SECONDS, PointFiles
from scaling.training.engines.base import Event

UNTOLD = ("progress",)  # events that a journal does not keep: progress.json has them


class Journal:
    """Where one process writes what it does: ``logs/NAME.jsonl``, beside its ``logs/NAME.log``.

    Parameters
    ----------
    out : Path
        Sweep folder.
    name : str
        Of the process, in this folder alone.
    """

    def __init__(self, out: Path, name: str) -> None:
        self.out, self.name = out, name
        self.path = out / "logs" / f"{name}.jsonl"
        self.log = out / "logs" / f"{name}.log"
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def tell(self, event: str, name: str | None = None, **fields: Any) -> None:
        """Add an event; opened and closed each time, so that other machines see it soon.

        It is news only: a disk that is full of it ends nothing.
        """
        if event in UNTOLD:
            return
        line: Event = {"event": event, "time": round(time.time(), 3)}
        if name is not None:
            line["id"] = name
        if event == "ready":
            line |= {"host": socket.gethostname(), "pid": os.getpid()}
        if event == "start":  # what it prints from here on is about this point
            with contextlib.suppress(OSError):
                line["at"] = self.log.stat().st_size
        with contextlib.suppress(OSError), self.path.open("a", encoding="utf-8") as journal:
            journal.write(json.dumps(line | fields) + "\n")


def read_journal(path: Path, offset: int = 0) -> tuple[list[Event], int]:
    """Events of a journal from a byte on, and the byte where whole lines end."""
    with path.open("rb") as handle:
        handle.seek(offset)
        text = handle.read()
    whole, _, _ = text.rpartition(b"\n")
    events = []
    for line in whole.split(b"\n") if whole else ():
        with contextlib.suppress(ValueError):
            events.append(json.loads(line))
    return events, offset + (len(whole) + 1 if whole else 0)


def story(out: Path, point: str) -> list[Event]:
    """What all journals tell of a point, in order of time.

    A start says on which machine, and holds under ``printed`` what its process printed from there
    until it went on to another point or ended.
    """
    found: list[Event] = []
    for path in sorted((out / "logs").glob("*.jsonl")):
        events, _ = read_journal(path)
        ready: Event = {}
        starts = [event for event in events if event["event"] == "start"]
        for event in events:
            if event["event"] == "ready":
                ready = event
            if point != event.get("id") and point not in event.get("points", ()):
                continue
            told = {**event, "process": path.stem}
            if event["event"] == "start":
                later = [s["at"] for s in starts if s.get("at", -1) >= event.get("at", 0)]
                after = next((at for at in later if at > event.get("at", 0)), None)
                told |= {k: ready.get(k) for k in ("host", "pid", "device")}
                told["printed"] = _printed(path.with_suffix(".log"), event.get("at", 0), after)
            found.append(told)
    return sorted(found, key=lambda event: event["time"])


def _printed(log: Path, start: int, end: int | None) -> str:
    """Part of what a process printed."""
    try:
        with log.open("rb") as handle:
            handle.seek(start)
            return handle.read(-1 if end is None else end - start).decode(errors="replace")
    except OSError:
        return ""


class Tail:
    """New events of all journals whose names begin alike.

    Parameters
    ----------
    out : Path
        Sweep folder.
    start : str
        How their names begin.
    """

    def __init__(self, out: Path, start: str) -> None:
        self.folder, self.start = out / "logs", start
        self.read = {path: path.stat().st_size for path in self._journals()}

    def _journals(self) -> list[Path]:
        return sorted(self.folder.glob(f"{self.start}*.jsonl"))

    def events(self) -> Iterator[Event]:
        """What has been written since the last call, with the name of the process."""
        for path in self._journals():
            found: list[Event] = []
            before = self.read.get(path, 0)
            with contextlib.suppress(OSError):  # a network disk may be away for a moment
                if path.stat().st_size > before:
                    found, self.read[path] = read_journal(path, before)
            yield from ({**event, "process": path.stem} for event in found)


class Progress:
    """How far running points are, as they say it in their folders.

    Parameters
    ----------
    out : Path
        Sweep folder.
    """

    SHARE = 0.1  # of the time, at most, is spent on looking

    def __init__(self, out: Path) -> None:
        self.out = out
        self.seen: dict[str, float] = {}
        self.next = 0.0

    def events(self, names: Collection[str]) -> list[Event]:
        """Progress of these points that is news."""
        began = time.monotonic()
        if began < self.next:
            return []
        found = []
        for name in names:
            try:
                state = json.loads(PointFiles.of(self.out, name).progress.read_text())
                updated = state.pop("updated")
            except (OSError, ValueError, KeyError):
                continue
            fresh = time.time() - updated < RUNNING_SECONDS  # or it is of an earlier run
            if fresh and self.seen.get(name) != updated:
                self.seen[name] = updated
                found.append({"event": "progress", "id": name, **state})
        spent = time.monotonic() - began
        self.next = began + max(0.5, spent / self.SHARE)
        return found

    def forget(self, name: str) -> None:
        """Keep nothing of a point that has ended."""
        self.seen.pop(name, None)
