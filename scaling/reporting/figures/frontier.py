"""Loss against compute: the runs, the frontier and the irreducible loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.fitting.result import Fit
from scaling.reporting import numbers
from scaling.reporting.context import level_of
from scaling.reporting.document import Tip
from scaling.reporting.figures.axes import above, log_axis, log_ticks, tick_label
from scaling.reporting.figures.kind import Drawn, Kind, Marks
from scaling.reporting.figures.style import PALETTE, beyond, colours, label, with_unit
from scaling.reporting.runs import (
    MOST_DRAWN,
    Array,
    Band,
    compute_grid,
    cost_of,
    optimum,
    runs_of,
    tips_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scaling.reporting.context import Context


@dataclass(frozen=True)
class FrontierData(Drawn):
    """The runs, the frontier with its band, and the irreducible loss."""

    C: Array
    loss: Array
    N: Array
    line: Band
    E: float | None
    limit: float
    target: float | None
    unit: str
    level: float
    marked: tuple[Tip, ...]
    response: str = "loss"

    @property
    def caption(self) -> str:
        """What is drawn."""
        text = f"Runs coloured by N; line: {self.response} of the best run at each compute"
        if np.isfinite(self.line.lo).all():
            text += f", band: its {self.level:.0%} interval"
        return f"{text}; grey: beyond the largest run."

    @property
    def alt(self) -> str:
        """Where the runs and the line lie."""
        line = self.line
        largest = float(np.interp(np.log(self.limit), np.log(line.C), line.y))
        text = (
            f"{len(self.C)} runs from {numbers.quantity(float(np.nanmin(self.C)))} to "
            f"{numbers.quantity(self.limit)} FLOP; the best {self.response} falls from "
            f"{numbers.quantity(float(line.y[0]), 4)} to {numbers.quantity(largest, 4)} at the "
            "largest run"
        )
        if line.C[-1] > self.limit:
            far, end = float(line.y[-1]), float(line.C[-1])
            text += (
                f"; by the law, extrapolated, to {numbers.quantity(far, 4)} at "
                f"{numbers.quantity(end)} FLOP"
            )
        return f"{text}, towards E = {numbers.quantity(self.E)}." if self.E else f"{text}."

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


def frontier_data(context: Context, fit: Fit) -> FrontierData | None:
    """Collect loss against compute, or None where the law says nothing about compute."""
    level, target = level_of(fit), context.target
    runs = runs_of(fit, fit.response, most=MOST_DRAWN)
    runs = runs.at(np.isfinite(cost_of(fit, runs)) & np.isfinite(runs.loss))
    compute = cost_of(fit, runs)
    alone = tuple(fit.law.variables) == ("C",)
    if not fit.identified or not len(compute) or (alone and fit.members):
        return None  # forecast draws what it would of weighted laws of C, and more
    grid = compute_grid(compute, target)
    if alone:
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
        unit=context.unit(fit.response),
        level=level,
        marked=tips_of(runs, response=fit.response),
        response=fit.response,
    )


def draw_frontier(data: FrontierData, axes: Sequence[Axes]) -> Marks:
    """Draw loss against compute with the frontier, its band and the irreducible loss."""
    from matplotlib.colors import LogNorm

    ax = axes[0]
    line = data.line
    log_axis(ax, "x", (0.8 * float(line.C[0]), float(line.C[-1])), most=6)
    beyond(ax, data.limit, float(line.C[-1]))
    if np.isfinite(line.lo).all():
        ax.fill_between(line.C, line.lo, line.hi, color=PALETTE[0], alpha=0.2, linewidth=0)
    ax.plot(line.C, line.y, color=PALETTE[0], label=f"compute-optimal {label(data.response)}")
    if np.isfinite(data.N).all() and len(data.N):
        norm_ends = (float(data.N.min()), float(max(data.N.max(), 1.01 * data.N.min())))
        norm = LogNorm(*norm_ends)
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
        ticks = log_ticks(*norm_ends, most=6)
        bar.set_ticks(ticks, labels=[tick_label(t) for t in ticks])
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
    highest = max(float(np.nanmax(data.loss)), float(line.y[0]))
    log_axis(ax, "y", (0.98 * float(min(lows)), 1.02 * highest), most=6)
    ax.set_xlabel("C [FLOP]")
    ax.set_ylabel(with_unit(data.response, data.unit))
    above(ax)
    return {"runs": list(range(len(data.tips)))}


FRONTIER = Kind(
    name="frontier",
    title="Loss against compute",
    good="no run lies below the frontier by more than the noise.",
    per="fit",
    data=frontier_data,
    draw=draw_frontier,
    height=3.2,
)
