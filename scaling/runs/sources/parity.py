"""Multitask sparse parity as examples: each task is the parity of a few bits of its own.

Michaud et al. (2023), The Quantization Model of Neural Scaling. Task k of K occurs with a frequency
proportional to ``k^-(1+alpha)``; an example is its one-hot number beside random bits, its class the
parity of the task's bits. The best loss is 0. Over unlimited tasks the model of Nam et al. (2024)
has the exponents alpha in N and alpha/(1+alpha) in D; of a network nothing is asserted.
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
from scaling.runs.sources.drawn import Pair, held_out, sizes
from scaling.runs.sources.zipf import frequencies


class ParityExamples:
    """Bits, and the parity of some of them."""

    name = "parity-examples"
    kind = "examples"
    options = (
        Option("tasks", "integer", 32, "number of tasks", high=10_000),
        Option("bits", "integer", 16, "random bits of an example", high=1000),
        Option("relevant", "integer", 3, "bits of which a task takes the parity", high=1000),
        Option("alpha", "number", 0.5, "tasks have frequency k^-(1+alpha)", low=0, high=10),
        *sizes(10_000),
    )

    def make(self, options: Mapping[str, Any], where: Path | None) -> Made:
        """Draw the validation examples; those of training are drawn as they are needed."""
        del where
        subsets(options)
        x, y = held_out(self, options)
        tasks, relevant = int(options["tasks"]), int(options["relevant"])
        detail = f"{tasks} parities of {relevant} of {options['bits']} bits"
        facts = {"inputs": x.shape[1], "outputs": 2}
        units = int(options["units"])
        return Made({}, {"x": x, "y": y}, units, len(x), 2, detail, 0.0, facts)

    def examples(self, options: Mapping[str, Any], rng: np.random.Generator, count: int) -> Pair:
        """Draw tasks by their frequency, and bits; the bits are ±1."""
        p = frequencies({"symbols": options["tasks"], "exponent": 1.0 + options["alpha"]})
        edges = p.cumsum()
        edges[-1] = np.inf
        task = np.searchsorted(edges, rng.random(count), side="right")
        bits = rng.integers(2, size=(count, int(options["bits"])))
        chosen = np.take_along_axis(bits, subsets(options)[task], axis=1)
        x = np.zeros((count, len(p) + bits.shape[1]), dtype=np.float32)
        x[np.arange(count), task] = 1.0
        x[:, len(p) :] = 2 * bits - 1
        return x, chosen.sum(axis=1) % 2


def subsets(options: Mapping[str, Any]) -> NDArray[np.int64]:
    """Bits of each task, shape (tasks, relevant).

    Raises
    ------
    ConfigError
        SC012 if there are not so many bits.
    """
    tasks, bits, relevant = (int(options[name]) for name in ("tasks", "bits", "relevant"))
    if relevant > bits:
        found = f"{relevant} of {bits} bits"
        raise ConfigError(Fault("SC012", "[data] relevant", found, f"at most {bits}"))
    rng = np.random.default_rng([int(options["seed"]), 63])
    return np.asarray(rng.permuted(np.tile(np.arange(bits), (tasks, 1)), axis=1)[:, :relevant])


PARITY_EXAMPLES = ParityExamples()
