"""Whether the approaches agree, how much of a difference their method explains, and which C."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from scaling.errors import Message
from scaling.fitting.allocation import local_exponents
from scaling.fitting.optima import Allocation
from scaling.fitting.prediction import cost_of, largest_compute
from scaling.fitting.result import Fit
from scaling.laws.cost import SIX_ND, Cost, rounded

LARGE_BIAS_A, LARGE_BIAS_N = 0.01, 0.05
NO_BIAS = 0.0005


def compare_approaches(
    allocations: Sequence[Allocation], fits: Sequence[Fit], measured: Cost | None
) -> tuple[list[Allocation], list[dict[str, Any]]]:
    """Hold the exponents of one group's approaches against each other.

    Parameters
    ----------
    allocations : sequence of Allocation
        Of one group.
    fits : sequence of Fit
        The surfaces among them, in the same order.
    measured : Cost or None
        What C of the table is as a function of N and D; None if it is 6ND. The surface's
        exponent is taken under it where it meets an approach that knows the table's C alone.

    Returns
    -------
    allocations : list of Allocation
        With messages on agreement and bias added.
    rows : list of dict
        ``group, pair, difference, combined, agree, bias``; ``combined`` is the root of the sum of
        the squared half-widths of the intervals, None where one is missing.
    """
    out = [_with_bias_message(a) for a in allocations]
    surfaces = [k for k, a in enumerate(out) if a.approach == "surface"]
    names: list[str] = [a.approach for a in out]
    like: list[float | None] = [a.a for a in out]
    for k, fit in zip(surfaces, fits, strict=True):
        if len(surfaces) > 1:
            names[k] = f"surface {fit.law.name}"
        if fit.identified:  # under the C that the other approaches know
            count = measured if measured is not None else SIX_ND
            n, d = fit.fitted["N"], fit.fitted["D"]
            largest = float(count.compute(n, d).max())
            like[k] = float(local_exponents(fit.law, fit.params, largest, count)[0])
    rows = []
    for i, j in combinations([k for k, a in enumerate(out) if a.a is not None], 2):
        if j in surfaces:
            continue  # laws are compared by what they predict
        values = (like[i], like[j])
        row = _pair(out[i], out[j], (names[i], names[j]), values)
        rows.append(row)
        if row["agree"] is not None:
            added = Message("SC413", _text(row), "info" if row["agree"] else "warning")
            out[j] = replace(out[j], messages=(*out[j].messages, added))
    return out, rows


def _pair(
    one: Allocation,
    two: Allocation,
    names: tuple[str, str],
    values: tuple[float | None, float | None],
) -> dict[str, Any]:
    """Difference in a of two approaches."""
    difference = float(values[1] or 0.0) - float(values[0] or 0.0)
    ends = [a.interval.get("a") if a.interval else None for a in (one, two)]
    combined = None
    if all(ends):
        halves = [0.5 * (e[1] - e[0]) for e in ends if e]
        combined = float(np.hypot(*halves))
    bias = sum(a.bias.get("a", 0.0) * sign for a, sign in ((one, -1.0), (two, 1.0)))
    return {
        "group": one.group,
        "pair": list(names),
        "a": [float(v) for v in values if v is not None],
        "difference": difference,
        "combined": combined,
        "agree": None if combined is None else bool(abs(difference) <= combined),
        "bias": float(bias),
    }


def _text(row: dict[str, Any]) -> str:
    one, two = row["pair"]
    verdict = "agree within" if row["agree"] else "disagree beyond"
    text = (
        f"{one} and {two} {verdict} their intervals: a {row['a'][0]:.3f} and {row['a'][1]:.3f}, "
        f"{row['difference']:+.3f} against ±{row['combined']:.3f}"
    )
    if abs(row["bias"]) >= NO_BIAS:
        text += f", of which {row['bias']:+.3f} is the curve's bias on this grid"
    return text + "."


def _with_bias_message(allocation: Allocation) -> Allocation:
    """Say what this curve, and a parabola, would miss on noise-free runs of the fitted surface."""
    bias = allocation.bias
    if not bias:
        return allocation
    large, span = _span(bias)
    whose = f"the minima of the fitted {bias['law']}"
    text = f"Noise apart, this curve on this grid misses {whose} {span}"
    other = _span(bias["parabola"])[1]
    text += f"; a parabola would miss them {other}." if other != span else "."
    added = Message("SC425", text, "warning" if large else "info")
    return replace(allocation, messages=(*allocation.messages, added))


def _span(bias: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a bias is large, and how it reads."""
    missed = np.array([v for v in bias["N"] if v is not None])
    worst = float(np.abs(missed).max())
    large = abs(bias["a"]) > LARGE_BIAS_A or worst > LARGE_BIAS_N
    if worst < NO_BIAS and abs(bias["a"]) < NO_BIAS:
        return large, f"by less than {NO_BIAS:.2%} of N*"
    ends = f"{missed.min():+.1%} to {missed.max():+.1%}"
    return large, f"by {ends} of N*, and a by {bias['a']:+.4f}"


def convention_message(fit: Fit, measured: Cost | None) -> Message | None:
    """Say whether a moves by more than its interval when C is counted as the table counts it."""
    if measured is None or not fit.identified or fit.law.frontier is None:
        return None
    if cost_of(fit).formula == measured.formula:
        return None
    other = float(local_exponents(fit.law, fit.params, largest_compute(fit), measured)[0])
    own = fit.params["a"]
    ends = fit.intervals.get("a")
    inside = ends is not None and ends[0] <= other <= ends[1]
    text = (
        f"a is {own:.3f} under C = {rounded(fit.cost['formula'])} and {other:.3f} under the "
        f"table's own C (about {rounded(measured.formula)})"
    )
    if ends is None:
        return Message("SC437", text + "; without an interval neither is judged.", "info")
    if inside:
        return Message("SC437", text + ": inside its interval.", "info")
    return Message("SC437", text + ": the convention moves it by more than its interval.")
