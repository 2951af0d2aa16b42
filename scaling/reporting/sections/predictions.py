"""Compute-optimal allocation for every decade of compute, with intervals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from scaling.fitting.result import Fit
from scaling.reporting import numbers
from scaling.reporting.context import Context, compute_of, level_of
from scaling.reporting.document import Block, Table
from scaling.reporting.members import checked_note, factor_text
from scaling.reporting.runs import EXTRAPOLATION, Array, optimum
from scaling.reporting.wording import cost_label, titled

MOST_DECADES = 14
WIDE = 10.0  # ratio of the ends of an interval from which two digits say enough


def decades_blocks(context: Context) -> list[Block]:
    """Return a table for each fit that says how to divide compute."""
    found = (decades_table(context, fit) for fit in context.fits.fits)
    return [table for table in found if table is not None]


def decades(smallest: float, largest: float, target: float | None) -> Array:
    """Return the powers of ten from the runs to 100 times the largest, or to the target."""
    end = max(largest * EXTRAPOLATION, target or 0.0)
    first, last = math.floor(math.log10(smallest)), math.ceil(math.log10(end) - 1e-9)
    step = math.ceil((last - first + 1) / MOST_DECADES)
    return np.power(10.0, np.arange(first, last + 1, step, dtype=np.float64))


def decades_table(context: Context, fit: Fit) -> Table | None:
    """Return the allocation by decade of compute, or None where the law has none."""
    compute = compute_of(fit)
    if not fit.identified or not len(compute):
        return None
    grid = decades(float(compute.min()), float(compute.max()), context.target)
    table = optimum(fit, grid, level_of(fit))
    if table is None:
        return None
    rows = []
    for i, at in enumerate(grid):
        inside = table["inside_hull"][i]
        rows.append(
            (
                numbers.quantity(at, 1),
                factor_text(fit, table["factor"][i]),
                _told(table, "N", "N_lo", "N_hi", i),
                _told(table, "D", "D_lo", "D_hi", i),
                _told(table, "ratio", "ratio_lo", "ratio_hi", i),
                _told(table, "loss", "lo", "hi", i, 4),
                numbers.MISSING if inside is None else "yes" if bool(inside) else "no",
            )
        )
    bands = f"{level_of(fit):.0%} intervals in brackets"
    return Table(
        titled("Allocation by decade of compute", context.subject(fit)),
        ("C [FLOP]", "× largest run", "N*", "D*", "D*/N*", fit.response, "inside the runs"),
        tuple(rows),
        ("right",) * 6 + ("left",),
        note=f"{cost_label(fit.cost)}; {bands if fit.draws else 'no intervals'}. Above 1×, and "
        f"outside the runs, rows are extrapolations.{checked_note(fit)}",
        long=True,
    )


def _told(table: dict[str, Array], name: str, lo: str, hi: str, i: int, digits: int = 3) -> str:
    value: Any = float(table[name][i])
    low, high = float(table[lo][i]), float(table[hi][i])
    if not (numbers.finite(low) and numbers.finite(high)):
        return numbers.quantity(value, digits)
    if high > WIDE * low:  # further apart than any digit says
        return f"{numbers.quantity(value, 2)} ({_rough(low)} to {_rough(high)})"
    return f"{numbers.within(value, low, high)} ({numbers.interval(low, high)})"


def _rough(value: float) -> str:
    return numbers.quantity(value, 2)
