"""What several weighted laws forecast: each of them, told apart by its future, and the estimate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.fitting.result import Fit
from scaling.reporting import numbers
from scaling.reporting.context import compute_of, level_of
from scaling.reporting.document import Tip
from scaling.reporting.figures.axes import above, log_axis
from scaling.reporting.figures.kind import Drawn, Kind, Marks, short
from scaling.reporting.figures.style import PALETTE, beyond, label, with_unit
from scaling.reporting.members import Member, along_of, members_of
from scaling.reporting.runs import (
    MOST_DRAWN,
    Array,
    compute_grid,
    cost_of,
    optimum,
    runs_of,
    tips_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scaling.reporting.context import Context

LIGHT = 0.005  # weight below which a law has no line
FACTORS = (1.0, 10.0, 100.0)  # of the largest run, at which the alternative text gives numbers
STYLES: dict[str, tuple[Any, int]] = {  # dashes, and place in the palette
    "saturating": ((None, None), 2),
    "straight": ((5, 2), 1),
    "broken": ((5, 1.5, 1, 1.5), 3),
    "": ((1, 1.5), 4),
}


@dataclass(frozen=True)
class Fan:
    """The forecast of one law, with its future and weight."""

    law: str
    future: str
    weight: float
    y: Array


@dataclass(frozen=True)
class ForecastData(Drawn):
    """The runs, the estimate with its band, and the forecast of each law.

    Attributes
    ----------
    name, unit : str
        Variable on the axis, with its unit.
    x, loss : ndarray
        Runs.
    grid, estimate, lo, hi : ndarray
        The estimate, shape (m,), and its interval; NaN without draws.
    fan : tuple of Fan
        Heaviest first, their ``y`` on `grid`.
    limit, checked : float
        The largest run, and how far forecasts beyond it were checked.
    target : float or None
    optimal : bool
        Whether N and D are compute-optimal ones, else there is one variable.
    level : float
    response, loss_unit : str
    marked : tuple of Tip
    """

    name: str
    unit: str
    x: Array
    loss: Array
    grid: Array
    estimate: Array
    lo: Array
    hi: Array
    fan: tuple[Fan, ...]
    limit: float
    checked: float
    target: float | None
    optimal: bool
    level: float
    response: str
    loss_unit: str
    marked: tuple[Tip, ...]

    @property
    def futures(self) -> tuple[str, ...]:
        """Futures that are drawn, the heaviest law's first."""
        return tuple(dict.fromkeys(line.future for line in self.fan))

    @property
    def caption(self) -> str:
        """What is drawn."""
        along = " of the compute-optimal run by the estimate" if self.optimal else ""
        text = f"Runs; thick: estimate of the {self.response}{along}"
        if np.isfinite(self.lo).all():
            text += f", band: its {self.level:.0%} interval"
        kinds = ", ".join(f"{future or 'future not known'}" for future in self.futures)
        text += (
            f"; thin: each law of {LIGHT:.1%} of the weight or more, wider the heavier, a style of "
            f"line for each future ({kinds}). Grey: beyond the largest run"
        )
        far = numbers.factor(self.checked / self.limit)
        if self.checked < self.grid[-1]:
            return f"{text}; dotted: {far} the largest run, as far as forecasts were checked."
        return f"{text}; forecasts were checked up to {far}, beyond what is drawn."

    @property
    def alt(self) -> str:
        """What the estimate and the laws of each future say at the largest run and beyond it."""
        told = [
            f"{numbers.factor(f)} the largest {self._along}: {self._at(f * self.limit)}"
            for f in FACTORS
            if f * self.limit <= self.grid[-1] * 1.0001
        ]
        return f"{len(self.x)} runs. {self.response} at {'; at '.join(told)}."

    @property
    def _along(self) -> str:
        return "run" if self.optimal else self.name

    def _at(self, x: float) -> str:
        def of(y: Array) -> float:
            return float(np.exp(np.interp(np.log(x), np.log(self.grid), np.log(y))))

        best = of(self.estimate)
        if np.isfinite(self.lo).all():
            ends = (of(self.lo), of(self.hi))
            text = f"{numbers.within(best, *ends)} ({numbers.interval(*ends)})"
        else:
            text = numbers.quantity(best, 4)
        for future in self.futures:
            own = [of(line.y) for line in self.fan if line.future == future]
            low, high = (numbers.quantity(v, 4) for v in (min(own), max(own)))
            span = low if low == high else f"{low} to {high}"
            text += f", {future or 'other'} laws {span}"
        return text

    def columns(self) -> dict[str, list[Any]]:
        """Return the drawn points and lines in long form."""
        n, m, nan = len(self.x), len(self.grid), float("nan")
        blank = [nan] * m
        out: dict[str, list[Any]] = {
            "what": ["run"] * n + ["estimate"] * m,
            "future": [""] * (n + m),
            "weight": [nan] * (n + m),
            self.name: [*self.x.tolist(), *self.grid.tolist()],
            self.response: [*self.loss.tolist(), *self.estimate.tolist()],
            "lo": [*[nan] * n, *self.lo.tolist()],
            "hi": [*[nan] * n, *self.hi.tolist()],
        }
        for line in self.fan:
            own = ([line.law] * m, [line.future] * m, [line.weight] * m)
            for key, values in zip(
                out, (*own, self.grid.tolist(), line.y.tolist(), blank, blank), strict=True
            ):
                out[key] += values
        return {key: short(values) for key, values in out.items()}


def forecast_data(context: Context, fit: Fit) -> ForecastData | None:
    """Collect the forecasts of weighted laws, or None for a fit of one law."""
    members = [m for m in members_of(fit) if m.weight >= LIGHT]
    if not fit.identified or not members:
        return None
    runs = runs_of(fit, fit.response, most=MOST_DRAWN)
    optimal = len(fit.law.variables) > 1
    name = "C" if optimal else fit.law.variables[0]
    x = cost_of(fit, runs) if optimal else np.asarray(getattr(runs, name), dtype=np.float64)
    good = np.isfinite(x) & (x > 0) & np.isfinite(runs.loss) & (runs.loss > 0)
    if not good.any():
        return None
    target = context.target if name == "C" else None
    limit = float((compute_of(fit) if optimal else fit.fitted[name]).max())
    grid = compute_grid(x[good], target)
    rows = _rows(fit, name, grid)
    if rows is None:
        return None
    level = level_of(fit)
    table = fit.predict(interval=level, **rows)
    estimate, lo, hi = (np.asarray(table[k], dtype=np.float64) for k in ("loss", "lo", "hi"))
    return ForecastData(
        name=name,
        unit=context.unit(name),
        x=x[good],
        loss=runs.loss[good],
        grid=grid,
        estimate=estimate,
        lo=lo,
        hi=hi,
        fan=tuple(_fan(member, rows) for member in members),
        limit=limit,
        checked=limit * float(fit.evidence_factor or 1.0),
        target=target,
        optimal=optimal,
        level=level,
        response=fit.response,
        loss_unit=context.unit(fit.response),
        marked=tips_of(runs, good, fit.response),
    )


def _rows(fit: Fit, name: str, grid: Array) -> dict[str, Array] | None:
    """Where the laws are asked: along the one variable, or at the optimum of each compute."""
    if along_of(fit) != "compute":
        return {name: grid}
    table = optimum(fit, grid)
    if table is None:
        return None
    return {v: np.asarray(table[v], dtype=np.float64) for v in ("N", "D")}


def _fan(member: Member, rows: dict[str, Array]) -> Fan:
    y = np.asarray(member.law.loss({}, rows), dtype=np.float64)
    return Fan(member.name, member.future, member.weight, y)


def draw_forecast(data: ForecastData, axes: Sequence[Axes]) -> Marks:
    """Draw the runs, the band and the estimate, and a thin line a law."""
    ax = axes[0]
    end = float(data.grid[-1])
    log_axis(ax, "x", (0.8 * float(data.grid[0]), end), most=6)
    beyond(ax, data.limit, end)
    if np.isfinite(data.lo).all():
        ax.fill_between(data.grid, data.lo, data.hi, color=PALETTE[0], alpha=0.2, linewidth=0)
    ax.plot(data.grid, data.estimate, color=PALETTE[0], linewidth=2.2, label="estimate")
    for future in data.futures:
        dashes, colour = STYLES.get(future, STYLES[""])
        for k, line in enumerate(fan for fan in data.fan if fan.future == future):
            style = {} if dashes[0] is None else {"dashes": dashes}
            name = f"{future or 'other'} laws" if k == 0 else None
            width = 0.7 + 0.8 * float(np.sqrt(line.weight))
            ax.plot(data.grid, line.y, color=PALETTE[colour], linewidth=width, label=name, **style)
    ax.scatter(data.x, data.loss, color="0.25", s=14, linewidths=0, gid="runs", zorder=3)
    if data.checked < end:
        ax.axvline(
            data.checked,
            color="0.3",
            linewidth=0.9,
            dashes=(1, 1.5),
            label="as far as forecasts were checked",
        )
    if data.target is not None:
        ax.axvline(data.target, color=PALETTE[1], linewidth=1.0, dashes=(5, 2), label="target C")
    _limits(data, ax)
    ax.set_xlabel(with_unit(data.name, data.unit))
    ax.set_ylabel(with_unit(label(data.response), data.loss_unit))
    above(ax, 5)
    return {"runs": list(range(len(data.tips)))}


def _limits(data: ForecastData, ax: Axes) -> None:
    """Fit the axis of the loss to what matters: runs, estimate, laws, and a band not absurd."""
    lines = np.concatenate([data.loss, data.estimate, *(line.y for line in data.fan)])
    lines = lines[np.isfinite(lines) & (lines > 0)]
    low, high = float(lines.min()), float(lines.max())
    if np.isfinite(data.lo).all() and (data.lo > 0).all():
        low = max(min(low, float(data.lo.min())), 0.5 * low)
    log_axis(ax, "y", (0.98 * low, 1.02 * high), most=6)


FORECAST = Kind(
    name="forecast",
    title="What each law forecasts",
    good="lines of all styles stay together, inside the band, up to what the target asks for.",
    per="fit",
    data=forecast_data,
    draw=draw_forecast,
    height=3.2,
)
