"""N*(C), D*(C) and D*/N* against compute by every approach, with printed lines."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.fitting.optima import Allocation
from scaling.fitting.result import Fit
from scaling.reporting import numbers
from scaling.reporting.context import level_of
from scaling.reporting.figures.axes import is_column, log_axis, over, padded
from scaling.reporting.figures.kind import Drawn, Kind, Marks
from scaling.reporting.figures.published import TOKENS, conventions, published_lines
from scaling.reporting.figures.style import PALETTE, beyond, label, with_unit
from scaling.reporting.runs import Array, Band, compute_grid, cost_of, optimum, runs_of
from scaling.reporting.wording import cost_label, exponent_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    from scaling.reporting.context import Context

APPROACH_STYLE: Mapping[str, tuple[str, Any, str]] = {
    "surface": (PALETTE[0], "-", ""),
    "isoflop": (PALETTE[1], (0, (5, 2)), "*"),
    "envelope": (PALETTE[2], (0, (1, 1.5)), "s"),
}
QUANTITIES = ("N", "D", "ratio")
NO_BREAK = "\u00a0"
GUIDE = 20.0  # tokens a parameter
NAMED_AT = (0.72, 0.62, 0.82, 0.5, 0.92)  # of the width, where a printed line is named
HEADROOM = 0.08
NAME_WIDTH, NAME_HEIGHT = 0.44, 0.065  # of a name, in axes
CLOSE = 0.1  # in logs, within which a printed line lies on the surface
LABEL_WIDTHS = (100, 48)  # of a legend on a page and in a column [characters]


# The smallest compute of the runs behind a printed line [FLOP]: none is drawn in a figure below it.
PAPERS_FROM = 1e17


@dataclass(frozen=True)
class AllocationPanel:
    """N*, D* or D*/N* against C by every approach.

    Attributes
    ----------
    name : {"N", "D", "ratio"}
    surface : Band or None
    minima_C, minima_y : ndarray
        Of the bracketed isoFLOP minima.
    lines : tuple of (str, ndarray, ndarray)
        Approach, C and values at the ends of its straight line.
    published : tuple of (str, ndarray, ndarray)
        Source, C and values at the ends of a printed line.
    """

    name: str
    surface: Band | None
    minima_C: Array
    minima_y: Array
    lines: tuple[tuple[str, Array, Array], ...]
    published: tuple[tuple[str, Array, Array], ...]


@dataclass(frozen=True)
class AllocationData(Drawn):
    """Three panels, N*(C), D*(C) and their ratio.

    ``labels`` holds the exponents of each approach, ``unit`` that of D; ``guide`` is whether 20
    tokens a parameter mean anything here.
    """

    panels: tuple[AllocationPanel, ...]
    labels: Mapping[str, str]
    limit: float
    target: float | None
    level: float
    unit: str
    guide: bool

    @property
    def caption(self) -> str:
        """What is drawn, and in which convention."""
        text = "N*(C), D*(C) and D*/N* by every approach"
        surface = self.panels[0].surface
        if surface is not None and np.isfinite(surface.lo).all():
            text += f"; band: {self.level:.0%} interval of the surface"
        if len(self.panels[0].minima_C):
            text += "; stars: isoFLOP minima"
        text += "; grey: beyond the largest run."
        if self.guide:
            text += " Dashed in the last panel: 20 tokens a parameter."
        if self.panels[0].published:
            counts = conventions(published_lines(self.unit))
            text += f" Thin grey: published lines, each of its own tokens and data. {counts}."
        return text

    @property
    def alt(self) -> str:
        """The exponents of each approach, and the ratio."""
        named = (f"{k}: {v}" for k, v in self.labels.items())
        text = f"Optimal parameters and data rising as power laws of compute; {'; '.join(named)}."
        band = self.panels[-1].surface
        if band is None:
            return text
        shown = [np.argmin(np.abs(np.log(band.C / c))) for c in (self.limit, self.target) if c]
        at = [
            f"{numbers.quantity(float(band.y[k]))} at {numbers.quantity(float(band.C[k]))} FLOP"
            for k in dict.fromkeys(int(i) for i in shown)
        ]
        return f"{text} D*/N* is {' and '.join(at)}."

    def columns(self) -> dict[str, list[Any]]:
        """Return the drawn points and lines in long form."""
        out: dict[str, list[Any]] = {k: [] for k in ("quantity", "what", "C", "y", "lo", "hi")}

        def add(name: str, what: str, xs: Array, ys: Array, lo: Array, hi: Array) -> None:
            for x, y, low, high in zip(xs, ys, lo, hi, strict=True):
                row = (name, what, float(x), float(y), float(low), float(high))
                for key, value in zip(out, row, strict=True):
                    out[key].append(value)

        for panel in self.panels:
            name = "D/N" if panel.name == "ratio" else panel.name
            if panel.surface is not None:
                s = panel.surface
                add(name, "surface", s.C, s.y, s.lo, s.hi)
            for what, xs, ys in (
                *panel.lines,
                ("isoflop minimum", panel.minima_C, panel.minima_y),
                *panel.published,
            ):
                none = np.full(len(xs), np.nan)
                add(name, what, xs, ys, none, none)
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
    unit, largest = context.unit("D"), float(compute.max())
    labels = {} if fit is None or table is None else {"surface": _exponents_of_fit(fit)}
    return AllocationData(
        panels=tuple(_panel(name, table, grid, drawn, largest, unit) for name in QUANTITIES),
        labels=labels | {a.approach: _exponents_of(a) for a in drawn},
        limit=largest,
        target=target,
        level=level,
        unit=unit,
        guide=unit == TOKENS,
    )


def _compute_range(fit: Fit | None, allocations: Sequence[Allocation]) -> Array | None:
    if fit is not None and fit.rows:
        compute = cost_of(fit, runs_of(fit))
        compute = compute[np.isfinite(compute)]
        if len(compute):
            return compute
    budgets = np.array([m.budget for a in allocations for m in a.minima], dtype=np.float64)
    return budgets if len(budgets) else None


def _exponents_of_fit(fit: Fit) -> str:
    return _both({k: (fit.params.get(k), fit.intervals.get(k)) for k in ("a", "b")}, fit.cost)


def _exponents_of(found: Allocation) -> str:
    interval = found.interval or {}
    known = {"a": (found.a, interval.get("a")), "b": (found.b, interval.get("b"))}
    return _both(known, found.cost)


def _both(known: Mapping[str, tuple[Any, Any]], cost: Mapping[str, str]) -> str:
    """Return both exponents with their intervals, and once what C means."""
    meaning = f", {cost_label(cost)}"
    parts = [exponent_label(k, v, i, cost).removesuffix(meaning) for k, (v, i) in known.items()]
    text = ", ".join(parts)
    return text if all(v is None for v, _ in known.values()) else text + meaning


def _panel(
    name: str,
    table: dict[str, Array] | None,
    grid: Array,
    drawn: Sequence[Allocation],
    largest: float,
    unit: str,
) -> AllocationPanel:
    surface = None
    if table is not None:
        columns = (table[k] for k in (name, f"{name}_lo", f"{name}_hi"))
        surface = Band(grid, *(np.asarray(c, dtype=np.float64) for c in columns))
    ends = np.array([grid[0], largest])
    lines = []
    minima: list[tuple[float, float]] = []
    for allocation in drawn:
        if (values := _line(allocation, name, ends)) is not None:
            lines.append((allocation.approach, ends, values))
        if allocation.approach == "isoflop":
            minima += [
                (m.budget, {"N": m.N, "D": m.D, "ratio": m.D / m.N}[name])
                for m in allocation.minima
                if m.bracketed and m.N and m.D
            ]
    places = np.array(minima, dtype=np.float64).reshape(-1, 2)
    far = grid[-1] < PAPERS_FROM
    printed = () if far else _printed(name, np.array([grid[0], grid[-1]]), unit)
    return AllocationPanel(name, surface, places[:, 0], places[:, 1], tuple(lines), printed)


def _line(allocation: Allocation, name: str, at: Array) -> Array | None:
    """Values of an approach's line; None where it has none of this quantity."""

    def value(key: str) -> Array | None:
        if key not in allocation.line:
            return None
        intercept, slope = allocation.line[key]
        return np.asarray(np.exp(intercept + slope * np.log(at)), dtype=np.float64)

    if name != "ratio":
        return value(name)
    n, d = value("N"), value("D")
    return None if n is None or d is None else d / n


def _printed(name: str, at: Array, unit: str) -> tuple[tuple[str, Array, Array], ...]:
    """Printed lines of a quantity; the ratio where a source has both N and D."""
    found: dict[str, dict[str, Array]] = {}
    for line in published_lines(unit):
        own = found.setdefault(line.source, {})
        own[line.quantity] = line.coefficient * at**line.exponent
    out = []
    for source, values in found.items():
        if name == "ratio" and {"N", "D"} <= set(values):
            out.append((source, at, values["D"] / values["N"]))
        elif name in values:
            out.append((source, at, values[name]))
    return tuple(out)


# ----------------------------------------------------------------------------------------- drawing


def draw_allocation(data: AllocationData, axes: Sequence[Axes]) -> Marks:
    """Draw N*(C), D*(C) and D*/N*, with the exponents of each approach above them."""
    units = {"N": "parameters", "D": label(data.unit)}
    for panel, ax in zip(data.panels, axes, strict=True):
        _draw_panel(panel, ax, data)
        ax.set_xlabel("C [FLOP]")
        ratio = panel.name == "ratio"
        ax.set_ylabel("D*/N*" if ratio else with_unit(f"{panel.name}*", units[panel.name]))
    over(axes, _handles(data, LABEL_WIDTHS[is_column(axes)]), handlelength=2.6)
    return {}


def _draw_panel(panel: AllocationPanel, ax: Axes, data: AllocationData) -> None:
    colour, dash, _ = APPROACH_STYLE["surface"]
    shown = [panel.minima_y, *(ys for _, _, ys in panel.lines)]
    ends = [panel.minima_C, *(xs for _, xs, _ in panel.lines)]
    if panel.surface is not None:
        band = panel.surface
        shown.append(band.y)
        ends.append(band.C)
        if np.isfinite(band.lo).all() and np.isfinite(band.hi).all():
            shown += [band.lo, np.minimum(band.hi, 1e3 * band.y)]
            ax.fill_between(band.C, band.lo, band.hi, color=colour, alpha=0.2, linewidth=0)
        ax.plot(band.C, band.y, color=colour, linestyle=dash)
    for approach, compute, values in panel.lines:
        colour, dash, _ = APPROACH_STYLE[approach]
        ax.plot(compute, values, color=colour, linestyle=dash)
    if len(panel.minima_C):
        colour, _, marker = APPROACH_STYLE["isoflop"]
        rim: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.6}
        ax.plot(panel.minima_C, panel.minima_y, marker, color=colour, markersize=9, **rim)
    if panel.name == "ratio" and data.guide:
        ax.axhline(GUIDE, color="0.3", linewidth=0.8, dashes=(4, 3))
        shown.append(np.array([GUIDE]))
    across, up = padded(*ends, share=0.0), padded(*shown)
    if across is None or up is None:
        return
    up = up if up[1] > 3.0 * up[0] else (up[0] / 1.7, up[1] * 1.7)
    log_axis(ax, "x", across, most=4)
    log_axis(ax, "y", up)
    beyond(ax, data.limit, across[1], said=False)
    if data.target is not None:
        ax.axvline(data.target, color="0.3", linewidth=0.8, dashes=(2, 2))
    _draw_published(panel, ax, across, up)


def _draw_published(
    panel: AllocationPanel, ax: Axes, across: tuple[float, float], up: tuple[float, float]
) -> None:
    """Draw printed lines, each named on the side away from the surface."""
    x0, x1, y0, y1 = *np.log(across), *np.log(up)
    taken: list[tuple[float, float]] = []
    for k, (source, xs, ys) in enumerate(panel.published):
        ax.plot(xs, ys, color="0.55", linewidth=0.7, zorder=1)
        ends = ((np.log(xs) - x0) / (x1 - x0), (np.log(ys) - y0) / (y1 - y0))
        higher = bool(k % 2)
        if panel.surface is not None:
            difference = np.log(ys[1] / np.interp(xs[1], panel.surface.C, panel.surface.y))
            higher = higher if abs(difference) < CLOSE else bool(difference > 0)
        found = _room(ends, higher, taken)
        if found is None:
            continue
        left, bottom = found
        taken.append(found)
        style: dict[str, Any] = {"fontsize": 6.5, "color": "0.35", "va": "bottom"}
        rising = bool(ends[1][1] > ends[1][0])
        at_right = rising == (bottom >= float(np.interp(left + NAME_WIDTH, *ends)))
        style["ha"] = "right" if at_right else "left"
        at = left + NAME_WIDTH if at_right else left
        ax.text(at, bottom, label(source), transform=ax.transAxes, **style)


def _room(
    ends: tuple[Array, Array], higher: bool, taken: Sequence[tuple[float, float]]
) -> tuple[float, float] | None:
    """Left and bottom of a name beside a line, in axes, where it covers no other name."""
    rising = bool(ends[1][1] > ends[1][0])
    for above in (higher, not higher):
        for at in NAMED_AT if rising == above else tuple(1.0 - x for x in NAMED_AT):
            height = float(np.interp(at, *ends))
            left = at - NAME_WIDTH if rising == above else at
            bottom = height + 0.01 if above else height - NAME_HEIGHT - 0.01
            free = all(
                abs(left - x) > NAME_WIDTH or abs(bottom - y) > NAME_HEIGHT for x, y in taken
            )
            if free and HEADROOM < height < 1.0 - HEADROOM:
                return left, bottom
    return None


def _wrapped(text: str, width: int) -> str:
    """Break a label between its exponents, never inside one."""
    whole = label(text, 160).replace(" = ", NO_BREAK + "=" + NO_BREAK)
    return "\n".join(textwrap.wrap(whole.replace(" (", NO_BREAK + "("), width))


def _handles(data: AllocationData, width: int) -> list[Line2D]:
    from matplotlib.lines import Line2D

    out = []
    for approach, text in data.labels.items():
        colour, dash, marker = APPROACH_STYLE[approach]
        has_line = approach == "surface" or any(a == approach for a, _, _ in data.panels[0].lines)
        has_mark = approach == "isoflop" and len(data.panels[0].minima_C)
        if has_line or has_mark:
            out.append(
                Line2D(
                    [],
                    [],
                    color=colour,
                    linestyle=dash if has_line else "none",
                    marker=marker if has_mark else "",
                    markersize=8,
                    markeredgecolor="white",
                    markeredgewidth=0.5,
                    label=_wrapped(f"{approach}: {text}", width),
                )
            )
    return out


ALLOCATION = Kind(
    name="allocation",
    title="Optimal size and data against compute",
    good="approaches agree within their intervals and the minima scatter around the line.",
    per="group",
    data=allocation_data,
    draw=draw_allocation,
    panels=(1, 3),
    height=2.5,
)
