"""From arrays to an estimate: the optimum, its certificate, draws and profiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault
from scaling.fitting.data import Data
from scaling.fitting.intervals import Draws, Labels, draw, spread
from scaling.fitting.options import Options
from scaling.fitting.parts import Check
from scaling.fitting.seeds import Seeds
from scaling.fitting.solve import MAX_ITERATIONS, Solution, refine
from scaling.fitting.verdict import best_of, certify, rival

Array = NDArray[np.float64]
STARTS, MANY_STARTS = 8, 32
MAIN_ITERATIONS = 10 * MAX_ITERATIONS  # some valleys are long and curved
ROBUST = 1.345 * 1.4826
SMALLEST_DELTA = 1e-12
AUTO_PASSES, AUTO_CLOSE = 12, 0.02
PROFILE_POINTS = 25
PROFILE_WIDTH = 4.0  # standard errors on either side


@dataclass(frozen=True)
class Estimate:
    """The optimum of one problem and what is known about it.

    Attributes
    ----------
    data : Data
        With the threshold that was used.
    z : ndarray
        Optimum in internal coordinates, shape (p,).
    objective : float
        Weighted sum of losses.
    certificate : mapping
        See `scaling.fitting.verdict.certify`.
    rival : Check or None
    draws : Draws or None
        None without replicates.
    cluster, clusters : str, int
        What was resampled, and how many there are.
    """

    data: Data
    z: Array
    objective: float
    certificate: Mapping[str, Any]
    rival: Check | None
    draws: Draws | None
    cluster: str
    clusters: int

    @property
    def params(self) -> dict[str, float]:
        """Every parameter of the law, those held included."""
        return {name: float(v[0]) for name, v in self.data.params(self.z[None, :]).items()}

    def columns(self) -> dict[str, Array]:
        """Draws of every parameter, shape (draws,)."""
        if self.draws is None or not len(self.draws.z):
            return {}
        return self.data.params(self.draws.z)


def estimate(
    data: Data,
    weights: Array,
    cluster: str,
    labels: Labels,
    options: Options,
    strata: Labels | None = None,
) -> Estimate:
    """Find the global optimum and draw about it.

    Parameters
    ----------
    data : Data
    weights : ndarray
        Row weights, shape (n,).
    cluster, labels : str, ndarray of int
        What rows share, and which of it each row has.
    options : Options
    strata : ndarray of int, optional
        See `scaling.fitting.intervals.resample`.
    """
    data, solution = _solve(data, weights, options)
    best = best_of(solution)
    draws = None
    if options.bootstrap and np.isfinite(solution.objective[best]):
        draws = draw(
            data,
            weights,
            solution.z[best],
            labels,
            method=options.method,
            draws=options.bootstrap,
            seed=options.seed,
            level=options.interval,
            strata=strata,
        )
    return Estimate(
        data=data,
        z=solution.z[best],
        objective=float(solution.objective[best]),
        certificate=certify(data, solution, best, weights),
        rival=rival(data, solution, best),
        draws=draws,
        cluster=cluster,
        clusters=int(labels.max()) + 1,
    )


def _solve(data: Data, weights: Array, options: Options) -> tuple[Data, Solution]:
    """Solve the fit of all rows; ``auto`` sets the threshold from the residuals until it holds.

    Huber's 1.345 times the residuals' scale keeps 95% of least squares' precision under normal
    noise (Huber and Ronchetti 2009, sec. 7.7).
    """
    auto = options.delta == "auto" and not data.loss.squared
    if auto:
        data = replace(data, loss=replace(data.loss, delta=1e3))
    starts = Seeds(data, weights).best(weights[None, :], _start_count(data))[0]
    solution = _both_ways(data, starts, weights)
    for _ in range(AUTO_PASSES if auto else 0):
        residual = _residual(data, solution)
        scale = max(ROBUST * float(np.median(np.abs(residual))), SMALLEST_DELTA)
        if abs(scale / data.loss.delta - 1.0) < AUTO_CLOSE:
            break
        data = replace(data, loss=replace(data.loss, delta=scale))
        starts = solution.z
        solution = _both_ways(data, starts, weights)
    return data, solution


def _both_ways(data: Data, starts: Array, weights: Array) -> Solution:
    """Refine with the threshold lowered from the residuals' scale, and at it from the beginning.

    A threshold far below the residuals makes an objective of many optima; the two ways end in
    different ones, of which the lower counts. The second begins at the first's best end and at the
    better half of its starts.
    """
    each = weights[None, :]
    smooth = refine(data, starts, each, per=len(starts), max_iterations=MAIN_ITERATIONS)
    if data.loss.squared or data.loss.delta >= 0.5 * spread(_residual(data, smooth)):
        return smooth
    best = smooth.z[int(smooth.objective.argmin())]
    again = np.concatenate([best[None, :], starts[: (len(starts) + 1) // 2]])
    direct = refine(
        data,
        again,
        each,
        per=len(again),
        lower=0.0,
        merge=False,
        max_iterations=MAIN_ITERATIONS,
    )
    both = [
        np.concatenate([getattr(smooth, f.name), getattr(direct, f.name)]) for f in fields(Solution)
    ]
    return Solution(*both)


def _residual(data: Data, solution: Solution) -> Array:
    best = int(solution.objective.argmin())
    residual: Array = data.residuals(solution.z[best : best + 1])[0][0]
    return residual


def _start_count(data: Data) -> int:
    """More starts where the grid of non-linear parameters cannot be dense."""
    count = sum(not data.law.parameter(p).enters_linearly for p in data.free)
    return STARTS if count <= 2 else MANY_STARTS


# --------------------------------------------------------------------------------------- profiles


def profiles(found: Estimate, weights: Array, options: Options) -> list[dict[str, Any]]:
    """Profile the objective over the parameters that were asked for.

    Each parameter is held at values on both sides of its estimate while the others are optimised
    afresh. The deviance is ``2 (S - S_min) A / B`` with A the mean curvature of the loss and B the
    mean square of its slope (Huber and Ronchetti 2009, sec. 7.6): asymptotically chi-squared with
    one degree of freedom; its limit is the square of Student's t for the rows beyond parameters.

    Returns
    -------
    list of dict
        ``parameter, values, deviance, level, interval``; an end of the interval is None where the
        deviance never reaches the level's quantile.

    Raises
    ------
    ConfigError
        SC004 for a parameter that is not free.
    """
    from scipy.special import stdtrit

    free = found.data.free
    names = free if "all" in options.profile else options.profile
    unknown = [name for name in names if name not in free]
    if unknown:
        known = "all, or one of " + ", ".join(free)
        raise ConfigError(Fault("SC004", "--profile", f'"{unknown[0]}" is not free', known))
    left = max(1, found.data.n - len(free))
    limit = float(stdtrit(left, 0.5 * (1.0 + options.interval)) ** 2)
    return [_profile(found, weights, name, options.interval, limit) for name in names]


def _profile(
    found: Estimate, weights: Array, name: str, level: float, limit: float
) -> dict[str, Any]:
    data, j = found.data, found.data.free.index(name)
    log = bool(data.in_log[j])
    scale = _deviance_scale(found, weights)
    ends: list[float | None] = []
    sides = []
    for sign in (-1.0, 1.0):
        marks, deviances = _walk(found, weights, j, sign, scale, limit)
        sides.append((marks, deviances))
        over = np.flatnonzero(deviances > limit)
        if len(over):
            k = int(over[0])
            before = deviances[k - 1] if k else 0.0
            start = marks[k - 1] if k else found.z[j]
            share = (np.sqrt(limit) - np.sqrt(before)) / (np.sqrt(deviances[k]) - np.sqrt(before))
            ends.append(float(start + share * (marks[k] - start)))
        else:
            ends.append(None)
    (left, low), (right, high) = sides
    marks = np.concatenate([left[::-1], [found.z[j]], right])
    deviance = np.concatenate([low[::-1], [0.0], high])
    values = np.exp(marks) if log else marks
    interval = [None if e is None else float(np.exp(e) if log else e) for e in ends]
    return {
        "parameter": name,
        "values": values.tolist(),
        "deviance": deviance.tolist(),
        "level": level,
        "interval": interval,
    }


def _walk(
    found: Estimate, weights: Array, j: int, sign: float, scale: float, limit: float
) -> tuple[Array, Array]:
    """Deviance at growing distance from the estimate, until well past the limit or a bound."""
    data, z = found.data, found.z
    name, log = data.free[j], bool(data.in_log[j])
    low, high = data.limits[0][j], data.limits[1][j]
    step = _first_step(found, j)
    warm = np.delete(z, j)
    at, marks, deviances = float(z[j]), [], []
    for _ in range(PROFILE_POINTS):
        at = float(np.clip(at + sign * step, low, high))
        value = float(np.exp(at)) if log else at
        held = replace(data, fixed={**data.fixed, name: value})
        deviance = 0.0
        if held.free:
            cold = Seeds(held, weights).best(weights[None, :], STARTS)[0]
            starts = np.concatenate([warm[None, :], cold])
            solution = refine(held, starts, weights[None, :], per=len(starts))
            best = best_of(solution)
            warm = solution.z[best]
            deviance = max(0.0, scale * (float(solution.objective[best]) - found.objective))
        marks.append(at)
        deviances.append(deviance)
        if deviance > 2.0 * limit or at in (low, high):
            break
        if deviance < 0.1 * limit:
            step *= 1.6
    return np.array(marks), np.array(deviances)


def _first_step(found: Estimate, j: int) -> float:
    """A quarter of a standard error if draws tell it, else a tenth of the value."""
    if found.draws is not None and len(found.draws.z) > 2:
        spread = float(found.draws.z[:, j].std())
        if np.isfinite(spread) and spread > 0:
            return min(0.4 * spread, 1.0)
    return 0.1 * max(abs(float(found.z[j])), 0.1)


def _deviance_scale(found: Estimate, weights: Array) -> float:
    """Factor that turns a difference of objectives into a chi-squared deviance."""
    data = found.data
    r = data.residuals(found.z[None, :])[0][0]
    left = max(1, data.n - len(data.free))
    slope = data.loss.slope(r, data.loss.delta)
    square = float((weights * slope**2).sum()) / left
    if data.loss.squared:
        curvature = 2.0
    else:  # the density of residuals at the kinks, smoothed over their scale
        smooth = max(data.loss.delta, 0.5 * 1.4826 * float(np.median(np.abs(r))))
        inside = float((weights * (np.abs(r) <= smooth)).sum() / weights.sum())
        curvature = inside * data.loss.delta / smooth
    return 2.0 * curvature / max(square, 1e-300)
