"""Machines that cannot train: the sweep goes on without them, as long as there are others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaling.errors import Message, OutputError, ScalingError
from scaling.runs.files import check_writable
from scaling.training.engines.base import error_of

ENOUGH = 3  # machines that say the same: it is not the machine


class Machines:
    """Which machines were given up, and why.

    Parameters
    ----------
    out : Path
        Sweep folder.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.lost: dict[str, ScalingError] = {}

    def bad(self, machine: str, fields: Mapping[str, Any]) -> bool:
        """Give a machine up for the error that a process on it tells of; False if it was already.

        Parameters
        ----------
        machine : str
        fields : mapping
            Of the error, as `scaling.training.engines.base.fields_of` gives them.
        """
        new = machine not in self.lost
        if new:
            self.lost[machine] = error_of(fields)
        return new

    def check(self, left: int | None) -> None:
        """End the run if what was found is not for another machine to do better.

        Parameters
        ----------
        left : int or None
            Machines that remain; None if that is not known.

        Raises
        ------
        ScalingError
            What the machines say, if it is all of them, or three that say the same, or if this
            one cannot write the sweep folder either.
        """
        if not self.lost:
            return
        last = list(self.lost.values())[-1]
        if isinstance(last, OutputError):
            check_writable(self.out / ".writable")  # raises for a disk that is full for all
        alike = [e for e in self.lost.values() if e.faults[0].code == last.faults[0].code]
        if left == 0 or len(alike) >= ENOUGH:
            raise last

    def message(self) -> Message:
        """Say which machine was given up last, and why."""
        machine, error = list(self.lost.items())[-1]
        fault = error.faults[0]
        text = f"Machine {machine[:16]} is given up: {fault.where} {fault.found}."
        return Message("SC315", text, mend=fault.mend)
