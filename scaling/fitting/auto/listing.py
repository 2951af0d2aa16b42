"""Which laws take part, for those who ask before anything is fitted."""

from __future__ import annotations

from scaling.fitting.auto.candidates import Candidate, curve_candidates, surface_candidates


def candidates_of(name: str) -> dict[str, tuple[Candidate, ...]]:
    """Return the laws that take part in ``auto``, ``auto-N``, … by what they read."""
    _, _, variable = name.partition("-")
    curves = {v: curve_candidates(v) for v in ([variable] if variable else ["D", "N", "C"])}
    return curves if variable else {"N, D": surface_candidates(), **curves}
