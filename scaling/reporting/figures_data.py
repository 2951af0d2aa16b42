"""What each figure shows, as arrays: pure functions of fits, with nothing drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ScalingError
from scaling.expressions import parse
from scaling.fitting.result import Allocation, Fit, Minimum
from scaling.laws.cost import rounded
from scaling.reporting import numbers

Array = NDArray[np.float64]

CURVE_POINTS = 60
# Rows belong to a budget when the table says so, else when their C is this close in ln C.
BUDGET_TOLERANCE = 0.15
EXTRAPOLATION = 100.0


@dataclass(frozen=True)
class Runs:
    """The fitted rows: arrays of shape (n,), NaN where the table has no such column."""

    names: tuple[str, ...]
    N: Array
    D: Array
    C: Array
    loss: Array
    budget: Array
    residual: Array

    def at(self, keep: NDArray[np.bool_]) -> Runs:
        """Return the runs that a mask of shape (n,) keeps."""
        names = tuple(name for name, kept in zip(self.names, keep, strict=True) if kept)
        columns = (self.N, self.D, self.C, self.loss, self.budget, self.residual)
        return Runs(names, *(column[keep] for column in columns))


def _floats(rows: Mapping[str, Sequence[Any]], name: str, n: int) -> Array:
    values = rows.get(name) or [None] * n
    return np.array([np.nan if v is None else float(v) for v in values], dtype=np.float64)


def runs_of(fit: Fit, response: str = "loss") -> Runs:
    """Return the rows that were fitted; ``loss`` holds the column named as the response."""
    used = np.asarray(fit.rows.get("used", []), dtype=bool)
    n = len(used)
    labels = fit.rows.get("run") or [None] * n
    places = fit.rows.get("row") or list(range(n))
    names = [str(r if r is not None else f"row {p}") for r, p in zip(labels, places, strict=True)]
    columns = [
        _floats(fit.rows, name, n)[used] for name in ("N", "D", "C", response, "budget", "residual")
    ]
    return Runs(tuple(x for x, keep in zip(names, used, strict=True) if keep), *columns)


def tips_of(
    runs: Runs, keep: NDArray[np.bool_] | None = None, response: str = "loss"
) -> tuple[str, ...]:
    """Return the tooltip of each run."""
    chosen = np.arange(len(runs.names)) if keep is None else np.flatnonzero(keep)
    lines = []
    for i in chosen:
        parts = [runs.names[i]]
        for name, column in (("N", runs.N), ("D", runs.D), ("C", runs.C), (response, runs.loss)):
            if np.isfinite(column[i]):
                parts.append(f"{name} {numbers.quantity(float(column[i]), 4)}")
        if np.isfinite(runs.residual[i]):
            parts.append(f"residual {numbers.percent(float(runs.residual[i]))}")
        lines.append("\n".join(parts))
    return tuple(lines)


def cost_of(fit: Fit, runs: Runs) -> Array:
    """Return the compute of each run in the fit's own meaning of C [FLOP], shape (n,).

    Runs and frontier stand in one figure only if both count C alike; where the table lacks N or D
    its own C is all there is.
    """
    if not (np.isfinite(runs.N).all() and np.isfinite(runs.D).all()):
        return runs.C
    try:
        cost = parse(str(fit.cost["formula"]), where="cost", names=("N", "D"))
    except ScalingError:
        return runs.C
    return np.asarray(cost.value({"N": runs.N, "D": runs.D}), dtype=np.float64)


@dataclass(frozen=True)
class IsoflopBudget:
    """One budget: its runs, the curve through them, the surface's slice and the minimum."""

    budget: float
    N: Array
    loss: Array
    curve_N: Array
    curve_loss: Array
    slice_loss: Array
    minimum: Minimum | None
    tips: tuple[str, ...]


@dataclass(frozen=True)
class IsoflopData:
    """Loss against N at each budget, from the smallest."""

    budgets: tuple[IsoflopBudget, ...]
    unit: str

    def columns(self) -> dict[str, list[Any]]:
        """Return the drawn points and curves in long form."""
        out: dict[str, list[Any]] = {"budget": [], "what": [], "N": [], "loss": []}
        for item in self.budgets:
            parts = [
                ("run", item.N, item.loss),
                ("curve", item.curve_N, item.curve_loss),
                ("surface", item.curve_N[: len(item.slice_loss)], item.slice_loss),
            ]
            if item.minimum is not None and item.minimum.N is not None:
                what = "minimum" if item.minimum.bracketed else "minimum, refused"
                parts.append((what, np.array([item.minimum.N]), np.array([item.minimum.loss])))
            for what, sizes, losses in parts:
                out["budget"] += [item.budget] * len(sizes)
                out["what"] += [what] * len(sizes)
                out["N"] += [float(x) for x in sizes]
                out["loss"] += [float("nan") if x is None else float(x) for x in losses]
        return out


def _slice(fit: Fit | None, runs: Runs | None, sizes: Array) -> Array:
    """Loss of the surface along a budget; empty where there is no such surface.

    D at each size is interpolated in logs between the runs of the budget, so that the slice is
    that of the runs whatever C counts.
    """
    usable = fit is not None and fit.identified and set(fit.law.variables) == {"N", "D"}
    usable = usable and fit is not None and fit.response == "loss"
    if fit is None or runs is None or not usable or not len(sizes) or not len(runs.N):
        return np.empty(0)
    order = np.argsort(runs.N)
    data = np.interp(np.log(sizes), np.log(runs.N[order]), np.log(runs.D[order]))
    values = {"N": sizes, "D": np.exp(data)}
    return fit.law.loss({name: fit.params[name] for name in fit.law.names}, values)


def isoflop_data(allocation: Allocation, fit: Fit | None, unit: str = "") -> IsoflopData:
    """Collect what an isoFLOP figure shows.

    Parameters
    ----------
    allocation : Allocation
        By the isoflop approach, with curves and minima.
    fit : Fit or None
        A fit of the same group, for its rows and, if it is a surface, for the dashed slices.
    unit : str
        Unit of the loss.
    """
    runs = None if fit is None else runs_of(fit)
    minima = {m.budget: m for m in allocation.minima}
    curves = {float(c["budget"]): c for c in allocation.curves}
    found = []
    for budget in sorted({*minima, *curves}):
        curve = curves.get(budget, {"N": [], "loss": []})
        keep = np.zeros(0, dtype=bool) if runs is None else _members(runs, budget)
        sizes = np.asarray(curve["N"], dtype=np.float64)
        if not len(sizes) and runs is not None and keep.any():
            sizes = np.geomspace(runs.N[keep].min(), runs.N[keep].max(), CURVE_POINTS)
        own = None if runs is None else runs.at(keep)
        found.append(
            IsoflopBudget(
                budget=budget,
                N=np.empty(0) if own is None else own.N,
                loss=np.empty(0) if own is None else own.loss,
                curve_N=sizes if len(curve["N"]) else np.empty(0),
                curve_loss=np.asarray(curve["loss"], dtype=np.float64),
                slice_loss=_slice(fit, own, sizes) if len(curve["N"]) else np.empty(0),
                minimum=minima.get(budget),
                tips=() if runs is None else tips_of(runs, keep),
            )
        )
    return IsoflopData(tuple(found), unit)


def _members(runs: Runs, budget: float) -> NDArray[np.bool_]:
    if np.isfinite(runs.budget).any():
        return np.isclose(runs.budget, budget, rtol=1e-6)
    with np.errstate(all="ignore"):
        return np.abs(np.log(runs.C / budget)) < BUDGET_TOLERANCE


@dataclass(frozen=True)
class Band:
    """A line over C with its interval; ``lo`` and ``hi`` are NaN without draws."""

    C: Array
    y: Array
    lo: Array
    hi: Array


@dataclass(frozen=True)
class FrontierData:
    """Loss against compute: the runs, the frontier and the irreducible loss."""

    C: Array
    loss: Array
    N: Array
    line: Band
    E: float | None
    limit: float
    target: float | None
    unit: str
    tips: tuple[str, ...]
    response: str = "loss"

    def columns(self) -> dict[str, list[Any]]:
        """Return the drawn points and line in long form."""
        n, m = len(self.C), len(self.line.C)
        blank = [float("nan")]
        return {
            "what": ["run"] * n + ["frontier"] * m,
            "C": [*self.C.tolist(), *self.line.C.tolist()],
            "N": [*self.N.tolist(), *blank * m],
            self.response: [*self.loss.tolist(), *self.line.y.tolist()],
            "lo": [*blank * n, *self.line.lo.tolist()],
            "hi": [*blank * n, *self.line.hi.tolist()],
        }


def compute_grid(compute: Array, target: float | None) -> Array:
    """Return the values of C that lines are drawn at: the runs' and up to 100 times as much."""
    largest = float(np.nanmax(compute))
    end = max(largest * EXTRAPOLATION, target or 0.0)
    return np.geomspace(float(np.nanmin(compute)), end, CURVE_POINTS)


def optimum(fit: Fit, compute: Array, level: float = 0.95) -> dict[str, Array] | None:
    """Return columns of ``fit.optimal`` as arrays, or None where the law has no optimum."""
    if not fit.identified or set(fit.law.variables) != {"N", "D"}:
        return None
    try:
        frame = fit.optimal(C=compute, interval=level)
    except ScalingError:
        return None
    return {str(name): np.asarray(frame[name]) for name in frame.columns}


def frontier_data(
    fit: Fit, *, level: float = 0.95, target: float | None = None, unit: str = ""
) -> FrontierData | None:
    """Collect loss against compute, or None where the law says nothing about compute."""
    runs = runs_of(fit, fit.response)
    compute = cost_of(fit, runs)
    if not fit.identified or not len(compute) or not np.isfinite(compute).any():
        return None
    grid = compute_grid(compute, target)
    if tuple(fit.law.variables) == ("C",):
        frame = fit.predict(C=grid, interval=level)
        table: dict[str, Array] | None = {str(k): np.asarray(frame[k]) for k in frame.columns}
    else:
        table = optimum(fit, grid, level)
    if table is None:
        return None
    line = Band(grid, *(np.asarray(table[k], dtype=np.float64) for k in ("loss", "lo", "hi")))
    offset = fit.params.get("E")
    return FrontierData(
        C=compute,
        loss=runs.loss,
        N=runs.N,
        line=line,
        E=float(offset) if offset else None,
        limit=float(np.nanmax(compute)),
        target=target,
        unit=unit,
        tips=tips_of(runs, response=fit.response),
        response=fit.response,
    )


@dataclass(frozen=True)
class AllocationPanel:
    """N* or D* against C by every approach."""

    name: str
    surface: Band | None
    minima_C: Array
    minima_y: Array
    lines: tuple[tuple[str, Array, Array], ...]
    labels: Mapping[str, str]


@dataclass(frozen=True)
class AllocationData:
    """Two panels, N*(C) and D*(C)."""

    panels: tuple[AllocationPanel, AllocationPanel]
    limit: float
    target: float | None

    def columns(self) -> dict[str, list[Any]]:
        """Return the drawn points and lines in long form."""
        out: dict[str, list[Any]] = {k: [] for k in ("quantity", "what", "C", "y", "lo", "hi")}

        def add(name: str, what: str, xs: Array, ys: Array, lo: Array, hi: Array) -> None:
            for x, y, low, high in zip(xs, ys, lo, hi, strict=True):
                row = (name, what, float(x), float(y), float(low), float(high))
                for key, value in zip(out, row, strict=True):
                    out[key].append(value)

        for panel in self.panels:
            if panel.surface is not None:
                s = panel.surface
                add(panel.name, "surface", s.C, s.y, s.lo, s.hi)
            for what, xs, ys in (
                *panel.lines,
                ("isoflop minimum", panel.minima_C, panel.minima_y),
            ):
                none = np.full(len(xs), np.nan)
                add(panel.name, what, xs, ys, none, none)
        return out


def exponent_label(name: str, value: Any, interval: Any, cost: Mapping[str, str]) -> str:
    """Return ``a = 0.51 (0.49–0.53), C = 6ND``: never an exponent without its convention."""
    if value is None:
        return f"no {name}"
    if interval:
        shown = numbers.within(value, *interval)
        return f"{name} = {shown} ({numbers.interval(*interval)}), {cost_label(cost)}"
    return f"{name} = {numbers.quantity(value)}, {cost_label(cost)}"


def cost_label(cost: Mapping[str, str]) -> str:
    """Return what C means, short enough for a legend."""
    if cost.get("name") == "6nd":
        return "C = 6ND"
    name, formula = str(cost.get("name", "")), str(cost.get("formula", ""))
    if name == "table":
        return "C of the table" if formula.startswith("C as") else f"C = {rounded(formula)}"
    return f"C = {rounded(formula)}" if formula else f"C by {name or 'an unstated cost'}"


def allocation_data(
    fit: Fit | None,
    allocations: Sequence[Allocation],
    *,
    level: float = 0.95,
    target: float | None = None,
) -> AllocationData | None:
    """Collect N*(C) and D*(C) of one group by every approach, or None if none gives them."""
    compute = _compute_range(fit, allocations)
    if compute is None:
        return None
    grid = compute_grid(compute, target)
    table = None if fit is None else optimum(fit, grid, level)
    drawn = [a for a in allocations if a.approach != "surface"]
    if table is None and not any(a.line or any(m.bracketed for m in a.minima) for a in drawn):
        return None
    panels = tuple(
        _panel(name, exponent, fit, table, grid, drawn, float(compute.max()))
        for name, exponent in (("N", "a"), ("D", "b"))
    )
    return AllocationData((panels[0], panels[1]), float(compute.max()), target)


def _compute_range(fit: Fit | None, allocations: Sequence[Allocation]) -> Array | None:
    if fit is not None and fit.rows:
        compute = cost_of(fit, runs_of(fit))
        compute = compute[np.isfinite(compute)]
        if len(compute):
            return compute
    budgets = np.array([m.budget for a in allocations for m in a.minima], dtype=np.float64)
    return budgets if len(budgets) else None


def _panel(
    name: str,
    exponent: str,
    fit: Fit | None,
    table: dict[str, Array] | None,
    grid: Array,
    drawn: Sequence[Allocation],
    largest: float,
) -> AllocationPanel:
    labels: dict[str, str] = {}
    surface = None
    if fit is not None and table is not None:
        surface = Band(
            grid,
            *(np.asarray(table[k], dtype=np.float64) for k in (name, f"{name}_lo", f"{name}_hi")),
        )
        labels["surface"] = exponent_label(
            exponent, fit.params.get(exponent), fit.intervals.get(exponent), fit.cost
        )
    lines = []
    minima_C: list[float] = []
    minima_y: list[float] = []
    for allocation in drawn:
        value = allocation.a if exponent == "a" else allocation.b
        interval = (allocation.interval or {}).get(exponent)
        labels[allocation.approach] = exponent_label(exponent, value, interval, allocation.cost)
        if name in allocation.line:
            intercept, slope = allocation.line[name]
            inside = grid[grid <= largest * 1.0001]
            lines.append((allocation.approach, inside, np.exp(intercept + slope * np.log(inside))))
        for minimum in allocation.minima:
            place = minimum.N if name == "N" else minimum.D
            if allocation.approach == "isoflop" and minimum.bracketed and place is not None:
                minima_C.append(minimum.budget)
                minima_y.append(place)
    return AllocationPanel(
        name, surface, np.array(minima_C), np.array(minima_y), tuple(lines), labels
    )


@dataclass(frozen=True)
class ResidualData:
    """Log residuals in percent against N, D and C, and against normal quantiles."""

    names: tuple[str, ...]
    x: Mapping[str, Array]
    residual: Array
    quantile: Array
    standardised: Array
    order: NDArray[np.int64]
    tips: tuple[str, ...]

    def columns(self) -> dict[str, list[Any]]:
        """Return one row a run."""
        out: dict[str, list[Any]] = {"run": list(self.names)}
        out |= {name: values.tolist() for name, values in self.x.items()}
        quantile = np.empty(len(self.order))
        quantile[self.order] = self.quantile
        return out | {"residual_percent": self.residual.tolist(), "quantile": quantile.tolist()}


def residual_data(fit: Fit) -> ResidualData | None:
    """Collect the residuals of a fit, or None where it stores none."""
    runs = runs_of(fit)
    if len(runs.names) < 2 or not np.isfinite(runs.residual).all():
        return None
    percent = 100.0 * runs.residual
    order = np.argsort(percent, kind="stable")
    n = len(percent)
    normal = NormalDist()
    quantile = np.array([normal.inv_cdf((i + 0.5) / n) for i in range(n)])
    spread = float(percent.std()) or 1.0
    candidates = (("N", runs.N), ("D", runs.D), ("C", runs.C))
    return ResidualData(
        names=runs.names,
        x={name: values for name, values in candidates if np.isfinite(values).all()},
        residual=percent,
        quantile=quantile,
        standardised=(percent[order] - percent.mean()) / spread,
        order=np.asarray(order, dtype=np.int64),
        tips=tips_of(runs),
    )


def worst(data: ResidualData, count: int = 3) -> list[tuple[str, float]]:
    """Return the runs with the largest residuals [%], the worst first."""
    ranked = np.argsort(-np.abs(data.residual), kind="stable")[:count]
    return [(data.names[i], float(data.residual[i])) for i in ranked]
