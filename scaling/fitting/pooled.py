"""The curve whose shape is pooled over budgets: two powers of N, and what they leave over.

At fixed compute an additive law is exactly ``c0 + c1 N^-p + c2 N^q`` with p, q its exponents, so a
curve of this form has no bias, where a parabola is pulled to the flatter side. Each budget has its
own c0, c1, c2; p and q are those of all budgets together. One budget at usual noise says little
about them, hence the prior: exponents of published laws lie about a third and differ little. It
fades as the noise does, so that noise-free curves are followed exactly.

Where curves depart from one shape by more than their noise (a likelihood ratio at the 1% level),
a smooth departure is added: a Gaussian process of length `LENGTH` in ln N.

References
----------
Patterson and Thompson (1971), restricted likelihood; Self and Liang (1987), tests at a boundary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

from scaling.fitting.bowls import Array, Bools, Bowl

# ln of the geometric mean of the two exponents, and ln of their ratio: prior mean and spread.
LEVEL, LEVEL_SD, RATIO_SD = np.log(0.33), 0.3, 0.3
LENGTH = 0.7  # of a departure from the shape, in ln N
DEPARTURES = (0.3, 3.0, 30.0, 300.0, 3000.0)  # variance of the departure over that of the noise
TEST = 2.706  # half of 5.41, which one chi-squared in two exceeds 1% of the time
BUDGETS_FOR_TEST = 3
EXCESS, ENOUGH = 0.12, 5  # ln loss above the lowest within which runs enter, and how many always do
FLOOR = 1e-26  # mean square of relative residuals that is rounding
COARSE = np.array([(s, d) for s in np.linspace(-1.9, -0.3, 6) for d in np.linspace(-1.2, 1.2, 7)])
EXACT, ROUGH = 1e-7, 1e-3  # tolerances of the search for the shape
STEP, REACH = 0.15, 5  # grid about the estimate on which replicates choose their shape


def near_the_minimum(bowl: Bowl) -> Bools:
    """Return which runs enter the curve: those near the lowest loss, shape (n,).

    Far from the minimum losses say more about how small models fail than about where it lies.
    """
    above = np.log(bowl.y / bowl.y.min())
    enough = np.sort(above)[min(ENOUGH, len(above)) - 1]
    return np.asarray(above <= max(EXCESS, float(enough)))


@dataclass(frozen=True)
class Powers:
    """The curve of one budget for a given shape.

    Attributes
    ----------
    u : ndarray
        ln N of the runs, shape (n,).
    p, q : float
        Exponents.
    departure : float
        Variance of the departure over that of the noise; 0 for none.
    """

    u: Array
    p: float
    q: float
    departure: float = 0.0

    def _basis(self, u: Array) -> Array:
        w = np.asarray(u) - self.u.mean()
        return np.stack([np.ones_like(w), np.exp(-self.p * w), np.exp(self.q * w)], axis=-1)

    @cached_property
    def _solvers(self) -> tuple[Array, Array]:
        """Maps from losses to the coefficients, shape (3, n), and to the departure's weights."""
        x = self._basis(self.u)
        if not self.departure:
            return np.asarray(np.linalg.pinv(x), np.float64), np.zeros((len(x), len(x)))
        factor = cho_factor(_covariance(self.u, self.u, self.departure) + np.eye(len(x)))
        inverse = cho_solve(factor, np.eye(len(x)))
        coefficients: Array = np.asarray(np.linalg.solve(x.T @ inverse @ x, x.T @ inverse))
        return coefficients, inverse @ (np.eye(len(x)) - x @ coefficients)

    def at(self, u: Array, losses: Array) -> Array:
        """Values; see `scaling.fitting.bowls.Curve`."""
        coefficients, rest = self._solvers
        weights = self._basis(u) @ coefficients
        if self.departure:
            weights = weights + _covariance(np.asarray(u), self.u, self.departure) @ rest
        return np.asarray(weights @ losses)

    def vertex(self, losses: Array) -> tuple[Array, Bools] | None:
        """Return where the two powers balance; None if there is a departure."""
        if self.departure:
            return None
        _, low, high = self._solvers[0] @ losses
        bends = (low > 0) & (high > 0)
        with np.errstate(all="ignore"):
            at = np.log(self.p * low / (self.q * high)) / (self.p + self.q) + self.u.mean()
        return np.where(bends, at, self.u[0]), bends


def _covariance(u: Array, v: Array, departure: float) -> Array:
    return np.asarray(departure * np.exp(-0.5 * ((u[:, None] - v[None, :]) / LENGTH) ** 2))


@dataclass(frozen=True)
class Shape:
    """Exponents pooled over budgets.

    Attributes
    ----------
    p, q : float
    departure : float
    sigma : float
        Noise as a share of the loss.
    """

    p: float
    q: float
    departure: float
    sigma: float

    def curve(self, bowl: Bowl) -> Powers:
        """Return the curve of a budget."""
        return Powers(bowl.u, self.p, self.q, self.departure)


def pool(bowls: Sequence[Bowl]) -> Shape:
    """Estimate the shape that the budgets share, by restricted likelihood and the prior.

    Parameters
    ----------
    bowls : sequence of Bowl
        With the runs that enter; four sizes or more each.
    """
    losses = [b.y[:, None] for b in bowls]

    def cost(node: Array, departure: float) -> float:
        return float(_objective(bowls, losses, node[None, :], departure)[0, 0])

    coarse = _objective(bowls, losses, COARSE, 0.0)[:, 0]
    node, best = _descend(cost, COARSE[int(coarse.argmin())], 0.0, EXACT)
    departure = 0.0
    if len(bowls) >= BUDGETS_FOR_TEST:
        trial = min(DEPARTURES, key=lambda value: cost(node, value))
        there, value = _descend(cost, node, trial, ROUGH)
        if value < best - TEST:
            departure, node = trial, there
    p, q = _exponents(node[None, :])
    square, freedom = 0.0, 0
    for bowl, y in zip(bowls, losses, strict=True):
        square += float(_left_over(bowl, y, p, q, departure)[0][0, 0])
        freedom += len(bowl.u) - 3
    sigma = float(np.sqrt(square / freedom)) if freedom else 0.0
    return Shape(float(p[0]), float(q[0]), departure, sigma)


def _descend(
    cost: Callable[[Array, float], float], start: Array, departure: float, tolerance: float
) -> tuple[Array, float]:
    found = minimize(
        cost,
        start,
        args=(departure,),
        method="Nelder-Mead",
        options={"xatol": tolerance, "fatol": tolerance, "maxiter": 300},
    )
    return np.asarray(found.x), float(found.fun)


def _exponents(nodes: Array) -> tuple[Array, Array]:
    level, ratio = nodes.T
    return np.exp(level - 0.5 * ratio), np.exp(level + 0.5 * ratio)


def _objective(
    bowls: Sequence[Bowl], losses: Sequence[Array], nodes: Array, departure: float
) -> Array:
    """Negative log posterior of shapes, shape (j, k): nodes of shape (j, 2), k sets of losses."""
    p, q = _exponents(nodes)
    square: Array | float = 0.0
    volume: Array | float = 0.0
    freedom = 0
    for bowl, y in zip(bowls, losses, strict=True):
        left, logs = _left_over(bowl, y, p, q, departure)
        square, volume = square + left, volume + logs
        freedom += len(bowl.u) - 3
    prior = ((nodes[:, 0] - LEVEL) / LEVEL_SD) ** 2 + (nodes[:, 1] / RATIO_SD) ** 2
    fit = freedom * np.log(np.maximum(square, FLOOR * max(freedom, 1)))
    return np.asarray(0.5 * (fit + np.asarray(volume)[:, None] + prior[:, None]))


def _left_over(
    bowl: Bowl, losses: Array, p: Array, q: Array, departure: float
) -> tuple[Array, Array]:
    """Generalised residual squares, shape (j, k), and the restricted likelihood's volumes, (j,)."""
    y = losses / losses.mean(axis=0)
    w = bowl.u - bowl.u.mean()
    x = np.stack(
        [np.ones((len(p), len(w))), np.exp(-np.outer(p, w)), np.exp(np.outer(q, w))], axis=-1
    )
    plain = np.abs(np.diagonal(np.linalg.qr(x)[1], axis1=1, axis2=2))
    volume = np.zeros(len(p))
    if departure:
        root = np.linalg.cholesky(_covariance(w, w, departure) + np.eye(len(w)))
        y = solve_triangular(root, y, lower=True)
        flat = solve_triangular(root, x.transpose(1, 0, 2).reshape(len(w), -1), lower=True)
        x = flat.reshape(len(w), len(p), 3).transpose(1, 0, 2)
        volume += 2.0 * np.log(np.diag(root)).sum()
    basis, r = np.linalg.qr(x)
    if departure:
        own = np.abs(np.diagonal(r, axis1=1, axis2=2))
        volume += 2.0 * (np.log(own) - np.log(plain)).sum(axis=1)
    inner = basis.transpose(0, 2, 1) @ y
    if y.shape[1] == 1:  # without cancellation
        return np.asarray(((y - basis @ inner) ** 2).sum(axis=1)), volume
    return np.maximum((y**2).sum(axis=0) - (inner**2).sum(axis=1), 0.0), volume


def redrawn(
    bowls: Sequence[Bowl], losses: Sequence[Array], shape: Shape
) -> Iterator[tuple[NDArray[np.int64], Shape]]:
    """Choose the shape of each replicate, on a grid about the estimate.

    Yields
    ------
    (ndarray of int, Shape)
        Replicates that share a shape, and it.
    """
    level, ratio = 0.5 * np.log(shape.p * shape.q), np.log(shape.q / shape.p)
    steps = STEP * np.arange(-REACH, REACH + 1)
    nodes = np.array([(level + s, ratio + d) for s in steps for d in steps])
    best = _objective(bowls, losses, nodes, shape.departure).argmin(axis=0)
    p, q = _exponents(nodes)
    for j in np.unique(best):
        members = np.flatnonzero(best == j).astype(np.int64)
        yield members, Shape(float(p[j]), float(q[j]), shape.departure, shape.sigma)
