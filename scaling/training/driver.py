"""The driver of a sweep: what is pending, in which order, and the lock that keeps it alone."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Any

from scaling.count.tasks import BATCH_NORM, untrained
from scaling.errors import (
    ConfigError,
    Fault,
    Message,
    MissingExtraError,
    OutputError,
    ScalingError,
    TrainingError,
    counted,
)
from scaling.runs.provenance import commit, versions
from scaling.runs.records import (
    clear_remains,
    commit_record,
    load_plan,
    read_record,
    retry,
    write_results,
)
from scaling.training.engines.base import Engine, Event, devices_of, done_event
from scaling.training.engines.journal import Journal
from scaling.training.engines.local import visible_gpus
from scaling.training.grouping import jobs_of
from scaling.training.lock import asked_to_stop, locked, withdraw
from scaling.training.summary import Summary, left_at_work, messages_of

RESULTS_SECONDS = 5.0
LOOK_SECONDS = 1.0  # between looks for a request to stop
ALIKE = 3  # points that raise the same exception: it is not the point
SEEN_HERE = ("lost", "given up", "cancelled")  # what only the driver sees
DEADLINE, CANCEL, REPLACED = "deadline", "cancel", "another driver"
VERDICTS = {"SC305", "SC306", "SC307", "SC314", "SC315", "SC317", "SC318"}
SPARED = 30.0  # times as long as it took until results are written again
Listener = Callable[[Event], None]
Points = Sequence[dict[str, Any]]


@dataclass
class Limits:
    """When a run ends before all its points are done.

    Attributes
    ----------
    out : Path
        Sweep folder, in which anybody may ask for it.
    deadline : float or None
        Seconds after `began`.
    signals : list of str
        Names of the signals that came.
    """

    out: Path
    deadline: float | None = None
    signals: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    looked: float = 0.0

    def reached(self) -> str | None:
        """What ends the run now, or None."""
        now = time.monotonic()
        if not self.signals and now - self.looked > LOOK_SECONDS:
            self.looked = now
            self.signals += [CANCEL] * asked_to_stop(self.out)
        if self.signals:
            return self.signals[0]
        late = self.deadline is not None and now - self.began >= self.deadline
        return DEADLINE if late else None


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
    engine : {"local", "debug", "ray", "slurm"}
    workers : int, optional
        Jobs that run at once; one a core, or one a GPU, if None, and what there is under Ray and
        Slurm.
    device : {"auto", "cpu", "cuda"}
    setup : mapping, optional
        Settings of `scaling.training.setup.Setup`, and under ``ray`` and ``slurm`` those of these
        engines.
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
        cannot be divided over its devices; SC004 for an id that no point has; SC318 if three points
        raise the same exception; SC314 to SC317 as the engine raises them.
    """
    out, settings = Path(out), dict(setup or {})
    points = load_plan(out)
    chosen = _chosen(points, only)
    limits = Limits(out, deadline)
    keep = bool(settings.get("keep"))
    with locked(out, lambda: limits.signals.append(REPLACED)), _listening(limits):
        withdraw(out)
        _refuse_two(engine, out)
        if retry_statuses:
            retry(out, chosen, retry_statuses)
        pending = [p for p in chosen if read_record(out, p["id"]) is None]
        ended, busy = None, set[str]()
        if pending:
            if find_spec("torch") is None:
                raise MissingExtraError.of("torch", "train", "train points")
            refuse_unknown(pending)
            runner = _engine(engine, out, points, workers, device, settings, limits)
            _check_devices(pending, settings, device, engine)
            try:
                busy = set(runner.open())
                clear_remains(out, points, keep, busy)
                free = [p for p in pending if p["id"] not in busy]
                runner.submit(jobs_of(points, free, trunks, settings, runner))
                ended = _follow(runner, out, points, listener, limits)
                if ended in (DEADLINE, CANCEL):
                    runner.cancel()
                busy = set(runner.leave())
            except BaseException as error:
                busy = set(_end(runner, error))
                with contextlib.suppress(OutputError):  # what went wrong first is to be told
                    write_results(out, points)
                if not busy or not isinstance(error, KeyboardInterrupt):
                    _tell(listener, left_at_work(out, busy))
                    raise
                ended = "SIGINT"
        if ended != REPLACED:  # else these are another driver's now
            withdraw(out)
            clear_remains(out, points, keep, busy)
        counts = write_results(out, points)
    new = [(p, r) for p in pending if (r := read_record(out, p["id"])) is not None]
    done = [(p, r) for p, r in new if r["status"] == "done"]
    return Summary(
        counts,
        time.monotonic() - limits.began,
        len(new),
        (*messages_of(counts, ended, len(pending) - len(new), new), *left_at_work(out, busy)),
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


def _end(runner: Engine, error: BaseException) -> Collection[str]:
    """End an engine after an error; return ids of points that go on.

    Only what is wrong with the study, or with all machines, is a reason to stop what goes on
    without this process.
    """
    if isinstance(error, ScalingError) and error.code in VERDICTS:
        runner.cancel()
    return runner.leave()


def _tell(listener: Listener | None, messages: Sequence[Message]) -> None:
    if listener is not None:
        for message in messages:
            listener({"event": "message", "message": message})


def _refuse_two(engine: str, out: Path) -> None:
    """Refuse to train by another engine what Slurm has, where that can be asked."""
    if engine == "slurm" or not (out / "slurm").is_dir() or which("squeue") is None:
        return
    from scaling.training.engines.slurm_commands import living

    found: dict[Any, Any] = {}
    with contextlib.suppress(TrainingError):  # Slurm does not answer; a record is committed once
        found = living(out)
    if found:
        text = f"{counted(len(found), 'job')} of this sweep are in Slurm"
        mend = f"--engine slurm follows them; scaling sweep cancel {out} ends them"
        raise TrainingError(Fault("SC301", str(out), text, mend=mend))


def _check_devices(points: Points, settings: Mapping[str, Any], device: str, engine: str) -> None:
    """Refuse devices that are not there, and a batch that cannot be divided over them equally."""
    devices = int(settings.get("devices", 1))
    if devices == 1:
        return
    gpus = visible_gpus() if device != "cpu" and engine in ("local", "debug") else []
    if 0 < len(gpus) < devices:
        found = f"{devices} for each point"
        expected = f"at most the {counted(len(gpus), 'GPU')} of this machine"
        raise TrainingError(Fault("SC312", "[engine] devices", found, expected))
    for point in points:
        if devices_of(point, settings) > 1 and point["family"] in BATCH_NORM:
            found = f"{counted(devices, 'device')} for a network with batch norm"
            expected = "one: its result would depend on how a batch is divided"
            mend = "set devices = 1 in [engine], or train the family vit"
            raise TrainingError(Fault("SC312", f"point {point['id']}", found, expected, mend))
        if point["sequences"] % devices_of(point, settings):
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
        fault = untrained(point)
        if fault is not None:
            raise ConfigError(fault)


def _engine(
    name: str,
    out: Path,
    points: Points,
    workers: int | None,
    device: str,
    settings: dict[str, Any],
    limits: Limits,
) -> Engine:
    trunks = {p["id"]: p["trunk"] for p in points}
    if name == "debug":
        from scaling.training.engines.debug import DebugEngine

        return DebugEngine(out, device, settings, trunks, lambda: limits.reached() is not None)
    if name == "local":
        from scaling.training.engines.local import LocalEngine

        return LocalEngine(out, workers, device, settings, trunks)
    if name == "ray":
        from scaling.training.engines.ray import RayEngine

        return RayEngine(out, workers, device, settings, trunks)
    if name == "slurm":
        from scaling.training.engines.slurm import SlurmEngine

        return SlurmEngine(out, workers, device, settings, trunks)
    raise TrainingError(Fault("SC004", "--engine", f'"{name}"', "local, ray, slurm or debug"))


def _follow(
    runner: Engine, out: Path, points: Points, listener: Listener | None, limits: Limits
) -> str | None:
    """Follow the jobs to their end; return what ended them before, if anything did."""
    last, pause = time.monotonic(), RESULTS_SECONDS
    failures: dict[str, set[str]] = {}  # points by where their exceptions came from
    cancelled, journal = False, Journal(out, "driver")
    while runner.busy():
        reached = limits.reached()
        if reached is not None:
            return reached
        for event in runner.poll(0.5):
            if event["event"] in SEEN_HERE:
                journal.tell(event["event"], event["id"], why=event.get("cause", event.get("code")))
            told = kept_as_failed(out, points, event) if event["event"] == "given up" else event
            if listener is not None:
                listener(told)
            if event["event"] == "exception":
                _refuse_same(failures, event)
            cancelled = cancelled or event["event"] == "cancelled"
        if time.monotonic() - last > pause:
            began = time.monotonic()
            write_results(out, points)
            last = time.monotonic()
            pause = max(RESULTS_SECONDS, SPARED * (last - began))  # many records take their time
    return "scancel" if cancelled else None


def _refuse_same(failures: dict[str, set[str]], event: Event) -> None:
    """End a study that fails in one place, before all of its points do.

    Raises
    ------
    TrainingError
        SC318 with the traceback, at the third point.
    """
    lines = event["traceback"].strip().splitlines()
    if "RanksDied" in lines[-1]:  # a process of several, for whatever reason of its own
        return
    place = "\n".join(line for line in lines if line.startswith('  File "'))
    kind = next((line.partition(":")[0] for line in reversed(lines) if line[:1].strip()), "")
    alike = failures.setdefault(f"{place}\n{kind}", set())
    alike.add(event["id"])
    if len(alike) >= ALIKE:
        found = f"{len(alike)} points raised the same exception"
        mend = "mend that, then scaling sweep run with --retry failed; --only trains single points"
        where, detail = f"point {event['id']}", event["traceback"].strip()
        raise TrainingError(Fault("SC318", where, found, mend=mend, detail=detail))


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
    return done_event(record)


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
