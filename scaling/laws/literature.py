"""Exponents and levels that papers printed, with what they count and what their intervals are.

Whole laws stand with the law itself (`Law.published`); here is what a fit is compared with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

HOFFMANN_KIND = "10th to 90th percentile of 100 subsamples of 80%"
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
    """

    source: str
    approach: str
    values: Mapping[str, float]
    convention: str
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    kind: str = ""
    note: str = ""


LITERATURE: tuple[Reference, ...] = (
    Reference(
        "Kaplan et al. 2020",
        "other",
        {"a": 0.73, "b": 0.27},
        "N without embeddings; C without the head",
        note="Warmup and schedule did not follow the budget.",
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
        "non-embedding FLOP per token in place of N; C its product with D",
    ),
    Reference(
        "Porian et al. 2024, tuned, RefinedWeb",
        "isoflop",
        {"a": 0.496895},
        "N body and head; C = 6ND",
        {"a": (0.4907, 0.5045)},
        "95%, noise injection",
    ),
    Reference(
        "Dubey et al. 2024 (Llama 3)",
        "isoflop",
        {"b": 0.53},
        "not stated; C the budget",
        note="Printed for tokens: D* = 0.29 C^0.53.",
    ),
)
