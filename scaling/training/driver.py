"""The driver of a sweep: what is pending, in which order, and the lock that keeps it alone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from scaling.errors import (
    ConfigError,
    Fault,
    Message,
    MissingExtraError,
    OutputError,
    TrainingError,
    clip,
    counted,
)
from scaling.runs.files import commit_once, sha256_text
from scaling.runs.provenance import commit, versions
from scaling.runs.records import (
    clear_remains,
    commit_record,
    load_plan,
    read_record,
    retry,
    write_results,
)
from scaling.training.engines.base import Engine, Event
from scaling.training.engines.local import visible_gpus
from scaling.training.grouping import jobs_of

RESULTS_SECONDS = 5.0
SPARED = 30.0  # times as long as it took until results are written again
TRAINED_SHAPE = {"vocabulary", "context", "layers", "width", "heads", "ffn"}
Listener = Callable[[Event], None]
Points = Sequence[dict[str, Any]]


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
    stopped : str or None
        ``deadline`` or the name of a signal, if points are left for it.
    C, C_spent : float
        Compute of the points that this run brought to a loss, each on its own, and what was
        spent on them: less where a trunk was trained once [FLOP].
    """

    counts: dict[str, int]
    seconds: float
    trained: int
    messages: tuple[Message, ...]
    stopped: str | None = None
    C: float = 0.0
    C_spent: float = 0.0


@dataclass
class Limits:
    """When a run ends before all its points are done.

    Attributes
    ----------
    deadline : float or None
        Seconds after `began`.
    signals : list of str
        Names of the signals that came.
    """

    deadline: float | None = None
    signals: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def reached(self) -> str | None:
        """What ends the run now, or None."""
        if self.signals:
            return self.signals[0]
        late = self.deadline is not None and time.monotonic() - self.began >= self.deadline
        return "deadline" if late else None


def run(
    out: str | Path,
    *,
    engine: str = "local",
    workers: int | None = None,
    device: str = "auto",
    setup: Mapping[str, Any] | None = None,
    trunks: bool = False,
    deadline: float | None = None,
    retry_statuses: Sequence[str] = (),
    only: Sequence[str] = (),
    listener: Listener | None = None,
) -> Summary:
    """Train every point of the plan in `out` that has no record.

    Parameters
    ----------
    out : path
        A folder with ``plan.jsonl``.
    engine : {"local", "debug"}
    workers : int, optional
        Worker processes; one a core, or one a GPU, if None.
    device : {"auto", "cpu", "cuda"}
    setup : mapping, optional
        Settings of `scaling.training.setup.Setup`.
    trunks : bool
        Whether points of one trunk are trained as branches of it.
    deadline : float, optional
        Time from now after which running points keep a checkpoint and the run ends [s].
    retry_statuses : sequence of str
        Records with these statuses are set aside and their points run again.
    only : sequence of str
        Ids, or beginnings of ids, of the points to train; all if empty.
    listener : callable, optional
        Told of every event.

    Raises
    ------
    MissingExtraError
        SC001 if points are left to train and torch is not installed.
    TrainingError
        SC301 if another driver works on `out`; SC306 if the device is not there; SC312 if a batch
        cannot be divided over its devices; SC004 for an id that no point has.
    """
    out, settings = Path(out), dict(setup or {})
    points = load_plan(out)
    chosen = _chosen(points, only)
    limits = Limits(deadline)
    with _locked(out), _listening(limits):
        clear_remains(out, points, bool(settings.get("keep")))
        if retry_statuses:
            retry(out, chosen, retry_statuses)
        pending = [p for p in chosen if read_record(out, p["id"]) is None]
        ended = None
        if pending:
            if find_spec("torch") is None:
                raise MissingExtraError.of("torch", "train", "train points")
            refuse_unknown(pending)
            _check_devices(pending, settings, device)
            jobs = jobs_of(points, pending, trunks, settings, device, workers)
            count = min(workers, len(jobs)) if workers else None
            runner = _engine(engine, out, points, count, device, settings, limits)
            try:
                runner.submit(jobs)
                ended = _follow(runner, out, points, listener, limits)
            except BaseException:
                runner.cancel()
                with contextlib.suppress(OutputError):  # what went wrong first is to be told
                    write_results(out, points)
                raise
            runner.cancel()
            clear_remains(out, points, bool(settings.get("keep")))
        counts = write_results(out, points)
    new = [(p, r) for p in pending if (r := read_record(out, p["id"])) is not None]
    done = [(p, r) for p, r in new if r["status"] == "done"]
    return Summary(
        counts,
        time.monotonic() - limits.began,
        len(new),
        tuple(_messages(counts, ended, len(pending) - len(new), new)),
        ended,
        sum(p["C"] for p, _ in done),
        sum(record["C_spent"] for _, record in done),
    )


def _chosen(points: Points, only: Sequence[str]) -> Points:
    for start in only:
        if not start or not any(p["id"].startswith(start) for p in points):
            expected, mend = "the id of a point, or how it begins", "scaling sweep status OUT"
            raise ConfigError(Fault("SC004", "--only", f'"{start}"', expected, mend))
    return [p for p in points if not only or p["id"].startswith(tuple(only))]


def _check_devices(points: Points, settings: Mapping[str, Any], device: str) -> None:
    """Refuse devices that are not there, and a batch that cannot be divided over them equally."""
    devices, least = int(settings.get("devices", 1)), settings.get("devices_from", 0.0)
    if devices == 1:
        return
    gpus = visible_gpus() if device != "cpu" else []
    if 0 < len(gpus) < devices:
        found = f"{devices} for each point"
        expected = f"at most the {counted(len(gpus), 'GPU')} of this machine"
        raise TrainingError(Fault("SC312", "[engine] devices", found, expected))
    for point in points:
        if point["N"] >= least and point["sequences"] % devices:
            found = f"{counted(point['sequences'], 'sequence')} a step for {devices} devices"
            mend = "[engine] devices that divide the batch of every point"
            raise TrainingError(
                Fault("SC312", f"point {point['id']}", found, "a multiple of them", mend)
            )


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
    name: str,
    out: Path,
    points: Points,
    workers: int | None,
    device: str,
    settings: dict[str, Any],
    limits: Limits,
) -> Engine:
    from scaling.training.engines.debug import DebugEngine
    from scaling.training.engines.local import LocalEngine

    if name == "debug":
        return DebugEngine(out, device, settings, lambda: limits.reached() is not None)
    if name == "local":
        trunks = {p["id"]: p["trunk"] for p in points}
        return LocalEngine(out, workers, device, settings, trunks)
    raise TrainingError(Fault("SC004", "--engine", f'"{name}"', "local or debug"))


def _follow(
    runner: Engine, out: Path, points: Points, listener: Listener | None, limits: Limits
) -> str | None:
    """Follow the jobs to their end; return what ended them before, if anything did."""
    last, pause = time.monotonic(), RESULTS_SECONDS
    while runner.busy():
        reached = limits.reached()
        if reached is not None:
            return reached
        for event in runner.poll(0.5):
            told = kept_as_failed(out, points, event) if event["event"] == "given up" else event
            if listener is not None:
                listener(told)
        if time.monotonic() - last > pause:
            began = time.monotonic()
            write_results(out, points)
            last = time.monotonic()
            pause = max(RESULTS_SECONDS, SPARED * (last - began))  # many records take their time
    return None


def kept_as_failed(out: Path, points: Points, event: Event) -> Event:
    """Keep a point whose workers die; no worker is left to do it."""
    point = next(p for p in points if p["id"] == event["id"])
    missing = dict.fromkeys(("loss", "loss_se", "train_loss", "max_grad_norm"))
    record = {
        "id": point["id"],
        "status": "failed",
        **missing,
        "steps_done": 0,
        "cause": event["cause"],
        "seconds": 0.0,
        "point": point,
        "provenance": {
            **versions("torch", "numpy"),
            "commit": commit(Path(__file__).parent),
            "data": point["data"]["hash"],
        },
    }
    commit_record(out, record)
    names = ("id", "status", "loss", "seconds", "cause")
    return {"event": "done", **{name: record[name] for name in names}}


def _messages(
    counts: dict[str, int],
    ended: str | None,
    left: int,
    new: Sequence[tuple[dict[str, Any], dict[str, Any]]],
) -> list[Message]:
    found = []
    if counts["diverged"]:
        text = f"{counted(counts['diverged'], 'point')} diverged; kept as rows"
        text += _example(new, ("diverged",))
        mend = "a lower rate; --retry diverged runs them again"
        found.append(Message("SC303", text, mend=mend))
    lost = counts["failed"] + counts["too-big"]
    if lost:
        text = f"{counted(lost, 'point')} failed; kept as rows"
        text += _example(new, ("failed", "too-big"))
        found.append(Message("SC302", text, "error", mend="--retry failed runs them again"))
    if ended is not None and left:
        text = f"Stopped by {ended} with {counted(left, 'point')} left. The same command goes on, "
        text += "points that ran from their last checkpoints."
        found.append(Message("SC313", text))
    return found


def _example(new: Sequence[tuple[dict[str, Any], dict[str, Any]]], statuses: Sequence[str]) -> str:
    """Say the cause of the first such point of this run."""
    for point, record in new:
        if record["status"] in statuses:
            cause = str(record["cause"]).strip().splitlines()[-1]
            return f", such as {point['id']}: {clip(cause, 120)}."
    return "."


@contextlib.contextmanager
def _listening(limits: Limits) -> Iterator[None]:
    """Note signals that ask a process to leave, so that running points keep a checkpoint."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = (signal.SIGTERM, signal.SIGUSR2)
    before = {
        number: signal.signal(number, lambda n, _: limits.signals.append(signal.Signals(n).name))
        for number in names
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
        with contextlib.suppress(OSError):  # read-only by now; a lock of a process that is gone
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
