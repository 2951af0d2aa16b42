"""Loss above the irreducible part, on log axes, with what the interval of E makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.errors import counted
from scaling.fitting.result import Fit
from scaling.reporting import numbers
from scaling.reporting.context import level_of
from scaling.reporting.document import Tip
from scaling.reporting.figures.axes import MOST_TIPPED, log_axis, over, padded, runs_on
from scaling.reporting.figures.kind import Drawn, Kind, Marks, short
from scaling.reporting.figures.style import PALETTE, label, with_unit
from scaling.reporting.runs import (
    CURVE_POINTS,
    MOST_DRAWN,
    Array,
    cost_of,
    optimum,
    runs_of,
    tips_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scaling.reporting.context import Context

ENDLESS = 1e60  # of what a limit leaves out


@dataclass(frozen=True)
class ExcessPanel:
    """The runs and a line of the law against one variable.

    ``loss`` is that of the line; ``meaning`` says which line it is, and is empty without one.
    """

    name: str
    unit: str
    x: Array
    line_x: Array
    loss: Array
    meaning: str


@dataclass(frozen=True)
class ExcessData(Drawn):
    """L − E of the runs and of the law, with E at its estimate and at the ends of its interval.

    Attributes
    ----------
    panels : tuple of ExcessPanel
        ``x`` holds the runs of `loss`.
    loss : ndarray
        Of the runs above E.
    E : float
    interval : (float, float) or None
    level : float
    response, unit : str
    below : int
        Runs at or below E, which have no place on a log axis.
    marked : tuple of Tip
    """

    panels: tuple[ExcessPanel, ...]
    loss: Array
    E: float
    interval: tuple[float, float] | None
    level: float
    response: str
    unit: str
    below: int
    marked: tuple[Tip, ...]

    @property
    def caption(self) -> str:
        """What is drawn."""
        meanings = (f"{p.name}: {p.meaning}" for p in self.panels if p.meaning)
        text = f"{self.response} − E of the runs, E = {numbers.quantity(self.E, 4)}; "
        text += f"line against {'; against '.join(meanings)}"
        if self.interval is not None:
            text += (
                f"; thin dashed lines: the same with E at the ends of its {self.level:.0%} "
                f"interval, {numbers.interval(*self.interval)}"
            )
        text += "."
        if self.below:
            text += f" Not shown: {counted(self.below, 'run')} at or below E."
        return text

    @property
    def alt(self) -> str:
        """How far the excess falls, and what E's interval makes of it."""
        low, high = float(self.excess.min()), float(self.excess.max())
        text = (
            f"{self.response} above E = {numbers.quantity(self.E, 4)} of {len(self.loss)} runs, "
            f"from {numbers.quantity(high)} to {numbers.quantity(low)}"
        )
        if self.interval is None:
            return f"{text}."
        near = [float(self.loss.min()) - end for end in self.interval]
        ends = (numbers.quantity(x) if x > 0 else "nothing" for x in near)
        return f"{text}; with E at the ends of its interval the lowest is {' and '.join(ends)}."

    @property
    def excess(self) -> Array:
        """L − E of the runs, shape (n,)."""
        return self.loss - self.E

    def columns(self) -> dict[str, list[Any]]:
        """Return the drawn points and lines in long form."""
        ends = self.interval or (np.nan, np.nan)
        places = {p.name: p.x for p in self.panels}
        parts = [("run", places, self.loss)]
        parts += [(p.meaning, {p.name: p.line_x}, p.loss) for p in self.panels if p.meaning]
        out: dict[str, list[Any]] = {"what": [w for w, _, y in parts for _ in y]}
        for name in places:
            out[name] = [v for _, x, y in parts for v in x.get(name, np.full(len(y), np.nan))]
        for name, end in (("excess", self.E), ("at_E_low", ends[0]), ("at_E_high", ends[1])):
            out[name] = [float(v) - end for _, _, y in parts for v in y]
        return {name: short(values) for name, values in out.items()}


def excess_data(context: Context, fit: Fit) -> ExcessData | None:
    """Collect loss above E, or None where the law has no E or no run lies above it."""
    offset = fit.params.get("E")
    if not fit.identified or offset is None or "E" not in fit.law.names:
        return None
    runs = runs_of(fit, fit.response, most=MOST_DRAWN)
    above = np.isfinite(runs.loss) & (runs.loss > offset)
    if not above.any():
        return None
    values = {"C": cost_of(fit, runs), "N": runs.N, "D": runs.D}
    panels = [_panel(context, fit, k, v[above]) for k, v in values.items() if _in_law(fit, k, v)]
    if not panels:
        return None
    ends = fit.intervals.get("E")
    return ExcessData(
        panels=tuple(panels),
        loss=runs.loss[above],
        E=float(offset),
        interval=ends if ends and ends[0] < ends[1] else None,
        level=level_of(fit),
        response=fit.response,
        unit=context.unit(fit.response),
        below=int((~above).sum()),
        marked=tips_of(runs, above, fit.response),
    )


def _in_law(fit: Fit, name: str, values: Array) -> bool:
    """Whether a variable of the law, or C of a law of N and D, is known and varies."""
    both = name == "C" and {"N", "D"} <= set(fit.law.variables)
    known = len(values) > 0 and bool(np.isfinite(values).all()) and bool((values > 0).all())
    return (both or name in fit.law.variables) and known


def _panel(context: Context, fit: Fit, name: str, x: Array) -> ExcessPanel:
    line_x = np.geomspace(x.min(), x.max(), CURVE_POINTS) if x.max() > x.min() else np.empty(0)
    loss, meaning = _line(fit, name, line_x)
    if not len(line_x) or not np.isfinite(loss).all():
        line_x, loss, meaning = np.empty(0), np.empty(0), ""
    return ExcessPanel(name, context.unit(name), x, line_x, loss, meaning)


def _line(fit: Fit, name: str, x: Array) -> tuple[Array, str]:
    """Loss of the law along a variable: the frontier, a limit, or the curve of the law itself."""
    params = {k: fit.params[k] for k in fit.law.names}
    variables = set(fit.law.variables)
    if not len(x):
        return x, ""
    if variables == {name}:
        return np.asarray(fit.law.loss(params, {name: x}), dtype=np.float64), "the law"
    if variables != {"N", "D"}:
        return np.empty(0), ""
    if name == "C":
        table = optimum(fit, x)
        loss = np.empty(0) if table is None else np.asarray(table["loss"], dtype=np.float64)
        return loss, "the compute-optimal frontier" if len(loss) else ""
    other = "D" if name == "N" else "N"
    with np.errstate(all="ignore"):
        loss = np.asarray(fit.law.loss(params, {name: x, other: np.full_like(x, ENDLESS)}))
    return loss, f"the law's limit of endless {other}"


def draw_excess(data: ExcessData, axes: Sequence[Axes]) -> Marks:
    """Draw L − E against each variable, with the lines of the law at three values of E."""
    marks: Marks = {}
    everything = list(range(len(data.loss)))
    for k, (panel, ax) in enumerate(zip(data.panels, axes, strict=True)):
        tipped = k == 0 or len(everything) * len(axes) <= MOST_TIPPED
        runs_on(ax, panel.x, data.excess, f"runs{k}", colour=PALETTE[4], tipped=tipped)
        if tipped:
            marks[f"runs{k}"] = everything
        line = panel.loss - data.E
        if len(line):
            ax.plot(panel.line_x, np.where(line > 0, line, np.nan), color=PALETTE[0])
            for end in data.interval or ():
                other = panel.loss - end
                shown = np.where(other > 0, other, np.nan)
                ax.plot(panel.line_x, shown, color=PALETTE[0], linewidth=0.8, dashes=(4, 2))
        across, up = padded(panel.x, share=0.06), padded(data.excess, line)
        if across is not None and up is not None:
            log_axis(ax, "x", across, most=4)
            log_axis(ax, "y", up)
        ax.set_xlabel(with_unit(panel.name, panel.unit))
        if k == 0:
            ax.set_ylabel(with_unit(f"{data.response} − E", data.unit))
    _legend(data, axes)
    return marks


def _legend(data: ExcessData, axes: Sequence[Axes]) -> None:
    from matplotlib.lines import Line2D

    colour = PALETTE[0]
    handles = [Line2D([], [], color=PALETTE[4], marker="o", linestyle="none", label="run")]
    if any(panel.meaning for panel in data.panels):
        handles.append(Line2D([], [], color=colour, label=label(f"law {data.response} − E")))
        if data.interval is not None:
            text = "E at the ends of its interval"
            handles.append(Line2D([], [], color=colour, linewidth=0.8, dashes=(4, 2), label=text))
    over(axes, handles, 3, handlelength=2.0, columnspacing=1.2)


def _panels(data: ExcessData) -> tuple[int, int]:
    return 1, len(data.panels)


EXCESS = Kind(
    name="excess",
    title="Loss above the irreducible part",
    good="the runs lie along the line, and the dashed lines stay straight: a line that is straight "
    "at one E alone is the work of E.",
    per="fit",
    data=excess_data,
    draw=draw_excess,
    panels=_panels,
    height=2.3,
)
