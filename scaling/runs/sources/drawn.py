"""Sources whose examples are drawn as they are needed: what a step sees follows from its number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from scaling.errors import Fault, TrainingError, clip
from scaling.options import Option
from scaling.runs.sources.registry import source_of

Pair = tuple[NDArray[Any], NDArray[Any]]
HELD_OUT, DRAWN = 61, 62  # keep the two parts apart whatever the seeds
MOST_UNITS = 10**13


class Drawn(Protocol):
    """A source of kind ``examples`` that draws."""

    def examples(self, options: Mapping[str, Any], rng: np.random.Generator, count: int) -> Pair:
        """Draw examples.

        Returns
        -------
        x : ndarray
            float32, shape (count, inputs).
        y : ndarray
            Classes, int64, or numbers, float32; shape (count,).
        """


def sizes(validation: int) -> tuple[Option, ...]:
    """Options of every drawn source."""
    return (
        Option("seed", "integer", 0, "seed of the source", low=0, high=2**32),
        Option("validation", "integer", validation, "held-out examples", high=10**7),
        Option("units", "integer", 10**12, "most examples of a run", high=MOST_UNITS),
    )


def held_out(source: Drawn, options: Mapping[str, Any]) -> Pair:
    """Return the validation examples."""
    rng = np.random.default_rng([int(options["seed"]), HELD_OUT])
    return source.examples(options, rng, int(options["validation"]))


def step_examples(name: str, options: Mapping[str, Any], seed: int, step: int, count: int) -> Pair:
    """Examples of one step.

    Parameters
    ----------
    name : str
        Of the source.
    options : mapping
        Of the source.
    seed : int
        Of the order of the data of a point.
    step : int
        0-based.
    count : int
        Examples of a step.

    Raises
    ------
    TrainingError
        SC308 if the source does not draw.
    """
    source = source_of(name)
    if not hasattr(source, "examples"):
        found = f'source "{clip(name)}" draws no examples'
        raise TrainingError(
            Fault("SC308", "[data] source", found, "parity-examples, teacher or one of your own")
        )
    rng = np.random.default_rng([int(options["seed"]), DRAWN, seed, step])
    return cast(Drawn, source).examples(options, rng, count)
