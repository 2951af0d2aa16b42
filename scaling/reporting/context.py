"""What every section needs to know: the fits, the question, units, and how to name things."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scaling.errors import Message
from scaling.fitting.effective_result import Effective, Treatment
from scaling.fitting.optima import Allocation
from scaling.fitting.result import Fit, Fits
from scaling.reporting.document import Note
from scaling.reporting.runs import Array, cost_of, runs_of
from scaling.reporting.wording import key_of

DEFAULT_LEVEL = 0.95
ABSOLUTE = re.compile(
    r"(?<![\w.:/\\])(?:~?/|[A-Za-z]:[\\/]|\\\\)(?:[^\s/\\'\"]+[\\/])+([^\s/\\'\"]*)"
)
PRIVATE_KEYS = ("host", "hostname", "node", "user", "username", "cwd", "home")
SEVERITY_ORDER = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True)
class Treated:
    """A group measured by data of a reference; ``place`` tells comparisons apart."""

    found: Effective
    item: Treatment
    place: int

    @property
    def key(self) -> str:
        """For ids in a document."""
        return f"{self.place}-{key_of(self.item.group)}"


@dataclass(frozen=True)
class Context:
    """The input of a report.

    Attributes
    ----------
    fits : Fits
    target : float or None
        Compute that the question is about [FLOP].
    study : mapping
        The study file, if there is one.
    command : str or None
        What was typed to make the fit.
    theme : str
        How figures look; see `scaling.reporting.figures.style`.
    """

    fits: Fits
    target: float | None = None
    study: Mapping[str, Any] = field(default_factory=dict)
    command: str | None = None
    theme: str = "paper"

    def unit(self, column: str) -> str:
        """Return the unit of a column, as the table states it."""
        columns = self.fits.table.get("columns", {})
        defaults = {"N": "parameters", "D": "tokens or examples", "C": "FLOP"}
        unit = str((columns.get(column) or {}).get("unit") or defaults.get(column, ""))
        if unit == "tokens or examples":
            of = str((columns.get("loss") or {}).get("unit"))
            each = {"token": "tokens", "image": "images", "example": "examples"}
            return next((name for word, name in each.items() if word in of), unit)
        return unit

    @property
    def groups(self) -> tuple[str | None, ...]:
        """Groups in order of appearance."""
        parts: Sequence[Fit | Allocation] = (*self.fits.fits, *self.fits.allocations)
        return tuple(dict.fromkeys(part.group for part in parts))

    @property
    def treated(self) -> tuple[Treated, ...]:
        """Every group that was measured by data of a reference."""
        found = enumerate(self.fits.effective)
        return tuple(Treated(item, t, place) for place, item in found for t in item.treatments)

    def fits_of(self, group: str | None) -> tuple[Fit, ...]:
        """Return the fits of a group."""
        return tuple(fit for fit in self.fits.fits if fit.group == group)

    def surface_of(self, group: str | None) -> Fit | None:
        """Return the first identified fit in N and D of a group, else its first fit."""
        found = self.fits_of(group)
        usable = [f for f in found if f.identified and set(f.law.variables) == {"N", "D"}]
        return next(iter([*usable, *found]), None)

    def allocations_of(self, group: str | None) -> tuple[Allocation, ...]:
        """Return the allocations of a group."""
        return tuple(a for a in self.fits.allocations if a.group == group)

    def subject(self, fit: Fit) -> str:
        """Return what tells this fit from the others; empty where it is the only one."""
        parts = [self.group_name(fit.group)]
        if len({f.law.name for f in self.fits.fits}) > 1:
            parts.append(f"law {fit.law.name}")
        return ", ".join(part for part in parts if part)

    def subject_name(self, per: str, subject: Any) -> str:
        """Return what tells the subject of a figure from the others; see `figures.kind`."""
        if per == "fit":
            return self.subject(subject)
        if per == "treatment":
            return str(subject.item.group)
        return self.group_name(subject) if per == "group" else ""

    def group_name(self, group: str | None) -> str:
        """Return ``group x`` where there are several groups, else nothing."""
        if len(self.groups) < 2:
            return ""
        return f"group {group}" if group is not None else "no group"


def note_of(message: Message) -> Note:
    """Turn a message into a block."""
    return Note(message.code, message.severity, message.text)


def ranked(notes: Sequence[Note]) -> tuple[Note, ...]:
    """Return notes without repeats, the gravest first."""
    return tuple(sorted(dict.fromkeys(notes), key=lambda note: SEVERITY_ORDER[note.severity]))


def level_of(fit: Fit) -> float:
    """Return the level of a fit's intervals."""
    return fit.interval.level if fit.interval else DEFAULT_LEVEL


def compute_of(fit: Fit) -> Array:
    """Return the compute of the fitted runs in the fit's meaning of C [FLOP]; finite values."""
    compute = cost_of(fit, runs_of(fit))
    return compute[np.isfinite(compute)]


def without_paths(value: Any) -> Any:
    """Return `value` with absolute paths cut to their last part and host names left out."""
    if isinstance(value, Mapping):
        return {
            str(k): without_paths(v) for k, v in value.items() if str(k).lower() not in PRIVATE_KEYS
        }
    if isinstance(value, (list, tuple)):
        return [without_paths(item) for item in value]
    if isinstance(value, str):
        return ABSOLUTE.sub(lambda match: match[1] or "…", value)
    return value
