"""Comparison of fits: laws on the same runs, recipes against each other, all against papers.

Fits that saw the same runs are ranked as laws; fits of different groups or tables are compared as
recipes, the first being the reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from scaling.errors import ConfigError, Fault, Message, QuestionError
from scaling.fitting.backtest import compare_laws
from scaling.fitting.options import check_level
from scaling.fitting.pairing import name_of
from scaling.fitting.recipes import Recipes, compare_recipes
from scaling.fitting.result import Fit, plain
from scaling.laws.cost import rounded
from scaling.laws.literature import LITERATURE

SCHEMA = "scaling/compare@1"
MOST_GROUPS = 8
QUANTITIES = ("a", "b", "E", "alpha", "beta")


@dataclass(frozen=True)
class Side:
    """Runs that were compared.

    Attributes
    ----------
    name : str
        Group or file.
    fits : tuple of Fit
        Every fit of them.
    surface : Fit
        The fit that is compared with other runs.
    """

    name: str
    fits: tuple[Fit, ...]
    surface: Fit


@dataclass(frozen=True, repr=False)
class Comparison:
    """What was compared.

    Attributes
    ----------
    laws : tuple of mapping
        One a fit, best first within a group: error on larger runs than were fitted, AICc and BIC.
        ``name`` is that of the runs.
    rows : tuple of mapping
        One a pair of recipes and scale: ``pair, C, difference`` (of the lowest loss), ``multiplier,
        interval, pairing, extrapolation``.
    tests : tuple of mapping
        Offset and exponent of each pair: ``pair, quantity, estimate, interval, level, p``.
    crossings : tuple of mapping
        ``pair, C, interval, inside``.
    literature : tuple of mapping
        ``group, law, quantity, value, interval, source, published, published_interval, kind,
        convention, own_convention, note``.
    messages : tuple of Message
    recipes : tuple of Recipes
        One a pair, with curves along compute for drawing; not part of the JSON form.
    sides : tuple of Side
        The runs that were compared, the reference first; not part of the JSON form.
    """

    laws: tuple[Mapping[str, Any], ...] = ()
    rows: tuple[Mapping[str, Any], ...] = ()
    tests: tuple[Mapping[str, Any], ...] = ()
    crossings: tuple[Mapping[str, Any], ...] = ()
    literature: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    messages: tuple[Message, ...] = ()
    recipes: tuple[Recipes, ...] = field(default=(), repr=False)
    sides: tuple[Side, ...] = field(default=(), repr=False)

    def to_frame(self) -> pd.DataFrame:
        """Return the rows of recipes if there are any, else those of laws, as a flat frame."""
        if self.rows:
            return pd.DataFrame(
                [
                    {
                        "reference": r["pair"][0],
                        "recipe": r["pair"][1],
                        "C": r["C"],
                        "difference": r["difference"],
                        "difference_lo": r["interval"]["difference"][0],
                        "difference_hi": r["interval"]["difference"][1],
                        "multiplier": r["multiplier"],
                        "lo": r["interval"]["multiplier"][0],
                        "hi": r["interval"]["multiplier"][1],
                        "factor": r["extrapolation"]["factor"],
                        "pairing": r["pairing"]["kind"],
                        "pairs": r["pairing"]["n"],
                        "law": r["pairing"]["law"],
                    }
                    for r in self.rows
                ]
            )
        return pd.DataFrame(
            [
                {
                    "group": r["group"],
                    "law": r["law"],
                    "k": r["k"],
                    "n": r["n"],
                    "rank": r["backtest"]["rank"],
                    "rmse_log": r["backtest"]["rmse_log"],
                    "bias_log": r["backtest"]["bias_log"],
                    "aicc": r["aicc"],
                    "bic": r["bic"],
                }
                for r in self.laws
            ]
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form, ``scaling/compare@1``."""
        found: dict[str, Any] = plain(
            {
                "schema": SCHEMA,
                "rows": list(self.rows),
                "laws": list(self.laws),
                "tests": list(self.tests),
                "crossings": list(self.crossings),
                "literature": list(self.literature),
                "messages": [m.as_dict() for m in self.messages],
            }
        )
        return found

    def summary(self) -> str:
        """Return the text that ``scaling compare`` prints."""
        from scaling.fitting.summary import summarise_comparison

        return summarise_comparison(self)

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        names = ", ".join(side.name for side in self.sides)
        return f"Comparison({names}: {len(self.laws)} laws, {len(self.rows)} rows of recipes)"


def compare_fits(
    fits: Sequence[Fit],
    *,
    level: float = 0.95,
    at: Sequence[float] = (),
    reference: str | None = None,
    names: Sequence[str] = (),
) -> Comparison:
    """Compare fits.

    Parameters
    ----------
    fits : sequence of Fit
    level : float
        Level of the intervals.
    at : sequence of float
        Compute at which recipes are compared beside that of their grid [FLOP].
    reference : str, optional
        Group or name that is the reference; the first if None.
    names : sequence of str, optional
        What to call the runs of each fit; their group or file if empty.

    Raises
    ------
    ConfigError
        SC004 without fits, or for an unknown reference.
    QuestionError
        SC433 if two recipes have nothing in common.
    """
    if not fits:
        mend = "minima and envelopes are compared by scaling fit and its report"
        raise ConfigError(Fault("SC004", "compare", "no fit of a law", "one or more", mend))
    check_level(level)
    called = list(names) or [name_of(fit) for fit in fits]
    sets = _sets(fits)
    laws: list[Mapping[str, Any]] = []
    messages: list[Message] = []
    titles = told_apart([called[own[0]] for own in sets])
    for title, own in zip(titles, sets, strict=True):
        ranked, told = compare_laws([fits[i] for i in own]) if len(own) > 1 else ([], [])
        laws += [{"name": title, **row} for row in ranked]
        messages += told
    order = [str(row["law"]) for row in sorted(laws, key=_rank)]
    members = [tuple(fits[i] for i in own) for own in sets]
    sides = [
        Side(title, own, _surface(own, order)) for title, own in zip(titles, members, strict=True)
    ]
    sides = _reference_first(sides, reference, at)
    recipes = [
        compare_recipes(
            sides[0].surface, other.surface, names=(sides[0].name, other.name), level=level, at=at
        )
        for other in sides[1:]
    ]
    crossings = [{"pair": list(r.pair), **r.crossing} for r in recipes if r.crossing is not None]
    warned = _warnings(fits, called)
    return Comparison(
        tuple(laws),
        tuple(row for r in recipes for row in r.rows),
        tuple(test for r in recipes for test in r.tests),
        tuple(crossings),
        tuple(row for fit in fits for row in _literature(fit)),
        tuple(dict.fromkeys([*messages, *(m for r in recipes for m in r.messages), *warned])),
        tuple(recipes),
        tuple(sides),
    )


def compare_groups(fits: Sequence[Fit], level: float) -> tuple[Recipes, ...]:
    """Compare the groups of one table with its first, by the first surface of each.

    Nothing is fitted. Groups that have too little in common with the first are left out, and so
    are all where there are more than a report can show.
    """
    surfaces: dict[str, Fit] = {}
    for fit in fits:
        if fit.group is not None and fit.identified and set(fit.law.variables) == {"N", "D"}:
            surfaces.setdefault(fit.group, fit)
    names = list(surfaces)
    if not 2 <= len(names) <= MOST_GROUPS:
        return ()
    out = []
    for other in names[1:]:
        try:
            pair = (names[0], other)
            one, two = surfaces[names[0]], surfaces[other]
            out.append(compare_recipes(one, two, names=pair, level=level))
        except QuestionError:
            continue
    return tuple(out)


def _warnings(fits: Sequence[Fit], names: Sequence[str]) -> list[Message]:
    """What limits the fits limits their comparison; each says whose it is."""
    return [
        Message(m.code, f"{name}, {fit.law.name}: {m.text}", m.severity)
        for name, fit in zip(names, fits, strict=True)
        for m in fit.messages
        if m.severity != "info" and m.code != "SC416"
    ]


def runs_key(fit: Fit) -> tuple[Any, ...]:
    """Return what fits of the same runs have in common."""
    used = tuple(bool(u) for u in fit.rows["used"])
    seen = tuple(v for v, u in zip(fit.rows[fit.response], used, strict=True) if u)
    return fit.table.get("sha256"), fit.group, fit.response, seen


def _sets(fits: Sequence[Fit]) -> list[list[int]]:
    """Indices of fits that saw the same runs, in order of appearance."""
    sets: dict[Any, list[int]] = {}
    for i, fit in enumerate(fits):
        sets.setdefault(runs_key(fit), []).append(i)
    return list(sets.values())


def _reference_first(sides: list[Side], reference: str | None, at: Sequence[float]) -> list[Side]:
    """Put the reference first; the others keep their order."""
    if len(sides) < 2:
        if reference is not None or len(at):
            option = "--reference" if reference is not None else "--at"
            expected = "two groups or tables: --group COLUMN, or a second file"
            raise ConfigError(Fault("SC004", option, "one group of runs", expected))
        return sides
    if reference is None:
        return sides
    wanted = [side for side in sides if reference in (side.surface.group, side.name)]
    if not wanted:
        known = (str(side.surface.group or side.name) for side in sides)
        unknown = Fault("SC004", "--reference", f'no "{reference}"', ", ".join(known))
        raise ConfigError(unknown)
    return [wanted[0], *(side for side in sides if side is not wanted[0])]


def _rank(row: Mapping[str, Any]) -> float:
    rank = row["backtest"]["rank"]
    return float("inf") if rank is None else float(rank)


def told_apart(names: list[str]) -> list[str]:
    """Number names that occur twice."""
    return [
        f"{name} ({names[: i + 1].count(name)})" if names.count(name) > 1 else name
        for i, name in enumerate(names)
    ]


def _surface(own: Sequence[Fit], order: Sequence[str]) -> Fit:
    """Return the usable surface whose law ranks best; the first fit if none is usable."""
    usable = [f for f in own if f.identified and set(f.law.variables) == {"N", "D"}]
    if not usable:
        return own[0]
    known = [f for f in usable if f.law.name in order]
    return min(known, key=lambda f: order.index(f.law.name)) if known else usable[0]


def _literature(fit: Fit) -> list[dict[str, Any]]:
    """What papers printed beside the values of a fit."""
    if not fit.identified or (fit.law.frontier is None and not fit.members):
        return []
    out = []
    for item in LITERATURE:
        for quantity in QUANTITIES:
            if quantity not in item.values or quantity not in fit.params:
                continue
            out.append(
                {
                    "group": fit.group,
                    "law": fit.law.name,
                    "quantity": quantity,
                    "value": fit.params[quantity],
                    "interval": list(fit.intervals.get(quantity, (None, None))),
                    "source": item.source,
                    "approach": item.approach,
                    "published": item.values[quantity],
                    "published_interval": list(item.intervals.get(quantity, (None, None))),
                    "kind": item.kind,
                    "convention": item.convention,
                    "own_convention": f"{fit.table.get('convention', 'not stated')}; "
                    f"C = {rounded(fit.cost['formula'])}",
                    "note": item.note,
                }
            )
    return out
