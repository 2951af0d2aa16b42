"""The answer of a comparison: which is better, by how much, from which compute on, and how sure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scaling.fitting.backtest import CLOSE
from scaling.fitting.recipes import Recipes
from scaling.reporting import numbers
from scaling.reporting.context import note_of, ranked
from scaling.reporting.document import Fact, Level, Note, Verdict
from scaling.reporting.parties import (
    ComparisonContext,
    Party,
    incomparable,
    is_inside,
    settings_of,
)
from scaling.reporting.sections.answer import extrapolation

MOST_SETTINGS = 4
Row = Mapping[str, Any]


def versus_verdicts(context: ComparisonContext) -> list[Verdict]:
    """Return one verdict a pair, and one for each set of laws on the same runs."""
    pairs = [pair_verdict(context, recipes) for recipes in context.comparison.recipes]
    names = dict.fromkeys(str(row["name"]) for row in context.comparison.laws)
    return [*pairs, *(_laws_verdict(context, name) for name in names)]


def headline_row(context: ComparisonContext, recipes: Recipes) -> Row:
    """Return the row at the target, else at the largest compute that both have runs of."""
    rows = recipes.rows
    wanted = context.target or recipes.span[1]
    return min(rows, key=lambda row: abs(np.log(row["C"] / wanted)))


def ends_of(row: Row, name: str = "multiplier") -> tuple[float, float] | None:
    """Return the interval of a row, or None without one."""
    lo, hi = row["interval"][name]
    return (float(lo), float(hi)) if numbers.finite(lo) and numbers.finite(hi) else None


def better_of(row: Row) -> int:
    """Return 1 if the second of a pair is better, 0 if the first, -1 if they are not told apart.

    Where the reference never does as well in some draws the multiplier has no interval; the
    difference of the losses has.
    """
    ends, gap = ends_of(row), ends_of(row, "difference")
    if ends is not None:
        return -1 if ends[0] <= 1.0 <= ends[1] else int(ends[0] > 1.0)
    return -1 if gap is None or gap[0] <= 0.0 <= gap[1] else int(gap[1] < 0.0)


def pair_verdict(context: ComparisonContext, recipes: Recipes) -> Verdict:
    """Return the verdict on a pair."""
    one, two = context.pair(recipes)
    subject = f"{two.name} against {one.name}"
    notes = _reasons(context, recipes, one, two)
    if incomparable(recipes):
        why = next(m.text for m in recipes.messages if m.severity == "error")
        notes = tuple(note for note in notes if note.text != why)  # said once
        text = f"{one.name} and {two.name} cannot be compared by their losses."
        return Verdict("not identified", subject, text, why, notes)
    row = headline_row(context, recipes)
    level: Level = "supported"
    if better_of(row) < 0 or any(note.severity != "info" for note in notes):
        level = "weak"
    serious = tuple(note for note in notes if note.severity != "info")
    return Verdict(
        level,
        subject,
        _headline(recipes, row),
        _sure(context, recipes, row),
        serious,
        tuple(_facts(recipes, row)),
    )


def _headline(recipes: Recipes, row: Row) -> str:
    one, two = recipes.pair
    better = better_of(row)
    where = f"{numbers.quantity(row['C'])} FLOP"
    if not is_inside(recipes, row["C"]):
        where += " (extrapolated)"
    only = "only as well as" if better == 0 else "as well as"
    said = f"with {where} {two} does {only} {one} with {_times(row)} times as much"
    ends = ends_of(row)
    if ends is not None:
        said += f" ({numbers.interval(*ends)})"
    if not numbers.finite(row["multiplier"]):
        said = f"with {where} {two} does what {one} does at no compute by its law"
    if ends is None and ends_of(row, "difference") is None:
        who = two if row["difference"] < 0.0 else one
        return f"{who} looks better: {said}; without an interval nothing more can be said."
    if better < 0:
        return f"Not told apart: {said}."
    reach = _from_which(recipes)
    text = f"{recipes.pair[better]} is better: {said}"
    return f"{text}; {reach}." if reach else f"{text}."


def _times(row: Row) -> str:
    ends = ends_of(row)
    return numbers.within(row["multiplier"], *(ends or (None, None)))


def _interval_of_times(row: Row) -> str:
    ends = ends_of(row)
    if ends is not None:
        return f"{numbers.interval(*ends)}, {row['interval']['level']:.0%}"
    return "no bound" if ends_of(row, "difference") else "no interval"


def _from_which(recipes: Recipes) -> str:
    """Say from which compute on the better one is better."""
    crossing = recipes.crossing
    if crossing is not None and crossing["inside"]:
        above = recipes.pair[int(_rises(recipes))]
        lo, hi = crossing["interval"]
        known = f" ({numbers.interval(lo, hi)})" if lo is not None else ""
        where = f"{numbers.within(crossing['C'], lo, hi)} FLOP{known}"
        return f"{above} is the better one from {where} on, the other below"
    inside = [row for row in recipes.rows if is_inside(recipes, row["C"])]
    sides = [better_of(row) for row in inside]
    if not inside or len(set(sides) - {-1}) != 1:
        return ""
    span = f"{numbers.quantity(inside[0]['C'])} to {numbers.quantity(inside[-1]['C'])} FLOP"
    if -1 not in sides:
        return f"so at all compute measured, {span}"
    told = [row["C"] for row, side in zip(inside, sides, strict=True) if side >= 0]
    if sides[-1] >= 0 and -1 not in sides[sides.index(sides[-1]) :]:
        return f"told apart from {numbers.quantity(told[0])} FLOP on"
    return f"told apart at {len(told)} of {len(inside)} scales from {span}"


def _rises(recipes: Recipes) -> bool:
    """Whether the multiplier grows with compute."""
    values = recipes.curve["multiplier"]
    return bool(values[-1] > values[0])


def _sure(context: ComparisonContext, recipes: Recipes, row: Row) -> str:
    how = recipes.pairing
    level = f"{row['interval']['level']:.0%}"
    _, two = context.pair(recipes)
    if how["kind"] == "paired":
        text = f"{how['n']} pairs of runs that share {how['by']}"
    else:
        text = "Unpaired: two surfaces with the error of both"
    unit = two.unit(two.fit.response)
    ends = ends_of(row, "difference")
    text += f"; difference of the lowest {two.fit.response} {signed(row['difference'], ends)}"
    if ends is not None:
        text += f" ({spread(ends)}, {level})"
    text += f" {unit}." if unit else "."
    if not is_inside(recipes, row["C"]):
        text += " At that compute not both have runs."
    return f"{text} {_warned(context.pair(recipes))}".strip()


def _warned(parties: tuple[Party, Party]) -> str:
    """Say how many warnings of the fits stand below."""
    counts = [sum(m.severity != "info" for m in party.part.messages) for party in parties]
    if not any(counts):
        return ""
    said = " and ".join(f"{n} of {p.name}" for n, p in zip(counts, parties, strict=True))
    return f"Warnings of the fits, all listed below: {said}."


def spread(ends: tuple[float, float]) -> str:
    """Write the interval of a difference, both ends with their sign."""
    return f"{signed(ends[0], ends)} to {signed(ends[1], ends)}"


def signed(value: Any, ends: tuple[float, float] | None) -> str:
    """Write a difference with its sign, to the digit that its interval supports."""
    width = (ends[1] - ends[0]) / numbers.ERRORS_IN_INTERVAL if ends else 0.0
    digits = numbers.error_digits(width) if width > 0 else 4
    return numbers.signed(value, max(0, min(digits, 6)))


def _facts(recipes: Recipes, row: Row) -> list[Fact]:
    level = f"{row['interval']['level']:.0%}"
    gap = ends_of(row, "difference")
    inside = is_inside(recipes, row["C"])
    factor = row["extrapolation"]["factor"]
    out = [
        Fact("compute", f"{numbers.quantity(row['C'])} FLOP", _where(inside, factor)),
        Fact(
            "compute multiplier",
            f"{_times(row)}×",
            _interval_of_times(row),
        ),
        Fact(
            "difference of lowest loss",
            signed(row["difference"], gap),
            f"{spread(gap)}, {level}" if gap else "no interval",
        ),
    ]
    if recipes.crossing is not None and (recipes.crossing["inside"] or not recipes.tests):
        out.append(_crossing_fact(recipes))
    how = recipes.pairing
    name = f"{how['n']} by {how['by']}" if how["kind"] == "paired" else "none"
    alone = sum(how["alone"])
    out.append(Fact("pairs of runs", name, f"{alone} without a partner" if alone else ""))
    for test in recipes.tests:
        if test["quantity"] == "exponent":
            ends = test["interval"][0], test["interval"][1]
            sure = f"{spread(ends)}, p = {numbers.quantity(test['p'], 2)}"
            value = signed(test["estimate"], ends)
            out.append(Fact("exponent of the multiplier", value, sure))
    return out


def _crossing_fact(recipes: Recipes) -> Fact:
    crossing = recipes.crossing or {}
    lo, hi = crossing["interval"]
    value = f"{numbers.within(crossing['C'], lo, hi)} FLOP"
    return Fact("crossing", value, numbers.interval(lo, hi) if lo is not None else "no interval")


def _where(inside: bool, factor: float) -> str:
    if inside:
        return "inside the runs of both"
    if factor > 1.0:
        return f"extrapolated, {numbers.factor(factor)} the largest that both have"
    return "extrapolated, below the runs of one"


def _reasons(
    context: ComparisonContext, recipes: Recipes, one: Party, two: Party
) -> tuple[Note, ...]:
    """Say why not to trust a comparison."""
    notes = [note_of(m) for m in recipes.messages if m.severity != "info"]
    if incomparable(recipes):  # how they would have been compared is of no interest
        grave = [note for note in notes if note.severity == "error"]
        return ranked([*grave, *_unlike(one, two)])
    if recipes.rows:
        row = headline_row(context, recipes)
        far = extrapolation(row["extrapolation"]["factor"], None)
        if far is not None:
            # what is compared is a small difference: any distance limits it
            times = numbers.factor(row["extrapolation"]["factor"])
            text = f"The answer is an extrapolation: {times} the largest compute that both have "
            severity = "warning" if far.severity == "info" else far.severity
            notes.append(Note(far.code, severity, f"{text}runs of."))
        if ends_of(row, "difference") is None:
            text = "no interval: the fits carry no draws (bootstrap 0)"
            notes.append(Note("SC416", "warning", text))
        elif ends_of(row) is None:
            text = (
                f"The multiplier has no bound: within its error {one.name} never does as well. "
                "The difference of the losses tells the two apart, or does not."
            )
            notes.append(Note("SC433", "warning", text))
    notes += _unlike(one, two)
    parties = (one, two) if recipes.pairing["kind"] == "unpaired" else (one,)
    for party in parties:
        for check in party.fit.checks:
            if check.verdict == "fail":
                text = f"{party.name}, failed check {check.name}: {check.found}."
                notes.append(Note(check.code or "SC410", "error", text))
    return ranked(notes)


def _unlike(one: Party, two: Party) -> list[Note]:
    """Say what differs, or is not known, of what the losses are measured on."""
    same_table = one.fit.table.get("sha256") == two.fit.table.get("sha256")
    if not (one.study and two.study):
        if same_table:
            return []
        text = (
            f"The settings of {one.name} and {two.name} are not both known: that their validation "
            "data and tokenizers are the same is taken on trust."
        )
        return [Note("SC433", "warning", text)]
    keys = settings_of((one, two)).of_losses
    if not keys:
        return []
    shown = ", ".join(keys[:MOST_SETTINGS]) + (", …" if len(keys) > MOST_SETTINGS else "")
    text = (
        f"{one.name} and {two.name} differ in data or tokenizer ({shown}): losses on other data or "
        "per other tokens are not one measure."
    )
    return [Note("SC433", "warning", text)]


# ----------------------------------------------------------------------------------------- laws


def _laws_verdict(context: ComparisonContext, name: str) -> Verdict:
    """Return the verdict on the laws of the same runs."""
    rows = [row for row in context.comparison.laws if row["name"] == name]
    scored = [row for row in rows if row["backtest"]["rmse_log"] is not None]
    subject = f"laws of {name}" if len(context.parties) > 1 else "laws"
    names = _law_names(rows)
    if len(scored) < 2:
        text = f"{', '.join(names)} are not ranked: too few levels of compute to hold some out."
        return Verdict("not identified", subject, text, "")
    best, second = scored[0], scored[1]
    errors = [numbers.percent(r["backtest"]["rmse_log"]).lstrip("+") for r in (best, second)]
    told = second["backtest"]["rmse_log"] > CLOSE * best["backtest"]["rmse_log"]
    first, other = (names[rows.index(r)] for r in (best, second))
    if told:
        text = f"{first} predicts larger runs best: it misses them by {errors[0]}, {other} by "
        text += f"{errors[1]}."
    else:
        text = f"Not told apart: {first} misses larger runs by {errors[0]}, {other} by {errors[1]}."
    b = best["backtest"]
    sure = f"Root mean square over {len(b['origins'])} origins along {b['along']}, each law fitted "
    sure += "below and scored above."
    return Verdict("supported" if told else "weak", subject, text, sure)


def _law_names(rows: Sequence[Row]) -> list[str]:
    """Names of laws, with the objective where one law was fitted by several."""
    names = [str(row["law"]) for row in rows]
    return [
        f"{name} ({row['objective']})" if names.count(name) > 1 else name
        for name, row in zip(names, rows, strict=True)
    ]
