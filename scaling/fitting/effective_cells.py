"""Cell by cell: the data at which the reference would have the loss of a treated run.

A replicate takes the reference's curve of one bootstrap draw and adds noise to the cell's loss, so
that an interval knows both. Where a loss lies below the curve's floor no amount of the reference's
data gives it: D_E is unbounded, and its interval has a lower end alone, ten times the reference's
largest data at that size where every replicate says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from scaling.fitting.effective_curve import SAME, Curve, Runs, distinct, nearest
from scaling.fitting.estimate import Estimate
from scaling.fitting.spread import spread_about

Array = NDArray[np.float64]
BEYOND = 10.0  # how far beyond the reference's data a cell still counts in the mean
ENOUGH_REPEATS = 5  # degrees of freedom from which repeats alone tell the noise


@dataclass(frozen=True)
class Reference:
    """The fitted curve of a reference.

    Attributes
    ----------
    curve : Curve
    runs : Runs
    found : Estimate
    noise : float
        Standard deviation of a run's ln response.
    level : float
    seed : int
    """

    curve: Curve
    runs: Runs
    found: Estimate
    noise: float
    level: float
    seed: int

    @property
    def draws(self) -> dict[str, Array]:
        """Draws of the parameters as columns of shape (draws, 1)."""
        return {name: values[:, None] for name, values in self.found.columns().items()}

    @property
    def factor(self) -> float:
        """Small-sample factor of the draws."""
        return self.found.draws.factor if self.found.draws is not None else 1.0

    @property
    def noise_factor(self) -> float:
        """Student's t over the normal for the noise, which the residuals tell."""
        left = len(self.runs) - len(self.found.data.free)
        upper = 0.5 * (1.0 + self.level)
        return float(stdtrit(left, upper) / ndtri(upper)) if left > 0 else 1.0

    def ends(self, draws: Array) -> list[tuple[float | None, float | None]]:
        """Percentiles of draws, shape (draws, m); None where infinite or without draws."""
        if len(draws) < 2:
            return [(None, None)] * draws.shape[1]
        tail = 50.0 * (1.0 - self.level)
        # An interpolation between infinite draws would be no number.
        low, high = np.percentile(draws, [tail, 100.0 - tail], axis=0, method="nearest")
        return [(finite(a), finite(b)) for a, b in zip(low, high, strict=True)]

    def ranges(self, n: Array) -> tuple[Array, Array]:
        """Smallest and largest data of the reference at the sizes `n`."""
        own = nearest(self.runs.N, self.curve.sizes)[0]
        pairs = [
            (self.runs.D[own == j].min(), self.runs.D[own == j].max())
            for j in range(len(self.curve.sizes))
        ]
        low, high = np.array(pairs)[nearest(n, self.curve.sizes)[0]].T
        return low, high


def finite(value: Any) -> float | None:
    """Return a number, or None for one that is not finite."""
    return float(value) if np.isfinite(value) else None


@dataclass(frozen=True)
class Cells:
    """Treated runs by N and D: arrays of shape (m,), and draws of ln(D_E/D_F), shape (draws, m)."""

    N: Array
    D: Array
    y: Array
    count: Array
    log_ratio: Array
    draws: Array


def cells_of(runs: Runs) -> tuple[Array, Array, Array, Array]:
    """Return N, D, the geometric mean of the response, and the number of runs of each cell."""
    out: list[tuple[float, float, float, float]] = []
    for n in np.unique(runs.N):
        own = n == runs.N
        levels = distinct(runs.D[own])
        index = nearest(runs.D[own], levels)[0]
        for j, d in enumerate(levels):
            y = np.log(runs.y[own][index == j])
            out.append((float(n), float(d), float(np.exp(y.mean())), float(len(y))))
    n_, d_, y_, count = np.array(out).T
    return n_, d_, y_, count


def noise_of(found: Estimate, curve: Curve, parts: list[Runs]) -> float:
    """Standard deviation of ln response of one run: from repeats, else from the residuals.

    Residuals of the reference are divided by what its parameters leave.
    """
    square, freedom = 0.0, 0
    for runs in parts:
        n, d, _, _ = cells_of(runs)
        gap = np.abs(np.log(runs.D)[:, None] - np.log(d))
        index = np.where(runs.N[:, None] == n, gap, np.inf).argmin(axis=1)
        logs, counts = np.log(runs.y), np.bincount(index, minlength=len(n))
        means = np.bincount(index, weights=logs, minlength=len(n)) / np.maximum(counts, 1)
        square += float(((logs - means[index]) ** 2).sum())
        freedom += int((counts - 1).clip(0).sum())
    if freedom >= ENOUGH_REPEATS:
        return float(np.sqrt(square / freedom))
    runs = parts[0]
    rest = np.log(runs.y) - np.log(curve.loss(found.params, runs.N, runs.D))
    return float(np.sqrt((rest**2).sum() / max(1, len(runs) - len(found.data.free))))


def turned(reference: Reference, runs: Runs, stream: int) -> Cells:
    """Turn the reference's curve round at every cell of a group, for every replicate."""
    n, d, y, count = cells_of(runs)
    curve, params, draws = reference.curve, reference.found.params, reference.draws
    with np.errstate(divide="ignore"):
        ratio = np.log(curve.data_for(params, n, y) / d)
    drawn = np.zeros((0, len(n)))
    if draws:
        rng = np.random.default_rng([reference.seed, stream])
        size = (len(next(iter(draws.values()))), len(n))
        # The draws' factor is about the curve; it is taken out of the noise again.
        sd = reference.noise * reference.noise_factor / reference.factor / np.sqrt(count)
        noisy = y * np.exp(sd * rng.standard_normal(size))
        with np.errstate(all="ignore"):
            drawn = np.log(curve.data_for(draws, n, noisy) / d)
        known = np.isfinite(ratio)
        drawn[:, known] = spread_about(ratio[known], drawn[:, known], reference.factor, log=False)
    return Cells(n, d, y, count, ratio, drawn)


def as_rows(reference: Reference, cells: Cells) -> tuple[dict[str, Any], ...]:
    """Return the cells of `scaling.fitting.effective_result.Treatment`."""
    low, high = reference.ranges(cells.N)
    with np.errstate(over="ignore"):
        data = cells.D * np.exp(cells.log_ratio)
    ends = reference.ends(cells.draws)
    sized = not (reference.runs.N == 1.0).all()
    out = []
    for j, (lo, hi) in enumerate(ends):
        d, known = float(cells.D[j]), len(cells.draws) > 1
        if lo is None and known:  # no replicate reaches it: what the reference's data vouch for
            lo = float(np.log(BEYOND * high[j] / d))
        ratio = [None if e is None else float(np.exp(e)) for e in (lo, hi)]
        data_ends = [None if r is None else r * d for r in ratio]
        row: dict[str, Any] = {
            "N": float(cells.N[j]) if sized else None,
            "D_F": d,
            "runs": int(cells.count[j]),
            "y": float(cells.y[j]),
            "D_E": finite(data[j]),
            "D_E_interval": data_ends if known else None,
            "ratio": finite(data[j] / d),
            "ratio_interval": ratio if known else None,
            "D_T": finite(data[j] - d),
            "D_T_interval": [None if e is None else e - d for e in data_ends] if known else None,
            "reach": _reach(data[j], low[j], high[j]),
        }
        out.append(row)
    return tuple(out)


def _reach(data: float, low: float, high: float) -> str:
    if not np.isfinite(data):
        return "unbounded"
    if np.log(data / high) > SAME:
        return "above"
    return "below" if np.log(low / data) > SAME else "inside"


def mean_ratio(reference: Reference, cells: Cells) -> dict[str, Any]:
    """Return exp of the mean of ln(D_E/D_F) over cells, which are cut beyond the reference's data.

    A cell counts up to ten times the reference's largest data at its size and down to a tenth of
    its smallest, so that no far extrapolation, and no unbounded cell, decides the mean; the mean is
    then a bound.
    """
    low, high = (np.log(r) - np.log(cells.D) for r in reference.ranges(cells.N))
    low, high = low - np.log(BEYOND), high + np.log(BEYOND)
    mean = float(np.clip(cells.log_ratio, low, high).mean())
    interval = None
    if len(cells.draws) > 1:
        drawn = np.clip(cells.draws, low, high).mean(axis=1)
        interval = [float(np.exp(e or 0.0)) for e in reference.ends(drawn[:, None])[0]]
    above, below = bool((cells.log_ratio > high).any()), bool((cells.log_ratio < low).any())
    bound = "at least" if above and not below else "at most" if below and not above else None
    return {
        "ratio": float(np.exp(mean)),
        "interval": interval,
        "cells": len(cells.D),
        "bound": bound,
        "cut": int((cells.log_ratio > high).sum() + (cells.log_ratio < low).sum()),
    }


def band(reference: Reference, points: int = 60) -> tuple[Mapping[str, Any], ...]:
    """Return the curve of each size over the reference's data and three times beyond."""
    out = []
    for size in reference.curve.sizes:
        n = np.array([size])
        low, high = reference.ranges(n)
        d = np.geomspace(low[0] / 3.0, high[0] * 3.0, points)
        sizes = np.full(points, size)
        y = reference.curve.loss(reference.found.params, sizes, d)
        lo = hi = [None] * points
        if reference.draws:
            drawn = spread_about(
                y, reference.curve.loss(reference.draws, sizes, d), reference.factor, log=True
            )
            lo, hi = map(list, zip(*reference.ends(drawn), strict=True))
        out.append({"N": float(size), "D": d.tolist(), "y": y.tolist(), "lo": lo, "hi": hi})
    return tuple(out)
