"""The laws that come with the package, found by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import numpy as np

from scaling.errors import ConfigError, Fault
from scaling.laws.law import Frontier, Law, Parameter, Published

# Exponents of published laws lie between .03 and 1.2; the grid is even in the logarithm.
EXPONENT_STARTS = tuple(float(x) for x in np.geomspace(0.04, 1.6, 10))
EXPONENT_BOUNDS = (1e-3, 5.0)
TOKENS_OF_C = 6.0


def _offset() -> Parameter:
    return Parameter("E", "linear", 0.0, np.inf, meaning="irreducible loss [unit of the loss]")


def _scale(name: str, variable: str) -> Parameter:
    return Parameter(name, "scale", 1e-30, 1e30, meaning=f"coefficient of the {variable} term")


def _exponent(name: str, variable: str) -> Parameter:
    return Parameter(
        name,
        "exponent",
        *EXPONENT_BOUNDS,
        starts=EXPONENT_STARTS,
        meaning=f"exponent of {variable}",
    )


def _additive_exponents(p: Mapping[str, Any]) -> tuple[Any, Any]:
    total = p["alpha"] + p["beta"]
    return p["beta"] / total, p["alpha"] / total


def _additive_size(p: Mapping[str, Any], compute: Any) -> Any:
    """N* = G (C/6)^a with G = (αA/(βB))^(1/(α+β)); Hoffmann et al. (2022), eq. 4."""
    alpha, beta = p["alpha"], p["beta"]
    log_g = (np.log(alpha * p["A"]) - np.log(beta * p["B"])) / (alpha + beta)
    return np.exp(log_g + beta / (alpha + beta) * np.log(np.asarray(compute) / TOKENS_OF_C))


CHINCHILLA = Law(
    name="chinchilla",
    title="Additive law in parameters and data",
    formula="E + A/N**alpha + B/D**beta",
    parameters=(
        _offset(),
        _scale("A", "N"),
        _scale("B", "D"),
        _exponent("alpha", "N"),
        _exponent("beta", "D"),
    ),
    variables=("N", "D"),
    reference="Hoffmann et al. (2022), Training Compute-Optimal Large Language Models, eq. 2",
    frontier=Frontier(_additive_exponents, _additive_size),
    published=(
        Published(
            "Hoffmann et al. 2022, approach 3",
            {
                "E": float(np.exp(0.5267228)),
                "A": float(np.exp(6.0073404)),
                "B": float(np.exp(6.0179186)),
                "alpha": 0.33917084,
                "beta": 0.2849083,
            },
            "N total parameters, embeddings included; D tokens",
            "10th to 90th percentile of 100 subsamples of 80%",
            "The optimiser stopped early; unrounded values from the paper's source.",
        ),
        Published(
            "Besiroglu et al. 2024 (refit of the same runs)",
            {"E": 1.81686, "A": 482.00572, "B": 2085.4342, "alpha": 0.34781, "beta": 0.36585},
            "N total parameters; D = C/(6N) imputed",
            "bootstrap standard errors",
            "A fit with a free scale; the optimum of the stated objective is E 1.81722, "
            "alpha .347311, beta .367172.",
        ),
    ),
)


def _power(variable: str, coefficient: str, exponent: str) -> Law:
    return Law(
        name=f"power-{variable}",
        title=f"Power law in {variable} with an offset",
        formula=f"E + {coefficient}/{variable}**{exponent}",
        parameters=(_offset(), _scale(coefficient, variable), _exponent(exponent, variable)),
        variables=(variable,),
        reference="Henighan et al. (2020), Scaling Laws for Autoregressive Generative Modeling, "
        "eq. 1.1",
    )


LAWS: dict[str, Law] = {
    law.name: law
    for law in (
        CHINCHILLA,
        _power("N", "A", "alpha"),
        _power("D", "B", "beta"),
        _power("C", "K", "gamma"),
    )
}


def get(name: str) -> Law:
    """Return the law called `name`.

    Raises
    ------
    ConfigError
        SC004 with the nearest names.
    """
    if name in LAWS:
        return LAWS[name]
    near = difflib.get_close_matches(name, LAWS, n=1)
    mend = f"did you mean {near[0]}?" if near else "scaling laws lists them"
    raise ConfigError(
        Fault("SC004", "--law", f'no law called "{name}"', "one of " + ", ".join(LAWS), mend)
    )


def default_for(columns: set[str]) -> Law:
    """Return the law that a table with these columns is fitted by when none is named."""
    if {"N", "D"} <= columns:
        return CHINCHILLA
    for variable in ("N", "D", "C"):
        if variable in columns:
            return LAWS[f"power-{variable}"]
    raise ConfigError(
        Fault("SC105", "table", "has none of N, D, C", "at least one", "name it with --map")
    )
