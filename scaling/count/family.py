"""What planning needs to know of a model family: the shape of a size, and its counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from scaling.errors import ConfigError, Fault


@dataclass(frozen=True)
class Counts:
    """Parameters of a shape by group, and its forward cost.

    Attributes
    ----------
    body, head, embedding : int
        Parameters [count]. Input embeddings are looked up, not multiplied.
    forward : float
        FLOP per token of all matrix products in the forward pass, head and full attention
        included; a multiply-add is 2 FLOP.
    """

    body: int
    head: int
    embedding: int
    forward: float

    @property
    def N(self) -> int:
        """Parameters that laws are fitted in: body + head."""
        return self.body + self.head

    @property
    def training(self) -> float:
        """Training FLOP per token: three forward passes."""
        return 3.0 * self.forward


class Family(Protocol):
    """A model family: one dial that turns a size into an integer shape."""

    name: str

    def dial(self, options: Mapping[str, Any]) -> range:
        """Values of the dial, in order of growing size."""

    def shape(self, dial: int, options: Mapping[str, Any]) -> dict[str, int]:
        """Return the integer shape at a value of the dial."""

    def counts(self, shape: Mapping[str, int]) -> Counts:
        """Return the parameters and FLOPs of a shape."""


FAMILIES: dict[str, Family] = {}


def get(name: str) -> Family:
    """Return the family called `name`.

    Raises
    ------
    ConfigError
        SC012 with the known names.
    """
    if name not in FAMILIES:
        raise ConfigError(
            Fault("SC012", "[model] family", f'"{name}"', "one of " + ", ".join(FAMILIES))
        )
    return FAMILIES[name]


def solve_dial(family: Family, target: float, options: Mapping[str, Any]) -> int | None:
    """Return the dial whose N is nearest to `target` in the logarithm.

    None if the target lies beyond the ends of the dial by more than half a step.
    """
    values = family.dial(options)
    sizes = [family.counts(family.shape(value, options)).N for value in values]
    below = sizes[0] * (sizes[0] / sizes[1]) ** 0.5
    above = sizes[-1] * (sizes[-1] / sizes[-2]) ** 0.5
    if not below <= target <= above:
        return None
    nearest = min(range(len(sizes)), key=lambda i: max(sizes[i] / target, target / sizes[i]))
    return values[nearest]
