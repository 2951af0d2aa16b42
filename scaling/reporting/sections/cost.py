"""The section on cost: what each group of a sweep took on the machines that trained it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scaling.reporting import numbers
from scaling.reporting.context import Context
from scaling.reporting.document import Block, Paragraph, Section, Table

HEADING = "Cost"
MINUTE, HOUR, LONG = 60.0, 3600.0, 100.0


def cost_sections(context: Context) -> list[Section]:
    """Return the section, or none where nothing is known.

    What is known stands in the provenance, as `scaling.runs.costs.costs_of` gives it.
    """
    costs = context.fits.provenance.get("costs") or []
    if not costs:
        return []
    devices = sorted({name for cost in costs for name in cost["devices"]})
    table = Table(
        "What the runs took",
        ("group", "runs", "C spent [FLOP]", "training", "compiling", "evaluating", "FLOP/s"),
        tuple(_row(cost) for cost in costs),
        ("left", *("right",) * 6),
        f"Times are those of one device, all runs added up; trained on: {', '.join(devices)}.",
    )
    blocks: list[Block] = [*_compared(costs), table]
    return [Section(HEADING, tuple(blocks))]


def _row(cost: Mapping[str, Any]) -> tuple[str, ...]:
    speed = cost["flops_per_second"]
    return (
        str(cost["group"]),
        str(cost["points"]),
        numbers.quantity(cost["C"], 3),
        *(_time(cost[f"{name}_seconds"]) for name in ("training", "compile", "evaluation")),
        "" if speed is None else numbers.quantity(speed, 3),
    )


def _compared(costs: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Say how fast groups of the same compute were beside the first of them."""
    first = costs[0]
    text = []
    for cost in costs[1:]:
        same = abs(cost["C"] - first["C"]) < 0.01 * first["C"]
        if not same or not cost["flops_per_second"] or not first["flops_per_second"]:
            continue
        ratio = cost["flops_per_second"] / first["flops_per_second"]
        said = f"{cost['group']} trained at {ratio:.2f} times the speed of {first['group']}"
        text.append(said + _with_compiling(cost, first) + ".")
    return [Paragraph(" ".join(text))] if text else []


def _with_compiling(cost: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    """Say what is left of a difference in speed when the time of compiling counts."""
    if not cost["compile_seconds"] and not first["compile_seconds"]:
        return ""
    took = [c["training_seconds"] + c["compile_seconds"] for c in (first, cost)]
    if not all(took):
        return ""
    spent = " and ".join(
        f"{_time(c['compile_seconds'])} of {c['group']}"
        for c in (first, cost)
        if c["compile_seconds"]
    )
    overall = took[0] / took[1] * cost["C"] / first["C"]
    return (
        f" in training alone, and at {overall:.2f} times with the time of compiling included "
        f"({spent})"
    )


def _time(seconds: float) -> str:
    if seconds < LONG:
        return f"{seconds:.3g} s"
    return f"{seconds / MINUTE:.3g} min" if seconds < LONG * MINUTE else f"{seconds / HOUR:.3g} h"
