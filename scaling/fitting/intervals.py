"""Bootstrap intervals: clusters are resampled, every replicate is optimised afresh."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.solve import Data, refine, seeds

Array = NDArray[np.float64]
STARTS = 2  # the replicate's own best node of the whole grid, and the fit of all rows
CHUNK = 250
TOLERANCE_FACTOR = 1.0


@dataclass(frozen=True)
class Bootstrap:
    """Replicates of the parameters.

    Attributes
    ----------
    draws : mapping of str to ndarray
        Converged replicates, shape (draws,).
    failed : int
        Replicates that did not converge.
    """

    draws: Mapping[str, Array]
    failed: int


def resample(labels: NDArray[np.int64], draws: int, seed: int) -> Array:
    """Row weights of each replicate of a cluster bootstrap.

    Parameters
    ----------
    labels : ndarray of int
        Cluster of each row, from 0.
    draws : int
    seed : int
        Replicate k has its own stream (seed, k), so results do not depend on chunks or jobs.

    Returns
    -------
    ndarray
        How often each row was drawn, shape (draws, n).
    """
    clusters = int(labels.max()) + 1
    weights = np.empty((draws, len(labels)))
    for k in range(draws):
        rng = np.random.default_rng([seed, k])
        counts = np.bincount(rng.integers(0, clusters, clusters), minlength=clusters)
        weights[k] = counts[labels]
    return weights


def bootstrap(
    data: Data,
    base: Array,
    best: Array,
    labels: NDArray[np.int64],
    draws: int,
    seed: int,
) -> Bootstrap:
    """Refit every replicate from its own grid search and from the best fit of all rows.

    Parameters
    ----------
    data : Data
    base : ndarray
        Row weights of the fit, shape (n,).
    best : ndarray
        Internal coordinates of the fit of all rows, shape (p,).
    labels, draws, seed
        See `resample`.
    """
    found: list[Array] = []
    failed = 0
    for first in range(0, draws, CHUNK):
        count = min(CHUNK, draws - first)
        weights = (
            resample(labels, first + count, seed)[first:]
            if first
            else resample(labels, count, seed)
        )
        weights = weights * base
        cold = seeds(data, weights, STARTS - 1)
        warm = np.broadcast_to(best, (count, 1, len(best)))
        starts = np.concatenate([cold, warm], axis=1)
        per = starts.shape[1]
        solution = refine(data, starts.reshape(count * per, -1), np.repeat(weights, per, axis=0))
        objective = np.where(solution.converged, solution.objective, np.inf).reshape(count, per)
        pick = objective.argmin(axis=1)
        good = np.isfinite(objective[np.arange(count), pick])
        found.append(solution.z.reshape(count, per, -1)[np.arange(count), pick][good])
        failed += int((~good).sum())
    return Bootstrap(data.params(np.concatenate(found)), failed)
