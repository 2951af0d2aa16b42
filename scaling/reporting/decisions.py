"""The sections of a report that decide: allocation by every approach, and what moves it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scaling.fitting.result import Allocation, Fit
from scaling.reporting import figures_data as drawn
from scaling.reporting import numbers
from scaling.reporting.context import Context, level_of, titled
from scaling.reporting.document import Align, Block, Section, Table
from scaling.reporting.sections import drawn_key, figure_of, without_empty

TELLING = 0.0005  # of a, below which a curve's bias is none


def allocation_sections(
    fit: Fit | None, allocations: Sequence[Allocation], context: Context
) -> list[Section]:
    """Lay the approaches side by side: isoFLOP figure, minima, exponents, N*(C) and D*(C)."""
    group = allocations[0].group
    name = context.group_name(group)
    out = []
    key = drawn_key(group)
    for allocation in (a for a in allocations if a.approach == "isoflop"):
        blocks: list[Block] = []
        data = drawn.isoflop_data(allocation, fit, context.unit("loss"))
        if data.budgets:
            blocks.append(
                figure_of(
                    f"isoflop-{key}",
                    "Loss against size at each budget",
                    f"Runs, fitted curve ({allocation.method}) and minimum of each budget; dashed: "
                    "the surface at the same budget.",
                    "Loss against parameters, one U-shaped curve a budget, its minimum marked.",
                    "each curve is U-shaped, its minimum well inside the sizes.",
                    data,
                )
            )
        blocks.append(_minima(allocation))
        out.append(Section(titled("isoFLOP minima", name), tuple(blocks)))
    for allocation in (a for a in allocations if a.approach == "envelope"):
        out.append(Section(titled("Envelope", name), (_minima(allocation),)))
    blocks = [_exponents(allocations), *_agreement(context, group)]
    data2 = drawn.allocation_data(
        fit, allocations, level=level_of(fit) if fit else 0.95, target=context.target
    )
    if data2 is not None:
        blocks.append(
            figure_of(
                f"allocation-{key}",
                "Optimal size and data against compute",
                "N*(C) and D*(C) by every approach; band: interval of the surface; grey: beyond "
                "the largest run.",
                "Optimal parameters and tokens rising as power laws of compute.",
                "approaches agree within their intervals and the minima scatter around the line.",
                data2,
            )
        )
    out.append(Section(titled("Allocation", name), tuple(blocks)))
    return out


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
        spans = [numbers.interval(*i[k]) if i else numbers.MISSING for k in ("a", "b")]
        how = f"{i['level']:.0%}, {i['kind']}" if i else a.method
        values = [numbers.quantity(v, 3) for v in (a.a, a.b)]
        meaning = drawn.cost_label(a.cost)
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


# ----------------------------------------------------------------------------------- sensitivity


def sensitivity_section(fit: Fit, name: str) -> list[Section]:
    """Show how far choices of method move the answer, beside the interval of the fit."""
    s = fit.sensitivity
    if not s or not fit.identified:
        return []
    target = numbers.quantity(s["C"][0])
    kinds = []
    for kind in dict.fromkeys(s["kind"]):
        own = [i for i, k in enumerate(s["kind"]) if k == kind]
        known = [i for i in own if s["a"][i] is not None]
        cells = [
            numbers.span([s[k][i] for i in known if s[k][i] is not None])
            for k in ("a", "N", "loss")
        ]
        kinds.append((kind, str(len(own)), str(len(own) - len(known)), *cells))
    ends = fit.intervals.get("a")
    beside = [numbers.interval(*ends) if ends else numbers.MISSING]
    best = drawn.optimum(fit, np.array([s["C"][0]]), level_of(fit))
    for lo, hi in (("N_lo", "N_hi"), ("lo", "hi")):
        known_ends = best is not None and np.isfinite(best[lo][0])
        beside.append(
            numbers.interval(float(best[lo][0]), float(best[hi][0]))
            if best is not None and known_ends
            else numbers.MISSING
        )
    kinds.append((f"{level_of(fit):.0%} interval of the fit", "", "", *beside))
    summary = Table(
        f"Range over the variants, optimum at C = {target} FLOP",
        ("what was changed", "fits", "without a", "a", "N*", "loss"),
        tuple(kinds),
        ("left", "right", "right", "right", "right", "right"),
        note="The interval knows noise alone; the ranges know the choices of method. Lines through "
        "minima predict no loss.",
    )
    columns = ("kind", "change", "n", "status", "a", "b", "E", "N", "loss")
    shown = tuple(
        tuple(
            str(s[c][i])
            if c in ("kind", "change", "n", "status")
            else numbers.quantity(s[c][i], 5 if c == "loss" else 3)
            for c in columns
        )
        for i in range(len(s["kind"]))
    )
    align: tuple[Align, ...] = ("left", "left", "right", "left", *(("right",) * 5))
    whole = Table("Every variant", columns, shown, align, long=True)
    return [Section(titled("Sensitivity to the method", name), (summary, whole))]
