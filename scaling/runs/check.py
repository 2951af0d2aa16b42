"""Checks that a table must pass: every fault at once, each with its place and how to mend it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.errors import Fault, Message, TableError, clip, counted
from scaling.expressions import parse
from scaling.runs.columns import COLUMNS, OF_TRAINING, STATUSES
from scaling.runs.derive import derive, named_convention, only, overflow, own_convention
from scaling.runs.detect import NO_HELDOUT, UNREAD, Resolved
from scaling.runs.faults import (
    contradicted_units,
    grouped,
    missing_loss,
    no_loss_column,
    no_run_column,
    positive,
    repeated_runs,
    two_units,
)
from scaling.runs.findings.find import find
from scaling.runs.lazy import LazyColumns
from scaling.runs.maps import scaled
from scaling.runs.numbers import (
    MISSING,
    looks_suffixed,
    others,
    row_ranges,
    texts_of,
    to_numbers,
)
from scaling.runs.table import Dropped, RunsTable, environment, finished

SOFT = ("lr", "epochs", "batch", "steps")  # columns that describe runs and that no law needs
_UNFINISHED = ("running", "pending")
_STATUS_WORDS = {
    "finished": "done", "completed": "done", "complete": "done", "success": "done", "ok": "done",
    "crashed": "failed", "killed": "failed", "error": "failed", "timeout": "failed",
    "preempted": "failed", "canceled": "failed", "cancelled": "failed", "oom": "too-big",
    "out of memory": "too-big", "nan": "diverged", "scheduled": "pending", "queued": "pending",
}  # fmt: skip


def check_values(
    resolved: Resolved,
    convention: str | None = None,
    needs_loss: bool = True,
    curves: bool = False,
    where: str | None = None,
    final: bool = False,
    group: str | None = None,
) -> RunsTable:
    """Turn cells into a runs table.

    Parameters
    ----------
    resolved : Resolved
        Cells with canonical names.
    convention : str, optional
        What N counts, in the reader's words.
    needs_loss : bool
        Whether a table without a loss is a fault.
    curves : bool
        Whether a run may have a row for each of its points.
    where : str, optional
        Condition on rows. Those that it leaves out need no loss and no values in range, as they
        enter no fit.
    final : bool
        Whether only the last row of each run is kept for fits.
    group : str, optional
        Column by which fits will be split, so that findings look within it.

    Raises
    ------
    TableError
        Every cell that is not a number, out of range, or missing where it is needed.
    """
    source = resolved.source
    columns = LazyColumns(source.cells, resolved.dialect)
    frame, faults = _typed(resolved, columns)
    frame, softened = _softened(frame, resolved)
    status = frame["status"] if "status" in frame else pd.Series("done", index=frame.index)
    done = (status == "done").to_numpy()
    counted = _measured(frame) if curves else np.ones(len(frame), dtype=bool)
    kept = done & counted & _condition(where, frame, resolved, columns)
    if needs_loss and "loss" not in frame:
        faults.append(no_loss_column(resolved))
    elif needs_loss:
        faults += missing_loss(frame["loss"].to_numpy(), resolved, kept)
    faults += positive(frame, resolved, kept) + contradicted_units(frame, resolved, kept)
    if final and "run" not in frame:
        faults.append(no_run_column(resolved))
    faults += repeated_runs(frame, resolved, kept, curves or final)
    if faults:
        raise TableError(faults)
    frame, readings, messages = derive(frame, dict(resolved.columns))
    overflowed = overflow(frame, readings, kept)
    if overflowed.any():
        at = int(np.flatnonzero(overflowed)[0])
        found = "N, D and C are beyond all measure together" + others(
            np.flatnonzero(overflowed).tolist(), source
        )
        mend = 'correct them, or leave such rows out: --where "N < 1e30 and D < 1e30"'
        where = f"{source.name}:{int(source.rows[at])}"
        raise TableError(Fault("SC103", where, found, "finite 6 N D", mend))
    messages += softened + _rounded_seeds(frame)
    stated = (
        convention
        or only(frame.loc[kept], "convention")
        or own_convention(frame)
        or named_convention(readings)
    )
    unit = only(frame.loc[kept], "loss_unit")
    if "loss_unit" in frame and not frame["loss_unit"].notna().any():
        unit = "as mapped"
    if unit is not None and "loss" in readings:
        readings["loss"] = replace(readings["loss"], unit=unit)
        if unit.endswith(OF_TRAINING):
            text = f'"{clip(readings["loss"].source, 40)}" is a training loss: {NO_HELDOUT}'
            messages.append(Message("SC133", text))
    if stated is None:
        stated = "N as in the table, convention not stated" if "N" in frame else "no N"
        if "N" in frame and "convention" in frame:
            stated = "N counted in several ways, by the column convention"
        elif "N" in frame:
            text = "The table does not say which parameters N counts (--convention states it)."
            messages.append(Message("SC114", text, "info"))
    table = RunsTable(
        frame=frame,
        rows=source.rows,
        columns=readings,
        used=done.copy(),
        dropped=tuple(
            Dropped(int(source.rows[i]), _code_of(status.iloc[i]), f"status {status.iloc[i]}")
            for i in np.flatnonzero(~done)
        ),
        convention=stated,
        source=columns,
    )
    table = table.leave_out(counted, "SC120", "a point without a loss, or before training")
    if where is not None:
        table = table.leave_out(kept | ~done, "SC120", f"do not match --where {where}")
    if final:
        table = finished(table)
    messages += _status_told(resolved) if "status" in frame else []
    told = (*source.messages, *resolved.messages, *messages, *find(table, group))
    return replace(table, messages=told)


def _softened(frame: pd.DataFrame, resolved: Resolved) -> tuple[pd.DataFrame, list[Message]]:
    """Empty the values of helper columns that cannot be, such as a learning rate of 0."""
    messages = []
    for column in SOFT:
        if column in resolved.columns and column not in frame:
            text = f'"{clip(resolved.columns[column].source, 40)}" holds text and is kept as it is.'
            messages.append(Message("SC121", text, "info"))
        if column not in frame:
            continue
        values = frame[column].to_numpy(dtype=np.float64)
        bad = np.isinf(values) | (values <= 0)
        if bad.any():
            frame = frame.assign(**{column: np.where(bad, np.nan, values)})
            rows = tuple(int(row) for row in resolved.source.rows[bad][:1000])
            where = counted(int(bad.sum()), "row")
            text = f"{column} is 0, negative or no number in {where}: taken as empty "
            text += f"(row{'s' * (len(rows) > 1)} {row_ranges(rows)})."
            messages.append(Message("SC121", text, "info", rows))
    return frame, messages


def _measured(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Which points of curves have a loss and lie after the start."""
    measured = np.ones(len(frame), dtype=bool)
    if "loss" in frame:
        measured &= frame["loss"].notna().to_numpy()
    for column in ("D", "C"):
        if column in frame:
            measured &= (frame[column] != 0).to_numpy()
    return measured


def _rounded_seeds(frame: pd.DataFrame) -> list[Message]:
    if "seed" in frame and bool((frame["seed"].abs() > 2.0**53).any()):
        text = "Seeds above 2^53 are rounded: two of them may look the same."
        return [Message("SC121", text, "info")]
    return []


def _code_of(status: str) -> str:
    return "SC303" if status == "diverged" else "SC120"


def _condition(
    where: str | None, frame: pd.DataFrame, resolved: Resolved, columns: LazyColumns
) -> NDArray[np.bool_]:
    """Which rows a condition keeps, shape (n,)."""
    if where is None:
        return np.ones(len(frame), dtype=bool)
    whole = derive(frame, dict(resolved.columns))[0]
    env = environment(whole, columns)
    keep = np.asarray(parse(where, where="--where").value(env))
    if keep.dtype != np.bool_ or keep.shape != (len(frame),):
        expected = "a comparison such as loss < 3.4"
        found = f"{clip(where)!r} is not a condition on rows"
        raise TableError(Fault("SC020", "--where", found, expected))
    return keep


def _names(texts: list[str], of_groups: bool) -> pd.Series:
    """Return names, None where missing; beside other groups, one may be called "none"."""
    filled = {text.lower() for text in texts} - MISSING
    missing = MISSING - {"none"} if of_groups and filled else MISSING
    return pd.Series([t if t.lower() not in missing else None for t in texts], dtype=object)


def _typed(resolved: Resolved, columns: LazyColumns) -> tuple[pd.DataFrame, list[Fault]]:
    """Convert known columns; the faults of all of them are gathered."""
    faults: list[Fault] = []
    typed: dict[str, object] = {}
    source = resolved.source
    for header in map(str, resolved.frame):
        values = resolved.frame[header]
        column = COLUMNS.get(header)
        if column is None:
            cells = columns[header]  # text stays object: pandas would infer its own kind of text
            typed[header] = pd.Series(cells, dtype=object) if cells.dtype == object else cells
        elif column.kind == "text":
            typed[header] = _names(texts_of(values), header == "group")
        else:
            reading = resolved.columns[header]
            counts = column.kind == "count"
            name = reading.header or reading.source
            try:
                if counts and reading.scale != 1.0 and looks_suffixed(values):
                    raise TableError(two_units(resolved, header))
                numbers = to_numbers(values, name, source, resolved.dialect, counts)
                typed[header] = scaled(numbers, reading)
            except TableError as error:
                if header in SOFT:  # no law needs it
                    typed[f"{UNREAD}{header}"] = pd.Series(texts_of(values), dtype=object)
                    continue
                faults += error.faults
                typed[header] = np.full(len(values), 1.0)
    frame = pd.DataFrame(typed)
    if "status" in frame:
        frame["status"], unknown = _statuses(frame["status"])
        expected = "one of " + ", ".join((*STATUSES, *_UNFINISHED))
        mend = "correct it; an empty cell counts as done"
        faults += grouped("SC103", "status", unknown, resolved, expected, mend)
    return frame, faults


def _statuses(values: pd.Series) -> tuple[pd.Series, list[int]]:
    """Return statuses in our words, and the positions of those that are no status."""
    words = [("done" if v is None else str(v).strip()) for v in values]
    lower = [_STATUS_WORDS.get(w.lower(), w.lower()) for w in words]
    known = {*STATUSES, *_UNFINISHED}
    return pd.Series(lower, dtype=object), [i for i, w in enumerate(lower) if w not in known]


def _status_told(resolved: Resolved) -> list[Message]:
    """Say which words of others were taken for which status."""
    words = {text.lower() for text in texts_of(resolved.frame["status"])}
    taken = [f"{word} as {_STATUS_WORDS[word]}" for word in sorted(words & set(_STATUS_WORDS))]
    return [Message("SC121", f"Status: {', '.join(taken)}.", "info")] if taken else []
