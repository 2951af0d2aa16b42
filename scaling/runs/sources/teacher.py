"""A teacher on a manifold: a random network's output as a function of a few hidden numbers.

Sharma and Kaplan (2020), A Neural Scaling Law from the Dimension of the Data Manifold: the squared
error of a student of N parameters, trained on enough examples, falls as about ``N^(-4/d)`` where
the data fill d dimensions, whatever the number of inputs.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault
from scaling.options import Option
from scaling.runs.sources.base import Made
from scaling.runs.sources.drawn import Pair, held_out, sizes

Floats = NDArray[np.float64]
CALIBRATED = 2**14  # examples that set the teacher's mean and size


class Teacher:
    """Numbers in a few dimensions of the input, and what a random ReLU network makes of them."""

    name = "teacher"
    kind = "examples"
    options = (
        Option("dimensions", "integer", 4, "d: of the manifold", high=256),
        Option("inputs", "integer", 16, "numbers of an example, at least d", high=4096),
        Option("width", "integer", 64, "of the teacher's two hidden layers", high=4096),
        *sizes(10_000),
    )

    def make(self, options: Mapping[str, Any], where: Path | None) -> Made:
        """Draw the validation examples; those of training are drawn as they are needed."""
        del where
        d, inputs = int(options["dimensions"]), int(options["inputs"])
        if d > inputs:
            found = f"{d} dimensions in {inputs} inputs"
            raise ConfigError(Fault("SC012", "[data] dimensions", found, f"at most {inputs}"))
        x, y = held_out(self, options)
        detail = f"random teacher on a {d}-dimensional manifold in {inputs} inputs"
        facts = {"inputs": inputs, "outputs": 1}
        units = int(options["units"])
        return Made({}, {"x": x, "y": y}, units, len(x), 0, detail, 0.0, facts)

    def examples(self, options: Mapping[str, Any], rng: np.random.Generator, count: int) -> Pair:
        """Draw hidden numbers, uniform with variance 1, and show them to the teacher."""
        network = _network(*(int(options[n]) for n in ("dimensions", "inputs", "width", "seed")))
        hidden = _hidden(rng, count, len(network.embedding))
        y = (network.raw(hidden) - network.mean) / network.size
        return (hidden @ network.embedding).astype(np.float32), y.astype(np.float32)


class Network(NamedTuple):
    """The teacher: its layers, where its inputs lie, and the mean and SD of what it says."""

    layers: tuple[tuple[Floats, Floats], ...]
    embedding: Floats
    mean: float
    size: float

    def raw(self, hidden: Floats) -> Floats:
        """Output for hidden numbers (n, d), shape (n,)."""
        for weight, bias in self.layers[:-1]:
            hidden = np.maximum(hidden @ weight + bias, 0.0)
        weight, bias = self.layers[-1]
        return np.asarray((hidden @ weight + bias)[:, 0])


def _hidden(rng: np.random.Generator, count: int, dimensions: int) -> Floats:
    return rng.uniform(-np.sqrt(3.0), np.sqrt(3.0), size=(count, dimensions))


@lru_cache(maxsize=4)
def _network(dimensions: int, inputs: int, width: int, seed: int) -> Network:
    rng = np.random.default_rng([seed, 64])
    sizes = (dimensions, width, width, 1)
    layers = tuple(
        (rng.standard_normal((a, b)) * np.sqrt(2.0 / a), rng.standard_normal(b))
        for a, b in itertools.pairwise(sizes)
    )
    # orthogonal rows, so that distances on the manifold are those of the hidden numbers
    turn = np.linalg.qr(rng.standard_normal((inputs, dimensions)))[0]
    embedding = turn.T * np.sqrt(inputs / dimensions)
    plain = Network(layers, embedding, 0.0, 1.0)
    seen = plain.raw(_hidden(rng, CALIBRATED, dimensions))
    return plain._replace(mean=float(seen.mean()), size=float(seen.std()))


TEACHER = Teacher()
