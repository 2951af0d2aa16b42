"""What the figure of effective data shows, as arrays: a pure function of stored results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.effective_result import Effective, Treatment
from scaling.reporting import numbers

Array = NDArray[np.float64]
MOST_PANELS = 5


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
    tips: tuple[str, ...]


@dataclass(frozen=True)
class EffectiveData:
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

    @property
    def tips(self) -> tuple[str, ...]:
        """Tooltips of the treated runs, panel by panel."""
        return tuple(tip for panel in self.panels for tip in panel.tips)

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


def effective_data(found: Effective, item: Treatment) -> EffectiveData:
    """Collect what the figure of one treatment shows."""
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
        "\n".join(
            (
                *([] if unsized else [f"N {numbers.quantity(size, 4)}"]),
                f"D {numbers.quantity(float(d), 4)}",
                f"{found.response} {numbers.quantity(float(y), 4)}",
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
