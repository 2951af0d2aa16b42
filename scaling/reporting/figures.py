"""The canonical figures, drawn with matplotlib from the data of `figures_data`.

Each ``draw_*`` draws on axes that the caller made and returns its interactive markers: for each
group id, the tooltip of each marker. Text in figures comes from this package, never from users,
but for costs and units, which `label` makes harmless.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter, NullLocator, ScalarFormatter

from scaling.reporting import numbers, svg
from scaling.reporting.figures_data import (
    AllocationData,
    AllocationPanel,
    Array,
    FrontierData,
    IsoflopBudget,
    IsoflopData,
    ResidualData,
)
from scaling.reporting.figures_effective_data import EffectiveData

Marks = dict[str, list[int]]
Data = IsoflopData | FrontierData | AllocationData | ResidualData | EffectiveData

STYLE: Mapping[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.0,
    "axes.labelsize": 8.0,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "axes.titlesize": 9.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "lines.linewidth": 1.4,
    "lines.markersize": 4.0,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.88",
    "grid.linewidth": 0.4,
    "pdf.fonttype": 42,
    "svg.hashsalt": "scaling",
    "text.usetex": False,
    "mathtext.fontset": "dejavusans",
    "axes.formatter.useoffset": False,
}
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#332288", "#000000")
APPROACH_STYLE: Mapping[str, tuple[str, Any, str]] = {
    "surface": (PALETTE[0], "-", ""),
    "isoflop": (PALETTE[1], (0, (5, 2)), "*"),
    "envelope": (PALETTE[2], (0, (1, 1.5)), "s"),
}
MARKERS = "osD^vP<X>h"
VIRIDIS_END = 0.6
COLOURS = 24
PAGE = 6.9
LABEL_WIDTH = 46
SIGNS = "–−…∝⁻⁰¹²³⁴⁵⁶⁷⁸⁹"


def label(text: str) -> str:
    """Return `text` as a figure can show it: Latin, Greek and signs; no mathematics mode."""
    kept = (c if c in SIGNS or (c.isprintable() and ord(c) < 0x400) else "?" for c in text)
    return textwrap.shorten("".join(kept).replace("$", r"\$"), 60, placeholder=" …")


@contextmanager
def style(fonttype: Literal["none", "path"] = "none") -> Iterator[None]:
    """Apply the style of this package and restore the caller's settings afterwards."""
    with matplotlib.style.context(["default", {**STYLE, "svg.fonttype": fonttype}]):
        yield


def colours() -> ListedColormap:
    """Return the part of viridis that has a contrast of 3:1 on white."""
    return ListedColormap(matplotlib.colormaps["viridis"](np.linspace(0, VIRIDIS_END, COLOURS)))


def _loss_label(unit: str, response: str = "loss") -> str:
    return f"{label(response)} [{label(unit)}]" if unit else label(response)


def plain_log_ticks(ax: Axes, low: float, high: float) -> None:
    """Tick a log axis that spans less than a decade with plain numbers."""
    ax.set_yscale("log")
    ax.set_ylim(low, high)
    ticks = [t for t in MaxNLocator(6).tick_values(low, high) if low <= t <= high]
    ax.yaxis.set_major_locator(FixedLocator(ticks))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(ScalarFormatter())
    ax.yaxis.set_minor_formatter(NullFormatter())


def draw_isoflop(data: IsoflopData, ax: Axes) -> Marks:
    """Draw loss against N, one colour and marker a budget, with curves and minima."""
    marks: Marks = {}
    palette = colours()
    first = 0
    for k, item in enumerate(data.budgets):
        colour = palette(k / max(1, len(data.budgets) - 1))
        marker = MARKERS[k % len(MARKERS)]
        group = f"runs{k}"
        ax.plot(item.N, item.loss, marker, color=colour, gid=group, markeredgewidth=0)
        marks[group] = list(range(first, first + len(item.tips)))
        first += len(item.tips)
        ax.plot(item.curve_N, item.curve_loss, "-", color=colour, linewidth=1.1)
        if len(item.slice_loss):
            ax.plot(item.curve_N, item.slice_loss, color=colour, linewidth=0.9, dashes=(4, 2))
        _draw_minimum(ax, item, colour)
        _label_budget(ax, item, colour)
    if any(len(item.N) or len(item.curve_N) for item in data.budgets):
        ax.set_xscale("log")
    ax.margins(x=0.09)
    ax.set_xlabel("N [parameters]")
    ax.set_ylabel(_loss_label(data.unit))
    _isoflop_legend(ax, any(len(item.slice_loss) for item in data.budgets))
    return marks


def _draw_minimum(ax: Axes, item: IsoflopBudget, colour: Any) -> None:
    minimum = item.minimum
    if minimum is None:
        return
    x, y = minimum.N, minimum.loss
    if (x is None or y is None) and len(item.N):
        lowest = int(np.argmin(item.loss))
        x, y = float(item.N[lowest]), float(item.loss[lowest])
    if x is None or y is None:
        return
    if minimum.bracketed:
        ax.plot(
            [x],
            [y],
            "*",
            color=colour,
            markersize=11,
            markeredgecolor="white",
            markeredgewidth=0.7,
            zorder=5,
        )
    else:
        ax.plot(
            [x],
            [y],
            "o",
            markerfacecolor="none",
            markeredgecolor=PALETTE[1],
            markersize=9,
            markeredgewidth=1.3,
            zorder=5,
        )


def _label_budget(ax: Axes, item: IsoflopBudget, colour: Any) -> None:
    sizes, losses = (item.curve_N, item.curve_loss) if len(item.curve_N) else (item.N, item.loss)
    if len(sizes):
        end = int(np.argmax(sizes))
        ax.annotate(
            numbers.quantity(item.budget, 2),
            (sizes[end], losses[end]),
            color=colour,
            xytext=(4, 0),
            textcoords="offset points",
            fontsize=7,
            va="center",
        )


def _isoflop_legend(ax: Axes, sliced: bool) -> None:
    grey = "0.25"
    handles = [
        Line2D([], [], color=grey, marker="o", linestyle="none", label="run"),
        Line2D([], [], color=grey, linewidth=1.1, label="curve of its budget"),
        Line2D([], [], color=grey, marker="*", linestyle="none", markersize=9, label="minimum"),
        Line2D(
            [],
            [],
            color=PALETTE[1],
            marker="o",
            linestyle="none",
            markerfacecolor="none",
            markersize=7,
            label="refused",
        ),
    ]
    if sliced:
        handles.insert(2, Line2D([], [], color=grey, dashes=(4, 2), linewidth=0.9, label="surface"))
    ax.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=5)


def draw_frontier(data: FrontierData, ax: Axes) -> Marks:
    """Draw loss against compute with the frontier, its band and the irreducible loss."""
    line = data.line
    ax.set_xscale("log")
    ax.axvspan(data.limit, line.C[-1], color="0.94", zorder=0)
    ax.axvline(data.limit, color="0.6", linewidth=0.6)
    if np.isfinite(line.lo).all():
        ax.fill_between(line.C, line.lo, line.hi, color=PALETTE[0], alpha=0.2, linewidth=0)
    ax.plot(line.C, line.y, color=PALETTE[0], label=f"compute-optimal {label(data.response)}")
    if np.isfinite(data.N).all() and len(data.N):
        norm = LogNorm(data.N.min(), max(data.N.max(), 1.01 * data.N.min()))
        dots = ax.scatter(
            data.C,
            data.loss,
            c=data.N,
            cmap=colours(),
            norm=norm,
            s=14,
            linewidths=0,
            gid="runs",
            zorder=3,
        )
        bar = ax.figure.colorbar(dots, ax=ax, pad=0.01, aspect=30)
        bar.set_label("N [parameters]")
        bar.minorticks_off()
        if bar.solids is not None:
            bar.solids.set_edgecolor("face")  # else viewers leave white lines in it
    else:
        ax.scatter(data.C, data.loss, color=PALETTE[4], s=14, linewidths=0, gid="runs", zorder=3)
    if data.E is not None:
        name = f"irreducible {label(data.response)} E"
        ax.axhline(data.E, color="0.2", linewidth=0.9, dashes=(1, 2), label=name)
    if data.target is not None:
        ax.axvline(data.target, color=PALETTE[1], linewidth=1.0, dashes=(5, 2), label="target C")
    lows = [np.nanmin(data.loss), np.nanmin(line.y), data.E or np.inf]
    plain_log_ticks(ax, 0.98 * float(min(lows)), 1.02 * float(max(np.nanmax(data.loss), line.y[0])))
    ax.text(
        data.limit,
        0.985,
        "  extrapolation",
        transform=ax.get_xaxis_transform(),
        fontsize=7,
        color="0.35",
        va="top",
    )
    ax.set_xlabel("C [FLOP]")
    ax.set_ylabel(_loss_label(data.unit, data.response))
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4)
    return {"runs": list(range(len(data.tips)))}


def draw_allocation(data: AllocationData, axes: Sequence[Axes]) -> Marks:
    """Draw N*(C) and D*(C), each approach with its exponent and its meaning of C."""
    for panel, ax in zip(data.panels, axes, strict=True):
        ax.set_xscale("log")
        ax.set_yscale("log")
        _draw_panel(panel, ax)
        end = max((float(p.surface.C[-1]) for p in data.panels if p.surface), default=data.limit)
        if end > data.limit:
            ax.axvspan(data.limit, end, color="0.94", zorder=0)
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


def draw_residuals(data: ResidualData, axes: Sequence[Axes]) -> Marks:
    """Draw log residuals in percent against N, D and C, and a normal Q-Q panel."""
    marks: Marks = {}
    spread = float(data.residual.std())
    everything = list(range(len(data.residual)))
    units = {"N": "parameters", "D": "tokens or examples", "C": "FLOP"}
    for k, (ax, (name, x)) in enumerate(zip(axes, data.x.items(), strict=False)):
        ax.axhspan(-spread, spread, color="0.93", zorder=0)
        ax.axhline(0.0, color="0.3", linewidth=0.8)
        ax.plot(
            x,
            data.residual,
            MARKERS[k],
            color=PALETTE[0],
            markersize=3,
            gid=f"runs{k}",
            markeredgewidth=0,
        )
        marks[f"runs{k}"] = everything
        ax.set_xscale("log")
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_xlabel(f"{name} [{units[name]}]")
        ax.set_ylabel("log residual [%]")
    ax = axes[len(data.x)]
    _draw_quantiles(data, ax)
    marks["quantiles"] = [int(i) for i in data.order]
    for spare in axes[len(data.x) + 1 :]:
        spare.set_axis_off()
    return marks


def _draw_quantiles(data: ResidualData, ax: Axes) -> None:
    end = float(np.abs(data.quantile).max()) * 1.1
    ax.plot([-end, end], [-end, end], color="0.3", linewidth=0.8)
    ax.plot(
        data.quantile,
        data.standardised,
        "D",
        color=PALETTE[0],
        markersize=3,
        gid="quantiles",
        markeredgewidth=0,
    )
    ax.set_xlabel("normal quantile")
    ax.set_ylabel("standardised residual")


def _drawn(data: Data, fonttype: Literal["none", "path"]) -> tuple[str, Marks]:
    with style(fonttype):
        if isinstance(data, IsoflopData):
            figure = Figure((PAGE, 3.7), layout="constrained")
            marks = draw_isoflop(data, figure.subplots())
        elif isinstance(data, FrontierData):
            figure = Figure((PAGE, 3.5), layout="constrained")
            marks = draw_frontier(data, figure.subplots())
        elif isinstance(data, AllocationData):
            figure = Figure((PAGE, 3.3), layout="constrained")
            marks = draw_allocation(data, _flat(figure.subplots(1, 2)))
        elif isinstance(data, EffectiveData):
            marks, figure = _effective(data)
        else:
            figure = Figure((PAGE, 4.4), layout="constrained")
            marks = draw_residuals(data, _flat(figure.subplots(2, 2)))
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue(), marks


def _effective(data: EffectiveData) -> tuple[Marks, Figure]:
    from scaling.reporting.figures_effective import draw_effective, shape_of

    rows, columns = shape_of(data)
    figure = Figure((PAGE, 0.4 + 2.4 * rows), layout="constrained")
    axes = _flat(figure.subplots(rows, columns, squeeze=False))
    return draw_effective(data, axes), figure


def _flat(axes: Array | Any) -> list[Axes]:
    return list(np.asarray(axes, dtype=object).ravel())


def render(fonttype: Literal["none", "path"], key: str, title: str, alt: str, *, data: Data) -> str:
    """Return the figure of `data` as an SVG that can stand inline; the same bytes every time."""
    text, marks = _drawn(data, fonttype)
    return svg.finish(text, key, title, alt, marks if fonttype == "none" else {})


def renderer(data: Data) -> Callable[[Literal["none", "path"], str, str, str], str]:
    """Return `render` bound to `data`, as `scaling.reporting.document.Figure` wants it."""
    return partial(render, data=data)
