"""What planning needs to know of a model family: the shape of a size, and its counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Protocol

from scaling.count.rules import Rule
from scaling.options import Option, read


@dataclass(frozen=True)
class Counts:
    """Parameters of a shape, by part and by group, and its forward cost.

    Attributes
    ----------
    body, head, embedding : int
        Parameters [count]. Input embeddings and learned positions are looked up, not multiplied.
        A tied head stands in `head` alone.
    forward : float
        FLOP per unit of D (token or example) of all matrix products and convolutions of the
        forward pass, head and full attention included; a multiply-add is 2 FLOP.
    groups : mapping of str to int
        Parameters by group (``attention``, ``mlp``, ``norms``, ``biases``, …); their sum is
        `total`.
    attention : float, optional
        The part of `forward` that attention scores and their reduction take, over the full
        square. None where it is not known.
    attended : float, optional
        The same over the pairs that the mask lets through.
    spared : float, optional
        The part of `forward` that the first layer takes where its input needs no gradient, as
        images do not; training spares one product of that size. None where it is not known.
    hoffmann : float, optional
        Forward FLOP per unit as appendix F of Hoffmann et al. (2022) counts them: embedding as a
        matrix product, and softmax. None where that count is not defined.
    """

    body: int
    head: int
    embedding: int
    forward: float
    groups: Mapping[str, int] = field(default_factory=dict, hash=False)
    attention: float | None = None
    attended: float | None = None
    spared: float | None = None
    hoffmann: float | None = None

    @property
    def N(self) -> int:
        """Parameters that laws are fitted in: body + head."""
        return self.body + self.head

    @property
    def total(self) -> int:
        """All parameters: body + head + embedding."""
        return self.body + self.head + self.embedding

    @property
    def training(self) -> float:
        """Training FLOP per unit of D: three forward passes."""
        return 3.0 * self.forward

    def conventions(self) -> dict[str, float]:
        """Training FLOP per unit of D under each convention that is defined here.

        Returns
        -------
        dict of str to float
            In this order: ``6n`` is 6 N; ``6n_body`` is 6 N_body (Kaplan et al. 2020); ``matmul``
            all products but those of attention with itself; ``full`` adds these over the full
            square, and is the C of plans; ``exact`` is ``full`` less the gradient of the input,
            which is what runs, and what torch's counter reports; ``causal`` is ``full`` with
            attention over the pairs alone that the mask lets through; ``hoffmann`` is the count of
            Hoffmann et al. (2022), appendix F.
        """
        found = {"6n": 6.0 * self.N, "6n_body": 6.0 * self.body}
        if self.attention is not None:
            found["matmul"] = 3.0 * (self.forward - self.attention)
        found["full"] = self.training
        if self.spared is not None:
            found["exact"] = self.training - self.spared
        if self.attention is not None and self.attended is not None:
            found["causal"] = 3.0 * (self.forward - self.attention + self.attended)
        if self.hoffmann is not None:
            found["hoffmann"] = 3.0 * self.hoffmann
        return found


class Family(Protocol):
    """A model family: one dial that turns a size into an integer shape."""

    def __hash__(self) -> int:
        """Families are hashed by identity: tables of sizes are kept for each."""

    @property
    def name(self) -> str:
        """Name of the family in study files and records."""

    @property
    def unit(self) -> str:
        """What D counts: ``token`` or ``example``."""

    @property
    def options(self) -> tuple[Option, ...]:
        """Options that a study may set."""

    @property
    def rules(self) -> Mapping[str, Rule]:
        """Shape rules by name, the default one first; empty where there is no choice."""

    def per_sequence(self, shape: Mapping[str, int]) -> int:
        """Units of D in one sequence or image."""

    def dial(self, options: Mapping[str, Any]) -> Sequence[int]:
        """Values of the dial, in order of growing N."""

    def shape(self, dial: int, options: Mapping[str, Any]) -> dict[str, int]:
        """Return the integer shape at a value of the dial."""

    def counts(self, shape: Mapping[str, int]) -> Counts:
        """Return the parameters and FLOPs of a shape."""


class Ruled:
    """Base of the families whose shapes follow named rules.

    Attributes
    ----------
    name, unit : str
    rules : mapping of str to Rule
        The default one first.
    own_options : tuple of Option
        All options but the choice of the rule.
    """

    name: str
    unit: str
    rules: Mapping[str, Rule]
    own_options: tuple[Option, ...]

    @property
    def options(self) -> tuple[Option, ...]:
        """Options that a study may set; the rule comes first."""
        names = tuple(self.rules)
        chosen = Option("rule", "choice", names[0], "rule that gives the shapes", choices=names)
        return (chosen, *self.own_options)

    def settings(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return `options` checked, with the defaults filled in.

        Raises
        ------
        ConfigError
            SC011 or SC012.
        """
        # types are part of the key: True and 1 are equal, but only one of them is a count
        key = tuple(sorted((name, type(value).__name__, value) for name, value in options.items()))
        try:
            return _settings(self, key)
        except TypeError:  # a list or table, which no option takes
            return read(self.options, options)

    def rule(self, options: Mapping[str, Any]) -> Rule:
        """Return the shape rule that `options` choose."""
        return self.rules[self.settings(options)["rule"]]

    def dial(self, options: Mapping[str, Any]) -> Sequence[int]:
        """Values of the dial under the chosen rule, in order of growing N."""
        return self.rule(options).dial(self.settings(options))


class OfExamples(Ruled):
    """Base of the ruled families whose D counts examples: an image, a pair, a row."""

    unit = "example"

    def per_sequence(self, shape: Mapping[str, int]) -> int:
        """A sequence is one example."""
        del shape
        return 1


@lru_cache(maxsize=256)
def _settings(family: Ruled, key: tuple[tuple[str, str, Any], ...]) -> Mapping[str, Any]:
    return MappingProxyType(read(family.options, {name: value for name, _, value in key}))
