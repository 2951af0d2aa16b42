"""What a step costs on this machine: the calibration that plans read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from scaling.runs.files import canonical_json
from scaling.training.loop import Trainer

SCHEMA = "scaling/calibration@1"
WARM_UP = 5


def measure(
    points: Iterable[Mapping[str, Any]],
    device: str = "auto",
    seconds: float = 1.0,
    listener: Callable[[str, float], None] | None = None,
) -> dict[str, Any]:
    """Time the training step and the evaluation of every distinct shape.

    Parameters
    ----------
    points : iterable of mapping
        Points of a plan.
    device : {"auto", "cpu", "cuda"}
    seconds : float
        Time to spend on each shape [s].
    listener : callable, optional
        Called with (shape key, seconds per step).

    Returns
    -------
    dict
        ``{"schema", "device", "torch", "shapes": {key: {"seconds_per_step",
        "evaluation_seconds"}}}``.
    """
    name = device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = torch.device(name)
    shapes: dict[str, dict[str, float]] = {}
    for point in points:
        key = canonical_json({**point["shape"], "sequences": point["sequences"]})
        if key in shapes:
            continue
        trainer = Trainer(point, chosen)
        for _ in range(WARM_UP):
            trainer.train_step()
        _wait(chosen)
        times: list[float] = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(times) < 3:
            began = time.perf_counter()
            for _ in range(5):
                trainer.train_step()
            _wait(chosen)
            times.append((time.perf_counter() - began) / 5)
        began = time.perf_counter()
        trainer.task.evaluate(trainer.model)
        _wait(chosen)
        shapes[key] = {
            "seconds_per_step": sorted(times)[len(times) // 2],
            "evaluation_seconds": time.perf_counter() - began,
        }
        if listener is not None:
            listener(key, shapes[key]["seconds_per_step"])
    device_name = torch.cuda.get_device_name(chosen) if name == "cuda" else "cpu"
    return {"schema": SCHEMA, "device": device_name, "torch": torch.__version__, "shapes": shapes}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
