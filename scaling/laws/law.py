"""What can be fitted: a formula with named, bounded parameters and a reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault
from scaling.expressions import Expression, parse

Array = NDArray[np.float64]
Role = Literal["linear", "scale", "exponent"]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a law.

    Attributes
    ----------
    name : str
        Symbol as it stands in the formula.
    role : {"linear", "scale", "exponent"}
        ``linear`` and ``scale`` parameters enter the formula linearly and are found by
        non-negative least squares for given exponents; a ``scale`` is refined in its logarithm.
        ``exponent`` parameters are searched over `starts`.
    low, high : float
        Closed bounds.
    starts : tuple of float
        Grid of starting values of an exponent; empty for the others.
    meaning : str
        What it stands for, with its unit.
    """

    name: str
    role: Role
    low: float
    high: float
    starts: tuple[float, ...] = ()
    meaning: str = ""


@dataclass(frozen=True)
class Published:
    """Parameters that a paper printed.

    Attributes
    ----------
    source : str
        Short citation.
    params : mapping
        Full precision as published.
    convention : str
        What N and D count there.
    interval : str
        Kind of the published interval, or ``none``.
    note : str
        What a reader must know before comparing.
    """

    source: str
    params: Mapping[str, float]
    convention: str
    interval: str = "none"
    note: str = ""


@dataclass(frozen=True)
class Frontier:
    """Closed-form compute-optimal allocation of a law under C = 6ND.

    Attributes
    ----------
    exponents : callable
        ``params -> (a, b)`` with N* ∝ C^a and D* ∝ C^b.
    size : callable
        ``(params, C) -> N*``; parameters may be arrays that broadcast against C.
    """

    exponents: Callable[[Mapping[str, Any]], tuple[Any, Any]]
    size: Callable[[Mapping[str, Any], Any], Any]


@dataclass(frozen=True)
class Law:
    """A scaling law, declared by its formula.

    Parameters
    ----------
    name : str
        Name on the command line.
    formula : str
        Whitelisted expression of `parameters` and `variables`, for example
        ``"E + A/N**alpha + B/D**beta"``.
    parameters : tuple of Parameter
        In the order in which they are reported.
    variables : tuple of str
        Columns of the runs table that the formula reads.
    reference : str
        Paper and equation.
    title : str
        A few words for headings.
    published : tuple of Published
        Values for comparison.
    frontier : Frontier, optional
        Closed-form allocation, where one exists.
    """

    name: str
    formula: str
    parameters: tuple[Parameter, ...]
    variables: tuple[str, ...]
    reference: str
    title: str = ""
    published: tuple[Published, ...] = field(default=())
    frontier: Frontier | None = None

    def __post_init__(self) -> None:
        names = [p.name for p in self.parameters]
        free = set(self.expression.names)
        unused = [name for name in (*names, *self.variables) if name not in free]
        if unused:
            raise ConfigError(
                Fault(
                    "SC020",
                    f"law {self.name}",
                    f"{unused[0]} is not in the formula",
                    excerpt=self.formula,
                )
            )

    @cached_property
    def expression(self) -> Expression:
        """The checked formula."""
        names = (*(p.name for p in self.parameters), *self.variables)
        return parse(self.formula, where=f"law {self.name}", names=names)

    @property
    def names(self) -> tuple[str, ...]:
        """Parameter names in order."""
        return tuple(p.name for p in self.parameters)

    def parameter(self, name: str) -> Parameter:
        """Return the parameter called `name`."""
        return next(p for p in self.parameters if p.name == name)

    def loss(self, params: Mapping[str, Any], data: Mapping[str, Any]) -> Array:
        """Evaluate the law [the unit of the fitted loss].

        Parameters
        ----------
        params : mapping
            Value, or array of values, of every parameter.
        data : mapping
            Value, or array, of every variable; broadcast against the parameters.
        """
        env = {**params, **{v: np.asarray(data[v], dtype=np.float64) for v in self.variables}}
        return np.asarray(self.expression.value(env), dtype=np.float64)
