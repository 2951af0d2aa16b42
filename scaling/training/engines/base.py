"""The door that every engine has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

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
