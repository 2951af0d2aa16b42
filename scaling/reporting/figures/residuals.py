"""Log residuals against each variable and ratio, and as quantiles, beside the noise of seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import counted
from scaling.fitting.result import Fit
from scaling.reporting import numbers
from scaling.reporting.document import Tip
from scaling.reporting.figures.axes import (
    MOST_TIPPED,
    is_column,
    linear_axis,
    log_axis,
    over,
    padded,
    runs_on,
)
from scaling.reporting.figures.kind import Drawn, Kind, Marks, short
from scaling.reporting.figures.style import PALETTE, with_unit
from scaling.reporting.repeats import repeats_of
from scaling.reporting.runs import MOST_DRAWN, Array, cost_of, runs_of, tips_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scaling.reporting.context import Context

WORST = 3
ALIKE = 1e-6  # relative range, up to which a variable does not vary
FARTHEST = 2.0  # of the fitted runs' reach, up to which runs kept out widen the axis
NAME_GAP = 0.085  # of the height of a panel


@dataclass(frozen=True)
class ResidualData(Drawn):
    """Log residuals in percent against each variable, and against normal quantiles.

    Attributes
    ----------
    names : tuple of str
        Of the fitted runs, then of those kept out that have a residual.
    x : mapping of str to ndarray
        Variables that all of these have.
    units : mapping of str to str
    residual : ndarray
        Of the same runs [%].
    fitted : int
        How many of them were fitted; the first ones.
    quantile, standardised : ndarray
        Normal quantiles and standardised residuals of the fitted runs, in rising order.
    order : ndarray of int
        Which run each of them is.
    noise : float or None
        SD between seeds [%].
    response : str
    marked : tuple of Tip
    """

    names: tuple[str, ...]
    x: Mapping[str, Array]
    units: Mapping[str, str]
    residual: Array
    fitted: int
    quantile: Array
    standardised: Array
    order: NDArray[np.int64]
    noise: float | None
    response: str
    marked: tuple[Tip, ...]

    @property
    def spread(self) -> float:
        """SD of the residuals of the fitted runs [%]."""
        return float(self.residual[: self.fitted].std())

    @property
    def reach(self) -> float:
        """End of the axis of residuals [%]."""
        own = 1.15 * float(np.abs(self.residual[: self.fitted]).max())
        own = max(own, 1.15 * self.spread, 1.15 * (self.noise or 0.0)) or 1.0
        out = np.abs(self.residual[self.fitted :])
        near = out[out < FARTHEST * own]
        return max(own, 1.08 * float(near.max())) if len(near) else own

    @property
    def caption(self) -> str:
        """What is drawn."""
        text = (
            f"Log residuals of {self.response} [%] against each variable; grey: one SD, "
            f"{numbers.quantity(self.spread, 2)}%"
        )
        if self.noise is not None:
            text += f"; dashed: one SD between seeds, {numbers.quantity(self.noise, 2)}%"
        if self.fitted < len(self.residual):
            text += "; hollow: runs kept out of the fit"
            if beyond := int((np.abs(self.residual) > self.reach).sum()):
                text += f", {beyond} of them beyond the axis and drawn at its edge"
        named = "; ".join(f"{k}, {self._told(i)}" for k, i in enumerate(_farthest(self), start=1))
        return f"{text}; last: normal quantiles. The farthest are numbered: {named}."

    @property
    def alt(self) -> str:
        """How far the residuals reach, and whose are the largest."""
        text = f"Residuals of {self.fitted} runs, SD {numbers.quantity(self.spread, 2)}%"
        if self.noise is not None:
            text += f" (between seeds {numbers.quantity(self.noise, 2)}%)"
        if self.fitted < len(self.residual):
            text += f", and of {counted(len(self.residual) - self.fitted, 'run')} kept out"
        named = (f"{name} {numbers.signed(value, 2)}%" for name, value in worst(self))
        return f"{text}; the largest: {', '.join(named)}."

    def _told(self, i: int) -> str:
        """Name a run by what it is, and by its name."""
        known = ((v, self.x[v][i]) for v in ("N", "D") if v in self.x)
        values = ", ".join(f"{v} {numbers.quantity(float(x), 2)}" for v, x in known)
        return f"{values} ({self.names[i]})" if values else self.names[i]

    def columns(self) -> dict[str, list[Any]]:
        """Return one row a run."""
        n = len(self.residual)
        out: dict[str, list[Any]] = {"run": list(self.names)}
        out |= {name: short(values.tolist()) for name, values in self.x.items()}
        quantile = np.full(n, np.nan)
        quantile[self.order] = self.quantile
        out["residual_percent"] = short(self.residual.tolist())
        out["quantile"] = short(quantile.tolist())
        return out | {"fitted": [i < self.fitted for i in range(n)]}


def residual_data(context: Context, fit: Fit) -> ResidualData | None:
    """Collect the residuals of a fit, or None where it stores none."""
    runs = runs_of(fit, fit.response, most=MOST_DRAWN)
    n = len(runs.names)
    if not fit.identified or n < 2 or not np.isfinite(runs.residual).all():
        return None
    out = runs_of(_kept_out(fit), fit.response, most=MOST_DRAWN)
    nowhere = (out.N <= 0) | (out.D <= 0) | (out.C <= 0)  # on axes of logs
    out = out.at(np.isfinite(out.residual) & ~nowhere)
    percent = 100.0 * runs.residual
    order = np.argsort(percent, kind="stable")
    normal = NormalDist()
    spread = float(percent.std()) or 1.0
    found = repeats_of(fit)
    x: dict[str, Array] = {}
    compute = (cost_of(fit, runs), cost_of(fit, out))
    with np.errstate(all="ignore"):
        ratio = (runs.D / runs.N, out.D / out.N)
    parts = {"N": (runs.N, out.N), "D": (runs.D, out.D), "C": compute, "D/N": ratio}
    for name, (own, other) in parts.items():
        if np.isfinite(own).all() and (own > 0).all() and own.max() > (1.0 + ALIKE) * own.min():
            x[name] = np.concatenate([own, other])
    return ResidualData(
        names=(*runs.names, *out.names),
        x=x,
        units={name: context.unit(name) for name in x if name != "D/N"},
        residual=np.concatenate([percent, 100.0 * out.residual]),
        fitted=n,
        quantile=np.array([normal.inv_cdf((i + 0.5) / n) for i in range(n)]),
        standardised=(percent[order] - percent.mean()) / spread,
        order=np.asarray(order, dtype=np.int64),
        noise=None if found is None else 100.0 * found.pooled,
        response=fit.response,
        marked=(*tips_of(runs, response=fit.response), *tips_of(out, response=fit.response)),
    )


def _kept_out(fit: Fit) -> Fit:
    """Return a fit whose used rows are those that were not."""
    from dataclasses import replace

    used = [not use for use in fit.rows.get("used", [])]
    return replace(fit, rows={**fit.rows, "used": used})


def worst(data: ResidualData, count: int = WORST) -> list[tuple[str, float]]:
    """Return the fitted runs with the largest residuals [%], the worst first."""
    return [(data.names[i], float(data.residual[i])) for i in _farthest(data, count)]


def _farthest(data: ResidualData, count: int = WORST) -> list[int]:
    ranked = np.argsort(-np.abs(data.residual[: data.fitted]), kind="stable")[:count]
    return [int(i) for i in ranked]


# ----------------------------------------------------------------------------------------- drawing


def draw_residuals(data: ResidualData, axes: Sequence[Axes]) -> Marks:
    """Draw log residuals in percent against each variable, and a normal Q-Q panel."""
    marks: Marks = {}
    inside, outside = slice(0, data.fitted), slice(data.fitted, None)
    every = list(range(len(data.residual)))
    column = is_column(axes)
    names = list(data.x)
    many = len(every) * (len(names) + 1) > MOST_TIPPED
    first = "C" if "C" in names else names[0] if names else ""
    shown = np.clip(data.residual, -data.reach, data.reach)
    for k, (ax, name) in enumerate(zip(axes, names, strict=False)):
        x, gid, held = data.x[name], f"runs{k}", f"held{k}"
        _bands(data, ax)
        tipped = not many or name == first
        runs_on(ax, x[inside], shown[inside], gid, colour=PALETTE[0], tipped=tipped)
        if tipped:
            marks[gid] = every[inside]
        if every[outside]:
            runs_on(ax, x[outside], shown[outside], held, colour=PALETTE[1], hollow=True)
            marks[held] = every[outside]
        if (limits := padded(x)) is not None:
            log_axis(ax, "x", limits, most=4)
        left = column or k % _panels(data)[1] == 0
        linear_axis(ax, "y", (-data.reach, data.reach), named=left)
        ax.set_xlabel(with_unit(name, data.units.get(name, "")))
        if left:
            ax.set_ylabel("log residual [%]")
        if name == first:
            _name_worst(data, ax, x, shown)
    _draw_quantiles(data, axes[len(names)], tipped=not many)
    if not many:
        marks["quantiles"] = [int(i) for i in data.order]
    for spare in axes[len(names) + 1 :]:
        spare.set_axis_off()
    over(axes, _handles(data), 4, handlelength=1.8)
    return marks


def _bands(data: ResidualData, ax: Axes) -> None:
    ax.axhspan(-data.spread, data.spread, color="0.92", zorder=0)
    ax.axhline(0.0, color="0.3", linewidth=0.8)
    for end in () if data.noise is None else (-data.noise, data.noise):
        ax.axhline(end, color=PALETTE[2], linewidth=0.9, dashes=(4, 2))


def _name_worst(data: ResidualData, ax: Axes, x: Array, y: Array) -> None:
    """Number the farthest runs, each on the side where there is room, none over another."""
    left, right = ax.get_xlim()
    low, high = ax.get_ylim()
    middle = float(np.sqrt(left * right)) if ax.get_xscale() == "log" else 0.5 * (left + right)
    last = np.inf
    rank = {i: k for k, i in enumerate(_farthest(data), start=1)}
    for i in sorted(rank, key=lambda i: -y[i]):
        to_right = x[i] < middle
        last = min(float(y[i]), last - NAME_GAP * (high - low))
        ax.text(
            float(x[i]),
            last,
            f"  {rank[i]}  ",
            ha="left" if to_right else "right",
            va="center",
            fontsize=6.5,
            color="0.2",
        )


def _draw_quantiles(data: ResidualData, ax: Axes, *, tipped: bool) -> None:
    end = float(np.abs(data.quantile).max()) * 1.1
    reach = 1.1 * max(end, float(np.abs(data.standardised).max()))
    ax.plot([-end, end], [-end, end], color="0.3", linewidth=0.8)
    runs_on(ax, data.quantile, data.standardised, "quantiles", colour=PALETTE[0], tipped=tipped)
    linear_axis(ax, "x", (-end, end))
    linear_axis(ax, "y", (-reach, reach))
    ax.set_xlabel("normal quantile")
    ax.set_ylabel("standardised residual")
    x, y = np.empty(data.fitted), np.empty(data.fitted)
    x[data.order], y[data.order] = data.quantile, data.standardised
    _name_worst(data, ax, x, y)


def _handles(data: ResidualData) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    dot: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 3.5}
    out: list[Any] = [
        Line2D([], [], color=PALETTE[0], label="fitted run", **dot),
        Patch(color="0.92", label="one SD"),
    ]
    if data.fitted < len(data.residual):
        rim: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": PALETTE[1]}
        out.insert(1, Line2D([], [], label="run kept out", **dot, **rim))
    if data.noise is not None:
        line: dict[str, Any] = {"color": PALETTE[2], "linewidth": 0.9, "dashes": (4, 2)}
        out.append(Line2D([], [], label="one SD between seeds", **line))
    return out


def _panels(data: ResidualData) -> tuple[int, int]:
    count = len(data.x) + 1
    columns = 2 if count in (2, 4) else min(3, count)
    return -(-count // columns), columns


RESIDUALS = Kind(
    name="residuals",
    title="Residuals",
    good="no slope or curve, a band as wide as the noise between seeds, quantiles near the line; "
    "heavy tails are what the robust objective is for.",
    per="fit",
    data=residual_data,
    draw=draw_residuals,
    panels=_panels,
    height=1.9,
)
