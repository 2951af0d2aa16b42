"""The driver of a sweep: what is pending, in which order, and the lock that keeps it alone."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from scaling.errors import ConfigError, Fault, Message, MissingExtraError, TrainingError
from scaling.runs.files import commit_once, sha256_text
from scaling.runs.records import load_plan, read_record, retry, write_results
from scaling.training.engines.base import Engine, Event, Job

RESULTS_SECONDS = 5.0
TRAINED_SHAPE = {"vocabulary", "context", "layers", "width", "heads", "ffn"}
Listener = Callable[[Event], None]


@dataclass(frozen=True)
class Summary:
    """How a run of the driver ended.

    Attributes
    ----------
    counts : mapping
        Records by status.
    seconds : float
        Wall time.
    trained : int
        Points that this run finished.
    messages : tuple of Message
    """

    counts: dict[str, int]
    seconds: float
    trained: int
    messages: tuple[Message, ...]


def run(
    out: str | Path,
    *,
    engine: str = "local",
    workers: int | None = None,
    device: str = "auto",
    checkpoint_seconds: float = 60.0,
    retry_statuses: Sequence[str] = (),
    listener: Listener | None = None,
) -> Summary:
    """Train every point of the plan in `out` that has no record.

    Parameters
    ----------
    out : path
        A folder with ``plan.jsonl``.
    engine : {"local", "debug"}
    workers : int, optional
        Worker processes; one a core if None.
    device : {"auto", "cpu", "cuda"}
    checkpoint_seconds : float
    retry_statuses : sequence of str
        Records with these statuses are set aside and their points run again.
    listener : callable, optional
        Told of every event.

    Raises
    ------
    MissingExtraError
        SC001 if points are left to train and torch is not installed.
    TrainingError
        SC301 if another driver works on `out`; SC306 if the device is not there.
    """
    out = Path(out)
    points = load_plan(out)
    began = time.monotonic()
    with _locked(out):
        if retry_statuses:
            retry(out, points, retry_statuses)
        pending = [p for p in points if read_record(out, p["id"]) is None]
        pending.sort(key=lambda p: -(p["seconds"] or p["C"]))
        if pending:
            if find_spec("torch") is None:
                raise MissingExtraError.of("torch", "train", "train points")
            refuse_unknown(pending)
            runner = _engine(
                engine,
                out,
                min(workers or len(pending), len(pending)) if workers else None,
                device,
                checkpoint_seconds,
            )
            try:
                runner.submit([Job((p["id"],)) for p in pending])
                _follow(runner, out, points, listener)
            finally:
                runner.cancel()
                write_results(out, points)
        counts = write_results(out, points)
    return Summary(counts, time.monotonic() - began, len(pending), tuple(_messages(counts)))


def refuse_unknown(points: Sequence[dict[str, Any]]) -> None:
    """Refuse points of which the model that is trained here would not be the one that was counted.

    Raises
    ------
    ConfigError
        SC308.
    """
    for point in points:
        extra = sorted(set(point["shape"]) - TRAINED_SHAPE)
        found = f"family {point['family']}" + (f" with {', '.join(extra)}" if extra else "")
        expected = "a decoder of " + ", ".join(sorted(TRAINED_SHAPE))
        if point["data"]["source"] == "external":
            found = f'"external" data for {found}'
            expected = "a source that is read here: stdlib or markov"
        elif point["family"] == "decoder" and not extra:
            continue
        mend = "train the points of plan.jsonl with your own program and fit its results"
        raise ConfigError(Fault("SC308", f"point {point['id']}", found, expected, mend))


def _engine(
    name: str, out: Path, workers: int | None, device: str, checkpoint_seconds: float
) -> Engine:
    from scaling.training.engines.debug import DebugEngine
    from scaling.training.engines.local import LocalEngine

    if name == "debug":
        return DebugEngine(out, device, checkpoint_seconds)
    if name == "local":
        return LocalEngine(out, workers, device, checkpoint_seconds)
    raise TrainingError(Fault("SC004", "--engine", f'"{name}"', "local or debug"))


def _follow(
    runner: Engine, out: Path, points: list[dict[str, Any]], listener: Listener | None
) -> None:
    last = time.monotonic()
    while runner.busy():
        for event in runner.poll(0.5):
            if listener is not None:
                listener(event)
        if time.monotonic() - last > RESULTS_SECONDS:
            write_results(out, points)
            last = time.monotonic()


def _messages(counts: dict[str, int]) -> list[Message]:
    found = []
    if counts["diverged"]:
        found.append(Message("SC303", f"{counts['diverged']} points diverged; kept as rows."))
    lost = counts["failed"] + counts["too-big"]
    if lost:
        found.append(Message("SC302", f"{lost} points failed; kept as rows.", "error"))
    return found


# ------------------------------------------------------------------------------------------ lock


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    path = out / "driver.lock"
    mine = json.dumps({"pid": os.getpid(), "started": _started(os.getpid()), "host": _host()})
    for _ in range(3):
        if commit_once(path, mine):
            break
        holder = _holder(path)
        if holder is not None and not _gone(holder):
            raise TrainingError(
                Fault(
                    "SC301",
                    str(path),
                    f"process {holder.get('pid')} works on this sweep",
                    mend="wait for it or end it; if it runs on another machine that is gone, "
                    "remove the lock",
                )
            )
        path.unlink(missing_ok=True)
    else:
        raise TrainingError(Fault("SC301", str(path), "taken by another driver just now"))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _holder(path: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def _gone(holder: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine that has ended."""
    if holder.get("host") != _host():
        return False
    pid = int(holder["pid"])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return _started(pid) != holder.get("started")


def _host() -> str:
    return sha256_text(socket.gethostname())[:16]


def _started(pid: int) -> str | None:
    """Start time of a process in clock ticks, which tells it from a later one of the same id."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text.rsplit(")", 1)[1].split()[19]
