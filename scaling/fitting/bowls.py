"""Curves of loss against size at one budget, and where each is lowest.

`Bowl` holds the runs of a budget. A curve is a linear smoother: its value anywhere is a weighted
sum of the losses, so that thousands of replicates are one matrix product. The curve that pools its
shape over budgets is in `scaling.fitting.pooled`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import Akima1DInterpolator

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

DEGREES = {"parabola": 2, "cubic": 3, "quartic": 4}
MINIMA = ("powers", *DEGREES, "spline")
NEEDED = {"powers": 4, "spline": 5} | {name: degree + 1 for name, degree in DEGREES.items()}
SAME_SIZE = 1e-3  # of ln N
GRID = 801
DRAWN = 60


@dataclass(frozen=True)
class Bowl:
    """Runs of one budget, sorted by size.

    Attributes
    ----------
    budget : float
        Compute [FLOP].
    u, v : ndarray
        ln N and ln D of each run, shape (n,).
    y : ndarray
        Loss, shape (n,).
    cluster : ndarray of int
        What shares noise, shape (n,).
    """

    budget: float
    u: Array
    v: Array
    y: Array
    cluster: NDArray[np.int64]

    @cached_property
    def sizes(self) -> Array:
        """Distinct ln N; sizes that almost coincide are one."""
        first = np.concatenate([[True], np.diff(self.u) > SAME_SIZE])
        return np.asarray(self.u[first])

    def rows(self, index: NDArray[np.int64] | Bools) -> Bowl:
        """Return the bowl of some runs, in the order of their sizes."""
        chosen = np.arange(len(self.u))[index]
        chosen = chosen[np.argsort(self.u[chosen], kind="stable")]
        return Bowl(
            self.budget, self.u[chosen], self.v[chosen], self.y[chosen], self.cluster[chosen]
        )

    def tokens(self, at: Array) -> Array:
        """Return ln D at ln N on the line of the budget.

        Between the runs D is interpolated; beyond them the nearest two go on.
        """
        levels, index = np.unique(self.u, return_index=True)
        if len(levels) < 2:
            return np.full(np.shape(at), self.v[0])
        k = np.clip(np.searchsorted(levels, at) - 1, 0, len(levels) - 2)
        v = self.v[index]
        slope = (v[k + 1] - v[k]) / (levels[k + 1] - levels[k])
        return np.asarray(v[k] + slope * (at - levels[k]))


class Curve(Protocol):
    """A curve of the loss in ln N, for any losses at the sizes of its bowl."""

    def at(self, u: Array, losses: Array) -> Array:
        """Return values at `u`, shape (g, k), for losses of shape (n, k)."""
        ...

    def vertex(self, losses: Array) -> tuple[Array, Bools] | None:
        """Return ln N of the minimum and whether there is one, shape (k,); None if not known."""
        ...


@dataclass(frozen=True)
class Polynomial:
    """Least squares of the loss on powers of ln N."""

    u: Array
    degree: int

    @cached_property
    def _solver(self) -> tuple[float, Array]:
        centre = float(self.u.mean())
        basis = np.polynomial.polynomial.polyvander(self.u - centre, self.degree)
        return centre, np.asarray(np.linalg.pinv(basis), dtype=np.float64)

    def at(self, u: Array, losses: Array) -> Array:
        """Values; see `Curve`."""
        centre, solver = self._solver
        basis = np.polynomial.polynomial.polyvander(np.asarray(u) - centre, self.degree)
        return np.asarray(basis @ (solver @ losses))

    def vertex(self, losses: Array) -> tuple[Array, Bools] | None:
        """Return the vertex of a parabola, wherever it lies."""
        if self.degree != 2:
            return None
        centre, solver = self._solver
        _, slope, bend = solver @ losses
        with np.errstate(all="ignore"):
            return centre - slope / (2.0 * bend), bend > 0


@dataclass(frozen=True)
class Spline:
    """Akima's interpolation (1970) of ln loss in ln N; losses at one size are averaged."""

    u: Array

    def at(self, u: Array, losses: Array) -> Array:
        """Values; see `Curve`."""
        # Between sizes that almost coincide slopes are wild, so such runs are averaged.
        node = np.concatenate([[0], np.cumsum(np.diff(self.u) > SAME_SIZE)])
        count = np.bincount(node)
        nodes = np.bincount(node, weights=self.u) / count
        means = np.zeros((len(nodes), losses.shape[1]))
        np.add.at(means, node, np.log(losses))
        curve = Akima1DInterpolator(nodes, means / count[:, None], extrapolate=True)
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(curve(u)))

    def vertex(self, losses: Array) -> tuple[Array, Bools] | None:  # noqa: ARG002
        """Return None: the minimum is found on a grid."""
        return None


def curve_of(bowl: Bowl, minimum: str) -> Curve:
    """Return the curve of a bowl by itself."""
    if minimum == "spline":
        return Spline(bowl.u)
    return Polynomial(bowl.u, min(DEGREES[minimum], len(bowl.sizes) - 1))


@dataclass(frozen=True)
class Lowest:
    """Where the curves of one bowl are lowest, for k sets of losses.

    Attributes
    ----------
    u : ndarray
        ln N, shape (k,); clipped to the sizes only where the curve has no minimum of its own.
    loss : ndarray
        Value there.
    inside : ndarray of bool
        Whether it lies between the smallest and the largest size.
    bends : ndarray of bool
        Whether the curve has a minimum at all.
    """

    u: Array
    loss: Array
    inside: Bools
    bends: Bools


def lowest(curve: Curve, bowl: Bowl, losses: Array) -> Lowest:
    """Find the lowest point of a curve for losses of shape (n, k)."""
    low, high = float(bowl.u[0]), float(bowl.u[-1])
    exact = curve.vertex(losses)
    if exact is None:
        at, bends = _on_grid(curve, low, high, losses)
    else:
        at, bends = exact
    inside = bends & (at > low) & (at < high)
    if not bends.all():
        ends = curve.at(np.array([low, high]), losses)
        at = np.where(bends, at, np.where(ends[0] <= ends[1], low, high))
    if len(at) == 1:
        value = curve.at(at, losses)[:, 0]
    else:  # one point of each set of losses
        value = np.concatenate(
            [curve.at(at[k : k + 1], losses[:, k : k + 1])[0] for k in range(len(at))]
        )
    return Lowest(at, value, inside, bends)


def _on_grid(curve: Curve, low: float, high: float, losses: Array) -> tuple[Array, Bools]:
    """Lowest point between two sizes: of a grid, refined by a parabola through three points."""
    grid = np.linspace(low, high, GRID)
    values = curve.at(grid, losses)
    k = values.argmin(axis=0)
    found = (k > 0) & (k < GRID - 1)
    j = np.clip(k, 1, GRID - 2)
    column = np.arange(values.shape[1])
    left, mid, right = (values[j + i, column] for i in (-1, 0, 1))
    bend = left - 2.0 * mid + right
    with np.errstate(all="ignore"):
        shift = np.where(found & (bend > 0), 0.5 * (left - right) / bend, 0.0)
    return np.where(found, grid[j] + shift * (grid[1] - grid[0]), grid[k]), found
