"""Recipes side by side: figures, the table by scale, tests, and what was paired."""

from __future__ import annotations

from typing import Any

import numpy as np

from scaling.fitting.recipes import Recipes
from scaling.reporting import numbers
from scaling.reporting.context import Context, level_of, note_of
from scaling.reporting.document import Block, Note, Paragraph, Section, Table
from scaling.reporting.figures.frontiers import FRONTIERS
from scaling.reporting.figures.multiplier import MULTIPLIER
from scaling.reporting.parties import (
    ComparisonContext,
    Party,
    comparable,
    compared,
    incomparable,
    is_inside,
)
from scaling.reporting.runs import optimum
from scaling.reporting.sections.figures import figure_of
from scaling.reporting.sections.versus import Row, ends_of, pair_verdict, signed, spread


def recipes_sections(context: Context) -> list[Section]:
    """Return what an ordinary report says of its recipes; nothing where none were compared."""
    found = compared(context)
    if found is None or not found.comparison.recipes:
        return []
    verdicts = [pair_verdict(found, recipes) for recipes in found.comparison.recipes]
    blocks: list[Block] = [Paragraph(f"{v.subject}. {v.headline} {v.sure}") for v in verdicts]
    blocks += list(dict.fromkeys(note for v in verdicts for note in v.reasons))
    return [
        Section("Recipes compared", tuple(blocks)),
        *pairing_sections(found, level=2),
        *recipe_figures(found),
        *offsets_sections(found, level=2),
        *scale_sections(found, level=2),
    ]


def recipe_figures(context: Context) -> list[Section]:
    """Return the frontiers over each other, and the difference against compute."""
    out = []
    for kind in (FRONTIERS, MULTIPLIER):
        found = figure_of(kind, context, None)
        if found:
            out.append(Section(kind.title, tuple(found), level=2))
    return out


def pairing_sections(context: ComparisonContext, level: Any = 1) -> list[Section]:
    """Say what was paired."""
    rows = []
    for found in context.comparison.recipes:
        how = found.pairing
        rows.append(
            (
                f"{found.pair[1]} against {found.pair[0]}",
                how["kind"],
                how["by"] or numbers.MISSING,
                numbers.count(how["n"]),
                *(numbers.count(n) for n in how["alone"]),
                " to ".join(numbers.quantity(c) for c in found.span)
                if found.span[0] < found.span[1]
                else "none",
                how["law"],
            )
        )
    if not rows:
        return []
    table = Table(
        "Pairs of runs",
        ("pair", "kind", "shared", "pairs", "alone, first", "alone, second",
         "C of both [FLOP]", "law"),
        tuple(rows),
        ("left", "left", "left", "right", "right", "right", "right", "left"),
        "First: the reference. Alone: cells of N and D that the other lacks; they are left out of "
        "paired comparisons."
        + " Fewer than six pairs are not used: the surfaces are compared."
        * any(row[1] != "none" for row in rows),
    )  # fmt: skip
    notes: list[Block] = [
        note_of(m)
        for found in context.comparison.recipes
        for m in found.messages
        if m.severity != "info"
    ]
    return [Section("Pairing", (table, *dict.fromkeys(notes)), level=level)]


def offsets_sections(context: ComparisonContext, level: Any = 1) -> list[Section]:
    """Give offset and exponent of each pair, tested apart, and where curves cross."""
    rows = []
    for found in comparable(context):
        for test in found.tests:
            what = "exponent: slope of ln m on ln C"
            if test["quantity"] == "offset":
                what = f"offset: ln m at C = {numbers.quantity(test['at'])}"
            rows.append(
                (
                    f"{found.pair[1]} against {found.pair[0]}",
                    what,
                    signed(test["estimate"], test["interval"]),
                    spread(test["interval"]),
                    _p(test["p"]),
                )
            )
    blocks: list[Block] = []
    if rows:
        levels = {test["level"] for r in context.comparison.recipes for test in r.tests}
        note = f"{next(iter(levels)):.0%} intervals; two-sided p of no difference. "
        note += "0 means: equal (offset), equally fast (exponent)."
        blocks.append(
            Table(
                "Offset and exponent, tested apart",
                ("pair", "quantity", "estimate", "interval", "p"),
                tuple(rows),
                ("left", "left", "right", "right", "right"),
                note,
            )
        )
    blocks += _crossings(context)
    unpaired = [r for r in comparable(context) if not r.tests]
    if unpaired and not rows:
        text = "Offset and exponent are tested on pairs; where none are there, only the bands of "
        blocks.append(Paragraph(text + "the two surfaces tell recipes apart."))
    return [Section("Offset and exponent", tuple(blocks), level=level)] if blocks else []


def _p(p: float) -> str:
    return "< 10⁻⁶" if p < 1e-6 else numbers.quantity(p, 2)


def _crossings(context: ComparisonContext) -> list[Block]:
    rows = [
        (
            f"{found.pair[1]} against {found.pair[0]}",
            numbers.within(found.crossing["C"], *found.crossing["interval"]),
            _bounds(found),
            "yes" if is_inside(found, found.crossing["C"]) else "no",
        )
        for found in comparable(context)
        if found.crossing is not None
    ]
    if not rows:
        return []
    return [
        Table(
            "Where recipes cross",
            ("pair", "C [FLOP]", "interval", "inside the runs"),
            tuple(rows),
            ("left", "right", "right", "left"),
            "Unbounded: the slope of ln m is not told from 0, so that the lines may be parallel "
            "and need not cross at all.",
        )
    ]


def _bounds(found: Recipes) -> str:
    lo, hi = (found.crossing or {})["interval"]
    if lo is not None:
        return numbers.interval(lo, hi)
    return "unbounded" if found.tests else "none: between two scales"


def scale_sections(context: ComparisonContext, level: Any = 1) -> list[Section]:
    """Give for each scale the loss of each at its optimum, the difference and the multiplier."""
    blocks: list[Block] = []
    for found in context.comparison.recipes:
        if incomparable(found):
            text = f"{found.pair[0]} and {found.pair[1]} are not compared by scale: their losses "
            blocks.append(Note("SC433", "error", text + "are not one quantity."))
        elif found.rows:
            blocks.append(_by_scale(context, found))
    return [Section("By scale", tuple(blocks), level=level)] if blocks else []


def _by_scale(context: ComparisonContext, found: Recipes) -> Table:
    compute = np.array([row["C"] for row in found.rows])
    one, two = context.pair(found)
    losses = [_losses(party, compute) for party in (one, two)]
    unit = two.unit(two.fit.response)
    rows = []
    for i, row in enumerate(found.rows):
        is_target = context.target is not None and np.isclose(row["C"], context.target, rtol=1e-9)
        inside = is_inside(found, row["C"])
        factor = row["extrapolation"]["factor"]
        rows.append(
            (
                numbers.quantity(row["C"]) + (" (target)" if is_target else ""),
                losses[0][i],
                losses[1][i],
                _difference(row),
                _multiplier(row),
                "inside" if inside else f"extrapolated, {numbers.factor(factor)}",
            )
        )
    level = found.rows[0]["interval"]["level"]
    how = "from the pairs" if found.pairing["kind"] == "paired" else "of the two laws"
    return Table(
        f"{two.name} against {one.name}, by scale",
        ("C [FLOP]", f"lowest {one.fit.response}, {one.name}",
         f"lowest {two.fit.response}, {two.name}",
         f"difference [{unit}]" if unit else "difference", "multiplier m(C)", "runs of both"),
        tuple(rows),
        ("right",) * 5 + ("left",),
        f"Lowest {one.fit.response} by each one's own law; difference and multiplier {how}, "
        f"{level:.0%} intervals in brackets. The factor is C over the largest that both have.",
    )  # fmt: skip


def _losses(party: Party, compute: Any) -> list[str]:
    table = optimum(party.fit, compute, level_of(party.fit))
    if table is None:
        return [numbers.MISSING] * len(compute)
    return [
        numbers.within(y, lo, hi) if numbers.finite(float(lo)) else numbers.quantity(float(y), 4)
        for y, lo, hi in zip(table["loss"], table["lo"], table["hi"], strict=True)
    ]


def _difference(row: Row) -> str:
    ends = ends_of(row, "difference")
    said = signed(row["difference"], ends)
    return f"{said} ({spread(ends)})" if ends is not None else said


def _multiplier(row: Row) -> str:
    ends = ends_of(row)
    if ends is None:
        return numbers.quantity(row["multiplier"], 4)
    return f"{numbers.within(row['multiplier'], *ends)} ({numbers.interval(*ends)})"
