"""Parameters that many laws share."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from scaling.laws.law import Parameter

Array = NDArray[np.float64]

# Exponents of published laws lie between .03 and 1.2; the grid is even in the logarithm.
EXPONENT_STARTS = tuple(float(x) for x in np.geomspace(0.04, 1.6, 10))
FEW_EXPONENTS = tuple(float(x) for x in np.geomspace(0.06, 1.2, 6))
EXPONENT_BOUNDS = (1e-3, 5.0)


def offset(name: str = "E", meaning: str = "irreducible loss [unit of the loss]") -> Parameter:
    """A floor: linear, 0 or more."""
    return Parameter(name, "linear", 0.0, np.inf, meaning=meaning)


def scale(name: str, meaning: str) -> Parameter:
    """A positive coefficient, fitted in its logarithm."""
    return Parameter(name, "scale", 1e-100, 1e100, meaning=meaning)


def coefficient(name: str, variable: str) -> Parameter:
    """The positive coefficient of the term in `variable`."""
    return scale(name, f"coefficient of the {variable} term")


def signed(name: str, meaning: str) -> Parameter:
    """A linear parameter of either sign."""
    return Parameter(name, "linear", -np.inf, np.inf, meaning=meaning)


def exponent(name: str, variable: str, starts: tuple[float, ...] = EXPONENT_STARTS) -> Parameter:
    """A positive exponent of `variable`."""
    meaning = f"exponent of {variable}"
    return Parameter(name, "exponent", *EXPONENT_BOUNDS, starts=starts, meaning=meaning)


def free_exponent(name: str, variable: str, starts: tuple[float, ...]) -> Parameter:
    """An exponent of either sign."""
    return Parameter(name, "exponent", -5.0, 5.0, starts=starts, meaning=f"exponent of {variable}")


def shape(
    name: str, meaning: str, *starts: float, low: float = -1e3, high: float = 1e3
) -> Parameter:
    """A parameter of either sign that enters non-linearly."""
    return Parameter(name, "shape", low, high, starts=starts, meaning=meaning)


def positive(
    name: str,
    meaning: str,
    starts: tuple[float, ...] | Callable[[Mapping[str, Array]], tuple[float, ...]],
) -> Parameter:
    """A positive parameter that enters non-linearly, refined in its logarithm."""
    return Parameter(name, "shape", 1e-100, 1e100, starts=starts, meaning=meaning, log=True)


def near(
    variable: str, *factors: float, power: float = 1.0
) -> Callable[[Mapping[str, Array]], tuple[float, ...]]:
    """Return a start rule: multiples of a power of the variable's geometric mean."""

    def rule(x: Mapping[str, Array]) -> tuple[float, ...]:
        mean = float(np.exp(np.log(x[variable]).mean()))
        return tuple(factor * mean**power for factor in factors)

    return rule
