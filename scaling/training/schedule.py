"""The learning rate of a step: a pure function, so that no scheduler has a state to save."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

AVERAGE = "average"
SHAPES: dict[str, Callable[[float], float]] = {  # of what is left of the decay, from 1 to 0
    "linear": lambda left: left,
    "cosine": lambda left: 0.5 - 0.5 * math.cos(math.pi * left),
    "1-sqrt": lambda left: 1.0 - math.sqrt(1.0 - left),
    AVERAGE: lambda _: 1.0,  # weights are averaged where others let the rate fall
}


def learning_rate(step: int, steps: int, optimizer: Mapping[str, Any]) -> float:
    """Rate of a step (0-based): linear warm-up, constant, then a decay over the last steps.

    The decay is linear to zero, unless the block names another ``shape`` (``cosine`` or
    ``1-sqrt``, Hägele et al. 2024) or a ``floor``, the share of the peak that is left. Under the
    shape ``average`` the rate stays, and the weights of the last steps are averaged.
    """
    warmup, decay = optimizer["warmup_steps"], optimizer["decay_steps"]
    rise = (step + 1) / warmup if warmup else 1.0
    fall = (steps - step) / decay if decay else 1.0
    if fall < 1.0 and "shape" in optimizer:
        fall = SHAPES[optimizer["shape"]](fall)
    floor = optimizer.get("floor", 0.0)
    if floor:
        fall = floor + (1.0 - floor) * fall
    return float(optimizer["lr"] * min(1.0, rise, fall))


def decay_start(point: Mapping[str, Any]) -> int:
    """Steps that a point takes before its decay: until there it is one with its trunk."""
    return int(point["steps"]) - min(int(point["steps"]), int(point["optimizer"]["decay_steps"]))


def averages(point: Mapping[str, Any]) -> bool:
    """Whether a point's weights are averaged instead of letting its rate decay."""
    return bool(point["optimizer"].get("shape") == AVERAGE)
