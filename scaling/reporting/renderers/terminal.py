"""A document as plain text of 80 columns."""

from __future__ import annotations

import textwrap

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

WIDTH = 80
LONG_ROWS = 20
PAIR = 2
MARKS = {"pass": " ", "given": " ", "warn": "!", "fail": "!", "missing": "?"}


def render(document: Document) -> str:
    """Render a document as plain text of 80 columns; long tables are cut and say so."""
    lines = [
        _line(document.title),
        "=" * min(WIDTH, len(document.title)),
        _line(document.subtitle),
        "",
    ]
    if document.question:
        lines += [*_wrap(document.question), ""]
    for v in document.verdicts:
        subject = f" ({v.subject})" if v.subject else ""
        lines += _wrap(f"{v.level.upper()}{subject}: {v.headline} {v.sure}")
        for fact in v.facts:
            text = f"  {fact.name}: {fact.value}" + (f" ({fact.sure})" if fact.sure else "")
            lines += _wrap(text, "    ")
        for note in v.reasons:
            lines += _wrap(f"! {note.text} [{note.code}]", "  ")
        for text in v.cautions:
            lines += _wrap(f"- {text}", "  ")
        if v.checks:
            lines += _wrap(checked(v.checks))
        lines.append("")
    for section in document.sections:
        lines += [_line(section.heading), "-" * min(WIDTH, len(section.heading))]
        for block in section.blocks:
            lines += [*_terminal_block(block), ""]
    return "\n".join(lines) + "\n"


def _line(text: str) -> str:
    return printable(text).replace("\n", " ")


def _wrap(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(printable(text), WIDTH, subsequent_indent=indent) or [""]


def _terminal_block(block: Block) -> list[str]:
    match block:
        case Paragraph():
            return _wrap(block.text)
        case Note():
            mark = " " if block.severity == "info" else "!"
            return _wrap(f"{mark} {block.text} [{block.code}]", "  ")
        case Formula():
            return _wrap(block.plain)
        case Listing():
            if block.long:
                count = len(block.text.splitlines())
                return _wrap(f"{block.caption}: {count} lines, in the other renderings.")
            return [*_wrap(block.caption), *printable(block.text).splitlines()]
        case Figure():
            return _wrap(f"[figure] {block.title}: {block.alt}")
        case Checklist():
            lines = _wrap(block.caption)
            for item in block.items:
                lines += _wrap(f"{MARKS[item.state]} {item.state}: {told(item)}", "    ")
            return lines
        case Table():
            return _terminal_table(block)


def _terminal_table(table: Table) -> list[str]:
    shown = table.rows[:LONG_ROWS] if table.long else table.rows
    cells = [table.columns, *shown]
    widths = [max(len(_line(row[j])) for row in cells) for j in range(len(table.columns))]
    if sum(widths) + 2 * len(widths) > WIDTH:  # too wide: a record a row
        lines = _wrap(table.caption)
        for row in shown:
            if len(row) == PAIR:  # a name and its value
                lines += _wrap(f"  {row[0]}: {row[1]}", "    ")
                continue
            pairs = [
                f"{name} {cell}" for name, cell in zip(table.columns, row, strict=True) if cell
            ]
            lines += _wrap("  " + "; ".join(pairs), "    ")
    else:
        lines = _wrap(table.caption)
        for row in cells:
            parts = [
                _line(cell).rjust(w) if a == "right" else _line(cell).ljust(w)
                for cell, w, a in zip(row, widths, table.align, strict=True)
            ]
            lines.append(("  " + "  ".join(parts)).rstrip())
    if len(shown) < len(table.rows):
        lines.append(f"  … {len(table.rows) - len(shown)} more rows")
    return [*lines, *(_wrap(table.note) if table.note else [])]
