"""What the sampled token sources share: fast draws, in arrays as small as the vocabulary allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.options import Option

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MOST_TOKENS = 10**10
LENGTH = 16_384  # steps of one path
CHUNK = 2**20  # numbers drawn at once


def sizes(tokens: int = 20_000_000, validation: int = 400_000) -> tuple[Option, ...]:
    """Options of every sampled source: its seed and how much it gives."""
    return (
        Option("seed", "integer", 0, "seed of the source and its samples", low=0, high=2**32),
        Option("tokens", "integer", tokens, "tokens to train on", high=MOST_TOKENS),
        Option("validation_tokens", "integer", validation, "held-out tokens", high=MOST_TOKENS),
    )


def smallest_type(vocabulary: int) -> type[np.unsignedinteger[Any]]:
    """Smallest unsigned type that holds the tokens 0 … vocabulary - 1."""
    if vocabulary <= 2**8:
        return np.uint8
    return np.uint16 if vocabulary <= 2**16 else np.uint32


class Rows:
    """Fast draws from the rows of a stochastic matrix.

    All rows lie in one ascending list, row i in [i, i + 1), so that one search serves any mixture
    of rows.

    Parameters
    ----------
    matrix : ndarray
        Shape (states, outcomes); each row sums to 1.
    """

    def __init__(self, matrix: Floats) -> None:
        self.outcomes = matrix.shape[1]
        cumulative = matrix.cumsum(axis=1)
        cumulative /= cumulative[:, -1:]
        self.flat = (cumulative + np.arange(len(matrix))[:, None]).ravel()

    def draw(self, row: Ints, rng: np.random.Generator) -> Ints:
        """Draw one outcome for each entry of `row`, shape as `row`."""
        at = np.searchsorted(self.flat, row + rng.random(row.shape), side="right")
        # a sum just below its end may round up to the next row
        found: Ints = np.clip(at - row * self.outcomes, 0, self.outcomes - 1)
        return found


def paths(
    first: Callable[[int], Ints],
    step: Callable[[Ints], Ints],
    tokens: int,
    dtype: type[np.unsignedinteger[Any]],
) -> NDArray[Any]:
    """Run many paths of a chain side by side and lay them end to end.

    Parameters
    ----------
    first : callable
        Number of paths -> their first states.
    step : callable
        States -> the next states.
    tokens : int
        States in all.
    dtype : type
        Of the result.

    Returns
    -------
    ndarray
        Shape (tokens,). A path has 16384 states, so that what joins add to the loss of the best
        model is below 1e-4 of the difference between knowing and not knowing the last state.
    """
    count = -(-tokens // LENGTH)
    length = -(-tokens // count)
    state = first(count)
    out = np.empty((length, count), dtype=dtype)
    for t in range(length):
        out[t] = state
        state = step(state)
    return np.ascontiguousarray(out.T).reshape(-1)[:tokens]
