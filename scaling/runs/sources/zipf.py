"""Independent tokens whose frequencies fall as a power of their rank: only the floor to learn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.options import Option
from scaling.runs.sources.base import Made
from scaling.runs.sources.drawing import CHUNK, Floats, sizes, smallest_type


class Zipf:
    """Tokens drawn one by one."""

    name = "zipf"
    kind = "tokens"
    options = (
        Option("symbols", "integer", 1000, "number of tokens", low=2, high=2**24),
        Option("exponent", "number", 1.0, "of the frequencies in the rank", low=0, high=20),
        *sizes(),
    )

    def make(self, options: Mapping[str, Any], where: Path | None) -> Made:
        """Draw the two parts."""
        del where
        p = frequencies(options)
        rng = np.random.default_rng([int(options["seed"]), 11])
        train, validation = (
            _sample(p, int(options[name]), rng) for name in ("tokens", "validation_tokens")
        )
        floor = entropy(p)
        detail = (
            f"independent tokens of {len(p)} kinds, frequencies as rank^-{options['exponent']:g}, "
            f"entropy {floor:.5f} nats"
        )
        parts = ({"tokens": train}, {"tokens": validation})
        return Made(*parts, len(train), len(validation), len(p), detail, floor)


def frequencies(options: Mapping[str, Any]) -> Floats:
    """Probability of each token, most frequent first; shape (symbols,)."""
    logs = -float(options["exponent"]) * np.log(np.arange(1, int(options["symbols"]) + 1))
    p = np.exp(logs)
    return np.asarray(p / p.sum())


def entropy(p: Floats) -> float:
    """Return -Σ p ln p [nats] (Shannon 1948)."""
    seen = p[p > 0]
    return float(-(seen @ np.log(seen)))


def _sample(p: Floats, tokens: int, rng: np.random.Generator) -> NDArray[Any]:
    edges = p.cumsum()
    edges[-1] = np.inf  # whatever the sum rounds to
    out = np.empty(tokens, dtype=smallest_type(len(p)))
    for start in range(0, tokens, CHUNK):
        part = out[start : start + CHUNK]
        part[:] = np.searchsorted(edges, rng.random(len(part)), side="right")
    return out


ZIPF = Zipf()
