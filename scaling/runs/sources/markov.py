"""An order-1 Markov chain whose entropy rate is known exactly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.options import Option
from scaling.runs.sources.base import Made

Tokens = NDArray[np.uint8]
MOST_TOKENS = 10**10


class Markov:
    """Symbols of a chain with Dirichlet rows."""

    name = "markov"
    kind = "tokens"
    options = (
        Option("symbols", "integer", 64, "number of symbols", low=2, high=256),
        Option("concentration", "number", 0.3, "of the Dirichlet rows", low=1e-3, high=1e3),
        Option("seed", "integer", 0, "seed of rows and samples", low=0, high=2**32),
        Option("tokens", "integer", 20_000_000, "symbols to train on", high=MOST_TOKENS),
        Option("validation_tokens", "integer", 400_000, "held-out symbols", high=MOST_TOKENS),
    )

    def make(self, options: Mapping[str, Any], where: Path | None) -> Made:
        """Draw the two parts from one chain."""
        del where
        train, validation = _markov(options)
        entropy = entropy_rate(transition_matrix(options))
        symbols = int(options["symbols"])
        detail = f"order-1 Markov chain of {symbols} symbols, entropy rate {entropy:.5f} nats"
        parts = ({"tokens": train}, {"tokens": validation})
        return Made(*parts, len(train), len(validation), symbols, detail, entropy)


def transition_matrix(options: Mapping[str, Any]) -> NDArray[np.float64]:
    """Rows of the chain, each drawn from a symmetric Dirichlet; shape (symbols, symbols)."""
    rng = np.random.default_rng([int(options["seed"]), 1])
    symbols = int(options["symbols"])
    return rng.dirichlet(np.full(symbols, float(options["concentration"])), size=symbols)


def stationary(chain: NDArray[np.float64]) -> NDArray[np.float64]:
    """Stationary distribution of a chain, shape (symbols,)."""
    k = len(chain)
    system = np.vstack([chain.T - np.eye(k), np.ones(k)])
    solution = np.linalg.lstsq(system, np.append(np.zeros(k), 1.0), rcond=None)[0]
    return np.asarray(np.clip(solution, 0.0, None) / solution.sum())


def entropy_rate(chain: NDArray[np.float64]) -> float:
    """Entropy rate -Σ_i π_i Σ_j P_ij ln P_ij [nats per token] (Shannon 1948)."""
    safe = np.where(chain > 0, chain, 1.0)
    rows = -(chain * np.log(safe)).sum(axis=1)
    return float(stationary(chain) @ rows)


def _markov(options: Mapping[str, Any]) -> tuple[Tokens, Tokens]:
    """Sample many parallel chains at once; each validation token has the chain's own history."""
    chain = transition_matrix(options)
    rng = np.random.default_rng([int(options["seed"]), 2])
    return (
        _sample(chain, int(options["tokens"]), rng),
        _sample(chain, int(options["validation_tokens"]), rng),
    )


def _sample(chain: NDArray[np.float64], tokens: int, rng: np.random.Generator) -> Tokens:
    """Draw `tokens` symbols as long parallel chains laid end to end.

    Chains are thousands of tokens long, so the few joins between them do not move the loss.
    """
    k = len(chain)
    length = 4096
    chains = -(-tokens // length)
    cumulative = chain.cumsum(axis=1)
    cumulative /= cumulative[:, -1:]
    flat = (cumulative + np.arange(k)[:, None]).ravel()
    state = np.searchsorted(stationary(chain).cumsum(), rng.random(chains)).clip(0, k - 1)
    out = np.empty((chains, length), dtype=np.uint8)
    for t in range(length):
        out[:, t] = state
        position = np.searchsorted(flat, state + rng.random(chains), side="right")
        state = np.clip(position - state * k, 0, k - 1)
    return out.reshape(-1)[:tokens]


MARKOV = Markov()
