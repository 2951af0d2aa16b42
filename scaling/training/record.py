"""Records: what a finished point leaves, with where its numbers came from."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from scaling.runs.files import write_atomic
from scaling.runs.provenance import commit, gpu_driver, versions
from scaling.runs.records import PointFiles, commit_record, read_record
from scaling.training.checkpoint import Checkpoints
from scaling.training.device import peak_flops
from scaling.training.loop import Outcome
from scaling.training.setup import Setup

CURVE_COLUMNS = ("step", "tokens", "flops", "train_loss", "val_loss", "lr", "grad_norm")
Point = Mapping[str, Any]


def keep(
    out: Path,
    point: Point,
    outcome: Outcome,
    device: torch.device,
    setup: Setup,
    **more: Any,
) -> dict[str, Any]:
    """Commit the record of an outcome, and remove what was only needed while it ran.

    Returns
    -------
    dict
        The record of the point, which is another's if that was there first.
    """
    files = PointFiles.of(out, point["id"])
    if read_record(out, point["id"]) is None:  # the curve of another's record stays, too
        write_atomic(files.curve, _curve_csv(outcome))
        record = make_record(point, outcome, device, setup, **more)
        commit_record(out, record)  # last: a point with a record is whole
    files.progress.unlink(missing_ok=True)
    own = Checkpoints(files.folder)
    if setup.keep:
        own.newest_only()
    elif outcome.status != "failed":  # a failed point may go on from its own, if asked to
        own.remove()
    found = read_record(out, point["id"])
    assert found is not None
    return found


def make_record(
    point: Point,
    outcome: Outcome,
    device: torch.device,
    setup: Setup | None = None,
    *,
    micro: int | None = None,
    compiled: str | None = None,
    stacked: int = 1,
    ranks: int = 1,
    trunk_steps: int = 0,
) -> dict[str, Any]:
    """Build the record of an outcome.

    Parameters
    ----------
    point : mapping
    outcome : Outcome
    device : torch.device
    setup : Setup, optional
    micro : int, optional
        Sequences a pass.
    compiled : str, optional
        How the pass was compiled.
    stacked : int
        Points that were trained as one; the time of all is shared equally.
    ranks : int
        Devices.
    trunk_steps : int
        Steps that another branch of the trunk had taken, and that were not taken again.
    """
    effort = outcome.effort
    seconds = effort.seconds / stacked
    own = max(0, outcome.steps_done - trunk_steps)
    per_step = point["C"] / point["steps"]
    return {
        "id": point["id"],
        "status": outcome.status,
        "loss": outcome.loss,
        "loss_se": outcome.loss_se,
        "train_loss": outcome.train_loss,
        "steps_done": outcome.steps_done,
        "cause": outcome.cause,
        "max_grad_norm": outcome.max_grad_norm,
        "spikes": outcome.spikes,
        "first_bad_step": outcome.first_bad_step,
        **({"loss_unit": outcome.loss_unit} if outcome.loss_unit else {}),
        **({"metrics": outcome.metrics} if outcome.metrics else {}),
        "C_spent": per_step * own,
        "trunk_steps": trunk_steps,
        "seconds": round(seconds, 3),
        "effort": {
            "active_seconds": round(effort.active / stacked, 3),
            "evaluation_seconds": round(effort.evaluation / stacked, 3),
            "compile_seconds": round(effort.compile / stacked, 3),
            **_speed(point, own * stacked, effort.active, device, ranks),
        },
        "point": dict(point),
        "provenance": {
            **provenance(device),
            "dtype": _dtype(device, (setup or Setup()).of_point(point)),
            "micro_batch": micro,
            "compiled": compiled,
            "stacked": stacked,
            "devices": ranks,
            "data": point["data"]["hash"],
        },
    }


def _speed(
    point: Point, steps: int, active: float, device: torch.device, ranks: int
) -> dict[str, Any]:
    """Units and FLOP a second of all points that ran together, and the share of the peak."""
    if active <= 0 or not steps:
        return {"units_per_second": None, "flops_per_second": None, "mfu": None}
    rate = steps / active
    flops = rate * point["C"] / point["steps"]
    peak, _ = peak_flops(device)
    return {
        "units_per_second": float(f"{rate * point['batch']:.4g}"),
        "flops_per_second": float(f"{flops:.4g}"),
        "mfu": None if peak is None else float(f"{flops / (peak * ranks):.3g}"),
    }


def _dtype(device: torch.device, setup: Setup) -> str:
    name = str(setup.dtype(device)).removeprefix("torch.")
    return "bfloat16 autocast" if name == "bfloat16" else name


def provenance(device: torch.device) -> dict[str, Any]:
    """Versions, device and what decides the bits of a result."""
    found: dict[str, Any] = {
        **versions("torch", "numpy"),
        "commit": _commit(),
        "device": "cpu",
        "threads": torch.get_num_threads(),
    }
    if device.type != "cuda":
        return found | {"cpu": torch.backends.cpu.get_cpu_capability()}
    return found | {
        "device": torch.cuda.get_device_name(device),
        "driver": gpu_driver(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "tf32": torch.backends.cuda.matmul.allow_tf32,
    }


@lru_cache
def _commit() -> dict[str, Any] | None:
    """Commit of the checkout that this code runs from; None where it was installed."""
    return commit(Path(__file__).parent)


def _curve_csv(outcome: Outcome) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(CURVE_COLUMNS)
    writer.writerows([["" if v is None else v for v in row] for row in outcome.curve])
    return table.getvalue()
