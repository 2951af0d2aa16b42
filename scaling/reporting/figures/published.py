"""Compute-optimal lines that papers printed, for figures: the one place where they are chosen.

They hold for language models with D in tokens; elsewhere they say nothing. What each counts as N
and C is its own affair, and is said wherever the lines are drawn.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scaling.laws import get
from scaling.laws.literature import LITERATURE

TOKENS = "tokens"
SOURCES = ("chinchilla",)  # laws whose published values give a line in closed form
SIX_ND = "N total parameters, C = 6ND"


@dataclass(frozen=True)
class Line:
    """``quantity`` = ``coefficient`` C ** ``exponent``, with ``quantity`` N or D."""

    source: str
    quantity: str
    coefficient: float
    exponent: float
    convention: str


def published_lines(unit_of_data: str) -> tuple[Line, ...]:
    """Return the printed lines of N*(C) and D*(C), or none where D is not counted in tokens."""
    if unit_of_data != TOKENS:
        return ()
    printed = [
        Line(short(reference.source), quantity, *reference.lines[quantity], reference.convention)
        for reference in LITERATURE
        for quantity in ("N", "D")
        if quantity in reference.lines
    ]
    return (*(line for name in SOURCES for line in _of_law(name)), *printed)


def conventions(lines: Iterable[Line]) -> str:
    """Say what each source counts, sources that count alike together."""
    found: dict[str, list[str]] = {}
    for line in lines:
        sources = found.setdefault(line.convention, [])
        if line.source not in sources:
            sources.append(line.source)
    return ". ".join(f"{', '.join(s)}: {what.replace(';', ',')}" for what, s in found.items())


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
        out.append(Line(source, "N", level, a, SIX_ND))
        out.append(Line(source, "D", 1.0 / (6.0 * level), b, SIX_ND))
    return out


def short(source: str) -> str:
    """Return a citation as short as a label in a figure must be: the first author and the year."""
    words = source.replace(",", " ").split()
    year = next((w for w in words if w.isdigit() and len(w) == 4), "")
    return f"{words[0]} {year}".strip() if words else ""
