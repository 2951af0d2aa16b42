"""The figure of effective data, drawn from `scaling.reporting.figures_effective_data`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from scaling.reporting import numbers
from scaling.reporting.figures import PALETTE, Marks, label, plain_log_ticks
from scaling.reporting.figures_effective_data import EffectiveData, SizePanel

COLUMNS = 2
REFERENCE, TREATED = PALETTE[0], PALETTE[1]
FARTHEST = 30.0  # how far beyond the curve an arrow is drawn


def shape_of(data: EffectiveData) -> tuple[int, int]:
    """Return rows and columns of the panels, one of which shows the ratios."""
    count = len(data.panels) + 1
    return -(-count // COLUMNS), COLUMNS


def draw_effective(data: EffectiveData, axes: Sequence[Axes]) -> Marks:
    """Draw loss against data at each size, with the shift of each treated cell, and the ratios."""
    marks: Marks = {}
    first = 0
    for k, (panel, ax) in enumerate(zip(data.panels, axes, strict=False)):
        _draw_size(panel, ax, f"treated{k}", label(data.response))
        marks[f"treated{k}"] = list(range(first, first + len(panel.tips)))
        first += len(panel.tips)
    axes[0].legend(
        handles=_handles(), loc="lower left", bbox_to_anchor=(0.0, 1.06), ncols=2, handlelength=1.6
    )
    _draw_ratios(data, axes[len(data.panels)])
    for spare in axes[len(data.panels) + 1 :]:
        spare.set_axis_off()
    return marks


def _handles() -> list[Line2D]:
    return [
        Line2D([], [], color=REFERENCE, label="reference curve"),
        Line2D([], [], color=REFERENCE, marker="o", linestyle="none", label="reference run"),
        Line2D([], [], color=TREATED, marker="D", linestyle="none", label="treated run"),
        Line2D([], [], color=TREATED, linewidth=0.9, marker="|", label="shift, D_F to D_E"),
    ]


def _draw_size(panel: SizePanel, ax: Axes, gid: str, response: str) -> None:
    ax.set_xscale("log")
    if np.isfinite(panel.curve_lo).all() and np.isfinite(panel.curve_hi).all():
        ax.fill_between(
            panel.curve_D, panel.curve_lo, panel.curve_hi, color=REFERENCE, alpha=0.2, linewidth=0
        )
    ax.plot(panel.curve_D, panel.curve_y, color=REFERENCE)
    ax.plot(panel.reference_D, panel.reference_y, "o", color=REFERENCE, markeredgewidth=0)
    farthest = float(panel.curve_D[-1]) * FARTHEST
    ends = np.clip(panel.shift_to, float(panel.curve_D[0]) / FARTHEST, farthest)
    for start, end, y in zip(panel.shift_from, ends, panel.shift_y, strict=True):
        ax.plot([start, end], [y, y], color=TREATED, linewidth=0.9, marker="|", markevery=[1])
    ax.plot(panel.treated_D, panel.treated_y, "D", color=TREATED, gid=gid, markeredgewidth=0)
    ax.set_xlabel("D [tokens or examples]")
    ax.set_ylabel(response)
    if panel.N is not None:
        ax.text(
            0.98,
            0.97,
            f"N = {numbers.quantity(panel.N)}",
            transform=ax.transAxes,
            ha="right",
            va="top",
        )


def _draw_ratios(data: EffectiveData, ax: Axes) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.axhline(1.0, color="0.3", linewidth=0.8)
    if data.m is not None:
        ax.axhline(data.m, color=TREATED, linewidth=1.1, dashes=(5, 2), label="one multiplier")
    if data.m_interval is not None:
        ax.axhspan(*data.m_interval, color=TREATED, alpha=0.15, linewidth=0)
    if len(data.ratio):
        top = 3.0 * float(max(data.ratio.max(), data.m or 1.0))
        low = np.where(np.isfinite(data.lo), np.maximum(data.lo, data.ratio / 100.0), data.ratio)
        high = np.where(np.isnan(data.hi), data.ratio, np.minimum(data.hi, top))
        ax.vlines(data.D, low, np.maximum(high, data.ratio), color=TREATED, linewidth=0.9)
        for keep, face, name in (
            (data.inside, TREATED, "inside the reference's data"),
            (~data.inside, "white", "extrapolated"),
        ):
            if keep.any():
                ax.plot(
                    data.D[keep],
                    data.ratio[keep],
                    "D",
                    markerfacecolor=face,
                    markeredgecolor=TREATED,
                    label=name,
                )
    low_end, high_end = ax.get_ylim()
    if high_end < 10.0 * low_end:
        plain_log_ticks(ax, low_end, high_end)
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("D_F [tokens or examples]")
    ax.set_ylabel("D_E / D_F")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, handlelength=1.6)
