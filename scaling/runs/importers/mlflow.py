"""MLflow: its SQLite database, and the older folders ``mlruns``.

Neither needs MLflow, which migrates a database when it opens it; here it is opened for reading
only.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import pathname2url

from scaling.errors import Message, TableError
from scaling.runs.importers import mlflow_files
from scaling.runs.importers.assemble import Run, Series, assemble
from scaling.runs.importers.base import Imported
from scaling.runs.importers.sources import (
    clean,
    counted,
    damaged,
    file_sha256,
    source_name,
    unreadable,
    whole,
)

name = "mlflow"

MAGIC = b"SQLite format 3\0"
TABLES = {"runs", "metrics", "params"}
STATUS = {
    "FINISHED": "done",
    "FAILED": "failed",
    "KILLED": "failed",
    "RUNNING": "running",
    "SCHEDULED": "running",
}
DATABASE = "mlflow.db"
EXPECTED = "a tracking database of MLflow"


def recognises(path: Path) -> bool:
    """Whether `path` is a tracking database, a folder with ``mlflow.db``, or a file store."""
    try:
        if path.is_dir():
            return _is_database(path / DATABASE) or mlflow_files.recognises(path)
        return _is_database(path)
    except OSError:
        return False


def _is_database(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with path.open("rb") as handle:
            if handle.read(len(MAGIC)) != MAGIC:
                return False
        with _opened(path) as database:
            return _tables(database) >= TABLES
    except (OSError, TableError):
        return False


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database for reading only; what SQLite cannot read is an error with a place."""
    address = f"file:{pathname2url(str(path.resolve()))}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
            database.text_factory = lambda raw: raw.decode("utf-8", "replace")
            yield database
    except (sqlite3.Error, OverflowError, UnicodeDecodeError) as error:
        mend = "copy it again while nothing writes to it"
        raise damaged(path.name, f"SQLite: {error}", EXPECTED, mend) from None


def _tables(database: sqlite3.Connection) -> set[str]:
    return {row[0] for row in database.execute("SELECT name FROM sqlite_master")}


def read(path: Path) -> Imported:
    """Read runs with their parameters, tags (as ``tags.…``) and metrics; deleted runs stay out.

    Raises
    ------
    TableError
        SC005 or SC101 if the store cannot be read or holds no run.
    """
    if path.is_dir() and not _is_database(path / DATABASE):
        runs, deleted, messages = mlflow_files.read_store(path)
        digest = None
    else:
        file = path / DATABASE if path.is_dir() else path
        digest, messages = file_sha256(file), []
        try:
            empty = file.stat().st_size == 0
        except OSError as error:
            raise unreadable(file, error, EXPECTED) from error
        if empty:
            raise damaged(file.name, "the file is empty", EXPECTED)
        with _opened(file) as database:
            runs, deleted = _read_database(database, file.name)
    if deleted:
        messages.append(Message("SC141", f"Left out: {counted(deleted, 'deleted run')}.", "info"))
    if not runs:
        found = "holds no run" + (f" but {deleted} deleted ones" if deleted else "")
        raise damaged(source_name(path), found, EXPECTED)
    return assemble(runs, source_name(path), sha256=digest, messages=messages)


def _read_database(database: sqlite3.Connection, where: str) -> tuple[list[Run], int]:
    missing = TABLES - _tables(database)
    if missing:
        raise damaged(where, f"has no table {', '.join(sorted(missing))}", EXPECTED)
    experiments: dict[Any, str] = {}
    if "experiments" in _tables(database):
        rows = database.execute("SELECT experiment_id, name FROM experiments")
        experiments = {key: str(title) for key, title in rows}
    runs: dict[str, Run] = {}
    deleted = 0
    query = "SELECT run_uuid, name, status, lifecycle_stage, experiment_id FROM runs ORDER BY "
    for run, title, status, stage, experiment in database.execute(query + "start_time, run_uuid"):
        if stage == "deleted":
            deleted += 1
            continue
        made = Run(clean(str(run)), STATUS.get(str(status), ""))
        made.about = {
            "name": clean(str(title or "")),
            "experiment": clean(experiments.get(experiment, "")),
        }
        runs[str(run)] = made
    _read_settings(database, runs)
    _read_metrics(database, runs)
    return list(runs.values()), deleted


def _read_settings(database: sqlite3.Connection, runs: dict[str, Run]) -> None:
    for run, key, value in database.execute("SELECT run_uuid, key, value FROM params ORDER BY key"):
        if run in runs and value is not None:
            runs[run].settings[clean(str(key))] = clean(str(value))
    if "tags" not in _tables(database):
        return
    for run, key, value in database.execute("SELECT run_uuid, key, value FROM tags ORDER BY key"):
        if run not in runs or value is None:
            continue
        if key == "mlflow.runName":  # renamed runs, and databases from before `runs.name`
            runs[run].about["name"] = clean(str(value))
        elif not str(key).startswith("mlflow."):
            runs[run].settings[f"tags.{clean(str(key))}"] = clean(str(value))


def _read_metrics(database: sqlite3.Connection, runs: dict[str, Run]) -> None:
    """Read points in the order of step, then time: a metric's last value is that of its last step.

    The view of the latest metrics that MLflow keeps is not used, since it prefers time to step
    where clocks disagree.
    """
    points: dict[tuple[str, str], tuple[list[int], list[float]]] = {}
    query = "SELECT run_uuid, key, step, value, is_nan FROM metrics ORDER BY step, timestamp, rowid"
    for run, key, step, value, is_nan in database.execute(query):
        if run in runs:
            steps, values = points.setdefault((run, clean(str(key))), ([], []))
            steps.append(whole(step) or 0)
            values.append(math.nan if is_nan else _amount(value))
    for (run, key), (steps, values) in points.items():
        runs[run].series[key] = Series.of(steps, values)


def _amount(value: Any) -> float:
    """Undo how MLflow writes infinity into SQL; a cell that is no number counts as NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else float(value)
