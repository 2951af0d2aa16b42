"""How far points are and how fast they go, as far as the events of a run tell."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Event = Mapping[str, Any]
Point = Mapping[str, Any]
NEW = 0.5  # weight of the newest rate; an interval of half a second is a noisy clock


@dataclass
class Pace:
    """Where a running point is.

    Attributes
    ----------
    point : mapping
        Its line of the plan.
    began, heard : float
        When it started and when it was last heard of [s].
    step : int
        Optimiser steps done.
    loss : float or None
        Smoothed training loss.
    rate : float or None
        Smoothed optimiser steps a second; None until it is known.
    first : int or None
        Steps that were done before this start, found at the first news.
    """

    point: Point
    began: float
    heard: float
    step: int = 0
    loss: float | None = None
    rate: float | None = None
    first: int | None = None

    def news(self, event: Event, now: float) -> None:
        """Take a ``progress`` event."""
        step, rate = int(event["step"]), event.get("rate")
        if rate is None and self.first is not None and now > self.heard and step >= self.step:
            rate = (step - self.step) / (now - self.heard)
        if self.first is None:
            # A point that goes on from a checkpoint does not say so; its pace does.
            self.first = 0 if rate is None else max(0, round(step - rate * (now - self.began)))
        if rate is not None:
            self.rate = rate if self.rate is None else NEW * rate + (1.0 - NEW) * self.rate
        self.step, self.loss, self.heard = step, event.get("loss"), now

    @property
    def share(self) -> float:
        """Share of the steps that are done."""
        return float(self.step / self.point["steps"])

    @property
    def flops_here(self) -> float:
        """Compute that was spent since this start [FLOP]."""
        return float((self.step - (self.first or 0)) * self.point["C"] / self.point["steps"])

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens a second, None until known."""
        return None if self.rate is None else float(self.rate * self.point["batch"])

    @property
    def flops_per_second(self) -> float | None:
        """FLOP a second, None until known."""
        if self.rate is None:
            return None
        return float(self.rate * self.point["C"] / self.point["steps"])

    def seconds_left(self) -> float | None:
        """Seconds until the last step at the present rate; None while nothing moves."""
        if not self.rate:
            return None
        return max(0.0, float((self.point["steps"] - self.step) / self.rate))


class Paces:
    """The running points of a sweep.

    Attributes
    ----------
    running : dict
        `Pace` by id.
    peak : float or None
        Peak of one device [FLOP/s], where a worker has said so.
    """

    def __init__(
        self, points: Iterable[Point], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.points = {p["id"]: p for p in points}
        self.running: dict[str, Pace] = {}
        self.peak: float | None = None
        self.clock = clock

    def take(self, event: Event) -> Pace | None:
        """Follow an event; return the point's pace after it, or its last where it has ended."""
        kind, name, now = event["event"], str(event.get("id")), self.clock()
        if kind == "ready":
            self.peak = event.get("peak") or self.peak
        if name not in self.points:
            return None
        if kind in ("done", "lost", "stopped"):
            return self.running.pop(name, None)
        if kind == "start" or name not in self.running:
            self.running[name] = Pace(self.points[name], now, now)
        if kind == "progress":
            self.running[name].news(event, now)
        return self.running[name]

    def mfu(self, pace: Pace) -> float | None:
        """Share of the peak of its device that a point uses; None where either is unknown."""
        speed = pace.flops_per_second
        return None if self.peak is None or speed is None else speed / self.peak
