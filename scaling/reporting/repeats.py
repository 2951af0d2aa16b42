"""Runs that differ in nothing but their seed, and how far they scatter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scaling.fitting.result import Fit
from scaling.reporting.runs import Array, cost_of, runs_of


@dataclass(frozen=True)
class Repeats:
    """Points of one N and D that were trained with several seeds, arrays of shape (points,).

    Attributes
    ----------
    N, D, C : ndarray
        C in the fit's own meaning [FLOP], NaN where unknown.
    mean : ndarray
        Geometric mean of the response.
    sd : ndarray
        SD of its logarithm, with ``count - 1`` in the denominator.
    count : ndarray
        Runs of each point.
    """

    N: Array
    D: Array
    C: Array
    mean: Array
    sd: Array
    count: Array

    @property
    def pooled(self) -> float:
        """SD of the log response between seeds, over all points."""
        left = self.count - 1.0
        return float(np.sqrt((left * self.sd**2).sum() / left.sum()))

    @property
    def freedom(self) -> int:
        """Degrees of freedom of `pooled`."""
        return int((self.count - 1.0).sum())


def repeats_of(fit: Fit) -> Repeats | None:
    """Group the fitted runs by N and D; None where no point has two seeds.

    A row without a seed is no repeat: it may differ in more than that.
    """
    runs = runs_of(fit, fit.response)
    used = np.asarray(fit.rows.get("used", []), dtype=bool)
    seeds = fit.rows.get("seed") or [None] * len(used)
    kept = [s for s, use in zip(seeds, used, strict=True) if use]
    compute = cost_of(fit, runs)
    places: dict[tuple[float, float], dict[float, int]] = {}
    for i, seed in enumerate(kept):
        known = np.isfinite(runs.N[i]) or np.isfinite(runs.D[i])
        if seed is not None and known and runs.loss[i] > 0:
            key = (float(np.nan_to_num(runs.N[i])), float(np.nan_to_num(runs.D[i])))
            places.setdefault(key, {}).setdefault(float(seed), i)
    found = [np.array(list(of.values())) for of in places.values() if len(of) > 1]
    if not found:
        return None
    logs = [np.log(runs.loss[i]) for i in found]
    return Repeats(
        N=np.array([runs.N[i[0]] for i in found]),
        D=np.array([runs.D[i[0]] for i in found]),
        C=np.array([compute[i[0]] for i in found], dtype=np.float64),
        mean=np.exp([y.mean() for y in logs]),
        sd=np.array([y.std(ddof=1) for y in logs]),
        count=np.array([len(y) for y in logs], dtype=np.float64),
    )


def residual_sd(fit: Fit) -> float | None:
    """Return the SD of a fit's log residuals for its degrees of freedom; None where none are left.

    Robust objectives leave outliers in it: they are what the law does not say.
    """
    residual = runs_of(fit).residual
    residual = residual[np.isfinite(residual)]
    left = len(residual) - len(fit.certificate.get("free", fit.law.names))
    if left < 1:
        return None
    return float(np.sqrt((residual**2).sum() / left))
