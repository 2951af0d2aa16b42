"""Log residuals against each variable, and as quantiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.result import Fit
from scaling.reporting import numbers
from scaling.reporting.document import Tip
from scaling.reporting.figures.kind import Drawn, Kind, Marks
from scaling.reporting.figures.style import MARKERS, PALETTE
from scaling.reporting.runs import Array, runs_of, tips_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scaling.reporting.context import Context


@dataclass(frozen=True)
class ResidualData(Drawn):
    """Log residuals in percent against N, D and C, and against normal quantiles."""

    names: tuple[str, ...]
    x: Mapping[str, Array]
    residual: Array
    quantile: Array
    standardised: Array
    order: NDArray[np.int64]
    marked: tuple[Tip, ...]

    @property
    def tips(self) -> tuple[Tip, ...]:
        """Tips of the runs."""
        return self.marked

    @property
    def caption(self) -> str:
        """What is drawn."""
        return "Log residuals [%] against each variable; grey: one SD; last: normal quantiles."

    @property
    def alt(self) -> str:
        """How far the residuals reach, and whose are the largest."""
        text = (
            f"Residuals of {len(self.residual)} runs, SD {self.residual.std():.2g}%; the largest: "
        )
        named = (f"{name} {numbers.signed(value, 2)}%" for name, value in worst(self))
        return text + ", ".join(named) + "."

    def columns(self) -> dict[str, list[Any]]:
        """Return one row a run."""
        out: dict[str, list[Any]] = {"run": list(self.names)}
        out |= {name: values.tolist() for name, values in self.x.items()}
        quantile = np.empty(len(self.order))
        quantile[self.order] = self.quantile
        return out | {"residual_percent": self.residual.tolist(), "quantile": quantile.tolist()}


def residual_data(_: Context, fit: Fit) -> ResidualData | None:
    """Collect the residuals of a fit, or None where it stores none."""
    runs = runs_of(fit)
    if not fit.identified or len(runs.names) < 2 or not np.isfinite(runs.residual).all():
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
        marked=tips_of(runs),
    )


def worst(data: ResidualData, count: int = 3) -> list[tuple[str, float]]:
    """Return the runs with the largest residuals [%], the worst first."""
    ranked = np.argsort(-np.abs(data.residual), kind="stable")[:count]
    return [(data.names[i], float(data.residual[i])) for i in ranked]


def draw_residuals(data: ResidualData, axes: Sequence[Axes]) -> Marks:
    """Draw log residuals in percent against N, D and C, and a normal Q-Q panel."""
    from matplotlib.ticker import NullFormatter

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


def _panels(data: ResidualData) -> tuple[int, int]:
    return (2, 2) if len(data.x) > 1 else (1, 2)


RESIDUALS = Kind(
    name="residuals",
    title="Residuals",
    good="no slope or curve, quantiles near the line; heavy tails are what the robust objective "
    "is for.",
    per="fit",
    data=residual_data,
    draw=draw_residuals,
    panels=_panels,
    height=2.05,
)
