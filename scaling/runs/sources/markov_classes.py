"""Sequences of several Markov chains, to be told apart: the best classifier is known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.options import Option
from scaling.runs.sources.base import Made
from scaling.runs.sources.markov import stationary

BLOCK = 2**16  # sequences at once


class MarkovClasses:
    """Each class is a chain; all mix one common chain with one of their own.

    Given a sequence, the probability of every class is exact (Bayes' rule with the chains), so the
    lowest error and the lowest loss that any classifier can have on the validation part are known.
    """

    name = "markov-classes"
    kind = "labelled"
    options = (
        Option("classes", "integer", 4, "number of chains", low=2, high=1000),
        Option("symbols", "integer", 16, "number of symbols", low=2, high=256),
        Option("length", "integer", 32, "symbols of a sequence", low=2, high=4096),
        Option("concentration", "number", 0.5, "of the Dirichlet rows", low=1e-3, high=1e3),
        Option("own", "number", 0.3, "share of a class's own chain in its rows", low=0.01, high=1),
        Option("seed", "integer", 0, "seed of rows and samples", low=0, high=2**32),
        Option("examples", "integer", 100_000, "sequences to train on", high=10**8),
        Option("validation_examples", "integer", 4096, "held-out sequences", high=10**7),
    )

    def make(self, options: Mapping[str, Any], where: Path | None) -> Made:
        """Draw both parts, and say how well the best classifier does on the second."""
        del where
        chains = transition_matrices(options)
        starts = np.array([stationary(chain) for chain in chains])
        rng = np.random.default_rng([int(options["seed"]), 12])
        train, validation = (
            _drawn(chains, starts, int(options[part]), int(options["length"]), rng)
            for part in ("examples", "validation_examples")
        )
        found, labels = log_posterior(chains, starts, validation["tokens"]), validation["labels"]
        error = float((found.argmax(axis=1) != labels).mean())
        loss = float(-found[np.arange(len(labels)), labels].mean())
        detail = f"sequences of {len(chains)} Markov chains of {options['symbols']} symbols; on "
        detail += f"the validation part the best classifier has error {error:.4f}, loss {loss:.4f}"
        facts = {"classes": len(chains), "context": int(options["length"])}
        sizes = (train["tokens"].size, validation["tokens"].size)
        symbols = int(options["symbols"])
        return Made(train, validation, *sizes, symbols, detail, loss, facts)


def transition_matrices(options: Mapping[str, Any]) -> NDArray[np.float64]:
    """Rows of the chains, shape (classes, symbols, symbols)."""
    rng = np.random.default_rng([int(options["seed"]), 11])
    symbols, own = int(options["symbols"]), float(options["own"])
    alpha = np.full(symbols, float(options["concentration"]))
    common = rng.dirichlet(alpha, size=symbols)
    each = rng.dirichlet(alpha, size=(int(options["classes"]), symbols))
    return np.asarray((1 - own) * common + own * each)


def log_posterior(
    chains: NDArray[np.float64], starts: NDArray[np.float64], tokens: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Log-probability of each class given a whole sequence, all classes alike before it.

    Parameters
    ----------
    chains : ndarray
        Shape (classes, symbols, symbols).
    starts : ndarray
        Stationary distributions, shape (classes, symbols).
    tokens : ndarray
        Shape (n, T).

    Returns
    -------
    ndarray
        Shape (n, classes).
    """
    with np.errstate(divide="ignore"):  # what cannot happen has log-probability -inf
        steps, first = np.log(chains), np.log(starts)
    found = first[:, tokens[:, 0]].T
    for t in range(1, tokens.shape[1]):
        found = found + steps[:, tokens[:, t - 1], tokens[:, t]].T
    return np.asarray(found - np.logaddexp.reduce(found, axis=1, keepdims=True))


def _drawn(
    chains: NDArray[np.float64],
    starts: NDArray[np.float64],
    count: int,
    length: int,
    rng: np.random.Generator,
) -> dict[str, NDArray[Any]]:
    """Sequences of classes that are alike in number but for chance."""
    labels = rng.integers(len(chains), size=count)
    return {"tokens": _sample(chains, starts, labels, length, rng), "labels": labels}


def _sample(
    chains: NDArray[np.float64],
    starts: NDArray[np.float64],
    labels: NDArray[np.int64],
    length: int,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """One sequence of the chain of each label, from its stationary distribution."""
    out = np.empty((len(labels), length), dtype=np.uint8)
    last = chains.shape[-1] - 1
    steps, first = chains.cumsum(axis=-1), starts.cumsum(axis=-1)
    for at in range(0, len(labels), BLOCK):
        own = labels[at : at + BLOCK]
        state = (rng.random(len(own))[:, None] > first[own]).sum(axis=1).clip(max=last)
        for t in range(length):
            out[at : at + BLOCK, t] = state
            chosen = steps[own, state]
            state = (rng.random(len(own))[:, None] > chosen).sum(axis=1).clip(max=last)
    return out


MARKOV_CLASSES = MarkovClasses()
