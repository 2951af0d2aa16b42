"""Exponents of this study beside published ones: one figure and one table a report."""

from __future__ import annotations

from collections.abc import Sequence

from scaling.reporting import numbers
from scaling.reporting.context import Context
from scaling.reporting.document import Block, Section, Table
from scaling.reporting.figures.literature import LITERATURE, Entry, literature_data
from scaling.reporting.sections.figures import figure_of

HEADING = "Beside published values"
MOST_NAMED = 3  # values of this study in one cell


def literature_sections(context: Context) -> list[Section]:
    """Return the section, or none where this study has no exponent that was ever printed."""
    data = literature_data(context, None)
    if data is None:
        return []
    blocks: list[Block] = [*figure_of(LITERATURE, context, None)]
    own = [e for e in data.entries if e.own]
    rows = []
    for quantity in data.quantities:
        for e in data.entries:
            if not e.own and quantity in e.values:
                value, ends = e.values[quantity], e.intervals.get(quantity)
                rows.append(
                    (
                        quantity,
                        _beside(own, e, quantity),
                        e.source,
                        f"{value:g}" if abs(value) >= 1e-3 else numbers.quantity(value),
                        f"{ends[0]:g}–{ends[1]:g}" if ends else numbers.MISSING,
                        e.kind or "none printed",
                        e.convention,
                    )
                )
    columns = (
        "quantity",
        "this study",
        "source",
        "printed",
        "interval",
        "kind of interval",
        "convention",
    )
    conventions = "; ".join(dict.fromkeys(e.convention for e in own))
    blocks.append(
        Table(
            "Exponents of this study and those of papers",
            columns,
            tuple(rows),
            ("left", "left", "left", "right", "right", "left", "left"),
            note=f"This study by the approach of the source where it has it, else by the surface; "
            f"its convention: {conventions}. E is not compared: it belongs to the data and the "
            "tokenizer. Intervals of different kinds are not of equal width.",
            long=True,
        )
    )
    return [Section(HEADING, tuple(blocks))]


def _beside(own: Sequence[Entry], other: Entry, quantity: str) -> str:
    """Write this study's value by the approach of a source, group by group if there are few."""
    found = [e for e in own if quantity in e.values]
    alike = [e for e in found if e.approach == other.approach]
    chosen = alike or [e for e in found if e.approach == "surface"] or found
    if len(chosen) > MOST_NAMED:
        text = numbers.span([e.values[quantity] for e in chosen])
        return f"{text} ({len(chosen)} fits)"
    several = len(chosen) > 1
    return "; ".join(_told(e, quantity, several) for e in chosen) or numbers.MISSING


def _told(entry: Entry, quantity: str, several: bool) -> str:
    value, ends = entry.values[quantity], entry.intervals.get(quantity)
    text = numbers.quantity(value)
    if ends is not None:
        text = f"{numbers.within(value, *ends)} ({numbers.interval(*ends)})"
    name = entry.source.partition(f"{entry.approach}, ")[2]
    return f"{name}: {text}" if several and name else text
