"""What each message code means and how to mend it; ``scaling explain`` and the site print this."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from itertools import takewhile
from pathlib import Path

RANGES = {
    "SC0": "The program: extras, files, options, study files",
    "SC1": "Reading runs: tables, units, conventions, importers, public data",
    "SC2": "Planning: designs, recipes, costs, pre-flight",
    "SC3": "Training: points, machines, engines, data to train on",
    "SC4": "Fitting: estimates, intervals, answers, comparisons",
    "SC9": "Faults of this package",
}
_PLACES = (
    (4, "title"),
    (2, "cause"),
    (1, "example"),
    (1, "mend"),
)  # what a word found there counts


@dataclass(frozen=True)
class Code:
    """What a code means, for `scaling explain`.

    Attributes
    ----------
    title, cause, mend : str
    example : str
        A message with this code as the program prints it.
    """

    title: str
    cause: str
    example: str
    mend: str


def _load() -> dict[str, Code]:
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    return {code: Code(**entry) for code, entry in sorted(tomllib.loads(text).items())}


CODES = _load()


def named(text: str) -> list[str]:
    """Return what looks like codes in a text, known or not; ``102`` alone is one, too."""
    found = re.findall(r"\bSC\W?(\d+)\b", text, re.IGNORECASE)
    alone = re.fullmatch(r"\s*(\w*\d\w*)\s*", text)
    if alone and not found:
        return [f"SC{alone[1]}" if alone[1].isdigit() else alone[1].upper()]
    return [f"SC{digits}" for digits in found]


def nearest(code: str) -> str:
    """Return the known code whose spelling is nearest, above all at its beginning."""

    def likeness(known: str) -> float:
        alike = takewhile(lambda pair: pair[0] == pair[1], zip(code, known, strict=False))
        return SequenceMatcher(None, code, known).ratio() + len(list(alike)) / 10

    return max(CODES, key=likeness)


def in_ranges(codes: Iterable[str]) -> dict[str, list[str]]:
    """Return codes by the heading of their range."""
    found: dict[str, list[str]] = {}
    for code in codes:
        found.setdefault(RANGES[code[:3]], []).append(code)
    return found


def about(text: str, limit: int = 8) -> list[str]:
    """Return the codes that words are about, best first; the words may be misspelt.

    A word counts where it begins a word of what is known of a code, most in its title. Only codes
    about as many of the words as any are returned.
    """
    words = {
        code: [(weight, _words(getattr(item, place))) for weight, place in _PLACES]
        for code, item in CODES.items()
    }
    known = sorted({word for entry in words.values() for _, own in entry for word in own})
    asked = [_beginning(word, known) for word in _words(text) if len(word) > 2]
    scores = {}
    for code, entry in words.items():
        hits = [
            max(weight for weight, own in [*entry, (0, [start])] if _begun(start, own))
            for start in asked
        ]
        scores[code] = (sum(hit > 0 for hit in hits), sum(hits))
    ranked = sorted(CODES, key=lambda code: scores[code], reverse=True)
    most = scores[ranked[0]][0]
    return [code for code in ranked if scores[code][0] == most > 0][:limit]


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def _begun(start: str, words: Iterable[str]) -> bool:
    return any(word.startswith(start) for word in words)


def _beginning(word: str, known: list[str]) -> str:
    """Return the word without its ending, or the known word that was probably meant."""
    stem = re.sub(r"(s|ed|ing)$", "", word) if len(word) > 4 else word
    near = [] if _begun(stem, known) else get_close_matches(word, known, 1, cutoff=0.8)
    return near[0] if near else stem
