"""Every candidate under every departure, fitted below every origin and scored beyond it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.auto.candidates import Candidate
from scaling.fitting.auto.descent import Modes, Problems, find
from scaling.fitting.auto.noise import Departure
from scaling.fitting.auto.points import Points, in_logs
from scaling.fitting.data import Data
from scaling.fitting.seeds import Seeds

Array = NDArray[np.float64]
STARTS = 5
JITTER = 1e-9


@dataclass(frozen=True)
class Member:
    """A candidate under one departure, with what it forecast from each origin.

    Attributes
    ----------
    candidate : Candidate
    departure : Departure
    data : Data
        All points under the law.
    modes : Modes
        One an origin, the last of all points.
    evidence : tuple of float
        An origin: ln of the probability of the points up to it, but for a constant of the points.
    error, variance : tuple of ndarray
        An origin: forecast less observed ln y of the points beyond it, and the variance that was
        forecast. The last origin has none.
    """

    candidate: Candidate
    departure: Departure
    data: Data
    modes: Modes
    evidence: tuple[float, ...]
    error: tuple[Array, ...]
    variance: tuple[Array, ...]


def members_of(
    points: Points,
    candidates: Sequence[Candidate],
    departures: Sequence[Departure],
    origins: Sequence[int],
) -> list[Member]:
    """Fit and score; the origins are numbers of points, the last of them all."""
    grid = [(cut, departure) for departure in departures for cut in origins]
    n, where = points.n, points.where
    whiten = np.zeros((len(grid), n, n))
    logdet = np.zeros(len(grid))
    gains, spreads = [], []
    for i, (cut, departure) in enumerate(grid):
        own = departure.own(points.along, float(points.along[cut - 1]), points.count)
        shared = departure.shared(where, where[:cut])
        matrix = shared[:cut] + np.diag(own[:cut] + JITTER)
        factor = np.linalg.cholesky(matrix)
        root = np.linalg.inv(factor)
        whiten[i, :cut, :cut] = root
        repeats = np.log(own[:cut] * points.count[:cut]) @ points.spare[:cut]
        logdet[i] = 2.0 * np.log(np.diag(factor)).sum() + repeats
        gain = shared[cut:] @ root.T @ root  # of the residuals on a forecast
        gains.append(gain)
        spreads.append(own[cut:] + departure.size**2 - (gain * shared[cut:]).sum(axis=1))
    out = []
    for candidate in candidates:
        data = in_logs(candidate.law, points.x, points.y)
        problems, found = _fit(candidate, data, points, grid, whiten, origins)
        evidence = _evidence(found, logdet, candidate, data, points, [cut for cut, _ in grid])
        found = found.unbiased(problems)
        for d, departure in enumerate(departures):
            which = slice(d * len(origins), (d + 1) * len(origins))
            modes = found.at(np.arange(len(grid))[which])
            error, variance = [], []
            for o, cut in enumerate(origins):
                e, v = _forecast(modes, o, cut, gains[which.start + o], spreads[which.start + o])
                error.append(e)
                variance.append(v)
            out.append(
                Member(
                    candidate,
                    departure,
                    data,
                    modes,
                    tuple(float(v) for v in evidence[which]),
                    tuple(error),
                    tuple(variance),
                )
            )
    return out


def _fit(
    candidate: Candidate,
    data: Data,
    points: Points,
    grid: Sequence[tuple[int, Departure]],
    whiten: Array,
    origins: Sequence[int],
) -> tuple[Problems, Modes]:
    """Most probable parameters at every node of the grid."""
    starts = {cut: _starts(data, points.count, cut) for cut in origins}
    priors = {
        cut: candidate.prior(data.free, {k: v[:cut] for k, v in points.x.items()}, points.y[:cut])
        for cut in origins
    }
    mean = np.stack([priors[cut][0] for cut, _ in grid])
    sd = np.stack([priors[cut][1] for cut, _ in grid])
    rows = np.array([cut + points.spare[:cut].sum() for cut, _ in grid])
    within = np.array(
        [
            d.within(points.along[:cut], points.along[cut - 1], points.scatter[:cut])
            for cut, d in grid
        ]
    )
    problems = Problems(data, whiten, rows, within, mean, 1.0 / sd**2)
    return problems, find(problems, np.stack([starts[cut] for cut, _ in grid]))


def _starts(data: Data, count: Array, cut: int) -> Array:
    """Starts from the points below an origin, which those beyond it must not move; shape (s, p)."""
    rows = np.arange(cut)
    below = count[:cut]
    found: Array = Seeds(data.gathered(rows), below).best(below[None, :], STARTS)[0]
    return found


def _forecast(modes: Modes, o: int, cut: int, gain: Array, spread: Array) -> tuple[Array, Array]:
    """Error and variance of ln y beyond an origin, to first order in the parameters."""
    r, jacobian = modes.residual[o], modes.jacobian[o]
    if cut == len(r):
        return np.zeros(0), np.zeros(0)
    error = r[cut:] - gain @ r[:cut]
    slope = jacobian[:, cut:] - jacobian[:, :cut] @ gain.T
    covariance = inverse_of(modes.precision[o])
    variance = modes.variance[o] * spread + np.einsum("pn,pq,qn->n", slope, covariance, slope)
    return error, variance


def inverse_of(precision: Array) -> Array:
    """Inverse of a curvature, with directions that the data do not see held at a wide limit."""
    scale = np.sqrt(np.maximum(np.diag(precision), 1e-300))
    values, vectors = np.linalg.eigh(precision / scale[:, None] / scale[None, :])
    values = np.maximum(values, 1e-8)
    inverse: Array = (vectors / values) @ vectors.T / scale[:, None] / scale[None, :]
    return inverse


def _evidence(
    modes: Modes,
    logdet: Array,
    candidate: Candidate,
    data: Data,
    points: Points,
    cuts: Sequence[int],
) -> Array:
    """Laplace's approximation of ln of the probability of the fitted points."""
    sd = np.stack(
        [
            candidate.prior(data.free, {k: v[:cut] for k, v in points.x.items()}, points.y[:cut])[1]
            for cut in cuts
        ]
    )
    known = np.isfinite(sd)
    p = len(data.free)
    sign, curved = np.linalg.slogdet(modes.precision)
    prior = -np.log(np.where(known, sd, 1.0)).sum(axis=1)
    prior = prior + 0.5 * np.log(2.0 * np.pi) * (p - known.sum(axis=1))
    return np.where(sign > 0, -modes.objective - 0.5 * logdet - 0.5 * curved + prior, -np.inf)
