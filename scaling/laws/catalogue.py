"""The laws that come with the package or are installed beside it, found by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points

from scaling.errors import ConfigError, Fault, clip, listed
from scaling.laws.architectures import ARCHITECTURES
from scaling.laws.curves import CURVES
from scaling.laws.law import Law
from scaling.laws.recipes import RECIPES
from scaling.laws.surfaces import CHINCHILLA, SURFACES

GROUP = "scaling.laws"
PROCEDURES: Mapping[str, str] = {  # fitted by name like laws, but no formula
    "auto": "Several laws, weighted by what they forecast",
    **{
        f"auto-{v}": f"Several laws of {v} alone, weighted by what they forecast"
        for v in ("N", "D", "C")
    },
}
LAWS: Mapping[str, Law] = {law.name: law for law in (*SURFACES, *CURVES, *ARCHITECTURES, *RECIPES)}


def installed() -> Iterator[Law]:
    """Laws of other installed packages: entry points of the group ``scaling.laws``.

    Each names a `Law`, or a callable that returns one.

    Raises
    ------
    ConfigError
        SC004 if an entry point gives something else.
    """
    for entry in entry_points(group=GROUP):
        where = f"entry point {entry.name} of {GROUP}"
        try:
            found = entry.load()
            found = found() if callable(found) else found
        except Exception as error:
            reason = clip(f"{type(error).__name__}: {error}")
            mend = "mend or uninstall the package that declares it"
            raise ConfigError(Fault("SC004", where, reason, "a scaling.Law", mend)) from error
        if not isinstance(found, Law):
            raise ConfigError(Fault("SC004", where, type(found).__name__, "a scaling.Law"))
        yield found


def get(name: str) -> Law:
    """Return the law called `name`.

    Raises
    ------
    ConfigError
        SC004 with the nearest names, or if it is a procedure, which has no formula of its own.
    """
    if name in LAWS:
        return LAWS[name]
    if name in PROCEDURES:
        found = f'"{name}" is a procedure that weighs several laws, and has no formula of its own'
        mend = f'fit it: scaling fit FILE --law {name}, or sc.fit(runs, law="{name}")'
        raise ConfigError(Fault("SC004", "law", found, "a law that is a formula", mend))
    others = {law.name: law for law in installed()}
    if name in others:
        return others[name]
    known = [*LAWS, *others, *PROCEDURES]
    near = difflib.get_close_matches(name, known, n=1)
    mend = f"did you mean {near[0]}?" if near else "scaling laws list names them all"
    raise ConfigError(
        Fault("SC004", "--law", f'no law called "{name}"', listed(near or known, 6), mend)
    )


def default_for(columns: set[str]) -> Law:
    """Return the law that a table with these columns is fitted by when none is named."""
    if {"N", "D"} <= columns:
        return CHINCHILLA
    for variable in ("N", "D", "C"):
        if variable in columns:
            return LAWS[f"power-{variable}"]
    raise ConfigError(
        Fault("SC105", "table", "has none of N, D, C", "at least one", "name it with --map")
    )
