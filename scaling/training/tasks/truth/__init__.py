"""Losses that are known without gradient training, by source.

Each module has ``loss(options, N, D, seed)``, the loss and its standard error over validation
examples, and ``truth(options)``, what is known exactly. No torch is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from scaling.training.tasks.truth import additive, hutter, oracle, parity, regression


class Module(Protocol):
    """What each of the modules has."""

    def loss(self, options: Mapping[str, Any], N: int, D: int, seed: int) -> tuple[float, float]:
        """Loss and its standard error."""

    def truth(self, options: Mapping[str, Any]) -> dict[str, float | None]:
        """What is known."""


MODULES: Mapping[str, Module] = {
    "oracle": oracle,
    "hutter": hutter,
    "additive": additive,
    "parity": parity,
    "regression": regression,
}


def loss(source: str, options: Mapping[str, Any], N: int, D: int, seed: int) -> tuple[float, float]:
    """Loss of a point and its standard error.

    Parameters
    ----------
    source : str
        One of `MODULES`.
    options : mapping
        All options of the source.
    N : int
        Entries, skills or features.
    D : int
        Examples or steps.
    seed : int
        Of the point: what is drawn is a function of it, the source's seed, N and D.
    """
    return MODULES[source].loss(options, N, D, seed)


def truth(source: str, options: Mapping[str, Any]) -> dict[str, float | None]:
    """Return what is exactly known of a source, by the names of laws' parameters."""
    return MODULES[source].truth(options)
