"""The solver: arrays and a law in, local optima with certificates out.

Every start is refined by a bounded, damped Newton method with analytic first derivatives, all
starts of all replicates as one array program. The curvature is that of the linearised law, with
the reweighting curvature of robust losses, plus a secant estimate of the part that the
linearisation leaves out. A robust threshold begins at the scale of the residuals and is lowered to
the one asked for. Starts of one problem that have come together go on as one.

References
----------
Marquardt (1963), damping; Dennis, Gay and Welsch (1981), the structured secant update; Huber and
Ronchetti (2009), ch. 7, curvature weights of robust losses.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.data import Data
from scaling.fitting.objectives import Loss

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

CHUNK_ELEMENTS = 160_000  # residuals per pass: few enough for the cache, enough for the interpreter
MAX_ITERATIONS = 200
DECREMENT_TOLERANCE = 1e-13  # predicted relative decrease of the objective at which to stop
FLAT_TOLERANCE = 1e-10  # the same where the last digits cost many steps, along a flat valley
ROUNDING = 1e-28  # squared residual per unit of weight that is rounding error
MAX_STEP = 1.5  # longest step of a log-scale in one iteration; a quarter of it for an exponent
ROBUST_TUNING = 1.345 * 1.4826
SETTLED = 1e-4  # relative decrement at which a threshold is lowered
LOWER = 0.25  # by how much; small steps do not jump between the optima of a near-absolute loss
MERGE_EVERY = 2  # iterations
PATIENCE = 12  # iterations; a start may take twice as many as the first that finished, or as this
MERGE_SHARE = 0.02  # of the objective, within which two starts are in one quadratic basin
SECANT_FROM = 16  # iterations after which what the linearised law leaves out is learned


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
    iterations : ndarray of int
        Iterations of each start.
    """

    z: Array
    objective: Array
    converged: Bools
    decrement: Array
    at_bound: Bools
    iterations: NDArray[np.int64]


def refine(
    data: Data,
    starts: Array,
    weights: Array,
    *,
    per: int = 1,
    shift: Array | None = None,
    index: NDArray[np.int64] | None = None,
    lower: float = LOWER,
    merge: bool = True,
    tolerance: float = DECREMENT_TOLERANCE,
    max_iterations: int = MAX_ITERATIONS,
) -> Solution:
    """Refine each start to its local optimum.

    Parameters
    ----------
    data : Data
    starts : ndarray
        Internal coordinates, shape (k, p).
    weights : ndarray
        Row weights of each problem, shape (k / per, n).
    per : int
        Consecutive starts that belong to one problem, so share its weights and may merge.
    shift : ndarray, optional
        What is added to each problem's observations in the objective's scale, shape (k / per, n).
    index : ndarray of int, optional
        Rows of each problem, shape (k / per, m); `weights` then has that shape too.
    lower : float
        Factor by which a robust threshold is lowered, from the residuals' scale to the one asked;
        0 begins at the one asked.
    merge : bool
        Whether starts that share a basin go on as one.
    tolerance : float
        Predicted relative decrease of the objective at which a start is done.
    max_iterations : int
        Limit of iterations of each start.
    """
    size = max(1, CHUNK_ELEMENTS // max(1, weights.shape[1] * per))

    def chunk(i: int) -> Solution:
        part = slice(i * per, (i + size) * per)
        rows = np.repeat(weights[i : i + size], per, axis=0)
        with np.errstate(all="ignore"):
            moved = None if shift is None else np.repeat(shift[i : i + size], per, axis=0)
            own = data
            if index is not None:
                own = data.gathered(np.repeat(index[i : i + size], per, axis=0))
            descent = _Descent(own, starts[part], rows, per, moved, lower, merge)
            return descent.run(tolerance, max_iterations)

    jobs = range(0, len(weights), size)
    if len(jobs) == 1:
        return chunk(0)
    with ThreadPoolExecutor(min(len(jobs), os.cpu_count() or 1)) as pool:
        parts = list(pool.map(chunk, jobs))
    joined = {f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Solution)}
    return Solution(**joined)


class _Point:
    """Residuals and derivatives of a batch at its current coordinates."""

    def __init__(self, data: Data, z: Array, shift: Array | None) -> None:
        self.z = z
        self.r, self.jacobian = data.residuals(z)
        if shift is not None:
            self.r = self.r - shift
        self.finite = np.isfinite(self.r.sum(axis=1))
        if not self.finite.all():  # an overflowing start must not poison the rest of the batch
            self.r = np.where(self.finite[:, None], self.r, 0.0)
            self.jacobian = np.where(self.finite[:, None, None], self.jacobian, 0.0)

    def value(self, loss: Loss, delta: Array, weights: Array) -> Array:
        total = np.einsum("kn,kn->k", weights, loss.value(self.r, delta[:, None]))
        return np.where(self.finite, total, np.inf)

    def take(self, accepted: Bools, other: _Point) -> None:
        """Move to `other` where it was accepted; few starts are rejected, so those are restored."""
        rejected = np.flatnonzero(~accepted)
        if len(rejected):
            for name in ("z", "r", "jacobian", "finite"):
                mine, theirs = getattr(self, name), getattr(other, name)
                theirs[rejected] = mine[rejected]
        self.z, self.r, self.jacobian, self.finite = other.z, other.r, other.jacobian, other.finite

    def keep(self, rows: Bools) -> None:
        self.z, self.r, self.jacobian = self.z[rows], self.r[rows], self.jacobian[rows]
        self.finite = self.finite[rows]


@dataclass
class _Step:
    """A proposed move of every start and what is expected of it."""

    move: Array
    gradient: Array
    decrement: Array
    pushed: Bools  # held on a bound by the gradient


class _Descent:
    """Damped Newton descent of one batch of starts."""

    def __init__(
        self,
        data: Data,
        starts: Array,
        weights: Array,
        per: int,
        shift: Array | None,
        lower: float,
        merge: bool,
    ) -> None:
        k, p = starts.shape
        self.data, self.loss, self.weights, self.per = data, data.loss, weights, per
        self.out = Solution(
            z=starts.copy(),
            objective=np.full(k, np.inf),
            converged=np.zeros(k, dtype=bool),
            decrement=np.full(k, np.inf),
            at_bound=np.zeros((k, p), dtype=bool),
            iterations=np.zeros(k, dtype=np.int64),
        )
        self.leader = np.arange(k)
        self.alive = np.arange(k)
        self.shift, self.lower, self.merging = shift, lower, merge and per > 1
        self.point = _Point(data, starts, shift)
        self.delta = _first_delta(data.loss, self.point.r, per)
        if lower == 0.0:
            self.delta = np.full(k, data.loss.delta)
        self.damping = np.full(k, 1e-3)
        self.value = self.point.value(self.loss, self.delta, weights)
        self.secant = self.hessian = np.zeros((k, p, p))
        self.learning = False
        self.anchor = np.full(k // per, -1)
        self.lowest = np.full(k // per, np.inf)
        self.last = np.full(k // per, np.iinfo(np.int64).max)
        self.bowl = np.zeros((k // per, p, p))
        self.limit = np.where(data.in_log, MAX_STEP, np.inf)
        self.limit = np.where(data.exponents, MAX_STEP / 4, self.limit)

    def run(self, tolerance: float, max_iterations: int) -> Solution:
        """Descend until every start is done, then copy what merged starts found."""
        final = self.loss.delta
        for iteration in range(1, max_iterations + 1):
            step = self._propose()
            relative = step.decrement / np.maximum(self.value, 1e-300)
            rounding = self.value <= ROUNDING * self.weights.sum(axis=1)
            settled = (relative < SETTLED) & (self.delta > final)
            done = ((relative < tolerance) & (self.damping < 1e-2)) | rounding
            done &= self.delta <= final
            stuck = (self.damping > 1e12) | ~np.isfinite(self.value)
            owner = self.alive // self.per  # only starts that are worse than a finished one
            late = (iteration > self.last[owner]) & (self.value > self.lowest[owner])
            finished = done | late | (stuck & (self.delta <= final))
            if finished.any():
                good = done | (stuck & (relative < 1e-7) & np.isfinite(self.value))
                self._record(finished, relative, step.pushed, good, iteration)
                left = ~finished
                self._drop(left)
                if not len(self.alive):
                    break
                step = _Step(*(getattr(step, f.name)[left] for f in fields(_Step)))
                settled, stuck = settled[left], stuck[left]
            self._move(step, settled | stuck)
            self.learning = iteration >= SECANT_FROM
            if self.merging and iteration % MERGE_EVERY == 0:
                self._merge()
                if not len(self.alive):
                    break
        if len(self.alive):
            self._stop(max_iterations)
        while (self.leader[self.leader] != self.leader).any():  # leaders may have followed others
            self.leader = self.leader[self.leader]
        for field in fields(Solution):
            values = getattr(self.out, field.name)
            values[:] = values[self.leader]
        return self.out

    def _record(
        self, rows: Bools, relative: Array, pushed: Bools, converged: Bools, iteration: int
    ) -> None:
        index = self.alive[rows]
        self.out.z[index], self.out.objective[index] = self.point.z[rows], self.value[rows]
        self.out.converged[index], self.out.decrement[index] = converged[rows], relative[rows]
        self.out.at_bound[index], self.out.iterations[index] = pushed[rows], iteration
        for k, hessian in zip(index, self.hessian[rows], strict=True) if self.per > 1 else ():
            owner = k // self.per
            if self.out.converged[k] and self.out.objective[k] < self.lowest[owner]:
                self.anchor[owner], self.bowl[owner] = k, hessian
                self.lowest[owner] = self.out.objective[k]
                self.last[owner] = min(self.last[owner], 2 * max(iteration, PATIENCE))

    def _drop(self, left: Bools) -> None:
        self.alive, self.weights, self.value = (
            self.alive[left],
            self.weights[left],
            self.value[left],
        )
        self.delta, self.damping = self.delta[left], self.damping[left]
        self.secant, self.hessian = self.secant[left], self.hessian[left]
        self.shift = None if self.shift is None else self.shift[left]
        self.data = self.data.kept(left)
        self.point.keep(left)

    def _stop(self, iteration: int) -> None:
        """Record the starts that ran out of iterations at the threshold that was asked for."""
        self.delta = np.full(len(self.alive), self.loss.delta)
        self.value = self.point.value(self.loss, self.delta, self.weights)
        self.damping = np.full(len(self.alive), 1e-9)
        step = self._propose()
        relative = step.decrement / np.maximum(self.value, 1e-300)
        everything = np.ones(len(self.alive), dtype=bool)
        self._record(everything, relative, step.pushed, relative < FLAT_TOLERANCE, iteration)

    def _propose(self) -> _Step:
        """Damped Newton step inside the bounds, its predicted decrease, and who sits on a bound."""
        z, jacobian, r = self.point.z, self.point.jacobian, self.point.r
        low, high = self.data.limits
        threshold = self.delta[:, None]
        slope = self.weights * self.loss.slope(r, threshold)
        gradient = np.matmul(jacobian, slope[:, :, None])[:, :, 0]
        curvature = self.weights * self.loss.curvature(r, threshold)
        hessian = np.matmul(jacobian * curvature[:, None, :], jacobian.transpose(0, 2, 1))
        lost = ~np.isfinite(gradient.sum(axis=1) + hessian.sum(axis=(1, 2)))
        if lost.any():  # a derivative overflowed where the value did not
            gradient[lost], hessian[lost], self.value[lost] = 0.0, 0.0, np.inf
        self.hessian = hessian
        margin = 1e-12 * (1.0 + np.abs(z))
        pushed = ((z <= low + margin) & (gradient > 0)) | ((z >= high - margin) & (gradient < 0))
        free = ~pushed
        gradient = np.where(free, gradient, 0.0)
        p = z.shape[1]
        index = np.arange(p)
        diagonal = hessian[:, index, index]
        scale = np.where(free & (diagonal > 0), diagonal, 1.0)
        both = free[:, :, None] & free[:, None, :]
        ridge = self.damping[:, None] * scale + np.where(free, 1e-15 * scale, 1.0)

        def solve(full: Array) -> Array:
            full = np.where(both, full, 0.0)
            full[:, index, index] += ridge
            return _solve_scaled(full, -gradient, scale)

        move = solve(hessian + self.secant)
        decrement = -0.5 * np.einsum("kp,kp->k", gradient, move)
        uphill = ~(decrement >= 0)
        if uphill.any():  # the secant part made the curvature indefinite: do without it
            self.secant[uphill] = 0.0
            plain = solve(hessian)
            move = np.where(uphill[:, None], plain, move)
            decrement = -0.5 * np.einsum("kp,kp->k", gradient, move)
        longest = np.max(np.abs(move) / self.limit, axis=1, initial=0.0)
        return _Step(move / np.maximum(1.0, longest)[:, None], gradient, decrement, pushed)

    def _move(self, step: _Step, tighten: Bools) -> None:
        """Try the step; lower the threshold instead where the current one is solved."""
        if tighten.any():
            lower = np.maximum(self.loss.delta, self.lower * self.delta)
            self.delta = np.where(tighten, lower, self.delta)
            self.damping = np.where(tighten, np.minimum(self.damping, 1e-3), self.damping)
            self.value = self.point.value(self.loss, self.delta, self.weights)
            step.move[tighten] = 0.0
            self.secant[tighten] = 0.0
        there = np.clip(self.point.z + step.move, *self.data.limits)
        trial = _Point(self.data, there, self.shift)
        value = trial.value(self.loss, self.delta, self.weights)
        accepted = value < self.value
        if self.learning:
            self._learn(trial, step, accepted)
        self.point.take(accepted, trial)
        self.value = np.where(accepted, value, self.value)
        grown = np.where(accepted, np.maximum(self.damping * 0.1, 1e-14), self.damping * 8.0)
        self.damping = np.where(tighten, self.damping, grown)

    def _learn(self, trial: _Point, step: _Step, accepted: Bools) -> None:
        """Update the secant estimate of the curvature that the linearised law leaves out."""
        slope = self.weights * self.loss.slope(trial.r, self.delta[:, None])
        after = np.matmul(trial.jacobian, slope[:, :, None])[:, :, 0]
        before = np.matmul(self.point.jacobian, slope[:, :, None])[:, :, 0]
        s = trial.z - self.point.z
        change, missing = after - step.gradient, after - before
        along = np.einsum("kp,kp->k", s, change)
        bent = np.einsum("kpq,kq->kp", self.secant, s)
        inner = np.einsum("kp,kp->k", s, bent)
        size = np.abs(np.einsum("kp,kp->k", s, missing)) / np.maximum(np.abs(inner), 1e-300)
        sizing = np.minimum(1.0, size)[:, None]
        error = missing - sizing * bent
        norm = np.sqrt(np.einsum("kp,kp->k", s, s) * np.einsum("kp,kp->k", change, change))
        usable = accepted & (along > 1e-8 * norm) & np.isfinite(along)
        along = np.where(usable, along, 1.0)[:, None, None]
        cross = error[:, :, None] * change[:, None, :]
        outer = change[:, :, None] * change[:, None, :]
        weight = np.einsum("kp,kp->k", s, error)[:, None, None]
        update = (cross + cross.transpose(0, 2, 1)) / along - weight * outer / along**2
        learned = sizing[:, :, None] * self.secant + update
        self.secant = np.where(usable[:, None, None], learned, self.secant)

    def _merge(self) -> None:
        """Let starts of one problem that share a basin go on as one.

        Two starts share it if they are at the same threshold, about equally good, and the best
        one's quadratic model gives the way between them a negligible part of the objective.
        """
        owner = self.alive // self.per
        order = np.lexsort((self.value, owner))
        first = np.concatenate([[True], np.diff(owner[order]) > 0])
        best = np.empty(len(order), dtype=np.int64)
        best[order] = order[np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))]
        same = (self.delta == self.delta[best]) & (best != np.arange(len(best)))
        close = same & self._within(self.point.z[best], self.value[best], self.hessian[best])
        leader = self.alive[best]
        done = self.anchor[owner]  # the best start of the problem that has finished, if any
        if (done >= 0).any():
            there = (done >= 0) & (self.delta <= self.loss.delta)
            there &= self._within(self.out.z[done], self.out.objective[done], self.bowl[owner])
            leader, close = np.where(there, done, leader), close | there
        if close.any():
            self.leader[self.alive[close]] = leader[close]
            self._drop(~close)

    def _within(self, z: Array, value: Array, hessian: Array) -> Bools:
        """Whether the quadratic model at `z` gives the way from there next to nothing."""
        way = self.point.z - z
        lift = 0.5 * np.einsum("kp,kpq,kq->k", way, hessian, way)
        allowed = MERGE_SHARE * np.abs(value)
        return np.asarray((lift <= allowed) & (np.abs(self.value - value) <= allowed))


def _first_delta(loss: Loss, r: Array, per: int) -> Array:
    """Threshold to begin with: the residual scale, from where it is lowered to the one asked."""
    if loss.squared:
        return np.full(len(r), np.inf)
    scale = ROBUST_TUNING * np.median(np.abs(r), axis=1).reshape(-1, per)
    return np.repeat(np.maximum(loss.delta, scale.min(axis=1)), per)  # one sequence a problem


def _solve_scaled(hessian: Array, rhs: Array, scale: Array) -> Array:
    """Solve after scaling the diagonal to about one, which keeps the condition moderate."""
    s = 1.0 / np.sqrt(scale)
    scaled = hessian * s[:, :, None] * s[:, None, :]
    try:
        solution = np.linalg.solve(scaled, (rhs * s)[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError:  # one singular matrix must not stop the batch
        inverse = np.linalg.pinv(np.nan_to_num(scaled), rcond=1e-12, hermitian=True)
        solution = (inverse @ (rhs * s)[:, :, None])[:, :, 0]
    return np.asarray(np.nan_to_num(solution * s))
