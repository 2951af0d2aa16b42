"""The answer: what to train, how sure, why not to trust it, and the table of predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scaling.errors import Message, ScalingError
from scaling.fitting.optima import Allocation
from scaling.fitting.result import Fit
from scaling.reporting import numbers
from scaling.reporting.context import Context, compute_of, level_of, note_of, ranked
from scaling.reporting.document import Block, Level, Note, Paragraph, Table, Verdict
from scaling.reporting.members import checked_note, factor_text, unchecked
from scaling.reporting.runs import Array, optimum, runs_of
from scaling.reporting.sections.doubts import doubts
from scaling.reporting.sections.facts import (
    allocation_facts,
    curve_facts,
    head,
    loss_text,
    repeats_of,
)
from scaling.reporting.sections.limits import cautions
from scaling.reporting.wording import cost_label, exponent_label, titled

LADDER = (1.0, 10.0, 100.0)
FAR = 100.0
TOO_FAR = 3000.0
CAUTIONS = 5  # that stand in the answer itself; the section on limits has all
Columns = dict[str, Array]


def ladder(largest: float, target: float | None) -> Array:
    """Return the values of C to predict at: 1, 10 and 100 times the largest, and the target."""
    values = {largest * step for step in LADDER}
    if target is not None and not any(np.isclose(target, v, rtol=1e-9) for v in values):
        values.add(float(target))
    return np.array(sorted(values))


def messages_about(context: Context, fit: Fit) -> tuple[Message, ...]:
    """Return the messages that bear on a fit: of its table, itself and its group's allocations."""
    found = [Message.from_dict(m) for m in context.fits.table.get("messages", [])]
    found += fit.messages
    for allocation in context.allocations_of(fit.group):
        found += allocation.messages
    return tuple(dict.fromkeys(found))


def reasons(context: Context, fit: Fit) -> tuple[Note, ...]:
    """Return what limits a fit: warnings, failed checks, missing intervals."""
    about = messages_about(context, fit)
    notes = [note_of(m) for m in about if m.severity != "info"]
    said = {m.code for m in about}
    if fit.interval is None and "SC416" not in said:
        notes.append(Note("SC416", "warning", "no intervals (bootstrap 0)"))
    for check in fit.checks:
        if check.verdict != "pass" and check.code not in said:
            severity: Any = "error" if check.verdict == "fail" else "warning"
            code = check.code or "check"
            notes.append(Note(code, severity, f"Check {check.name}: {check.found}."))
    return ranked(notes)


def extrapolation(
    factor: float, inside: Any, what: str = "compute", fit: Fit | None = None
) -> Note | None:
    """Return the note that labels a prediction outside the runs, or None inside.

    Of a `fit` of several weighted laws it says up to where their forecasts were checked.
    """
    beyond = []
    if factor > 1.0001:
        beyond.append(f"{numbers.factor(factor)} the largest {what} that was fitted")
    if inside is not None and not bool(inside):
        beyond.append("outside the hull of the runs in N and D")
    if not beyond:
        return None
    severity: Any = "error" if factor > TOO_FAR else "warning" if factor > FAR else "info"
    text = f"The answer is an extrapolation: {', '.join(beyond)}."
    if fit is not None and fit.evidence_factor is not None:
        text += f" Forecasts were checked up to {numbers.factor(fit.evidence_factor)}"
        if not unchecked(fit, factor):
            return Note("SC410", "info" if severity == "info" else "warning", f"{text}.")
        severity = "warning" if severity == "info" else severity
        text += "; this is further, where intervals grow by rule."
    elif severity != "info":
        text += " Intervals assume that the law still holds there."
    return Note("SC410", severity, text)


def _withheld(context: Context, fit: Fit) -> Verdict:
    why = {
        "not-identified": "the runs do not determine the parameters of the law",
        "max-iterations": "the solver did not converge",
        "failed": "the fit failed",
    }.get(fit.status, fit.status)
    return Verdict(
        "not identified",
        context.subject(fit),
        f"No answer: {why}. No allocation or prediction is given.",
        f"Status of the fit: {fit.status}. Parameters and predictions are withheld.",
        reasons(context, fit),
        checks=_counted(fit),
    )


def _counted(fit: Fit) -> tuple[int, ...]:
    """How many checks passed, warned and failed."""
    found = [check.verdict for check in fit.checks]
    return tuple(found.count(v) for v in ("pass", "warn", "fail")) if found else ()


def _judge(notes: Sequence[Note]) -> Level:
    return "weak" if any(note.severity != "info" for note in notes) else "supported"


def answer(context: Context, fit: Fit) -> tuple[Verdict, tuple[Block, ...]]:
    """Return the verdict on a fit and the blocks that stand under it."""
    if not fit.identified:
        text = "No prediction table: the fit is not identified, so its numbers would mislead."
        return _withheld(context, fit), (Paragraph(text),)
    if set(fit.law.variables) == {"N", "D"}:
        return _allocation_answer(context, fit)
    return _curve_answer(context, fit)


def _allocation_answer(context: Context, fit: Fit) -> tuple[Verdict, tuple[Block, ...]]:
    compute = compute_of(fit)
    table = None
    if len(compute):
        grid = ladder(float(compute.max()), context.target)
        table = optimum(fit, grid, level_of(fit))
    if table is None:
        text = f"The law {fit.law.name} gives no compute-optimal allocation, so none is predicted."
        notes = reasons(context, fit)
        verdict = Verdict(_judge(notes), context.subject(fit), text, _sure_fit(fit), notes)
        return verdict, (Paragraph(text),)
    at = _headline_row(table["C"], context.target, float(compute.max()))
    row = {name: values[at] for name, values in table.items()}
    label = extrapolation(float(row["factor"]), row["inside_hull"], fit=fit)
    found = [*reasons(context, fit), *doubts(context, fit, row), *([label] if label else [])]
    notes = ranked(found)
    serious = tuple(note for note in notes if note.severity != "info")
    verdict = Verdict(
        _judge(notes),
        context.subject(fit),
        _headline(context, fit, row),
        _sure(fit, row),
        serious,
        allocation_facts(context, fit, row),
        _counted(fit),
        tuple(cautions(context, fit, {note.code for note in notes})[:CAUTIONS]),
    )
    info = tuple(note for note in notes if note.severity == "info" and note.code == "SC410")
    return verdict, (prediction_table(context, fit, table), *info)


def _headline_row(compute: Array, target: float | None, largest: float) -> int:
    return int(np.argmin(np.abs(np.log(compute / (target or largest)))))


def _headline(context: Context, fit: Fit, row: dict[str, Any]) -> str:
    where = f"With {numbers.quantity(row['C'])} FLOP"
    apart = row["inside_hull"] is not None and not bool(row["inside_hull"])
    if context.target is None:
        also = "; outside the runs" if apart else ""
        where += f" (the largest compute measured; no target was given{also})"
    elif row["factor"] <= 1.0001 and apart:
        where += " (outside the runs)"
    elif row["factor"] > 1.0001:
        where += f" (extrapolated to {numbers.factor(row['factor'])} the largest run)"
    size = numbers.within(row["N"], row["N_lo"], row["N_hi"])
    data = numbers.within(row["D"], row["D_lo"], row["D_hi"])
    loss = loss_text(row["loss"], row["lo"], row["hi"])
    return (
        f"{where}, train {size} parameters on {data} {context.unit('D')}; "
        f"predicted {fit.response} {loss}{_suffix(context.unit(fit.response))}."
    )


def _suffix(unit: str) -> str:
    return f" {unit}" if unit else ""


def _sure(fit: Fit, row: dict[str, Any]) -> str:
    """Say what the intervals of the numbers are, and how N* grows."""
    if fit.interval is None or not np.isfinite(row["N_lo"]):
        return f"no intervals (bootstrap 0). {_exponent(fit)}".strip()
    drawn = "draws" if fit.members else "replicates"
    return f"Intervals: {fit.interval.kind}, {fit.interval.draws} {drawn}. {_exponent(fit)}"


def _sure_fit(fit: Fit) -> str:
    if fit.interval is None:
        return "no intervals (bootstrap 0)."
    return f"{fit.interval.level:.0%} intervals by {fit.interval.kind}."


def _exponent(fit: Fit) -> str:
    if "a" not in fit.params or "a" in fit.law.names:
        return ""
    label = exponent_label("a", fit.params["a"], fit.intervals.get("a"), fit.cost)
    if fit.cost.get("name") == "given" or fit.members:
        return f"Near the largest run N* grows as C to the power {label}."
    return f"N* grows as C to the power {label}."


def prediction_table(context: Context, fit: Fit, table: Columns) -> Table:
    """Return predictions along the ladder of compute, each with its interval."""
    rows = []
    for i, compute in enumerate(table["C"]):
        row = {name: values[i] for name, values in table.items()}
        is_target = context.target is not None and np.isclose(compute, context.target, rtol=1e-9)
        ratio_lo, ratio_hi = row["D_lo"] / row["N_hi"], row["D_hi"] / row["N_lo"]
        rows.append(
            (
                numbers.quantity(compute) + (" (target)" if is_target else ""),
                factor_text(fit, row["factor"]),
                _with_interval(row["N"], row["N_lo"], row["N_hi"]),
                _with_interval(row["D"], row["D_lo"], row["D_hi"]),
                _with_interval(row["D"] / row["N"], ratio_lo, ratio_hi),
                _with_interval(row["loss"], row["lo"], row["hi"], loss=True),
                _hull(row["inside_hull"]),
            )
        )
    intervals = f"{level_of(fit):.0%} intervals in brackets"
    if fit.interval is None:
        intervals = "no intervals (bootstrap 0)"
    convention = context.fits.table.get("convention") or "not stated"
    return Table(
        caption=titled("Compute-optimal training", context.subject(fit)),
        columns=(
            "C [FLOP]",
            "× largest run",
            f"N* [{context.unit('N')}]",
            f"D* [{context.unit('D')}]",
            "D*/N*",
            head(context, fit),
            "inside the runs",
        ),
        rows=tuple(rows),
        align=("right",) * 6 + ("left",),
        note=f"{cost_label(fit.cost)}; N counts: {convention}; {intervals}. Above 1×, rows are "
        f"extrapolations.{checked_note(fit)}",
    )


def _with_interval(x: Any, lo: Any, hi: Any, *, loss: bool = False) -> str:
    shown = loss_text(x, lo, hi) if loss else numbers.within(x, lo, hi)
    if not (numbers.finite(float(lo)) and numbers.finite(float(hi))):
        return shown
    return f"{shown} ({numbers.interval(lo, hi)})"


def _hull(inside: Any) -> str:
    if inside is None:
        return numbers.MISSING
    return "yes" if bool(inside) else "no"


def _curve_answer(context: Context, fit: Fit) -> tuple[Verdict, tuple[Block, ...]]:
    """Answer for a law of one variable: loss along it, and no allocation."""
    notes = list(reasons(context, fit))
    if len(fit.law.variables) != 1:
        text = (
            f"The law {fit.law.name} reads {', '.join(fit.law.variables)}: no table of one compute."
        )
        verdict = Verdict(_judge(notes), context.subject(fit), text, _sure_fit(fit), tuple(notes))
        return verdict, ()
    name = fit.law.variables[0]
    values = getattr(runs_of(fit), name, np.empty(0))
    values = values[np.isfinite(values)]
    if not len(values):
        text = f"The fit stores no values of {name}, so nothing is predicted."
        verdict = Verdict(_judge(notes), context.subject(fit), text, _sure_fit(fit), tuple(notes))
        return verdict, ()
    target = context.target if name == "C" else None
    grid = ladder(float(values.max()), target)
    try:
        frame = fit.predict(**{name: grid}, interval=level_of(fit))
    except ScalingError as problem:
        text = f"No prediction: {problem.faults[0].found}."
        verdict = Verdict("weak", context.subject(fit), text, _sure_fit(fit), tuple(notes))
        return verdict, ()
    table = {str(column): np.asarray(frame[column]) for column in frame.columns}
    at = _headline_row(grid, target, float(values.max()))
    row = {column: found[at] for column, found in table.items()}
    label = extrapolation(float(row["factor"]), None, name, fit)
    notes = list(ranked([*notes, *doubts(context, fit, row), *([label] if label else [])]))
    serious = tuple(note for note in notes if note.severity != "info")
    loss = loss_text(row["loss"], row["lo"], row["hi"])
    unit = context.unit(name)
    headline = (
        f"At {name} = {numbers.quantity(row[name])} {unit} the predicted {fit.response} is "
        f"{loss}{_suffix(context.unit(fit.response))}."
    )
    sure = _sure_fit(fit)
    if numbers.finite(float(row["lo"])):
        sure = f"{sure[:-1]}: {fit.response} {numbers.interval(row['lo'], row['hi'])}."
    verdict = Verdict(
        _judge(notes),
        context.subject(fit),
        headline,
        sure,
        serious,
        curve_facts(context, fit, row),
        _counted(fit),
        tuple(cautions(context, fit, {note.code for note in notes})[:CAUTIONS]),
    )
    rows = tuple(
        (
            numbers.quantity(grid[i]),
            factor_text(fit, table["factor"][i]),
            _with_interval(table["loss"][i], table["lo"][i], table["hi"][i], loss=True),
        )
        for i in range(len(grid))
    )
    block = Table(
        titled(f"Predicted {fit.response} along {name}", context.subject(fit)),
        (f"{name} [{unit}]", "× largest run", head(context, fit)),
        rows,
        ("right",) * 3,
        _curve_note(fit, name),
    )
    info = tuple(note for note in notes if note.severity == "info" and note.code == "SC410")
    return verdict, (block, *info)


def _curve_note(fit: Fit, name: str) -> str:
    text = f"The law reads {name} alone, so it says nothing about how to divide compute."
    text += checked_note(fit)
    if name == "D" and (told := repeats_of(fit)):
        text += f" D counts examples seen, repeats included; the largest run saw {told}."
    return text


def answer_without_surface(
    context: Context, allocation: Allocation
) -> tuple[Verdict, tuple[Block, ...]]:
    """Answer from minima alone: sizes without a predicted loss."""
    notes = [note_of(Message.from_dict(m)) for m in context.fits.table.get("messages", [])]
    notes += [note_of(m) for m in allocation.messages]
    serious = tuple(note for note in ranked(notes) if note.severity != "info")
    subject = context.group_name(allocation.group)
    why = "No law was fitted to the surface, so no loss is predicted and N*, D* carry no interval."
    budgets = [m.budget for m in allocation.minima]
    if allocation.a is None or not {"N", "D"} <= set(allocation.line) or not budgets:
        text = "No answer: no surface was fitted and no exponent was found."
        return Verdict("not identified", subject, text, why, serious), ()
    grid = ladder(max(budgets), context.target)
    sizes, data = (
        np.exp(allocation.line[k][0] + allocation.line[k][1] * np.log(grid)) for k in ("N", "D")
    )
    at = _headline_row(grid, context.target, max(budgets))
    headline = (
        f"With {numbers.quantity(grid[at])} FLOP, train about {numbers.quantity(sizes[at], 2)} "
        f"parameters on {numbers.quantity(data[at], 2)} {context.unit('D')} (approach "
        f"{allocation.approach})."
    )
    interval = (allocation.interval or {}).get("a")
    exponent = exponent_label("a", allocation.a, interval, allocation.cost)
    label = extrapolation(float(grid[at]) / max(budgets), None)
    if label is not None and label.severity != "info":
        serious = ranked([*serious, label])
    verdict = Verdict("weak", subject, headline, f"{why} {exponent}.", serious)
    rows = tuple(
        (
            numbers.quantity(c),
            numbers.factor(c / max(budgets)),
            numbers.quantity(n, 2),
            numbers.quantity(d, 2),
            numbers.quantity(d / n, 2),
        )
        for c, n, d in zip(grid, sizes, data, strict=True)
    )
    block = Table(
        titled(f"Compute-optimal training by {allocation.approach}", subject),
        ("C [FLOP]", "× largest budget", "N*", "D*", "D*/N*"),
        rows,
        ("right",) * 5,
        f"{cost_label(allocation.cost)}. {why}",
    )
    info = (label,) if label is not None and label.severity == "info" else ()
    return verdict, (block, *info)


def answers(context: Context) -> tuple[list[Verdict], list[Block]]:
    """Return one verdict for each fit, or for each group without one, and what stands under it."""
    verdicts: list[Verdict] = []
    blocks: list[Block] = []

    def add(verdict: Verdict, under: tuple[Block, ...]) -> None:
        verdicts.append(verdict)
        blocks.extend(under)

    for fit in context.fits.fits:
        add(*answer(context, fit))
    for group in context.groups:
        if not context.fits_of(group) and (found := context.allocations_of(group)):
            named = next((a for a in found if a.a is not None), found[0])
            add(*answer_without_surface(context, named))
    if not verdicts and not context.fits.effective:
        about = [Message.from_dict(m) for m in context.fits.table.get("messages", [])]
        notes = tuple(note_of(m) for m in about if m.severity != "info")
        text = "No answer: nothing was fitted."
        verdicts.append(Verdict("not identified", "", text, "", notes))
        blocks.append(Paragraph(text))
    return verdicts, blocks
