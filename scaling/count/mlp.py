"""Counts of the fully connected network; D counts examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scaling.count.family import Counts, OfExamples
from scaling.count.rules import Core, Rule, Settings, named
from scaling.options import Option

MAX_WIDTH = 16_384


def _widths(settings: Settings) -> range:
    step = int(settings["width_step"])
    return range(step, MAX_WIDTH + 1, step)


def _core(dial: int, settings: Settings) -> Core:
    return {"layers": int(settings["layers"]), "width": dial}


WIDTH = Rule(
    "width",
    "The number of hidden layers is fixed and the dial is their width, from 1 to 16384.",
    "this package",
    2026,
    ("layers", "width_step"),
    _widths,
    _core,
)
RULES: dict[str, Rule] = named(WIDTH)

OPTIONS = (
    Option("inputs", "integer", None, "numbers that describe an example"),
    Option("outputs", "integer", None, "numbers that are predicted: classes, or 1"),
    Option("layers", "integer", 2, "hidden layers", high=10_000),
    Option("biases", "switch", True, "layers have biases"),
    Option("width_step", "integer", 1, "widths are multiples of this", high=4096),
)


@dataclass(frozen=True)
class MLPShape:
    """Integer shape of a fully connected network.

    Attributes
    ----------
    inputs, outputs : int
        Numbers that describe an example, numbers that are predicted.
    layers, width : int
        Hidden layers and their width.
    biases : int
        1 for biases.
    """

    inputs: int
    outputs: int
    layers: int
    width: int
    biases: int


class MLPFamily(OfExamples):
    """The fully connected network: hidden layers of one width and a linear head."""

    name = "mlp"
    rules = RULES
    own_options = OPTIONS

    def shape(self, dial: int, options: Mapping[str, Any]) -> dict[str, int]:
        """Return the shape at a value of the dial; its keys are those of `MLPShape`."""
        settings = self.settings(options)
        return {
            "inputs": settings["inputs"],
            "outputs": settings["outputs"],
            **self.rules[settings["rule"]].core(dial, settings),
            "biases": int(settings["biases"]),
        }

    def counts(self, shape: Mapping[str, int]) -> Counts:
        """Count a shape; the formulas stand in ``docs/reference/counting.md``."""
        s = MLPShape(**shape)
        first, last = s.inputs * s.width, s.width * s.outputs
        dense = first + (s.layers - 1) * s.width**2
        biases = s.biases * s.layers * s.width
        head = last + s.biases * s.outputs
        return Counts(
            body=dense + biases,
            head=head,
            embedding=0,
            forward=2.0 * (dense + last),
            groups={"dense": dense, "biases": biases, "head": head},
            attention=0.0,
            attended=0.0,
            spared=2.0 * first,
        )


MLP = MLPFamily()
