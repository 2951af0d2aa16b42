"""What is told of the rows that a weighted forecast is made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from scaling.errors import Message
from scaling.fitting.auto.points import Points

Array = NDArray[np.float64]
RISES = 0.5  # correlation of ranks above which a response is taken to rise


def noted(
    x: Mapping[str, Array], y: Array, weights: Array, points: Points, response: str
) -> Iterator[Message]:
    """Yield what was done with copies and very many runs, and whether the response rises.

    Parameters
    ----------
    x, y, weights : mapping of str to ndarray, ndarray, ndarray
        Rows that were given; those without weight are not counted.
    points : Points
        What was made of them.
    response : str
    """
    counted = weights > 0
    rows = np.column_stack([*x.values(), y, weights])[counted]
    distinct = len(np.unique(rows, axis=0))
    if distinct < len(rows):
        text = f"{len(rows) - distinct} rows are copies of others; auto counts each run once."
        yield Message("SC107", text, "info")
    if len(x) > 1 and points.n < distinct:
        text = (
            f"Laws were weighed, and intervals drawn, by {points.n} of {distinct} runs, spread "
            "evenly over the order of their compute."
        )
        yield Message("SC450", text, "info")
    if len(x) == 1 and points.n < len(np.unique(next(iter(x.values()))[counted])):
        text = f"{distinct} rows were averaged in {points.n} steps of ln {next(iter(x))}."
        yield Message("SC450", text, "info")
    if response != "loss" and _rank_correlation(points.along, points.y) > RISES:
        what = " and ".join(x)
        text = f"{response} rises with {what}, but the laws that auto weighs fall or bend."
        mend = f"fit what falls: --map 'loss=1 - source[\"{response}\"]'"
        yield Message("SC133", text, mend=mend)


def _rank_correlation(left: Array, right: Array) -> float:
    """Spearman's, for values without many ties; 0 where one does not vary."""
    if len(right) < 2 or np.ptp(right) == 0.0:
        return 0.0
    ranks = np.array([np.argsort(np.argsort(v)) for v in (left, right)], dtype=np.float64)
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    return float(centred[0] @ centred[1] / np.sqrt((centred**2).sum(axis=1).prod()))
