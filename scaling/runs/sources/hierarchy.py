"""The random hierarchy model: sentences of a random grammar, whose entropy is a formula.

A sentence begins as one of v classes. At each of L levels every symbol is replaced by one of its m
productions, which are s symbols of the next level; all productions of a level are different, so a
sentence has one derivation (Cagnetta et al. 2024, How Deep Neural Networks Learn Compositional
Data: The Random Hierarchy Model). A sentence of s^L tokens therefore carries
``ln v + (s^L - 1)/(s - 1) ln m`` nats: the class, and one choice at each node.

The floor
---------
Sentences are laid end to end. The mean over a sentence of the loss of a model that sees all tokens
before is the stated entropy ``h``: the chain rule, and sentences are independent. A window that
begins where a sentence begins loses nothing: with a context that is a multiple of s^L, the T tokens
that follow the first one of such a window are, up to their order, T / s^L whole sentences, so the
lowest expected loss is exactly ``h`` (as it is for windows that begin with the last token of a
sentence). Windows that begin elsewhere see less of their first sentence
and may not know where it ends. Conditioning on less never lowers an entropy, so ``h`` remains a
bound that no model passes on average over all places, but the best loss lies above it, by less the
longer the context. Training windows begin at multiples of the context. Validation windows lie
`(validation_tokens - T - 1) // sequences` apart, which is T, and so aligned too, where
`validation_tokens` is `T * (sequences + 1) + 1`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault
from scaling.options import Option
from scaling.runs.sources.base import Made
from scaling.runs.sources.drawing import CHUNK, Ints, sizes, smallest_type

MOST_TUPLES = 2**24
MOST_LENGTH = 2**16


class Hierarchy:
    """Sentences of a random grammar, end to end."""

    name = "hierarchy"
    kind = "tokens"
    options = (
        Option("symbols", "integer", 8, "v: symbols of a level, and classes", low=2, high=4096),
        Option("productions", "integer", 4, "m: of each symbol; at most v^(s-1)", high=2**20),
        Option("branching", "integer", 2, "s: symbols of a production", low=2, high=16),
        Option("levels", "integer", 3, "L: a sentence has s^L tokens", high=16),
        *sizes(),
    )

    def make(self, options: Mapping[str, Any], where: Path | None) -> Made:
        """Draw the grammar, then both parts."""
        del where
        rules = grammar(options)
        rng = np.random.default_rng([int(options["seed"]), 42])
        train, validation = (
            _sample(rules, int(options[name]), rng) for name in ("tokens", "validation_tokens")
        )
        floor, length = entropy(options), int(options["branching"]) ** int(options["levels"])
        detail = (
            f"random hierarchy model, sentences of {length} tokens, entropy {floor:.5f} nats a "
            "token with the whole past"
        )
        kinds = int(options["symbols"])
        parts = ({"tokens": train}, {"tokens": validation})
        return Made(*parts, len(train), len(validation), kinds, detail, floor)


def entropy(options: Mapping[str, Any]) -> float:
    """Return [ln v + ln m (s^L - 1)/(s - 1)]/s^L, in nats per token."""
    v, m, s, levels = (
        int(options[name]) for name in ("symbols", "productions", "branching", "levels")
    )
    nodes = (s**levels - 1) // (s - 1)
    return float((np.log(v) + nodes * np.log(m)) / s**levels)


def grammar(options: Mapping[str, Any]) -> list[Ints]:
    """Productions of each level from the classes down, each of shape (v, m, s).

    Raises
    ------
    ConfigError
        SC012 if there are not enough different productions, or too many.
    """
    v, m, s, levels = (
        int(options[name]) for name in ("symbols", "productions", "branching", "levels")
    )
    faults = []
    if m > v ** (s - 1):
        found = f"{m} for each of {v} symbols need {v * m} different ones"
        limit = f"at most {v ** (s - 1)}, symbols^(branching - 1)"
        faults.append(Fault("SC012", "[data] productions", found, limit))
    if v**s > MOST_TUPLES:
        found = f"{v}^{s} possible productions"
        faults.append(Fault("SC012", "[data] branching", found, f"at most {MOST_TUPLES}"))
    if s**levels > MOST_LENGTH:
        found = f"sentences of {s}^{levels} tokens"
        faults.append(Fault("SC012", "[data] levels", found, f"at most {MOST_LENGTH} tokens"))
    if faults:
        raise ConfigError(faults)
    rng = np.random.default_rng([int(options["seed"]), 41])
    places = v ** np.arange(s)[::-1]
    return [(rng.permutation(v**s)[: v * m].reshape(v, m, 1) // places) % v for _ in range(levels)]


def _sample(rules: list[Ints], tokens: int, rng: np.random.Generator) -> NDArray[Any]:
    v, m, s = rules[0].shape
    length = s ** len(rules)
    out = np.empty(-(-tokens // length) * length, dtype=smallest_type(v))
    rows = max(1, CHUNK // length)
    for start in range(0, len(out), rows * length):
        part = out[start : start + rows * length]
        symbols = rng.integers(v, size=(len(part) // length, 1))
        for level in rules:
            chosen = level[symbols, rng.integers(m, size=symbols.shape)]
            symbols = chosen.reshape(len(symbols), -1)
        part[:] = symbols.reshape(-1)
    return out[:tokens]


HIERARCHY = Hierarchy()
