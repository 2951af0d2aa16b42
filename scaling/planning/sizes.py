"""The sizes that a family can realise under a study's options, and what a token costs at each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling import count
from scaling.laws.cost import SIX_ND, Cost

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
NEAR, POINTS = 2.0, 25


@dataclass(frozen=True)
class Sizes:
    """Every size of a family, in order of growing N.

    Attributes
    ----------
    family : Family
    options : mapping
        What all members share.
    dials : sequence of int
        Values of the family's dial, m of them.
    N : ndarray
        Body and head [count], shape (m,).
    flops : ndarray
        Training FLOP per unit of D, head and full attention included, shape (m,).
    """

    family: count.Family
    options: Mapping[str, Any]
    dials: tuple[int, ...]
    N: Array
    flops: Array

    @classmethod
    def of(cls, family: count.Family, options: Mapping[str, Any]) -> Sizes:
        """Count every member of `family`."""
        table = count.sizes(family, options)
        counts = [family.counts(family.shape(dial, options)) for dial in table.dials]
        flops = np.array([c.training for c in counts], dtype=np.float64)
        return cls(family, options, table.dials, table.N.astype(np.float64), flops)

    def flops_at(self, size: Array) -> Array:
        """Training FLOP per unit of a model of any N, between those that exist."""
        return np.exp(_line(np.log(self.N), np.log(self.flops), np.log(size)))

    def size_at(self, flops: Array) -> Array:
        """N of a model that costs `flops` per unit; the inverse of `flops_at`."""
        return np.exp(_line(np.log(self.flops), np.log(self.N), np.log(flops)))

    def cost(self, low: float, high: float, near: float = NEAR) -> Cost:
        """What C counts for models of N from `low` to `high`, as a law of N and D.

        6ND where that is within a factor `near` of what a unit really costs, as it is for text;
        else a power law through the counted costs, as images need.
        """
        size = np.geomspace(low, high, POINTS) if high > low else np.array([low])
        return cost_through(size, self.flops_at(size), near)

    def nearest(self, size: Array, tolerance: float | None) -> Ints:
        """Index of the size nearest in the logarithm, -1 where none is near enough."""
        return count.solve(self.family, size, self.options, tolerance)


def cost_through(size: Array, flops: Array, near: float = NEAR) -> Cost:
    """6ND where it is within a factor `near` of counted FLOP per unit, else their power law in N.

    Parameters
    ----------
    size, flops : ndarray
        N [count] and training FLOP per unit of D, shape (k,).
    near : float
    """
    if np.abs(np.log(flops / (6.0 * size))).max() <= np.log(near):
        return SIX_ND
    slope = 1.0
    if size.max() > size.min():
        slope = float(np.polyfit(np.log(size), np.log(flops), 1)[0])
    slope = float(f"{slope:.4g}")
    level = float(np.exp((np.log(flops) - slope * np.log(size)).mean()))
    return Cost("counted", f"{level:.4g}*N**{slope:.4g}*D")


def _line(x: Array, y: Array, at: Array) -> Array:
    """Interpolate, and go on beyond the ends with the slope there; one size has slope 1."""
    if len(x) == 1:
        return np.asarray(y[0] + (at - x[0]))
    inside = np.interp(at, x, y)
    below = y[0] + (at - x[0]) * (y[1] - y[0]) / (x[1] - x[0])
    above = y[-1] + (at - x[-1]) * (y[-1] - y[-2]) / (x[-1] - x[-2])
    return np.asarray(np.where(at < x[0], below, np.where(at > x[-1], above, inside)), np.float64)
