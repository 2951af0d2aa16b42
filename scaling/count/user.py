"""A family that is a table of sizes, each counted once by the caller."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from scaling.count.family import Counts
from scaling.count.rules import Rule
from scaling.errors import ConfigError, Fault, clip
from scaling.options import Option, read

KEYS = ("dial", "body", "head", "embedding", "forward")
UNITS = ("token", "example")
MAX_PARAMETERS = 2**62  # sizes are held as 64-bit integers


class UserFamily:
    """Models that the package knows by their counts alone.

    Parameters
    ----------
    name : str
        Name of the family in plans and records.
    unit : {"token", "example"}
        What D counts.
    per_sequence : int
        Units of D in one sequence or example.
    sizes : sequence of mapping
        One row a size: ``dial`` (integer argument that makes the model), ``body``, ``head`` and
        ``embedding`` (parameters [count]) and ``forward`` (FLOP per unit of D of all matrix
        products, head and full attention included), and optionally ``shape`` (what a shape holds
        beside the dial).

    Raises
    ------
    ConfigError
        SC012, with all bad rows at once.
    """

    def __init__(
        self, name: str, unit: str, per_sequence: int, sizes: Sequence[Mapping[str, Any]]
    ) -> None:
        faults = _faults(unit, per_sequence, sizes)
        if faults:
            raise ConfigError(faults)
        self.name, self.unit, self._per_sequence = name, unit, per_sequence
        kept: dict[int, Mapping[str, Any]] = {}
        for row in sorted(sizes, key=lambda row: (row["body"] + row["head"], row["dial"])):
            kept.setdefault(row["body"] + row["head"], dict(row))  # the lower dial of equal sizes
        self._rows = {row["dial"]: row for row in kept.values()}

    @property
    def options(self) -> tuple[Option, ...]:
        """None: the table says all."""
        return ()

    @property
    def rules(self) -> Mapping[str, Rule]:
        """None: the table says all."""
        return {}

    def per_sequence(self, shape: Mapping[str, int]) -> int:
        """Units of D in one sequence or example."""
        del shape
        return self._per_sequence

    def dial(self, options: Mapping[str, Any]) -> tuple[int, ...]:
        """Dials of the table, in order of growing N; of equal sizes only the lower dial."""
        read(self.options, options)
        return tuple(self._rows)

    def shape(self, dial: int, options: Mapping[str, Any]) -> dict[str, int]:
        """Return the shape: the dial, and what the table says beside it.

        Raises
        ------
        ConfigError
            SC012 if the table has no such dial.
        """
        read(self.options, options)
        return {"dial": dial, **self._row(dial).get("shape", {})}

    def counts(self, shape: Mapping[str, int]) -> Counts:
        """Return the counts that the table gives; there are no groups beyond the parts."""
        row = self._row(shape["dial"])
        parts = {name: row[name] for name in ("body", "head", "embedding")}
        return Counts(**parts, forward=float(row["forward"]), groups=parts)

    def _row(self, dial: int) -> Mapping[str, Any]:
        if dial not in self._rows:
            found, expected = f"dial {dial}", "a dial of its table"
            raise ConfigError(Fault("SC012", f"family {self.name}", found, expected))
        return self._rows[dial]


def _faults(unit: str, per_sequence: int, sizes: Sequence[Mapping[str, Any]]) -> list[Fault]:
    found = []
    if unit not in UNITS:
        found.append(Fault("SC012", "unit", clip(repr(unit)), "one of " + ", ".join(UNITS)))
    if not _whole(per_sequence) or per_sequence < 1:
        found.append(Fault("SC012", "per_sequence", clip(repr(per_sequence)), "1 or more"))
    if not sizes:
        found.append(Fault("SC012", "sizes", "the table is empty", "at least one size"))
    seen: dict[int, int] = {}
    for index, row in enumerate(sizes):
        wrong = _wrong(row) or (
            f"dial {row['dial']} stands in row {seen[row['dial']]} too"
            if row["dial"] in seen
            else ""
        )
        if wrong:
            expected = "dial, body, head, embedding: integers; forward: FLOP per unit"
            found.append(Fault("SC012", f"sizes, row {index}", wrong, expected))
        else:
            seen[row["dial"]] = index
    return found


def _wrong(row: Any) -> str:
    """Say what is wrong with a row; empty if nothing is."""
    if not isinstance(row, Mapping) or set(row) - {"shape"} != set(KEYS):
        keys = ", ".join(map(str, row)) if isinstance(row, Mapping) else repr(row)
        return f"has {clip(keys)} instead of " + ", ".join(KEYS)
    for name in KEYS[:-1]:
        if not _whole(row[name]) or abs(row[name]) > MAX_PARAMETERS:
            return f"{name} is {clip(repr(row[name]))}, not a count"
    for name in ("body", "head", "embedding"):
        if row[name] < 0:
            return f"{name} is negative"
    if not 0 < row["body"] + row["head"] <= MAX_PARAMETERS:
        return "body and head together must hold parameters"
    forward = row["forward"]
    number = isinstance(forward, int | float) and not isinstance(forward, bool)
    if not number or not (0 < forward <= sys.float_info.max):
        return f"forward is {clip(repr(forward))}, not a positive number"
    return ""


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
