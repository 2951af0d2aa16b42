"""W&B: the CSV that the menu of a chart exports, one column group a run.

Its header is the x axis, then ``<run> - <metric>``, ``…__MIN`` and ``…__MAX`` for each line; a
chart on the page of one run leaves the name of the run out.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scaling.errors import Fault, Message, TableError, clip
from scaling.runs.importers.assemble import Floats, Run, Series, assemble
from scaling.runs.importers.base import Imported
from scaling.runs.importers.sources import clean, damaged, file_sha256, read_text, source_name

name = "wandb-chart"

EXTRA = ("__MIN", "__MAX", "__STEP")
EXPECTED = "a chart of W&B exported as CSV"
AXES_OF_TIME = ("wall time", "relative time")


def recognises(path: Path) -> bool:
    """Whether the header of a CSV file is that of an exported chart."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            line = handle.readline(1_000_000)
        header = next(csv.reader([line]), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    return bool(_lines(header)) and len(_lines(header)) == sum(
        not column.endswith(EXTRA) for column in header[1:]
    )


def _lines(header: list[str]) -> list[str]:
    """Columns that are lines of the chart: those with a least and a greatest value beside them."""
    known = set(header)
    return [column for column in header[1:] if {f"{column}__MIN", f"{column}__MAX"} <= known]


def read(path: Path) -> Imported:
    """Read the lines of a chart as runs and curves.

    Raises
    ------
    TableError
        SC005 or SC101 if it cannot be read, SC102 for a cell that is not a number, SC108 if two
        runs bear one name.
    """
    where = source_name(path)
    try:
        rows = list(csv.reader(io.StringIO(read_text(path, where), newline="")))
    except csv.Error as error:
        raise damaged(where, clip(str(error)), EXPECTED, "export it again") from None
    rows = [row for row in rows if row]
    if len(rows) < 2 or not _lines(rows[0]):
        raise damaged(where, "no line of a chart in it", EXPECTED, "export the chart again")
    header = rows[0]
    _check_header(header, where)
    numbers = _numbers(rows, where)
    column = {title: numbers[:, place] for place, title in enumerate(header)}
    runs: dict[str, Run] = {}
    blurred = 0
    for line in _lines(header):
        run, dash, metric = line.rpartition(" - ")
        if metric == "_step":
            continue
        there = ~np.isnan(column[line])
        low, high = column[f"{line}__MIN"], column[f"{line}__MAX"]
        blurred += int(np.sum(there & (low != high) & ~(np.isnan(low) & np.isnan(high))))
        made = runs.setdefault(run, Run(clean(run or path.stem)))
        if there.any():
            axis = _axis(header, column, run + dash, there)
            steps = _steps(column[axis], there, axis, where)
            made.series[clean(metric)] = Series.of(steps, column[line][there])
    filled = [run for run in runs.values() if run.series]
    if not filled:
        raise damaged(where, "no value in any line", EXPECTED)
    return assemble(filled, where, sha256=file_sha256(path), messages=_told(blurred))


def _axis(
    header: list[str], column: dict[str, Floats], prefix: str, there: NDArray[np.bool_]
) -> str:
    """Choose what counts steps: the run's own line of them where it is whole, else the x axis."""
    own = column.get(f"{prefix}_step")
    if own is None or not _whole(own[there]).all():
        return header[0]
    return f"{prefix}_step"


def _whole(values: Floats) -> NDArray[np.bool_]:
    whole = np.isfinite(values) & (np.abs(values) < 2**53) & (np.floor(values) == values)
    return np.asarray(whole, dtype=np.bool_)


def _told(blurred: int) -> list[Message]:
    text = "An exported chart holds a sample of the points that were logged."
    if not blurred:
        return [Message("SC144", text, "info")]
    more = f" {blurred} of its values are averages over neighbouring steps or over several runs."
    return [Message("SC144", text + more)]


def _check_header(header: list[str], where: str) -> None:
    twice = [title for title in dict.fromkeys(header) if header.count(title) > 1]
    if twice:
        found = f'two columns are called "{clip(twice[0], 50)}"'
        mend = "give the runs different names and export again"
        raise TableError(Fault("SC108", f"{where}:1", found, "one name a run", mend))


def _numbers(rows: list[list[str]], where: str) -> Floats:
    """Turn the cells below the header into numbers, NaN where empty; all faults at once."""
    width = len(rows[0])
    values = np.full((len(rows) - 1, width), np.nan)
    faults: list[Fault] = []
    for place, row in enumerate(rows[1:]):
        if len(row) != width:
            found = f"{len(row)} fields"
            faults.append(Fault("SC101", f"{where}:{place + 2}", found, f"{width}, as above"))
            continue
        for at, text in enumerate(row):
            try:
                values[place, at] = float(text) if text.strip() else np.nan
            except ValueError:
                shown = f'{where}:{place + 2}:{at + 1}  column "{clip(rows[0][at], 30)}"'
                faults.append(Fault("SC102", shown, f'"{clip(text, 40)}"', "a number"))
    if faults:
        raise TableError(faults)
    return values


def _steps(values: Floats, there: NDArray[np.bool_], title: str, where: str) -> Floats:
    wrong = np.flatnonzero(there & ~_whole(values))
    if title.lower().startswith(AXES_OF_TIME):
        mend = "set the x axis of the chart to Step and export it again"
        raise damaged(f"{where}:1", f'the x axis is "{clip(title, 40)}"', "steps", mend)
    if len(wrong):
        place = f'{where}:{int(wrong[0]) + 2}:1  column "{clip(title, 30)}"'
        found, expected = f"{values[wrong[0]]:g}", "a step: a whole number"
        mend = "set the x axis of the chart to Step and export it again"
        raise TableError(Fault("SC102", place, found, expected, mend))
    return values[there]
