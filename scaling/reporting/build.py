"""Fits to document: what the report says, in the order in which a reviewer asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scaling.fitting.result import Allocation, Fit, Fits
from scaling.reporting import numbers, sections
from scaling.reporting.document import Block, Document, Note, Paragraph, Section, Table, Verdict

LADDER = (1.0, 10.0, 100.0)
WEAK_FACTOR = 100.0
DEFAULT_TITLE = "Scaling-law report"


def build(
    fits: Fits,
    *,
    title: str | None = None,
    target_flops: float | None = None,
    question: str | None = None,
    study: Mapping[str, Any] | None = None,
    command: str | None = None,
) -> Document:
    """Lay out a report.

    Parameters
    ----------
    fits : Fits
        Content of ``fit.json``; nothing is fitted again.
    title, question : str, optional
    target_flops : float, optional
        Compute that the question is about [FLOP, in the meaning of C that each fit names].
    study : mapping, optional
        The study file, for the method.
    command : str, optional
        What the user typed.
    """
    verdicts = tuple(_verdict(fit, target_flops, len(fits) > 1) for fit in fits.fits)
    if not verdicts:
        verdicts = (_without_fit(fits),)
    body: list[Section] = [Section("Prediction", tuple(_predictions(fits, target_flops)))]
    body.append(sections.data_section(fits))
    for fit in fits.fits:
        body += sections.fit_sections(fit, _name(fit, len(fits) > 1))
    for group in dict.fromkeys(a.group for a in fits.allocations):
        fit = next((f for f in fits.fits if f.group == group), None)
        found = [a for a in fits.allocations if a.group == group]
        body += sections.allocation_sections(fit, found, target_flops)
    for fit in fits.fits:
        body += sections.evidence_sections(fit, _name(fit, len(fits) > 1), target_flops)
    body.append(sections.notes_section(fits))
    body.append(sections.method_section(fits, study))
    body.append(sections.provenance_section(fits, command))
    file = fits.table.get("file") or "a table in memory"
    used, rows = fits.table.get("used"), fits.table.get("rows")
    return Document(
        title=title or DEFAULT_TITLE,
        subtitle=f"{used} of {rows} runs from {file}",
        question=question or "",
        verdicts=verdicts,
        sections=tuple(section for section in body if section.blocks),
        footer=f"scaling-study {fits.provenance.get('versions', {}).get('scaling-study', '')}".strip(),
    )


def _name(fit: Fit, several: bool) -> str:
    if not several:
        return ""
    return f"{fit.group}, {fit.law.name}" if fit.group else fit.law.name


def _notes(fit: Fit) -> tuple[Note, ...]:
    grave = {"error": 0, "warning": 1, "info": 2}
    found = sorted(fit.messages, key=lambda m: grave[m.severity])
    return tuple(Note(m.code, m.severity, m.text) for m in found if m.severity != "info")


def _verdict(fit: Fit, target: float | None, several: bool) -> Verdict:
    notes = _notes(fit)
    subject = _name(fit, several)
    if not fit.identified:
        return Verdict("not identified", subject, "No answer: these runs do not determine the law.",
                       "No number is quoted, because none would be supported.", notes)  # fmt: skip
    compute = target or _largest(fit)
    if fit.law.frontier is None:
        values = ", ".join(f"{k} = {numbers.quantity(v, 4)}" for k, v in fit.params.items())
        level = "weak" if any(n.severity == "warning" for n in notes) else "supported"
        return Verdict(level, subject, f"{fit.law.formula}: {values}.",  # type: ignore[arg-type]
                       "This law has no compute-optimal allocation.", notes)  # fmt: skip
    row = fit.optimal(C=compute, interval=_level(fit)).iloc[0]
    headline = (
        f"At {numbers.quantity(compute)} FLOP train N = {numbers.quantity(row['N'])} parameters on "
        f"D = {numbers.quantity(row['D'])} tokens; expect a loss of {numbers.quantity(row['loss'], 4)}."
    )
    if fit.interval is None:
        sure = "No intervals (bootstrap 0)."
    else:
        sure = (
            f"{_level(fit):.0%} intervals of the fitted curve: N "
            f"{numbers.interval(row['N_lo'], row['N_hi'])}, D "
            f"{numbers.interval(row['D_lo'], row['D_hi'])}, loss "
            f"{numbers.interval(row['lo'], row['hi'])}."
        )
    sure += f" C = {fit.cost['formula']}."
    if row["factor"] > 1 or not row["inside_hull"]:
        text = f"This is {numbers.factor(row['factor'])} the largest fitted compute"
        text += "." if row["inside_hull"] else ", outside the hull of the runs in (ln N, ln D)."
        notes = (*notes, Note("SC410", "warning", text))
    weak = any(n.severity == "warning" and n.code != "SC410" for n in notes)
    weak = weak or fit.interval is None or row["factor"] > WEAK_FACTOR
    return Verdict("weak" if weak else "supported", subject, headline, sure, notes)


def _without_fit(fits: Fits) -> Verdict:
    allocation = next((a for a in fits.allocations if a.a is not None), None)
    notes = tuple(Note(m.code, m.severity, m.text) for m in fits.messages if m.severity != "info")
    if allocation is None:
        return Verdict("not identified", "", "No answer: no approach gives an exponent.", "", notes)
    text = f"By {allocation.approach}: N* grows as C^{numbers.quantity(allocation.a)}."
    return Verdict("weak", "", text, f"C: {allocation.cost['formula']}.", notes)


def _level(fit: Fit) -> float:
    return fit.interval.level if fit.interval else 0.95


def _largest(fit: Fit) -> float:
    fitted = fit.fitted
    return float((6.0 * fitted["N"] * fitted["D"]).max()) if {"N", "D"} <= set(fitted) else 1.0


def _predictions(fits: Fits, target: float | None) -> list[Block]:
    blocks: list[Block] = []
    for fit in fits.fits:
        name = _name(fit, len(fits) > 1)
        if not fit.identified:
            blocks.append(Paragraph(f"{name or fit.law.name}: not identified, so no prediction."))
        elif fit.law.frontier is not None:
            blocks.append(_prediction_table(fit, name, target))
    surfaces: list[Allocation] = [a for a in fits.allocations if a.approach != "surface"]
    if not blocks and surfaces:
        blocks.append(Paragraph("No surface was fitted: see the allocation below."))
    return blocks


def _prediction_table(fit: Fit, name: str, target: float | None) -> Table:
    largest = _largest(fit)
    computes = sorted({largest * k for k in LADDER} | ({target} if target else set()))
    frame = fit.optimal(C=computes, interval=_level(fit))
    rows = []
    for _, r in frame.iterrows():
        where = "inside" if r["inside_hull"] else "outside"
        mark = " (target)" if target and r["C"] == target else ""
        rows.append((
            numbers.quantity(r["C"]) + mark, _with(r["N"], r["N_lo"], r["N_hi"]),
            _with(r["D"], r["D_lo"], r["D_hi"]), numbers.quantity(r["D"] / r["N"]),
            _with(r["loss"], r["lo"], r["hi"], 4), numbers.factor(r["factor"]), where,
        ))  # fmt: skip
    kind = fit.interval.kind if fit.interval else "no intervals (bootstrap 0)"
    return Table(
        caption=f"Compute-optimal runs{' for ' + name if name else ''}, C = {fit.cost['formula']}",
        columns=("C [FLOP]", "N*", "D*", "D/N", "loss", "extrapolation", "hull of runs"),
        rows=tuple(rows),
        align=("left", "right", "right", "right", "right", "right", "left"),
        note=f"In brackets {_level(fit):.0%} intervals of the mean curve ({kind}); extrapolation is "
        "compute over that of the largest fitted run.",
    )  # fmt: skip


def _with(value: Any, lo: Any, hi: Any, digits: int = 3) -> str:
    text = numbers.quantity(value, digits)
    return f"{text} [{numbers.interval(lo, hi)}]" if numbers.finite(lo) else text
