"""Faults of values: one for all rows with the same trouble in a column, the first one shown."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from scaling.errors import Fault, clip, listed
from scaling.runs.columns import COLUMNS
from scaling.runs.detect import Resolved
from scaling.runs.numbers import numbers_or_none, others, texts_of
from scaling.runs.words import split_words

_SCORES = frozenset("acc accuracy acc1 acc5 top1 top5 score recall precision f1 auc".split())


def grouped(
    code: str,
    column: str,
    members: Sequence[int],
    resolved: Resolved,
    expected: str,
    mend: str,
    found: str | None = None,
) -> list[Fault]:
    """One fault for all rows with the same trouble in one column; the first is shown."""
    if not len(members):
        return []
    first = members[0]
    cell = texts_of(resolved.frame[column].iloc[[first]])[0]
    shown = found or (f'"{clip(cell)}"' if column == "status" else clip(cell) or "empty")
    more = others(members, resolved.source)
    line = resolved.source.line(first) if len(members) == 1 or cell else ""
    at = resolved.offset(column, first)
    place = resolved.place(column, first)
    return [Fault(code, place, shown + more, expected, mend, line, cell, at)]


def no_loss_column(resolved: Resolved) -> Fault:
    """SC105, with what might be meant: a wide table, or a score."""
    headers = list(map(str, resolved.source.cells))
    errors = [h for h in headers if {"err", "error"} & set(split_words(h))]
    scores = [h for h in headers if set(split_words(h)) & _SCORES and h not in errors]
    wide = [h for h in headers if re.fullmatch(r"\d+(\.\d+)?", h)]
    mend = "--map loss=COLUMN names it, such as --map 'loss=source[\"my loss\"]'"
    if len(headers) == 1:
        mend = "separate columns by commas, tabs, semicolons or |"
    elif len(wide) >= 4:
        mend = f"--melt D=loss turns the columns {wide[0]}, {wide[1]}, … into rows"
    elif errors:
        mend = f"--map 'loss=source[\"{errors[0]}\"]' takes the error for the loss"
    elif scores:
        cells = numbers_or_none(resolved.source.cells[scores[0]], resolved.dialect)
        percent = "/100" if cells is not None and np.nanmax(cells) > 1 else ""
        mend = f"--map 'loss=1-source[\"{scores[0]}\"]{percent}' takes the error for the loss"
    where = f"{resolved.source.name}:1"
    return Fault("SC105", where, "no column could be read as loss", listed(headers), mend)


def no_run_column(resolved: Resolved) -> Fault:
    """SC105: the last row of each run is asked for, and nothing names runs."""
    found = "no column names the runs, so none is the last row of one"
    known = listed(map(str, resolved.source.cells))
    mend = "--map run=COLUMN names it; without --final-only each row is a run"
    return Fault("SC105", f"{resolved.source.name}:1", found, known, mend)


def missing_loss(loss: np.ndarray, resolved: Resolved, done: np.ndarray) -> list[Fault]:
    """SC104: runs that count as done but have no loss."""
    members = np.flatnonzero(done & np.isnan(loss)).tolist()
    if not members:
        return []
    written = texts_of(resolved.frame["loss"].iloc[members[:1]])[0]
    found = f"{clip(written) or 'empty'}, but the run counts as done"
    expected = "a loss, or a status such as diverged"
    mend = 'fill it in, set its status, or leave such rows out: --where "loss > 0"'
    return grouped("SC104", "loss", members, resolved, expected, mend, found)


def positive(frame: pd.DataFrame, resolved: Resolved, done: np.ndarray) -> list[Fault]:
    """Values of done runs must be finite, and positive where the column says so."""
    faults: list[Fault] = []
    for column in COLUMNS.values():
        if column.kind == "text" or column.name not in frame:
            continue
        values = frame[column.name].to_numpy(dtype=np.float64)
        bad = np.isinf(values)
        if column.positive:
            bad |= values <= 0
        if column.name in ("N", "D", "C"):
            bad |= np.isnan(values)
        members = np.flatnonzero(bad & done).tolist()
        if not members:
            continue
        expected = "a finite number" + (" above 0" if column.positive else "")
        limit = "loss < 20" if column.name == "loss" else f"{column.name} < 1e300"
        conditions = [limit] if np.isinf(values[members]).any() else []
        if not np.isinf(values[members]).all():
            conditions.insert(0, f"{column.name} > 0")
        mend = "correct it, give the run a status such as diverged, or leave it out: "
        mend += f'--where "{" and ".join(conditions)}"'
        faults += grouped("SC103", column.name, members, resolved, expected, mend)
    return faults


def contradicted_units(frame: pd.DataFrame, resolved: Resolved, done: np.ndarray) -> list[Fault]:
    """Counts that are plain although the name of their column speaks of millions or more."""
    faults = []
    for column in ("N", "D", "D_unique"):
        reading = resolved.columns.get(column)
        if reading is None or reading.header is None or reading.scale < 1e6 or not done.any():
            continue
        typical = float(np.nanmedian(frame[column].to_numpy()[done])) / reading.scale
        if typical >= 1e6:
            inner = f'source["{reading.header}"]'
            found = f"the name says {reading.scale:g}, but values such as {typical:.4g} are counts"
            mend = f"--map '{column}={inner}' takes them as they are"
            where = resolved.place(column, int(np.flatnonzero(done)[0]))
            faults.append(Fault("SC117", where, found, "one unit", mend))
    return faults


def repeated_runs(
    frame: pd.DataFrame, resolved: Resolved, kept: np.ndarray, curves: bool
) -> list[Fault]:
    """Rows that bear the name of an earlier row: points of a curve, or stale copies."""
    if "run" not in frame:
        return []
    named = kept & frame["run"].notna().to_numpy()
    rows = frame.loc[named]
    along = next((c for c in ("steps", "D", "C") if c in frame), None)
    keys = ["run"] if along is None else ["run", along]
    again = rows.duplicated(keys if curves else ["run"])
    if not again.any():
        return []
    members = rows.index[again].tolist()
    names = rows["run"]
    first = int(resolved.source.rows[names.index[names == names.loc[members[0]]][0]])
    name = clip(str(names.loc[members[0]]), 30)
    if not curves and along is not None and not rows.duplicated(keys).any():
        several = names[names.duplicated()].nunique()
        found = f'"{name}" and {several - 1} more runs have' if several > 1 else (
            f'"{name}" has'
        )  # fmt: skip
        found += f" several rows each, at different {along}: points of curves, not runs"
        mend = "--final-only keeps the last of each run; fit --approach envelope reads curves"
        where = resolved.place("run", members[0])
        return [Fault("SC116", where, found, "one row a run", mend)]
    found = f'"{name}" stands in row {first} too'
    expected = "one row a run" if not curves or along is None else f"one row a run and {along}"
    mend = "remove the stale row, or give each run its own id"
    return grouped("SC106", "run", members, resolved, expected, mend, found)


def two_units(resolved: Resolved, column: str) -> Fault:
    """SC117: cells such as ``7B`` below a name that states a unit too."""
    reading = resolved.columns[column]
    first = next(t for t in texts_of(resolved.frame[column]) if t)
    found = f'"{clip(first, 20)}" below a name that says {reading.scale:g}'
    mend = "write plain numbers, or rename the column"
    return Fault("SC117", resolved.place(column, 0), found, "one unit", mend)
