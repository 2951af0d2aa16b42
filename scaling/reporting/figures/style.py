"""How figures look: settings, colours, and labels that cannot do harm."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scaling.errors import ConfigError, Fault

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
# What a theme changes: talk is read from afar, serif stands in a paper that is set in Times.
THEMES: Mapping[str, Mapping[str, Any]] = {
    "paper": {},
    "talk": {
        "font.size": 11.0,
        "axes.labelsize": 11.0,
        "xtick.labelsize": 10.0,
        "ytick.labelsize": 10.0,
        "legend.fontsize": 9.5,
        "axes.titlesize": 12.0,
        "lines.linewidth": 2.2,
        "lines.markersize": 6.0,
    },
    # Of matplotlib's serif fonts the one that has every superscript.
    "serif": {"font.family": "DejaVu Serif", "mathtext.fontset": "dejavuserif"},
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
def style(fonttype: Literal["none", "path"] = "none", theme: str = "paper") -> Iterator[None]:
    """Apply the style of this package and restore the caller's settings afterwards.

    Parameters
    ----------
    fonttype : {"none", "path"}
        Whether an SVG keeps text as text.
    theme : str
        One of `THEMES`, or a style of matplotlib's or a style file, which is put on top.

    Raises
    ------
    ConfigError
        SC004 for an unknown theme.
    """
    import matplotlib.style

    own = {**STYLE, **THEMES.get(theme, {}), "svg.fonttype": fonttype}
    styles: list[Any] = ["default", own]
    if theme not in THEMES:
        styles.append(theme)
    try:
        context = matplotlib.style.context(styles)
        context.__enter__()
    except OSError:
        expected = f"{', '.join(THEMES)}, a style of matplotlib's, or the file of one"
        raise ConfigError(Fault("SC004", "theme", f'"{theme}"', expected)) from None
    try:
        yield
    finally:
        context.__exit__(None, None, None)


def font_folder() -> str:
    """Return the folder of the fonts that figures are set in; they come with matplotlib."""
    import matplotlib

    return str(Path(matplotlib.get_data_path()) / "fonts" / "ttf")


def colours() -> ListedColormap:
    """Return the part of viridis that has a contrast of 3:1 on white."""
    import matplotlib
    from matplotlib.colors import ListedColormap

    return ListedColormap(matplotlib.colormaps["viridis"](np.linspace(0, VIRIDIS_END, COLOURS)))


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
