"""How to spend compute, for any law of N and D and any cost.

`best_size` minimises the loss along a line of equal cost, `least_cost` the cost along a line of
equal loss. Both follow their line in ln N, bracket the minimum on a grid and bring the derivative
to zero, to the last digit, for all draws of the parameters at once. Laws with a closed form use it
under C = 6ND.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.laws import Law
from scaling.laws.cost import SIX_ND, Cost

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Params = Mapping[str, Any]
Held = Mapping[str, Any]

GRID = 96
HALVINGS = 64
NEWTON = 100
SMALLEST = 0.0  # ln N and ln D where the search begins
ENDLESS = 60.0 * np.log(10.0)  # ln of tokens or parameters that stand for no limit
LARGEST = 25.0 * np.log(10.0)  # ln N where the search for the least cost ends
CHUNK = 40_000  # values of the law at once
REACHED = 1e-9  # of ln loss
STEP = 0.05  # of ln C, of which local exponents are slopes


def allocates(law: Law) -> bool:
    """Whether a law of the loss says how to divide compute."""
    return law.response == "loss" and {"N", "D"} <= set(law.variables)


def with_unique_data(law: Law, amount: float) -> Law:
    """Return a law of repeated data as a law of N and D alone, for `amount` of distinct data.

    Data repeat only once they are used up: the distinct data of a run are the smaller of D and
    what there is.
    """
    formula = re.sub(r"\bD_unique\b", f"minimum(D, {amount!r})", law.formula)
    variables = tuple(v for v in law.variables if v != "D_unique")
    return replace(law, formula=formula, variables=variables, frontier=None)


def has_closed_form(law: Law, cost: Cost, held: Held) -> bool:
    """Whether the optimum of a law is known in closed form under this cost."""
    return law.frontier is not None and cost.formula == SIX_ND.formula and not held


def best_size(
    law: Law,
    params: Params,
    log_c: Array,
    cost: Cost = SIX_ND,
    held: Held | None = None,
    most_data: float | None = None,
) -> tuple[Array, Array]:
    """Return ln N* and ln D* at budgets.

    Parameters
    ----------
    law : Law
        Of N and D, and perhaps of variables that are held.
    params : mapping
        Numbers, or draws of shape (k, 1).
    log_c : ndarray
        ln C, shape (m,), or (k, m) where every draw has its own.
    cost : Cost
    held : mapping, optional
        Values of the law's other variables.
    most_data : float, optional
        Cap on D [count].

    Returns
    -------
    u, v : ndarray
        Shape (m,), or (k, m) with draws; NaN where the loss has no minimum along the budget.
    """
    log_c, held = np.asarray(log_c, dtype=np.float64), held or {}
    if law.frontier is not None and has_closed_form(law, cost, held):
        u = np.asarray(law.frontier.log_size(params, log_c))
        v = log_c - np.log(6.0) - u
    elif not held and (drawn := law.drawn_sizes(params, log_c, cost)) is not None:
        u, v = drawn, cost.log_tokens(drawn, log_c)
    else:
        u, v = _in_chunks(_along_budget, law, params, log_c, cost, held)
    if most_data is None:
        return u, v
    cap = np.log(most_data)
    over = v > cap
    rest = cost.log_size(np.full(v.shape, cap), log_c)
    return np.where(over, rest, u), np.where(over, cap, v)


def least_cost(
    law: Law,
    params: Params,
    log_loss: Array,
    cost: Cost = SIX_ND,
    held: Held | None = None,
    most_data: float | None = None,
) -> tuple[Array, Array, Array]:
    """Return ln C, ln N and ln D of the cheapest way to a loss.

    Parameters
    ----------
    law, params, cost, held, most_data
        See `best_size`.
    log_loss : ndarray
        ln loss, shape (m,), or (k, m) where every draw has its own.

    Returns
    -------
    log_c, u, v : ndarray
        Shape (m,), or (k, m); NaN where the loss is out of reach.
    """
    log_loss, held = np.asarray(log_loss, dtype=np.float64), held or {}
    if has_closed_form(law, cost, held):
        u, v = _on_frontier(law, params, log_loss)
    elif not held and (drawn := law.drawn_costs(params, log_loss, cost)) is not None:
        u, v = drawn[1], cost.log_tokens(drawn[1], drawn[0])
    else:
        u, v = _in_chunks(_along_loss, law, params, log_loss, cost, held)
    if most_data is not None:
        cap = np.full(v.shape, np.log(most_data))
        over = ~(v <= cap)  # those out of reach too
        u = np.where(over, amount_for(law, params, log_loss, "N", cap, held), u)
        v = np.where(over, cap + 0.0 * u, v)
    with np.errstate(all="ignore"):
        return np.log(cost.compute(np.exp(u), np.exp(v))), u, v


def amount_for(
    law: Law, params: Params, log_loss: Array, asked: str, log_given: Array, held: Held
) -> Array:
    """Return ln of the N or D, whichever is `asked`, at which a loss is reached given the other.

    NaN where it never is.
    """
    rows = max((np.shape(value)[0] for value in params.values() if np.ndim(value)), default=0)
    shape = np.broadcast_shapes(np.shape(log_loss), np.shape(log_given))
    if rows and len(shape) < 2:
        shape = (rows, *shape)
    given = np.exp(np.broadcast_to(log_given, shape))
    other = "N" if asked == "D" else "D"

    def along(x: Array) -> tuple[Array, Array]:
        return _value_and_slope(law, params, {**held, other: given, asked: np.exp(x)}, asked)

    return _reach(along, np.broadcast_to(log_loss, shape))


def slope_along(
    law: Law, params: Params, u: Array, v: Array, cost: Cost, held: Held
) -> tuple[Array, Array]:
    """Return the loss and its derivative by ln N along the budget, d loss / d ln N at fixed C."""
    loss, by_n, by_d = _slopes(law, params, u, v, held)
    _, cost_n, cost_d = cost.log_slopes(u, v)
    return loss, by_n - by_d * cost_n / cost_d


def lowest_along(law: Law, params: Mapping[str, float], level: float, slope: float) -> float:
    """Return ln N of the lowest loss along ``ln D = level + slope ln N``, slope below 0."""
    line = Cost("line", f"N**{-slope:.17g}*D")
    own = {name: params[name] for name in law.names}
    return float(_in_chunks(_along_budget, law, own, np.array([level]), line, {})[0][0])


def local_exponents(
    law: Law, params: Params, compute: float, cost: Cost, held: Held | None = None
) -> tuple[Any, Any]:
    """Return (a, b): the slopes of ln N* and ln D* in ln C, at `compute` where they vary."""
    if law.frontier is not None and has_closed_form(law, cost, held or {}):
        return law.frontier.exponents(params)
    own = {k: np.asarray(v)[:, None] if np.ndim(v) else v for k, v in params.items()}
    u, v = best_size(law, own, np.log(compute) + np.array([-STEP, STEP]), cost, held)
    a, b = (np.diff(x, axis=-1)[..., 0] / (2.0 * STEP) for x in (u, v))
    return (float(a), float(b)) if np.ndim(a) == 0 else (a, b)


# ---------------------------------------------------------------------------------------- slopes


def _value_and_slope(
    law: Law, params: Params, data: Mapping[str, Any], by: str
) -> tuple[Array, Array]:
    """Loss and its derivative by the logarithm of one variable."""
    with np.errstate(all="ignore"):
        value, slope = law.expression.value_and_gradient({**params, **data}, (by,), {})
        return np.asarray(value), np.asarray(slope[by] * data[by])


def _slopes(law: Law, params: Params, u: Array, v: Array, held: Held) -> tuple[Array, Array, Array]:
    """Loss and its derivatives by ln N and ln D."""
    env = {**params, **held, "N": np.exp(u), "D": np.exp(v)}
    with np.errstate(all="ignore"):
        value, slope = law.expression.value_and_gradient(env, ("N", "D"), {})
        by_n, by_d = (np.asarray(slope[name] * env[name]) for name in ("N", "D"))
    return np.asarray(value), by_n, by_d


# --------------------------------------------------------------------------------------- solving


def _reach(along: Callable[[Array], tuple[Array, Array]], goal: Array) -> Array:
    """Solve ``ln loss(x) = goal`` for the log of an amount, by Newton from the left.

    The log of a falling loss is convex in the log of what it falls with, so that steps from the
    left never pass the solution. NaN where the loss is not reached.
    """
    x = np.full(goal.shape, np.log(1e4))
    with np.errstate(all="ignore"):
        for _ in range(20):  # begin where the loss is still above the goal
            above = np.log(along(x)[0]) > goal
            if above.all():
                break
            x = np.where(above, x, x - 5.0)
        for _ in range(NEWTON):
            value, slope = along(x)
            step = np.clip((goal - np.log(value)) * value / slope, -5.0, 20.0)
            step = np.where(np.isfinite(step), step, 20.0)
            x = np.minimum(x + step, ENDLESS)
            moving = (np.abs(step) > 1e-14 * (1.0 + np.abs(x))) & (x < ENDLESS)
            if not moving.any():
                break
        missed = np.abs(np.log(along(x)[0]) - goal)
    return np.where((missed < REACHED) & (x < ENDLESS), x, np.nan)


def _on_frontier(law: Law, params: Params, log_loss: Array) -> tuple[Array, Array]:
    """Find the budget whose lowest loss is the one asked for, where budgets have closed forms."""
    rows = max((np.shape(value)[0] for value in params.values() if np.ndim(value)), default=0)
    shape = (rows, log_loss.shape[-1]) if rows else log_loss.shape

    def along(log_c: Array) -> tuple[Array, Array]:
        u, v = best_size(law, params, log_c)
        loss, _, by_d = _slopes(law, params, u, v, {})
        return loss, by_d  # the envelope theorem: ln C moves ln D at equal N

    log_c = _reach(along, np.broadcast_to(log_loss, shape))
    return best_size(law, params, log_c)


Search = Callable[[Law, Params, Array, Cost, Held], tuple[Array, Array]]


def _in_chunks(
    search: Search, law: Law, params: Params, lines: Array, cost: Cost, held: Held
) -> tuple[Array, Array]:
    """Search for some draws at a time; a row of `lines` may belong to each draw."""
    rows = max((np.shape(value)[0] for value in params.values() if np.ndim(value)), default=0)
    if not rows:
        columns = {name: np.full((1, 1), value) for name, value in params.items()}
        u, v = search(law, columns, lines[None, :], cost, held)
        return u[0], v[0]
    own = np.broadcast_to(lines, (rows, lines.shape[-1]))
    size = max(1, CHUNK // (GRID * own.shape[1]))
    parts = []
    for first in range(0, rows, size):
        part = slice(first, first + size)
        chosen = {k: value[part] if np.ndim(value) else value for k, value in params.items()}
        parts.append(search(law, chosen, own[part], cost, held))
    return np.concatenate([u for u, _ in parts]), np.concatenate([v for _, v in parts])


def _cubes(params: Params) -> Params:
    return {name: np.asarray(value)[..., None] for name, value in params.items()}


def _along_budget(
    law: Law, params: Params, log_c: Array, cost: Cost, held: Held
) -> tuple[Array, Array]:
    """Lowest loss along budgets; parameters of shape (k, 1), `log_c` of shape (k, m)."""
    share = np.linspace(0.0, 1.0, GRID + 2)[1:-1]
    grid = SMALLEST + share * (log_c[..., None] - SMALLEST)
    with np.errstate(all="ignore"):
        data = cost.log_tokens(grid, log_c[..., None])
        values = law.loss(_cubes(params), {**held, "N": np.exp(grid), "D": np.exp(data)})
        values = np.where(data > SMALLEST, values, np.inf)

        def slope(u: Array) -> Array:
            return slope_along(law, params, u, cost.log_tokens(u, log_c), cost, held)[1]

        u = _lowest(grid, values, slope)
        return u, cost.log_tokens(u, log_c)


def _along_loss(
    law: Law, params: Params, log_loss: Array, cost: Cost, held: Held
) -> tuple[Array, Array]:
    """Lowest cost along lines of equal loss; shapes as in `_along_budget`."""
    share = np.linspace(0.0, 1.0, GRID)
    grid = np.broadcast_to(SMALLEST + share * (LARGEST - SMALLEST), (*log_loss.shape, GRID))

    def follow(u: Array, goal: Array, own: Params) -> Array:
        def along(v: Array) -> tuple[Array, Array]:
            return _value_and_slope(law, own, {**held, "N": np.exp(u), "D": np.exp(v)}, "D")

        return _reach(along, np.broadcast_to(goal, u.shape))

    def slope(u: Array) -> Array:
        v = follow(u, log_loss, params)
        _, by_n, by_d = _slopes(law, params, u, v, held)
        _, cost_n, cost_d = cost.log_slopes(u, v)
        return np.asarray(cost_n - cost_d * by_n / by_d)

    with np.errstate(all="ignore"):
        data = follow(grid, log_loss[..., None], _cubes(params))
        values = np.log(cost.compute(np.exp(grid), np.exp(data)))
        u = _lowest(grid, values, slope)
        return u, follow(u, log_loss, params)


def _lowest(grid: Array, values: Array, slope: Callable[[Array], Array]) -> Array:
    """Where values on a grid along the last axis are lowest, refined; NaN where not bracketed.

    The line may end between the lowest point and its neighbour, where N or D run out; then the
    bracket begins inside the line, on the side of the end.
    """
    values = np.where(np.isfinite(values), values, np.inf)
    k = values.argmin(axis=-1)[..., None]
    best = np.take_along_axis(values, k, axis=-1)[..., 0]
    inner = np.clip(k, 1, grid.shape[-1] - 2)
    low, middle, high = (np.take_along_axis(grid, inner + i, axis=-1)[..., 0] for i in (-1, 0, 1))
    found = (k == inner)[..., 0] & np.isfinite(best)
    low, up = _inside(slope, low, middle, -1.0)
    high = np.where(np.isnan(up), high, up)
    high, down = _inside(slope, high, np.where(np.isnan(up), middle, low), 1.0)
    low = np.where(np.isnan(down), low, down)
    found &= (slope(low) < 0) & (slope(high) > 0)
    return np.where(found, _zero(slope, low, high), np.nan)


def _inside(
    slope: Callable[[Array], Array], end: Array, good: Array, sign: float
) -> tuple[Array, Array]:
    """Move an end that is off the line onto it, to where the derivative has the sign of its side.

    Returns
    -------
    end : ndarray
    passed : ndarray
        Last point that was on the line but beyond the minimum; NaN where none was met.
    """
    passed = np.full(end.shape, np.nan)
    off = np.isnan(slope(end))
    if not off.any():
        return end, passed
    outside, inside, at = end, good, np.where(off, 0.5 * (end + good), end)
    for _ in range(HALVINGS):
        value = sign * slope(at)
        lost = off & np.isnan(value)
        beyond = off & (value < 0)
        if not (lost | beyond).any():
            break
        outside = np.where(lost, at, outside)
        inside = np.where(beyond, at, inside)
        passed = np.where(beyond, at, passed)
        at = np.where(lost | beyond, 0.5 * (outside + inside), at)
    return at, passed


def _zero(slope: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """Where a derivative changes from negative to positive, to the last digit.

    The rule of false position with Illinois weights, and a halving every fourth step.
    """
    at_low, at_high = slope(low), slope(high)
    for step in range(HALVINGS):
        mid = low - at_low * (high - low) / (at_high - at_low)
        usable = (mid > low) & (mid < high) & (step % 4 < 3)
        mid = np.where(usable, mid, 0.5 * (low + high))
        value = slope(mid)
        below = value < 0
        at_high = np.where(below, 0.5 * at_high, value)
        at_low = np.where(below, value, 0.5 * at_low)
        low, high = np.where(below, mid, low), np.where(below, high, mid)
        if np.all((high - low <= 4e-16 * np.abs(high)) | (value == 0) | np.isnan(value)):
            break
    return np.where(np.abs(at_low) < np.abs(at_high), low, high)
