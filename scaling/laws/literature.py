"""Exponents and levels that papers printed, with what they count and what their intervals are.

Whole laws stand with the law itself (`Law.published`); here is what a fit is compared with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

HOFFMANN_KIND = "10th to 90th percentile of 100 subsamples of 80%"
HOFFMANN_SPAN = (6e18, 3e21)
TOTAL = "N total parameters, embeddings included; C = 6ND"


@dataclass(frozen=True)
class Reference:
    """What one source says.

    Attributes
    ----------
    source : str
        Short citation and approach.
    approach : str
        ``surface, isoflop, envelope`` or ``other``.
    values : mapping
        Of a, b, E, alpha, beta, as printed.
    intervals : mapping
        Printed intervals.
    kind : str
        What the intervals are; empty without any.
    convention : str
        What N and C count.
    note : str
        What a reader must know before comparing.
    lines : mapping
        Printed lines ``coefficient * C^exponent`` as (coefficient, exponent), C in FLOP: ``N``
        [parameters], ``D`` [tokens] or ``M`` [FLOP per token] at the optimum. Only what the source
        printed with a coefficient.
    span : (float, float), optional
        Range of C [FLOP] of the runs behind the values; None where it is not known here.
    """

    source: str
    approach: str
    values: Mapping[str, float]
    convention: str
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    kind: str = ""
    note: str = ""
    lines: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    span: tuple[float, float] | None = None

    def line(self, name: str, compute: Array) -> Array:
        """Return a printed line at C [FLOP]; `lines` says which there are."""
        coefficient, exponent = self.lines[name]
        return coefficient * np.asarray(compute, dtype=np.float64) ** exponent


PF_DAY = 8.64e19  # FLOP


def _of_pf_days(coefficient: float, exponent: float) -> tuple[float, float]:
    """Return a line that was printed for C in PF-days as one for C in FLOP."""
    return coefficient / PF_DAY**exponent, exponent


MODEL_FLOPS = "non-embedding FLOP per token M in place of N; C = M D"
_PORIAN_COUNTS = {
    "body": "N without embeddings and head; C = 6ND",
    "standard": "N body and head; C = 6ND",
    "attention": "N body and head, attention's FLOP counted as parameters; C = 6ND",
}
_PORIAN_SPAN = (1.25e16, 2.56e19)  # 12 budgets, each twice the one before


def _porian(what: str, count: str, a: float, interval: tuple[float, float]) -> Reference:
    """Make a row of Porian et al. 2024 on RefinedWeb, from their released fits."""
    return Reference(
        f"Porian et al. 2024, {what}",
        "isoflop",
        {"a": a},
        _PORIAN_COUNTS[count],
        {"a": interval},
        "95%, noise injection",
        "On RefinedWeb, from the released fits.",
        span=_PORIAN_SPAN,
    )


PORIAN: tuple[Reference, ...] = (
    _porian("Kaplan's setup", "body", 0.835300, (0.823514, 0.845958)),
    _porian("head counted", "standard", 0.706470, (0.691488, 0.716926)),
    _porian("warmup shortened", "standard", 0.602038, (0.591428, 0.617282)),
    _porian("schedule matched", "standard", 0.571495, (0.559801, 0.588521)),
    _porian("tuned", "standard", 0.496895, (0.490682, 0.504524)),
    _porian("head counted, with attention", "attention", 0.717058, (0.702881, 0.727274)),
    _porian("warmup shortened, with attention", "attention", 0.622251, (0.607202, 0.632045)),
    _porian("schedule matched, with attention", "attention", 0.577193, (0.562001, 0.592490)),
    _porian("tuned, with attention", "attention", 0.505266, (0.496220, 0.512317)),
    _porian("tuned, long warmup, no head", "body", 0.711488, (0.702613, 0.721414)),
)

LITERATURE: tuple[Reference, ...] = (
    Reference(
        "Kaplan et al. 2020",
        "other",
        {
            "a": 0.73,
            "b": 0.27,
            "alpha_N": 0.076,
            "N_c": 8.8e13,
            "alpha_D": 0.095,
            "D_c": 5.4e13,
            "alpha_C": 0.050,
            "C_c": 3.1e8 * PF_DAY,
        },
        "N without embeddings; C without the head",
        note="Warmup and schedule did not follow the budget. alpha_N to C_c are of the laws of one "
        "variable. The lines are of C_min, the compute at a batch far below the critical one.",
        lines={"N": _of_pf_days(1.3e9, 0.73), "D": _of_pf_days(2e10, 0.27)},
    ),
    Reference(
        "Hoffmann et al. 2022, approach 1",
        "envelope",
        {"a": 0.50, "b": 0.50},
        TOTAL,
        {"a": (0.488, 0.502), "b": (0.501, 0.512)},
        HOFFMANN_KIND,
    ),
    Reference(
        "Hoffmann et al. 2022, approach 2",
        "isoflop",
        {"a": 0.49, "b": 0.51},
        TOTAL,
        {"a": (0.462, 0.534), "b": (0.483, 0.529)},
        HOFFMANN_KIND,
        span=HOFFMANN_SPAN,
    ),
    Reference(
        "Hoffmann et al. 2022, approach 3",
        "surface",
        {"a": 0.46, "b": 0.54, "E": 1.6934, "alpha": 0.33917, "beta": 0.28491},
        TOTAL,
        {"a": (0.454, 0.455), "b": (0.542, 0.543)},
        HOFFMANN_KIND,
        "The optimiser stopped early. a and b as printed; E, alpha, beta unrounded.",
    ),
    Reference(
        "Besiroglu et al. 2024, refit of Hoffmann's approach 3",
        "surface",
        {"a": 0.513, "b": 0.487, "E": 1.81686, "alpha": 0.34781, "beta": 0.36585},
        TOTAL + ", D imputed",
        note="A fit with a free scale, not the optimum of the stated objective.",
    ),
    Reference(
        "DeepSeek-AI 2024",
        "isoflop",
        {"a": 0.5243, "b": 0.4757},
        MODEL_FLOPS,
        note="Of their current data; the exponents move with the quality of the data.",
        lines={"M": (0.1715, 0.5243), "D": (5.8316, 0.4757)},
        span=(1e17, 3e20),
    ),
    Reference(
        "DeepSeek-AI 2024, early data",
        "isoflop",
        {"a": 0.450, "b": 0.550},
        MODEL_FLOPS,
    ),
    Reference(
        "DeepSeek-AI 2024, OpenWebText2",
        "isoflop",
        {"a": 0.578, "b": 0.422},
        MODEL_FLOPS,
    ),
    *PORIAN,
    Reference(
        "Dubey et al. 2024 (Llama 3)",
        "isoflop",
        {"b": 0.53},
        "not stated; C the budget",
        note="Printed for tokens, though written N*: D* = 0.29 C^0.53. The two digits alone put "
        "their own example, 16.55T tokens at 3.8e25 FLOP, 37% lower.",
        lines={"D": (0.29, 0.53)},
        span=(6e18, 1e22),
    ),
)
