"""What a fit of several weighted laws says of itself, as sections and figures need it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from scaling.fitting.auto.candidates import curve_candidates, surface_candidates
from scaling.fitting.auto.mixture import Mixture, Part
from scaling.fitting.result import Fit
from scaling.reporting import numbers

BEYOND = 1.0001  # factor over the runs from which an answer is an extrapolation
UNCHECKED = "unchecked"


@dataclass(frozen=True)
class Member:
    """A law of a mixture, over all its departures.

    Attributes
    ----------
    name, formula : str
    future : str
        How it goes on beyond the data; empty where that is not known.
    weight, share : float
        In the estimate, and of the draws.
    params : mapping of str to float
        Of its heaviest part.
    law : Mixture
        Its parts alone.
    """

    name: str
    formula: str
    future: str
    weight: float
    share: float
    params: Mapping[str, float]
    law: Mixture


def members_of(fit: Fit) -> tuple[Member, ...]:
    """Return the laws of a mixture, heaviest first; none for a fit of one law."""
    if not isinstance(fit.law, Mixture):
        return ()
    known = _futures(fit.law)
    parts: dict[str, list[Part]] = {}
    for part in fit.law.parts:
        parts.setdefault(part.law.name, []).append(part)
    out = []
    for name, own in parts.items():
        heaviest = max(own, key=lambda part: part.weight)
        out.append(
            Member(
                name,
                heaviest.law.formula,
                known.get(name, ""),
                sum(part.weight for part in own),
                sum(part.share for part in own),
                heaviest.params,
                alone(fit.law, own),
            )
        )
    return tuple(sorted(out, key=lambda member: -member.weight))


def alone(law: Mixture, parts: list[Part]) -> Mixture:
    """Return the mixture of some parts, whose weights add to 1."""
    weight, share = sum(p.weight for p in parts), sum(p.share for p in parts)
    own = tuple(replace(p, weight=p.weight / weight, share=p.share / share) for p in parts)
    return replace(law, parts=own)


def _futures(law: Mixture) -> dict[str, str]:
    """How each law that can take part goes on beyond the data."""
    found = surface_candidates() if law.scale is not None else curve_candidates(law.variables[0])
    return {candidate.law.name: candidate.future for candidate in found}


def told_of(fit: Fit) -> Mapping[str, Any]:
    """Return what a fit of weighted laws keeps of how it came about; empty for one law."""
    said: Mapping[str, Any] = fit.certificate.get("auto", {})
    return said


def along_of(fit: Fit) -> str:
    """Return what a fit extrapolates over: its one variable, or compute."""
    return fit.law.variables[0] if len(fit.law.variables) == 1 else "compute"


def unchecked(fit: Fit, factor: float) -> bool:
    """Whether a factor beyond the data is further than forecasts of weighted laws were checked."""
    reach = fit.evidence_factor
    return reach is not None and factor > reach * BEYOND


def factor_text(fit: Fit, factor: Any) -> str:
    """Write a factor over the runs, and where it is further than forecasts were checked say so."""
    text = numbers.factor(factor)
    return f"{text}, {UNCHECKED}" if unchecked(fit, float(factor)) else text


def checked_note(fit: Fit) -> str:
    """Say up to where forecasts of weighted laws were checked; nothing for one law."""
    if fit.evidence_factor is None:
        return ""
    return (
        f" Forecasts were checked up to {numbers.factor(fit.evidence_factor)} beyond what they "
        f"were fitted to; further out (“{UNCHECKED}”) intervals grow by rule."
    )
