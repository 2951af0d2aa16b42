"""The most probable parameters of a law under many departures and origins, as one array program.

The penalty is that of the prior; the variance of the noise is found with the parameters, by its
own most probable value. A damped Newton method on the linearised law, like `scaling.fitting.solve`,
whose objectives are sums over rows and so know neither shared departures nor priors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.data import Data

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

ROUNDS, STEPS = 8, 10  # at most so many steps
CLOSE = 1e-7  # expected decrease of minus the log posterior
FIRST_DAMPING, HELD = 1e-2, 1e9  # of the diagonal; no step helps where it is held
MAX_STEP = 1.5  # of a parameter in logs; a quarter of it for an exponent
NOISE_ROWS, NOISE = 1.0, 0.002  # weight and size of what is believed of a run's own noise
OUT_OF_BOUNDS = 1e3  # residual that counts for an overflow
RIDGE = 1e-12


@dataclass(frozen=True)
class Problems:
    """Fits of one law, k of them.

    Attributes
    ----------
    data : Data
        All points.
    whiten : ndarray
        Inverse Cholesky factors of the fitted points' covariance, shape (k, n, n), zero beyond.
    rows : ndarray
        Degrees of freedom of the fitted rows, those about their points included, shape (k,).
    within : ndarray
        Sum of squares of rows about their points, shape (k,).
    mean, precision : ndarray
        Of the prior, shape (k, p); precision 0 where there is none.
    """

    data: Data
    whiten: Array
    rows: Array
    within: Array
    mean: Array
    precision: Array

    def at(self, index: NDArray[np.int64]) -> Problems:
        """Return some of them."""
        parts = (self.whiten, self.rows, self.within, self.mean, self.precision)
        return Problems(self.data, *(a[index] for a in parts))

    def repeated(self, times: int) -> Problems:
        """Return every problem several times, in a row."""
        parts = (self.whiten, self.rows, self.within, self.mean, self.precision)
        return Problems(self.data, *(np.repeat(a, times, axis=0) for a in parts))


@dataclass(frozen=True)
class Modes:
    """Most probable parameters.

    Attributes
    ----------
    z : ndarray
        Internal coordinates, shape (k, p).
    variance : ndarray
        Of a run's own noise in ln y, shape (k,).
    precision : ndarray
        Curvature of minus the log posterior, shape (k, p, p).
    residual, jacobian : ndarray
        ln of the law less ln y at all points, shape (k, n), and its derivatives, (k, p, n).
    objective : ndarray
        Minus the log posterior but for constants.
    """

    z: Array
    variance: Array
    precision: Array
    residual: Array
    jacobian: Array
    objective: Array

    def unbiased(self, problems: Problems) -> Modes:
        """Return them with the variance that parameters took up given back, and its spread.

        Parameters take up as many degrees of freedom as the points, not the prior, decide.
        """
        index = np.arange(self.z.shape[1])
        prior = np.zeros_like(self.precision)
        prior[:, index, index] = problems.precision
        data = self.precision - prior
        ridge = RIDGE * np.maximum(self.precision[:, index, index], 1e-300)
        whole = self.precision.copy()
        whole[:, index, index] += ridge
        taken = np.trace(np.linalg.solve(whole, data), axis1=1, axis2=2)
        rows = problems.rows + NOISE_ROWS
        factor = rows / np.maximum(rows - np.clip(taken, 0.0, len(index)), 1.0)
        wide = data / factor[:, None, None] + prior
        return replace(self, variance=self.variance * factor, precision=wide)

    def at(self, index: NDArray[np.int64]) -> Modes:
        """Return some of them."""
        return Modes(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


def find(problems: Problems, starts: Array) -> Modes:
    """Return the best mode of each problem, from starts of shape (k, s, p)."""
    k, s, p = starts.shape
    with np.errstate(all="ignore"):
        modes = _descend(problems.repeated(s), starts.reshape(k * s, p))
    value = np.where(np.isfinite(modes.objective), modes.objective, np.inf).reshape(k, s)
    return modes.at(np.arange(k) * s + value.argmin(axis=1))


class _Points:
    """Residuals, derivatives and objective at some coordinates."""

    def __init__(self, problems: Problems, z: Array) -> None:
        r, jacobian = problems.data.residuals(z)
        good = np.isfinite(r) & np.isfinite(jacobian).all(axis=1)
        self.r = np.where(good, r, OUT_OF_BOUNDS)
        self.jacobian = np.where(good[:, None, :], jacobian, 0.0)
        self.z = z
        self.white = np.matmul(problems.whiten, self.r[:, :, None])[:, :, 0]
        self.square = (self.white**2).sum(axis=1) + problems.within + NOISE_ROWS * NOISE**2
        penalty = (problems.precision * (z - problems.mean) ** 2).sum(axis=1)
        self.objective = 0.5 * ((problems.rows + NOISE_ROWS) * np.log(self.square) + penalty)

    def take(self, accepted: Bools, other: _Points) -> None:
        for name in ("r", "jacobian", "z", "white", "square", "objective"):
            mine, theirs = getattr(self, name), getattr(other, name)
            mine[accepted] = theirs[accepted]


def _descend(problems: Problems, z: Array) -> Modes:
    """Descend in rounds, each with the problems that are left; none knows of another."""
    z = np.clip(z, *problems.data.limits)
    damping = np.full(len(z), FIRST_DAMPING)
    left = np.arange(len(z))
    for _ in range(ROUNDS):
        z[left], damping[left], done = _round(problems.at(left), z[left], damping[left])
        left = left[~done]
        if not len(left):
            break
    here = _Points(problems, z)
    _, hessian = _curvature(problems, here)
    variance = here.square / (problems.rows + NOISE_ROWS)
    return Modes(here.z, variance, hessian, here.r, here.jacobian, here.objective)


def _round(problems: Problems, z: Array, damping: Array) -> tuple[Array, Array, Bools]:
    """Take some steps; return coordinates and damping, and which problems are done."""
    data = problems.data
    low, high = data.limits
    limit = np.where(data.in_log, MAX_STEP, np.inf)
    limit = np.where(data.exponents, MAX_STEP / 4, limit)
    here = _Points(problems, z)
    done = np.zeros(len(z), dtype=bool)
    for _ in range(STEPS):
        move, expected = _step(problems, here, damping, limit)
        done |= (expected < CLOSE) & (damping < 1.0) | (damping >= HELD)
        there = _Points(problems, np.clip(here.z + move, low, high))
        better = (there.objective <= here.objective) & ~done
        here.take(better, there)
        damping = np.clip(np.where(better, 0.2 * damping, 6.0 * damping), 1e-9, HELD)
        if done.all():
            break
    return here.z, damping, done


def _step(problems: Problems, here: _Points, damping: Array, limit: Array) -> tuple[Array, Array]:
    """Damped Newton step inside the bounds, and the decrease that it promises."""
    low, high = problems.data.limits
    index = np.arange(here.z.shape[1])
    gradient, hessian = _curvature(problems, here)
    margin = 1e-9 * (1.0 + np.abs(here.z))
    pushed = ((here.z <= low + margin) & (gradient > 0)) | (
        (here.z >= high - margin) & (gradient < 0)
    )
    gradient = np.where(pushed, 0.0, gradient)
    diagonal = hessian[:, index, index]
    scale = np.sqrt(np.where(~pushed & (diagonal > 0), diagonal, 1.0))
    free = ~pushed[:, :, None] & ~pushed[:, None, :]
    matrix = np.where(free, hessian, 0.0) / scale[:, :, None] / scale[:, None, :]
    matrix[:, index, index] += damping[:, None] + RIDGE + pushed
    move = -np.linalg.solve(matrix, (gradient / scale)[:, :, None])[:, :, 0] / scale
    move /= np.maximum(1.0, (np.abs(move) / limit).max(axis=1))[:, None]
    return move, -(gradient * move).sum(axis=1)


def _curvature(problems: Problems, here: _Points) -> tuple[Array, Array]:
    """Gradient and linearised curvature of minus the log posterior."""
    variance = here.square / (problems.rows + NOISE_ROWS)
    slopes = np.matmul(here.jacobian, problems.whiten.transpose(0, 2, 1))
    hessian = np.matmul(slopes, slopes.transpose(0, 2, 1)) / variance[:, None, None]
    gradient = np.matmul(slopes, here.white[:, :, None])[:, :, 0] / variance[:, None]
    index = np.arange(hessian.shape[1])
    hessian[:, index, index] += problems.precision
    return gradient + problems.precision * (here.z - problems.mean), hessian
