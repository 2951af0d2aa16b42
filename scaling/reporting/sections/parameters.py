"""The laws that were fitted: formula, parameters with intervals, how they move together."""

from __future__ import annotations

import numpy as np

from scaling.errors import counted
from scaling.fitting.result import Fit
from scaling.reporting import numbers
from scaling.reporting.context import Context
from scaling.reporting.document import Align, Block, Note, Paragraph, Section, Table
from scaling.reporting.mathematics import of_law
from scaling.reporting.runs import Array
from scaling.reporting.sections.literature import literature_sections
from scaling.reporting.sections.members import member_blocks
from scaling.reporting.wording import cost_label, titled

STRONG = 0.9  # correlation above which a pair is told apart poorly


def parameters_sections(context: Context) -> list[Section]:
    """Return a section for each fit, then one that sets their exponents beside published ones."""
    fits = context.fits.fits
    own = [section for fit in fits for section in _fit(context, fit, context.subject(fit))]
    return [*own, *literature_sections(context)]


def _fit(context: Context, fit: Fit, name: str) -> list[Section]:
    """Give the law, its parameters with intervals, and how these move together."""
    if fit.members:
        return [Section(titled("Fit", name), tuple(_weighted(context, fit)))]
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
    blocks.append(_parameters(fit, context.unit(fit.response)))
    blocks += [*_together(fit), *_held_out(fit)]
    return [Section(titled("Fit", name), tuple(blocks))]


def _weighted(context: Context, fit: Fit) -> list[Block]:
    """Give the laws of a fit of several, and a and b where there is an allocation."""
    status = f"Status: {fit.status}; ln evidence of the likeliest law "
    status += f"{numbers.quantity(-fit.objective.value, 4)}."
    blocks = [*member_blocks(context, fit), Paragraph(f"{status} {_intervals_of(fit)}")]
    if fit.params:
        blocks.append(_parameters(fit, context.unit(fit.response)))
    return [*blocks, *_held_out(fit)]


def _held_out(fit: Fit) -> list[Block]:
    h = fit.holdout
    if h is None:
        return []
    cover = "" if h.coverage is None else f", {h.coverage:.0%} inside the interval of the mean"
    text = (
        f"Hold-out {h.where}: {counted(h.n, 'run')}, up to {numbers.factor(h.factor)} the largest "
        f"fitted compute; RMSE {numbers.percent(h.rmse_log)}, bias {numbers.percent(h.bias_log)}"
    )
    return [Paragraph(f"{text}{cover}.")]


def _parameters(fit: Fit, unit: str) -> Table:
    rows = []
    held = set(fit.certificate.get("at_bound", ()))
    in_logs = False
    for name, value in fit.params.items():
        shown, error = _estimate(fit, name)
        in_logs = in_logs or error.startswith("ln")
        bounds = fit.intervals.get(name)
        if name in held:
            shown = f"{numbers.quantity(value, 4) if value else '0'} (at its bound)"
            bounds = bounds if bounds and bounds[0] < bounds[1] else None
        rows.append(
            (
                name,
                shown,
                error,
                numbers.interval(*bounds) if bounds else numbers.MISSING,
                numbers.exact(value),
                _meaning(fit, name, unit),
            )
        )
    note = _intervals_of(fit)
    if in_logs:
        note += " Coefficients spread over powers of ten: their SE is that of the logarithm."
    columns = ("name", "estimate", "SE", "interval", "full precision", "meaning")
    align: tuple[Align, ...] = ("left", "right", "right", "right", "left", "left")
    return Table("Parameters", columns, tuple(rows), align, note=note)


def _intervals_of(fit: Fit) -> str:
    """Say how the intervals were made."""
    i = fit.interval
    if i is None:
        return "No intervals (bootstrap 0)."
    if fit.members:
        return f"{i.level:.0%} intervals: {i.kind}; {i.draws} draws."
    return (
        f"{i.level:.0%} intervals: {i.kind}; {i.draws} replicates, {i.failed} failed; "
        f"{i.clusters} clusters ({i.cluster})."
    )


def _estimate(fit: Fit, name: str) -> tuple[str, str]:
    """Return an estimate to the digits that its error supports, and that error.

    The draws of a parameter that is refined in logs have a tail that makes the SD of the parameter
    itself meaningless; its error is that of the logarithm.
    """
    value = fit.params[name]
    draws = np.asarray(fit.draws.get(name, ()), dtype=np.float64)
    logs = name in fit.law.names and fit.law.parameter(name).in_log
    if fit.interval is None or not (logs and len(draws) > 1 and bool((draws > 0).all())):
        se = fit.interval.se.get(name) if fit.interval else None
        shown = numbers.estimate(value, se) if se else numbers.quantity(value, 4)
        return shown, numbers.error(se) if se else numbers.MISSING
    spread = fit.interval.factor * float(np.log(draws).std(ddof=1))
    if not spread > 0.0:
        return numbers.quantity(value, 4), numbers.MISSING
    return numbers.estimate(value, value * spread), f"ln {name} ± {numbers.error(spread)}"


def _meaning(fit: Fit, name: str, unit: str) -> str:
    if name in fit.law.names:
        text = fit.law.parameter(name).meaning
        if not unit:
            return text
        text = text.replace("1/unit of the loss", f"1/({unit})")
        return text.replace("unit of the loss", unit)
    size, power = ("N*", "C^a") if name == "a" else ("D*", "C^b")
    if fit.members:
        return f"slope of ln {size} on ln C at the largest compute, {cost_label(fit.cost)}"
    return f"{size} ∝ {power}, {cost_label(fit.cost)}"


def _together(fit: Fit) -> list[Block]:
    """Say how the parameters move together over the draws, in words and as a table."""
    found = correlations(fit)
    if found is None:
        return []
    names, spread, matrix = found
    off = np.abs(np.tril(matrix, -1))
    i, j = (int(k) for k in np.unravel_index(int(off.argmax()), off.shape))
    r = float(matrix[i, j])
    how = "together" if r > 0 else "against each other"
    text = (
        f"Over the {fit.interval.draws if fit.interval else len(next(iter(fit.draws.values())))} "
        f"replicates {names[j]} and {names[i]} move {how} most (correlation "
        f"{numbers.signed(r, 3)})"
    )
    text += (
        ": each alone is known less well than what they say jointly."
        if abs(r) >= STRONG
        else ": no pair is strongly tied."
    )
    rows = tuple(
        (
            name,
            numbers.error(spread[k]),
            *(numbers.signed(float(v), 2) for v in matrix[k, : k + 1]),
            *[""] * (len(names) - k - 1),
        )
        for k, name in enumerate(names)
    )
    right: list[Align] = ["right"] * (len(names) + 1)
    table = Table(
        "Correlation of the parameters",
        ("name", "SD", *names),
        rows,
        ("left", *right),
        note="Over the draws, before any small-sample factor; coefficients in logs. The covariance "
        "of the parameters themselves stands in fit.json.",
        long=True,
    )
    return [Paragraph(text), table]


def correlations(fit: Fit) -> tuple[list[str], Array, Array] | None:
    """Return names, SD and correlation of the draws; None with fewer than two that vary.

    Parameters that the solver refines in logs are taken in logs: their own draws are far from
    normal.
    """
    names, columns = [], []
    for p in fit.law.parameters:
        draws = np.asarray(fit.draws.get(p.name, ()), dtype=np.float64)
        logs = (p.log or p.role == "scale") and bool((draws > 0).all())
        values = np.log(draws) if logs else draws
        if len(values) > 2 and np.isfinite(values).all() and np.ptp(values) > 0:
            names.append(f"ln {p.name}" if logs else p.name)
            columns.append(values)
    if len(names) < 2:
        return None
    drawn = np.array(columns)
    return names, drawn.std(axis=1, ddof=1), np.corrcoef(drawn)
