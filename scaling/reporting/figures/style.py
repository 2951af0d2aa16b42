"""How figures look: settings, colours, and labels that cannot do harm."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import ListedColormap

STYLE: Mapping[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.0,
    "axes.labelsize": 8.0,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "axes.titlesize": 9.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "lines.linewidth": 1.4,
    "lines.markersize": 4.0,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.88",
    "grid.linewidth": 0.4,
    "pdf.fonttype": 42,
    "svg.hashsalt": "scaling",
    "text.usetex": False,
    "mathtext.fontset": "dejavusans",
    "axes.formatter.useoffset": False,
}
# Each has a contrast of 3:1 on white or more; markers and dashes tell them apart in grey.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#332288", "#000000")
MARKERS = "osD^vP<X>h"
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1, 1, 1)), (0, (3, 1)), "-")
VIRIDIS_END = 0.6
COLOURS = 24
PAGE, COLUMN = 6.9, 3.4
SIGNS = "–−…∝×·⁻⁰¹²³⁴⁵⁶⁷⁸⁹≥≤"


def label(text: str, most: int = 60) -> str:
    """Return `text` as a figure can show it: Latin, Greek and signs; no mathematics mode."""
    kept = (c if c in SIGNS or (c.isprintable() and ord(c) < 0x400) else "?" for c in text)
    return textwrap.shorten("".join(kept).replace("$", r"\$"), most, placeholder=" …")


def with_unit(name: str, unit: str) -> str:
    """Return the label of an axis: a quantity and its unit."""
    return f"{label(name)} [{label(unit)}]" if unit else label(name)


@contextmanager
def style(fonttype: Literal["none", "path"] = "none") -> Iterator[None]:
    """Apply the style of this package and restore the caller's settings afterwards."""
    import matplotlib.style

    with matplotlib.style.context(["default", {**STYLE, "svg.fonttype": fonttype}]):
        yield


def colours() -> ListedColormap:
    """Return the part of viridis that has a contrast of 3:1 on white."""
    import matplotlib
    from matplotlib.colors import ListedColormap

    return ListedColormap(matplotlib.colormaps["viridis"](np.linspace(0, VIRIDIS_END, COLOURS)))


def plain_log_ticks(ax: Axes, low: float, high: float) -> None:
    """Tick a log axis that spans less than a decade with plain numbers."""
    from matplotlib.ticker import (
        FixedLocator,
        MaxNLocator,
        NullFormatter,
        NullLocator,
        ScalarFormatter,
    )

    ax.set_yscale("log")
    ax.set_ylim(low, high)
    ticks = [t for t in MaxNLocator(6).tick_values(low, high) if low <= t <= high]
    ax.yaxis.set_major_locator(FixedLocator(ticks))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(ScalarFormatter())
    ax.yaxis.set_minor_formatter(NullFormatter())


def beyond(ax: Axes, limit: float, end: float, *, said: bool = True) -> None:
    """Shade what lies beyond the runs, from `limit` to `end`, and say that it is extrapolation."""
    if not end > limit:
        return
    ax.axvspan(limit, end, color="0.94", zorder=0)
    ax.axvline(limit, color="0.6", linewidth=0.6)
    if said:
        place = ax.get_xaxis_transform()
        text = "  extrapolation"
        ax.text(limit, 0.985, text, transform=place, fontsize=7, color="0.35", va="top")


def above(ax: Axes, columns: int = 4, **more: Any) -> None:
    """Put the legend above the axes, where it covers nothing."""
    from scaling.reporting.figures.axes import over

    handles = more.pop("handles", None) or ax.get_legend_handles_labels()[0]
    over([ax], handles, columns, **more)
