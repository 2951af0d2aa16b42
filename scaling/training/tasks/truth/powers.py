"""Items whose frequencies are a power of their rank: sums over all of them, and draws.

Item i = 1, 2, … has the chance ``θ_i = i^-(1+α)/ζ(1+α)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gamma, zeta

Floats = NDArray[np.float64]
HEAD = 2**16  # items that are summed one by one
DENSE = 2**20  # items whose counts are drawn together
AT_ONCE = 2**22  # rarer items that are drawn together
PANEL, NODES = 1.0, 16  # of the quadrature, in ln i
NEGLIGIBLE = 42.0  # -ln of a share of the result that is left out


def chances(alpha: float, items: Floats) -> Floats:
    """Return θ of the items, shape as `items`."""
    return np.asarray(items ** -(1.0 + alpha) / zeta(1.0 + alpha))


def tail(alpha: float, n: int) -> float:
    """Return Σ_{i>n} θ_i, by Hurwitz' zeta function."""
    return float(zeta(1.0 + alpha, n + 1.0) / zeta(1.0 + alpha))


def total(alpha: float, weight: Callable[[Floats], Floats], n: float, scale: float) -> float:
    """Sum θ_i w(θ_i) over the items i ≤ n.

    Parameters
    ----------
    alpha : float
    weight : callable
        w, smooth, of order ``scale * θ`` where that is small.
    n : float
        May be infinite.
    scale : float
        Items with ``scale * θ`` far below 1 add nothing.

    Notes
    -----
    The first 65536 terms are added. The rest is the integral from i + 1/2 (the midpoint rule, whose
    error is of relative order 1e-10 here), by Gauss and Legendre's formula in ln i.
    """
    head = np.arange(1.0, min(HEAD, n) + 1.0)
    theta = chances(alpha, head)
    found = float(theta @ weight(theta))
    if n <= HEAD:
        return found
    low = math.log(HEAD + 0.5)
    high = max(low, (math.log(max(scale, 1.0)) + NEGLIGIBLE) / (1.0 + alpha))
    high = min(high, math.log(n + 0.5))
    edges = np.linspace(low, high, max(1, math.ceil((high - low) / PANEL)) + 1)
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    half = np.diff(edges)[:, None] / 2
    x = np.exp(edges[:-1, None] + half * (1.0 + nodes))
    theta = chances(alpha, x)
    return found + float((half * weights * theta * weight(theta) * x).sum())


def missed(alpha: float, draws: float, n: float = math.inf, share: float = 1.0) -> float:
    """Expected mass of the items that a memory does not know, Σ_{i≤n} θ_i (1-sθ_i)^D + Σ_{i>n} θ_i.

    Parameters
    ----------
    alpha : float
    draws : float
        D.
    n : float
        Items that the memory can hold.
    share : float
        s: chance that a draw is of these items at all.
    """

    def met(theta: Floats) -> Floats:
        return np.asarray(-np.expm1(draws * np.log1p(-share * theta)))

    return 1.0 - total(alpha, met, n, draws)


def coefficient_of_size(alpha: float) -> float:
    """Return 1/(α ζ(1+α)): the tail is this times N^-α for large N."""
    return float(1.0 / (alpha * zeta(1.0 + alpha)))


def coefficient_of_data(alpha: float) -> float:
    """Return c: what D draws leave unseen is c D^(-α/(1+α)) for large D.

    ``c = Γ(α/(1+α)) ζ(1+α)^(-1/(1+α))/(1+α)`` (Hutter 2021, Learning Curve Theory).
    """
    return float(
        gamma(alpha / (1 + alpha)) * zeta(1.0 + alpha) ** (-1.0 / (1 + alpha)) / (1 + alpha)
    )


def above(alpha: float, first: int, count: int, rng: np.random.Generator) -> Floats:
    """Draw items after `first`, shape (count,): whole numbers, as floats for their range.

    A Pareto variable rounded down is accepted with the ratio of both chances, which falls with i
    (Devroye 1986, Non-Uniform Random Variate Generation, X.6.1).
    """
    start = first + 1.0

    def ratio(i: Floats) -> Floats:
        # α i^-(1+α) over i^-α - (i+1)^-α
        return np.asarray(alpha / (i * -np.expm1(-alpha * np.log1p(1.0 / i))))

    most = float(ratio(np.array([start]))[0])
    found = np.empty(count)
    done = 0
    while done < count:
        u = 1.0 - rng.random(count - done)  # never 0
        i = np.floor(start * u ** (-1.0 / alpha))
        kept = i[rng.random(len(i)) * most <= ratio(i)]
        found[done : done + len(kept)] = kept
        done += len(kept)
    return found


@dataclass(frozen=True)
class Memory:
    """Items that were met.

    Attributes
    ----------
    common : ndarray of bool
        Of the items 1, 2, …; shape (dense,).
    rare : ndarray
        The others that were met, ascending.
    """

    common: NDArray[np.bool_]
    rare: Floats

    def knows(self, items: Floats) -> NDArray[np.bool_]:
        """Whether each item was met, shape as `items`."""
        dense = len(self.common)
        known = np.zeros(len(items), dtype=np.bool_)
        low = items <= dense
        known[low] = self.common[items[low].astype(np.int64) - 1]
        if len(self.rare):
            high = items[~low]
            at = np.minimum(np.searchsorted(self.rare, high), len(self.rare) - 1)
            known[~low] = self.rare[at] == high
        return known

    def mass(self, alpha: float, n: float = math.inf) -> float:
        """Return Σ θ_i over the items i ≤ n that were met."""
        known = np.concatenate([np.flatnonzero(self.common) + 1.0, self.rare])
        return float(chances(alpha, known[known <= n]).sum())


def meet(alpha: float, draws: int, rng: np.random.Generator) -> Memory:
    """Draw items and keep which were met.

    How often each of the common items occurs among all draws is drawn at once, which is the same as
    drawing one by one; the rest are drawn one by one.
    """
    dense = int(min(DENSE, max(1024, draws)))
    p = chances(alpha, np.arange(1.0, dense + 1.0))
    counts = rng.multinomial(draws, np.append(p, max(0.0, 1.0 - p.sum())))
    rare = np.zeros(0)
    left = int(counts[-1])
    while left:
        part = min(left, AT_ONCE)
        rare = np.union1d(rare, above(alpha, dense, part, rng))
        left -= part
    return Memory(counts[:-1] > 0, rare)
