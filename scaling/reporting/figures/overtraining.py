"""What a small model costs: excess loss against D/N, and compute with serving against N."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ScalingError
from scaling.fitting.allocation import amount_for
from scaling.fitting.prediction import cost_of, extrapolation
from scaling.fitting.result import Fit
from scaling.reporting import numbers
from scaling.reporting.context import compute_of
from scaling.reporting.figures.axes import above
from scaling.reporting.figures.kind import Drawn, Kind, Marks
from scaling.reporting.figures.style import DASHES, MARKERS, PALETTE
from scaling.reporting.runs import Array, runs_of
from scaling.reporting.wording import cost_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scaling.reporting.context import Context

Flags = NDArray[np.bool_]
OFF = np.geomspace(1.0 / 30.0, 12.0, 90)  # sizes over the best at the same compute
SIZES = np.geomspace(1.0 / 60.0, 12.0, 90)  # sizes over the best for a loss
SERVED = (0.0, 1.0, 10.0, 100.0)  # tokens served over the best D for that loss
BEYOND = 100.0  # the largest scale over the largest run, without a target
RULE = 20.0  # tokens a parameter
ROOM = 1.5  # beyond the axis
MOST_EXCESS = 12.0  # percent, where the axis ends
MOST_COST = 12.0  # total compute over the least, where the axis ends


@dataclass(frozen=True)
class Excess:
    """Excess loss along one budget [% above its best]; ``inside`` the hull of the runs."""

    C: float
    ratio: Array
    percent: Array
    inside: Flags


@dataclass(frozen=True)
class Served:
    """Total compute for one loss when T tokens are served; the optimum has N and total."""

    T: float
    N: Array
    total: Array
    inside: Flags
    best_N: float
    best_D: float
    best_total: float


@dataclass(frozen=True)
class OvertrainingData(Drawn):
    """Curves of the fitted surface.

    Attributes
    ----------
    excess : tuple of Excess
        By budget, from the smallest.
    served : tuple of Served
        By tokens served, from none.
    loss, at : float
        The loss that is held fixed, and the compute at which it is the best.
    reach : (float, float)
        Smallest and largest D/N of the runs.
    rule : float or None
        D/N of 20 tokens a parameter, where D counts tokens.
    """

    excess: tuple[Excess, ...]
    served: tuple[Served, ...]
    loss: float
    at: float
    reach: tuple[float, float]
    rule: float | None
    unit: str
    cost: str

    @property
    def caption(self) -> str:
        """What is drawn, how far the runs reach, and where the law is trusted alone."""
        low, high = (numbers.quantity(v) for v in self.reach)
        text = (
            "Left: loss above the best at equal compute. Right: compute for training and for "
            f"serving T {self.unit} at 2N each, for a loss of {numbers.quantity(self.loss, 4)} "
            f"(the best at C = {numbers.quantity(self.at)} FLOP; {self.cost}); markers: the least. "
            f"D/N of the runs reaches from {low} to {high} (shaded). Dashed: outside the runs"
        )
        flags = [*(e.inside for e in self.excess), *(s.inside for s in self.served)]
        inside = any(f.any() for f in flags)
        return f"{text}, by the law alone." if inside else f"{text}, as all curves are here."

    @property
    def alt(self) -> str:
        """What over-training costs, and how the best size falls with serving."""
        parts = []
        for item in self.excess:
            best = int(np.argmin(item.percent))
            far = float(
                np.interp(np.log(10.0), np.log(item.ratio / item.ratio[best]), item.percent)
            )
            parts.append(f"{far:.2g}% at C = {numbers.quantity(item.C)} FLOP")
        text = f"Loss above the best at ten times the best D/N: {', '.join(parts)}. "
        told = (
            f"{numbers.quantity(s.best_N)} for T = {numbers.quantity(s.T) if s.T else '0'}"
            for s in self.served
        )
        return (
            f"{text}Best N for a loss of {numbers.quantity(self.loss, 4)}, the best at C = "
            f"{numbers.quantity(self.at)} FLOP: {', '.join(told)}."
        )

    def columns(self) -> dict[str, list[Any]]:
        """Return the curves in long form."""
        names = ("panel", "C", "T", "N", "D_over_N", "excess_percent", "total", "inside")
        out: dict[str, list[Any]] = {name: [] for name in names}

        def add(*row: Any) -> None:
            for name, value in zip(names, row, strict=True):
                out[name].append(value)

        nan = float("nan")
        for e in self.excess:
            for ratio, percent, inside in zip(e.ratio, e.percent, e.inside, strict=True):
                add("excess", e.C, nan, nan, float(ratio), float(percent), nan, bool(inside))
        for s in self.served:
            for size, total, inside in zip(s.N, s.total, s.inside, strict=True):
                add("serving", nan, s.T, float(size), nan, nan, float(total), bool(inside))
            add("serving, best", nan, s.T, s.best_N, s.best_D / s.best_N, nan, s.best_total, None)
        return out


def overtraining_data(context: Context, group: str | None) -> OvertrainingData | None:
    """Ask the surface of a group what off-optimal sizes cost, or None where it does not say."""
    fit = context.surface_of(group)
    if fit is None or not fit.identified or set(fit.law.variables) != {"N", "D"}:
        return None
    compute = compute_of(fit)
    runs = runs_of(fit)
    ratio = runs.D / runs.N
    ratio = ratio[np.isfinite(ratio)]
    if not len(compute) or not len(ratio) or fit.response != "loss":
        return None
    bare = replace(fit, draws={}, interval=None)  # no bands are drawn, so no draw is asked
    largest = float(compute.max())
    middle = float(np.sqrt(compute.min() * largest))
    at = context.target or middle
    try:
        scales = [middle, largest]
        scales.append(at if at > 1.5 * largest else BEYOND * largest)
        excess = tuple(_excess(bare, scale) for scale in dict.fromkeys(scales))
        best = bare.optimal(C=at).iloc[0]
        served = _served(bare, float(best["loss"]), float(best["N"]), float(best["D"]))
    except ScalingError:
        return None
    unit = context.unit("D")
    return OvertrainingData(
        excess=excess,
        served=served,
        loss=float(best["loss"]),
        at=at,
        reach=(float(ratio.min()), float(ratio.max())),
        rule=RULE if "token" in unit else None,
        unit=unit,
        cost=cost_label(fit.cost),
    )


def _excess(fit: Fit, compute: float) -> Excess:
    frame = fit.price(C=compute, off=OFF)
    loss, more = frame["loss"].to_numpy(float), frame["excess"].to_numpy(float)
    ratio = frame["D"].to_numpy(float) / frame["N"].to_numpy(float)
    percent = 100.0 * more / (loss - more)
    order = np.argsort(ratio)
    order = order[percent[order] <= ROOM * MOST_EXCESS]
    inside = _within(frame["factor"].to_numpy(float), frame["inside_hull"].to_numpy())
    return Excess(compute, ratio[order], percent[order], inside[order])


def _within(factor: Array, hull: Any) -> Flags:
    """Tell what lies among the runs; nothing does where that is unknown."""
    return np.array([bool(h) and f <= 1.0001 for h, f in zip(hull, factor, strict=True)])


def _served(fit: Fit, loss: float, best_N: float, best_D: float) -> tuple[Served, ...]:
    """Total compute for one loss by size, for several amounts that are served."""
    size = best_N * SIZES
    target = np.full_like(size, np.log(loss))
    with np.errstate(all="ignore"):
        data = np.exp(amount_for(fit.law, fit.params, target, "D", np.log(size), {}))
    known = np.isfinite(data)
    size, data = size[known], data[known]
    found = extrapolation(fit, {"N": size, "D": data}, size.shape)
    inside = _within(found["factor"], found["inside_hull"])
    training = cost_of(fit).compute(size, data)
    out = []
    for times in SERVED:
        tokens = times * best_D
        least = fit.cheapest(loss=loss, inference_tokens=tokens).iloc[0]
        total = training + 2.0 * size * tokens
        place = tuple(float(least[name]) for name in ("N", "D", "C"))
        out.append(Served(tokens, size, total, inside, *place))
    return tuple(out)


def draw_overtraining(data: OvertrainingData, axes: Sequence[Axes]) -> Marks:
    """Draw excess loss against D/N, and total compute against N."""
    _draw_excess(data, axes[0])
    _draw_served(data, axes[1])
    return {}


def _line(ax: Axes, x: Array, y: Array, inside: Flags, k: int, name: str) -> None:
    """Draw curve `k`, dashed outside the runs; its marker stands in the legend."""
    ax.plot(x, y, color=PALETTE[k], linestyle=DASHES[1], linewidth=1.1)
    if inside.any():
        ax.plot(x, np.where(inside, y, np.nan), color=PALETTE[k], linewidth=2.0)
    ax.plot([], [], color=PALETTE[k], marker=MARKERS[k], markersize=5, label=name)


def _least(ax: Axes, x: float, y: float, k: int) -> None:
    """Mark where curve `k` is lowest."""
    ax.plot(
        [x],
        [y],
        MARKERS[k],
        color=PALETTE[k],
        markersize=6,
        markeredgecolor="white",
        markeredgewidth=0.6,
        zorder=5,
    )


def _draw_excess(data: OvertrainingData, ax: Axes) -> None:
    ax.set_xscale("log")
    ax.axvspan(*data.reach, color="0.94", zorder=0)
    shown: list[Array] = []
    for k, item in enumerate(data.excess):
        name = f"C = {numbers.quantity(item.C, 2)}"
        lowest = int(np.argmin(item.percent))
        _line(ax, item.ratio, item.percent, item.inside, k, name)
        _least(ax, float(item.ratio[lowest]), float(item.percent[lowest]), k)
        shown.append(item.ratio[item.percent <= MOST_EXCESS])
    ends = np.concatenate(shown)
    low, high = float(ends.min()), float(ends.max())
    if data.rule is not None and low / 3.0 < data.rule < 3.0 * high:
        ax.axvline(data.rule, color="0.3", linewidth=0.8, dashes=(1, 2))
        low, high = min(low, data.rule / 1.3), max(high, data.rule * 1.3)
        text = f" {data.rule:.0f} tokens a parameter"
        place = ax.get_xaxis_transform()
        ax.text(data.rule, 0.98, text, transform=place, rotation=90, va="top", fontsize=7)
    top = max(float(np.max(e.percent)) for e in data.excess)
    top = min(MOST_EXCESS, top)
    ax.set_xlim(low, high)
    ax.set_ylim(-0.03 * top, top)
    ax.set_xlabel(f"D/N [{data.unit} a parameter]" if len(data.unit) < 10 else "D/N")
    ax.set_ylabel("loss above the best [%]")
    above(ax, 3, columnspacing=0.9, handlelength=1.4)


def _draw_served(data: OvertrainingData, ax: Axes) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    shown = []
    base = data.served[0].best_D
    for k, item in enumerate(data.served):
        times = round(item.T / base, 6)
        name = "T = 0" if not item.T else f"T = {times:.0f} D*"
        if times == 1.0:
            name = f"T = D* = {numbers.quantity(item.T, 2)}"
        keep = item.total <= MOST_COST * item.best_total
        shown.append(item.N[keep])
        total = np.where(keep, item.total, np.nan)
        _line(ax, item.N, total, item.inside, k, name)
        _least(ax, item.best_N, item.best_total, k)
    ends = np.concatenate(shown)
    if len(ends):
        ax.set_xlim(float(ends.min()) / 1.1, float(ends.max()) * 1.1)
    ax.set_xlabel("N [parameters]")
    ax.set_ylabel("training and serving [FLOP]")
    above(ax, 2, columnspacing=0.9, handlelength=1.4)


OVERTRAINING = Kind(
    name="overtraining",
    title="The price of a smaller model",
    good="the D/N that is wanted lies in the shaded range; far beyond it runs have to tell.",
    per="group",
    data=overtraining_data,
    draw=draw_overtraining,
    panels=(1, 2),
    height=2.9,
)
