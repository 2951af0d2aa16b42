"""Markdown of a document."""

from __future__ import annotations

import re

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
    checked,
    printable,
    told,
)

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|$~@&^]|:(?=//)|(?<=\bwww)\.)", re.IGNORECASE)
_FIRST = re.compile(r"^(\d{0,9})([-+=.)])(?=[\s=-]|$)")  # a list or a rule


def escape(text: str) -> str:
    """Escape what Markdown would interpret, as GitHub reads it."""
    line = " ".join(printable(text).split("\n")).lstrip(" ")
    return _FIRST.sub(r"\1\\\2", _MARKDOWN.sub(r"\\\1", line))


def render(document: Document) -> str:
    """Render a document as Markdown; figures become their captions and alternative texts."""
    lines = [f"# {escape(document.title)}", "", escape(document.subtitle), ""]
    if document.question:
        lines += [f"*{escape(document.question)}*", ""]
    for v in document.verdicts:
        subject = f" ({escape(v.subject)})" if v.subject else ""
        lines += [f"**{v.level}{subject}.** {escape(v.headline)} {escape(v.sure)}", ""]
        if v.facts:
            lines += ["| | | |", "|---|---|---|"]
            cells = ((f.name, f.value, f.sure) for f in v.facts)
            lines += ["| " + " | ".join(escape(c) for c in row) + " |" for row in cells] + [""]
        if v.reasons or v.cautions:
            lines += ["Why not to trust it:", ""]
            lines += [f"- {escape(n.text)} [{n.code}]" for n in v.reasons]
            lines += [f"- {escape(text)}" for text in v.cautions] + [""]
        if v.checks:
            lines += [checked(v.checks), ""]
    for section in document.sections:
        lines += ["#" * (section.level + 1) + f" {escape(section.heading)}", ""]
        for block in section.blocks:
            lines += [*_markdown_block(block), ""]
    return "\n".join(lines) + "\n"


def _markdown_block(block: Block) -> list[str]:
    match block:
        case Paragraph():
            return [escape(block.text)]
        case Note():
            return [f"> **{block.severity}** [{block.code}] {escape(block.text)}"]
        case Formula():
            return [f"$$ {block.latex} $$"]
        case Listing():
            fence = "`" * max(
                3, 1 + max((len(m) for m in re.findall(r"`+", block.text)), default=0)
            )
            return [escape(block.caption), "", fence, printable(block.text), fence]
        case Figure():
            return [
                f"*{escape(block.title)}.* {escape(block.caption)} {escape(block.alt)} "
                f"Good: {escape(block.good)}"
            ]
        case Checklist():
            return [
                f"*{escape(block.caption)}*",
                "",
                *(f"- **{item.state}** {escape(told(item))}" for item in block.items),
            ]
        case Table():
            head = "| " + " | ".join(escape(c) for c in block.columns) + " |"
            rule = "|" + "|".join("---:" if a == "right" else "---" for a in block.align) + "|"
            rows = ["| " + " | ".join(escape(c) for c in row) + " |" for row in block.rows]
            return [f"*{escape(block.caption)}*", "", head, rule, *rows, "", escape(block.note)]
