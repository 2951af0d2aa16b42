"""The figures of a report, each with the tables that belong to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scaling.fitting.result import Fit
from scaling.reporting.context import Context
from scaling.reporting.document import Block, Figure, Paragraph, Section
from scaling.reporting.figures.kind import Kind, Subject
from scaling.reporting.figures.kinds import KINDS
from scaling.reporting.figures.render import renderer
from scaling.reporting.runs import MOST_DRAWN
from scaling.reporting.sections.allocation import exponent_tables, minima_tables
from scaling.reporting.wording import titled

MOST_FIGURES = 40
# Kinds that stand in a section of their own.
ELSEWHERE = frozenset({"effective", "laws", "literature", "sensitivity", "frontiers", "multiplier"})
# Kinds that draw every run, as far as there are not too many.
THINNED = frozenset({"frontier", "forecast", "surface", "excess", "isoflop", "residuals"})
TABLES: Mapping[str, Callable[[Context, Subject], list[Block]]] = {
    "isoflop": lambda context, group: minima_tables(context, group, "isoflop"),
    "allocation": lambda context, group: [
        *minima_tables(context, group, "envelope"),
        *exponent_tables(context, group),
    ],
}


def figure_of(kind: Kind, context: Context, subject: Subject) -> list[Block]:
    """Return the figure of a subject, drawn when a renderer asks for it; none without data."""
    data = kind.data(context, subject)
    if data is None:
        return []

    return [
        Figure(
            kind.key(subject),
            kind.title,
            data.caption + _thinned(kind, context, subject),
            data.alt,
            kind.good,
            data.columns(),
            data.tips,
            renderer(kind, data, context.theme),
        )
    ]


def _thinned(kind: Kind, context: Context, subject: Subject) -> str:
    """Say how many runs are drawn where not all of them are."""
    fits = [subject] if isinstance(subject, Fit) else context.fits_of(subject)
    count = max((fit.n for fit in fits), default=0)
    if kind.name not in THINNED or count <= MOST_DRAWN:
        return ""
    return f" About {MOST_DRAWN} of {count:,} runs are drawn: evenly chosen, and the outermost."


def figures_sections(context: Context) -> list[Section]:
    """Return every figure that the fits have data for, kind by kind, as far as there is room."""
    out: list[Section] = []
    drawn = hidden = 0
    for kind in KINDS:
        if kind.name in ELSEWHERE:
            continue
        for subject in kind.subjects(context):
            tables = TABLES[kind.name](context, subject) if kind.name in TABLES else []
            found = figure_of(kind, context, subject) if drawn < MOST_FIGURES else []
            hidden += drawn >= MOST_FIGURES and kind.data(context, subject) is not None
            drawn += len(found)
            if found or tables:
                heading = titled(kind.title, context.subject_name(kind.per, subject))
                out.append(Section(heading, (*found, *tables), level=2))
    if not out:
        return []
    blocks: tuple[Block, ...] = ()
    if hidden:
        text = f"{hidden} more figures are left out: scaling plot FIT KIND draws each of them."
        blocks = (Paragraph(text),)
    return [Section("Figures", blocks), *out]
