"""Draws of the parameters: resampled, wild, or from the sandwich covariance.

Whatever makes them, an interval of anything that follows from the parameters is read off the draws,
spread about its estimate by a small-sample factor, because few clusters say little about the spread
of the noise.

References
----------
Efron and Tibshirani (1993), ch. 9, pairs; Cameron, Gelbach and Miller (2008), wild clusters; Webb
(2023), six-point weights; White (1982), the sandwich; MacKinnon and White (1985), leverage.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.data import Data
from scaling.fitting.seeds import Seeds
from scaling.fitting.solve import refine

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

METHODS = ("pairs", "wild", "delta")
STARTS = 4  # a replicate's own best nodes, and the fit of all rows
TOLERANCE = 1e-10  # of a replicate: a hundred-thousandth of its standard error
LOWER = 0.1  # one of the starts is near already, so the threshold is lowered in fewer steps
CHUNK = 1000  # replicates
CHUNK_ELEMENTS = 20_000_000  # weights
NARROW_EXCESS = 1.4
BEYOND_THRESHOLD = (0.15, 0.5)  # shares of residuals from which, and at which wholly, it counts
WEBB = np.sqrt(np.array([1.5, 1.0, 0.5])) * np.array([[-1.0], [1.0]])


@dataclass(frozen=True)
class Draws:
    """Replicates in internal coordinates.

    Attributes
    ----------
    z : ndarray
        Shape (draws, p).
    failed : int
        Replicates that did not converge.
    factor : float
        Small-sample factor by which what follows from the draws is spread.
    """

    z: Array
    failed: int
    factor: float


def small_sample_factor(clusters: int, parameters: int, level: float) -> float:
    """How far draws must be spread for few clusters: √(G/(G-1)) and Student's t over the normal.

    The degrees of freedom of t are those that the parameters leave. A further √(G/(G-p)) for fitted
    residuals made intervals cover too much (benchmarks/coverage.py). 1 where there are not more
    clusters than parameters, which is warned of elsewhere.
    """
    from scipy.special import ndtri, stdtrit

    left = clusters - parameters
    if left < 1:
        return 1.0
    upper = 0.5 * (1.0 + level)
    return float(np.sqrt(clusters / (clusters - 1)) * stdtrit(left, upper) / ndtri(upper))


def narrow_factor(r: Array, delta: float, clusters: int, parameters: int) -> float:
    """How far draws must be drawn in under a threshold far below the residuals.

    There the objective is nearly absolute, its optimum jumps between kinks, and resampling counts
    makes it jump more than fresh noise does: draws spread too far by about ``1 + 1.6 p/√(n G)``,
    over 25 to 140 runs, uneven noise and trunks (docs/lab-notes.md). Seven eighths of that excess
    are taken back, so that intervals err on the wide side; less as fewer residuals exceed twice
    the threshold.

    Parameters
    ----------
    r : ndarray
        Residuals, shape (n,).
    delta : float
        Threshold.
    clusters, parameters : int
    """
    low, high = BEYOND_THRESHOLD
    share = float((np.abs(r) > 2.0 * delta).mean())
    weight = min(1.0, max(0.0, (share - low) / (high - low)))
    excess = NARROW_EXCESS * weight * parameters / np.sqrt(len(r) * clusters)
    return float(1.0 / (1.0 + excess))


def resample(
    labels: Labels, first: int, last: int, seed: int, strata: Labels | None = None
) -> Array:
    """Row weights of the replicates from `first` up to `last` of a cluster bootstrap.

    Parameters
    ----------
    labels : ndarray of int
        Cluster of each row, from 0.
    first, last : int
        Range of replicates.
    seed : int
        Replicate k has its own stream (seed, k), so results do not depend on chunks or jobs.
    strata : ndarray of int, optional
        Stratum of each row, within which its clusters are drawn; one cluster lies in one stratum.

    Returns
    -------
    ndarray
        How often each row was drawn, shape (last - first, n).
    """
    clusters = int(labels.max()) + 1
    pools = [np.arange(clusters)]
    if strata is not None:
        pools = [np.unique(labels[strata == s]) for s in np.unique(strata)]
    weights = np.empty((last - first, len(labels)))
    for k in range(first, last):
        rng = np.random.default_rng([seed, k])
        drawn = np.concatenate([pool[rng.integers(0, len(pool), len(pool))] for pool in pools])
        counts = np.bincount(drawn, minlength=clusters)
        weights[k - first] = counts[labels]
    return weights


def webb(labels: Labels, first: int, last: int, seed: int) -> Array:
    """Webb's six-point multipliers of each row's cluster, shape (last - first, n)."""
    clusters = int(labels.max()) + 1
    out = np.empty((last - first, len(labels)))
    for k in range(first, last):
        rng = np.random.default_rng([seed, k])
        out[k - first] = WEBB.ravel()[rng.integers(0, WEBB.size, clusters)][labels]
    return out


def draw(
    data: Data,
    base: Array,
    best: Array,
    labels: Labels,
    *,
    method: str,
    draws: int,
    seed: int,
    level: float,
    strata: Labels | None = None,
) -> Draws:
    """Draw parameters by one of `METHODS`.

    Parameters
    ----------
    data : Data
    base : ndarray
        Row weights of the fit, shape (n,).
    best : ndarray
        Internal coordinates of the fit of all rows, shape (p,).
    labels, seed, strata
        See `resample`; only pairs know strata.
    method : {"pairs", "wild", "delta"}
        Resample clusters of rows; keep the rows and flip their clusters' residuals; or draw from
        the normal distribution of the cluster-robust sandwich covariance. Every replicate of the
        first two is optimised afresh from several starts.
    draws : int
    level : float
        Level of the interval that the small-sample factor is for.
    """
    clusters = int(labels.max()) + 1
    factor = small_sample_factor(clusters, len(data.free), level)
    if method == "pairs" and not data.loss.squared and clusters > len(data.free):
        r = data.residuals(best[None, :])[0][0]
        factor *= narrow_factor(r, data.loss.delta, clusters, len(data.free))
    if method == "delta":
        z, failed = _normal(sandwich(data, base, best, labels, leverage=1.0), best, draws, seed), 0
    else:
        z, failed = _replicates(data, base, best, labels, method, draws, seed, strata)
    low, high = data.limits
    return Draws(np.clip(z, low, high), failed, factor)


def _normal(covariance: Array, best: Array, draws: int, seed: int) -> Array:
    """Normal draws about the estimate, made in units in which every parameter varies by 1."""
    if not len(best):
        return np.zeros((draws, 0))
    sd = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    values, vectors = np.linalg.eigh(covariance / np.outer(sd, sd))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    standard = np.random.default_rng([seed, 0]).standard_normal((draws, len(best)))
    return np.asarray(best + sd * (standard @ root.T))


def _replicates(
    data: Data,
    base: Array,
    best: Array,
    labels: Labels,
    method: str,
    draws: int,
    seed: int,
    strata: Labels | None,
) -> tuple[Array, int]:
    """Refit every replicate from its own best nodes and from the fit of all rows."""
    ways = Seeds(data, base)
    plain = residual = np.zeros(data.n)
    if method == "wild":
        plain, jacobian = (item[0] for item in data.residuals(best[None, :]))
        _, h = _curvature(data, base, plain, jacobian, labels)
        residual = plain / np.sqrt(1.0 - h)  # HC2
    found: list[Array] = []
    failed = 0
    chunk = max(1, min(CHUNK, CHUNK_ELEMENTS // data.n))
    for first in range(0, draws, chunk):
        last = min(first + chunk, draws)
        count = last - first
        weights, shift = np.broadcast_to(base, (count, data.n)), None
        if method == "pairs":
            weights = resample(labels, first, last, seed, strata) * base
        else:  # y* = fitted + multiplier * residual, in the objective's scale
            shift = plain - webb(labels, first, last, seed) * residual
        cold = ways.replicates(weights, STARTS - 1)
        warm = np.broadcast_to(best, (count, 1, len(best)))
        starts = np.concatenate([cold, warm], axis=1)
        per = starts.shape[1]
        flat = starts.reshape(count * per, -1)
        index = _drawn(weights, labels) if method == "pairs" else None
        if index is not None:
            weights = np.take_along_axis(weights, index, axis=1)
        solution = refine(
            data, flat, weights, per=per, shift=shift, index=index, lower=LOWER, tolerance=TOLERANCE
        )
        objective = np.where(solution.converged, solution.objective, np.inf).reshape(count, per)
        pick = objective.argmin(axis=1)
        good = np.isfinite(objective[np.arange(count), pick])
        found.append(solution.z.reshape(count, per, -1)[np.arange(count), pick][good])
        failed += int((~good).sum())
    return np.concatenate(found), failed


def _drawn(weights: Array, labels: Labels) -> NDArray[np.int64] | None:
    """Indices of the rows that each replicate drew, filled up with rows of weight 0.

    About a share 1/e of the clusters is not drawn; leaving their rows out saves as much time. The
    number is fixed at six standard deviations above the mean for these clusters, not by the
    replicates at hand, so that a replicate does not depend on its neighbours. None where it would
    save little or, against all odds, not suffice.
    """
    n = weights.shape[1]
    missed = np.exp(-1.0)
    square = float((np.bincount(labels).astype(np.float64) ** 2).sum())
    spread = np.sqrt(missed * (1.0 - missed) * square)
    count = int(np.ceil(n * (1.0 - missed) + 6.0 * spread))
    if count > 0.9 * n or (weights > 0).sum(axis=1).max() > count:
        return None
    return np.argsort(weights <= 0, axis=1, kind="stable")[:, :count]


def sandwich(
    data: Data, base: Array, best: Array, labels: Labels, *, leverage: float = 0.0
) -> Array:
    """Cluster-robust covariance of the estimate in internal coordinates, shape (p, p).

    ``H⁻¹ (Σ_c g_c g_cᵀ) H⁻¹`` with g_c the gradient of a cluster; each row's is divided by
    ``(1 - h)**leverage`` with h the leverage of its cluster (White 1982 at 0, HC3 of MacKinnon and
    White 1985 at 1).
    """
    r, jacobian = (item[0] for item in data.residuals(best[None, :]))
    inverse, h = _curvature(data, base, r, jacobian, labels)
    slope = base * data.loss.slope(r, data.loss.delta) / (1.0 - h) ** leverage
    scores = np.zeros((int(labels.max()) + 1, len(best)))
    np.add.at(scores, labels, (jacobian * slope).T)
    return np.asarray(inverse @ (scores.T @ scores) @ inverse)


def _curvature(
    data: Data, base: Array, r: Array, jacobian: Array, labels: Labels
) -> tuple[Array, Array]:
    """Inverse of the expected curvature, shape (p, p), and the leverage of each row's cluster.

    Under a threshold far below the residuals the curvature of Huber's function is its expected
    one: the density of residuals at 0 is smoothed over their own scale.
    """
    loss = data.loss
    share = loss.curvature(r, loss.delta)
    if not loss.squared:
        smooth = max(loss.delta, 0.5 * spread(r))
        inside = np.where(np.abs(r) <= smooth, loss.delta / smooth, 0.0)
        share = np.where(r > 0, loss.over, 1.0) * inside
    weighted = jacobian * (base * share)
    hessian = weighted @ jacobian.T
    scale = 1.0 / np.sqrt(np.maximum(np.diag(hessian), 1e-300))  # no parameter's unit matters
    both = np.outer(scale, scale)
    inverse = np.linalg.pinv(hessian * both, rcond=1e-14, hermitian=True) * both
    h = np.bincount(labels, weights=np.einsum("pn,pq,qn->n", weighted, inverse, jacobian))
    return inverse, np.clip(h[labels], 0.0, 0.9)


def spread(r: Array) -> float:
    """Robust standard deviation of residuals about 0."""
    return 1.4826 * float(np.median(np.abs(r)))
