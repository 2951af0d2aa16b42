"""Power laws of compute through optima: lines in logs, their draws and intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.errors import Message

Array = NDArray[np.float64]
MIN_DRAWS = 20


@dataclass(frozen=True)
class Line:
    """``ln y = level + slope ln C``."""

    level: float
    slope: float


def line_through(x: Array, y: Array) -> Line:
    """Least squares of `y` on `x`, both logarithms of shape (n,)."""
    shifted = x - x.mean()
    slope = float((shifted * (y - y.mean())).sum() / (shifted**2).sum())
    return Line(float(y.mean() - slope * x.mean()), slope)


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
) -> tuple[dict[str, object] | None, dict[str, list[list[float]]], list[Message]]:
    """Read the intervals of the exponents off replicates of optima.

    Parameters
    ----------
    log_c : ndarray
        ln C of each optimum, shape (n,).
    found : mapping
        ln N*, ln D* and perhaps ln loss, shape (n, k); NaN where a replicate lost the optimum.
    line : mapping
        The estimates; only these quantities are drawn.
    draws : int
        Replicates that were asked for.
    level : float
    kind : str
        How replicates were made.
    least : int
        Optima that make a line.

    Returns
    -------
    interval : dict or None
        ``level, kind, draws, failed, a, b``.
    kept : dict
        ``{name: [levels, slopes]}`` of the replicates that have a line.
    messages : list of Message
    """
    first = next(iter(found.values()))
    good = np.isfinite(first).sum(axis=0) >= least
    if draws < MIN_DRAWS:
        text = f"{draws} replicates are too few for an interval of a; {MIN_DRAWS} or more."
        return None, {}, [Message("SC416", text)]
    if good.sum() < MIN_DRAWS:
        return None, {}, [Message("SC409", "Most replicates lost their minima: no interval.")]
    kept = {name: _lines(log_c, values[:, good]) for name, values in found.items() if name in line}
    tail = 50.0 * (1.0 - level)
    lost = draws - int(good.sum())
    messages = []
    if lost > 0.01 * draws:
        messages.append(Message("SC409", f"{lost} of {draws} replicates lost minima."))
    interval: dict[str, object] = {
        "level": level,
        "kind": kind,
        "draws": int(good.sum()),
        "failed": lost,
    }
    for exponent, name in (("a", "N"), ("b", "D")):
        if name in kept:
            interval[exponent] = [
                float(x) for x in np.percentile(kept[name][1], [tail, 100.0 - tail])
            ]
    return interval, {k: [v[0].tolist(), v[1].tolist()] for k, v in kept.items()}, messages
