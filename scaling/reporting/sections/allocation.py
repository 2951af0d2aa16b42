"""Tables of allocation: the minima, the exponents by approach, and how far they agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scaling.fitting.optima import Allocation
from scaling.reporting import numbers
from scaling.reporting.context import Context
from scaling.reporting.document import Align, Block, Table
from scaling.reporting.sections.data import without_empty
from scaling.reporting.wording import cost_label

TELLING = 0.0005  # of a, below which a curve's bias is none


def minima_tables(context: Context, group: str | None, approach: str) -> list[Block]:
    """Return the minima of a group by an approach."""
    return [_minima(a) for a in context.allocations_of(group) if a.approach == approach]


def exponent_tables(context: Context, group: str | None) -> list[Block]:
    """Return the exponents of a group by every approach, and how far they agree."""
    found = context.allocations_of(group)
    return [_exponents(found), *_agreement(context, group)] if found else []


def _minima(allocation: Allocation) -> Table:
    rows = tuple(
        (
            numbers.quantity(m.budget),
            numbers.quantity(m.N),
            numbers.quantity(m.D),
            numbers.quantity(m.D / m.N) if m.N and m.D else numbers.MISSING,
            numbers.quantity(m.loss, 4),
            "" if m.offset is None else numbers.factor(float(np.exp(m.offset))),
            "yes" if m.bracketed else "no",
            m.why or "",
        )
        for m in allocation.minima
    )
    columns = ("C [FLOP]", "N*", "D*", "D/N", "loss", "grid centre", "bracketed", "remark")
    right: list[Align] = ["right"] * 6
    caption, note = "Minimum of each budget", "Grid centre: middle of the sizes over N*."
    if allocation.approach == "envelope":
        caption, note = "Best runs at their compute", allocation.method
    table = Table(caption, columns, rows, (*right, "left", "left"), note=note)
    return without_empty(without_empty(table, "remark"), "grid centre")


def _exponents(allocations: Sequence[Allocation]) -> Table:
    rows = []
    for a in allocations:
        i = a.interval
        spans = [numbers.interval(*i[k]) if i and k in i else numbers.MISSING for k in ("a", "b")]
        how = f"{i['level']:.0%}, {i['kind']}" if i else a.method
        values = [numbers.quantity(v, 3) for v in (a.a, a.b)]
        meaning = cost_label(a.cost)
        rows.append((a.approach, values[0], spans[0], values[1], spans[1], meaning, how))
    columns = ("approach", "a", "interval of a", "b", "interval of b", "meaning of C", "intervals")
    return Table(
        "Exponents by approach: N* ∝ C^a, D* ∝ C^b",
        columns,
        tuple(rows),
        ("left", "right", "right", "right", "right", "left", "left"),
        note="The meaning of C alone can move a by more than any interval; compare "
        "approaches only where it is the same.",
    )


def _agreement(context: Context, group: str | None) -> list[Block]:
    """Hold the approaches against each other."""
    rows = []
    for row in context.fits.agreement:
        if row["group"] != group:
            continue
        known = row["combined"] is not None
        rows.append(
            (
                " and ".join(row["pair"]),
                numbers.signed(row["difference"], 3),
                f"±{numbers.quantity(row['combined'], 2)}" if known else numbers.MISSING,
                {True: "agree", False: "disagree", None: numbers.MISSING}[row["agree"]],
                numbers.signed(row["bias"], 3) if abs(row["bias"]) >= TELLING else "none",
            )
        )
    if not rows:
        return []
    columns = ("approaches", "difference in a", "combined half-width", "verdict", "curve's bias")
    note = (
        "The surface's a is taken under the other's C. The last column is what the isoFLOP curve "
        "would miss on noise-free runs of the fitted surface on this grid."
    )
    align: tuple[Align, ...] = ("left", "right", "right", "left", "right")
    return [Table("Agreement of the approaches", columns, tuple(rows), align, note=note)]
