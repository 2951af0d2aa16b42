"""One point: from its line in the plan to its record, however often it is started."""

from __future__ import annotations

import csv
import io
import json
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from scaling.errors import ScalingError
from scaling.runs.files import write_atomic
from scaling.runs.provenance import versions
from scaling.runs.records import PointFiles, commit_record, read_record
from scaling.training import checkpoint
from scaling.training.loop import Outcome, Stopped, train

CURVE_COLUMNS = ("step", "tokens", "flops", "train_loss", "val_loss", "lr", "grad_norm")
PROGRESS_SECONDS = 0.5


def run_point(
    out: Path,
    point: Mapping[str, Any],
    device: torch.device,
    *,
    checkpoint_seconds: float = 60.0,
    on_progress: Callable[[int, float], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> dict[str, Any]:
    """Train a point unless it has a record; return its record.

    An exception of the training itself becomes a record with status ``failed``; an error of the
    file system or of the data does not, since the point is not to blame.

    Raises
    ------
    ScalingError
        If the data differ from the plan or files cannot be written.
    Stopped
        If `stop` asked for it.
    """
    existing = read_record(out, point["id"])
    if existing is not None:
        return existing
    files = PointFiles.of(out, point["id"])
    files.folder.mkdir(parents=True, exist_ok=True)
    report = _reporter(files, point, on_progress)
    try:
        outcome = train(
            point, files, device, checkpoint_seconds=checkpoint_seconds, progress=report, stop=stop
        )
    except (ScalingError, Stopped, OSError):
        raise
    except Exception:  # noqa: BLE001 - whatever stops a run, its point is kept as failed
        outcome = Outcome("failed", 0, cause=traceback.format_exc(limit=-3))
    write_atomic(files.curve, _curve_csv(outcome))
    commit_record(out, make_record(point, outcome, device))  # last: a point with a record is whole
    files.progress.unlink(missing_ok=True)
    checkpoint.remove(files)
    record = read_record(out, point["id"])
    assert record is not None
    return record


def make_record(point: Mapping[str, Any], outcome: Outcome, device: torch.device) -> dict[str, Any]:
    """Build the record of an outcome."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {
        "id": point["id"],
        "status": outcome.status,
        "loss": outcome.loss,
        "loss_se": outcome.loss_se,
        "train_loss": outcome.train_loss,
        "steps_done": outcome.steps_done,
        "cause": outcome.cause,
        "max_grad_norm": outcome.max_grad_norm,
        "seconds": round(outcome.seconds, 3),
        "point": dict(point),
        "provenance": {
            **versions("torch", "numpy"),
            "device": name,
            "threads": torch.get_num_threads(),
            "dtype": "bfloat16 autocast" if device.type == "cuda" else "float32",
            "data": point["data"]["hash"],
        },
    }


def _reporter(
    files: PointFiles, point: Mapping[str, Any], on_progress: Callable[[int, float], None] | None
) -> Callable[[int, float], None]:
    last = 0.0

    def report(step: int, loss: float) -> None:
        nonlocal last
        now = time.time()
        if now - last < PROGRESS_SECONDS:
            return
        last = now
        state = {"step": step, "steps": point["steps"], "loss": loss, "updated": now}
        temporary = files.progress.with_suffix(".tmp")
        temporary.write_text(json.dumps(state))
        temporary.replace(files.progress)
        if on_progress is not None:
            on_progress(step, loss)

    return report


def _curve_csv(outcome: Outcome) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(CURVE_COLUMNS)
    writer.writerows([["" if v is None else v for v in row] for row in outcome.curve])
    return table.getvalue()
