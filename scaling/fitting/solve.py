"""The solver: arrays and a law in, the global optimum and its certificate out.

Variable projection finds where to start: for every node of a grid of exponents the linear
parameters follow from a small non-negative least-squares problem, for all bootstrap replicates in
one matrix product. Every start is then refined by a bounded, damped Newton method with analytic
derivatives, all starts of all replicates as one array program.

References
----------
Golub and Pereyra (1973), variable projection; Marquardt (1963), damping; Huber and Ronchetti
(2009), ch. 7, for the curvature weights of robust losses.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.objectives import Loss
from scaling.laws import Law

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

CHUNK_ELEMENTS = 40_000  # residuals per pass: a few arrays of this size stay in a core's cache
MAX_ITERATIONS = 200
FLAT_TOLERANCE = 1e-10
DECREMENT_TOLERANCE = 1e-13  # predicted relative decrease of the objective at which to stop
MAX_STEP = 1.5  # longest step of a log-scale or an exponent in one iteration
ROBUST_TUNING = 1.345 * 1.4826


@dataclass(frozen=True)
class Data:
    """Checked arrays of one fit.

    Attributes
    ----------
    law : Law
    x : mapping of str to ndarray
        Variables of the law, shape (n,), positive.
    y : ndarray
        Loss, shape (n,), positive.
    loss : Loss
        Objective.
    fixed : mapping of str to float
        Parameters held at a value.
    bounds : mapping of str to (float, float)
        Bounds that replace the law's.
    """

    law: Law
    x: Mapping[str, Array]
    y: Array
    loss: Loss
    fixed: Mapping[str, float]
    bounds: Mapping[str, tuple[float, float]]

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.y)

    @cached_property
    def logs(self) -> dict[str, Array]:
        """Natural logarithms of the variables."""
        return {name: np.log(values) for name, values in self.x.items()}

    @cached_property
    def log_y(self) -> Array:
        """Natural logarithm of the loss."""
        return np.log(self.y)

    @cached_property
    def free(self) -> tuple[str, ...]:
        """Names of the parameters that are estimated."""
        return tuple(name for name in self.law.names if name not in self.fixed)

    @cached_property
    def in_log(self) -> NDArray[np.bool_]:
        """Which free parameters are refined in their logarithm."""
        return np.array([self.law.parameter(p).role == "scale" for p in self.free])

    @cached_property
    def limits(self) -> tuple[Array, Array]:
        """Bounds of the free parameters in internal coordinates."""
        pairs = []
        for name in self.free:
            parameter = self.law.parameter(name)
            low, high = self.bounds.get(name, (parameter.low, parameter.high))
            if parameter.role == "scale":
                low, high = np.log(max(low, 1e-300)), np.log(high)
            pairs.append((low, high))
        low_, high_ = zip(*pairs, strict=True) if pairs else ((), ())
        return np.array(low_, dtype=np.float64), np.array(high_, dtype=np.float64)

    def params(self, z: Array) -> dict[str, Array]:
        """Turn internal coordinates, shape (k, p), into named columns of shape (k,)."""
        out = {name: np.full(len(z), value) for name, value in self.fixed.items()}
        for j, name in enumerate(self.free):
            out[name] = np.exp(z[:, j]) if self.in_log[j] else z[:, j]
        return {name: out[name] for name in self.law.names}

    def internal(self, params: Mapping[str, Array]) -> Array:
        """Turn named columns into internal coordinates, inside the bounds."""
        columns = [
            np.log(np.maximum(params[name], 1e-300)) if log else params[name]
            for name, log in zip(self.free, self.in_log, strict=True)
        ]
        z: Array = np.stack(columns, axis=1) if columns else np.zeros((1, 0))
        lo, hi = self.limits
        return np.minimum(np.maximum(z, lo), hi)

    def residuals(self, z: Array) -> tuple[Array, Array]:
        """Residuals, shape (k, n), and their Jacobian, shape (k, p, n)."""
        params = {name: value[:, None] for name, value in self.params(z).items()}
        value, slopes = self.law.expression.value_and_gradient(
            {**params, **self.x}, self.free, self.logs
        )
        jacobian = np.empty((len(z), len(self.free), self.n))
        factor = 1.0 / value if self.loss.logs else 1.0
        with np.errstate(all="ignore"):
            for j, name in enumerate(self.free):
                chain = factor * params[name] if self.in_log[j] else factor
                np.multiply(slopes[name], chain, out=jacobian[:, j])
            r = np.log(value) - self.log_y if self.loss.logs else value - self.y
        return np.broadcast_to(r, (len(z), self.n)), jacobian


@dataclass(frozen=True)
class Solution:
    """Refined starts.

    Attributes
    ----------
    z : ndarray
        Internal coordinates, shape (k, p).
    objective : ndarray
        Weighted sum of losses, shape (k,).
    converged : ndarray of bool
        Whether the predicted decrease vanished.
    decrement : ndarray
        Predicted relative decrease at the end.
    at_bound : ndarray of bool
        Shape (k, p).
    iterations : int
        Longest run.
    """

    z: Array
    objective: Array
    converged: NDArray[np.bool_]
    decrement: Array
    at_bound: NDArray[np.bool_]
    iterations: int


# ---------------------------------------------------------------------------------------- starts


def exponent_grid(data: Data) -> Array:
    """All combinations of the starting exponents, shape (g, number of exponents)."""
    axes = []
    for name in data.free:
        parameter = data.law.parameter(name)
        if parameter.role == "exponent":
            low, high = data.bounds.get(name, (parameter.low, parameter.high))
            inside = [s for s in parameter.starts if low <= s <= high]
            axes.append(inside or [float(np.clip(1.0, low, high))])
    return np.array(list(itertools.product(*axes)), dtype=np.float64)


def seeds(data: Data, weights: Array, count: int) -> Array:
    """Starting points of every replicate by variable projection over the exponent grid.

    Parameters
    ----------
    data : Data
    weights : ndarray
        Row weights of each replicate, shape (b, n).
    count : int
        Starts a replicate: the best node, then the best of ``count - 1`` strata of the first
        exponent, so that different basins are tried.

    Returns
    -------
    ndarray
        Internal coordinates, shape (b, count, p).
    """
    grid = exponent_grid(data)
    exponents = [p for p in data.free if data.law.parameter(p).role == "exponent"]
    linear = [p for p in data.free if p not in exponents]
    basis, offset = _basis(data, grid, exponents, linear)
    scale = 1.0 / data.y if data.loss.logs else np.ones(data.n)
    design = basis * scale  # (g, m, n)
    target = (data.y - offset) * scale  # (g, n)
    norms = np.sqrt((design**2).mean(axis=2, keepdims=True)) + 1e-300
    coefficients, cost = _projected(design / norms, target, weights)
    coefficients = coefficients / norms[None, :, :, 0]
    picks = _stratified(cost, grid[:, 0] if grid.shape[1] else np.zeros(len(grid)), count)
    b = np.arange(len(weights))[:, None]
    columns = {p: coefficients[b, picks, j] for j, p in enumerate(linear)}
    columns |= {p: grid[picks, j] for j, p in enumerate(exponents)}
    flat = {name: np.asarray(values, dtype=np.float64).ravel() for name, values in columns.items()}
    for name in linear:  # a clamped coefficient starts small, not at zero, where logs need it
        if data.law.parameter(name).role == "scale":
            positive = flat[name][flat[name] > 0]
            floor = 1e-3 * float(np.median(positive)) if len(positive) else 1e-3
            flat[name] = np.maximum(flat[name], floor)
    return data.internal(flat).reshape(len(weights), picks.shape[1], len(data.free))


def _basis(data: Data, grid: Array, exponents: list[str], linear: list[str]) -> tuple[Array, Array]:
    """Columns that multiply the linear parameters at each node, and the rest of the formula."""
    env: dict[str, object] = dict.fromkeys(linear, 0.0)
    env |= {p: grid[:, j : j + 1] for j, p in enumerate(exponents)}
    env |= dict(data.fixed)
    env |= dict(data.x)
    value, slopes = data.law.expression.value_and_gradient(env, linear, data.logs)
    shape = (len(grid), data.n)
    columns = [np.broadcast_to(np.asarray(slopes[p], dtype=np.float64), shape) for p in linear]
    basis = np.stack(columns, axis=1) if columns else np.zeros((len(grid), 0, data.n))
    return basis, np.broadcast_to(np.asarray(value, dtype=np.float64), shape)


def _projected(design: Array, target: Array, weights: Array) -> tuple[Array, Array]:
    """Non-negative weighted least squares at every node for every replicate.

    The normal equations of all replicates are one matrix product of the weights with the products
    of columns; the active sets of the few linear parameters are enumerated.
    """
    g, m, n = design.shape
    b = len(weights)
    gram = (design[:, :, None, :] * design[:, None, :, :]).reshape(g * m * m, n)
    moment = (design * target[:, None, :]).reshape(g * m, n)
    square = (target**2).reshape(g, n)
    grams = (weights @ gram.T).reshape(b, g, m, m)
    moments = (weights @ moment.T).reshape(b, g, m)
    squares = (weights @ square.T).reshape(b, g)
    best = np.zeros((b, g, m))
    cost = squares.copy()
    ridge = 1e-12 * weights.sum(axis=1)[:, None, None, None]
    for size in range(m, 0, -1):
        for active in itertools.combinations(range(m), size):
            index = np.array(active)
            sub = grams[..., index[:, None], index] + ridge * np.eye(size)
            solution = np.linalg.solve(sub, moments[..., index][..., None])[..., 0]
            value = squares - (solution * moments[..., index]).sum(axis=-1)
            better = (solution >= 0).all(axis=-1) & (value < cost)
            cost = np.where(better, value, cost)
            full = np.zeros((b, g, m))
            full[..., index] = solution
            best = np.where(better[..., None], full, best)
    return best, cost


def _stratified(cost: Array, axis: Array, count: int) -> Ints:
    """Indices of the best node, then of the best node of each stratum of `axis`."""
    picks = [cost.argmin(axis=1)]
    levels = np.unique(axis)
    if count > 1:
        for stratum in np.array_split(levels, min(count - 1, len(levels))):
            masked = np.where(np.isin(axis, stratum)[None, :], cost, np.inf)
            picks.append(masked.argmin(axis=1))
    return np.stack(picks, axis=1).astype(np.int64)


# ------------------------------------------------------------------------------------ refinement


def refine(
    data: Data, starts: Array, weights: Array, *, max_iterations: int = MAX_ITERATIONS
) -> Solution:
    """Refine each start to its local optimum.

    Parameters
    ----------
    data : Data
    starts : ndarray
        Internal coordinates, shape (k, p).
    weights : ndarray
        Row weights of each start, shape (k, n).
    max_iterations : int
        Limit of iterations of each start.
    """
    size = max(1, CHUNK_ELEMENTS // max(1, data.n))
    parts = [
        _refine_chunk(data, starts[i : i + size], weights[i : i + size], max_iterations)
        for i in range(0, len(starts), size)
    ]
    return Solution(
        z=np.concatenate([p.z for p in parts]),
        objective=np.concatenate([p.objective for p in parts]),
        converged=np.concatenate([p.converged for p in parts]),
        decrement=np.concatenate([p.decrement for p in parts]),
        at_bound=np.concatenate([p.at_bound for p in parts]),
        iterations=max(p.iterations for p in parts),
    )


class _State:
    """Residuals and derivatives of a chunk at its current points."""

    def __init__(self, data: Data, z: Array) -> None:
        self.z = z
        self.r, self.jacobian = data.residuals(z)
        bad = np.any(~np.isfinite(self.r), axis=1)
        finite = ~(bad | np.any(~np.isfinite(self.jacobian), axis=(1, 2)))
        self.finite = finite
        if not finite.all():  # an overflowing start must not poison the rest of the batch
            self.r = np.where(finite[:, None], self.r, 0.0)
            self.jacobian = np.where(finite[:, None, None], self.jacobian, 0.0)

    def value(self, loss: Loss, delta: Array, weights: Array) -> Array:
        total = np.einsum("kn,kn->k", weights, loss.value(self.r, delta[:, None]))
        return np.where(self.finite, total, np.inf)

    def take(self, accepted: NDArray[np.bool_], other: _State) -> None:
        self.z = np.where(accepted[:, None], other.z, self.z)
        self.r = np.where(accepted[:, None], other.r, self.r)
        np.copyto(self.jacobian, other.jacobian, where=accepted[:, None, None])
        self.finite = np.where(accepted, other.finite, self.finite)

    def keep(self, rows: NDArray[np.bool_]) -> None:
        self.z, self.r, self.jacobian = self.z[rows], self.r[rows], self.jacobian[rows]
        self.finite = self.finite[rows]


def _refine_chunk(data: Data, starts: Array, weights: Array, max_iterations: int) -> Solution:
    k = len(starts)
    final_delta = data.loss.delta
    out = Solution(
        z=starts.copy(),
        objective=np.full(k, np.inf),
        converged=np.zeros(k, dtype=bool),
        decrement=np.full(k, np.inf),
        at_bound=np.zeros(starts.shape, dtype=bool),
        iterations=0,
    )
    alive = np.arange(k)
    state = _State(data, starts)
    w = weights
    delta = _first_delta(data.loss, state.r)
    damping = np.full(k, 1e-3)
    value = state.value(data.loss, delta, w)
    iteration = 0
    for iteration in range(1, max_iterations + 1):  # noqa: B007
        step, decrement, at_bound = _step(data, state, w, delta, damping)
        relative = decrement / np.maximum(value, 1e-300)
        settled = (relative < 1e-4) & (delta > final_delta)
        done = (relative < DECREMENT_TOLERANCE) & (delta <= final_delta) & (damping < 1e-2)
        stuck = (damping > 1e12) | ~np.isfinite(value)
        finished = done | (stuck & (delta <= final_delta))
        if finished.any():
            rows = alive[finished]
            out.z[rows], out.objective[rows] = state.z[finished], value[finished]
            out.converged[rows] = (done | (stuck & (relative < 1e-7)))[finished]
            out.decrement[rows], out.at_bound[rows] = relative[finished], at_bound[finished]
            left = ~finished
            alive, w, delta, damping = alive[left], w[left], delta[left], damping[left]
            value, step, settled, stuck = value[left], step[left], settled[left], stuck[left]
            state.keep(left)
            if not len(alive):
                break
        tighten = settled | stuck
        if tighten.any():
            delta = np.where(tighten, np.maximum(final_delta, 0.25 * delta), delta)
            damping = np.where(tighten, np.minimum(damping, 1e-3), damping)
            value = state.value(data.loss, delta, w)
            step = np.where(tighten[:, None], 0.0, step)
        trial = _State(data, np.clip(state.z + step, *data.limits))
        trial_value = trial.value(data.loss, delta, w)
        accepted = trial_value < value
        state.take(accepted, trial)
        value = np.where(accepted, trial_value, value)
        changed = ~tighten
        damping = np.where(changed & accepted, np.maximum(damping * 0.1, 1e-14), damping)
        damping = np.where(changed & ~accepted, damping * 8.0, damping)
    if len(alive):
        out.z[alive], out.objective[alive] = state.z, value
        final = np.full(len(alive), final_delta)
        _, decrement, at_bound = _step(data, state, w, final, np.full(len(alive), 1e-9))
        out.objective[alive] = state.value(data.loss, final, w)
        out.decrement[alive] = decrement / np.maximum(out.objective[alive], 1e-300)
        out.at_bound[alive] = at_bound
        # Along a flat valley the last digits cost many steps and change nothing that is reported.
        out.converged[alive] = out.decrement[alive] < FLAT_TOLERANCE
    return Solution(out.z, out.objective, out.converged, out.decrement, out.at_bound, iteration)


def _first_delta(loss: Loss, r: Array) -> Array:
    """Threshold to begin with: the residual scale, from where it is lowered to the one asked."""
    if loss.squared:
        return np.full(len(r), np.inf)
    scale = ROBUST_TUNING * np.median(np.abs(r), axis=1)
    return np.maximum(loss.delta, scale)


def _step(
    data: Data, state: _State, weights: Array, delta: Array, damping: Array
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Damped Newton step inside the bounds, its predicted decrease, and who sits on a bound."""
    loss, jacobian, r = data.loss, state.jacobian, state.r
    low, high = data.limits
    threshold = delta[:, None]
    slope = weights * loss.slope(r, threshold)
    gradient = np.matmul(jacobian, slope[:, :, None])[:, :, 0]
    if loss.squared:
        curvature = robust = 2.0 * weights
    else:
        size = np.abs(r)
        robust = weights * np.minimum(1.0, threshold / np.maximum(size, 1e-300))
        inside = size <= threshold
        # Outside the threshold Huber's function has no curvature; a tenth of the reweighting
        # curvature keeps the step finite where few residuals are inside.
        curvature = np.where(inside, weights, 0.1 * robust)
    hessian = np.matmul(jacobian * curvature[:, None, :], jacobian.transpose(0, 2, 1))
    diagonal = np.einsum("kpn,kn->kp", jacobian**2, robust)
    margin = 1e-12 * (1.0 + np.abs(state.z))
    pushed = ((state.z <= low + margin) & (gradient > 0)) | (
        (state.z >= high - margin) & (gradient < 0)
    )
    free = ~pushed
    hessian = hessian * (free[:, :, None] & free[:, None, :])
    gradient = np.where(free, gradient, 0.0)
    p = state.z.shape[1]
    index = np.arange(p)
    scale = np.where(free & (diagonal > 0), diagonal, 1.0)
    hessian[:, index, index] += damping[:, None] * scale + np.where(free, 1e-15 * scale, 1.0)
    step = _solve_scaled(hessian, -gradient, scale)
    limit = np.where(data.in_log, MAX_STEP, np.inf)
    exponents = [data.law.parameter(name).role == "exponent" for name in data.free]
    limit = np.where(exponents, MAX_STEP / 4, limit)
    longest = np.max(np.abs(step) / limit, axis=1, initial=0.0)
    decrement = -0.5 * np.einsum("kp,kp->k", gradient, step)
    step = step / np.maximum(1.0, longest)[:, None]
    return step, decrement, pushed


def _solve_scaled(hessian: Array, rhs: Array, scale: Array) -> Array:
    """Solve after scaling the diagonal to about one, which keeps the condition moderate."""
    s = 1.0 / np.sqrt(scale)
    scaled = hessian * s[:, :, None] * s[:, None, :]
    try:
        solution = np.linalg.solve(scaled, (rhs * s)[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError:
        scaled = scaled + 1e-9 * np.eye(scaled.shape[1])
        solution = np.linalg.solve(scaled, (rhs * s)[:, :, None])[:, :, 0]
    return np.asarray(np.nan_to_num(solution * s))
