"""Live progress of a sweep: a table on a terminal, one line a finished point elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from scaling.cli.common import talk
from scaling.runs.records import read_record

Event = Mapping[str, Any]
SHOWN = 12


class _Board:
    """What is known of every point while the sweep runs; the ETA follows FLOP, not counts."""

    def __init__(self, points: Sequence[Mapping[str, Any]], folder: Path) -> None:
        self.points = {p["id"]: p for p in points}
        self.finished = {i for i in self.points if read_record(folder, i) is not None}
        self.before = sum(self.points[i]["C"] for i in self.finished)
        self.total = sum(p["C"] for p in points)
        self.running: dict[str, tuple[int, float | None]] = {}
        self.began = time.monotonic()

    def take(self, event: Event) -> None:
        name = event.get("id")
        if name is None:
            return
        if event["event"] == "start":
            self.running[name] = (0, None)
        elif event["event"] == "progress":
            self.running[name] = (event["step"], event["loss"])
        elif event["event"] in ("done", "lost", "stopped"):
            self.running.pop(name, None)
            if event["event"] == "done":
                self.finished.add(name)

    def eta(self) -> str:
        done = sum(self.points[i]["C"] for i in self.finished) - self.before
        for name, (step, _) in self.running.items():
            done += self.points[name]["C"] * step / self.points[name]["steps"]
        elapsed = time.monotonic() - self.began
        if done <= 0:
            return "…"
        left = elapsed * (self.total - self.before - done) / done
        return f"{max(0.0, left):.0f} s left"

    def headline(self) -> str:
        return f"{len(self.finished)}/{len(self.points)} points, {self.eta()}"

    def table(self) -> Table:
        table = Table(title=self.headline(), title_justify="left", box=None)
        for column in ("point", "budget", "N", "step", "loss"):
            table.add_column(column, justify="right")
        for name, (step, loss) in list(self.running.items())[:SHOWN]:
            p = self.points[name]
            budget = "" if p["budget"] is None else f"{p['budget']:.3g}"
            shown = "" if loss is None else f"{loss:.4f}"
            table.add_row(name, budget, str(p["N"]), f"{step}/{p['steps']}", shown)
        return table

    def line(self, event: Event) -> str:
        p = self.points[event["id"]]
        loss = "" if event["loss"] is None else f"loss {event['loss']:.4f}"
        budget = "" if p["budget"] is None else f"C {p['budget']:.3g} "
        rate = f"lr {p['lr']:.3g} " if p["group"].endswith("/tuning") else ""
        what = f"{event['id']} {budget}N {p['N']} {rate}{event['status']} {loss}"
        return f"[{self.headline()}] {what}"


@contextlib.contextmanager
def watching(
    points: Sequence[Mapping[str, Any]], folder: Path
) -> Iterator[Callable[[Event], None]]:
    """Give a listener that shows events for as long as the context lasts."""
    board = _Board(points, folder)
    if not sys.stderr.isatty():

        def plain(event: Event) -> None:
            board.take(event)
            if event["event"] == "done":
                talk(board.line(event))
            elif event["event"] == "lost":
                talk(f"a worker died on {event['id']}; the point starts again")

        yield plain
        return
    with Live(board.table(), console=Console(stderr=True), refresh_per_second=4) as live:

        def redraw(event: Event) -> None:
            board.take(event)
            live.update(board.table())

        yield redraw
