"""The runs table as a file: columns under their canonical names, so that it is read as it was."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from scaling.errors import ConfigError, Fault, Message, TableError
from scaling.runs.columns import COLUMNS
from scaling.runs.findings.view import REMARK
from scaling.runs.importers.base import Imported
from scaling.runs.maps import scaled
from scaling.runs.numbers import to_numbers
from scaling.runs.table import Reading, RunsTable

_DEFAULT_LOSS = COLUMNS["loss"].unit


def canonical_frame(table: RunsTable, left_out: bool = False) -> pd.DataFrame:
    """Return the table with a run id, a status and what N counts in every row.

    Parameters
    ----------
    table : RunsTable
        As it was read.
    left_out : bool
        Whether rows that a condition, or an earlier point of a run, left out are kept. Runs that
        diverged or failed always are.
    """
    frame = table.frame.copy()
    status = frame["status"] if "status" in frame else pd.Series("done", index=frame.index)
    keep = table.used | (status != "done").to_numpy() | left_out
    derived = [c for c, r in table.columns.items() if r.source.startswith("= ")]
    frame = frame.drop(columns=derived)  # a reader derives them again, and says so
    named = _row_names(table)
    frame["run"] = frame["run"].where(frame["run"].notna(), named) if "run" in frame else named
    frame["status"] = status
    if "N" in frame and "not stated" not in table.convention and "convention" not in frame:
        frame["convention"] = table.convention
    unit = table.columns["loss"].unit if "loss" in table.columns else _DEFAULT_LOSS
    if unit not in (_DEFAULT_LOSS, ""):
        frame["loss_unit"] = unit
    remarks = remarks_of(table)
    if remarks:
        frame[REMARK] = [remarks.get(int(row), "") for row in table.rows]
    order = [c for c in COLUMNS if c in frame]
    rest = [c for c in frame if c not in COLUMNS and c != REMARK]
    return frame.loc[keep, [*order, *rest, *([REMARK] if remarks else [])]].reset_index(drop=True)


def _row_names(table: RunsTable) -> pd.Series:
    """Name rows by their line, and by their turn where one line gave several."""
    rows = pd.Series(table.rows, index=table.frame.index)
    turn = rows.groupby(rows).cumcount() + 1
    several = rows.duplicated(keep=False)
    names = "row" + rows.astype(str)
    return names.where(~several, names + "." + turn.astype(str)).astype(object)


def remarks_of(table: RunsTable) -> dict[int, str]:
    """What the findings say of single rows: row of the source to codes and reasons."""
    said: dict[int, list[str]] = {}
    for message in table.messages:
        for row in message.rows:
            said.setdefault(row, []).append(f"{message.code}: {_short(message)}")
    return {row: "; ".join(texts) for row, texts in said.items()}


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


def curve_frame(table: RunsTable, found: Imported) -> pd.DataFrame | None:
    """Return the curves of a source with canonical names, one row for each point of a run.

    What belongs to a run as a whole, such as N, is repeated in each of its points.
    """
    if found.curves is None or not len(found.curves):
        return None
    points = Imported(found.curves.reset_index(drop=True), np.arange(len(found.curves)), found.name)
    out: dict[str, Any] = {"run": points.cells["run"].to_numpy(dtype=object)}
    used = {"run", "step"}
    for role, reading in table.columns.items():
        if role in ("run", "status", "steps"):
            continue
        logged = reading.header is not None and reading.header in points.cells
        if role in _OF_A_RUN and "run" in table.frame:
            per_run = table.frame.drop_duplicates("run").set_index("run")[role]
            out[role] = pd.Series(out["run"]).map(per_run).to_numpy()
        elif logged:
            values = _converted(points, reading)
            out[role] = _between(points.cells, values) if role in ("D", "C") else values
        if logged:
            used.add(str(reading.header))
    out["steps"] = points.cells["step"].to_numpy()
    for name in map(str, points.cells):
        if name not in used and name not in out:
            out[name] = points.cells[name].to_numpy()
    frame = pd.DataFrame(out)
    order = [c for c in COLUMNS if c in frame]
    return frame[[*order, *(c for c in frame if c not in COLUMNS)]]


_OF_A_RUN = ("group", "N", "N_body", "N_head", "N_embedding", "D_unique", "seed", "convention")


def _between(points: pd.DataFrame, values: np.ndarray) -> np.ndarray:
    """Fill in a running count at the steps at which other metrics were logged, linear in steps."""
    out = values.copy()
    steps = points["step"].to_numpy(dtype=np.float64)
    for at in points.groupby("run", sort=False).indices.values():
        known = at[np.isfinite(values[at])]
        if len(known) > 1:
            inside = at[(steps[at] >= steps[known[0]]) & (steps[at] <= steps[known[-1]])]
            order = known[np.argsort(steps[known])]
            filled = np.interp(steps[inside], steps[order], values[order])
            out[inside] = np.where(np.isfinite(values[inside]), values[inside], filled)
    return out


def _converted(points: Imported, reading: Reading) -> np.ndarray:
    assert reading.header is not None
    return scaled(to_numbers(points.cells[reading.header], reading.header, points), reading)


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
    for name, frame in frames.items():
        again = frame["run"].duplicated()
        if again.any():
            run = str(frame["run"][again].iloc[0])
            found = f'run "{run}" stands twice'
            raise TableError(Fault("SC106", name, found, "one row a run", "--final-only"))
    if len(frames) == 1:
        return next(iter(frames.values()))
    if any("loss_unit" in frame for frame in frames.values()):
        frames = {n: _with_unit(frame) for n, frame in frames.items()}
    runs = pd.concat([frame["run"] for frame in frames.values()])
    clash = set(runs[runs.duplicated()])
    parts = []
    for name, frame in frames.items():
        own = [f"{name}:{run}" if run in clash else run for run in frame["run"]]
        parts.append(frame.assign(run=own, source=name))
    whole = pd.concat(parts, ignore_index=True)
    order = [c for c in COLUMNS if c in whole]
    return whole[[*order, *_rest(whole)]]


def _with_unit(frame: pd.DataFrame) -> pd.DataFrame:
    return frame if "loss_unit" in frame else frame.assign(loss_unit=_DEFAULT_LOSS)


def _rest(frame: pd.DataFrame) -> list[str]:
    return [str(c) for c in frame if c not in COLUMNS]
