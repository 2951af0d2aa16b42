"""Which members forecast well, and how far their intervals must be widened.

A member is scored by the density it gave to points beyond earlier origins, and by the probability
it gives to all points, which is what pays for parameters. Sums of both, in logs, are weights.

References
----------
Yao, Vehtari, Simpson and Gelman (2018), Using stacking to average Bayesian predictive
distributions (weights by softmax of predictive scores, there called pseudo-BMA);
Tashman (2000), Out-of-sample tests of forecasting accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.auto.members import Member
from scaling.fitting.auto.points import Points

Array = NDArray[np.float64]

FORECASTS = 1.5  # what an origin's mean log density counts
FADING = 0.1  # per unit of ln scale by which an origin counts less, the further back it lies
TAILS = 4.0  # degrees of freedom of the density of a forecast error
SMALLEST_ERROR = 1e-4  # of ln y, below which errors are not told apart
EVIDENCE = 0.5  # what a point's log probability counts: points are less independent than they look
DOUBT = 0.5  # power of the weights with which draws choose a member
PRIOR_ERRORS = 4.0  # errors of the promised size that count beside those seen
WIDER = 0.3  # growth of the variance of forecasts at distances that no origin has tried
SHORTEST = 0.3  # distance that origins are taken to have tried at least
BANDS = (0.25, 0.5, 1.0)  # of the longest distance that origins have tried


def weigh(members: Sequence[Member], points: Points, origins: Sequence[int], upto: int) -> Array:
    """Weights of the members by what lies up to an origin, adding to 1.

    Parameters
    ----------
    members : sequence of Member
    points : Points
    origins : sequence of int
    upto : int
        Index of the origin; points beyond it are not looked at.
    """
    end = origins[upto]
    score = np.array([EVIDENCE * m.evidence[upto] for m in members])
    for i, cut in enumerate(origins[:upto]):
        error, variance = (
            np.stack([getattr(m, name)[i][: end - cut] for m in members])
            for name in ("error", "variance")
        )
        variance = variance + SMALLEST_ERROR**2
        density = -0.5 * np.log(variance) - 0.5 * (TAILS + 1.0) * np.log1p(
            error**2 / variance / TAILS
        )
        back = points.along[end - 1] - points.along[cut - 1]
        fresh = FORECASTS * np.exp(-FADING * back)
        score += fresh * density @ _even(points.along[cut - 1 : end])
    score = np.where(np.isfinite(score), score, -np.inf)
    weight = np.exp(score - score.max())
    total: Array = weight / weight.sum()
    return total


def _even(along: Array) -> Array:
    """Weights of points beyond the first of `along` by the stretch of the scale they stand for."""
    step = np.gradient(along)[1:] if len(along) > 2 else np.ones(len(along) - 1)
    step = np.maximum(step, 1e-12)
    share: Array = step / step.sum()
    return share


def widening(
    members: Sequence[Member], points: Points, origins: Sequence[int]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """By what to multiply the spread of forecasts at distances beyond the data.

    The square of the factor is the mean over origins of the squared error of the weighted forecast
    in units of the variance that was promised, at distances like the one in question, together with
    a few errors of just the promised size; never below 1. Beyond the longest distance that an
    origin has tried the variance goes on growing.

    Returns
    -------
    distance, factor : tuple of float
        In ln of the scale.
    """
    far, square = [], []
    for i, cut in enumerate(origins[:-1]):
        error, variance = (
            np.stack([getattr(m, n)[i] for m in members]) for n in ("error", "variance")
        )
        weight = weigh(members, points, origins, i)  # from what lay below
        mean = weight @ error
        promised = weight @ (variance + (error - mean) ** 2)
        far.append(points.along[cut:] - points.along[cut - 1])
        square.append(mean**2 / promised)
    longest = max(reach(points, origins), SHORTEST)
    distance, factor = [0.0], []
    for band in BANDS:
        seen = [
            float(s[near].mean())
            for f, s in zip(far, square, strict=True)
            if (near := np.abs(np.log(np.maximum(f, 1e-9) / (band * longest))) < np.log(2.0)).any()
        ]
        mean = (PRIOR_ERRORS + sum(seen)) / (PRIOR_ERRORS + len(seen))
        distance.append(band * longest)
        factor.append(np.sqrt(max(1.0, mean) * (1.0 + WIDER * band**2)))
    factor = [1.0, *np.maximum.accumulate(factor)]
    for more in (2.0, 4.0, 8.0, 16.0, 32.0, 64.0):
        distance.append(more * longest)
        factor.append(factor[len(BANDS)] * np.sqrt((1.0 + WIDER * more**2) / (1.0 + WIDER)))
    return tuple(float(v) for v in distance), tuple(float(v) for v in factor)


def reach(points: Points, origins: Sequence[int]) -> float:
    """Longest distance, in ln of the scale, over which a forecast could be checked."""
    first = origins[0] if len(origins) > 1 else points.n
    return float(points.along[-1] - points.along[first - 1])
