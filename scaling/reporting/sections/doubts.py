"""What the runs themselves say against an answer: measured, not assumed."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import numpy as np

from scaling.fitting.result import Fit
from scaling.reporting import numbers
from scaling.reporting.context import Context, compute_of, level_of
from scaling.reporting.document import Note
from scaling.reporting.members import along_of, told_of
from scaling.reporting.runs import optimum, runs_of
from scaling.reporting.wording import cost_label

APART = 1.5  # ratio of two meanings of C from which both are said
SAME = 1.05  # compute that differs by no more counts as the same
RIVAL = 1.5  # runs within this factor of the compute have a chance to do better by luck
BEYOND = 1.05  # factor over the runs from which an answer is an extrapolation
BEATEN = "SC439"
MISSED = "SC429"


def asked_compute(context: Context, fit: Fit) -> float | None:
    """Return the compute that the answer is about: the target, else that of the largest run."""
    known = compute_of(fit)
    return context.target or (float(known.max()) if len(known) else None)


def table_compute(fit: Fit) -> tuple[float, float] | None:
    """Return C of the table, and C of the fit, for the largest run, where they lie apart.

    Apart means that the largest values of both differ by more than a factor `APART`.
    """
    runs, known = runs_of(fit), compute_of(fit)
    if not len(known) or len(known) != len(runs.C) or not np.isfinite(runs.C).any():
        return None
    largest = float(known.max())
    ratio = float(np.nanmax(runs.C)) / largest
    own = float(runs.C[int(np.argmax(known))])
    if not (np.isfinite(own) and own > 0 and largest > 0) or 1 / APART <= ratio <= APART:
        return None
    return own, largest


def counted(fit: Fit) -> str:
    """Say that compute in the answer is not what the table calls C; else nothing."""
    found = table_compute(fit)
    if found is None:
        return ""
    own, meant = found
    times = f"1/{_plain(own / meant)} of" if own > meant else f"{_plain(meant / own)} times"
    name = cost_label(fit.cost).removeprefix("C = ")
    return (
        f"Compute here is {name}, which is {times} the table's own C for the largest run; "
        f"targets are read in {name}."
    )


def _plain(ratio: float) -> str:
    return numbers.factor(ratio).removesuffix("×")


def outside(fit: Fit, row: Mapping[str, Any]) -> str:
    """Name how the optimum lies outside the runs; empty where it does not or none can tell."""
    if row["inside_hull"] is None or bool(row["inside_hull"]):
        return ""
    runs, told = runs_of(fit), []
    for name, values in (("N", runs.N), ("D", runs.D)):
        if not np.isfinite(values).any():
            continue
        at = float(row[name])
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        if at > high:
            told.append(f"{name}* is {numbers.factor(at / high)} the largest {name}")
        elif at < low:
            told.append(f"{name}* is {numbers.factor(at / low)} the smallest {name}")
    return ", ".join(told) or "outside the runs in N and D"


def beaten(context: Context, fit: Fit) -> tuple[str, bool]:
    """Say which run did better than the law's best for as much compute; and if noise may do so.

    Returns
    -------
    text : str
        Empty where the best run lies no further below than the luckiest of as many would.
    plain : bool
        Whether it also lies below the interval, or a residual SD further below.
    """
    compute, level = asked_compute(context, fit), level_of(fit)
    table = None if compute is None else optimum(fit, np.array([compute]), level)
    runs, known = runs_of(fit), compute_of(fit)
    if table is None or compute is None or len(known) != len(runs.loss):
        return "", False
    able = np.flatnonzero((known <= SAME * compute) & np.isfinite(runs.loss) & (runs.loss > 0))
    if not len(able):
        return "", False
    best, low = float(table["loss"][0]), float(table["lo"][0])
    at = int(able[np.argmin(runs.loss[able])])
    loss = float(runs.loss[at])
    gap, spread = float(np.log(best / loss)), float(np.nanstd(runs.residual))
    rivals = int((known[able] >= compute / RIVAL).sum())
    luck = max(1.0, luckiest(rivals)) * spread
    if gap <= luck:
        return "", False
    below = np.isfinite(low) and loss < low
    ratio = float(known[at]) / compute
    where = "this compute" if ratio > 1 / SAME else f"{numbers.factor(ratio)} this compute"
    text = (
        f"A run at {where} did better than the law's best: N {numbers.quantity(runs.N[at])}, "
        f"D {numbers.quantity(runs.D[at])}, {fit.response} {numbers.quantity(loss, 4)} against "
        f"{numbers.quantity(best, 4)}."
    )
    return text, bool(below or gap > luck + spread)


def luckiest(count: int) -> float:
    """Return how many SDs the best of `count` runs lies off by luck alone (Blom 1958)."""
    return NormalDist().inv_cdf((count - 0.375) / (count + 0.25)) if count > 1 else 0.0


def origins(fit: Fit) -> list[Mapping[str, Any]]:
    """Return the rolling origins of the fit's law whose error is known."""
    found = told_of(fit).get("origins") or fit.backtest.get("backtest", {}).get("origins", [])
    return [o for o in found if o["rmse_log"] is not None and o["factor"] > 0]


def direction(bias: float | None) -> str:
    """Say on which side predictions lie, of a mean of ln predicted less ln observed."""
    if bias is None or not np.isfinite(bias):
        return ""
    side = "high" if bias > 0 else "low"
    return f", too {side} by {numbers.share(abs(bias), 0)} on average"


def missed(fit: Fit, row: Mapping[str, Any]) -> Note | None:
    """Return the note that an interval is narrower than the error measured at such a distance."""
    factor, loss, low, high = (float(row[name]) for name in ("factor", "loss", "lo", "hi"))
    scored = origins(fit)
    if factor <= BEYOND or not scored or not (np.isfinite([low, high]).all() and loss > 0):
        return None
    near = min(scored, key=lambda o: abs(np.log(o["factor"] / factor)))
    half = (high - low) / (2 * loss)
    if near["rmse_log"] <= half:
        return None
    over = along_of(fit) if fit.members else "compute"
    laws = "the laws miss" if fit.members else "the law misses"
    text = (
        f"Fitted to the smaller runs alone, {laws} runs at up to "
        f"{numbers.factor(near['factor'])} their {over} by {numbers.share(near['rmse_log'])} "
        f"(RMSE){direction(near['bias_log'])}; the interval given here is ±{numbers.share(half)}."
    )
    return Note(MISSED, "warning", text)


def doubts(context: Context, fit: Fit, row: Mapping[str, Any]) -> list[Note]:
    """Return what makes an answer weak although its fit is sound."""
    text, plain = beaten(context, fit) if set(fit.law.variables) == {"N", "D"} else ("", False)
    found = [Note(BEATEN, "warning", text)] if plain else []
    note = missed(fit, row)
    return [*found, note] if note else found
