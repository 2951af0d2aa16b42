"""Laws of model size and data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from scaling.laws import starts
from scaling.laws.law import Frontier, Law, Published
from scaling.laws.pieces import (
    FEW_EXPONENTS,
    coefficient,
    exponent,
    free_exponent,
    near,
    offset,
    positive,
    shape,
)

CHINCHILLA_N = "N total parameters, embeddings included; D tokens"


def _additive(p: Mapping[str, Any]) -> tuple[Any, Any, Any, Any]:
    return np.log(p["A"]), p["alpha"], np.log(p["B"]), p["beta"]


def _one_exponent(p: Mapping[str, Any]) -> tuple[Any, Any, Any, Any]:
    return np.log(p["A"]), p["alpha"], np.log(p["B"]), p["alpha"]


def _nested(p: Mapping[str, Any]) -> tuple[Any, Any, Any, Any]:
    """The law is monotone in the sum of both terms to the power 1/q."""
    q = p["q"]
    return np.log(p["A"]) / q, p["alpha"] / q, np.log(p["B"]) / q, p["beta"] / q


def _kaplan(p: Mapping[str, Any]) -> tuple[Any, Any, Any, Any]:
    """The law is a power of ``(N_c/N)**(alpha_N/alpha_D) + D_c/D``."""
    alpha = p["alpha_N"] / p["alpha_D"]
    return alpha * np.log(p["N_c"]), alpha, np.log(p["D_c"]), np.ones_like(alpha)


ADDITIVE = Frontier(_additive)

CHINCHILLA = Law(
    name="chinchilla",
    title="Additive law in parameters and data",
    formula="E + A/N**alpha + B/D**beta",
    parameters=(
        offset(),
        coefficient("A", "N"),
        coefficient("B", "D"),
        exponent("alpha", "N"),
        exponent("beta", "D"),
    ),
    variables=("N", "D"),
    reference="Hoffmann et al. (2022), Training Compute-Optimal Large Language Models, eq. 2",
    frontier=ADDITIVE,
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
            CHINCHILLA_N,
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

NO_FLOOR = Law(
    name="no-floor",
    title="Additive law in parameters and data that falls to nothing",
    formula="A/N**alpha + B/D**beta",
    parameters=CHINCHILLA.parameters[1:],
    variables=("N", "D"),
    reference="Hoffmann et al. (2022), eq. 2, with E = 0",
    frontier=ADDITIVE,
)

BROKEN_DATA = Law(
    name="broken-data",
    title="Additive law whose slope in data bends once",
    formula="E + A/N**alpha + B*D**(-beta)*exp(-c1*f1*softplus((log(D) - log(d1))/f1))",
    parameters=(
        offset(),
        coefficient("A", "N"),
        coefficient("B", "D"),
        exponent("alpha", "N", FEW_EXPONENTS),
        exponent("beta", "D before the bend", FEW_EXPONENTS),
        shape("c1", "change of slope at the bend", -0.1, 0.1, low=-5.0, high=5.0),
        positive("d1", "D at the bend", near("D", 0.1, 1.0, 10.0)),
        positive("f1", "width of the bend [ln D]", (0.5,)),
    ),
    variables=("N", "D"),
    reference="Hoffmann et al. (2022), eq. 2, with the break of Caballero et al. (2023), eq. 1, "
    "in its data term",
)

OVER_TRAINING = Law(
    name="over-training",
    title="Additive law with one exponent for parameters and data",
    formula="E + A/N**alpha + B/D**alpha",
    parameters=(
        offset(),
        coefficient("A", "N"),
        coefficient("B", "D"),
        exponent("alpha", "N and D"),
    ),
    variables=("N", "D"),
    reference="Gadre et al. (2024), Language Models Scale Reliably with Over-Training, eq. 4: "
    "E + (a M^eta + b/M^eta)/C^eta with M = D/N, eta = alpha/2, a = A 6^eta, b = B 6^eta",
    frontier=Frontier(_one_exponent),
)

COUPLED = Law(
    name="coupled",
    title="Coupled law: a power of the sum of both terms (Skaling)",
    formula="E + (A/N**alpha + B/D**beta)**k",
    parameters=(
        offset(),
        coefficient("A", "inner N"),
        coefficient("B", "inner D"),
        exponent("alpha", "N inside the power"),
        exponent("beta", "D inside the power"),
        positive("k", "power of the sum; 1 is the additive law", (0.3, 1.0)),
    ),
    variables=("N", "D"),
    reference="Videau et al. (2026), Skaling",
    frontier=ADDITIVE,
    candidates=starts.coupled,
)

NESTED = Law(
    name="nested-q",
    title="Coupled law in outer exponents",
    formula="E + ((A/N**alpha)**(1/q) + (B/D**beta)**(1/q))**q",
    parameters=(
        offset(),
        coefficient("A", "N"),
        coefficient("B", "D"),
        exponent("alpha", "N"),
        exponent("beta", "D"),
        positive("q", "coupling; 1 is additive, 0 a pure bottleneck", (0.3, 1.0)),
    ),
    variables=("N", "D"),
    reference="Videau et al. (2026), Skaling, in the exponents seen along one resource",
    frontier=Frontier(_nested),
    candidates=starts.nested,
)

KAPLAN = Law(
    name="kaplan",
    title="Kaplan's joint law of parameters and data, without a floor",
    formula="((N_c/N)**(alpha_N/alpha_D) + D_c/D)**alpha_D",
    parameters=(
        positive("N_c", "scale of N [parameters]", (1e13,)),
        positive("D_c", "scale of D [tokens]", (1e13,)),
        exponent("alpha_N", "N"),
        exponent("alpha_D", "D"),
    ),
    variables=("N", "D"),
    reference="Kaplan et al. (2020), Scaling Laws for Neural Language Models, eq. 1.5",
    frontier=Frontier(_kaplan),
    candidates=starts.kaplan,
    published=(
        Published(
            "Kaplan et al. 2020, joint fit",
            {"N_c": 6.4e13, "D_c": 1.8e13, "alpha_N": 0.076, "alpha_D": 0.103},
            "N without embeddings; D tokens",
            note="Constants depend on the tokenizer.",
        ),
    ),
)

FARSEER = Law(
    name="farseer",
    title="Power law in D with coefficients that are curves in N",
    formula="exp(a3*N**gamma + b3) + exp(a2*N**beta + b2)*D**(-exp(a1*N**alpha + b1))",
    parameters=tuple(
        item
        for j, power, what in (
            (3, "gamma", "the floor"),
            (2, "beta", "the coefficient of D"),
            (1, "alpha", "the exponent of D"),
        )
        for item in (
            shape(f"a{j}", f"slope of the log of {what}", 0.0, low=-1e6, high=1e6),
            shape(f"b{j}", f"level of the log of {what}", 0.0, low=-1e6, high=1e6),
            free_exponent(power, f"N in the log of {what}", (0.1,)),
        )
    ),
    variables=("N", "D"),
    reference="Li et al. (2025), Farseer: A Refined Scaling Law in Large Language Models",
    candidates=starts.farseer,
)

_SIZE_FOR_DATA = "(alpha*A/(beta*B))**(1/(alpha+beta))"
_U_N = f"minimum(N, {_SIZE_FOR_DATA}*(D_unique*{_SIZE_FOR_DATA})**(beta/alpha))"
_REPEATS = "maximum(D/D_unique - 1, 0)"
DATA_CONSTRAINED = Law(
    name="data-constrained",
    title="Additive law in which repeated data count less",
    formula=f"E + A/({_U_N}*(1 - R_N*expm1(-(N/{_U_N} - 1)/R_N)))**alpha"
    f" + B/(D_unique*(1 - R_D*expm1(-{_REPEATS}/R_D)))**beta",
    parameters=(
        offset(),
        positive("A", "coefficient of the N term", (400.0,)),
        positive("B", "coefficient of the D term", (400.0,)),
        exponent("alpha", "N"),
        exponent("beta", "D"),
        positive("R_D", "repetitions after which data are worth little", (1.0, 4.0, 16.0, 64.0)),
        positive("R_N", "excess of parameters after which more are worth little", (1.0, 4.0, 16.0)),
    ),
    variables=("N", "D", "D_unique"),
    reference="Muennighoff et al. (2023), Scaling Data-Constrained Language Models, eqs. 5 to 7",
    candidates=starts.repeated,
    published=(
        Published(
            "Muennighoff et al. 2023",
            {
                "E": float(np.exp(0.6254804)),
                "A": float(np.exp(6.255414)),
                "B": float(np.exp(7.3049974)),
                "alpha": 0.3526596,
                "beta": 0.3526596,
                "R_D": 15.387756,
                "R_N": 5.309743,
            },
            "N total parameters; D tokens seen, D_unique distinct tokens",
            note="E, A, B, alpha and beta were frozen from other runs; R_D and R_N are a local "
            "optimum and weakly identified.",
        ),
    ),
)

SURFACES = (
    CHINCHILLA,
    NO_FLOOR,
    BROKEN_DATA,
    OVER_TRAINING,
    COUPLED,
    NESTED,
    KAPLAN,
    FARSEER,
    DATA_CONSTRAINED,
)
