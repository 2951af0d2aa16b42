"""Seed noise: how far runs that differ in their seed alone scatter, against what the law misses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.reporting import numbers
from scaling.reporting.figures.axes import log_axis, over, padded
from scaling.reporting.figures.kind import Drawn, Kind, Marks
from scaling.reporting.figures.style import DASHES, PALETTE, label, with_unit
from scaling.reporting.repeats import repeats_of, residual_sd
from scaling.reporting.runs import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scaling.reporting.context import Context

COVERAGE = 0.68
MARKER = "D"
MOST_LAWS = 5


@dataclass(frozen=True)
class NoiseData(Drawn):
    """SD of the log response between seeds, point by point.

    Attributes
    ----------
    across : {"C", "D", "N"}
        What the points are set against; ``x`` are its values.
    sd, lo, hi : ndarray
        SD [%] and its 68% interval by the chi-squared distribution.
    count : ndarray
        Runs of each point.
    pooled : float
        Over all points [%]; ``pooled_lo, pooled_hi`` its interval.
    residual : tuple of (str, float)
        SD of the residuals of each law [%].
    response, unit : str
        ``unit`` is that of `across`.
    hidden : int
        Points whose runs are equal.
    """

    across: str
    x: Array
    sd: Array
    lo: Array
    hi: Array
    count: Array
    pooled: float
    pooled_lo: float
    pooled_hi: float
    residual: tuple[tuple[str, float], ...]
    response: str
    unit: str
    hidden: int

    @property
    def caption(self) -> str:
        """What is drawn."""
        text = (
            f"SD of ln {self.response} over runs of the same N and D with other seeds [%]; bars: "
            f"68% interval of each; line and band: all {len(self.x) + self.hidden} points together"
        )
        if self.residual:
            text += "; dashed: SD of the residuals of the fit"
        text += "."
        if self.hidden:
            text += f" {self.hidden} points whose runs are all equal have no place on a log axis."
        return text

    @property
    def alt(self) -> str:
        """The sizes of both."""
        text = (
            f"Seeds move {self.response} by {numbers.quantity(self.pooled, 2)}% "
            f"({numbers.quantity(self.pooled_lo, 2)} to {numbers.quantity(self.pooled_hi, 2)}) "
            f"over {len(self.x) + self.hidden} repeated points"
        )
        named = (f"{name} {numbers.quantity(sd, 2)}%" for name, sd in self.residual)
        return f"{text}; residuals: {', '.join(named)}." if self.residual else f"{text}."

    def columns(self) -> dict[str, list[Any]]:
        """Return the points and lines in long form."""
        more = [("all repeats", np.nan, self.pooled, self.pooled_lo, self.pooled_hi, np.nan)]
        more += [(f"residuals, {n}", np.nan, sd, np.nan, np.nan, np.nan) for n, sd in self.residual]
        points = zip(self.x, self.sd, self.lo, self.hi, self.count, strict=True)
        rows = [("repeats", *(float(v) for v in point)) for point in points] + more
        names = ("what", self.across, "sd_percent", "lo", "hi", "runs")
        return {name: [row[k] for row in rows] for k, name in enumerate(names)}


def noise_data(context: Context, group: str | None) -> NoiseData | None:
    """Collect the scatter between seeds of a group's runs, or None without repeats."""
    fits = context.fits_of(group)
    found = repeats_of(fits[0]) if fits else None
    if found is None:
        return None
    choices = {"C": found.C, "D": found.D, "N": found.N}
    across = next((k for k, v in choices.items() if np.isfinite(v).all() and (v > 0).all()), None)
    shown = found.sd > 0
    if across is None or not shown.any():
        return None
    response = fits[0].response
    named = [(f.law.name, residual_sd(f)) for f in fits if f.identified and f.response == response]
    low, high = _ends(found.sd, found.count - 1.0)
    all_low, all_high = _ends(np.array([found.pooled]), np.array([float(found.freedom)]))
    return NoiseData(
        across=across,
        x=choices[across][shown],
        sd=100.0 * found.sd[shown],
        lo=100.0 * low[shown],
        hi=100.0 * high[shown],
        count=found.count[shown],
        pooled=100.0 * found.pooled,
        pooled_lo=100.0 * float(all_low[0]),
        pooled_hi=100.0 * float(all_high[0]),
        residual=tuple((n, 100.0 * sd) for n, sd in named[:MOST_LAWS] if sd is not None),
        response=response,
        unit=context.unit(across),
        hidden=int((~shown).sum()),
    )


def _ends(sd: Array, freedom: Array) -> tuple[Array, Array]:
    """Interval of an SD estimated from normal draws."""
    from scipy.special import chdtri

    tail = 0.5 * (1.0 - COVERAGE)
    low = sd * np.sqrt(freedom / chdtri(freedom, tail))
    high = sd * np.sqrt(freedom / chdtri(freedom, 1.0 - tail))
    return low, high


def draw_noise(data: NoiseData, axes: Sequence[Axes]) -> Marks:
    """Draw the SD between seeds of each point, of all together, and of the residuals."""
    ax = axes[0]
    ax.axhspan(data.pooled_lo, data.pooled_hi, color=PALETTE[0], alpha=0.15, linewidth=0)
    line = ax.axhline(data.pooled, color=PALETTE[0], label="all repeats together")
    handles = [line]
    for k, (name, sd) in enumerate(data.residual):
        text = label(f"residuals of {name}")
        dash = DASHES[1 + k % (len(DASHES) - 1)]
        handles.append(ax.axhline(sd, color=PALETTE[1], linestyle=dash, label=text))
    ax.vlines(data.x, data.lo, data.hi, color=PALETTE[4], linewidth=0.8)
    (points,) = ax.plot(
        data.x, data.sd, MARKER, color=PALETTE[4], label="runs of one N and D", markeredgewidth=0
    )
    lines = np.array([data.pooled_lo, data.pooled_hi, *(sd for _, sd in data.residual)])
    across, up = padded(data.x), padded(data.sd, data.lo, np.minimum(data.hi, 4 * data.sd), lines)
    if across is not None and up is not None:
        log_axis(ax, "x", across)
        log_axis(ax, "y", up)
    ax.set_xlabel(with_unit(data.across, data.unit))
    ax.set_ylabel(f"SD of ln {label(data.response)} [%]")
    over(axes, [points, *handles], 1 if len(handles) > 2 else 3, handlelength=2.2)
    return {}


NOISE = Kind(
    name="noise",
    title="Noise between seeds",
    good="the residuals scatter as much as seeds do; much more says that the law misses something, "
    "much less that it follows the noise.",
    per="group",
    data=noise_data,
    draw=draw_noise,
    height=2.4,
)
