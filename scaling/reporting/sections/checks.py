"""Automatic checks of every fit, and every message, so that none is lost in any rendering."""

from __future__ import annotations

from scaling.errors import Message
from scaling.reporting import numbers
from scaling.reporting.context import Context, note_of
from scaling.reporting.document import Block, Checklist, Item, Paragraph, Section
from scaling.reporting.wording import titled

ORDER = {"fail": 0, "warn": 1, "pass": 2}


def checks_sections(context: Context) -> list[Section]:
    """Return the checks of each fit, the failed ones first, then all warnings and notes."""
    out = [Section("Checks", ())]
    for fit in context.fits.fits:
        items = tuple(
            Item(
                c.verdict,
                c.name,
                numbers.readable(c.found),
                numbers.readable(getattr(c, "wanted", "")),
                (c.code or "") if c.verdict != "pass" else "",
            )
            for c in sorted(fit.checks, key=lambda c: ORDER[c.verdict])
        )
        if items:
            passed = sum(item.state == "pass" for item in items)
            caption = f"{passed} of {len(items)} passed; the others first"
            caption = "All passed" if passed == len(items) else caption
            heading = titled("Of the fit", context.subject(fit))
            out.append(Section(heading, (Checklist(caption, items),), level=2))
    found: list[Message] = sorted(context.fits.messages, key=lambda m: m.severity == "info")
    blocks: tuple[Block, ...] = tuple(note_of(m) for m in found)
    out.append(Section("All warnings and notes", blocks or (Paragraph("None."),), level=2))
    return out
