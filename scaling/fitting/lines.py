"""Power laws of compute through optima: lines in logs, their draws and intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.errors import Message
from scaling.fitting.options import check_level

Array = NDArray[np.float64]
Draws = dict[str, list[list[float]]]
MIN_DRAWS = 20


@dataclass(frozen=True)
class Line:
    """``ln y = level + slope ln C``; ``left`` is the SD of the optima about it, in logs."""

    level: float
    slope: float
    left: float = 0.0


def line_through(x: Array, y: Array) -> Line:
    """Least squares of `y` on `x`, both logarithms of shape (n,)."""
    shifted = x - x.mean()
    slope = float((shifted * (y - y.mean())).sum() / (shifted**2).sum())
    level = float(y.mean() - slope * x.mean())
    square = float(((y - level - slope * x) ** 2).sum())
    return Line(level, slope, float(np.sqrt(square / max(1, len(x) - 2))))


def _lines(x: Array, y: Array) -> tuple[Array, Array]:
    """Levels and slopes of lines through the finite rows of each column of `y`, shape (n, k)."""
    seen = np.isfinite(y)
    count = seen.sum(axis=0)
    with np.errstate(all="ignore"):
        mean_x = np.where(seen, x[:, None], 0.0).sum(axis=0) / count
        mean_y = np.where(seen, y, 0.0).sum(axis=0) / count
        dx = np.where(seen, x[:, None] - mean_x, 0.0)
        dy = np.where(seen, y - mean_y, 0.0)
        slope = (dx * dy).sum(axis=0) / (dx**2).sum(axis=0)
    return mean_y - slope * mean_x, slope


def interval_of(
    log_c: Array,
    found: Mapping[str, Array],
    line: Mapping[str, Line],
    *,
    draws: int,
    level: float,
    kind: str,
    least: int,
) -> tuple[dict[str, object] | None, Draws, list[Message]]:
    """Read the intervals of the exponents off replicates of optima.

    Parameters
    ----------
    log_c : ndarray
        ln C of each optimum, shape (n,).
    found : mapping
        ln N*, ln D* and perhaps ln loss, shape (n, k); NaN where a replicate lost the optimum.
    line : mapping
        The estimates; only these quantities are drawn.
    draws, level, kind
        See `interval_from`.
    least : int
        Optima that make a line.
    """
    good = np.isfinite(next(iter(found.values()))).sum(axis=0) >= least
    kept = {}
    for name in line:
        levels, slopes = _lines(log_c, found[name][:, good])
        kept[name] = [levels.tolist(), slopes.tolist()]
    return interval_from(kept, draws=draws, level=level, kind=kind)


def interval_from(
    kept: Draws, *, draws: int, level: float, kind: str
) -> tuple[dict[str, object] | None, Draws, list[Message]]:
    """Read the intervals of the exponents off replicates of lines.

    Parameters
    ----------
    kept : mapping
        ``{name: [levels, slopes]}`` of the replicates that have every line.
    draws : int
        Replicates that were asked for.
    level : float
    kind : str
        How replicates were made.

    Returns
    -------
    interval : dict or None
        ``level, kind, draws, failed, a, b``; None where too few replicates are left.
    kept : mapping
        Empty then.
    messages : list of Message
    """
    check_level(level)
    count = len(next(iter(kept.values()))[1]) if kept else 0
    lost = draws - count
    if draws < MIN_DRAWS:
        text = f"{draws} replicates are too few for an interval of a; {MIN_DRAWS} or more."
        return None, {}, [Message("SC416", text)]
    if count < MIN_DRAWS:
        text = f"{lost} of {draws} replicates lost too many optima for a line: no interval."
        return None, {}, [Message("SC409", text)]
    interval: dict[str, object] = {"level": level, "kind": kind, "draws": count, "failed": lost}
    tail = 50.0 * (1.0 - level)
    for exponent, name in (("a", "N"), ("b", "D")):
        if name in kept:
            ends = np.percentile(kept[name][1], [tail, 100.0 - tail])
            interval[exponent] = [float(x) for x in ends]
    messages = []
    if lost > 0.01 * draws:
        messages.append(Message("SC409", f"{lost} of {draws} replicates lost their line."))
    return interval, kept, messages
