"""Comparison to document: recipes, studies or laws side by side, in the order a reviewer asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from scaling.errors import ConfigError, Fault
from scaling.fitting.comparison import Comparison
from scaling.fitting.result import Fits
from scaling.reporting.build import keyed
from scaling.reporting.document import Block, Document, Paragraph, Section
from scaling.reporting.parties import ComparisonContext, context_of
from scaling.reporting.sections.laws import laws_table
from scaling.reporting.sections.parties import (
    exponents_sections,
    parties_sections,
    provenance_sections,
    settings_sections,
    warnings_sections,
)
from scaling.reporting.sections.recipes import (
    offsets_sections,
    pairing_sections,
    recipe_figures,
    scale_sections,
)
from scaling.reporting.sections.versus import versus_verdicts

MOST_NAMES = 3


def build_comparison(
    comparison: Comparison,
    fits_by_name: Mapping[str, Fits] | None = None,
    *,
    title: str | None = None,
    question: str | None = None,
    target_flops: float | None = None,
    studies: Mapping[str, Mapping[str, Any]] | None = None,
    command: str | None = None,
    theme: str = "paper",
) -> Document:
    """Lay out a comparison.

    Parameters
    ----------
    comparison : Comparison
        As `scaling.fitting.comparison.compare_fits` gives it; nothing is fitted or compared again.
    fits_by_name : mapping of str to Fits, optional
        For each name in the comparison, everything that is known of its runs; see
        `scaling.fitting.parties.parted`. What the comparison itself holds, if None.
    title, question : str, optional
    target_flops : float, optional
        Compute that the question is about [FLOP]; compared at, if the comparison was asked to.
    studies : mapping of str to mapping, optional
        The study file of each name, where it is known.
    command : str, optional
        What the user typed; absolute paths in it are cut to their last part.
    theme : str
        How figures look; see `scaling.reporting.figures.style`.

    Raises
    ------
    ConfigError
        SC004 if nothing was compared with anything.
    """
    if not comparison.sides or not (comparison.recipes or comparison.laws):
        expected = "two laws, two groups or two files"
        raise ConfigError(Fault("SC004", "compare", "one fit, compared with nothing", expected))
    context = context_of(
        comparison, fits_by_name, target=target_flops, studies=studies, command=command
    )
    context = replace(context, theme=theme)
    body = [
        *parties_sections(context),
        *_settings(context),
        *_figures(context),
        *offsets_sections(context),
        *scale_sections(context),
        *_laws(context),
        *exponents_sections(context),
        *warnings_sections(context),
        *_method(context),
        *provenance_sections(context),
    ]
    names = [party.name for party in context.parties]
    versions = (party.part.provenance.get("versions", {}) for party in context.parties)
    found = sorted({str(v.get("scaling-study", "")) for v in versions} - {""})
    return Document(
        title=title or "Comparison of " + _listed(names),
        subtitle=_subtitle(context),
        question=question or "",
        verdicts=tuple(versus_verdicts(context)),
        sections=keyed(body),
        footer=f"scaling-study {', '.join(found)}".strip(),
    )


def _listed(names: list[str]) -> str:
    if len(names) == 1:
        return f"laws on {names[0]}"
    if len(names) > MOST_NAMES:
        return f"{names[0]} and {len(names) - 1} others"
    return " and ".join([", ".join(names[:-1]), names[-1]])


def _subtitle(context: ComparisonContext) -> str:
    runs = sum(party.fit.n for party in context.parties)
    if len(context.parties) == 1:
        return f"{len(context.parties[0].part.fits)} laws on the same {runs} runs"
    first = context.parties[0].name
    return f"{runs} runs of {len(context.parties)} recipes; {first} is the reference"


def _settings(context: ComparisonContext) -> list[Section]:
    if len(context.parties) < 2:
        return []
    return [*pairing_sections(context), *settings_sections(context)]


def _figures(context: ComparisonContext) -> list[Section]:
    found = recipe_figures(context)
    return [Section("Figures", ()), *found] if found else []


def _laws(context: ComparisonContext) -> list[Section]:
    """Give the laws that were fitted to the same runs, by their error on runs held out."""
    rows = context.comparison.laws
    if not rows:
        return []
    return [Section("Laws", (laws_table(rows, [str(row["name"]) for row in rows]),))]


def _method(context: ComparisonContext) -> list[Section]:
    """Say in words how things were compared."""
    kinds = {recipes.pairing["kind"] for recipes in context.comparison.recipes}
    blocks: list[Block] = []
    if kinds - {"none"}:
        blocks.append(
            Paragraph(
                "The multiplier m(C) says that a recipe at C does as well as the reference at "
                "m(C) C: it is read along the reference's law, at the best sizes of each."
            )
        )
    if "paired" in kinds:
        blocks.append(
            Paragraph(
                "Runs of two recipes are paired where they share N and D, within 2% (and the "
                "seed, where both name it); repeats of a cell are averaged. What a pair shares "
                "cancels in its difference. ln m is a line in ln C, fitted to the differences of "
                "ln loss by least squares; its covariance is the sandwich with leverage "
                "(MacKinnon and White 1985), plus the spread over the draws of the reference's "
                "law. Its level at the middle of the grid is the offset, its slope the exponent; "
                "both have t intervals. Where the line meets 0 recipes cross; the interval is "
                "Fieller's (1954), and has no end where the slope is not told from 0."
            )
        )
    if "unpaired" in kinds:
        blocks.append(
            Paragraph(
                "Without six pairs the lowest losses of two surfaces are compared at equal "
                "compute; the intervals are percentiles over independent draws of both, and hold "
                "only as far as both laws do."
            )
        )
    if context.comparison.laws:
        blocks.append(
            Paragraph(
                "Laws on the same runs are ranked by their error beyond rolling origins (Tashman "
                "2000); AICc (Hurvich and Tsai 1989) and BIC (Schwarz 1978) are given for least "
                "squares only."
            )
        )
    return [Section("Method", tuple(blocks))]
