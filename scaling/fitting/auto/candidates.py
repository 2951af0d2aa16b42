"""Which laws take part, how they go on, and what is believed of them beforehand.

Priors are weak and in the solver's own coordinates: exponents near those of published laws, a
floor somewhere below the lowest loss seen, breaks where the data are. They keep a law that the data
do not identify from wandering off, and are too wide to matter where they do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scaling.laws import Law, get

Array = NDArray[np.float64]
Future = Literal["saturating", "straight", "broken"]
FUTURES: tuple[Future, ...] = ("saturating", "straight", "broken")


@dataclass(frozen=True)
class Belief:
    """A normal prior of a parameter in the solver's coordinates.

    Attributes
    ----------
    mean, sd : float
    of : str
        ``"y"``: both are in multiples of the lowest loss; ``"ln y"``: the mean is added to its
        logarithm; a variable: to `times` the mean of the variable's logarithm.
    times : float
    """

    mean: float
    sd: float
    of: str = ""
    times: float = 1.0

    def about(self, x: Mapping[str, Array], y: Array) -> tuple[float, float]:
        """Mean and SD for the points that are fitted."""
        if self.of == "y":
            return self.mean * float(y.min()), self.sd * float(y.min())
        level = 0.0
        if self.of == "ln y":
            level = float(np.log(y.min()))
        elif self.of:
            level = self.times * float(np.log(x[self.of]).mean())
        return self.mean + level, self.sd


EXPONENT = Belief(0.35, 0.35)
FLOOR = Belief(0.6, 0.6, "y")


@dataclass(frozen=True)
class Candidate:
    """A law that may take part.

    Attributes
    ----------
    law : Law
    future : {"saturating", "straight", "broken"}
        What it says beyond the data: towards a floor, on along a line in logs, or with a bend.
    beliefs : mapping of str to Belief
        What is believed of parameters beforehand; nothing of those that it lacks.
    """

    law: Law
    future: Future
    beliefs: Mapping[str, Belief] = field(default_factory=dict)

    def prior(self, free: tuple[str, ...], x: Mapping[str, Array], y: Array) -> tuple[Array, Array]:
        """Mean and SD of free parameters given the fitted points; SD infinite without a belief."""
        mean, sd = np.zeros(len(free)), np.full(len(free), np.inf)
        for j, name in enumerate(free):
            if name in self.beliefs:
                mean[j], sd[j] = self.beliefs[name].about(x, y)
        return mean, sd


def curve_candidates(v: str) -> tuple[Candidate, ...]:
    """Laws of one variable `v`."""
    slope = {"N": "alpha", "D": "beta", "C": "gamma"}[v]
    bend = {
        "a": FLOOR,
        "c0": Belief(0.3, 0.3),
        "c1": Belief(0.0, 0.4),
        "d1": Belief(0.0, 3.0, v),
        "f1": Belief(float(np.log(0.5)), 0.8),
    }
    return (
        Candidate(get(f"m1-{v}"), "straight", {slope: EXPONENT}),
        Candidate(get(f"power-{v}"), "saturating", {"E": FLOOR, slope: EXPONENT}),
        Candidate(get(f"m3-{v}"), "saturating", {"g": Belief(-2.0, 3.0, v, -1.0), "c": EXPONENT}),
        Candidate(
            get(f"m4-{v}"),
            "saturating",
            {"E": FLOOR, "E_0": Belief(0.4, 1.5, "ln y"), "alpha": Belief(1.0, 1.0), "c": EXPONENT},
        ),
        Candidate(
            get("vision" if v == "C" else f"shifted-{v}"),
            "saturating",
            {"E": FLOOR, f"{v}_0": Belief(-2.0, 3.0, v), "alpha" if v == "C" else slope: EXPONENT},
        ),
        Candidate(
            get("rectified" if v == "D" else f"rectified-{v}"),
            "saturating",
            {"E": FLOOR, f"{v}_l": Belief(-1.0, 4.0, v, 0.4), slope: EXPONENT},
        ),
        Candidate(get(f"bnsl1-{v}"), "broken", bend),
    )


def surface_candidates() -> tuple[Candidate, ...]:
    """Laws of model size and data."""
    both = {"alpha": EXPONENT, "beta": EXPONENT}
    return (
        Candidate(get("no-floor"), "straight", both),
        Candidate(get("chinchilla"), "saturating", {"E": FLOOR, **both}),
        Candidate(get("over-training"), "saturating", {"E": FLOOR, "alpha": EXPONENT}),
        Candidate(
            get("kaplan"), "straight", {"alpha_N": Belief(0.2, 0.2), "alpha_D": Belief(0.2, 0.2)}
        ),
        Candidate(
            get("coupled"),
            "saturating",
            {
                "E": FLOOR,
                "alpha": Belief(0.6, 0.5),
                "beta": Belief(0.6, 0.5),
                "k": Belief(float(np.log(0.6)), 0.7),
            },
        ),
        Candidate(
            get("broken-data"),
            "broken",
            {
                "E": FLOOR,
                **both,
                "c1": Belief(0.0, 0.4),
                "d1": Belief(0.0, 3.0, "D"),
                "f1": Belief(float(np.log(0.5)), 0.8),
            },
        ),
    )
