"""What it takes to make the report again."""

from __future__ import annotations

from scaling.reporting import numbers
from scaling.reporting.context import Context, without_paths
from scaling.reporting.document import Block, Listing, Section, Table


def reproducibility_sections(context: Context) -> list[Section]:
    """What it takes to make the report again."""
    p, table = context.fits.provenance, context.fits.table
    rows = [
        ("table", str(without_paths(table.get("file")) or "in memory")),
        ("sha256 of the table", str(table.get("sha256") or numbers.MISSING)),
        ("rows, used", f"{table.get('rows')}, {table.get('used')}"),
    ]
    for name, version in p.get("versions", {}).items():
        rows.append((f"version of {name}", str(version)))
    for name in ("seed", "bootstrap", "interval", "minimum"):
        if name in p:
            rows.append((name, str(p[name])))
    blocks: list[Block] = [
        Table("How to make it again", ("item", "value"), tuple(rows), ("left", "left"))
    ]
    if context.command:
        blocks.append(Listing(context.command, "Command"))
    return [Section("Reproducibility", tuple(blocks))]
