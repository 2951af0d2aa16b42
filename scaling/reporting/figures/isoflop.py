"""Loss against size at each budget: runs, curves, the surface's slices and the minima."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import counted
from scaling.fitting.optima import Allocation, Minimum
from scaling.fitting.result import Fit
from scaling.reporting import numbers
from scaling.reporting.document import Tip
from scaling.reporting.figures.axes import above, log_axis, padded
from scaling.reporting.figures.kind import Drawn, Kind, Marks
from scaling.reporting.figures.style import MARKERS, PALETTE, colours, with_unit
from scaling.reporting.runs import CURVE_POINTS, MOST_DRAWN, Array, Runs, runs_of, tips_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scaling.reporting.context import Context

# Rows belong to a budget when the table says so, else when their C is this close in ln C.
BUDGET_TOLERANCE = 0.15


@dataclass(frozen=True)
class IsoflopBudget:
    """One budget: its runs, the curve through them, the surface's slice and the minimum."""

    budget: float
    N: Array
    loss: Array
    curve_N: Array
    curve_loss: Array
    slice_N: Array
    slice_loss: Array
    minimum: Minimum | None
    tips: tuple[Tip, ...]


@dataclass(frozen=True)
class IsoflopData(Drawn):
    """Loss against N at each budget, from the smallest."""

    budgets: tuple[IsoflopBudget, ...]
    unit: str
    method: str

    @property
    def tips(self) -> tuple[Tip, ...]:
        """Tips of the runs, budget by budget."""
        return tuple(tip for item in self.budgets for tip in item.tips)

    @property
    def caption(self) -> str:
        """What is drawn."""
        text = "Runs of each budget [FLOP]"
        if self.method:
            text = f"Runs, fitted curve ({self.method}) and minimum of each budget [FLOP]"
        if any(len(item.slice_loss) for item in self.budgets):
            text += "; dashed: the surface at the same budget"
        return f"{text}."

    @property
    def alt(self) -> str:
        """Where the minima are."""
        found = [
            f"{numbers.quantity(i.budget, 2)} FLOP at N {numbers.quantity(i.minimum.N)}"
            for i in self.budgets
            if i.minimum is not None and i.minimum.bracketed
        ]
        text = f"Loss against parameters at {counted(len(self.budgets), 'budget')}"
        if not self.method:
            return f"{text}; no minima were looked for."
        return (
            f"{text}; minima: {', '.join(found)}." if found else f"{text}; no minimum is bracketed."
        )

    def columns(self) -> dict[str, list[Any]]:
        """Return the drawn points and curves in long form."""
        out: dict[str, list[Any]] = {"budget": [], "what": [], "N": [], "loss": []}
        for item in self.budgets:
            parts = [
                ("run", item.N, item.loss),
                ("curve", item.curve_N, item.curve_loss),
                ("surface", item.slice_N[: len(item.slice_loss)], item.slice_loss),
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


def isoflop_data(context: Context, group: str | None) -> IsoflopData | None:
    """Collect what an isoFLOP figure of a group shows, or None without budgets.

    Where no minima were looked for, the runs of planned budgets stand beside the surface alone.
    """
    found = [a for a in context.allocations_of(group) if a.approach == "isoflop"]
    surface = context.surface_of(group)
    if not found and (surface is None or not surface.identified):
        return None
    allocation = found[0] if found else Allocation(group, "isoflop", None, None)
    data = budgets_of(allocation, surface, context.unit("loss"))
    return data if data.budgets else None


def budgets_of(allocation: Allocation, fit: Fit | None, unit: str = "") -> IsoflopData:
    """Collect the budgets of an allocation.

    Parameters
    ----------
    allocation : Allocation
        By the isoflop approach, with curves and minima.
    fit : Fit or None
        A fit of the same group, for its rows and, if it is a surface, for the dashed slices.
    unit : str
        Unit of the loss.
    """
    runs = None if fit is None else runs_of(fit, most=MOST_DRAWN)
    minima = {m.budget: m for m in allocation.minima}
    curves = {float(c["budget"]): c for c in allocation.curves}
    found = []
    planned = set() if runs is None or allocation.method else set(runs.budget[runs.budget > 0])
    for budget in sorted({*minima, *curves, *planned}):
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
                slice_N=sizes,
                slice_loss=_slice(fit, own, sizes) if len(curve["N"]) or planned else np.empty(0),
                minimum=minima.get(budget),
                tips=() if runs is None else tips_of(runs, keep),
            )
        )
    return IsoflopData(tuple(found), unit, allocation.method)


def _members(runs: Runs, budget: float) -> NDArray[np.bool_]:
    """Tell which runs belong to a budget and can be drawn."""
    known = np.isfinite(runs.N) & np.isfinite(runs.loss)
    if np.isfinite(runs.budget).any():
        return known & np.isclose(runs.budget, budget, rtol=1e-6)
    with np.errstate(all="ignore"):
        return known & (np.abs(np.log(runs.C / budget)) < BUDGET_TOLERANCE)


def draw_isoflop(data: IsoflopData, axes: Sequence[Axes]) -> Marks:
    """Draw loss against N, one colour and marker a budget, with curves and minima."""
    ax = axes[0]
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
            ax.plot(item.slice_N, item.slice_loss, color=colour, linewidth=0.9, dashes=(4, 2))
        _draw_minimum(ax, item, colour)
        _label_budget(ax, item, colour)
    sizes = padded(*(x for item in data.budgets for x in (item.N, item.curve_N)), share=0.09)
    if sizes is not None:
        log_axis(ax, "x", sizes, most=6)
    ax.set_xlabel("N [parameters]")
    ax.set_ylabel(with_unit("loss", data.unit))
    _isoflop_legend(ax, any(len(item.slice_loss) for item in data.budgets), _kinds(data))
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


def _kinds(data: IsoflopData) -> set[bool]:
    return {item.minimum.bracketed for item in data.budgets if item.minimum is not None}


def _isoflop_legend(ax: Axes, sliced: bool, kinds: set[bool]) -> None:
    """Explain what is drawn, and no more: `kinds` of minima are bracketed ones or refused ones."""
    from matplotlib.lines import Line2D

    grey = "0.25"
    handles: list[Line2D] = [
        Line2D([], [], color=grey, marker="o", linestyle="none", label="run"),
        Line2D([], [], color=grey, linewidth=1.1, label="curve of its budget"),
    ]
    if sliced:
        handles.append(Line2D([], [], color=grey, dashes=(4, 2), linewidth=0.9, label="surface"))
    star: dict[str, Any] = {"marker": "*", "markersize": 9, "color": grey}
    ring: dict[str, Any] = {"marker": "o", "markersize": 7, "color": PALETTE[1]}
    if True in kinds:
        handles.append(Line2D([], [], linestyle="none", label="minimum", **star))
    if False in kinds:
        hollow = {"markerfacecolor": "none", **ring}
        handles.append(Line2D([], [], linestyle="none", label="minimum refused", **hollow))
    above(ax, 5, handles=handles)


ISOFLOP = Kind(
    name="isoflop",
    title="Loss against size at each budget",
    good="each curve is U-shaped, its minimum well inside the sizes.",
    per="group",
    data=isoflop_data,
    draw=draw_isoflop,
)
