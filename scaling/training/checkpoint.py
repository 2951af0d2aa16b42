"""Checkpoints: whole or not at all, checked by hash, the latest two kept."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import torch

from scaling.runs.files import write_atomic
from scaling.runs.records import PointFiles

KEPT = 2


def save(files: PointFiles, step: int, state: dict[str, Any]) -> None:
    """Write the checkpoint of `step`, its hash last, and remove all but the latest two."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    data = buffer.getvalue()
    path = files.folder / f"checkpoint-{step:010d}.pt"
    write_atomic(path, data)
    write_atomic(path.with_suffix(".sha256"), hashlib.sha256(data).hexdigest())
    kept = 0
    for old in files.checkpoints():
        number = int(old.stem.rpartition("-")[2])
        if number <= step and old.with_suffix(".sha256").exists() and kept < KEPT:
            kept += 1
        else:  # too old, or of a later step that a broken attempt left and nobody could continue
            old.unlink(missing_ok=True)
            old.with_suffix(".sha256").unlink(missing_ok=True)


def latest(files: PointFiles, device: torch.device) -> dict[str, Any] | None:
    """Return the newest checkpoint whose hash is right, or None."""
    for path in files.checkpoints():
        try:
            data = path.read_bytes()
            expected = path.with_suffix(".sha256").read_text().strip()
        except OSError:
            continue
        if hashlib.sha256(data).hexdigest() == expected:
            state: dict[str, Any] = torch.load(
                io.BytesIO(data), map_location=device, weights_only=True
            )
            return state
    return None


def remove(files: PointFiles) -> None:
    """Remove every checkpoint of a finished point."""
    for path in files.checkpoints():
        path.unlink(missing_ok=True)
        path.with_suffix(".sha256").unlink(missing_ok=True)
