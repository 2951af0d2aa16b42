"""Counts of models without gradient training, whose N is what they can hold; D counts examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scaling.count.family import Counts, OfExamples
from scaling.count.rules import Core, Rule, Settings, named

PER_DECADE = 78  # 10^(1/78) is 1.030
DECADES = 9
GRID = tuple(sorted({round(10 ** (step / PER_DECADE)) for step in range(PER_DECADE * DECADES + 1)}))


def _grid(_: Settings) -> tuple[int, ...]:
    return GRID


def _core(dial: int, _: Settings) -> Core:
    return {"entries": dial}


ENTRIES = Rule(
    "entries",
    "The dial is the number of entries: whole numbers from 1 to 1e9, 78 to a factor of ten, so "
    "that steps are near 3% where that is more than one.",
    "this package",
    2026,
    (),
    _grid,
    _core,
)
RULES: dict[str, Rule] = named(ENTRIES)


class Table(OfExamples):
    """Models whose size is a capacity, such as a memory of N examples.

    An entry counts as one parameter, and 2 FLOP for each unit, so that C is 6 N D as it is for a
    model whose weights are each used once. Nothing is differentiated: it is a convention, which
    keeps the formulas of laws the same.
    """

    name = "table"
    rules = RULES
    own_options = ()

    def shape(self, dial: int, options: Mapping[str, Any]) -> dict[str, int]:
        """Return the shape at a value of the dial: its entries alone."""
        settings = self.settings(options)
        return dict(self.rules[settings["rule"]].core(dial, settings))

    def counts(self, shape: Mapping[str, int]) -> Counts:
        """Count a shape."""
        entries = shape["entries"]
        groups = {"entries": entries}
        return Counts(body=entries, head=0, embedding=0, forward=2.0 * entries, groups=groups)


TABLE = Table()
