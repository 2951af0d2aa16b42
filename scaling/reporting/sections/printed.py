"""Figures that a paper printed, beside what its runs give here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scaling.reporting import numbers
from scaling.reporting.context import Context
from scaling.reporting.document import Block, Checklist, Item, Paragraph, Section, Table

HEADING = "Figures that were printed"


def printed_sections(context: Context) -> list[Section]:
    """Return the section, or none where the study names no printed figures.

    They stand in the provenance, as `scaling.fitting.printed` compares them.
    """
    rows = context.fits.provenance.get("printed") or []
    if not rows:
        return []
    agree = sum(bool(row["agrees"]) for row in rows)
    blocks: list[Block] = [Paragraph(f"{agree} of {len(rows)} are given again by these fits.")]
    odd = tuple(
        Item("fail", f"{row['quantity']} {row['of']}".strip(), _missed(row))
        for row in rows
        if not row["agrees"]
    )
    if odd:
        blocks.append(Checklist("Not given again", odd))
    blocks.append(
        Table(
            "Printed and found",
            ("quantity", "of", "printed", "found", "tolerance", "agrees", "source", "note"),
            tuple(_row(row) for row in rows),
            ("left", "left", "right", "right", "right", "left", "left", "left"),
        )
    )
    return [Section(HEADING, tuple(blocks))]


def _missed(row: Mapping[str, Any]) -> str:
    if row["found"] is None:
        return f"not found: {row['why']}"
    return f"printed {row['printed']:.6g}, found {row['found']:.6g}"


def _row(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(row["quantity"]),
        str(row["of"] or ""),
        f"{row['printed']:.6g}",
        numbers.MISSING if row["found"] is None else f"{row['found']:.6g}",
        f"±{row['tolerance']:.2g}",
        "yes" if row["agrees"] else "no",
        str(row["source"] or ""),
        str(row["note"] or ""),
    )
