"""A hidden Markov model: its entropy rate by the forward filter, and the best loss of a context."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from scaling.options import Option
from scaling.runs.sources.base import Made
from scaling.runs.sources.drawing import (
    CHUNK,
    Floats,
    Ints,
    Rows,
    paths,
    sizes,
    smallest_type,
)
from scaling.runs.sources.markov import stationary

FILTERED = (1024, 500)  # paths, and tokens of each after the filter has forgotten its start
FORGOTTEN = 200
DIGITS = 6  # of the entropy: further ones differ between libraries of linear algebra


class HMM:
    """Symbols that a hidden chain emits."""

    name = "hmm"
    kind = "tokens"
    options = (
        Option("states", "integer", 16, "of the hidden chain", low=2, high=512),
        Option("symbols", "integer", 32, "that are seen", low=2, high=65_536),
        Option("concentration", "number", 0.1, "of the chain's rows", low=1e-3, high=1e3),
        Option("emission", "number", 0.1, "concentration of what is emitted", low=1e-3, high=1e3),
        *sizes(),
    )

    def make(self, options: Mapping[str, Any], where: Path | None) -> Made:
        """Draw the model, both parts, and estimate the entropy rate."""
        del where
        chain, emission = matrices(options)
        rng = np.random.default_rng([int(options["seed"]), 32])
        train, validation = (
            _sample(chain, emission, int(options[name]), rng)
            for name in ("tokens", "validation_tokens")
        )
        rate, error = entropy_rate(options)
        detail = (
            f"hidden Markov model of {len(chain)} states and {emission.shape[1]} symbols, entropy "
            f"rate {rate:.5f} ± {error:.5f} nats (forward filter)"
        )
        parts = ({"tokens": train}, {"tokens": validation})
        rounded = round(rate, DIGITS)
        return Made(*parts, len(train), len(validation), emission.shape[1], detail, rounded)


def matrices(options: Mapping[str, Any]) -> tuple[Floats, Floats]:
    """Chain (states, states) and emissions (states, symbols), with Dirichlet rows."""
    rng = np.random.default_rng([int(options["seed"]), 31])
    states, symbols = int(options["states"]), int(options["symbols"])
    chain = rng.dirichlet(np.full(states, float(options["concentration"])), size=states)
    emission = rng.dirichlet(np.full(symbols, float(options["emission"])), size=states)
    return chain, emission


def entropy_rate(options: Mapping[str, Any]) -> tuple[float, float]:
    """Return the entropy rate -E ln p(x_t | x_<t), by the forward filter, and its standard error.

    Returns
    -------
    rate, error : float
        Nats per token; the error is that of the mean over independent paths.

    References
    ----------
    Rabiner (1989), A Tutorial on Hidden Markov Models, eqs. 19-21.
    """
    count, length = FILTERED
    rng = np.random.default_rng([int(options["seed"]), 33])
    total = np.zeros(count)
    for t, losses in enumerate(_filtered(*matrices(options), count, FORGOTTEN + length, rng)):
        if t >= FORGOTTEN:
            total += losses
    mean = total / length
    return float(mean.mean()), float(mean.std(ddof=1) / np.sqrt(count))


def bayes_loss(
    options: Mapping[str, Any], context: int, windows: int = 4096
) -> tuple[float, float, Floats]:
    """Lowest expected loss of a model that sees nothing before a window of `context` + 1 tokens.

    Parameters
    ----------
    options : mapping
        Of the source.
    context : int
        Tokens that are predicted in each window, all but its first.
    windows : int
        That are drawn for the estimate.

    Returns
    -------
    loss, error : float
        Mean over the positions of a window, and its standard error [nats per token]; above the
        entropy rate, which it approaches as the context grows.
    positions : ndarray
        The loss after 0, 1, … `context` tokens, shape (context + 1,); the first is that of the
        symbols' frequencies.
    """
    rng = np.random.default_rng([int(options["seed"]), 34])
    filtered = _filtered(*matrices(options), windows, context + 1, rng)
    losses = np.stack(list(filtered), axis=1)
    mean = losses[:, 1:].mean(axis=1)
    error = float(mean.std(ddof=1) / np.sqrt(windows))
    return float(mean.mean()), error, np.asarray(losses.mean(axis=0))


def _filtered(
    chain: Floats, emission: Floats, count: int, length: int, rng: np.random.Generator
) -> Iterator[Floats]:
    """Yield the entropy of p(x_t | x_<t) on `count` new paths from their start, shape (count,).

    Its mean is that of -ln p(x_t | x_<t), of which it is the expectation over x_t; it varies less.
    """
    moves, emits = Rows(chain), Rows(emission)
    pi = stationary(chain)
    state = Rows(pi[None]).draw(np.zeros(count, dtype=np.int64), rng)
    belief = np.tile(pi, (count, 1))
    for _ in range(length):
        yield entr(belief @ emission).sum(axis=1)
        seen = emits.draw(state, rng)
        joint = belief * emission[:, seen].T
        belief = (joint / joint.sum(axis=1, keepdims=True)) @ chain
        state = moves.draw(state, rng)


def _sample(chain: Floats, emission: Floats, tokens: int, rng: np.random.Generator) -> NDArray[Any]:
    moves, emits, begin = Rows(chain), Rows(emission), Rows(stationary(chain)[None])

    def first(count: int) -> Ints:
        return begin.draw(np.zeros(count, dtype=np.int64), rng)

    hidden = paths(first, lambda state: moves.draw(state, rng), tokens, np.uint16)
    out = np.empty(tokens, dtype=smallest_type(emission.shape[1]))
    for start in range(0, tokens, CHUNK):
        part = slice(start, start + CHUNK)
        out[part] = emits.draw(hidden[part].astype(np.int64), rng)
    return out


HMM_SOURCE = HMM()
