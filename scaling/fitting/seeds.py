"""Where to start: variable projection over a grid, for all bootstrap replicates at once.

For every node of a grid of the non-linear parameters the linear ones follow from a small
least-squares problem within their signs; its sums over rows are one matrix product of all
replicates' weights. A law with its own start rule gives candidates instead, which are scored alike.

References
----------
Golub and Pereyra (1973), variable projection; Roberts (2018), the R sequence that fills a box
evenly where a grid would be too large.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.data import Data

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

MAX_NODES = 1200
MAX_ROWS = 5000
REPLICATE_NODES = 120  # nodes kept for the replicates of laws with large grids
CHUNK = 4_000_000  # elements of an intermediate array
WORST = 1e6  # squared residual that a node with an overflow counts as


class Seeds:
    """Nodes of a fit, with their sums, ready to be scored under any row weights.

    Parameters
    ----------
    data : Data
    weights : ndarray
        Row weights of the fit itself, shape (n,), by which the nodes of a large grid are thinned
        for `replicates`.
    """

    def __init__(self, data: Data, weights: Array) -> None:
        self.rows = np.arange(data.n)
        if data.n > MAX_ROWS:  # starts need no more; the refinement sees every row
            self.rows = np.sort(np.random.default_rng(0).permutation(data.n)[:MAX_ROWS])
            data = data.gathered(self.rows)
        self.data = data
        self.nonlinear = [p for p in data.free if not data.law.parameter(p).enters_linearly]
        self.linear = [p for p in data.free if data.law.parameter(p).enters_linearly]
        rule = data.law.candidates
        if rule is not None and self.nonlinear:
            with np.errstate(all="ignore"):  # a candidate beyond any number is scored the worst
                found = rule(data.x, data.y)
            columns = {p: np.asarray(found[p], dtype=np.float64) for p in data.free}
            self.z = data.internal(columns)
            residuals = np.concatenate(
                [data.residuals(part)[0] for part in np.array_split(self.z, len(self.z) // 200 + 1)]
            )
            self.square = np.where(np.isfinite(residuals), np.minimum(residuals**2, WORST), WORST)
        else:
            self.z = np.zeros((0, len(data.free)))
            self._project()
        self.keep = self._thinned(weights[self.rows])

    def _project(self) -> None:
        """Compute the columns of the linear parameters at every node."""
        data = self.data
        self.nodes = _nodes(data, self.nonlinear)
        basis, offset = _basis(data, self.nodes, self.nonlinear, self.linear)
        scale = 1.0 / data.y if data.loss.logs else np.ones(data.n)
        design, target = basis * scale, (data.y - offset) * scale
        bad = ~(np.isfinite(design).all(axis=(1, 2)) & np.isfinite(target).all(axis=1))
        design[bad], target[bad] = 0.0, np.sqrt(WORST)
        self.norms = np.sqrt((design**2).mean(axis=2)) + 1e-300
        self.design, self.target = design / self.norms[:, :, None], target
        self.signed = np.array([data.limits_of(p)[0] < 0 for p in self.linear], dtype=bool)

    def _thinned(self, weights: Array) -> Ints:
        """Indices of the nodes that replicates are started from: all, or the best and a spread."""
        count = len(self.z) or len(self.nodes)
        if count <= REPLICATE_NODES:
            return np.arange(count)
        cost = self._score(weights[None, :], np.arange(count))[0][0]
        order = np.argsort(cost, kind="stable")
        half = REPLICATE_NODES // 2
        spread = order[half :: max(1, (count - half) // half)][:half]
        return np.sort(np.concatenate([order[:half], spread]))

    def _score(self, weights: Array, which: Ints) -> tuple[Array, Array]:
        """Cost of nodes under each row of weights, shape (b, g), and linear parameters."""
        if len(self.z):
            return weights @ self.square[which].T, np.zeros((len(weights), len(which), 0))
        size = max(1, CHUNK // max(1, (self.design.shape[1] + 1) ** 2 * self.data.n))
        parts = [
            _projected(self.design[part], self.target[part], weights, self.signed)
            for part in (which[i : i + size] for i in range(0, len(which), size))
        ]
        coefficients = np.concatenate([c for c, _ in parts], axis=1)
        return np.concatenate([cost for _, cost in parts], axis=1), coefficients / self.norms[which]

    def best(self, weights: Array, count: int) -> Array:
        """Return starts of the fit itself, from all nodes; see `replicates`."""
        return self._pick(weights, count, np.arange(len(self.z) or len(self.nodes)))

    def replicates(self, weights: Array, count: int) -> Array:
        """Return the starts of each replicate from its own scores.

        Parameters
        ----------
        weights : ndarray
            Row weights of each replicate, shape (b, n).
        count : int
            Starts: the best nodes, and the best of strata of the first non-linear parameter so
            that different basins are tried.

        Returns
        -------
        ndarray
            Internal coordinates, shape (b, count, p).
        """
        return self._pick(weights, count, self.keep)

    def _pick(self, weights: Array, count: int, which: Ints) -> Array:
        weights = weights[:, self.rows] if len(self.rows) < weights.shape[1] else weights
        cost, coefficients = self._score(weights, which)
        axis = self._axis()[which]
        picks = _stratified(cost, axis, count)
        if len(self.z):
            return self.z[which][picks]
        b = np.arange(len(weights))[:, None]
        columns = {p: coefficients[b, picks, j].ravel() for j, p in enumerate(self.linear)}
        nodes = self.nodes[which]
        columns |= {p: nodes[picks, j].ravel() for j, p in enumerate(self.nonlinear)}
        for name in self.linear:  # a clamped coefficient starts small, not at 0, where logs need it
            if self.data.law.parameter(name).in_log:
                positive = columns[name][columns[name] > 0]
                floor = 1e-3 * float(np.median(positive)) if len(positive) else 1e-3
                columns[name] = np.maximum(columns[name], floor)
        return self.data.internal(columns).reshape(
            len(weights), picks.shape[1], len(self.data.free)
        )

    def _axis(self) -> Array:
        """Values of the first non-linear parameter at the nodes."""
        if len(self.z):
            return self.z[:, self.data.free.index(self.nonlinear[0])]
        return self.nodes[:, 0] if self.nodes.shape[1] else np.zeros(len(self.nodes))


def _nodes(data: Data, names: list[str]) -> Array:
    """Grid of the non-linear parameters, or an even filling of its box if it is too large."""
    axes = []
    for name in names:
        low, high = data.limits_of(name)
        values = [v for v in data.law.parameter(name).grid(data.x) if low <= v <= high]
        axes.append(values or _between(low, high))
    count = int(np.prod([len(axis) for axis in axes])) if axes else 1
    if count <= MAX_NODES:
        return np.array(list(itertools.product(*axes)), dtype=np.float64)
    return _filled(data, names, axes)


def _between(low: float, high: float) -> list[float]:
    """Starting values inside bounds that hold none of the law's own."""
    low, high = max(low, -1e6), min(high, 1e6)
    even = np.geomspace if low > 0 else np.linspace
    return [float(v) for v in even(low, high, 10)[1:-1]]


def _filled(data: Data, names: list[str], axes: list[list[float]]) -> Array:
    golden = 2.0
    for _ in range(40):  # the positive root of g^(d+1) = g + 1
        golden = (1.0 + golden) ** (1.0 / (len(names) + 1))
    steps = golden ** -np.arange(1.0, len(names) + 1)
    unit = (0.5 + np.arange(1, MAX_NODES + 1)[:, None] * steps) % 1.0
    columns = []
    for j, (name, axis) in enumerate(zip(names, axes, strict=True)):
        values = np.sort(np.array(axis))
        log = data.law.parameter(name).in_log or bool((values > 0).all())
        marks = np.log(values) if log else values
        filled = np.interp(unit[:, j] * (len(values) - 1), np.arange(len(values)), marks)
        columns.append(np.exp(filled) if log else filled)
    return np.column_stack(columns)


def _basis(data: Data, nodes: Array, names: list[str], linear: list[str]) -> tuple[Array, Array]:
    """Columns that multiply the linear parameters at each node, and the rest of the formula."""
    env: dict[str, object] = dict.fromkeys(linear, 0.0)
    env |= {p: nodes[:, j : j + 1] for j, p in enumerate(names)}
    env |= dict(data.fixed)
    with np.errstate(all="ignore"):
        value, slopes = data.law.value_and_gradient(env, data.x, data.logs, linear)
    shape = (len(nodes), data.n)
    columns = [np.broadcast_to(np.asarray(slopes[p], dtype=np.float64), shape) for p in linear]
    basis = np.stack(columns, axis=1) if columns else np.zeros((len(nodes), 0, data.n))
    return basis, np.broadcast_to(np.asarray(value, dtype=np.float64), shape)


def _projected(
    design: Array, target: Array, weights: Array, signed: NDArray[np.bool_]
) -> tuple[Array, Array]:
    """Weighted least squares within signs, at every node for every replicate.

    The active sets of the few parameters that may not be negative are enumerated.
    """
    g, m, n = design.shape
    b = len(weights)
    gram = (design[:, :, None, :] * design[:, None, :, :]).reshape(g * m * m, n)
    moment = (design * target[:, None, :]).reshape(g * m, n)
    grams = (weights @ gram.T).reshape(b, g, m, m)
    moments = (weights @ moment.T).reshape(b, g, m)
    squares = weights @ (target**2).T
    ridge = 1e-12 * weights.sum(axis=1)
    # Where least squares respects the signs already, it is the answer; the rest is enumerated.
    best = np.zeros((b, g, m))
    cost = squares.copy()
    if m:
        best = np.linalg.solve(grams + ridge[:, None, None, None] * np.eye(m), moments[..., None])[
            ..., 0
        ]
        cost = squares - (best * moments).sum(axis=-1)
    at, node = np.nonzero(~((best >= 0) | signed).all(axis=-1))
    if len(at):
        part = (grams[at, node], moments[at, node], squares[at, node], ridge[at], signed)
        best[at, node], cost[at, node] = _enumerated(*part)
    return best, cost


def _enumerated(
    gram: Array, moment: Array, square: Array, ridge: Array, signed: NDArray[np.bool_]
) -> tuple[Array, Array]:
    """Try every set of the parameters that may not be negative; keep the best feasible one."""
    m = gram.shape[-1]
    best, cost = np.zeros_like(moment), square.copy()
    bounded, always = np.flatnonzero(~signed), np.flatnonzero(signed)
    for size in range(len(bounded) - 1, -1, -1):
        for active in itertools.combinations(bounded, size):
            index = np.sort(np.concatenate([np.array(active, dtype=np.int64), always]))
            if not len(index):
                continue
            sub = gram[:, index[:, None], index] + ridge[:, None, None] * np.eye(len(index))
            solution = np.linalg.solve(sub, moment[:, index][..., None])[..., 0]
            value = square - (solution * moment[:, index]).sum(axis=-1)
            better = ((solution >= 0) | signed[index]).all(axis=-1) & (value < cost)
            cost = np.where(better, value, cost)
            full = np.zeros((len(gram), m))
            full[:, index] = solution
            best = np.where(better[:, None], full, best)
    return best, cost


def _stratified(cost: Array, axis: Array, count: int) -> Ints:
    """Indices of the best nodes and of the best node of each stratum of `axis`."""
    top = min(len(axis), 1 if count <= 8 else count // 2)
    picks = list(np.argsort(cost, axis=1, kind="stable")[:, :top].T)
    levels = np.unique(axis)
    for stratum in np.array_split(levels, max(1, min(count - top, len(levels)))):
        if len(picks) < count:
            masked = np.where(np.isin(axis, stratum)[None, :], cost, np.inf)
            picks.append(masked.argmin(axis=1))
    return np.stack(picks, axis=1).astype(np.int64)
