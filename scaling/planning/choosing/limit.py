"""The limit of what a choice of runs can do, with a certificate.

Replicates are let be fractions. Of the criterion ``f(x) = sum w ln(g' M(x)^-1 g)`` at replicates x
``exp(-f)`` is then concave; so by its gradient at any x no choice y with ``cost . y <= budget`` and
``sum y <= most`` has less than

    f(x) - ln(1 + max_y d . y - d . x),   d = -df/dx

(the equivalence theorem of Kiefer and Wolfowitz 1960, as a bound). The maximum is a linear program
with two constraints, bounded by its dual with one price. Fractions are found by the multiplicative
algorithm (Torsney 1983; Yu 2010).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.planning.choosing.candidates import Problem

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
ROUNDS = 12
STEPS = 120
CLOSE = 1e-3  # of ln variance, from the bound, at which to stop
KEPT = 80  # candidates that a round works on
PRICE_STEP = 0.25


@dataclass(frozen=True)
class Limit:
    """The best fractions found and the bound that none can pass.

    Attributes
    ----------
    value : float
        Lower bound of the criterion, mean ln variance.
    reached : float
        Criterion of `replicates`.
    replicates : ndarray
        Fractional replicates, shape (m,).
    """

    value: float
    reached: float
    replicates: Array


def limit(problem: Problem, budget: float, most: float) -> Limit | None:
    """Bound the criterion over every choice within a budget and a number of runs.

    None where trunks are shared, whose costs do not add up, or where no candidate fits.
    """
    cost = problem.cells.cost / budget
    fits = cost <= 1.0 + 1e-12
    if problem.trunks or not fits.any():
        return None
    x = np.where(fits, 1.0, 0.0)
    x /= max(float(cost @ x), float(x.sum()) / most)
    price, lower = 0.5, -np.inf
    best, reached = x, np.inf
    active = np.flatnonzero(fits)
    for _ in range(ROUNDS):
        x, price = _multiply(problem, x, price, cost, most, active)
        value, d = _gradient(problem, x, np.arange(len(x)))
        d = np.where(fits, d, 0.0)
        if value < reached:
            best, reached = x, value
        top, price = _dual(d, cost, most)
        lower = max(lower, value - float(np.log(1.0 + top - d @ x)))
        if reached - lower < CLOSE:
            break
        merit = d / ((1.0 - price) * cost + price / most)
        order = np.argsort(-np.round(merit, 9), kind="stable")
        active = np.union1d(order[:KEPT], np.flatnonzero(x > 1e-4 * x.max()))
        active = active[fits[active]]
        # what enters has a share to grow from; what leaves gives its own up
        entered = np.zeros(len(x))
        entered[active] = np.maximum(x[active], 1e-3 * x.sum() / len(active))
        x = entered / max(float(cost @ entered), float(entered.sum()) / most)
    return Limit(lower, reached, best)


def _multiply(
    problem: Problem, x: Array, price: float, cost: Array, most: float, active: Ints
) -> tuple[Array, float]:
    """Multiplicative steps on some candidates; the price of a run balances both constraints."""
    own, z, step = cost[active], x[active], PRICE_STEP
    side = 0.0
    for _ in range(STEPS):
        _, d = _gradient(problem, z, active)
        unit = (1.0 - price) * own + price / most
        z = z * np.sqrt(d / unit)
        spent, runs = float(own @ z), float(z.sum()) / most
        z = z / ((1.0 - price) * spent + price * runs)
        gap = float(np.log(runs) - np.log(spent))
        if gap * side < 0:
            step *= 0.5
        side = gap
        odds = np.log(price) - np.log1p(-price) + step * np.clip(4.0 * gap, -1.0, 1.0)
        price = float(1.0 / (1.0 + np.exp(-np.clip(odds, -12.0, 12.0))))
    out = np.zeros(len(x))
    out[active] = z / max(float(own @ z), float(z.sum()) / most)
    return out, price


def _gradient(problem: Problem, x: Array, index: Ints) -> tuple[float, Array]:
    """Criterion at fractions of some candidates, and minus its gradient."""
    value, d = 0.0, np.zeros(len(index))
    for table, weight in zip(problem.tables, problem.weights, strict=True):
        rows = table.alone[index]
        cov = np.linalg.inv(table.base + rows.T @ (rows * x[:, None]))
        g = table.decisions
        variance = np.einsum("qp,pr,qr->q", g, cov, g)
        value += float(weight @ np.log(variance))
        d += (rows @ cov @ g.T) ** 2 @ (weight / variance)
    return value, d


def _dual(d: Array, cost: Array, most: float) -> tuple[float, float]:
    """Bound ``max d.y`` over ``cost.y <= 1``, ``sum y <= most``, and the share paid for runs.

    For any price t of a run it is at most ``most t + max (d - t)/cost``; the best price is found by
    golden section.
    """
    low, high = 0.0, float(d.max())

    def bound(t: float) -> float:
        return most * t + float(np.maximum((d - t) / cost, 0.0).max())

    ratio = (np.sqrt(5.0) - 1.0) / 2.0
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if bound(left) <= bound(right):
            high = right
        else:
            low = left
    t = 0.5 * (low + high)
    return bound(t), float(np.clip(most * t / bound(t), 1e-6, 1.0 - 1e-6))
