"""Sources of fits, taken apart into what can be compared: the fits of the same runs, named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from scaling.errors import ConfigError, Fault
from scaling.fitting.comparison import Comparison, compare_fits, runs_key, told_apart
from scaling.fitting.result import Fit, Fits


def parted(sources: Sequence[tuple[str, Fits]]) -> dict[str, Fits]:
    """Take sources apart into runs with a name each.

    Parameters
    ----------
    sources : sequence of (str, Fits)
        What to call each source, and its fits.

    Returns
    -------
    dict of str to Fits
        The fits of the same runs, by the name of their source, of their group, or of both.
        Sources of the same runs become one, and a fit that repeats is kept once.

    Raises
    ------
    ConfigError
        SC004 for a source without a fit of a law; SC101 for fits saved without their rows.
    """
    names: list[str] = []
    parts: dict[object, Fits] = {}
    for label, fits in sources:
        if not fits.fits:
            mend = "scaling fit RESULTS.csv --law NAME -o FILE; minima alone are not compared"
            raise ConfigError(Fault("SC004", label, "no fit of a law", "one or more", mend))
        groups = dict.fromkeys(fit.group for fit in fits.fits)
        for group in groups:
            part = _of_group(fits, group)
            if any("used" not in fit.rows for fit in part.fits):
                expected, mend = "a whole fit, with its rows", "scaling fit RESULTS.csv -o FILE"
                raise ConfigError(Fault("SC101", label, "carries no rows", expected, mend))
            key = runs_key(part.fits[0])
            if key in parts:
                parts[key] = _joined(parts[key], part)
                continue
            parts[key] = part
            names.append(_name(label, group, len(groups) > 1, len(sources) > 1))
    return dict(zip(told_apart(names), parts.values(), strict=True))


def compare_parts(
    parts: dict[str, Fits],
    *,
    level: float = 0.95,
    at: Sequence[float] = (),
    reference: str | None = None,
) -> Comparison:
    """Compare what `parted` returned; see `scaling.fitting.comparison.compare_fits`.

    Raises
    ------
    ConfigError
        SC004 if there is one fit only.
    """
    fits = [(name, fit) for name, part in parts.items() for fit in part.fits]
    if len(fits) < 2:
        expected = "two laws, two groups or two files"
        raise ConfigError(Fault("SC004", "compare", "one fit, compared with nothing", expected))
    names = [name for name, _ in fits]
    chosen = [fit for _, fit in fits]
    return compare_fits(chosen, level=level, at=at, reference=reference, names=names)


def of_fits(fits: Sequence[Fit]) -> dict[str, Fits]:
    """Return the parts of loose fits, each named by its group or its file."""
    return parted([(Path(str(f.table.get("file") or "table")).stem, Fits((f,), table=f.table))
                   for f in fits])  # fmt: skip


def _of_group(fits: Fits, group: str | None) -> Fits:
    own = tuple(replace(f, table=f.table or fits.table) for f in fits.fits if f.group == group)
    allocations = tuple(a for a in fits.allocations if a.group == group)
    return Fits(own, allocations, own[0].table, fits.provenance)


def _name(label: str, group: str | None, several_groups: bool, several_sources: bool) -> str:
    if group is None or (several_sources and not several_groups):
        return label
    return f"{label}: {group}" if several_sources else group


def _joined(one: Fits, two: Fits) -> Fits:
    """Put fits of the same runs together."""
    new = tuple(fit for fit in two.fits if not any(_same(fit, own) for own in one.fits))
    allocations = tuple(a for a in two.allocations if a not in one.allocations)
    return replace(one, fits=(*one.fits, *new), allocations=(*one.allocations, *allocations))


def _same(one: Fit, two: Fit) -> bool:
    """Whether two fits are one, read twice."""
    return (one.law.formula, one.objective, one.params, one.n) == (
        two.law.formula,
        two.objective,
        two.params,
        two.n,
    )
