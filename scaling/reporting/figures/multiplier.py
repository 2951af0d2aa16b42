"""What one recipe is worth in terms of another: difference of the lowest loss, and multiplier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.recipes import Recipes
from scaling.reporting import numbers
from scaling.reporting.context import DEFAULT_LEVEL
from scaling.reporting.figures.axes import above, log_axis
from scaling.reporting.figures.kind import Drawn, Kind, Marks
from scaling.reporting.figures.style import DASHES, MARKERS, PALETTE, label
from scaling.reporting.parties import comparable, compared
from scaling.reporting.runs import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scaling.reporting.context import Context

PALE = 0.45
WIDE = 12.0  # ratio of multipliers above which an axis has plain decades
ROOM_FOR_TEXT = 0.34  # share of the axis that the word needs
ROOM = 4.0  # how much farther than inside the runs bands may reach before they are cut


@dataclass(frozen=True)
class Curve:
    """A pair along compute; each band is shape (n, 2), NaN without draws."""

    reference: str
    recipe: str
    C: Array
    multiplier: Array
    band: Array
    difference: Array
    spread: Array
    span: tuple[float, float]
    crossing: tuple[float, float | None, float | None] | None
    paired: bool

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Whether both recipes have runs of less and of more compute, shape (n,)."""
        low, high = self.span
        place = np.log(self.C)
        return np.asarray((place > np.log(low) - 1e-3) & (place < np.log(high) + 1e-3))


@dataclass(frozen=True)
class MultiplierData(Drawn):
    """Every pair of a comparison."""

    curves: tuple[Curve, ...]
    target: float | None
    unit: str
    response: str
    level: float

    @property
    def caption(self) -> str:
        """What is drawn."""
        text = (
            f"Left: difference of the lowest {self.response} from that of "
            f"{self.curves[0].reference}, below 0 where a recipe is better. Right: the multiplier "
            "m(C), the compute that the reference needs to do as well, over C; above 1 where a "
            "recipe is better. Grey, with pale lines: compute at which not both have runs"
        )
        if any(np.isfinite(curve.band).any() for curve in self.curves):
            text += f"; bands: {self.level:.0%} intervals"
        if any(curve.crossing for curve in self.curves):
            text += "; marks on the line at 1, with bars: where recipes cross, and the interval"
        return f"{text}."

    @property
    def alt(self) -> str:
        """Multipliers at the ends of the measured range, and crossings."""
        parts = []
        for curve in self.curves:
            inside = np.flatnonzero(curve.inside)
            ends = (inside[0], inside[-1]) if len(inside) else (0, len(curve.C) - 1)
            text = f"{curve.recipe} against {curve.reference}: multiplier "
            text += " and ".join(
                f"{numbers.quantity(float(curve.multiplier[i]))}"
                f"{_range(curve.band[i])} at {numbers.quantity(float(curve.C[i]))} FLOP"
                for i in ends
            )
            if curve.crossing is not None:
                text += f", crossing near {numbers.quantity(curve.crossing[0])} FLOP"
            parts.append(text)
        return "; ".join(parts) + "."

    def columns(self) -> dict[str, list[Any]]:
        """Return the lines in long form."""
        out: dict[str, list[Any]] = {}
        for curve in self.curves:
            n = len(curve.C)
            found: dict[str, list[Any]] = {
                "reference": [curve.reference] * n,
                "recipe": [curve.recipe] * n,
                "C": curve.C.tolist(),
                "multiplier": curve.multiplier.tolist(),
                "multiplier_lo": curve.band[:, 0].tolist(),
                "multiplier_hi": curve.band[:, 1].tolist(),
                "difference": curve.difference.tolist(),
                "difference_lo": curve.spread[:, 0].tolist(),
                "difference_hi": curve.spread[:, 1].tolist(),
                "inside": [bool(x) for x in curve.inside],
            }
            for name, values in found.items():
                out.setdefault(name, []).extend(values)
        return out


def _range(band: Array) -> str:
    return f" ({numbers.interval(*map(float, band))})" if np.isfinite(band).all() else ""


def multiplier_data(context: Context, subject: None = None) -> MultiplierData | None:
    """Collect the pairs of a comparison, or None without one whose losses can be compared."""
    del subject
    found = compared(context)
    pairs = [r for r in comparable(found) if r.curve] if found is not None else []
    if found is None or not pairs:
        return None
    first = found.parties[0]
    level = next((row["interval"]["level"] for r in pairs for row in r.rows), DEFAULT_LEVEL)
    return MultiplierData(
        tuple(_curve(pair) for pair in pairs),
        found.target,
        first.unit(first.fit.response),
        first.fit.response,
        level,
    )


def _curve(found: Recipes) -> Curve:
    columns = {k: np.asarray(v, dtype=np.float64) for k, v in found.curve.items()}
    crossing = None
    # where the slope is not told from 0 there is no crossing to mark
    if found.crossing is not None and (found.crossing["inside"] or not found.tests):
        lo, hi = found.crossing["interval"]
        where = float(found.crossing["C"])
        if columns["C"][0] <= where <= columns["C"][-1]:
            crossing = (where, lo, hi)
    return Curve(
        found.pair[0],
        found.pair[1],
        columns["C"],
        columns["multiplier"],
        np.stack([columns["multiplier_lo"], columns["multiplier_hi"]], axis=1),
        columns["difference"],
        np.stack([columns["difference_lo"], columns["difference_hi"]], axis=1),
        found.span,
        crossing,
        found.pairing["kind"] == "paired",
    )


def draw_multiplier(data: MultiplierData, axes: Sequence[Axes]) -> Marks:
    """Draw difference and multiplier along compute, a panel each."""
    left, right = axes[0], axes[1]
    for ax, still in ((left, 0.0), (right, 1.0)):
        ax.set_xscale("log")
        _outside(ax, data)
        ax.axhline(still, color="0.2", linewidth=0.9)
        ax.set_xlabel("C [FLOP]")
        if data.target is not None:
            ax.axvline(data.target, color="0.2", linewidth=1.0, dashes=(5, 2), label="target C")
    for k, curve in enumerate(data.curves):
        # the first colour and marker are the reference's, in the figure of the frontiers
        _draw_line(left, curve.C, curve.difference, curve.spread, curve, k + 1)
        _draw_line(right, curve.C, curve.multiplier, curve.band, curve, k + 1)
        _draw_crossing(right, curve, k + 1)
    left.set_ylim(*_limits([(c.difference, c.spread, c.inside) for c in data.curves], 0.0))
    low, high = _limits(
        [(np.log(c.multiplier), np.log(c.band), c.inside) for c in data.curves], 0.0
    )
    _multiplier_axis(right, float(np.exp(low)), float(np.exp(high)))
    unit = f" [{label(data.unit)}]" if data.unit else ""
    left.set_ylabel(f"difference of {label(data.response)}{unit}")
    right.set_ylabel("compute multiplier m(C)")
    above(left, columns=1 if len(data.curves) < 3 else 2)
    return {}


def _outside(ax: Axes, data: MultiplierData) -> None:
    """Shade the compute at which no pair has runs of both."""
    low = min(float(curve.C[0]) for curve in data.curves)
    high = max(float(curve.C[-1]) for curve in data.curves)
    start = min(curve.span[0] for curve in data.curves)
    end = max(curve.span[1] for curve in data.curves)
    if start > low * 1.001:
        ax.axvspan(low, start, color="0.94", zorder=0)
    if high > end * 1.001:
        ax.axvspan(end, high, color="0.94", zorder=0)
        if np.log(high / end) > ROOM_FOR_TEXT * np.log(high / low):
            place = ax.get_xaxis_transform()
            text = "  extrapolation"
            ax.text(end, 0.985, text, transform=place, fontsize=7, color="0.35", va="top")
    ax.set_xlim(low, high)


def _draw_line(ax: Axes, x: Array, y: Array, band: Array, curve: Curve, k: int) -> None:
    colour, dashes = PALETTE[k % len(PALETTE)], DASHES[k % len(DASHES)]
    inside = curve.inside
    with np.errstate(invalid="ignore"):
        for keep, alpha in ((np.ones_like(inside), 0.09), (inside, 0.13)):
            if np.isfinite(band[keep]).all() and keep.any():
                ends = band[keep].T
                ax.fill_between(x[keep], *ends, color=colour, alpha=alpha, linewidth=0)
    ax.plot(x, y, color=colour, linestyle=dashes, alpha=PALE)
    ax.plot(
        x[inside],
        y[inside],
        color=colour,
        linestyle=dashes,
        marker=MARKERS[k % len(MARKERS)],
        markevery=10,
        label=label(f"{curve.recipe} against {curve.reference}", 60),
    )


def _draw_crossing(ax: Axes, curve: Curve, k: int) -> None:
    if curve.crossing is None:
        return
    colour = PALETTE[k % len(PALETTE)]
    where, lo, hi = curve.crossing
    if lo is not None and hi is not None:
        ends = np.clip([lo, hi], curve.C[0], curve.C[-1])
        ax.plot(ends, [1.0, 1.0], color=colour, linewidth=4.0, alpha=0.6, solid_capstyle="butt")
    ax.axvline(where, color=colour, linewidth=0.8, dashes=(1, 2))
    ax.plot([where], [1.0], color=colour, marker="D", markersize=6.0, markeredgecolor="white")


def _limits(
    lines: Sequence[tuple[Array, Array, NDArray[np.bool_]]], still: float
) -> tuple[float, float]:
    """Return limits that hold the lines and the bands inside the runs, wide bands being cut."""
    near = [still, *(float(v) for y, band, keep in lines for v in _finite(band[keep], y[keep]))]
    far = [float(v) for y, band, _ in lines for v in _finite(band, y)]
    span = max(near) - min(near) or 0.02
    low = max(min([*near, *far]), min(near) - (ROOM - 1.0) * span)
    high = min(max([*near, *far]), max(near) + (ROOM - 1.0) * span)
    room = 0.06 * (high - low)
    return low - room, high + room


def _finite(*values: Array) -> Array:
    flat = np.concatenate([np.ravel(v) for v in values])
    return np.asarray(flat[np.isfinite(flat)])


def _multiplier_axis(ax: Axes, low: float, high: float) -> None:
    if high < WIDE * low:
        log_axis(ax, "y", (low, high), most=6)
        return
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    ax.set_yscale("log")
    ax.set_ylim(low, high)
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if high < 1e3 * low else (1.0,)))
    if high < 1e3 * low:
        ax.yaxis.set_major_formatter(ScalarFormatter())
    ax.yaxis.set_minor_formatter(NullFormatter())


MULTIPLIER = Kind(
    name="multiplier",
    title="Difference against compute",
    good="a band that stays on one side of the line, at 0 and at 1, over all compute that is "
    "measured.",
    per="all",
    data=multiplier_data,
    draw=draw_multiplier,
    panels=(1, 2),
    height=3.1,
)
