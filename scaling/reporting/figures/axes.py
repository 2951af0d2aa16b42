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
DOT = 1e-7
SMALL = 1e-3
MOST_TIPPED = 400  # markers of a figure that are elements of their own
NARROW = 5.0  # figures below this width have little room for a legend [inch]
LETTER, HANDLE = 4.3, 8  # of a legend: width of a letter [pt], and of a handle in letters


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
    for factors in ((1, 3), (1, 2, 5), (1, 2, 3, 5, 7)):
        ticks = [m * 10.0**k for k in range(first - 1, last + 1) for m in factors]
        ticks = [t for t in ticks if low <= t * (1 + 1e-9) and t <= high * (1 + 1e-9)]
        if 3 <= len(ticks) <= most:
            return ticks
    if high > 8.0 * low:
        return ticks[:: -(-len(ticks) // most)]
    return even_ticks(low, high, most)


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


def even_ticks(low: float, high: float, most: int = MOST_TICKS) -> list[float]:
    """Return at most `most` evenly spaced round values between two."""
    if not high > low:
        return [low]
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (m * power for m in (1.0, 2.0, 2.5, 5.0, 10.0, 20.0)):
        first, last = math.ceil(low / step), math.floor(high / step)
        if last - first < most:
            break
    return [k * step for k in range(first, last + 1)]


def linear_axis(
    ax: Axes,
    which: Literal["x", "y"],
    limits: tuple[float, float],
    most: int = MOST_TICKS,
    *,
    named: bool = True,
) -> None:
    """Make an axis linear between limits, with few ticks; without any unless `named`."""
    ax.set_xlim(*limits) if which == "x" else ax.set_ylim(*limits)
    ticks = even_ticks(*limits, most) if named else []
    fixed_ticks(ax, which, ticks, [f"{t:.6g}".replace("-", "−") for t in ticks])


def over(axes: Sequence[Axes], handles: Sequence[Any], columns: int = 1, **more: Any) -> None:
    """Put one legend above all panels, in as many columns as fit and at most `columns`.

    Where the figure makes no room for it, the legend stands above the first panel.
    """
    if not handles:
        return
    figure = axes[0].figure
    longest = max(len(str(handle.get_label())) for handle in handles) + HANDLE
    room = int(72.0 * figure.bbox.width / figure.dpi / (longest * LETTER))
    more |= {"handles": list(handles), "ncols": max(1, min(columns, room))}
    if figure.get_layout_engine() is not None:
        figure.legend(loc="outside upper left", **more)
    else:
        axes[0].legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), **more)


def above(ax: Axes, columns: int = 4, **more: Any) -> None:
    """Put the legend of an axes above it, where it covers nothing; above all if it is alone."""
    handles = more.pop("handles", None) or ax.get_legend_handles_labels()[0]
    panels = [a for a in ax.figure.axes if a.get_label() != "<colorbar>"]
    if len(panels) == 1:
        over([ax], handles, columns, **more)
    elif handles:
        columns = min(columns, 2) if is_column([ax]) else columns
        more |= {"handles": handles, "loc": "lower center", "bbox_to_anchor": (0.5, 1.0)}
        ax.legend(ncols=columns, **more)


def is_column(axes: Sequence[Axes]) -> bool:
    """Return whether the figure is as narrow as a column."""
    return bool(axes[0].figure.bbox.width / axes[0].figure.dpi < NARROW)


def plain_logs(axes: Sequence[Axes]) -> None:
    """Give log axes few plain ticks where a drawing has left them to matplotlib."""
    from matplotlib.ticker import LogFormatter

    which: Literal["x", "y"]
    for ax in axes:
        for which, axis in (("x", ax.xaxis), ("y", ax.yaxis)):
            low, high = sorted(axis.get_view_interval())
            if isinstance(axis.get_major_formatter(), LogFormatter) and 0 < low < high:
                log_axis(ax, which, (low, high))


def runs_on(
    ax: Axes,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    gid: str,
    *,
    colour: str,
    size: float = 3.0,
    tipped: bool = True,
    hollow: bool = False,
) -> None:
    """Draw runs as dots: with a tip each, or where there are very many as one light path.

    Parameters
    ----------
    ax : Axes
    x, y : ndarray
        Shape (n,).
    gid : str
        Id of the group of markers, for `Marks`.
    colour : str
    size : float
        Diameter [pt].
    tipped : bool
        Whether each dot is an element of its own.
    hollow : bool
        Whether only the rim is drawn; hollow dots are always elements.
    """
    if tipped or hollow:
        rim: dict[str, Any] = {"markeredgewidth": 0.8 if hollow else 0.0, "markeredgecolor": colour}
        face = "none" if hollow else colour
        shape: dict[str, Any] = {"marker": "o", "markersize": size, "markerfacecolor": face}
        ax.plot(x, y, linestyle="none", gid=gid, clip_on=not hollow, **shape, **rim)
        return
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    # a dot is a line of almost no length with round ends
    ends = [np.column_stack([x, y]), np.column_stack([x * (1.0 + DOT), y])]
    codes = np.tile(np.array([Path.MOVETO, Path.LINETO], dtype=np.uint8), len(x))
    path = Path(np.stack(ends, axis=1).reshape(-1, 2), codes)
    path.should_simplify = False
    round_ends: dict[str, Any] = {"capstyle": "round", "joinstyle": "round", "snap": False}
    ax.add_patch(PathPatch(path, fill=False, edgecolor=colour, linewidth=size, **round_ends))
