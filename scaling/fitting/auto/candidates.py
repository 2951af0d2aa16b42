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
Rule = tuple[str, float, float]
FUTURES: tuple[Future, ...] = ("saturating", "straight", "broken")

EXPONENT: Rule = ("", 0.35, 0.35)
FLOOR: Rule = ("y", 0.6, 0.6)  # of the lowest loss


@dataclass(frozen=True)
class Candidate:
    """A law that may take part.

    Attributes
    ----------
    law : Law
    future : {"saturating", "straight", "broken"}
        What it says beyond the data: towards a floor, on along a line in logs, or with a bend.
    beliefs : mapping
        ``{parameter: (unit, mean, sd)}`` in the solver's coordinates. With unit ``"y"`` in
        multiples of the lowest loss; with a variable's name after the sign ``+`` or ``-`` about
        plus or minus the mean of its logarithm, with ``"ln y"`` about ln of the lowest loss.
    """

    law: Law
    future: Future
    beliefs: Mapping[str, Rule] = field(default_factory=dict)

    def prior(self, free: tuple[str, ...], x: Mapping[str, Array], y: Array) -> tuple[Array, Array]:
        """Mean and SD of free parameters given the fitted points; SD infinite without a belief."""
        mean, sd = np.zeros(len(free)), np.full(len(free), np.inf)
        for j, name in enumerate(free):
            unit, at, wide = self.beliefs.get(name, ("", 0.0, np.inf))
            if unit == "y":
                at, wide = at * float(y.min()), wide * float(y.min())
            elif unit == "ln y":
                at += float(np.log(y.min()))
            elif unit:
                level = float(np.log(x[unit[1:]]).mean())
                at += level if unit[0] == "+" else -level
            mean[j], sd[j] = at, wide
        return mean, sd


def curve_candidates(v: str) -> tuple[Candidate, ...]:
    """Laws of one variable `v`."""
    slope = {"N": "alpha", "D": "beta", "C": "gamma"}[v]
    bend = {
        "a": FLOOR,
        "c0": ("", 0.3, 0.3),
        "c1": ("", 0.0, 0.4),
        "d1": (f"+{v}", 0.0, 3.0),
        "f1": ("", float(np.log(0.5)), 0.8),
    }
    return (
        Candidate(get(f"m1-{v}"), "straight", {slope: EXPONENT}),
        Candidate(get(f"power-{v}"), "saturating", {"E": FLOOR, slope: EXPONENT}),
        Candidate(get(f"m3-{v}"), "saturating", {"g": (f"-{v}", -2.0, 3.0), "c": EXPONENT}),
        Candidate(
            get(f"m4-{v}"),
            "saturating",
            {"E": FLOOR, "E_0": ("ln y", 0.4, 1.5), "alpha": ("", 1.0, 1.0), "c": EXPONENT},
        ),
        Candidate(
            get("vision" if v == "C" else f"shifted-{v}"),
            "saturating",
            {"E": FLOOR, f"{v}_0": (f"+{v}", -2.0, 3.0), "alpha" if v == "C" else slope: EXPONENT},
        ),
        Candidate(
            get("rectified" if v == "D" else f"rectified-{v}"),
            "saturating",
            {"E": FLOOR, f"{v}_l": ("", 3.0, 4.0), slope: EXPONENT},
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
            get("kaplan"), "straight", {"alpha_N": ("", 0.2, 0.2), "alpha_D": ("", 0.2, 0.2)}
        ),
        Candidate(
            get("coupled"),
            "saturating",
            {
                "E": FLOOR,
                "alpha": ("", 0.6, 0.5),
                "beta": ("", 0.6, 0.5),
                "k": ("", float(np.log(0.6)), 0.7),
            },
        ),
        Candidate(
            get("broken-data"),
            "broken",
            {
                "E": FLOOR,
                **both,
                "c1": ("", 0.0, 0.4),
                "d1": ("+D", 0.0, 3.0),
                "f1": ("", float(np.log(0.5)), 0.8),
            },
        ),
    )
