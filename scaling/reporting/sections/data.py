"""The data of a report: how columns were read, ranges, rows left out, and every run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from scaling.fitting.result import Fit, Fits
from scaling.reporting import numbers
from scaling.reporting.context import Context
from scaling.reporting.document import Align, Block, Paragraph, Section, Table
from scaling.reporting.wording import anchor_of

MAX_ROWS = 1000


def _times(scale: float) -> str:
    """What a column was multiplied by, for its unit."""
    return "" if scale == 1.0 else f" × {scale:.6g}"


def data_sections(context: Context) -> list[Section]:
    """Say what the runs are, what was left out and why, and list them all."""
    fits = context.fits
    convention = fits.table.get("convention") or "not stated"
    blocks: list[Block] = [Paragraph(f"Convention: {convention}.")]
    columns = fits.table.get("columns", {})
    rows = [
        (str(k), str(v["source"]) + _times(v.get("scale", 1.0)), str(v["unit"]))
        for k, v in columns.items()
        if k in ("N", "D", "C", "loss", "budget", "group", "D_unique")
    ]
    if rows:
        blocks.append(
            Table(
                "How the columns were read",
                ("quantity", "source", "unit"),
                tuple(rows),
                ("left", "left", "left"),
            )
        )
    for fit in _one_per_group(fits):
        blocks.append(_ranges(fit))
    dropped = fits.table.get("dropped", [])
    if dropped:
        cells = tuple((str(d["row"]), str(d["why"]), str(d["code"])) for d in dropped[:MAX_ROWS])
        blocks.append(
            Table(
                f"Rows left out: {len(dropped)}",
                ("row", "reason", "code"),
                cells,
                ("right", "left", "left"),
                long=True,
            )
        )
    blocks += [_run_table(fit) for fit in _one_per_group(fits)]
    return [Section("Data", tuple(blocks))]


def _one_per_group(fits: Fits) -> list[Fit]:
    seen: dict[str | None, Fit] = {}
    for fit in fits.fits:
        seen.setdefault(fit.group, fit)
    return list(seen.values())


def _ranges(fit: Fit) -> Table:
    rows = []
    for name, values in fit.fitted.items():
        span = f"{values.max() / values.min():.3g}"
        rows.append((name, numbers.quantity(values.min()), numbers.quantity(values.max()), span))
    return Table(
        f"Ranges of the {fit.n} fitted runs{' of ' + fit.group if fit.group else ''}",
        ("quantity", "smallest", "largest", "factor"),
        tuple(rows),
        ("left", "right", "right", "right"),
    )


def _run_table(fit: Fit) -> Table:
    rows = fit.rows
    count = len(rows.get("row", []))
    names = [n for n in ("run", "budget", "N", "D", "C", "loss", "seed", "status") if n in rows]
    body = []
    for i in range(min(count, MAX_ROWS)):
        cells = [_cell(n, rows[n][i]) for n in names]
        state = "held out" if rows["held_out"][i] else "" if rows["used"][i] else "left out"
        body.append(
            (
                str(rows["row"][i]),
                *cells,
                numbers.percent(rows["residual"][i]),
                rows["why"][i] or state,
            )
        )
    align: list[Align] = ["left" if n in ("run", "status") else "right" for n in names]
    hidden = f" {count - MAX_ROWS} more rows are in the table itself." if count > MAX_ROWS else ""
    table = Table(
        f"Every run{' of ' + fit.group if fit.group else ''}",
        ("row", *names, "residual", "remark"),
        tuple(body),
        ("right", *align, "right", "left"),
        note="Residual: loss over prediction, in logs." + hidden,
        long=True,
        anchors=tuple(anchor_of(fit.group, rows["row"][i]) for i in range(len(body))),
    )
    return without_empty(table, "remark")


def without_empty(table: Table, column: str) -> Table:
    """Leave out a column in which nothing is said."""
    at = table.columns.index(column)
    if any(row[at] for row in table.rows):
        return table
    return replace(
        table,
        columns=table.columns[:at] + table.columns[at + 1 :],
        align=table.align[:at] + table.align[at + 1 :],
        rows=tuple(row[:at] + row[at + 1 :] for row in table.rows),
    )


def _cell(name: str, value: Any) -> str:
    if value is None:
        return numbers.MISSING
    if name in ("run", "status"):
        return str(value)
    if name == "seed":
        return f"{value:g}"
    return numbers.quantity(value, 4)
