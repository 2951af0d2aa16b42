"""What a comparison report is about: who is compared, how they differ, and what was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scaling.fitting.comparison import Comparison
from scaling.fitting.pairing import unit_of
from scaling.fitting.recipes import Recipes
from scaling.fitting.result import Fit, Fits
from scaling.reporting.context import Context, without_paths

# Settings that say nothing of what was trained.
ABOUT = ("schema", "study", "fit", "report", "smoke", "engine", "printed")
# Settings that decide what a loss is.
OF_LOSSES = ("data.", "task.", "model.vocabulary", "model.context", "model.tokenizer")


@dataclass(frozen=True)
class Party:
    """Runs that are compared with others.

    Attributes
    ----------
    name : str
    fit : Fit
        The surface that is compared.
    part : Fits
        Every fit of the runs, with their allocations and provenance.
    study : mapping
        The study file; empty where it is not known.
    """

    name: str
    fit: Fit
    part: Fits
    study: Mapping[str, Any] = field(default_factory=dict)

    def unit(self, column: str) -> str:
        """Return the unit of a column, as the table states it."""
        return unit_of(self.fit, column)


@dataclass(frozen=True)
class ComparisonContext(Context):
    """The input of a comparison report, or of what an ordinary one says of its recipes.

    Attributes
    ----------
    parties : tuple of Party
        The reference first.
    comparison : Comparison
    anchored : bool
        Whether the document has the run tables that tips of figures lead to.
    """

    parties: tuple[Party, ...] = ()
    comparison: Comparison = field(default_factory=Comparison)
    anchored: bool = False

    def party(self, name: str) -> Party:
        """Return the party of a name."""
        return next(p for p in self.parties if p.name == name)

    def pair(self, recipes: Recipes) -> tuple[Party, Party]:
        """Return the reference and the other of a pair."""
        return self.party(recipes.pair[0]), self.party(recipes.pair[1])


def context_of(
    comparison: Comparison,
    fits_by_name: Mapping[str, Fits] | None = None,
    *,
    target: float | None = None,
    studies: Mapping[str, Mapping[str, Any]] | None = None,
    command: str | None = None,
) -> ComparisonContext:
    """Gather what a comparison report needs; see `scaling.reporting.comparison`."""
    parts, known = fits_by_name or {}, studies or {}
    parties = tuple(
        Party(
            side.name,
            side.surface,
            parts.get(side.name) or Fits(side.fits, table=side.surface.table),
            without_paths(known.get(side.name) or {}),
        )
        for side in comparison.sides
    )
    every = Fits(
        tuple(fit for party in parties for fit in party.part.fits),
        table=parties[0].part.table if parties else {},
    )
    shown = without_paths(command)
    return ComparisonContext(every, target, command=shown, parties=parties, comparison=comparison)


def compared(context: Context) -> ComparisonContext | None:
    """Return the comparison that a context holds; None where no recipes were compared."""
    if isinstance(context, ComparisonContext):
        return context
    recipes = context.fits.compared
    if not recipes:
        return None
    names = dict.fromkeys(name for found in recipes for name in found.pair)
    surfaces = {fit.group: fit for fit in reversed(_surfaces(context))}
    parties = tuple(
        Party(name, surfaces[name], _part(context, name), context.study) for name in names
    )
    comparison = Comparison(recipes=recipes)
    return ComparisonContext(
        context.fits,
        context.target,
        context.study,
        context.command,
        context.theme,
        parties,
        comparison,
        anchored=True,
    )


def _surfaces(context: Context) -> list[Fit]:
    """Return the fits that groups are compared by, as `compare_groups` chooses them."""
    return [
        fit for fit in context.fits.fits if fit.identified and set(fit.law.variables) == {"N", "D"}
    ]


def _part(context: Context, group: str) -> Fits:
    return Fits(context.fits_of(group), context.allocations_of(group), context.fits.table)


def incomparable(recipes: Recipes) -> bool:
    """Whether the losses of a pair are not one quantity, so that no difference means anything."""
    return any(message.severity == "error" for message in recipes.messages)


def comparable(context: ComparisonContext) -> tuple[Recipes, ...]:
    """Return the pairs whose losses can be told from one another."""
    return tuple(r for r in context.comparison.recipes if not incomparable(r))


def is_inside(recipes: Recipes, compute: float) -> bool:
    """Whether both of a pair have runs of less and of more compute."""
    low, high = recipes.span
    return bool(low * 0.999 <= compute <= high * 1.001)


# ------------------------------------------------------------------------------------- settings


@dataclass(frozen=True)
class Settings:
    """How the settings of parties differ.

    Attributes
    ----------
    names : tuple of str
        The parties whose study is known.
    differing : mapping of str to tuple
        For each key that differs, its value in each of them; None where it is not set.
    same : int
        How many keys are set alike.
    """

    names: tuple[str, ...]
    differing: Mapping[str, tuple[Any, ...]]
    same: int

    @property
    def of_losses(self) -> tuple[str, ...]:
        """Return the differing keys that decide what a loss is."""
        return tuple(key for key in self.differing if key.startswith(OF_LOSSES))


def settings_of(parties: Sequence[Party]) -> Settings:
    """Compare studies key by key, each with its variant laid over it."""
    known = [party for party in parties if party.study]
    flat = [dict(_leaves(_own(party))) for party in known]
    keys = list(dict.fromkeys(key for one in flat for key in one))
    values = {key: tuple(one.get(key) for one in flat) for key in keys}
    differing = {k: v for k, v in values.items() if any(x != v[0] for x in v[1:])}
    return Settings(tuple(p.name for p in known), differing, len(keys) - len(differing))


def _own(party: Party) -> dict[str, Any]:
    """Return what decides the runs of a party: its study, with the variant of its group."""
    whole = {k: v for k, v in party.study.items() if k not in (*ABOUT, "variant")}
    for variant in party.study.get("variant") or []:
        if variant.get("name") == party.fit.group:
            changes = {k: v for k, v in variant.items() if k != "name" and v is not None}
            whole = _laid_over(whole, changes)
    return whole


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return `below` with what `above` sets, table by table."""
    out = dict(below)
    for key, value in above.items():
        own = out.get(key)
        nested = isinstance(own, Mapping) and isinstance(value, Mapping)
        out[key] = _laid_over(own, value) if nested else value  # type: ignore[arg-type]
    return out


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every setting by its dotted key."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        elif value is not None and value != []:
            yield f"{prefix}{key}", value
