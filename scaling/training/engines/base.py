"""The door that every engine has."""

from __future__ import annotations

import errno
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from scaling import errors
from scaling.errors import Fault, Message, OutputError, ScalingError

Event = dict[str, Any]
Kind = Literal["alone", "trunk", "stack"]


@dataclass(frozen=True)
class Job:
    """Point ids that run in one process, in order.

    Attributes
    ----------
    points : tuple of str
    kind : {"alone", "trunk", "stack"}
        One after another, as branches of one trunk, or as one stacked model.
    devices : int
        Devices that each of its points is trained on.
    """

    points: tuple[str, ...]
    kind: Kind = "alone"
    devices: int = 1


@dataclass(frozen=True)
class Check:
    """What was found of something that an engine needs.

    Attributes
    ----------
    name : str
        What was looked at.
    found : str
    code : str
        Of the message that a run ends with if it is not as it should be; empty if all is well.
    mend : str
        The command or the change that repairs it.
    optional : bool
        Whether a run does without it.
    """

    name: str
    found: str
    code: str = ""
    mend: str = ""
    optional: bool = False

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return not self.code

    def fault(self) -> Fault:
        """Say it as the fault that ends a run."""
        return Fault(self.code, self.name, self.found, mend=self.mend)


def devices_of(point: Mapping[str, Any], settings: Mapping[str, Any]) -> int:
    """Devices that a point is trained on under ``[engine] devices`` and ``devices_from``."""
    devices = int(settings.get("devices", 1))
    return devices if devices > 1 and point["N"] >= settings.get("devices_from", 0.0) else 1


def device_counts(settings: Mapping[str, Any]) -> list[int]:
    """Different numbers of devices that points are trained on."""
    devices = int(settings.get("devices", 1))
    return sorted({devices, 1} if settings.get("devices_from") else {devices})


class Places(Protocol):
    """What decides how points are divided into jobs.

    Attributes
    ----------
    places : int
        Jobs that run at once, as far as is known.
    on_gpu : bool
        Whether points are trained on GPUs.
    packs : bool
        Whether starting a job takes long, so that short points of one shape share one.
    """

    places: int
    on_gpu: bool
    packs: bool


class Engine(Places, Protocol):
    """Runs jobs; results are records on disk, events are only news."""

    def open(self) -> Collection[str]:
        """Make sure that jobs can run; return ids of points that are at work already."""

    def submit(self, jobs: Sequence[Job]) -> None:
        """Take jobs, in the order in which they should start."""

    def poll(self, timeout: float) -> list[Event]:
        """Return what happened, waiting up to `timeout` seconds for something."""

    def busy(self) -> bool:
        """Whether jobs are left."""

    def cancel(self) -> None:
        """Stop everything; running points keep a checkpoint where they can."""

    def leave(self) -> Collection[str]:
        """End with this process; return ids of points that go on without it."""


def done_event(record: Mapping[str, Any]) -> Event:
    """Return the event that tells how a point ended."""
    names = ("id", "status", "loss", "seconds", "cause")
    return {"event": "done", **{name: record[name] for name in names}}


def news_of(messages: list[Message], notes: list[str]) -> list[Event]:
    """Return events of what an engine has to say, and forget it."""
    events: list[Event] = [{"event": "message", "message": message} for message in messages]
    events += [{"event": "note", "text": text} for text in notes]
    messages.clear()
    notes.clear()
    return events


PLACE = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM, errno.ESTALE,
    errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENOMEM,
)  # fmt: skip


def of_the_place(error: BaseException) -> bool:
    """Whether an error of the file system is that of a disk, and not of what was asked of it."""
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(cause, OSError) and cause.errno in PLACE


def fields_of(error: ScalingError | OSError, out: Path) -> dict[str, Any]:
    """Say an error in fields of an event, so that another process can raise it again."""
    if isinstance(error, OSError):
        found = f"cannot be read or written: {error.strerror or error}"
        where = str(error.filename or out)
        error = OutputError(Fault("SC003", where, found, mend="free space, or another -o"))
    return {"error": type(error).__name__, "faults": [asdict(fault) for fault in error.faults]}


def error_of(event: Mapping[str, Any]) -> ScalingError:
    """Return the error that an event tells of."""
    kind: type[ScalingError] = getattr(errors, event["error"])
    return kind([Fault(**fault) for fault in event["faults"]])
