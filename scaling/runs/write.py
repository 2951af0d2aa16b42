"""The runs table as a file: columns under their canonical names, so that it is read as it was."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from scaling.errors import ConfigError, Fault, Message, TableError
from scaling.runs.columns import COLUMNS, OF_TRAINING
from scaling.runs.detect import NO_HELDOUT
from scaling.runs.findings.view import REMARK
from scaling.runs.table import RunsTable

_DEFAULT_LOSS = COLUMNS["loss"].unit


def derived_columns(table: RunsTable) -> set[str]:
    """Columns that the reader filled in and that another reader would fill in again."""
    return {c for c, reading in table.columns.items() if reading.source.startswith("= ")}


def canonical_frame(
    table: RunsTable, left_out: bool = False, kept: Collection[str] = ()
) -> pd.DataFrame:
    """Return the table with a run id, a status and what N counts in every row.

    Parameters
    ----------
    table : RunsTable
        As it was read.
    left_out : bool
        Whether rows that a condition, or an earlier point of a run, left out are kept. Runs that
        diverged or failed always are.
    kept : collection of str
        Derived columns to write all the same, because a table beside this one has its own.
    """
    frame = table.frame.copy()
    status = frame["status"] if "status" in frame else pd.Series("done", index=frame.index)
    keep = table.used | (status != "done").to_numpy() | left_out
    # a reader derives them again, and says so
    frame = frame.drop(columns=list(derived_columns(table) - set(kept)))
    named = _row_names(table)
    frame["run"] = frame["run"].where(frame["run"].notna(), named) if "run" in frame else named
    frame["status"] = status
    if "N" in frame and "not stated" not in table.convention and "convention" not in frame:
        frame["convention"] = table.convention
    if "loss" in table.columns:  # by this column, too, a reader knows a table of ours
        unit = table.columns["loss"].unit
        training = any(m.text.endswith(NO_HELDOUT) for m in table.messages)
        unit += OF_TRAINING if training and OF_TRAINING not in unit else ""
        frame["loss_unit"] = "" if unit == "as mapped" else unit
    remarks = _remarks(table)
    if any(remarks):
        earlier = frame[REMARK] if REMARK in frame else [""] * len(frame)
        both = zip(earlier, remarks, strict=True)
        frame[REMARK] = ["; ".join(t for t in pair if isinstance(t, str) and t) for pair in both]
    order = [c for c in COLUMNS if c in frame]
    rest = [c for c in frame if c not in COLUMNS and c != REMARK]
    last = [REMARK] if REMARK in frame else []
    return frame.loc[keep, [*order, *rest, *last]].reset_index(drop=True)


def _row_names(table: RunsTable) -> pd.Series:
    """Name rows by their line, and by their turn where one line gave several."""
    rows = pd.Series(table.rows, index=table.frame.index)
    turn = rows.groupby(rows).cumcount() + 1
    several = rows.duplicated(keep=False)
    names = "row" + rows.astype(str)
    return names.where(~several, names + "." + turn.astype(str)).astype(object)


def _remarks(table: RunsTable) -> list[str]:
    """What the findings say of single rows, by position; a line that gave several rows has none."""
    said: dict[int, list[str]] = {}
    for message in table.messages:
        for row in message.rows:
            said.setdefault(row, []).append(f"{message.code}: {_short(message)}")
    several = set(pd.Series(table.rows)[pd.Series(table.rows).duplicated()])
    return ["" if row in several else "; ".join(said.get(int(row), [])) for row in table.rows]


_REASONS = {
    "SC107": "copy of another row",
    "SC118": "another unit?",
    "SC119": "point of a curve?",
    "SC123": "another convention of C",
    "SC128": "far from its neighbours",
    "SC129": "marked by the table",
    "SC134": "diverged?",
    "SC135": "D and unique data swapped?",
}


def _short(message: Message) -> str:
    return _REASONS.get(message.code, message.text.split("(row")[0].strip())


def to_csv(frame: pd.DataFrame) -> str:
    """Write a frame as CSV; missing is empty, numbers keep every digit."""
    lines = _Lines()
    writer = csv.writer(lines, lineterminator="\r\n")  # so that a lone carriage return is quoted
    writer.writerow(list(frame))
    columns = [_cells(frame[name]) for name in frame]
    writer.writerows(zip(*columns, strict=True))
    return lines.text()


class _Lines:
    """What `csv.writer` writes, with rows ended as Unix does."""

    def __init__(self) -> None:
        self._rows: list[str] = []

    def write(self, row: str) -> None:
        """Take one row."""
        self._rows.append(row.removesuffix("\r\n"))

    def text(self) -> str:
        """All rows."""
        return "\n".join([*self._rows, ""])


def _cells(values: pd.Series) -> list[Any]:
    if values.dtype.kind == "f":
        return ["" if v != v else _number(v) for v in values.tolist()]
    return ["" if v is None or v != v else v for v in values.tolist()]


def _number(value: float) -> str:
    """The shortest text that reads back the same; whole numbers without a point."""
    whole = value.is_integer() and abs(value) < 1e16
    return str(int(value)) if whole else repr(value)


def stacked(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Put the tables of several sources below each other; clashing run ids get their source.

    Raises
    ------
    TableError
        SC106 if a run id stands twice in one source.
    ConfigError
        SC004 if there is nothing to stack.
    """
    if not frames:
        raise ConfigError(Fault("SC004", "import", "no source", "at least one"))
    frames = {name: _retries_renamed(frame) for name, frame in frames.items()}
    for name, frame in frames.items():
        again = frame["run"].duplicated()
        if again.any():
            run = str(frame["run"][again].iloc[0])
            found = f'run "{run}" stands twice'
            raise TableError(Fault("SC106", name, found, "one row a run", "--final-only"))
    if len(frames) == 1:
        return next(iter(frames.values()))
    runs = pd.concat([frame["run"] for frame in frames.values()])
    clash = set(runs[runs.duplicated()])
    parts = []
    column = "source"
    while any(column in frame for frame in frames.values()):
        column += " file"
    for name, frame in frames.items():
        own = [f"{name}:{run}" if run in clash else run for run in frame["run"]]
        parts.append(frame.assign(run=own, **{column: name}))
    whole = pd.concat(parts, ignore_index=True)
    order = [c for c in COLUMNS if c in whole]
    return whole[[*order, *_rest(whole)]]


def _retries_renamed(frame: pd.DataFrame) -> pd.DataFrame:
    """Give failed attempts of a run that was done later an id of their own."""
    turn = frame.groupby("run").cumcount() + 1
    attempt = (frame["run"].duplicated(keep=False) & (frame["status"] != "done")).to_numpy()
    renamed = frame["run"].astype(str) + "." + turn.astype(str) + " " + frame["status"].astype(str)
    return frame.assign(run=frame["run"].where(~attempt, renamed))


def _rest(frame: pd.DataFrame) -> list[str]:
    return [str(c) for c in frame if c not in COLUMNS]
