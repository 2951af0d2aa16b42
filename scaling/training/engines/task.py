"""What a process does that Ray or Slurm has started: train its jobs, and say how it ended."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scaling.errors import ConfigError, Fault, ScalingError, TrainingError
from scaling.runs.provenance import versions
from scaling.training.engines.base import fields_of
from scaling.training.engines.journal import Journal, read_journal
from scaling.training.lock import asked_to_stop

LOOK_SECONDS = 2.0  # between looks for a request to stop
ROOM = 1 << 20  # bytes that compilers and torchrun find at least in the scratch folder
SHARED = "an -o on storage that all machines see at one path and may write"
SAME = ("scaling-study", "torch")  # what must be of one version on all machines


def perform(
    out: str, device: str, setup: Mapping[str, Any], order: Mapping[str, Any], name: str,
    expected: Mapping[str, Any], again: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Train a job in this process, in its main thread.

    Parameters
    ----------
    out : str
        Sweep folder.
    device : {"auto", "cpu", "cuda"}
    setup : mapping
        Settings of `scaling.training.setup.Setup`.
    order : mapping
        The job, as `Attempts.order` gives it.
    name : str
        Of this process's journal.
    expected : mapping
        Versions that the driver has.
    again : bool
        Whether to try points that raise exceptions again, since no driver may be there to do it.

    Returns
    -------
    dict
        ``end``: ``finished``, ``stopped`` or ``error``; ``signal`` that asked for it, or None;
        the fields of the error under ``error`` and ``faults``.
    """
    folder = Path(out)
    try:
        seen(folder)
        journal = Journal(folder, name)
    except (ScalingError, OSError) as error:
        return {"end": "error", **fields_of(error, folder)}
    order = {**order, "spare": _spare(order, journal)}
    times = max(order["spare"].values(), default=0) + 1 if again else 1
    with _listening(folder) as signs, _printing(journal.log):
        try:
            return _serve(folder, device, setup, [order] * times, journal, signs, expected)
        except Exception:
            traceback.print_exc()
            raise


def _spare(order: Mapping[str, Any], journal: Journal) -> dict[str, int]:
    """Exceptions that points may still raise, less those of this job's earlier starts."""
    spare = dict(order["spare"])
    events = read_journal(journal.path)[0] if journal.path.exists() else []
    for event in events if journal.name.startswith("slurm-") else ():
        for name in event.get("points", ()) if event["event"] == "exception" else ():
            spare[name] = spare.get(name, 0) - 1
    return {name: max(0, left) for name, left in spare.items()}


def _serve(
    out: Path, device: str, setup: Mapping[str, Any], orders: Sequence[Mapping[str, Any]],
    journal: Journal, signs: Signs, expected: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    from scaling.training.serving import Server

    node, last = os.environ.get("SLURMD_NODENAME"), {}

    def tell(event: str, name: str | None = None, **fields: Any) -> None:
        if event == "error":
            last.update(fields)
            fields = {**fields, "node": node}
        journal.tell(event, name, **fields)

    if signs.stop():  # before anything is loaded
        return {"end": "stopped", "signal": signs.name}
    try:
        fit_for_work(expected)
        server = Server(out, device, setup, signs.stop, tell)
    except ScalingError as error:
        tell("error", **fields_of(error, out))
        return {"end": "error", **last}
    tell("ready", device=server.device.type, peak=server.peak(), node=node)
    for order in orders:  # what has a record by then is passed over
        ended = "stopped" if signs.stop() else server.run(order)
        if ended != "finished":
            return {"end": ended, "signal": signs.name, **last}
    return {"end": "finished", "signal": None}


# ---------------------------------------------------------------------------------------- place


def seen(out: Path) -> None:
    """Refuse a machine that cannot see or write the sweep.

    Raises
    ------
    ConfigError
        SC314.
    """
    if not (out / "plan.jsonl").is_file():
        found, expected = "has no plan.jsonl as this machine sees it", "the folder of the sweep"
        raise ConfigError(Fault("SC314", str(out), found, expected, SHARED))
    try:
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        found = f"cannot be written from this machine: {error.strerror}"
        raise ConfigError(Fault("SC314", str(out), found, mend=SHARED)) from None


def fit_for_work(expected: Mapping[str, Any]) -> None:
    """Refuse a machine that has no scratch or other code.

    Raises
    ------
    TrainingError
        SC315 for the scratch disk, SC307 for the versions.
    """
    scratch = os.environ.get("TMPDIR") or "a folder"
    try:
        scratch = os.environ.get("TMPDIR") or tempfile.gettempdir()
        with tempfile.TemporaryFile(dir=scratch) as probe:
            probe.write(bytes(ROOM))
            probe.flush()
    except OSError as error:
        found = f"cannot be used for scratch on this machine: {error.strerror}"
        raise TrainingError(Fault("SC315", scratch, found, mend="free space there")) from None
    here = versions_here()
    other = [name for name in SAME if name in expected and here[name] != expected[name]]
    if other:
        found = ", ".join(f"{name} {here[name]}" for name in other)
        want = ", ".join(f"{name} {expected[name]}" for name in other) + ", as the driver has"
        mend = "install the same versions on every machine"
        raise TrainingError(Fault("SC307", "this machine", found, want, mend))


def versions_here() -> dict[str, str | None]:
    """Versions that decide bits; how torch was built does not count, since nodes differ in that."""
    found = versions("torch")
    return {name: str(found[name]).partition("+")[0] for name in SAME}


# -------------------------------------------------------------------------------------- process


class Signs:
    """What asks a process to stop: a signal, or the request in the sweep folder."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.name: str | None = None
        self.asked = threading.Event()
        self.next = 0.0

    def take(self, number: int) -> None:
        """Note a signal."""
        if self.name is None:
            self.name = signal.Signals(number).name
        self.asked.set()

    def stop(self) -> bool:
        """Whether to stop; the folder is looked at now and then."""
        now = time.monotonic()
        if not self.asked.is_set() and now >= self.next:
            self.next = now + LOOK_SECONDS
            if asked_to_stop(self.out):
                self.asked.set()
        return self.asked.is_set()


@contextlib.contextmanager
def _listening(out: Path) -> Iterator[Signs]:
    """Take signals that ask to leave, and give their handlers back."""
    signs = Signs(out)
    numbers = (signal.SIGTERM, signal.SIGUSR2)
    before = {n: signal.signal(n, lambda number, _: signs.take(number)) for n in numbers}
    try:
        yield signs
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _printing(log: Path) -> Iterator[None]:
    """Let what is printed by whatever code go to the log of this process in the sweep folder."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with log.open("ab") as target:
        os.dup2(target.fileno(), 1)
        os.dup2(target.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, handle in zip((1, 2), kept, strict=True):
            os.dup2(handle, number)
            os.close(handle)
