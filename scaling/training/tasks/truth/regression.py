"""Linear regression by one pass of SGD over a power-law spectrum, simulated or in expectation.

Features are independent and normal with variances ``λ_i = i^-a``, the teacher is ``w_i ~ N(0, 1)``,
``y = w·x + noise``. A model has the first M features and starts at 0; its steps are of one example
each, ``γ`` for the first ``D/K`` of them and half as much in each of the next ``K - 1`` parts,
``K = log2 D`` (Lin et al. 2024, Scaling Laws in Linear Regression: Compute, Parameters, and Data).
The loss is the expected square of the error on a new example::

    σ² + Σ_{i>M} λ_i + Σ_{i≤M} λ_i E δ_i²

of which the three parts are the floor, what a model of size M misses, and what is left of the
error δ in its weights. Features that a model lacks are noise to it, independent of those that it
has, so that for normal data the second moments ``m_i = E δ_i²`` follow exactly::

    m_i <- m_i - 2γλ_i m_i + γ² (2 λ_i² m_i + λ_i Σ_j λ_j m_j + λ_i v),   v = σ² + Σ_{i>M} λ_i
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import zeta

Floats = NDArray[np.float64]
CHUNK = 2**20  # numbers drawn at once
BEYOND = 4096  # features beyond the model's whose weights are drawn one by one
CUBE = 20.0  # cost of an eigenvalue problem of size M over M² recursion steps of it, roughly


def loss(options: Mapping[str, Any], N: int, D: int, seed: int) -> tuple[float, float]:
    """Loss of a model of N features after D examples.

    Returns
    -------
    loss, error : float
        ``draw = "exact"``: the expectation over data and teacher. Else that of one run on drawn
        examples, with the teacher of the source's seed; the loss of its weights is known exactly,
        so that the error is 0 in both.
    """
    if options["draw"] == "exact":
        return expected(options, N, D), 0.0
    return simulated(options, N, D, seed), 0.0


def spectrum(options: Mapping[str, Any], features: int) -> Floats:
    """Variances of the features, shape (features,)."""
    return np.asarray(np.arange(1.0, features + 1.0) ** -float(options["exponent"]))


def schedule(options: Mapping[str, Any], steps: int) -> Iterator[tuple[float, int]]:
    """Yield step sizes, and how many steps are taken with each."""
    first = float(options["rate"]) / float(zeta(float(options["exponent"])))
    parts = max(1, int(math.log2(steps)))
    edges = [round(steps * part / parts) for part in range(parts + 1)]
    for part in range(parts):
        yield first / 2.0**part, edges[part + 1] - edges[part]


def expected(options: Mapping[str, Any], features: int, steps: int) -> float:
    """Expected loss over data and teachers, by the recursion of the second moments."""
    power = float(options["exponent"])
    variances = spectrum(options, features)
    floor = float(options["noise"]) ** 2 + float(zeta(power, features + 1.0))
    moments = np.ones(features)
    for size, count in schedule(options, steps):
        if count < CUBE * features:
            moments = _stepped(variances, moments, floor, size, count)
        else:
            moments = _leapt(variances, moments, floor, size, count)
    return floor + float(variances @ moments)


def _stepped(variances: Floats, moments: Floats, noise: float, size: float, count: int) -> Floats:
    """Take the steps of the recursion one by one."""
    kept = 1.0 - 2.0 * size * variances + 2.0 * (size * variances) ** 2
    shared = size**2 * variances
    for _ in range(count):
        moments = kept * moments + shared * (variances @ moments + noise)
    return moments


def _leapt(variances: Floats, moments: Floats, noise: float, size: float, count: int) -> Floats:
    """Take all steps at once: the recursion is linear and its matrix symmetric."""
    matrix = size**2 * np.outer(variances, variances)
    np.fill_diagonal(
        matrix,
        matrix.diagonal() + 1.0 - 2.0 * size * variances + 2.0 * (size * variances) ** 2,
    )
    values, vectors = np.linalg.eigh(matrix)
    powers = values**count
    summed = (1.0 - powers) / (1.0 - values)
    added = size**2 * noise * variances
    return np.asarray(vectors @ (powers * (vectors.T @ moments) + summed * (vectors.T @ added)))


def simulated(options: Mapping[str, Any], features: int, steps: int, seed: int) -> float:
    """Loss after a run on drawn examples."""
    power, own = float(options["exponent"]), int(options["seed"])
    variances = spectrum(options, features + BEYOND)
    teacher = np.random.default_rng([own, 56]).standard_normal(features + BEYOND)
    far = float(zeta(power, features + BEYOND + 1.0))  # by its mean
    missing = variances[features:] @ teacher[features:] ** 2 + far
    floor = float(options["noise"]) ** 2 + float(missing)
    rng = np.random.default_rng([own, 57, seed, features, steps])
    scale, error = np.sqrt(variances[:features]), -teacher[:features]
    for size, count in schedule(options, steps):
        error = _descended(error, scale, math.sqrt(floor), size, count, rng)
    return floor + float(variances[:features] @ error**2)


def _descended(
    error: Floats,
    scale: Floats,
    noise: float,
    size: float,
    count: int,
    rng: np.random.Generator,
) -> Floats:
    """Take steps of SGD, each on one new example."""
    error, rows = error.copy(), max(1, CHUNK // len(scale))
    for start in range(0, count, rows):
        part = min(rows, count - start)
        x = scale * rng.standard_normal((part, len(scale)))
        for row, extra in zip(x, noise * rng.standard_normal(part), strict=True):
            error -= size * (row @ error - extra) * row
    return error


def truth(options: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the floor, and the exponents of features and of examples.

    ``alpha = a - 1`` and ``beta = (a - 1)/a`` up to logarithms (Lin et al. 2024, theorem 4.1);
    ``A = 1/(a - 1)`` is that of what the model lacks.
    """
    power = float(options["exponent"])
    return {
        "E": float(options["noise"]) ** 2,
        "A": 1.0 / (power - 1.0),
        "alpha": power - 1.0,
        "beta": (power - 1.0) / power,
    }
