"""Our own study folder: the records of its plan's points, and their curves. Nothing is written."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scaling.errors import ConfigError, Message, TableError
from scaling.runs.importers.base import Imported
from scaling.runs.importers.sources import clean, cut_off, damaged, source_name, unreadable, whole
from scaling.runs.records import RESULT_COLUMNS, PointFiles, load_plan, read_record, result_row

name = "study"

PLAN = "plan.jsonl"
ID = re.compile(r"[0-9a-f]{16}")
EXPECTED = "the folder of a study, with plan.jsonl and points/"

# The names of curve.csv in the words of results.csv; its rate is no peak.
_AS_IN_RESULTS = {"tokens": "D", "flops": "C", "val_loss": "loss", "lr": "rate"}


def recognises(path: Path) -> bool:
    """Whether `path` is the folder of a study."""
    return path.is_dir() and (path / PLAN).is_file()


def read(path: Path) -> Imported:
    """Read finished points as rows of text, as ``results.csv`` has them, and their curves.

    Raises
    ------
    TableError
        SC005 or SC101 if the plan cannot be read, or no point has a record.
    """
    where = source_name(path)
    points = _points(path, where)
    rows, lines = [], []
    curves: list[pd.DataFrame] = []
    messages: list[Message] = []
    for line, point in enumerate(points, start=1):
        record = _record(path, point["id"])
        if record is None:
            continue
        rows.append(_row(point, record, f"{PLAN}:{line}"))
        lines.append(line)
        curve = read_curve(PointFiles.of(path, point["id"]).curve, point["id"], messages)
        if curve is not None and len(curve):
            curves.append(curve)
    if not rows:
        mend = "scaling sweep run OUT"
        raise damaged(where, f"none of {len(points)} points has a record", EXPECTED, mend)
    if len(rows) < len(points):
        text = f"{len(points) - len(rows)} of {len(points)} planned points have no record yet."
        messages.append(Message("SC141", text))
    return Imported(
        cells=pd.DataFrame(rows, columns=list(RESULT_COLUMNS), dtype=object),
        rows=np.array(lines, dtype=np.int64),
        name=where,
        curves=pd.concat(curves, ignore_index=True).rename(columns=_AS_IN_RESULTS)
        if curves
        else None,
        messages=tuple(messages),
    )


def _points(path: Path, where: str) -> list[dict[str, Any]]:
    try:
        points = load_plan(path)
    except ConfigError as error:
        raise TableError(error.faults) from None
    except (UnicodeDecodeError, RecursionError):
        raise damaged(f"{where}/{PLAN}", "is not JSON in UTF-8", EXPECTED, "plan again") from None
    seen: set[str] = set()
    for line, point in enumerate(points, start=1):
        identity = point["id"]
        if not isinstance(identity, str) or not ID.fullmatch(identity) or identity in seen:
            raise damaged(f"{PLAN}:{line}", "the id is no id, or repeated", "16 hex digits")
        seen.add(identity)
    return points


def _record(path: Path, point_id: str) -> dict[str, Any] | None:
    try:
        return read_record(path, point_id)
    except RecursionError:  # not one of ours
        return None


def _row(point: dict[str, Any], record: dict[str, Any], where: str) -> list[str]:
    try:
        return [clean(str(value)) for value in result_row(point, record)]
    except KeyError as error:
        raise damaged(where, f"the point has no {error}", "a point", "plan again") from None


def read_curve(file: Path, run: str, messages: list[Message]) -> pd.DataFrame | None:
    """Read a point's curve up to the first line that is not whole."""
    try:
        with file.open(newline="", encoding="utf-8", errors="replace") as handle:
            lines = list(csv.reader(handle))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(file, error) from error
    except csv.Error:
        messages.append(cut_off(f"{run}/{file.name}", "is not CSV"))
        return None
    header = lines[0] if lines else []
    if "step" not in header or len(set(header)) < len(header):
        messages.append(cut_off(f"{run}/{file.name}", "has no header of a curve"))
        return None
    place = header.index("step")
    values: list[list[float]] = []
    for fields in lines[1:]:
        try:
            if len(fields) != len(header):
                raise ValueError
            row = [float(cell) if cell else np.nan for cell in fields]
            if whole(row[place]) is None:
                raise ValueError
            values.append(row)
        except ValueError:
            messages.append(cut_off(f"{run}/{file.name}", f"is damaged at line {len(values) + 2}"))
            break
    frame = pd.DataFrame(values, columns=[clean(title) for title in header], dtype=np.float64)
    steps = frame.pop("step").to_numpy().astype(np.int64)
    frame.insert(0, "run", pd.Series([run] * len(frame), dtype=object))
    frame.insert(1, "step", steps)
    return frame
