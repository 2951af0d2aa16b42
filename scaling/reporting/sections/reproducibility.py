"""What it takes to make the report again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scaling.reporting import numbers
from scaling.reporting.context import Context, without_paths
from scaling.reporting.document import Block, Listing, Section, Table

SETTINGS = ("seed", "bootstrap", "interval", "minimum")
FRAME = "scaling fit, predict and report read fit.json alone; this page was rendered from it."


def reproducibility_sections(context: Context) -> list[Section]:
    """Return what identifies the table, the code and the settings, and the command."""
    p, table = context.fits.provenance, context.fits.table
    rows = [
        ("table", str(without_paths(table.get("file")) or "in memory")),
        ("sha256 of the table", str(table.get("sha256") or numbers.MISSING)),
        ("rows, used", f"{table.get('rows')}, {table.get('used')}"),
    ]
    if study := p.get("study"):
        rows += [("study file", str(study["file"])), ("sha256 of the study", str(study["sha256"]))]
    if commit := p.get("commit"):
        state = {True: ", with changes", False: "", None: ", changes unknown"}[commit["dirty"]]
        rows.append(("commit", f"{commit['commit']}{state}"))
    rows += [(f"version of {name}", str(v)) for name, v in p.get("versions", {}).items()]
    software = (p.get("software") or {}).items()
    rows += [(f"{name}, of the training", _told(v)) for name, v in software]
    if platform := p.get("platform"):
        rows.append(("platform", ", ".join(f"{k} {v}" for k, v in platform.items())))
    rows += [(name, str(p[name])) for name in SETTINGS if name in p]
    if solver := p.get("solver"):
        rows.append(("solver", _told(solver)))
    if resampling := p.get("resampling"):
        rows.append(("resampling", _told(resampling)))
    blocks: list[Block] = [
        Table("How to make it again", ("item", "value"), tuple(rows), ("left", "left"), FRAME)
    ]
    if context.command:
        blocks.append(Listing(context.command, "Command"))
    return [Section("Reproducibility", tuple(blocks))]


def _told(value: Any) -> str:
    """Write a setting in one line."""
    if isinstance(value, Mapping):
        return "; ".join(f"{k} {_told(v)}" for k, v in value.items() if v is not None)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_told, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(without_paths(value))
