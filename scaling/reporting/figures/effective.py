"""Effective data: loss against data of a reference and of a treated group, and the ratios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.effective_result import Effective, Treatment
from scaling.reporting import numbers
from scaling.reporting.context import Treated
from scaling.reporting.document import Tip
from scaling.reporting.figures.axes import log_axis
from scaling.reporting.figures.kind import Drawn, Kind, Marks
from scaling.reporting.figures.style import PALETTE, label, with_unit
from scaling.reporting.runs import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    from scaling.reporting.context import Context

MOST_PANELS = 5
COLUMNS = 2
REFERENCE, TREATED = PALETTE[0], PALETTE[1]
FARTHEST = 30.0  # how far beyond the curve an arrow is drawn


@dataclass(frozen=True)
class SizePanel:
    """One size: the reference's curve and runs, the treated runs, and how far each is shifted.

    ``shift_from`` and ``shift_to`` are D_F and D_E of the cells with a known D_E, at ``shift_y``.
    """

    N: float | None
    curve_D: Array
    curve_y: Array
    curve_lo: Array
    curve_hi: Array
    reference_D: Array
    reference_y: Array
    treated_D: Array
    treated_y: Array
    shift_from: Array
    shift_to: Array
    shift_y: Array
    tips: tuple[Tip, ...]


@dataclass(frozen=True)
class EffectiveData(Drawn):
    """Panels by size, and the ratio D_E/D_F of each cell with its interval.

    Attributes
    ----------
    panels : tuple of SizePanel
        At most `MOST_PANELS` of the sizes, evenly chosen.
    D, ratio, lo, hi : ndarray
        Of the cells with a known D_E; `lo` is 0 and `hi` infinite where unbounded.
    inside : ndarray of bool
        Whether D_E lies within the reference's data.
    m : float or None
        One multiplier for all, with its interval.
    m_interval : (float, float) or None
    response : str
    hidden : int
        Sizes without a panel.
    unit : str
        What D counts.
    """

    panels: tuple[SizePanel, ...]
    D: Array
    ratio: Array
    lo: Array
    hi: Array
    inside: NDArray[np.bool_]
    m: float | None
    m_interval: tuple[float, float] | None
    response: str
    hidden: int
    unit: str = "tokens or examples"

    @property
    def tips(self) -> tuple[Tip, ...]:
        """Tips of the treated runs, panel by panel."""
        return tuple(tip for panel in self.panels for tip in panel.tips)

    @property
    def caption(self) -> str:
        """What is drawn."""
        text = (
            "Circles, line and band: the reference, its curve and interval; diamonds: treated "
            "runs; bars lead from D_F to D_E. Last panel: D_E/D_F of each cell"
        )
        text += " and one multiplier for all." if self.m is not None else "."
        if self.hidden:
            text += f" {MOST_PANELS} sizes of {MOST_PANELS + self.hidden} are shown."
        return text

    @property
    def alt(self) -> str:
        """How the ratios lie."""
        text = f"{self.response} against data of the reference and of treated runs"
        if len(self.ratio):
            text += f"; effective over used data from {numbers.factor(self.ratio.min())} to "
            text += numbers.factor(self.ratio.max())
        return f"{text}."

    def columns(self) -> dict[str, list[Any]]:
        """Return the drawn points and curves in long form."""
        out: dict[str, list[Any]] = {key: [] for key in ("what", "N", "D", "y", "D_E")}

        def add(what: str, size: float | None, xs: Array, ys: Array, ends: Array | None) -> None:
            more = np.full(len(xs), np.nan) if ends is None else ends
            for x, y, end in zip(xs, ys, more, strict=True):
                row = (what, size, float(x), float(y), float(end))
                for key, value in zip(out, row, strict=True):
                    out[key].append(value)

        for p in self.panels:
            add("reference curve", p.N, p.curve_D, p.curve_y, None)
            add("reference run", p.N, p.reference_D, p.reference_y, None)
            add("treated run", p.N, p.treated_D, p.treated_y, None)
            add("shift", p.N, p.shift_from, p.shift_y, p.shift_to)
        add("ratio", None, self.D, self.ratio, None)
        return out


def effective_data(context: Context, subject: Treated) -> EffectiveData:
    """Collect what the figure of one treatment shows."""
    found, item = subject.found, subject.item
    treated = {cell["N"] for cell in item.cells}
    lines = [line for line in found.lines if _size(line) in treated or None in treated]
    kept = _evenly(len(lines), MOST_PANELS)
    known = [cell for cell in item.cells if cell["ratio"] is not None]
    ends = [cell["ratio_interval"] or (np.nan, np.nan) for cell in known]
    interval = item.multiplier.get("interval")
    return EffectiveData(
        panels=tuple(_panel(found, item, lines[k], None in treated) for k in kept),
        D=_array([cell["D_F"] for cell in known]),
        ratio=_array([cell["ratio"] for cell in known]),
        lo=_array([0.0 if lo is None else lo for lo, _ in ends]),
        hi=_array([np.inf if hi is None else hi for _, hi in ends]),
        inside=np.array([cell["reach"] == "inside" for cell in known], dtype=bool),
        m=item.multiplier.get("m"),
        m_interval=(interval[0], interval[1]) if interval else None,
        response=found.response,
        hidden=len(lines) - len(kept),
        unit=context.unit("D"),
    )


def _array(values: Sequence[Any]) -> Array:
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def _size(line: Mapping[str, Any]) -> float:
    return float(line["N"])


def _evenly(count: int, most: int) -> list[int]:
    if count <= most:
        return list(range(count))
    return sorted({round(k) for k in np.linspace(0, count - 1, most)})


def _panel(found: Effective, item: Treatment, line: Mapping[str, Any], unsized: bool) -> SizePanel:
    size = _size(line)
    parts = []
    for runs in (found.runs, item.runs):
        own = np.isclose(_array(runs["N"]), size, rtol=1e-9)
        parts += [_array(runs["D"])[own], _array(runs["y"])[own]]
    cells = [c for c in item.cells if (unsized or c["N"] == size) and c["D_E"] is not None]
    tips = [
        Tip(
            "\n".join(
                (
                    *([] if unsized else [f"N {numbers.quantity(size, 4)}"]),
                    f"D {numbers.quantity(float(d), 4)}",
                    f"{found.response} {numbers.quantity(float(y), 4)}",
                )
            )
        )
        for d, y in zip(parts[2], parts[3], strict=True)
    ]
    curve = [_array(line[name]) for name in ("D", "y", "lo", "hi")]
    return SizePanel(
        N=None if unsized else size,
        curve_D=curve[0],
        curve_y=curve[1],
        curve_lo=curve[2],
        curve_hi=curve[3],
        reference_D=parts[0],
        reference_y=parts[1],
        treated_D=parts[2],
        treated_y=parts[3],
        shift_from=_array([c["D_F"] for c in cells]),
        shift_to=_array([c["D_E"] for c in cells]),
        shift_y=_array([c["y"] for c in cells]),
        tips=tuple(tips),
    )


def shape_of(data: EffectiveData) -> tuple[int, int]:
    """Return rows and columns of the panels, one of which shows the ratios."""
    count = len(data.panels) + 1
    return -(-count // COLUMNS), COLUMNS


def draw_effective(data: EffectiveData, axes: Sequence[Axes]) -> Marks:
    """Draw loss against data at each size, with the shift of each treated cell, and the ratios."""
    marks: Marks = {}
    first = 0
    for k, (panel, ax) in enumerate(zip(data.panels, axes, strict=False)):
        _draw_size(panel, ax, f"treated{k}", label(data.response), data.unit)
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
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=REFERENCE, label="reference curve"),
        Line2D([], [], color=REFERENCE, marker="o", linestyle="none", label="reference run"),
        Line2D([], [], color=TREATED, marker="D", linestyle="none", label="treated run"),
        Line2D([], [], color=TREATED, linewidth=0.9, marker="|", label="shift, D_F to D_E"),
    ]


def _draw_size(panel: SizePanel, ax: Axes, gid: str, response: str, unit: str) -> None:
    from matplotlib.ticker import NullFormatter

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
    left, right = ax.get_xlim()
    if right > 10.0 * left:  # a power of ten is in sight, and labels between would overlap
        ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel(with_unit("D", unit))
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
    from matplotlib.ticker import NullFormatter

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
        log_axis(ax, "y", (low_end, high_end), most=6)
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel(with_unit("D_F", data.unit))
    ax.set_ylabel("D_E / D_F")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, handlelength=1.6)


EFFECTIVE = Kind(
    name="effective",
    title="Effective data",
    good="bars of equal length within the line's range: one multiplier, read off data that the "
    "reference was trained on.",
    per="treatment",
    data=effective_data,
    draw=draw_effective,
    panels=shape_of,
    height=2.4,
)
