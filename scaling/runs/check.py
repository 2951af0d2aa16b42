"""Checks of the values of a runs table: every fault at once, every warning with a code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.errors import Fault, Message, TableError, clip
from scaling.expressions import parse
from scaling.runs.columns import COLUMNS, STATUSES
from scaling.runs.detect import Resolved, to_numbers
from scaling.runs.table import Dropped, Reading, RunsTable

TOKENS_OF_C = 6.0


def check_values(
    resolved: Resolved,
    rows: np.ndarray,
    name: str,
    convention: str | None,
    needs_loss: bool = True,
    curves: bool = False,
    where: str | None = None,
) -> RunsTable:
    """Turn cells into a runs table; with `curves` a run may have a row for each of its points.

    Rows that `where` leaves out need no loss and no values in range, as they enter no fit.

    Raises
    ------
    TableError
        Every cell that is not a number, out of range, or missing where it is needed.
    """
    frame, faults = _typed(resolved, rows, name)
    status = frame["status"] if "status" in frame else pd.Series("done", index=frame.index)
    done = (status == "done").to_numpy()
    kept = done & _condition(where, frame, resolved)
    if "loss" not in frame and needs_loss:
        faults.append(_no_loss_column(resolved, name))
    elif "loss" in frame and needs_loss:
        faults += _missing_loss(frame["loss"].to_numpy(), resolved, kept, rows, name)
    faults += _positive(frame, resolved, kept, rows, name)
    faults += _duplicate_ids(frame, resolved, rows, name, curves)
    if faults:
        raise TableError(faults)
    frame, columns, messages = _derive(frame, dict(resolved.columns))
    messages = [*resolved.messages, *messages, *_warn(frame, done)]
    used = done.copy()
    dropped = [
        Dropped(
            int(rows[i]),
            "SC303" if status.iloc[i] == "diverged" else "SC120",
            f"status {status.iloc[i]}",
        )
        for i in np.flatnonzero(~done)
    ]
    stated = convention or _own_convention(frame)
    if stated is None:
        stated = "N as in the table, convention not stated"
        if "N" in frame:
            messages.append(
                Message(
                    "SC114",
                    "The table does not say which parameters N counts (--convention states it).",
                    "info",
                )
            )
    table = RunsTable(
        frame=frame,
        rows=rows,
        columns=columns,
        used=used,
        dropped=tuple(dropped),
        messages=tuple(messages),
        convention=stated,
        source={header: _best_effort(values) for header, values in resolved.source.items()},
    )
    return (
        table
        if where is None
        else table.leave_out(kept | ~done, "SC120", f"do not match --where {where}")
    )


def _condition(where: str | None, frame: pd.DataFrame, resolved: Resolved) -> NDArray[np.bool_]:
    """Which rows a condition keeps, shape (n,)."""
    if where is None:
        return np.ones(len(frame), dtype=bool)
    with np.errstate(all="ignore"):
        whole = _derive(frame, dict(resolved.columns))[0]
    env: dict[str, object] = {str(name): whole[name].to_numpy() for name in whole}
    env["source"] = {h: _best_effort(v).to_numpy() for h, v in resolved.source.items()}
    keep = np.asarray(parse(where, where="--where").value(env))
    if keep.dtype != np.bool_ or keep.shape != (len(frame),):
        expected = "a comparison such as loss < 3.4"
        found = f"{clip(where)!r} is not a condition on rows"
        raise TableError(Fault("SC020", "--where", found, expected))
    return keep


def _typed(resolved: Resolved, rows: np.ndarray, name: str) -> tuple[pd.DataFrame, list[Fault]]:
    """Convert known columns; the faults of all of them are gathered."""
    faults: list[Fault] = []
    typed: dict[str, object] = {}
    for header in resolved.frame:
        values = resolved.frame[header]
        column = COLUMNS.get(str(header))
        if column is None:
            typed[str(header)] = _best_effort(values)
        elif column.kind == "text":
            text = values.astype("string").str.strip()
            typed[column.name] = text.mask(text == "").astype("object")
        else:
            source = resolved.columns[column.name].source
            try:
                typed[column.name] = to_numbers(values, source, rows, name)
            except TableError as error:
                faults += error.faults
                typed[column.name] = np.full(len(rows), 1.0)
    frame = pd.DataFrame(typed)
    if "status" in frame:
        frame["status"] = frame["status"].fillna("done")
        unknown = ~frame["status"].isin(STATUSES)
        faults += [
            Fault(
                "SC103",
                _place(resolved, "status", name, rows[i]),
                f'"{clip(str(frame["status"].iloc[i]))}"',
                "one of " + ", ".join(STATUSES),
                "correct it; an empty cell counts as done",
            )
            for i in np.flatnonzero(unknown.to_numpy())
        ]
    return frame, faults


def _place(resolved: Resolved, column: str, name: str, row: int) -> str:
    """Name a cell as the file does."""
    return f'{name}:{row}  column "{clip(resolved.columns[column].source, 30)}"'


def _best_effort(values: pd.Series) -> pd.Series:
    """Numbers where every filled cell is one, else the text as it stands."""
    if pd.api.types.is_numeric_dtype(values):
        return values
    text = values.astype("string").str.strip()
    numbers = pd.to_numeric(text.mask(text == ""), errors="coerce")
    lost = numbers.isna() & text.notna() & (text != "")
    return text.astype("object") if lost.any() else numbers.astype("float64")


def _no_loss_column(resolved: Resolved, name: str) -> Fault:
    headers = ", ".join(clip(str(h), 24) for h in list(resolved.source)[:10])
    return Fault(
        "SC105",
        f"{name}:1",
        "no column could be read as loss",
        f"one of: {headers}",
        "--map loss='source[\"…\"]'",
    )


def _missing_loss(
    loss: np.ndarray, resolved: Resolved, done: np.ndarray, rows: np.ndarray, name: str
) -> list[Fault]:
    return [
        Fault(
            "SC104",
            _place(resolved, "loss", name, rows[i]),
            "empty, but the run counts as done",
            "a loss, or a status such as diverged",
            "fill it in or set its status",
        )
        for i in np.flatnonzero(done & np.isnan(loss))
    ]


def _positive(
    frame: pd.DataFrame, resolved: Resolved, done: np.ndarray, rows: np.ndarray, name: str
) -> list[Fault]:
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
        for i in np.flatnonzero(bad & done):
            raw = resolved.frame[column.name].iloc[i]
            found = clip(str(raw)) if str(raw).strip() else "empty"
            faults.append(
                Fault(
                    "SC103",
                    _place(resolved, column.name, name, rows[i]),
                    found,
                    "a finite number" + (" above 0" if column.positive else ""),
                    "correct it, or give the run a status other than done",
                )
            )
    return faults


def _duplicate_ids(
    frame: pd.DataFrame, resolved: Resolved, rows: np.ndarray, name: str, curves: bool
) -> list[Fault]:
    if "run" not in frame:
        return []
    first: dict[object, int] = {}
    faults = []
    along = next((c for c in ("D", "C") if c in frame), None) if curves else None
    points = frame[along] if along is not None else pd.Series(0.0, index=frame.index)
    for row, run, point in zip(rows, frame["run"], points, strict=True):
        if pd.isna(run):
            continue
        key = (run, point)
        if key in first:
            faults.append(
                Fault(
                    "SC106",
                    _place(resolved, "run", name, row),
                    f'"{clip(str(run))}" stands in row {first[key]} too',
                    "one row a run" if along is None else f"one row a run and {along}",
                    "remove the stale row, or give each run its own id"
                    + ("" if curves else "; --approach envelope reads curves, point by point"),
                )
            )
        first.setdefault(key, int(row))
    return faults


def _derive(
    frame: pd.DataFrame, columns: dict[str, Reading]
) -> tuple[pd.DataFrame, dict[str, Reading], list[Message]]:
    """Fill in the third of N, D, C under C = 6ND, and say so."""
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


def _warn(frame: pd.DataFrame, done: np.ndarray) -> list[Message]:
    messages = []
    ignored = [c for c in frame if c != "run"]
    copies = int(frame[ignored].duplicated().sum())
    if copies:
        text = f"{copies} rows are copies of another row and count as often as they stand."
        messages.append(Message("SC107", text))
    if {"N", "D", "C"} <= set(frame):
        ratio = frame["C"] / (frame["N"] * frame["D"])
        median = float(ratio[done].median()) if done.any() else TOKENS_OF_C
        if not 2.0 <= median <= 18.0:
            text = f"The median of C/(N·D) is {median:.3g}, far from 6: check units and factors."
            messages.append(Message("SC113", text))
    return messages


def _own_convention(frame: pd.DataFrame) -> str | None:
    """Recognise the convention of this package's own tables."""
    if {"N", "N_body", "N_head"} <= set(frame):
        parts = frame["N_body"] + frame["N_head"]
        known = frame["N"].notna() & parts.notna()
        if known.any() and np.allclose(frame["N"][known], parts[known]):
            return "N = body + head; C = 3 x forward matrix products"
    return None
