"""The data of a report: how columns were read, ranges, rows left out, and every run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from scaling.fitting.result import Fit, Fits
from scaling.reporting import numbers
from scaling.reporting.context import Context
from scaling.reporting.document import Block, Paragraph, Section, Table, csv_of
from scaling.reporting.wording import anchor_of

MAX_ROWS = 1000
OUT = "left out"
SHORT_HASH = 8
# Columns of the run table: those that stand first, and those that are said once where all agree.
FIRST = ("run", "budget", "N", "D", "C", "loss", "seed", "status")
THEN = ("D_unique", "epochs", "lr", "batch", "steps", "warmup", "schedule", "trunk")
WORDS = frozenset({"run", "status", "schedule", "trunk"})
COUNTS = frozenset({"N", "D", "D_unique"})
EXACT = frozenset({"seed", "lr", "batch", "steps", "epochs", "warmup"})


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
        (
            str(k),
            str(v["source"]) + _times(v.get("scale", 1.0)),
            context.unit(str(k)) or str(v["unit"]),
        )
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
    blocks += [Paragraph(text) for fit in _one_per_group(fits) if (text := _lost(fit))]
    blocks += [_ranges(fit) for fit in _one_per_group(fits)]
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
    blocks += [block for fit in _one_per_group(fits) for block in _run_tables(fit)]
    return [Section("Data", tuple(blocks))]


def _one_per_group(fits: Fits) -> list[Fit]:
    seen: dict[str | None, Fit] = {}
    for fit in fits.fits:
        seen.setdefault(fit.group, fit)
    return list(seen.values())


def _lost(fit: Fit) -> str:
    """Say how many runs did not end well, or were not fitted, and why."""
    rows = fit.rows
    count = len(rows.get("row", []))
    if not count:
        return ""
    told: dict[str, int] = {}
    for i in range(count):
        if not rows["used"][i]:
            why = "held out" if rows["held_out"][i] else str(rows["why"][i] or OUT)
            told[why] = told.get(why, 0) + 1
    of = f" of {fit.group}" if fit.group else ""
    text = f"{fit.n} of {count} runs{of} were fitted"
    return (
        f"{text}; not fitted: " + ", ".join(f"{n} ({why})" for why, n in told.items()) + "."
        if told
        else f"{text}."
    )


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


def _run_tables(fit: Fit) -> list[Block]:
    """Every run of a group as far as there is room, and what all of them share."""
    rows = fit.rows
    count = len(rows.get("row", []))
    named = dict.fromkeys((*FIRST, *({fit.response} - {"loss"}), *THEN))
    known = [n for n in named if any(v is not None for v in rows.get(n, []))]
    shared = [n for n in known if n in THEN and count > 1 and len(set(map(str, rows[n]))) == 1]
    plain = _plain(rows, known)
    names = [n for n in known if n not in shared and n not in plain]
    of = f" of {fit.group}" if fit.group else ""
    states = [
        rows["why"][i] or ("held out" if rows["held_out"][i] else "" if rows["used"][i] else OUT)
        for i in range(count)
    ]
    kept = _kept(states)
    table = Table(
        f"Every run{of}",
        ("row", *names, "residual", "remark"),
        tuple(_run_row(rows, names, i, states[i]) for i in kept),
        ("right", *("left" if n in WORDS else "right" for n in names), "right", "left"),
        note="Residual: loss over prediction, in logs.",
        long=True,
        anchors=tuple(anchor_of(fit.group, rows["row"][i]) for i in kept),
    )
    if len(kept) < count:
        table = replace(
            table,
            caption=f"{len(kept):,} of {count:,} runs{of}",
            note=f"{table.note} Shown: the runs that were left out, and the first of the others.",
            attached=csv_of({n: rows[n] for n in ("row", *known, "predicted", "residual", "why")}),
        )
    blocks: list[Block] = []
    if shared:
        text = ", ".join(f"{n} {_cell(n, rows[n][0])}" for n in shared)
        blocks.append(Paragraph(f"The same in every run{of}: {text}."))
    if "D_unique" in plain and "D_unique" not in shared:
        blocks.append(Paragraph(f"No run{of} saw data twice: D_unique is D."))
    return [*blocks, without_empty(table, "remark")]


def _plain(rows: Mapping[str, list[Any]], known: list[str]) -> set[str]:
    """Return the columns that say nothing: all data distinct, every run its own trunk."""
    found = set()
    if "D_unique" in known and rows["D_unique"] == rows.get("D"):
        found.add("D_unique")
    trunks = rows.get("trunk", [])
    if "trunk" in known and (trunks == rows.get("run") or len(set(trunks)) == len(trunks)):
        found.add("trunk")
    return found


def _kept(states: list[str]) -> list[int]:
    """Rows that are shown, in order: all that were left out, then as many others as fit."""
    told = [i for i, state in enumerate(states) if state][:MAX_ROWS]
    others = [i for i, state in enumerate(states) if not state][: MAX_ROWS - len(told)]
    return sorted([*told, *others])


def _run_row(
    rows: Mapping[str, list[Any]], names: list[str], i: int, state: str
) -> tuple[str, ...]:
    cells = (_cell(name, rows[name][i]) for name in names)
    return (str(rows["row"][i]), *cells, numbers.percent(rows["residual"][i]), state)


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
    if name == "trunk":
        return str(value)[:SHORT_HASH]
    if isinstance(value, str) or name in WORDS:
        return str(value)
    if name in EXACT:
        return f"{value:g}"
    if name in COUNTS and float(value).is_integer() and value < numbers.PLAIN_LIMIT:
        return f"{value:,.0f}"
    return numbers.quantity(value, 4)
