"""N*(C), D*(C) and D*/N* against compute by every approach."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.fitting.result import Allocation, Fit
from scaling.reporting.context import level_of
from scaling.reporting.figures.kind import Drawn, Kind, Marks
from scaling.reporting.figures.style import PALETTE, beyond, label
from scaling.reporting.runs import Array, Band, compute_grid, cost_of, optimum, runs_of
from scaling.reporting.wording import exponent_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scaling.reporting.context import Context

APPROACH_STYLE: Mapping[str, tuple[str, Any, str]] = {
    "surface": (PALETTE[0], "-", ""),
    "isoflop": (PALETTE[1], (0, (5, 2)), "*"),
    "envelope": (PALETTE[2], (0, (1, 1.5)), "s"),
}
LABEL_WIDTH = 46


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
class AllocationData(Drawn):
    """Two panels, N*(C) and D*(C)."""

    panels: tuple[AllocationPanel, AllocationPanel]
    limit: float
    target: float | None
    level: float

    @property
    def caption(self) -> str:
        """What is drawn."""
        return (
            f"N*(C) and D*(C) by every approach; band: {self.level:.0%} interval of the surface; "
            "grey: beyond the largest run."
        )

    @property
    def alt(self) -> str:
        """The exponents of each approach."""
        named = (f"{k}: {v}" for k, v in self.panels[0].labels.items())
        return f"Optimal parameters and data rising as power laws of compute; {'; '.join(named)}."

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


def allocation_data(context: Context, group: str | None) -> AllocationData | None:
    """Collect N*(C) and D*(C) of one group by every approach, or None if none gives them."""
    fit, allocations = context.surface_of(group), context.allocations_of(group)
    level, target = 0.95 if fit is None else level_of(fit), context.target
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
    return AllocationData((panels[0], panels[1]), float(compute.max()), target, level)


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


def draw_allocation(data: AllocationData, axes: Sequence[Axes]) -> Marks:
    """Draw N*(C) and D*(C), each approach with its exponent and its meaning of C."""
    for panel, ax in zip(data.panels, axes, strict=True):
        ax.set_xscale("log")
        ax.set_yscale("log")
        _draw_panel(panel, ax)
        end = max((float(p.surface.C[-1]) for p in data.panels if p.surface), default=data.limit)
        beyond(ax, data.limit, end, said=False)
        if data.target is not None:
            ax.axvline(data.target, color="0.3", linewidth=0.8, dashes=(2, 2))
        ax.set_xlabel("C [FLOP]")
        unit = "parameters" if panel.name == "N" else "tokens or examples"
        ax.set_ylabel(f"{panel.name}* [{unit}]")
        if panel.labels:
            ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), handlelength=2.6)
    return {}


def _panel_label(panel: AllocationPanel, approach: str) -> str:
    text = label(f"{approach}: {panel.labels.get(approach, '')}")
    return "\n".join(textwrap.wrap(text, LABEL_WIDTH))


def _draw_panel(panel: AllocationPanel, ax: Axes) -> None:
    drawn: set[str] = set()
    if panel.surface is not None:
        band, (colour, _, _) = panel.surface, APPROACH_STYLE["surface"]
        if np.isfinite(band.lo).all():
            ax.fill_between(band.C, band.lo, band.hi, color=colour, alpha=0.2, linewidth=0)
        ax.plot(band.C, band.y, color=colour, label=_panel_label(panel, "surface"))
        drawn.add("surface")
    for approach, compute, values in panel.lines:
        colour, dash, _ = APPROACH_STYLE[approach]
        ax.plot(compute, values, color=colour, linestyle=dash, label=_panel_label(panel, approach))
        drawn.add(approach)
    if len(panel.minima_C):
        colour, _, marker = APPROACH_STYLE["isoflop"]
        name = None if "isoflop" in drawn else _panel_label(panel, "isoflop")
        ax.plot(
            panel.minima_C,
            panel.minima_y,
            marker,
            color=colour,
            markersize=9,
            markeredgecolor="white",
            markeredgewidth=0.6,
            label=name,
        )


ALLOCATION = Kind(
    name="allocation",
    title="Optimal size and data against compute",
    good="approaches agree within their intervals and the minima scatter around the line.",
    per="group",
    data=allocation_data,
    draw=draw_allocation,
    panels=(1, 2),
    height=3.0,
)
