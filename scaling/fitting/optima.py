"""What an approach to the best size is: its minima, the lines through them, and their exponents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from scaling.errors import Message

Approach = Literal["surface", "isoflop", "envelope"]
COST_6ND = {"name": "6nd", "formula": "6*N*D"}


@dataclass(frozen=True)
class Minimum:
    """The lowest loss of one budget, or the best run at its compute.

    Attributes
    ----------
    budget : float
        [FLOP].
    N, D, loss : float or None
        Where it lies and how low it is; None where it was refused.
    bracketed : bool
        Whether smaller and larger sizes stand on both sides of it.
    why : str or None
        Why it was refused, if it was.
    offset : float or None
        ln of the centre of the sizes over N.
    """

    budget: float
    N: float | None
    D: float | None
    loss: float | None
    bracketed: bool
    why: str | None = None
    offset: float | None = None


@dataclass(frozen=True, repr=False)
class Allocation:
    """N*(C) ∝ C^a and D*(C) ∝ C^b by one approach.

    Attributes
    ----------
    group : str or None
    approach : {"surface", "isoflop", "envelope"}
    a, b : float or None
        None where there is no honest exponent.
    interval : mapping or None
        ``{"level", "kind", "a": [lo, hi], "b": [lo, hi]}``.
    minima : tuple of Minimum
        One a budget, or one a point of an envelope; empty for the surface.
    line : mapping
        ``{"N": [level, slope], "D": [...], "loss": [...]}`` of ln N*, ln D*, ln loss on ln C;
        empty if none.
    curves : tuple of mapping
        Fitted curve of each budget for drawing: ``{"budget", "N": [...], "loss": [...]}``.
    cost : mapping
        Meaning of C.
    messages : tuple of Message
    method : str
        Curve or law behind it.
    draws : mapping
        Replicates of `line`: ``{"N": [levels, slopes], …}``.
    bias : mapping
        What the curve misses on the noise-free surface of this grid: ``law``, ``a``, ``budget``,
        ``N`` (share by which N* is missed at each budget), and ``parabola`` with the ``a`` and
        ``N`` of a parabola; empty without a surface.
    left : mapping
        SD of the optima about each line, in logs: what the lines leave over.
    """

    group: str | None
    approach: Approach
    a: float | None
    b: float | None
    interval: Mapping[str, Any] | None = None
    minima: tuple[Minimum, ...] = ()
    line: Mapping[str, list[float]] = field(default_factory=dict)
    curves: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    cost: Mapping[str, str] = field(default_factory=lambda: dict(COST_6ND))
    messages: tuple[Message, ...] = ()
    method: str = ""
    draws: Mapping[str, Any] = field(default_factory=dict, repr=False)
    bias: Mapping[str, Any] = field(default_factory=dict)
    left: Mapping[str, float] = field(default_factory=dict)

    def summary(self) -> str:
        """Return the text that `scaling fit` prints for this approach."""
        from scaling.fitting.summary import summarise_allocation

        return summarise_allocation(self)

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        group = "" if self.group is None else f", group {self.group}"
        exponents = "no exponent" if self.a is None else f"a {self.a:.4g}, b {self.b:.4g}"
        return f"Allocation({self.approach}{group}: {exponents})"

    def as_dict(self, *, full: bool = True) -> dict[str, Any]:
        """Return the JSON form; without curves unless `full`."""
        out: dict[str, Any] = {
            "group": self.group,
            "approach": self.approach,
            "method": self.method,
            "a": self.a,
            "b": self.b,
            "interval": None if self.interval is None else dict(self.interval),
            "minima": [vars(m) for m in self.minima],
            "line": dict(self.line),
            "cost": dict(self.cost),
            "messages": [m.as_dict() for m in self.messages],
            "bias": dict(self.bias),
            "left": dict(self.left),
        }
        if full:
            out["curves"] = [dict(c) for c in self.curves]
            out["draws"] = dict(self.draws)
        return out
