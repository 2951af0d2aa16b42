"""How far choices of method move the answer: the same runs fitted again in many small ways.

Objective by threshold by what is left out, then approach and curve, then what N and C count. Each
variant is a row, those that fail included, with a, b, the parameters and the optimum at one
compute; their spread stands beside the interval of the fit, which knows nothing of such choices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import Message, ScalingError
from scaling.fitting import envelope, isoflop
from scaling.fitting.allocation import allocates, best_size, local_exponents
from scaling.fitting.bowls import MINIMA
from scaling.fitting.fit import fit_group
from scaling.fitting.inputs import measured_cost
from scaling.fitting.optima import Allocation
from scaling.fitting.options import Options
from scaling.fitting.prediction import cost_of, largest_compute
from scaling.fitting.result import Fit
from scaling.laws.cost import Cost
from scaling.runs.table import RunsTable

Rows = NDArray[np.bool_]
Row = dict[str, Any]

OBJECTIVES: tuple[tuple[str, float | str | None], ...] = (
    ("log-huber", 1e-4),
    ("log-huber", 1e-3),
    ("log-huber", 1e-2),
    ("log-huber", "auto"),
    ("huber", 1e-3),
    ("huber", "auto"),
    ("log-mse", None),
    ("mse", None),
)
COLUMNS = ("kind", "change", "n", "status", "a", "b", "E", "alpha", "beta", "N", "D", "loss")
FEW_LEVELS = 12  # above which a tenth is left out instead of one level
TENTH = 0.1
BEYOND = 10.0  # the optimum is asked for at this many times the largest compute


def panel(
    table: RunsTable, fit: Fit, options: Options, member: Rows, edge: str = "refuse"
) -> tuple[dict[str, list[Any]], Message | None]:
    """Fit one group again in every way.

    Parameters
    ----------
    table : RunsTable
        Finished runs.
    fit : Fit
        Of a law of N and D; the variants change one or two of its choices.
    options : Options
        Those of the fit.
    member : ndarray of bool
        Rows of the group that the fit saw.
    edge : str
        See `scaling.fitting.isoflop`.

    Returns
    -------
    columns : dict
        ``kind, change, n, status, a, b, E, alpha, beta``, and ``N, D, loss`` at ``C``, which is
        ten times the largest fitted compute; None where a variant has none. Empty for other laws.
    message : Message or None
        The spread beside the interval.
    """
    plain_law = set(fit.law.variables) == {"N", "D"} and allocates(fit.law) and not fit.members
    if not fit.identified or not plain_law:
        return {}, Message("SC438", f"No sensitivity panel: {_unable(fit)}.", "info")
    compute = BEYOND * largest_compute(fit)
    plain = replace(options, bootstrap=0, holdout=None, profile=(), share=())
    rows = [
        *_objectives(table, fit, plain, member, compute),
        *_approaches(table, fit, member, compute, edge),
        *_conventions(table, fit, plain, member, compute),
    ]
    columns = {name: [row.get(name) for row in rows] for name in COLUMNS}
    columns["C"] = [compute] * len(rows)
    return columns, _told(fit, columns)


def _unable(fit: Fit) -> str:
    """Say why there is nothing to vary."""
    name, reads = fit.law.name, ", ".join(fit.law.variables)
    if set(fit.law.variables) != {"N", "D"}:
        return f"it is for laws of N and D, and {name} reads {reads}"
    if not allocates(fit.law):
        return f"{name} gives no allocation of compute, so no exponent to follow"
    if fit.members:
        return f"{name} weighs several laws, and how they differ is in its intervals"
    return f"the fit of {name} is {fit.status}"


def _row(kind: str, change: str, n: int, status: str, **values: Any) -> Row:
    known = {k: None if v is None or not np.isfinite(v) else float(v) for k, v in values.items()}
    return {"kind": kind, "change": change, "n": n, "status": status, **known}


def _of_fit(kind: str, change: str, made: Fit, compute: float, cost: Cost) -> Row:
    """One row of a surface; without values where it is not identified."""
    if not made.identified:
        return _row(kind, change, made.n, made.status)
    own = {name: made.params[name] for name in made.law.names}
    u, v = best_size(made.law, own, np.log([compute]), cost)
    n, d = float(np.exp(u[0])), float(np.exp(v[0]))
    a, b = local_exponents(made.law, own, compute, cost)
    shown = {name: own.get(name) for name in ("E", "alpha", "beta")}
    loss = float(made.law.loss(own, {"N": n, "D": d}))
    return _row(kind, change, made.n, made.status, a=a, b=b, **shown, N=n, D=d, loss=loss)


def _surface(
    kind: str,
    change: str,
    table: RunsTable,
    fit: Fit,
    options: Options,
    rows: Rows,
    compute: float,
    cost: Cost | None = None,
) -> Row:
    try:
        made = fit_group(table, fit.law, options, fit.group, rows)
    except ScalingError as error:
        return _row(kind, f"{change}: {error.faults[0].found}", int(rows.sum()), "failed")
    return _of_fit(kind, change, made, compute, cost or cost_of(made))


def _objectives(
    table: RunsTable, fit: Fit, options: Options, member: Rows, compute: float
) -> Iterator[Row]:
    """Objective by threshold by what is left out."""
    for left_out, keep in _left_out(table, member):
        for name, delta in OBJECTIVES:
            change = name if delta is None else f"{name} delta {delta}"
            kind = "objective"
            if left_out:
                kind, change = "rows", f"without {left_out}, {change}"
            own = replace(options, objective=name, delta=delta if delta is not None else 1e-3)
            yield _surface(kind, change, table, fit, own, keep, compute)


def _left_out(table: RunsTable, member: Rows) -> Iterator[tuple[str, Rows]]:
    """Yield what is left out, nothing first, and the rows that stay."""
    yield "", member
    used = table.used & member
    frame = table.frame
    budget = "budget" if "budget" in frame and frame["budget"].notna().any() else "C"
    for name, what in ((budget, "compute" if budget == "C" else "budget"), ("N", "size")):
        if name not in frame:
            continue
        values = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
        levels = np.unique(values[used & np.isfinite(values)])
        if len(levels) < 3:
            continue
        low, high = levels[0], levels[-1]
        smallest, largest = f"the smallest {what}", f"the largest {what}"
        if len(levels) > FEW_LEVELS:
            low, high = np.quantile(values[used & np.isfinite(values)], [TENTH, 1.0 - TENTH])
            smallest, largest = f"{smallest} (a tenth)", f"{largest} (a tenth)"
        yield smallest, member & ~(values <= low)
        yield largest, member & ~(values >= high)


def _approaches(
    table: RunsTable, fit: Fit, member: Rows, compute: float, edge: str
) -> Iterator[Row]:
    """IsoFLOP minima by every curve, with budgets left out, and envelopes."""
    if "C" not in table.frame:
        return
    for minimum in MINIMA:
        way = isoflop.Options(minimum, edge, draws=0)
        yield _line(f"isoflop {minimum}", table, fit, member, compute, way)
    for left_out, keep in list(_left_out(table, member))[1:3]:
        way = isoflop.Options("powers", edge, draws=0)
        yield _line(f"isoflop powers, without {left_out}", table, fit, keep, compute, way)
    for name, bins in (("convex hull", None), ("10 bins", 10)):
        hull = envelope.Options(bins, edge, draws=0)
        yield _line(f"envelope {name}", table, fit, member, compute, hull)


def _line(
    change: str,
    table: RunsTable,
    fit: Fit,
    rows: Rows,
    compute: float,
    way: isoflop.Options | envelope.Options,
) -> Row:
    """One row of an approach that gives lines; their loss has no floor, so none is quoted."""
    count = int((table.used & rows).sum())
    try:
        made: Allocation
        if isinstance(way, isoflop.Options):
            made = isoflop.isoflop_allocation(table, way, fit.group, rows)
        else:
            made = envelope.envelope_allocation(table, way, fit.group, rows)
    except ScalingError as error:
        return _row("approach", f"{change}: {error.faults[0].found}", count, "failed")
    if made.a is None:
        return _row("approach", change, count, "not-identified")
    at = {k: np.exp(made.line[k][0] + made.line[k][1] * np.log(compute)) for k in ("N", "D")}
    return _row("approach", change, count, "converged", a=made.a, b=made.b, **at)


def _conventions(
    table: RunsTable, fit: Fit, options: Options, member: Rows, compute: float
) -> Iterator[Row]:
    """What N counts, where the table knows its parts, and what C counts."""
    frame = table.frame
    for change, parts in (
        ("N with embeddings", ("N", "N_embedding")),
        ("N of the body alone", ("N_body",)),
    ):
        if not set(parts) <= set(frame):
            continue
        counted = np.sum([frame[p].to_numpy(np.float64, na_value=np.nan) for p in parts], axis=0)
        known = np.isfinite(counted) & (counted > 0)
        other = replace(table, frame=frame.assign(N=counted), used=table.used & known)
        yield _surface("convention", change, other, fit, options, member, compute)
    found = measured_cost(table, table.used & member)
    if found is not None and fit.cost.get("name") != "table":
        change = "C as the table counts it"
        plain = replace(options, cost=None)
        yield _surface("convention", change, table, fit, plain, member, compute, found[0])


def _told(fit: Fit, columns: Mapping[str, list[Any]]) -> Message | None:
    """Say how far a goes over the variants, and whether that is more than its interval."""
    known = [
        (v, what) for v, what in zip(columns["a"], columns["change"], strict=True) if v is not None
    ]
    values = np.array([v for v, _ in known], dtype=np.float64)
    if len(values) < 2:
        return None
    low, high = min(known)[1], max(known)[1]
    lost = len(columns["a"]) - len(values)
    text = (
        f"Over {len(values)} variants a goes from {values.min():.3f} ({low}) to "
        f"{values.max():.3f} ({high}), the middle half from "
        f"{np.quantile(values, 0.25):.3f} to {np.quantile(values, 0.75):.3f}"
    )
    if lost:
        text += f"; {lost} more identify nothing"
    ends = fit.intervals.get("a")
    if ends is None:
        return Message("SC438", text + ".", "info")
    inside = float(((values >= ends[0]) & (values <= ends[1])).mean())
    text += f". {inside:.0%} of them lie in its {_level(fit):.0%} interval"
    return Message("SC438", text + ".", "info" if inside >= 0.9 else "warning")


def _level(fit: Fit) -> float:
    return fit.interval.level if fit.interval else 0.95
