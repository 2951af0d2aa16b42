"""The reporting checklist of scaling-law studies, filled in; what is not known reads as missing."""

from __future__ import annotations

from scaling.fitting.checklist import Item as Answer
from scaling.fitting.checklist import checklist
from scaling.reporting import numbers
from scaling.reporting.context import Context
from scaling.reporting.document import Block, Checklist, Item, Paragraph, Section

HEADING = "Reporting checklist"
ABOUT = (
    "The questions follow the four parts of Li et al. (2025), (Mis)Fitting: A Survey of Scaling "
    "Laws; answers come from the fit and the study file."
)


def _told(item: Answer) -> str:
    """Write an answer; what was typed, such as a command, stays as it is."""
    if item.answer is None:
        return "not stated"
    if item.category == "hypothesis" or "command: " in item.answer:
        return item.answer
    return numbers.readable(item.answer)


def checklist_sections(context: Context) -> list[Section]:
    """Return the checklist, part by part."""
    if not context.fits.fits:
        return []
    found = checklist(context.fits, context.study)
    blocks: list[Block] = [Paragraph(ABOUT)]
    for part in dict.fromkeys(item.category for item in found):
        items = tuple(
            Item("missing" if i.answer is None else "given", i.question, _told(i))
            for i in found
            if i.category == part
        )
        blocks.append(Checklist(part.capitalize(), items))
    missing = sum(item.answer is None for item in found)
    blocks.insert(1, Paragraph(f"{len(found) - missing} of {len(found)} are answered."))
    return [Section(HEADING, tuple(blocks))]
