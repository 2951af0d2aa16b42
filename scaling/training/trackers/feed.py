"""From the driver's events to trackers, none of which may hold up or end a training."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread

from scaling.errors import Message, clip
from scaling.runs.records import load_plan
from scaling.training.engines.base import Event
from scaling.training.pace import Pace, Paces
from scaling.training.trackers.base import (
    Row,
    Tracker,
    check_trackers,
    end_of,
    finite,
    make,
)

Listener = Callable[[Event], None]
LIVE_SECONDS = 2.0  # between live values of a point
WAITING = 100  # live values that may wait; starts and ends, two a point, always may
PATIENCE = 60.0  # for one call, while points train [s]
LAST_PATIENCE = 20.0  # for one call, once training is over [s]
HURRY = 3.0  # for all that is left, after an interrupt [s]


class Tracking:
    """A listener that hands events on: to another listener, and to the feed of each tracker.

    Parameters
    ----------
    out : Path
        Sweep folder.
    names : sequence of str
    listener : callable, optional
        Told of every event first, and of ``{"event": "message", "message": Message}`` when a
        tracker is given up; always from the thread that calls.
    """

    def __init__(self, out: Path, names: Sequence[str], listener: Listener | None) -> None:
        self.listener = listener
        self.messages: list[Message] = []
        names = check_trackers(names)
        self.paces = Paces(load_plan(out) if names else [])
        self.feeds = [_Feed(name, out, self.paces) for name in names]
        self.sent: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        """Take an event of the driver."""
        if self.listener is not None:
            self.listener(event)
        if not self.feeds:
            return
        pace = self.paces.take(event)
        kind, name = str(event["event"]), str(event.get("id"))
        if kind in ("start", "done") and name in self.paces.points:
            self._put((kind, name, None))
        elif kind == "progress" and pace is not None and self._due(name):
            self._put((kind, name, _live(pace, self.paces.mfu(pace))))
        for feed in self.feeds:
            feed.check(PATIENCE)
        self._tell()

    def close(self, *, hurry: bool = False) -> None:
        """Wait for what is left as long as it moves; in a hurry, leave it and close."""
        until = time.monotonic() + HURRY
        for feed in self.feeds:
            feed.hurry = hurry
            feed.put(None)
        for feed in self.feeds:
            while feed.alive():
                feed.thread.join(0.05)
                feed.check(HURRY if hurry else LAST_PATIENCE)
                if hurry and time.monotonic() > until:
                    feed.give_up(f"it did not close within {HURRY:.0f} s")
        self._tell()

    def _put(self, item: _Item) -> None:
        for feed in self.feeds:
            feed.put(item)

    def _due(self, name: str) -> bool:
        now = time.monotonic()
        if now - self.sent.get(name, -LIVE_SECONDS) < LIVE_SECONDS:
            return False
        self.sent[name] = now
        return True

    def _tell(self) -> None:
        """Say, once, that a tracker was given up."""
        for feed in self.feeds:
            if feed.failure is None or feed.told:
                continue
            feed.told = True
            message = Message(
                "SC309",
                f"Tracking with {feed.name} was given up: {feed.failure}. Training is not touched.",
                mend="look at results.csv and the curve.csv of points, which are whole",
            )
            self.messages.append(message)
            if self.listener is not None:
                self.listener({"event": "message", "message": message})


_Item = tuple[str, str, Row | None]


class _Feed:
    """The queue of one tracker and the thread that empties it."""

    def __init__(self, name: str, out: Path, paces: Paces) -> None:
        self.name, self.out, self.points = name, out, paces.points
        self.queue: SimpleQueue[_Item | None] = SimpleQueue()
        self.failure: str | None = None
        self.told = self.hurry = False
        self.since: float | None = None  # when the call that is under way began
        self.lock = Lock()
        # A daemon: a call that hangs must not keep the process from ending.
        self.thread = Thread(target=self._work, name=f"track-{name}", daemon=True)
        self.open: dict[str, int] = {}  # last live step that the run of a point holds

    def put(self, item: _Item | None) -> None:
        """Queue an item; live values are left out where the tracker lags behind."""
        if self.failure is not None or (item is None and self.thread.ident is None):
            return
        if item is not None and item[0] == "progress" and self.queue.qsize() >= WAITING:
            return
        self.queue.put(item)
        if self.thread.ident is None:
            self.thread.start()

    def alive(self) -> bool:
        """Whether there is something to wait for."""
        return self.failure is None and self.thread.is_alive()

    def check(self, patience: float) -> None:
        """Give the tracker up if one call takes longer than `patience` [s]."""
        since = self.since
        if since is not None and time.monotonic() - since > patience:
            self.give_up(f"it did not answer for {patience:.0f} s")

    def give_up(self, why: str) -> None:
        """Turn the tracker off; the first reason stands."""
        with self.lock:
            if self.failure is None:
                self.failure = why

    def _work(self) -> None:
        tracker: Tracker | None = None
        try:
            self.since = time.monotonic()
            tracker = make(self.name, self.out)
            while self.failure is None:
                self.since = None
                item = self.queue.get()
                self.since = time.monotonic()
                if item is None:
                    break
                if not self.hurry and self.failure is None:
                    self._take(tracker, *item)
            if self.failure is None:
                tracker.close()
        except BaseException as error:  # noqa: BLE001 - whatever it is, training goes on
            self.give_up(_said(error))
            if tracker is not None:
                with contextlib.suppress(BaseException):
                    tracker.close()
        finally:
            self.since = None

    def _take(self, tracker: Tracker, kind: str, name: str, row: Row | None) -> None:
        if name not in self.open:
            self.open[name] = tracker.begin(self.points[name])
        if row is not None and row[0] > self.open[name]:  # else it was sent before a restart
            tracker.log(name, row)
            self.open[name] = row[0]
        end = end_of(self.out, self.points[name]) if kind == "done" else None
        if end is not None:
            tracker.end(name, end)
            del self.open[name]


def _live(pace: Pace, mfu: float | None) -> Row:
    values = {
        "live/loss": pace.loss,
        "live/tokens": pace.step * pace.point["batch"],
        "live/tokens_per_second": pace.tokens_per_second,
        "live/flops_per_second": pace.flops_per_second,
        "live/mfu": mfu,
    }
    return pace.step, finite(values)


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return clip(f"{type(error).__name__}: {text}" if text else type(error).__name__, 200)


@contextlib.contextmanager
def tracked(
    out: str | Path, names: Sequence[str], listener: Listener | None = None
) -> Iterator[Tracking]:
    """Give a listener for `scaling.training.driver.run` that also feeds the trackers `names`.

    Raises
    ------
    ConfigError
        SC004 for a name that is no tracker.
    MissingExtraError
        SC001 for a tracker that is not installed.
    """
    tracking = Tracking(Path(out), names, listener)
    try:
        yield tracking
    except BaseException:
        tracking.close(hurry=True)
        raise
    tracking.close()
