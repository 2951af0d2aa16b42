"""A source whose loss is a sum by construction: one part of the examples only N limits, one only D.

With chance π an example is an item of a task whose table is given, of which a model of size N holds
the N most frequent items; else it is an item of a task that is learned only by meeting it. Labels
are flipped at the rate ε at evaluation only. A known item is predicted with the distribution of the
flips, an unknown one uniformly over K labels (log loss), or wrongly (error rate)::

    u(N, D)    = π tail(N) + (1-π) Σ θ_i (1 - (1-π)θ_i)^D
    error rate = ε + (1-ε) u
    log loss   = E + (ln K - E) u,    E = H_b(ε) + ε ln(K-1)

The laws of both parts are powers within 0.1% from N of about 200 and D of about 2e4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scaling.runs.sources.truth import flipped
from scaling.training.tasks.truth.powers import (
    Floats,
    above,
    coefficient_of_data,
    coefficient_of_size,
    meet,
    missed,
    tail,
)


class Examples(NamedTuple):
    """Validation examples: which task each is of, its item there, and whether its label flipped."""

    of_size: NDArray[np.bool_]
    items: Floats
    flips: NDArray[np.bool_]


def loss(options: Mapping[str, Any], N: int, D: int, seed: int) -> tuple[float, float]:
    """Loss of the measure that the options name.

    Returns
    -------
    loss, error : float
        Where sampled, over the validation examples, or over all there could be (error 0) where
        their number is 0; else the expectation over what is drawn, with error 0.
    """
    floor, most = _ends(options)
    if options["draw"] == "exact":
        return floor + (most - floor) * unknown(options, N, D), 0.0
    alpha_n, alpha_d, share = (float(options[name]) for name in ("alpha_N", "alpha_D", "share"))
    own = int(options["seed"])
    rng = np.random.default_rng([own, 54, seed, N, D])
    memory = meet(alpha_d, int(rng.binomial(D, 1.0 - share)), rng)
    if not options["validation"]:
        missing = share * tail(alpha_n, N) + (1.0 - share) * (1.0 - memory.mass(alpha_d))
        return floor + (most - floor) * missing, 0.0
    held_out = _validation(
        alpha_n, alpha_d, share, float(options["flips"]), int(options["validation"]), own
    )
    known = np.where(held_out.of_size, held_out.items <= N, memory.knows(held_out.items))
    losses = np.where(known, np.where(held_out.flips, *_known(options)), most)
    return float(losses.mean()), float(losses.std() / math.sqrt(len(losses)))


def unknown(options: Mapping[str, Any], N: int, D: int) -> float:
    """Expected share of the examples whose item is not known, u(N, D)."""
    share = float(options["share"])
    of_size = tail(float(options["alpha_N"]), N)
    of_data = missed(float(options["alpha_D"]), D, share=1.0 - share)
    return share * of_size + (1.0 - share) * of_data


def truth(options: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the parameters of ``E + A/N^alpha + B/D^beta`` for large N and D."""
    alpha_n, alpha_d, share = (float(options[name]) for name in ("alpha_N", "alpha_D", "share"))
    beta = alpha_d / (1.0 + alpha_d)
    floor, most = _ends(options)
    return {
        "E": floor,
        "A": (most - floor) * share * coefficient_of_size(alpha_n),
        "B": (most - floor) * (1.0 - share) ** (1.0 - beta) * coefficient_of_data(alpha_d),
        "alpha": alpha_n,
        "beta": beta,
        "k": 1.0,
    }


def _ends(options: Mapping[str, Any]) -> tuple[float, float]:
    """Loss where every item is known, and where none is."""
    measure, labels = options["measure"], int(options["labels"])
    floor = flipped(float(options["flips"]), labels, measure)
    return floor, 1.0 if measure == "error" else math.log(labels)


def _known(options: Mapping[str, Any]) -> tuple[float, float]:
    """Loss on a known item whose label flipped, and on one whose label did not."""
    if options["measure"] == "error":
        return 1.0, 0.0
    flips = float(options["flips"])
    others = int(options["labels"]) - 1
    return -math.log(flips / others) if flips else 0.0, -math.log1p(-flips)


@lru_cache(maxsize=4)
def _validation(
    alpha_n: float, alpha_d: float, share: float, flips: float, count: int, seed: int
) -> Examples:
    """Validation examples, the same for every point."""
    rng = np.random.default_rng([seed, 55])
    of_size = rng.random(count) < share
    items = np.empty(count)
    for alpha, chosen in ((alpha_n, of_size), (alpha_d, ~of_size)):
        items[chosen] = above(alpha, 0, int(chosen.sum()), rng)
    return Examples(of_size, items, rng.random(count) < flips)
