"""The oracle: losses drawn from a law, so that every parameter is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from scaling.runs.sources.truth import parameters


def loss(options: Mapping[str, Any], N: int, D: int, seed: int) -> tuple[float, float]:
    """``[E + (A/N^alpha + B/D^beta)^k] exp(noise z)``, z normal by (seed, N, D); and its error.

    Terms are powers of logarithms, so that large coefficients do not overflow.
    """
    p = parameters(options)
    of_size, of_data = (
        math.log(p[factor]) - p[exponent] * math.log(amount) if p[factor] > 0 else -math.inf
        for factor, exponent, amount in (("A", "alpha", N), ("B", "beta", D))
    )
    law = p["E"] + math.exp(p["k"] * float(np.logaddexp(of_size, of_data)))
    noise = float(options["noise"])
    z = np.random.default_rng([int(options["seed"]), 51, seed, N, D]).standard_normal()
    found = law * math.exp(noise * z)
    return found, noise * found


def truth(options: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the parameters of the law."""
    return dict(parameters(options))
