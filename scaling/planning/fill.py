"""Stretching a design until it costs what may be spent.

Every kind but the optimal one is moved along the compute-optimal direction by one factor f of
compute: budgets by f, sizes by f^a, data by f^(1-a). Ratios between its points stay as they were.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scaling.errors import Fault, Message, PlanError
from scaling.planning.sections import Box, DesignSection

HALF = 0.5  # exponent a where nothing is believed of the optimum
REACH = 30.0  # of ln f, to either side
FINE = 0.5  # step in ln f of a closer look
HALVINGS = 60
MOSTLY = 0.8  # share of a budget, below which it is a warning that no more can be spent
KEPT = 0.9  # share of the points of the design as written that its scaled form must keep
DIGITS = 6


def scaled(design: DesignSection, factor: float, exponent: float) -> DesignSection:
    """Return the design with every compute times `factor`; what is ``extra`` stays as it is.

    Parameters
    ----------
    design : DesignSection
    factor : float
    exponent : float
        a of N* = C^a, which divides the factor between N and D.
    """
    by_n, by_d = factor**exponent, factor ** (1.0 - exponent)

    def times(values: list[float], by: float) -> list[float]:
        return [_short(v * by) for v in values]

    changes: dict[str, object] = {
        "budgets": times(design.budgets, factor),
        "params": times(design.params, by_n),
        "data": times(design.data, by_d),
        "points": [[_short(p[0] * by_n), _short(p[1] * by_d), *p[2:]] for p in design.points],
    }
    if isinstance(design.sizes, list):
        changes["sizes"] = times(design.sizes, by_n)
    if design.box is not None:
        by = {"N": by_n, "D": by_d, "C": factor}
        ranges = {k: getattr(design.box, k) for k in by}
        changes["box"] = Box(**{k: times(v, by[k]) for k, v in ranges.items() if v is not None})
    return design.model_copy(update=changes)


def fill(
    design: DesignSection,
    budget: float,
    exponent: float,
    spent: Callable[[DesignSection], tuple[float, int]],
    unit: str,
) -> tuple[DesignSection, Message]:
    """Scale a design to the largest cost that is within a budget.

    Parameters
    ----------
    design : DesignSection
    budget : float
        What may be spent.
    exponent : float
        See `scaled`.
    spent : callable
        What a design costs, in the unit of `budget`, and how many points of it can be trained.
    unit : str
        For the message.

    Returns
    -------
    design : DesignSection
    message : Message
        SC235: by how much it was scaled.

    Raises
    ------
    PlanError
        SC236 if even the smallest form that can be trained costs more.
    """
    own, count = spent(design)

    def cost(log_factor: float) -> float:
        """Cost of a factor; 0 where points are lost that the design has, or most of it."""
        value, points = spent(scaled(design, _short(np.exp(log_factor)), exponent))
        return value if points >= least else 0.0

    if not count:  # nothing of it can be trained as written: most of what any factor gives
        wide = np.exp(np.arange(-REACH, REACH, 1.0))
        count = max(spent(scaled(design, _short(factor), exponent))[1] for factor in wide)
    least = max(1, int(KEPT * count))

    low, high = _bracket(cost, budget) or _cheapest(cost, budget, unit)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        if high - low < 1e-6:
            break
        low, high = (middle, high) if 0 < cost(middle) <= budget else (low, middle)
    factor = _short(np.exp(low))
    found = scaled(design, factor, exponent)
    value = spent(found)[0]
    text = f"The design was scaled to spend {value:.4g} of {budget:.4g} {unit}"
    text += f", {value / own:.4g} times what it costs as written." if own else "."
    if value < MOSTLY * budget:
        text += " No larger form of it can be trained with these models and data."
        return found, Message("SC235", text)
    return found, Message("SC235", text, "info")


def _bracket(cost: Callable[[float], float], budget: float) -> tuple[float, float] | None:
    """A factor that costs no more than the budget, and one above it that costs more.

    Cells that are too small to be trained cost nothing, so only positive costs count.
    """
    step, at = 1.0, 0.0
    if 0 < cost(at) <= budget:
        while at < REACH and 0 < cost(at + step) <= budget:
            at += step
        return at, at + step
    start = at
    while at > start - REACH:
        at -= step
        if 0 < cost(at) <= budget:
            return at, at + step
    at = start  # too small as it stands: the first factor at which anything can be trained
    while at < start + REACH:
        at += step
        if 0 < cost(at) <= budget:
            return at, at + step
    return None


def _cheapest(cost: Callable[[float], float], budget: float, unit: str) -> tuple[float, float]:
    """The factor at which least is to be paid, looked for more closely; and one above it."""
    factors = np.arange(-REACH, REACH, FINE)
    costs = np.array([cost(at) for at in factors])
    costs[costs <= 0] = np.inf
    i = int(costs.argmin())
    if costs[i] <= budget:
        return float(factors[i]), float(factors[i] + FINE)
    least = f"from {costs[i]:.4g} {unit}"
    raise PlanError(
        Fault(
            "SC236",
            "a budget",
            f"{budget:.4g} {unit} are too few for this design",
            "nothing of it can be trained" if costs[i] == np.inf else least,
            "fewer or smaller points, or more to spend",
        )
    )


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
