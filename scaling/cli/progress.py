"""Live progress of a sweep: a table on a terminal, one line a finished point elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import RLock
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from scaling.cli.common import talk, tell
from scaling.cli.planned import duration
from scaling.count import FAMILIES
from scaling.runs.records import read_record
from scaling.training.grouping import own_compute
from scaling.training.pace import Pace, Paces

Event = Mapping[str, Any]
SHOWN = 12
ID = 8  # characters of an id that tell points of a sweep apart
# Columns and the least they take, so that they stand still; at most 80 characters together.
WIDTHS = {"point": ID, "budget": 8, "N": 5, "D": 5, "step": 11, "%": 3, "loss": 6, "tokens/s": 8,
          "MFU": 4, "ETA": 7}  # fmt: skip


class Board:
    """What is known of every point while the sweep runs; the ETA follows FLOP, not counts.

    Parameters
    ----------
    points : sequence of mapping
        The plan.
    folder : Path
        Sweep folder, of which records are read once.
    clock : callable
        Seconds that only grow.
    trunks : bool
        Whether branches share what comes before their decay.
    """

    def __init__(
        self,
        points: Sequence[Mapping[str, Any]],
        folder: Path,
        clock: Callable[[], float] = time.monotonic,
        trunks: bool = False,
    ) -> None:
        self.points = {p["id"]: p for p in points}
        self.own = own_compute(points, trunks)
        self.states: dict[str, str] = {}
        for name in self.points:
            record = read_record(folder, name)
            if record is not None:
                self.states[name] = record["status"]
        self.paces = Paces(points, clock)
        self.clock = clock
        self.left = sum(own for i, own in self.own.items() if i not in self.states)
        self.spent = 0.0  # by points that this run has finished
        self.created = clock()
        self.began: float | None = None  # when the first point started
        self.lock = RLock()  # the screen is drawn by a thread of its own

    def take(self, event: Event) -> None:
        """Follow an event of the driver."""
        with self.lock:
            pace = self.paces.take(event)
            name = event.get("id")
            if pace is not None and self.began is None:
                self.began = self.clock()
            if event["event"] == "done" and name in self.points:
                self._finish(event, pace)

    def _finish(self, event: Event, pace: Pace | None) -> None:
        name, status = event["id"], event["status"]
        before = 0 if pace is None else pace.first or 0
        point = self.points[name]
        if self.began is not None and event.get("seconds"):  # it may be heard of only now
            earliest = self.clock() - event["seconds"]
            self.began = max(self.created, min(self.began, earliest))
        if name not in self.states:
            self.left -= self.own[name]
        if status == "done":
            self.spent += point["C"] * (1.0 - before / point["steps"])
        elif pace is not None:
            self.spent += pace.flops_here
        self.states[name] = status

    # ----------------------------------------------------------------------------------- speed

    def eta(self) -> float | None:
        """Seconds left: FLOP left over FLOP/s so far, but no less than the slowest point needs.

        The mean since the first point started counts the workers that there are, the time between
        points and the sizes of models, which the speeds of this moment would not.
        """
        running = list(self.paces.running.values())
        spent = self.spent + sum(pace.flops_here for pace in running)
        if self.began is None or spent <= 0.0:
            return None
        left = self.left - sum(map(self._done_of, running))
        mean = spent / max(self.clock() - self.began, 1e-9)
        slowest = max((pace.seconds_left() or 0.0 for pace in running), default=0.0)
        return float(max(0.0, left / mean, slowest))

    def _done_of(self, pace: Pace) -> float:
        """Compute of a running point that is done of what it takes itself [FLOP]."""
        point = pace.point
        return float(max(0.0, self.own[point["id"]] - (1.0 - pace.share) * point["C"]))

    @property
    def units(self) -> str:
        """What D counts, in the plural: tokens, or examples where any point counts them."""
        families = {str(p.get("family")) for p in self.points.values()}
        of_examples = {name for name, family in FAMILIES.items() if family.unit == "example"}
        others = any(name in of_examples or ":" in name for name in families)
        return "examples" if others else "tokens"

    def headline(self) -> str:
        """Points, how they ended, speed of all workers together, and the time left."""
        with self.lock:
            parts = [f"{len(self.states)}/{len(self.points)} points{self._troubled()}"]
            running = list(self.paces.running.values())
            tokens = sum(pace.tokens_per_second or 0.0 for pace in running)
            flops = sum(pace.flops_per_second or 0.0 for pace in running)
            if tokens > 0.0:
                parts += [f"{brief(tokens)} {self.units}/s", f"{brief(flops, ' ')}FLOP/s"]
            if len(self.states) < len(self.points):
                left = self.eta()
                parts += [] if left is None else [f"{about(left)} left"]
            return ", ".join(parts)

    def _troubled(self) -> str:
        found = list(self.states.values())
        kinds = [k for k in ("diverged", "failed", "too-big") if k in found]
        counts = ", ".join(f"{found.count(k)} {k}" for k in kinds)
        return f" ({counts})" if counts else ""

    # ----------------------------------------------------------------------------------- views

    def view(self) -> Group:
        """Lay the running points out for a screen of 80 columns."""
        with self.lock:
            running = list(self.paces.running.values())
            parts: list[Any] = [Text(self.headline())]
            if running:
                parts.append(self._table(running[:SHOWN]))
            if len(running) > SHOWN:
                parts.append(Text(f"… and {len(running) - SHOWN} more points that run"))
            return Group(*parts)

    def _table(self, paces: Sequence[Pace]) -> Table:
        budgets = any(p["budget"] is not None for p in self.points.values())
        left_out = {"budget": not budgets, "MFU": self.paces.peak is None}
        rows = [self._cells(pace) for pace in paces]
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
        names = [name for name in WIDTHS if not left_out.get(name, False)]
        for name in names:
            own = name == "tokens/s" and self.units != "tokens"
            shown = "ex./s" if own else name
            table.add_column(shown, justify="right", no_wrap=True, min_width=WIDTHS[name])
        for row in rows:
            table.add_row(*(row[name] for name in names))
        return table

    def _cells(self, pace: Pace) -> dict[str, str]:
        p, left, speed = pace.point, pace.seconds_left(), pace.tokens_per_second
        mfu = self.paces.mfu(pace)
        return {
            "point": p["id"][:ID],
            "budget": "" if p["budget"] is None else f"{p['budget']:.3g}",
            "N": brief(p["N"]),
            "D": brief(p["D"]),
            "step": f"{brief(pace.step)}/{brief(p['steps'])}",
            "%": f"{int(100 * pace.share)}",
            "loss": "" if pace.loss is None else f"{pace.loss:.4f}",
            "tokens/s": "" if speed is None else brief(speed),
            "MFU": "" if mfu is None else f"{100 * mfu:{'.0f' if mfu >= 0.1 else '.2g'}}%",
            "ETA": "" if left is None else about(left),
        }

    def line(self, event: Event) -> str:
        """Say in one line how a point ended."""
        p = self.points[event["id"]]
        parts = [event["id"]]
        if p["budget"] is not None:
            parts.append(f"C {p['budget']:.3g}")
        parts.append(f"N {p['N']}")
        if p["group"].endswith("/tuning"):
            parts.append(f"lr {p['lr']:.3g}")
        parts.append(event["status"])
        if event["loss"] is not None:
            parts.append(f"loss {event['loss']:.4f}")
        if event["status"] == "done" and event.get("seconds"):
            parts.append(f"{brief(p['D'] / event['seconds'])} {self.units}/s")
        return f"[{self.headline()}] {' '.join(parts)}"


def brief(value: float, gap: str = "") -> str:
    """Write an amount in five characters: 870, 13.4k, 1.24M, 2.05T; `gap` precedes the unit."""
    for unit, name in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * unit:
            scaled = value / unit
            return f"{scaled:.{0 if scaled >= 99.95 else 1 if scaled >= 9.995 else 2}f}{gap}{name}"
    return f"{value:.3g}{gap}"


def about(seconds: float) -> str:
    """Time that is left, without digits that nobody believes: 40 s, 12 min, 3.5 h."""
    if seconds < 120.0:
        return f"{seconds:.0f} s"
    amount, unit = duration(seconds).split()
    return f"{float(amount):{'.0f' if float(amount) >= 10.0 else '.1f'}} {unit}"


@contextlib.contextmanager
def watching(
    points: Sequence[Mapping[str, Any]], folder: Path, trunks: bool = False
) -> Iterator[Callable[[Event], None]]:
    """Give a listener that shows events for as long as the context lasts."""
    board = Board(points, folder, trunks=trunks)
    if not sys.stderr.isatty():
        yield lambda event: _plain(board, event)
        return
    console = Console(stderr=True)
    with Live(console=console, refresh_per_second=4, get_renderable=board.view):

        def follow(event: Event) -> None:
            board.take(event)
            if event["event"] == "message":
                for line in event["message"].lines():
                    console.print(Text(line))
            elif event["event"] == "note":
                console.print(Text(event["text"]))

        yield follow


def _plain(board: Board, event: Event) -> None:
    board.take(event)
    if event["event"] == "done":
        talk(board.line(event))
    elif event["event"] == "lost":
        talk(f"a worker died on {event['id']}; the point goes on from its checkpoint")
    elif event["event"] == "stopped":
        talk(f"a worker was asked to leave; {event['id']} goes on from its checkpoint")
    elif event["event"] == "note":
        talk(event["text"])
    elif event["event"] == "message":
        tell([event["message"]])
