"""Fits to document: what the report says, in the order in which a reviewer asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scaling.errors import ConfigError, Fault, Message
from scaling.fitting.result import Fits
from scaling.reporting import decisions, sections
from scaling.reporting.answer import answer, answer_without_surface
from scaling.reporting.context import Context, note_of, without_paths
from scaling.reporting.costs import costs_sections
from scaling.reporting.document import Block, Document, Paragraph, Section, Verdict
from scaling.reporting.effective import effective_sections, effective_verdicts
from scaling.reporting.rate import rate_sections

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
        What the user typed; absolute paths in it are cut to their last part.

    Raises
    ------
    ConfigError
        SC101 if the fits were saved without their rows.
    """
    if any("used" not in fit.rows for fit in fits.fits):
        expected = "a whole fit, with its rows"
        mend = "scaling fit RESULTS.csv -o FILE, or --json --full"
        raise ConfigError(Fault("SC101", "fit", "carries no rows to draw", expected, mend))
    context = Context(fits, target_flops, without_paths(study or {}), without_paths(command))
    verdicts, predictions = _answers(context)
    verdicts += effective_verdicts(fits.effective)
    body: list[Section] = [Section("Prediction", tuple(predictions))]
    body += rate_sections(fits.provenance.get("tuned"))
    body += effective_sections(fits.effective)
    body.append(sections.data_section(context))
    for fit in fits.fits:
        body += sections.fit_sections(fit, context.subject(fit))
    for group in context.groups:
        if found := context.allocations_of(group):
            surface = context.surface_of(group)
            body += decisions.allocation_sections(surface, found, context)
    for fit in fits.fits:
        body += decisions.sensitivity_section(fit, context.subject(fit))
    for fit in fits.fits:
        body += sections.evidence_sections(fit, context)
    body += costs_sections(fits.provenance.get("costs") or [])
    body.append(sections.notes_section(fits))
    body.append(sections.method_section(context))
    body.append(sections.provenance_section(context))
    file = without_paths(fits.table.get("file")) or "a table in memory"
    version = fits.provenance.get("versions", {}).get("scaling-study", "")
    return Document(
        title=title or DEFAULT_TITLE,
        subtitle=f"{fits.table.get('used')} of {fits.table.get('rows')} runs from {file}",
        question=question or "",
        verdicts=tuple(verdicts),
        sections=tuple(section for section in body if section.blocks),
        footer=f"scaling-study {version}".strip(),
    )


def _answers(context: Context) -> tuple[list[Verdict], list[Block]]:
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
