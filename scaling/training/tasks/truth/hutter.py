"""Hutter's learner: it knows what it has met and has room for. Exact, and not additive.

References
----------
Hutter (2021), Learning Curve Theory.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from scaling.training.tasks.truth.powers import (
    Floats,
    above,
    coefficient_of_data,
    coefficient_of_size,
    meet,
    missed,
)


def loss(options: Mapping[str, Any], N: int, D: int, seed: int) -> tuple[float, float]:
    """Share of the items that a memory of the N most frequent ones has not met in D draws.

    Returns
    -------
    loss, error : float
        Where sampled, over the validation examples, or over all there could be (error 0) where
        their number is 0; else the expectation over what is drawn, with error 0.
    """
    alpha = float(options["alpha"])
    if options["draw"] == "exact":
        return missed(alpha, D, N), 0.0
    rng = np.random.default_rng([int(options["seed"]), 52, seed, N, D])
    memory, examples = meet(alpha, D, rng), int(options["validation"])
    if not examples:
        return 1.0 - memory.mass(alpha, N), 0.0
    held_out = _validation(alpha, examples, int(options["seed"]))
    wrong = ~memory.knows(held_out) | (held_out > N)
    share = float(wrong.mean())
    return share, float(np.sqrt(share * (1.0 - share) / len(wrong)))


def truth(options: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the laws of N alone and of D alone, which the surface does not add.

    ``E = 0``; ``L = A N^-alpha`` without a limit of data, ``L = B D^-beta`` without one of size.
    """
    alpha = float(options["alpha"])
    return {
        "E": 0.0,
        "A": coefficient_of_size(alpha),
        "B": coefficient_of_data(alpha),
        "alpha": alpha,
        "beta": alpha / (1.0 + alpha),
        "k": None,  # no power of a sum is exact
    }


@lru_cache(maxsize=4)
def _validation(alpha: float, count: int, seed: int) -> Floats:
    """Items of the validation examples, the same for every point; shape (count,)."""
    return above(alpha, 0, count, np.random.default_rng([seed, 53]))
