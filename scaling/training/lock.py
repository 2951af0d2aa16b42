"""Who drives a sweep: one process at a time; and how anybody who sees the folder ends it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scaling.errors import Fault, TrainingError
from scaling.runs.files import commit_once, explain_os_errors, temporary_name

BEAT_SECONDS = 15.0
SILENT_SECONDS = 180.0  # without a sign of life from another machine: its driver is gone
Holder = dict[str, Any]


@contextlib.contextmanager
def locked(out: Path, lost: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the driver lock of a sweep folder.

    A lock is stale if its process is gone from this machine, or if another machine has given no
    sign of life for three minutes by the clock of the file system that both see.

    Parameters
    ----------
    out : Path
        Sweep folder.
    lost : callable
        Called, from a thread, if another driver has taken the lock of a process that slept.

    Raises
    ------
    TrainingError
        SC301, naming the holder.
    """
    path = lock_file(out)
    text = json.dumps({**_identity(), "since": time.strftime("%Y-%m-%dT%H:%M:%S%z")})
    for _ in range(3):
        if commit_once(path, text):
            break
        before, holder = _read(path)
        if holder is not None and not gone(holder):
            raise TrainingError(_refusal(path, holder))
        _put_aside(path, before)
    else:
        raise TrainingError(Fault("SC301", str(path), "taken by another driver just now"))
    over = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, text, over, lost), daemon=True)
    beat.start()
    try:
        yield
    finally:
        over.set()
        beat.join()
        with contextlib.suppress(OSError):  # read-only by now; a lock of a process that is gone
            if path.read_text() == text:
                path.unlink()


def lock_file(out: Path) -> Path:
    """The driver lock of a sweep folder."""
    return out / "driver.lock"


def holder_of(out: Path) -> Holder | None:
    """What the driver lock says of its holder, with ``silent`` seconds, or None."""
    try:
        return _read(lock_file(out))[1]
    except TrainingError:
        return None


def _read(path: Path) -> tuple[str | None, Holder | None]:
    """Text of a lock and what it says: None and None without a lock, None for one that is damaged.

    Raises
    ------
    TrainingError
        SC301 if there is a lock that cannot be read: it is not stale for that.
    """
    try:
        text = path.read_text()
        silent = max(0.0, _now(path.parent) - path.stat().st_mtime)
    except FileNotFoundError:
        return None, None
    except OSError as error:
        found = f"cannot be read: {error.strerror}"
        raise TrainingError(Fault("SC301", str(path), found, mend="see whose it is")) from error
    try:
        data = json.loads(text)
        return text, {"since": "?", **data, "silent": silent, "pid": int(data["pid"])}
    except (ValueError, TypeError, KeyError):
        return text, None


def _put_aside(path: Path, text: str | None) -> None:
    """Remove a stale lock, unless another driver has put its own in its place meanwhile."""
    aside = temporary_name(path)
    with contextlib.suppress(FileNotFoundError):
        path.rename(aside)
        if aside.read_text() != text:
            with contextlib.suppress(FileExistsError):
                os.link(aside, path)
        aside.unlink()


def _identity() -> Holder:
    """What tells this process from all others; pids repeat in other containers of a host."""
    with contextlib.suppress(OSError):
        space = str(Path("/proc/self/ns/pid").readlink())
        return {**_process(), "space": space}
    return _process()


def _process() -> Holder:
    pid = os.getpid()
    return {"pid": pid, "host": socket.gethostname(), "started": _started(pid)}


def gone(holder: Holder) -> bool:
    """Whether the holder has ended."""
    here = _identity()
    if any(holder.get(name, here.get(name)) != here.get(name) for name in ("host", "space")):
        return bool(holder["silent"] > SILENT_SECONDS)
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return _started(holder["pid"]) != holder.get("started")


def _refusal(path: Path, holder: Holder) -> Fault:
    here = holder.get("host") == socket.gethostname()
    where = "" if here else f" on {holder.get('host')}"
    found = f"process {holder['pid']}{where} works on this sweep since {holder.get('since')}"
    found += "" if here else f", last sign of life {holder['silent']:.0f} s ago"
    mend = f"scaling sweep cancel {path.parent} ends it"
    return Fault("SC301", str(path), found, mend=mend)


def _beat(path: Path, text: str, over: threading.Event, lost: Callable[[], None]) -> None:
    while not over.wait(BEAT_SECONDS):
        with contextlib.suppress(OSError):
            if path.read_text() != text:
                lost()
                return
            os.utime(path)


def _now(out: Path) -> float:
    """The time that the file system of `out` has, which may not be that of this machine."""
    probe = temporary_name(out / "clock")
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


def _started(pid: int) -> str | None:
    """Start time of a process in clock ticks, which tells it from a later one of the same id."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text.rsplit(")", 1)[1].split()[19]


# --------------------------------------------------------------------------------------- request


def stop_file(out: Path) -> Path:
    """Present while the points of a sweep are asked to keep a checkpoint and stop."""
    return out / "stop"


def ask_to_stop(out: Path, by: str) -> None:
    """Ask whatever works on a sweep to keep a checkpoint and stop."""
    with explain_os_errors(stop_file(out)):
        stop_file(out).write_text(by + "\n")


def asked_to_stop(out: Path) -> bool:
    """Whether the points of a sweep are asked to stop."""
    return stop_file(out).exists()


def withdraw(out: Path) -> None:
    """Take a request to stop back, when it has been followed."""
    with contextlib.suppress(OSError):
        stop_file(out).unlink()
