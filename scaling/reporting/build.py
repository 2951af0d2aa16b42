"""Fits to document: what the report says, in the order in which a reviewer asks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from scaling.errors import ConfigError, Fault
from scaling.fitting.result import Fits
from scaling.reporting.context import Context, without_paths
from scaling.reporting.document import Document, Section
from scaling.reporting.sections.answer import answers
from scaling.reporting.sections.checklist import checklist_sections
from scaling.reporting.sections.checks import checks_sections
from scaling.reporting.sections.cost import cost_sections
from scaling.reporting.sections.data import data_sections
from scaling.reporting.sections.effective import effective_sections, effective_verdicts
from scaling.reporting.sections.figures import figures_sections
from scaling.reporting.sections.laws import laws_sections
from scaling.reporting.sections.limits import limits_sections
from scaling.reporting.sections.method import method_sections
from scaling.reporting.sections.parameters import parameters_sections
from scaling.reporting.sections.predictions import decades_blocks
from scaling.reporting.sections.printed import printed_sections
from scaling.reporting.sections.recipes import recipes_sections
from scaling.reporting.sections.reproducibility import reproducibility_sections
from scaling.reporting.sections.sensitivity import sensitivity_sections
from scaling.reporting.sections.tuning import tuning_sections

DEFAULT_TITLE = "Scaling-law report"
# What follows the answer, in order.
SECTIONS: Mapping[str, Callable[[Context], list[Section]]] = {
    "checks": checks_sections,
    "data": data_sections,
    "figures": figures_sections,
    "effective": effective_sections,
    "laws": laws_sections,
    "recipes": recipes_sections,
    "parameters": parameters_sections,
    "printed": printed_sections,
    "sensitivity": sensitivity_sections,
    "tuning": tuning_sections,
    "cost": cost_sections,
    "method": method_sections,
    "limits": limits_sections,
    "reproducibility": reproducibility_sections,
    "checklist": checklist_sections,
}


def build(
    fits: Fits,
    *,
    title: str | None = None,
    target_flops: float | None = None,
    question: str | None = None,
    study: Mapping[str, Any] | None = None,
    command: str | None = None,
    theme: str = "paper",
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
    theme : str
        How figures look; see `scaling.reporting.figures.style`.

    Raises
    ------
    ConfigError
        SC101 if the fits were saved without their rows.
    """
    if any("used" not in fit.rows for fit in fits.fits):
        expected = "a whole fit, with its rows"
        mend = "scaling fit RESULTS.csv -o FILE, or --json --full"
        raise ConfigError(Fault("SC101", "fit", "carries no rows to draw", expected, mend))
    context = Context(fits, target_flops, without_paths(study or {}), without_paths(command), theme)
    verdicts, predictions = answers(context)
    verdicts += effective_verdicts(fits.effective)
    body = [Section("Prediction", (*predictions, *decades_blocks(context)))]
    for section in SECTIONS.values():
        body += section(context)
    file = without_paths(fits.table.get("file")) or "a table in memory"
    version = fits.provenance.get("versions", {}).get("scaling-study", "")
    return Document(
        title=title or DEFAULT_TITLE,
        subtitle=f"{fits.table.get('used')} of {fits.table.get('rows')} runs from {file}",
        question=question or "",
        verdicts=tuple(verdicts),
        sections=keyed(body),
        footer=f"scaling-study {version}".strip(),
    )


def keyed(sections: Sequence[Section]) -> tuple[Section, ...]:
    """Leave out sections that say nothing, and give each of the others a key of its own."""
    out: list[Section] = []
    seen: dict[str, int] = {}
    for k, section in enumerate(sections):
        following = sections[k + 1 :]
        stands = next((s.level for s in following if s.blocks or s.level == 1), 1) == 2
        if not section.blocks and not (section.level == 1 and stands):
            continue
        slug = re.sub(r"[^a-z0-9]+", "-", section.heading.lower()).strip("-")[:40] or "section"
        seen[slug] = seen.get(slug, 0) + 1
        key = slug if seen[slug] == 1 else f"{slug}-{seen[slug]}"
        out.append(replace(section, key=section.key or key))
    return tuple(out)
