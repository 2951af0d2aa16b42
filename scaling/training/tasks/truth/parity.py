"""Multitask sparse parity under the multilinear model, whose gradient flow is solved exactly.

Skill k occurs with the frequency ``P_k = k^-(1+α)/ζ(1+α)`` and is a basis function of its own, so
that the model ``Σ a_k b_k g_k`` learns each skill alone: with equal a and b,
``dR/dt = 2 η P_k R (1 - R)`` for its strength ``R = a b``, which is a sigmoid. The loss is half the
mean square of what is missing, over the N skills that the model has and those that it lacks.

References
----------
Nam et al. (2024), An Exactly Solvable Model for Emergence and Scaling Laws in the Multitask Sparse
Parity Problem. The strength of a learned skill is the unit here (S = 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from scaling.training.tasks.truth.powers import (
    Floats,
    coefficient_of_size,
    tail,
    total,
)


def strength(options: Mapping[str, Any], frequency: Floats, steps: float) -> Floats:
    """Strength of skills after `steps`, ``1/(1 + (1/R_0 - 1) exp(-2 η P T))``; shape as given."""
    rest = 1.0 / float(options["start"]) - 1.0
    grown = np.exp(-2.0 * float(options["rate"]) * steps * frequency)
    return np.asarray(1.0 / (1.0 + rest * grown))


def loss(options: Mapping[str, Any], N: int, D: int, seed: int) -> tuple[float, float]:
    """Loss of a model of N skills after D steps; nothing is drawn, so the error is 0."""
    del seed
    alpha, start = float(options["alpha"]), float(options["start"])
    untouched = (1.0 - start) ** 2  # of a skill that has hardly begun

    def gained(frequency: Floats) -> Floats:
        return np.asarray(untouched - (1.0 - strength(options, frequency, D)) ** 2)

    scale = 2.0 * float(options["rate"]) * D
    beyond = tail(alpha, N)
    missing = untouched * (1.0 - beyond) - total(alpha, gained, N, scale) + beyond
    return 0.5 * missing, 0.0


def truth(options: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the exponents: alpha of N, beta of steps, and gamma of compute C = N T.

    ``beta = α/(1+α)`` and ``gamma = α/(2+α)``; ``A`` is the coefficient of N.
    """
    alpha = float(options["alpha"])
    return {
        "E": 0.0,
        "A": 0.5 * coefficient_of_size(alpha),
        "alpha": alpha,
        "beta": alpha / (1.0 + alpha),
        "gamma": alpha / (2.0 + alpha),
        "k": None,
    }
