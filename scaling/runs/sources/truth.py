"""Sources of which nothing is read: the loss of every point is computed from the options.

Their mathematics stands in ``scaling.training.tasks.truth``; here is what a study may choose.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.errors import ConfigError, Fault
from scaling.options import Option
from scaling.runs.files import canonical_json
from scaling.runs.sources.base import Made

MOST_UNITS = 10**13
SEED = Option("seed", "integer", 0, "seed of the source, beside that of a point", low=0, high=2**32)
UNITS = Option("units", "integer", 10**10, "most units of D", high=MOST_UNITS)
DRAW = Option(
    "draw",
    "choice",
    "sampled",
    "sampled: examples are drawn; exact: the expected loss",
    choices=("sampled", "exact"),
)
VALIDATION = Option(
    "validation", "integer", 0, "examples of the evaluation; 0: all there could be", low=0
)
# Laws that the oracle knows by name, as (E, A, B, alpha, beta, k); see `scaling.laws.surfaces`.
LAWS: Mapping[str, tuple[float, ...]] = {
    "hoffmann-2022": (
        math.exp(0.5267228),
        math.exp(6.0073404),
        math.exp(6.0179186),
        0.33917084,
        0.2849083,
        1.0,
    ),
    "besiroglu-2024": (1.81686, 482.00572, 2085.4342, 0.34781, 0.36585, 1.0),
    # [(N_c/N)^(alpha_N/alpha_D) + D_c/D]^alpha_D
    "kaplan-2020": (0.0, 6.4e13 ** (0.076 / 0.103), 1.8e13, 0.076 / 0.103, 1.0, 0.103),
}
PARAMETERS = ("E", "A", "B", "alpha", "beta", "k")


@dataclass(frozen=True)
class Truth:
    """A source that is nothing but its options."""

    name: str
    options: tuple[Option, ...]
    about: str
    kind: str = "truth"

    def make(self, options: Mapping[str, Any], where: Path | None) -> Made:
        """Describe the source; there is nothing to read."""
        del where
        if self.name == "oracle":
            _one_law(options)
        digest = hashlib.sha256(canonical_json([self.name, dict(options)]).encode()).hexdigest()
        validation = max(1, int(options.get("validation", 1)))
        floor = floor_of(self.name, options)
        units = int(options["units"])
        return Made({}, {}, units, validation, 0, self.about, floor, digest=digest)


def parameters(options: Mapping[str, Any]) -> dict[str, float]:
    """Parameters of the oracle's law ``E + (A/N^alpha + B/D^beta)^k``."""
    if options["law"] == "own":
        return {name: float(options[name]) for name in PARAMETERS}
    return dict(zip(PARAMETERS, LAWS[options["law"]], strict=True))


def flipped(flips: float, labels: int, measure: str) -> float:
    """Lowest loss where labels are flipped: the rate itself, or H_b(ε) + ε ln(K - 1) [nats]."""
    if measure == "error" or flips == 0:
        return flips
    binary = -flips * math.log(flips) - (1 - flips) * math.log1p(-flips)
    return binary + flips * math.log(labels - 1)


def floor_of(name: str, options: Mapping[str, Any]) -> float:
    """Return the loss that no N and D pass, in the source's own unit."""
    if name == "oracle":
        return parameters(options)["E"]
    if name == "additive":
        return flipped(options["flips"], options["labels"], options["measure"])
    return float(options["noise"]) ** 2 if name == "regression" else 0.0


def _one_law(options: Mapping[str, Any]) -> None:
    """Refuse numbers beside the name of a law that has its own."""
    defaults = {option.name: option.default for option in ORACLE.options}
    given = [name for name in PARAMETERS if options[name] != defaults[name]]
    if options["law"] != "own" and given:
        found = f'{", ".join(given)} beside law = "{options["law"]}", which has its own'
        mend = "leave them out, or leave law out"
        raise ConfigError(Fault("SC012", "[data] law", found, 'law = "own" with numbers', mend))


def _alpha(name: str, default: float, text: str) -> Option:
    return Option(name, "number", default, text, low=0.2, high=4)


ORACLE = Truth(
    "oracle",
    (
        Option("law", "choice", "own", "published, or by numbers", choices=("own", *LAWS)),
        Option("E", "number", 1.7, "irreducible loss", low=0, high=1e6),
        Option("A", "number", 400.0, "coefficient of N", low=0, high=1e30),
        Option("B", "number", 400.0, "coefficient of D", low=0, high=1e30),
        Option("alpha", "number", 0.34, "exponent of N", low=0.001, high=5),
        Option("beta", "number", 0.28, "exponent of D", low=0.001, high=5),
        Option("k", "number", 1.0, "power of the sum of both terms", low=0.01, high=10),
        Option("noise", "number", 0.002, "SD of ln loss", low=0, high=1),
        SEED,
        Option("units", "integer", MOST_UNITS, "most units of D", high=MOST_UNITS),
    ),
    "losses drawn from a law",
)
HUTTER = Truth(
    "hutter",
    (_alpha("alpha", 0.5, "items have chance i^-(1+alpha)"), DRAW, VALIDATION, SEED, UNITS),
    "a memory of items whose frequencies are a power of their rank (Hutter 2021)",
)
ADDITIVE = Truth(
    "additive",
    (
        Option("share", "number", 0.5, "examples of the task that N limits", low=0.01, high=0.99),
        _alpha("alpha_N", 0.5, "items of that task have chance i^-(1+alpha_N)"),
        _alpha("alpha_D", 0.8, "items of the task that D limits have chance i^-(1+alpha_D)"),
        Option("flips", "number", 0.1, "share of flipped labels at evaluation", low=0, high=0.5),
        Option("labels", "integer", 16, "number of labels", low=2, high=10**6),
        Option("measure", "choice", "log", "log loss or error rate", choices=("log", "error")),
        DRAW,
        VALIDATION,
        SEED,
        UNITS,
    ),
    "two memories, one limited by N and one by D, so that the law is additive",
)
PARITY = Truth(
    "parity",
    (
        _alpha("alpha", 0.5, "skills have frequency k^-(1+alpha)"),
        Option("rate", "number", 1.0, "learning rate of the gradient flow", low=1e-6, high=1e6),
        Option("start", "number", 0.01, "strength of a skill at the start", low=1e-9, high=0.5),
        SEED,
        UNITS,
    ),
    "multitask sparse parity, multilinear model (Nam et al. 2024); D counts steps",
)
REGRESSION = Truth(
    "regression",
    (
        Option("exponent", "number", 2.0, "a: the spectrum is i^-a", low=1.1, high=5),
        Option("noise", "number", 0.1, "SD of the noise of y", low=0, high=100),
        Option("rate", "number", 0.5, "first step times the trace", low=1e-6, high=0.9),
        DRAW,
        SEED,
        Option("units", "integer", 10**7, "most units of D", high=10**9),
    ),
    "linear regression by one-pass SGD on a power-law spectrum (Lin et al. 2024)",
)
