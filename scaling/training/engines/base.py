"""The door that every engine has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from scaling import errors
from scaling.errors import Fault, OutputError, ScalingError

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
    """

    points: tuple[str, ...]
    kind: Kind = "alone"


class Engine(Protocol):
    """Runs jobs; results are records on disk, events are only news."""

    def submit(self, jobs: Sequence[Job]) -> None:
        """Take jobs, in the order in which they should start."""

    def poll(self, timeout: float) -> list[Event]:
        """Return what happened, waiting up to `timeout` seconds for something."""

    def busy(self) -> bool:
        """Whether jobs are left."""

    def cancel(self) -> None:
        """Stop everything; running points keep a checkpoint where they can."""


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
