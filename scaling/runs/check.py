"""Checks that a table must pass: every fault at once, each with its place and how to mend it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.errors import Fault, Message, TableError, clip, listed
from scaling.expressions import parse
from scaling.runs.columns import COLUMNS, STATUSES
from scaling.runs.detect import UNREAD, Resolved, scaled
from scaling.runs.findings.find import find
from scaling.runs.numbers import (
    MISSING,
    Dialect,
    looks_suffixed,
    numbers_or_none,
    others,
    texts_of,
    to_numbers,
)
from scaling.runs.table import Dropped, Reading, RunsTable, environment, finished
from scaling.runs.words import split_words

TOKENS_OF_C = 6.0
BODY_AND_HEAD = "N = body + head; C = 3 x forward matrix products"

_SCORES = frozenset("acc accuracy acc1 acc5 top1 top5 score recall precision f1 auc".split())
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
    status = frame["status"] if "status" in frame else pd.Series("done", index=frame.index)
    done = (status == "done").to_numpy()
    kept = done & _condition(where, frame, resolved, columns)
    if needs_loss and "loss" not in frame:
        faults.append(_no_loss_column(resolved))
    elif needs_loss:
        faults += _missing_loss(frame["loss"].to_numpy(), resolved, kept)
    faults += _positive(frame, resolved, kept) + _contradicted_units(frame, resolved, kept)
    if final and "run" not in frame:
        faults.append(_no_run_column(resolved))
    if not final:
        faults += _repeated_runs(frame, resolved, kept, curves)
    if faults:
        raise TableError(faults)
    frame, readings, messages = _derive(frame, dict(resolved.columns))
    overflowed = _overflow(frame, readings, kept)
    if overflowed.any():
        at = int(np.flatnonzero(overflowed)[0])
        found = "N, D and C are beyond all measure together" + others(
            np.flatnonzero(overflowed).tolist(), source
        )
        mend = 'correct them, or leave such rows out: --where "N < 1e30 and D < 1e30"'
        where = f"{source.name}:{int(source.rows[at])}"
        raise TableError(Fault("SC103", where, found, "finite 6 N D", mend))
    messages += _rounded_seeds(frame)
    stated = (
        convention
        or _only(frame.loc[kept], "convention")
        or _own_convention(frame)
        or _named_convention(readings)
    )
    unit = _only(frame.loc[kept], "loss_unit")
    if unit is not None and "loss" in readings:
        readings["loss"] = replace(readings["loss"], unit=unit)
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
    if where is not None:
        table = table.leave_out(kept | ~done, "SC120", f"do not match --where {where}")
    if final:
        table = finished(table)
    messages += _status_told(resolved) if "status" in frame else []
    told = (*source.messages, *resolved.messages, *messages, *find(table, group))
    return replace(table, messages=told)


def _overflow(
    frame: pd.DataFrame, readings: Mapping[str, Reading], kept: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Used rows whose derived C or D is no finite number above 0."""
    bad = np.zeros(len(frame), dtype=bool)
    for column in ("C", "D"):
        if column in readings and readings[column].source.startswith("="):
            values = frame[column].to_numpy(dtype=np.float64)
            bad |= kept & (np.isinf(values) | (values == 0))
    return bad


def _rounded_seeds(frame: pd.DataFrame) -> list[Message]:
    if "seed" in frame and bool((frame["seed"].abs() > 2.0**53).any()):
        text = "Seeds above 2^53 are rounded: two of them may look the same."
        return [Message("SC121", text, "info")]
    return []


def _only(frame: pd.DataFrame, column: str) -> str | None:
    """The one text of a column that says the same in every row."""
    found = set(frame[column]) if column in frame else set()
    only = found.pop() if len(found) == 1 else None
    return None if only is None or only != only else clip(str(only), 120)


def _code_of(status: str) -> str:
    return "SC303" if status == "diverged" else "SC120"


class LazyColumns(Mapping[str, NDArray[Any]]):
    """The source's own columns, as numbers where every filled cell is one; made when asked for."""

    def __init__(self, cells: pd.DataFrame, dialect: Dialect) -> None:
        self._cells, self._dialect = cells, dialect
        self._made: dict[str, NDArray[Any]] = {}

    def __getitem__(self, header: str) -> NDArray[Any]:
        if header not in self._cells:
            header = header.removeprefix(UNREAD)
        if header not in self._made:
            if header not in self._cells:
                raise KeyError(header)
            self._made[header] = self._best(header)
        return self._made[header]

    def __iter__(self) -> Iterator[str]:
        return iter(map(str, self._cells.columns))

    def __len__(self) -> int:
        return self._cells.shape[1]

    def _best(self, header: str) -> NDArray[Any]:
        values = self._cells[header]
        if pd.api.types.is_bool_dtype(values):
            cells = values.astype(object)
            return cells.where(cells.notna(), None).to_numpy()
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_complex_dtype(values):
            return values.to_numpy(dtype=np.float64, na_value=np.nan)
        numbers = numbers_or_none(values, self._dialect)
        if numbers is None:
            return np.array([t or None for t in texts_of(values)], dtype=object)
        spelled = np.isinf(numbers)
        if spelled.any():  # a written NaN or infinity of a column that has no role
            written = [t.lower().lstrip("+-") for t in texts_of(values)]
            numbers[[t == "nan" for t in written]] = np.nan
        return numbers


def _condition(
    where: str | None, frame: pd.DataFrame, resolved: Resolved, columns: LazyColumns
) -> NDArray[np.bool_]:
    """Which rows a condition keeps, shape (n,)."""
    if where is None:
        return np.ones(len(frame), dtype=bool)
    whole = _derive(frame, dict(resolved.columns))[0]
    env = environment(whole, columns)
    keep = np.asarray(parse(where, where="--where").value(env))
    if keep.dtype != np.bool_ or keep.shape != (len(frame),):
        expected = "a comparison such as loss < 3.4"
        found = f"{clip(where)!r} is not a condition on rows"
        raise TableError(Fault("SC020", "--where", found, expected))
    return keep


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
            missing = (text if text.lower() not in MISSING else None for text in texts_of(values))
            typed[header] = pd.Series(list(missing), dtype=object)
        else:
            reading = resolved.columns[header]
            counts = column.kind == "count"
            name = reading.header or reading.source
            try:
                if counts and reading.scale != 1.0 and looks_suffixed(values):
                    raise TableError(_two_units(resolved, header))
                numbers = to_numbers(values, name, source, resolved.dialect, counts)
                typed[header] = scaled(numbers, reading)
            except TableError as error:
                faults += error.faults
                typed[header] = np.full(len(values), 1.0)
    frame = pd.DataFrame(typed)
    if "status" in frame:
        frame["status"], unknown = _statuses(frame["status"])
        expected = "one of " + ", ".join((*STATUSES, *_UNFINISHED))
        mend = "correct it; an empty cell counts as done"
        faults += _grouped("SC103", "status", unknown, resolved, expected, mend)
    return frame, faults


def _two_units(resolved: Resolved, column: str) -> Fault:
    reading = resolved.columns[column]
    first = next(t for t in texts_of(resolved.frame[column]) if t)
    found = f'"{clip(first, 20)}" below a name that says {reading.scale:g}'
    mend = "write plain numbers, or rename the column"
    return Fault("SC117", resolved.place(column, 0), found, "one unit", mend)


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


def _grouped(
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
    return [Fault(code, resolved.place(column, first), shown + more, expected, mend, line, cell)]


def _no_loss_column(resolved: Resolved) -> Fault:
    headers = list(map(str, resolved.source.cells))
    scores = [h for h in headers if set(split_words(h)) & _SCORES]
    wide = [h for h in headers if re.fullmatch(r"\d+(\.\d+)?", h)]
    mend = "--map loss=COLUMN names it, such as --map 'loss=source[\"my loss\"]'"
    if len(headers) == 1:
        mend = "separate columns by commas, tabs, semicolons or |"
    elif len(wide) >= 4:
        mend = f"--melt D=loss turns the columns {wide[0]}, {wide[1]}, … into rows"
    elif scores:
        mend = f"--map 'loss=1-source[\"{clip(scores[0], 40)}\"]' takes the error for the loss"
    where = f"{resolved.source.name}:1"
    return Fault("SC105", where, "no column could be read as loss", listed(headers), mend)


def _no_run_column(resolved: Resolved) -> Fault:
    found = "no column names the runs, so none is the last row of one"
    known = listed(map(str, resolved.source.cells))
    mend = "--map run=COLUMN names it; without --final-only each row is a run"
    return Fault("SC105", f"{resolved.source.name}:1", found, known, mend)


def _missing_loss(loss: np.ndarray, resolved: Resolved, done: np.ndarray) -> list[Fault]:
    members = np.flatnonzero(done & np.isnan(loss)).tolist()
    if not members:
        return []
    written = texts_of(resolved.frame["loss"].iloc[members[:1]])[0]
    found = f"{clip(written) or 'empty'}, but the run counts as done"
    expected = "a loss, or a status such as diverged"
    mend = 'fill it in, set its status, or leave such rows out: --where "loss > 0"'
    return _grouped("SC104", "loss", members, resolved, expected, mend, found)


def _positive(frame: pd.DataFrame, resolved: Resolved, done: np.ndarray) -> list[Fault]:
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
        faults += _grouped("SC103", column.name, members, resolved, expected, mend)
    return faults


def _contradicted_units(frame: pd.DataFrame, resolved: Resolved, done: np.ndarray) -> list[Fault]:
    """Counts that are plain although the name of their column speaks of millions or more."""
    faults = []
    for column in ("N", "D", "D_unique"):
        reading = resolved.columns.get(column)
        if reading is None or reading.header is None or reading.scale < 1e6 or not done.any():
            continue
        typical = float(np.nanmedian(frame[column].to_numpy()[done])) / reading.scale
        if typical >= 1e6:
            inner = f'source["{clip(reading.header, 40)}"]'
            found = f"the name says {reading.scale:g}, but values such as {typical:.4g} are counts"
            mend = f"--map '{column}={inner}' takes them as they are"
            where = resolved.place(column, int(np.flatnonzero(done)[0]))
            faults.append(Fault("SC117", where, found, "one unit", mend))
    return faults


def _repeated_runs(
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
        found = f'"{name}" and {names.nunique() - 1} more runs have' if names.nunique() > 1 else (
            f'"{name}" has'
        )  # fmt: skip
        found += f" several rows each, at different {along}: points of curves, not runs"
        mend = "--final-only keeps the last of each run; fit --approach envelope reads curves"
        where = resolved.place("run", members[0])
        return [Fault("SC116", where, found, "one row a run", mend)]
    found = f'"{name}" stands in row {first} too'
    expected = "one row a run" if not curves or along is None else f"one row a run and {along}"
    mend = "remove the stale row, or give each run its own id"
    return _grouped("SC106", "run", members, resolved, expected, mend, found)


def _derive(
    frame: pd.DataFrame, columns: dict[str, Reading]
) -> tuple[pd.DataFrame, dict[str, Reading], list[Message]]:
    """Fill in the third of N, D, C under C = 6ND, and say so."""
    with np.errstate(all="ignore"):
        return _derived(frame, columns)


def _derived(
    frame: pd.DataFrame, columns: dict[str, Reading]
) -> tuple[pd.DataFrame, dict[str, Reading], list[Message]]:
    messages: list[Message] = []
    derived: dict[str, tuple[NDArray[Any], str]] = {}
    if "budget" in frame and "C" not in frame:
        budget, source = frame["budget"].to_numpy(dtype=np.float64), "budget"
        if np.isnan(budget).any() and {"N", "D"} <= set(frame):
            rule = TOKENS_OF_C * frame["N"].to_numpy() * frame["D"].to_numpy()
            budget, source = np.where(np.isnan(budget), rule, budget), "budget, else 6 N D"
        derived["C"] = (budget, source)
    has_c = "C" in frame or "C" in derived
    if "N" in frame and "D" not in frame and has_c:
        compute = derived["C"][0] if "C" in derived else frame["C"].to_numpy()
        derived["D"] = (compute / (TOKENS_OF_C * frame["N"].to_numpy()), "C/(6 N)")
        messages.append(
            Message(
                "SC111",
                "D was imputed as C/(6N), so errors in N enter D with the opposite sign.",
                "warning",
            )
        )
    elif {"N", "D"} <= set(frame) and not has_c:
        derived["C"] = (TOKENS_OF_C * frame["N"].to_numpy() * frame["D"].to_numpy(), "6 N D")
        messages.append(Message("SC112", "C was derived as 6ND.", "info"))
    for role, (values, source) in derived.items():
        frame = frame.assign(**{role: values})
        columns[role] = Reading(f"= {source}", COLUMNS[role].unit)
    order = [c for c in COLUMNS if c in frame]
    frame = frame[order + [c for c in frame if c not in COLUMNS]]
    return frame, {c: columns[c] for c in order if c in columns}, messages


def _own_convention(frame: pd.DataFrame) -> str | None:
    """Recognise the convention of this package's own tables."""
    if {"N", "N_body", "N_head"} <= set(frame):
        parts = frame["N_body"] + frame["N_head"]
        known = frame["N"].notna() & parts.notna()
        if known.any() and np.allclose(frame["N"][known], parts[known]):
            return BODY_AND_HEAD
    return None


def _named_convention(readings: Mapping[str, Reading]) -> str | None:
    """What the name of N's column says that it counts."""
    reading = readings.get("N")
    if reading is None or not reading.convention:
        return None
    said = {
        "total": "all parameters",
        "active": "active parameters",
        "without embeddings": "parameters without embeddings",
        "with embeddings": "parameters, embeddings included",
    }[reading.convention]
    return f'N = {said}, by the name "{clip(reading.source, 40)}"'
