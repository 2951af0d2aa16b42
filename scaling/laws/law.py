"""What can be fitted: a formula with named, bounded parameters and a reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault
from scaling.expressions import Expression, parse

Array = NDArray[np.float64]
Role = Literal["linear", "scale", "exponent", "shape"]
Starts = tuple[float, ...] | Callable[[Mapping[str, Array]], tuple[float, ...]]
Candidates = Callable[[Mapping[str, Array], Array], Mapping[str, Array]]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a law.

    Attributes
    ----------
    name : str
        Symbol as it stands in the formula.
    role : {"linear", "scale", "exponent", "shape"}
        ``linear`` and ``scale`` parameters enter the formula linearly and are found by least
        squares for given values of the others, within their sign; a ``scale`` is refined in its
        logarithm. ``exponent`` and ``shape`` parameters are searched over `starts`.
    low, high : float
        Closed bounds.
    starts : tuple of float, or callable
        Grid of starting values of an exponent or shape, or a rule ``x -> grid`` that reads it off
        the variables; empty for the others.
    meaning : str
        What it stands for, with its unit.
    log : bool
        Whether a shape is refined in its logarithm; a scale always is.
    """

    name: str
    role: Role
    low: float
    high: float
    starts: Starts = ()
    meaning: str = ""
    log: bool = False

    @property
    def enters_linearly(self) -> bool:
        """Whether least squares find it for given values of the others."""
        return self.role in ("linear", "scale")

    @property
    def in_log(self) -> bool:
        """Whether it is refined in its logarithm."""
        return self.log or self.role == "scale"

    def grid(self, x: Mapping[str, Array]) -> tuple[float, ...]:
        """Return the starting values on these variables."""
        return self.starts(x) if callable(self.starts) else self.starts


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

    Along a budget the law falls and rises with the inner sum ``A/N**alpha + B/D**beta``. So
    ``N* = G (C/6)^a`` and ``D* = (C/6)^b / G`` with ``a = beta/(alpha + beta)``, ``b = 1 - a`` and
    ``G = (alpha A/(beta B))^(1/(alpha + beta))`` (Hoffmann et al. 2022, eq. 4).

    Attributes
    ----------
    inner : callable
        ``params -> (ln A, alpha, ln B, beta)`` of the inner sum; parameters may be arrays.
    """

    inner: Callable[[Mapping[str, Any]], tuple[Any, Any, Any, Any]]

    def exponents(self, params: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return (a, b) with N* ∝ C^a and D* ∝ C^b."""
        _, alpha, _, beta = self.inner(params)
        return beta / (alpha + beta), alpha / (alpha + beta)

    def size(self, params: Mapping[str, Any], compute: Any) -> Any:
        """Return N* [parameters] at C [FLOP]; parameters broadcast against C."""
        return np.exp(self.log_size(params, np.log(compute)))

    def log_size(self, params: Mapping[str, Any], log_c: Any) -> Any:
        """Return ln N* at ln C, which is finite where N* is beyond any number."""
        log_a, alpha, log_b, beta = self.inner(params)
        log_g = np.log(alpha) + log_a - np.log(beta) - log_b
        return (log_g + beta * (log_c - np.log(6.0))) / (alpha + beta)


@dataclass(frozen=True, repr=False)
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
    response : str
        Column that the law gives; the loss, unless the law is of something else.
    candidates : callable, optional
        Start rule ``(x, y) -> {name: values}`` of equal lengths, for laws whose parameters the
        grids of `Parameter.starts` would not find.

    Examples
    --------
    >>> from scaling.laws import Parameter
    >>> mine = sc.Law(
    ...     name="floor-and-power",
    ...     formula="E + K/C**gamma",
    ...     parameters=(
    ...         Parameter("E", "linear", 0.0, 10.0, meaning="irreducible loss [nats/token]"),
    ...         Parameter("K", "scale", 0.0, 1e9, meaning="size of the falling term"),
    ...         Parameter("gamma", "exponent", 0.01, 1.0, starts=(0.05, 0.1, 0.2)),
    ...     ),
    ...     variables=("C",),
    ...     reference="mine",
    ... )
    >>> float(mine.loss({"E": 1.0, "K": 10.0, "gamma": 0.5}, {"C": 100.0}))
    2.0
    """

    name: str
    formula: str
    parameters: tuple[Parameter, ...]
    variables: tuple[str, ...]
    reference: str
    title: str = ""
    published: tuple[Published, ...] = field(default=())
    frontier: Frontier | None = None
    response: str = "loss"
    candidates: Candidates | None = None

    def __post_init__(self) -> None:
        self.check_formula()

    def __repr__(self) -> str:
        return f"Law({self.name}: {self.formula})"

    def check_formula(self) -> None:
        """Refuse a formula that cannot be used or lacks a name.

        Raises
        ------
        ConfigError
            SC020.
        """
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

    def value_and_gradient(
        self,
        params: Mapping[str, Any],
        x: Mapping[str, Array],
        logs: Mapping[str, Array],
        wrt: Sequence[str],
    ) -> tuple[Any, Mapping[str, Any]]:
        """Evaluate with derivatives by the parameters `wrt`.

        Parameters
        ----------
        params : mapping
            Columns of shape (k, 1), or numbers.
        x : mapping
            Variables, shape (n,).
        logs : mapping
            Logarithms of those variables that are positive.
        wrt : sequence of str

        Returns
        -------
        value : ndarray
            Shape (k, n), or what broadcasts to it.
        gradient : mapping
            Derivative by each name of `wrt` that matters.
        """
        return self.expression.value_and_gradient({**params, **x}, wrt, logs)

    def declaration(self) -> dict[str, Any]:
        """Return what is needed to evaluate a law that no catalogue knows, as JSON can say it."""
        return {
            "variables": list(self.variables),
            "response": self.response,
            "parameters": [
                {"name": p.name, "role": p.role, "meaning": p.meaning} for p in self.parameters
            ],
        }

    def drawn_sizes(
        self,
        params: Mapping[str, Any],  # noqa: ARG002
        log_c: Array,  # noqa: ARG002
        cost: Any,  # noqa: ARG002
    ) -> Array | None:
        """Return ln N* of draws along budgets, where a law knows a quicker way than a search.

        Parameters
        ----------
        params : mapping
            Draws, shape (k, 1).
        log_c : ndarray
            ln C, shape (m,) or (k, m).
        cost : scaling.laws.cost.Cost

        Returns
        -------
        ndarray or None
            Shape (k, m), NaN without a minimum; None for laws that are to be searched.
        """
        return None

    def drawn_costs(
        self,
        params: Mapping[str, Any],  # noqa: ARG002
        log_loss: Array,  # noqa: ARG002
        cost: Any,  # noqa: ARG002
    ) -> tuple[Array, Array] | None:
        """Return ln C and ln N of the cheapest way to losses, of draws; see `drawn_sizes`."""
        return None

    def loss(self, params: Mapping[str, Any], data: Mapping[str, Any]) -> Array:
        """Evaluate the law [the unit of its response].

        Parameters
        ----------
        params : mapping
            Value, or array of values, of every parameter.
        data : mapping
            Value, or array, of every variable; broadcast against the parameters.
        """
        env = {**params, **{v: np.asarray(data[v], dtype=np.float64) for v in self.variables}}
        return np.asarray(self.expression.value(env), dtype=np.float64)
