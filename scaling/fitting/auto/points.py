"""What a forecast is made from: distinct points along a scale, and where to stand back from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.data import Data
from scaling.fitting.objectives import make
from scaling.laws import Law

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST_POINTS = 48  # of a curve; more are averaged in bins of ln x
MOST_RUNS = 256  # of a surface; more are thinned
FEWEST_BELOW = 4  # points below the first origin
SHARE_BELOW = 0.35
ORIGINS = 8
STEP = 0.02  # ln of the ratio between levels


def in_logs(law: Law, x: Mapping[str, Array], y: Array) -> Data:
    """Return the arrays of a law whose residuals are those of ln y."""
    return Data(law, x, y, make("log-mse", 1e-3), {}, {})


@dataclass(frozen=True)
class Points:
    """Points in the order of their scale.

    Attributes
    ----------
    x : mapping of str to ndarray
        Variables of the laws, shape (n,).
    y : ndarray
        Response, positive; the geometric mean where points stand for several rows.
    count : ndarray
        Rows behind each point.
    along : ndarray
        ln of the scale that is extrapolated over: compute, or the one variable. Ascending.
    scatter, spare : ndarray
        Sum of squares of ln y of the rows about each point, and the degrees of freedom of it;
        0 where rows were averaged over a stretch of the scale.
    """

    x: Mapping[str, Array]
    y: Array
    count: Array
    along: Array
    scatter: Array
    spare: Array

    @property
    def n(self) -> int:
        """Number of points."""
        return len(self.y)

    @property
    def where(self) -> Array:
        """Logarithms of the variables, shape (n, d)."""
        return np.log(np.stack(list(self.x.values()), axis=1))

    @classmethod
    def of(
        cls, x: Mapping[str, Array], y: Array, scale: Array, weights: Array | None = None
    ) -> Points:
        """Order rows by `scale`; join equal ones, and average a long curve in bins.

        Rows that repeat another in every variable and the response are copies and count once.
        `weights` say how many rows each stands for; rows that stand for none are left out.
        """
        weights = np.ones(len(y)) if weights is None else weights / weights[weights > 0].mean()
        rows = np.column_stack([*x.values(), y, weights])
        _, first = np.unique(rows, axis=0, return_index=True)
        kept = first[np.argsort(scale[first], kind="stable")]
        kept = kept[weights[kept] > 0]
        if len(x) > 1 and len(kept) > MOST_RUNS:
            kept = kept[np.unique(np.linspace(0, len(kept) - 1, MOST_RUNS).round().astype(int))]
        x, y, scale, weights = (
            {k: v[kept] for k, v in x.items()},
            y[kept],
            scale[kept],
            weights[kept],
        )
        if len(x) == 1:
            return cls._binned(next(iter(x)), y, scale, weights)
        none = np.zeros(len(y))
        return cls(x, y, weights, np.log(scale), none, none)

    @classmethod
    def _binned(cls, name: str, y: Array, scale: Array, weights: Array) -> Points:
        u, log_y = np.log(scale), np.log(y)
        label = np.unique(u, return_inverse=True)[1]
        repeated = label.max() < MOST_POINTS  # else rows of a bin differ by the law too
        if not repeated:
            edges = np.linspace(u[0], u[-1], MOST_POINTS + 1)
            label = np.unique(np.searchsorted(edges[1:-1], u, side="right"), return_inverse=True)[1]
        count: Array = np.bincount(label, weights).astype(np.float64)
        mean = np.bincount(label, weights * u) / count
        level = np.bincount(label, weights * log_y) / count
        scatter, spare = np.zeros((2, len(count)))
        if repeated:
            scatter += np.bincount(label, weights * (log_y - level[label]) ** 2)
            spare += np.bincount(label) - 1.0
        return cls({name: np.exp(mean)}, np.exp(level), count, mean, scatter, spare)

    def origins(self, fewest: int = FEWEST_BELOW) -> list[int]:
        """Numbers of points below each origin, ascending, the last one all points.

        Origins are even in ln of the scale, from where there is enough to fit to the last level
        but one.
        """
        ends = np.flatnonzero(np.append(np.diff(self.along) > STEP, True)) + 1
        least = max(fewest + 1, int(np.ceil(SHARE_BELOW * self.n)))
        usable = [int(end) for end in ends[:-1] if end >= least]
        if len(usable) > ORIGINS:
            u = self.along[np.array(usable) - 1]
            marks = np.linspace(u[0], u[-1], ORIGINS)
            usable = sorted({usable[int(np.abs(u - mark).argmin())] for mark in marks})
        return [*usable, self.n]
