"""The laws that were fitted: formula, parameters with intervals, and published values."""

from __future__ import annotations

from typing import Any

from scaling.fitting.result import Fit
from scaling.reporting import numbers
from scaling.reporting.context import Context
from scaling.reporting.document import Align, Block, Note, Paragraph, Section, Table
from scaling.reporting.mathematics import of_law
from scaling.reporting.wording import cost_label, titled


def parameters_sections(context: Context) -> list[Section]:
    """Return a section for each fit."""
    return [section for fit in context.fits.fits for section in _fit(fit, context.subject(fit))]


def _fit(fit: Fit, name: str) -> list[Section]:
    """Give the law, its parameters with intervals, and beside them what was published."""
    objective = f"{fit.objective.name}"
    if fit.objective.delta is not None:
        objective += f", delta {fit.objective.delta:g}"
    unit = "logs of the loss" if fit.objective.name.startswith("log") else "the loss itself"
    value = numbers.quantity(fit.objective.value, 7)
    text = (
        f"{fit.law.title or fit.law.name}, {fit.law.reference}. Objective: {objective}, residuals "
        f"in {unit}, {fit.objective.reduction} {value}. "
        f"Status: {fit.status}. "
    )
    c = fit.certificate
    if c:
        text += (
            f"{c['agreement']:.0%} of {c['starts']} starts reached this objective; predicted "
            f"relative decrease left {c['decrement']:.0e}."
        )
    blocks: list[Block] = [of_law(fit.law), Paragraph(text)]
    if not fit.identified:
        blocks.append(Note("SC405", "error", "Parameters are not quoted: they are not identified."))
        return [Section(titled("Fit", name), tuple(blocks))]
    blocks.append(_parameters(fit))
    if fit.law.published:
        blocks.append(_literature(fit))
    if fit.holdout is not None:
        h = fit.holdout
        cover = "" if h.coverage is None else f", {h.coverage:.0%} inside the interval of the mean"
        text = (
            f"Hold-out {h.where}: {h.n} runs, up to {numbers.factor(h.factor)} the largest fitted "
            f"compute; RMSE {numbers.percent(h.rmse_log)}, bias {numbers.percent(h.bias_log)}"
        )
        blocks.append(Paragraph(f"{text}{cover}."))
    return [Section(titled("Fit", name), tuple(blocks))]


def _parameters(fit: Fit) -> Table:
    rows = []
    for name, value in fit.params.items():
        se = fit.interval.se.get(name) if fit.interval else None
        shown = numbers.estimate(value, se) if se else numbers.quantity(value, 4)
        bounds = fit.intervals.get(name)
        rows.append(
            (
                name,
                shown,
                numbers.error(se) if se else numbers.MISSING,
                numbers.interval(*bounds) if bounds else numbers.MISSING,
                numbers.exact(value),
                _meaning(fit, name),
            )
        )
    i = fit.interval
    note = "No intervals (bootstrap 0)."
    if i is not None:
        note = (
            f"{i.level:.0%} intervals: {i.kind}; {i.draws} replicates, {i.failed} failed; "
            f"{i.clusters} clusters ({i.cluster})."
        )
    columns = ("name", "estimate", "SE", "interval", "full precision", "meaning")
    align: tuple[Align, ...] = ("left", "right", "right", "right", "left", "left")
    return Table("Parameters", columns, tuple(rows), align, note=note)


def _meaning(fit: Fit, name: str) -> str:
    if name in fit.law.names:
        return fit.law.parameter(name).meaning
    if name == "a":
        return f"N* ∝ C^a, {cost_label(fit.cost)}"
    return f"D* ∝ C^b, {cost_label(fit.cost)}"


def _literature(fit: Fit) -> Table:
    names = [n for n in ("E", "alpha", "beta", "a") if n in fit.params]
    own = [numbers.quantity(fit.params[n], 4) for n in names]
    kind = fit.interval.kind if fit.interval else "none"
    rows = [("this fit", *own, kind, str(fit.table.get("convention", "")))]
    for item in fit.law.published:
        values: dict[str, Any] = dict(item.params)
        if fit.law.frontier is not None:
            values["a"] = fit.law.frontier.exponents(item.params)[0]
        rows.append(
            (
                item.source,
                *(numbers.quantity(values.get(n), 4) for n in names),
                item.interval,
                item.convention,
            )
        )
    right: list[Align] = ["right"] * len(names)
    return Table(
        "Beside published values",
        ("source", *names, "intervals", "convention"),
        tuple(rows),
        ("left", *right, "left", "left"),
        note="Losses of other tokenizers and data are not comparable; exponents are, with "
        "care for the convention.",
    )
