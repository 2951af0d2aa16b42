"""A document as JSON, ``scaling/report@1``: the same words and numbers, for other programs."""

from __future__ import annotations

import json
from typing import Any

from scaling.fitting.result import plain
from scaling.reporting.document import (
    Block,
    Checklist,
    Document,
    Figure,
    Formula,
    Listing,
    Note,
    Paragraph,
    Table,
)

SCHEMA = "scaling/report@1"


def render(document: Document) -> str:
    """Return JSON text; figures are given by their data, without a drawing."""
    found = {
        "schema": SCHEMA,
        "title": document.title,
        "subtitle": document.subtitle,
        "question": document.question,
        "verdicts": [
            {
                "level": v.level,
                "subject": v.subject,
                "headline": v.headline,
                "sure": v.sure,
                "facts": [vars(fact) for fact in v.facts],
                "reasons": [vars(note) for note in v.reasons],
                "cautions": v.cautions,
                "checks": dict(zip(("pass", "warn", "fail"), v.checks, strict=False)),
            }
            for v in document.verdicts
        ],
        "sections": [
            {
                "key": s.key,
                "heading": s.heading,
                "level": s.level,
                "blocks": [_block(block) for block in s.blocks],
            }
            for s in document.sections
        ],
        "footer": document.footer,
    }
    text = json.dumps(plain(found), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace").decode()  # lone surrogates as JSON's \\udXXX


def _block(block: Block) -> dict[str, Any]:
    match block:
        case Paragraph():
            return {"type": "paragraph", "text": block.text}
        case Note():
            return {"type": "note", **vars(block)}
        case Formula():
            return {"type": "formula", "plain": block.plain, "latex": block.latex}
        case Listing():
            return {"type": "listing", **vars(block)}
        case Checklist():
            items = [vars(item) for item in block.items]
            return {"type": "checklist", "caption": block.caption, "items": items}
        case Figure():
            return {"type": "figure", **_named(block, "key title caption alt good data")}
        case Table():
            return {"type": "table", **_named(block, "caption columns rows note anchors")}


def _named(block: Block, names: str) -> dict[str, Any]:
    return {name: getattr(block, name) for name in names.split()}
