"""Results of points on disk: one record a point, committed once; tables are views of them."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import shutil
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.errors import ConfigError, Fault, OutputError
from scaling.runs.columns import STATUSES
from scaling.runs.files import commit_once, explain_os_errors, temporary_name, write_atomic

RECORD_SCHEMA = "scaling/record@1"
STATUS_SCHEMA = "scaling/status@1"
RUNNING_SECONDS = 30.0
RESULT_COLUMNS = (
    "run",
    "group",
    "budget",
    "N",
    "D",
    "C",
    "loss",
    "N_embedding",
    "N_head",
    "N_body",
    "C_6nd",
    "D_unique",
    "epochs",
    "seed",
    "trunk",
    "status",
    "batch",
    "lr",
    "steps",
    "loss_se",
    "train_loss",
    "C_spent",
    "warmup",
    "schedule",
)
PRETRAIN = "pretrain"  # folder of the stage that other points of a sweep start from
MEASURED = ("status", "loss", "loss_se", "train_loss", "C_spent")

Point = Mapping[str, Any]


@dataclass(frozen=True)
class PointFiles:
    """Names of the files of one point."""

    folder: Path

    @classmethod
    def of(cls, out: Path, point_id: str) -> PointFiles:
        """Files of the point `point_id` in the sweep folder `out`."""
        return cls(out / "points" / point_id[:2] / point_id)

    @property
    def record(self) -> Path:
        """The result; its presence is what done means."""
        return self.folder / "record.json"

    @property
    def curve(self) -> Path:
        """The learning curve."""
        return self.folder / "curve.csv"

    @property
    def progress(self) -> Path:
        """State while running."""
        return self.folder / "progress.json"

    def checkpoints(self) -> list[Path]:
        """Checkpoints, newest first."""
        return checkpoints_in(self.folder)


def checkpoints_in(folder: Path) -> list[Path]:
    """Checkpoints of a folder, newest first."""
    return sorted(
        (path for end in ("pt", "dcp") for path in folder.glob(f"checkpoint-*.{end}")),
        key=lambda path: path.stem,
        reverse=True,
    )


def trunk_folder(out: Path, trunk: str) -> Path:
    """Folder of the checkpoints that the branches of a trunk share."""
    return out / "trunks" / trunk


def load_plan(out: Path) -> list[dict[str, Any]]:
    """Read ``plan.jsonl`` of a sweep folder.

    Raises
    ------
    ConfigError
        SC005 if there is none, SC101 if a line is not a point.
    """
    path = out / "plan.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        raise ConfigError(
            Fault(
                "SC005",
                str(path),
                "not found",
                "a planned sweep",
                "scaling sweep plan FILE.toml -o OUT",
            )
        ) from None
    points = []
    for number, line in enumerate(lines, start=1):
        try:
            point = json.loads(line)
            point["id"], point["steps"], point["shape"]
        except (ValueError, KeyError, TypeError):
            raise ConfigError(
                Fault(
                    "SC101",
                    f"{path.name}:{number}",
                    "is not a point",
                    "a line of a plan",
                    "plan again",
                    line,
                )
            ) from None
        points.append(point)
    return points


def write_progress(out: Path, point: Point, **state: Any) -> None:
    """Say how far a running point is; it need not survive a crash, so it is not synced."""
    path = PointFiles.of(out, point["id"]).progress
    text = json.dumps({**state, "steps": point["steps"], "updated": time.time()})
    temporary = temporary_name(path)
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text)
        temporary.replace(path)


def rest(out: Path, point_id: str) -> None:
    """Say that a point which has progress does not run any more, so that nobody waits to see."""
    path = PointFiles.of(out, point_id).progress
    with contextlib.suppress(OSError, ValueError):
        state = json.loads(path.read_text())
        temporary = temporary_name(path)
        temporary.write_text(json.dumps({**state, "updated": 0.0}))
        temporary.replace(path)


def read_record(out: Path, point_id: str) -> dict[str, Any] | None:
    """Return the valid record of a point, or None; a damaged record counts as none.

    Raises
    ------
    OutputError
        SC003 if there is one that cannot be read: it is not to be trained again for that.
    """
    path = PointFiles.of(out, point_id).record
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        found, mend = f"cannot be read: {error.strerror}", "mend its permissions, or the disk"
        raise OutputError(Fault("SC003", str(path), found, mend=mend)) from error
    ok = (
        isinstance(record, dict)
        and record.get("schema") == RECORD_SCHEMA
        and record.get("id") == point_id
        and record.get("status") in STATUSES
    )
    return record if ok else None


def commit_record(out: Path, record: Mapping[str, Any]) -> bool:
    """Write a record unless the point has one; return whether this call wrote it.

    A damaged record (not one of ours, or cut off) is moved aside first.
    """
    files = PointFiles.of(out, str(record["id"]))
    if files.record.exists() and read_record(out, str(record["id"])) is None:
        files.record.rename(_free_name(files))
    text = json.dumps({"schema": RECORD_SCHEMA, **record}, indent=1, allow_nan=False) + "\n"
    return commit_once(files.record, text)


def retry(out: Path, points: Iterable[Point], statuses: Iterable[str]) -> int:
    """Set records with these statuses aside, so that their points run again; return how many."""
    wanted, count = set(statuses), 0
    for point in points:
        record = read_record(out, point["id"])
        if record is not None and record["status"] in wanted:
            files = PointFiles.of(out, point["id"])
            files.record.rename(_free_name(files))
            count += 1
    return count


def clear_remains(
    out: Path, points: Collection[Point], keep: bool, busy: Collection[str] = ()
) -> None:
    """Remove what processes that were killed have left.

    These are files that were not finished, and checkpoints of points that have a record since. A
    failed point keeps its own, which it goes on from if it is to run again.

    Parameters
    ----------
    out : Path
    points : iterable of mapping
        Of the whole plan.
    keep : bool
        Whether checkpoints are wanted.
    busy : collection of str
        Ids of points that a process may be at work on; their files stay.
    """
    pending: dict[str, bool] = {}  # whether a branch is left, by trunk
    working = {str(p["trunk"]) for p in points if p["id"] in busy}
    with explain_os_errors(out):
        for path in [*out.glob(".*.tmp"), *out.glob("trials/.*.tmp")] if not busy else ():
            path.unlink(missing_ok=True)
        for point in points:
            record = read_record(out, point["id"])
            trunk = str(point["trunk"])
            pending[trunk] = pending.get(trunk, False) or record is None
            done = record is not None and record["status"] != "failed"
            if point["id"] not in busy:
                _clear(PointFiles.of(out, point["id"]).folder, done, keep)
        for trunk, left in pending.items():
            if trunk not in working:
                _clear(trunk_folder(out, trunk), not left, keep)


def _clear(folder: Path, done: bool, keep: bool) -> None:
    for path in list(folder.iterdir()) if folder.is_dir() else ():
        needless = path.name == "progress.json" or (
            path.name.startswith("checkpoint-") and not keep
        )
        if path.suffix == ".tmp" or (done and needless):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _free_name(files: PointFiles) -> Path:
    k = 1
    while (files.folder / f"record.{k}.json").exists():
        k += 1
    return files.folder / f"record.{k}.json"


def write_results(out: Path, points: Iterable[Point]) -> dict[str, Any]:
    """Regenerate ``results.csv`` and ``records.jsonl`` from the records of the plan's points.

    Returns
    -------
    dict
        Number of records by status.
    """
    counts = dict.fromkeys(STATUSES, 0)
    table, lines = io.StringIO(), []
    writer = csv.writer(table, lineterminator="\n")
    rows: list[tuple[list[Any], Mapping[str, Any]]] = []
    for point in points:
        record = read_record(out, point["id"])
        if record is None:
            continue
        counts[record["status"]] += 1
        lines.append(json.dumps(record, separators=(",", ":")) + "\n")
        own = {k: record[k] for k in ("loss_unit",) if k in record}
        rows.append((result_row(point, record), {**own, **(record.get("metrics") or {})}))
    more = _columns(metrics for _, metrics in rows)
    writer.writerow([*RESULT_COLUMNS, *more])
    writer.writerows([*row, *(_spelt(metrics.get(name)) for name in more)] for row, metrics in rows)
    write_atomic(out / "results.csv", table.getvalue())
    write_atomic(out / "records.jsonl", "".join(lines))
    return counts


def _columns(every: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of the further columns: the unit of the loss, and figures in the order they are met."""
    names: dict[str, None] = {}
    for metrics in every:
        for name, value in metrics.items():
            plain = isinstance(value, int | float) or name == "loss_unit"
            if plain and name not in RESULT_COLUMNS:
                names.setdefault(name)
    return list(names)


def result_row(point: Point, record: Mapping[str, Any]) -> list[Any]:
    """Return the cells of a point under `RESULT_COLUMNS`; what is missing is empty."""
    return [_cell(name, point, record) for name in RESULT_COLUMNS]


def _cell(name: str, point: Point, record: Mapping[str, Any]) -> Any:
    if name == "run":
        return point["id"]
    optimizer = point.get("optimizer") or {}
    if name == "warmup":
        return _spelt(optimizer.get("warmup_steps"))
    if name == "schedule":  # a linear decay is what a plan leaves out
        return optimizer.get("shape", "linear") if "decay_steps" in optimizer else ""
    return _spelt(record.get(name) if name in MEASURED else point[name])


def _spelt(value: Any) -> Any:
    return "" if value is None else repr(value) if isinstance(value, float) else value


def status(out: Path) -> dict[str, Any]:
    """State of every point of a sweep, in the form ``scaling/status@1``."""
    rows = []
    counts = dict.fromkeys(("done", "running", "failed", "diverged", "too-big", "pending"), 0)
    for point in load_plan(out):
        row = _state(out, point)
        counts[row["status"]] += 1
        rows.append(row)
    return {"schema": STATUS_SCHEMA, "points": rows, "counts": counts}


def _state(out: Path, point: Point) -> dict[str, Any]:
    row = {name: point[name] for name in ("id", "group", "budget", "N", "D", "C", "seed", "steps")}
    record = read_record(out, point["id"])
    if record is not None:
        return row | {
            "status": record["status"],
            "step": record["steps_done"],
            "loss": record["loss"],
            "cause": record.get("cause"),
        }
    try:
        progress = json.loads(PointFiles.of(out, point["id"]).progress.read_text())
        fresh = time.time() - progress["updated"] < RUNNING_SECONDS
        return row | {
            "status": "running" if fresh else "pending",
            "step": progress["step"],
            "loss": progress["loss"],
            "cause": None,
        }
    except (OSError, ValueError, KeyError):
        return row | {"status": "pending", "step": 0, "loss": None, "cause": None}
