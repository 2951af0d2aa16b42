"""Which works a law, a method or a published value cites, and their BibTeX.

A reference that readers see ("Hoffmann et al. (2022), …, eq. 2") is the citation itself: author and
year name the entry, and where two works share both, a word of the title tells them apart. So laws
that users declare are resolved too, if they cite what is known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from scaling.laws.law import Law
from scaling.laws.literature import Reference
from scaling.laws.works import WORKS, Work

TOOLKIT = "scalingstudy"

METHODS: Mapping[str, tuple[str, ...]] = {
    "log-huber": ("huber1964", "hoffmann2022"),
    "huber": ("huber1964",),
    "delta auto": ("huber2009",),
    "solver": ("golub1973", "marquardt1963", "dennis1981"),
    "pairs": ("efron1979", "efron1993"),
    "cluster": ("field2007", "cameron2008"),
    "wild": ("cameron2008", "webb2023"),
    "delta": ("white1982", "mackinnon1985"),
    "profile": ("venzon1988", "huber2009"),
    "surface": ("hoffmann2022", "besiroglu2024"),
    "isoflop": ("hoffmann2022",),
    "isoflop spline": ("akima1970", "porian2024"),
    "envelope": ("hoffmann2022",),
    "backtest": ("tashman2000",),
    "weighted laws": ("yao2018", "tashman2000"),
    "AICc": ("hurvich1989",),
    "BIC": ("schwarz1978",),
    "paired recipes": ("mackinnon1985",),
    "crossing": ("fieller1954",),
    "pooled": ("patterson1971", "self1987"),
    "effective data": ("hernandez2021",),
    "residuals against seeds": ("draper1998",),
    "schedules": ("hoffmann2022", "porian2024", "hagele2024"),
    "design": ("atkinson2007",),
    "inference": ("sardana2024",),
    "width transfer": ("yang2022",),
    "checklist": ("li2025survey",),
    "toolkit": (TOOLKIT,),
}


def cited(text: str) -> tuple[str, ...]:
    """Return the keys of the works that a text cites, in the order of their first mention."""
    found = []
    for work in WORKS.values():
        pattern = rf"{re.escape(work.names)},? \(?{work.year}\b"
        at = re.search(pattern, text)
        if at is not None and (not work.mark or work.mark in text):
            found.append((at.start(), work.key))
    return tuple(key for _, key in sorted(found))


def of_law(law: Law) -> tuple[str, ...]:
    """Return the keys of what a law and its published values cite."""
    texts = [law.reference, *(item.source for item in law.published)]
    return tuple(dict.fromkeys(key for text in texts for key in cited(text)))


def of_reference(item: Reference) -> tuple[str, ...]:
    """Return the keys of what a published value cites."""
    return cited(item.source)


def of_methods(names: Iterable[str]) -> tuple[str, ...]:
    """Return the keys of methods by the names of `METHODS`; a name that has none is passed over."""
    return tuple(dict.fromkeys(key for name in names for key in METHODS.get(name, ())))


def works(keys: Iterable[str]) -> tuple[Work, ...]:
    """Return works by key, each once, by author and year."""
    found = [WORKS[key] for key in dict.fromkeys(keys)]
    return tuple(sorted(found, key=lambda work: (work.names.lower(), work.year, work.key)))


def bibtex(keys: Iterable[str]) -> str:
    """Return the BibTeX of works, each once."""
    return "\n\n".join(work.bibtex for work in works(keys)) + "\n"
