"""Axes that cost little: few ticks with plain labels, and one legend for all panels.

Most of the time of a figure goes into the layout of tick labels, and most of that into mathematics
mode and into minor ticks; so powers of ten are written with the superscripts of the font.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from scaling.reporting.numbers import SUPERSCRIPT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_TICKS = 5
PLAIN = 1e4
SMALL = 1e-3


def padded(*values: NDArray[np.float64], share: float = 0.05) -> tuple[float, float] | None:
    """Return limits of a log axis around all positive finite values; None without any.

    Parameters
    ----------
    *values : ndarray
    share : float
        Of the range in logs, added at both ends.
    """
    flat = np.concatenate([np.ravel(v) for v in values])
    flat = flat[np.isfinite(flat) & (flat > 0)]
    if not len(flat):
        return None
    low, high = math.log(flat.min()), math.log(flat.max())
    extra = max(share * (high - low), 0.01 if high > low else 0.2)
    return math.exp(low - extra), math.exp(high + extra)


def tick_label(value: float) -> str:
    """Return ``10⁹``, ``2×10⁹`` or ``500``."""
    if SMALL <= value < PLAIN or value == 0:
        return f"{value:.6g}"
    exponent = math.floor(math.log10(value) + 1e-9)
    power = f"10{str(exponent).translate(SUPERSCRIPT)}"
    factor = f"{value / 10.0**exponent:.4g}"
    return power if factor == "1" else f"{factor}×{power}"


def log_ticks(low: float, high: float, most: int = MOST_TICKS) -> list[float]:
    """Return at most about `most` round values between two positive ones.

    Powers of ten where there are enough of them, then 1, 2, 5 of each decade, then even steps.
    """
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    powers = last - first + 1
    if powers >= 3:
        step = -(-(powers - 1) // (most - 1)) if powers > most else 1
        return [10.0**k for k in range(first, last + 1, step)]
    for factors in ((1, 2, 5), (1, 3)):
        ticks = [m * 10.0**k for k in range(first - 1, last + 1) for m in factors]
        ticks = [t for t in ticks if low <= t * (1 + 1e-9) and t <= high * (1 + 1e-9)]
        if 3 <= len(ticks) <= most:
            return ticks
    if powers == 2 or high > 8.0 * low:
        return ticks
    step = _round_step((high - low) / (most - 1))
    return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(m * power for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * power >= step * (1 - 1e-9))


def log_axis(
    ax: Axes, which: Literal["x", "y"], limits: tuple[float, float], most: int = MOST_TICKS
) -> None:
    """Make an axis logarithmic between limits, with few plain ticks."""
    low, high = limits
    if which == "x":
        ax.set_xscale("log")
        ax.set_xlim(low, high)
    else:
        ax.set_yscale("log")
        ax.set_ylim(low, high)
    ticks = log_ticks(low, high, most)
    fixed_ticks(ax, which, ticks, [tick_label(t) for t in ticks])


def fixed_ticks(
    ax: Axes, which: Literal["x", "y"], ticks: Sequence[float], texts: Sequence[str]
) -> None:
    """Set ticks with their labels and no minor ones."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    axis = ax.xaxis if which == "x" else ax.yaxis
    axis.set_major_locator(FixedLocator(list(ticks)))
    axis.set_major_formatter(FixedFormatter(list(texts)))
    axis.set_minor_locator(NullLocator())


def few_ticks(ax: Axes, which: Literal["x", "y"], most: int = MOST_TICKS) -> None:
    """Thin the ticks of a linear axis."""
    from matplotlib.ticker import MaxNLocator

    axis = ax.xaxis if which == "x" else ax.yaxis
    axis.set_major_locator(MaxNLocator(most, min_n_ticks=2))


def over(axes: Sequence[Axes], handles: Sequence[Any], columns: int = 1, **more: Any) -> None:
    """Put one legend above all panels, or above the first where nobody makes room for it."""
    figure = axes[0].figure
    if not handles:
        return
    if figure.get_layout_engine() is not None:
        figure.legend(handles=list(handles), loc="outside upper left", ncols=columns, **more)
    else:
        place = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0)}
        axes[0].legend(handles=list(handles), ncols=columns, **place, **more)


def is_column(axes: Sequence[Axes]) -> bool:
    """Return whether the figure is as narrow as a column."""
    return bool(axes[0].figure.bbox.width / axes[0].figure.dpi < 5.0)
