"""Compute-optimal lines that papers printed, for figures: the one place where they are chosen.

They hold for language models with D in tokens and C = 6ND; elsewhere they say nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from scaling.laws import get

TOKENS = "tokens"
SOURCES = ("chinchilla",)  # laws whose published values give a line in closed form
CONVENTION = "N total parameters, C = 6ND"


@dataclass(frozen=True)
class Line:
    """``quantity`` = ``coefficient`` C ** ``exponent``, with ``quantity`` N or D."""

    source: str
    quantity: str
    coefficient: float
    exponent: float


def published_lines(unit_of_data: str) -> tuple[Line, ...]:
    """Return the printed lines of N*(C) and D*(C), or none where D is not counted in tokens."""
    if unit_of_data != TOKENS:
        return ()
    return tuple(line for name in SOURCES for line in _of_law(name))


def _of_law(name: str) -> list[Line]:
    """Lines that follow from the published values of a law: ``N* = N*(1) C^a``, ``D* = C/6N*``."""
    law = get(name)
    if law.frontier is None:
        return []
    out = []
    for published in law.published:
        a, b = (float(x) for x in law.frontier.exponents(published.params))
        level = float(law.frontier.size(published.params, 1.0))
        source = short(published.source)
        out += [Line(source, "N", level, a), Line(source, "D", 1.0 / (6.0 * level), b)]
    return out


def short(source: str) -> str:
    """Return a citation as short as a label in a figure must be: the first author and the year."""
    words = source.replace(",", " ").split()
    year = next((w for w in words if w.isdigit() and len(w) == 4), "")
    return f"{words[0]} {year}".strip() if words else ""
