"""Checks that need more than one fit: minima of budgets, and curves of recipes that cross."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.optima import Allocation
from scaling.fitting.parts import Check
from scaling.fitting.result import Fit

Array = NDArray[np.float64]
Bands = dict[tuple[int, tuple[float, float]], Array]
FEWEST_MINIMA = 3  # for an exponent with an interval
MOST_GROUPS = 8  # whose pairs are compared
DOWNWARDS = "bends downwards"


def with_minima(fit: Fit, allocations: Sequence[Allocation]) -> Fit:
    """Add the checks of the isoFLOP minima of the fit's group."""
    minima = [
        m for a in allocations if a.approach == "isoflop" and a.group == fit.group for m in a.minima
    ]
    if not minima:
        return fit
    good = [m for m in minima if m.bracketed]
    bent = [m for m in minima if m.why and DOWNWARDS in m.why]
    whole = len(good) == len(minima)
    missing = ", ".join(f"{m.budget:.3g}" for m in minima if not m.bracketed)
    text = f"{len(good)} of {len(minima)} budgets" + (f"; not at {missing}" if missing else "")
    bracketed = Check(
        "optimum bracketed",
        "pass" if whole else "warn" if len(good) >= FEWEST_MINIMA else "fail",
        text,
        None if whole else "SC406",
        "a minimum inside the sizes of every budget",
    )
    upward = Check(
        "curves bend upwards",
        "warn" if bent else "pass",
        f"{len(minima) - len(bent)} of {len(minima)} budgets",
        "SC406" if bent else None,
        "a curvature above 0 at every budget",
    )
    return replace(fit, checks=(*fit.checks, bracketed, upward))


def with_crossings(fits: Sequence[Fit]) -> list[Fit]:
    """Add to each fit whether its curve crosses that of another group by the same law.

    The curves are the loss at the compute-optimal allocation, or the law itself where it has one
    variable; they cross if one lies above the other at both ends of what both were fitted on, in
    opposite directions, beyond their intervals where there are any.
    """
    out = list(fits)
    for name in dict.fromkeys(fit.law.name for fit in fits):
        own = [i for i, f in enumerate(fits) if f.law.name == name and f.identified]
        usable = [i for i in own if _axis(fits[i]) is not None]
        if not 2 <= len(usable) <= MOST_GROUPS:
            continue
        if len({(fits[i].response, fits[i].group) for i in usable}) < len(usable):
            continue
        known: Bands = {}
        for i in usable:
            crossed = [j for j in usable if j != i and _cross(fits[i], fits[j], known)]
            names = ", ".join(str(fits[j].group) for j in crossed)
            text = f"crosses {names}" if crossed else f"none of {len(usable) - 1} other groups"
            check = Check(
                "crossing curves",
                "warn" if crossed else "pass",
                text,
                "SC436" if crossed else None,
                "the same order of the groups at both ends of the runs",
            )
            out[i] = replace(out[i], checks=(*out[i].checks, check))
    return out


def _axis(fit: Fit) -> str | None:
    """Name what the curve of a fit runs along; None where it has no one curve."""
    if fit.response != fit.law.response or fit.law.response != "loss":
        return None
    if set(fit.law.variables) == {"N", "D"}:
        return "C"
    only = fit.law.variables[0]
    return only if len(fit.law.variables) == 1 and only in ("N", "D", "C") else None


def _range(fit: Fit, axis: str) -> tuple[float, float]:
    x = fit.fitted
    along = 6.0 * x["N"] * x["D"] if axis == "C" and "C" not in fit.law.variables else x[axis]
    return float(along.min()), float(along.max())


def _cross(one: Fit, other: Fit, known: Bands) -> bool:
    axis = _axis(one)
    if axis is None or axis != _axis(other):
        return False
    (low, high), (start, end) = _range(one, axis), _range(other, axis)
    ends = max(low, start), min(high, end)
    if not ends[0] < ends[1]:
        return False
    first, second = (_band(fit, axis, ends, known) for fit in (one, other))
    above, below = first[1] > second[2], first[2] < second[1]
    return bool((above[0] and below[1]) or (below[0] and above[1]))


def _band(fit: Fit, axis: str, ends: tuple[float, float], known: Bands) -> Array:
    """Loss with the ends of its interval, shape (3, 2); the loss itself without an interval."""
    key = (id(fit), ends)
    if key in known:
        return known[key]
    x: dict[str, Any] = {axis: np.array(ends)}
    along = axis == "C" and "C" not in fit.law.variables
    table = fit.optimal(C=x["C"]) if along else fit.predict(**x)
    loss = table["loss"].to_numpy(dtype=np.float64)
    band = [table[name].to_numpy(dtype=np.float64) for name in ("lo", "hi") if name in table]
    if len(band) < 2 or not np.isfinite(np.stack(band)).all():
        band = [loss, loss]
    known[key] = np.stack([loss, *band])
    return known[key]
