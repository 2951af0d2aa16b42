"""Examples that a source draws, learned by a fully connected network."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scaling.runs.files import canonical_json
from scaling.runs.manifest import arrays
from scaling.runs.sources.drawn import step_examples
from scaling.training.models.registry import build
from scaling.training.tasks.base import Batch, Point, Task, host_to, seed_of
from scaling.training.tasks.text import full


class DrawnExamples(Task):
    """Cross-entropy [nats] on examples of classes, squared error on examples of numbers."""

    @property
    def loss_unit(self) -> str:  # type: ignore[override]
        """Unit of the loss."""
        return "nats per example" if self.classes else "squared error"

    # batches are drawn by numpy on the host while the device computes
    resident = False

    def __init__(self, point: Point, device: torch.device, folder: Path | None = None) -> None:
        super().__init__(point, device, folder)
        self.x, self.y = _held_out(canonical_json(point["data"]), device)

    @cached_property
    def classes(self) -> bool:
        """Whether y are classes."""
        return not self.y.is_floating_point()

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """Examples of a step: x (sequences / ranks, inputs) and y (sequences / ranks,)."""
        data, size = self.point["data"], int(self.point["sequences"])
        seed = seed_of(self.point, "data")
        drawn = step_examples(data["source"], data["options"], seed, step, size)
        share = slice(rank * size // ranks, (rank + 1) * size // ranks)
        return tuple(host_to(self.device, torch.from_numpy(part[share])) for part in drawn)

    @property
    def checks(self) -> int:
        """Validation examples: all that the source gives."""
        return len(self.x)

    def validation(self, which: Tensor) -> Batch:
        """Validation examples by their number."""
        at = which.to(self.device)
        return self.x[at], self.y[at]

    @property
    def ceiling(self) -> float:
        """Loss of the uniform prediction, or of the mean."""
        if self.classes:
            return math.log(self.point["shape"]["outputs"])
        return float(self.y.double().var())

    def build(self) -> nn.Module:
        """Build the network of the point's shape; of its start, dropout concerns it."""
        own = {k: v for k, v in self.start.items() if k == "dropout"}
        return build(str(self.point["family"]), self.point["shape"], **own)

    def each(self, model: nn.Module, batch: Batch) -> Tensor:
        """Loss of each example, shape (B,)."""
        return _losses(model, batch)

    @property
    def function(self) -> Callable[[nn.Module, Any], Tensor]:
        """The loss without the task."""
        return mean_loss

    def examine(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Losses, and which classes are right."""
        x, y = batch
        outputs = full(model(x))
        seen = {"loss": _loss(outputs, y)}
        if self.classes:
            seen["right"] = outputs.argmax(dim=1) == y
        return seen

    def metrics(self, seen: Mapping[str, Tensor]) -> dict[str, Any]:
        """Accuracy on classes."""
        return {"accuracy": float(seen["right"].double().mean())} if "right" in seen else {}


def mean_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean loss of a batch."""
    return _losses(model, batch).mean()


def _losses(model: nn.Module, batch: Batch) -> Tensor:
    x, y = batch
    return _loss(full(model(x)), y)


def _loss(outputs: Tensor, y: Tensor) -> Tensor:
    if y.is_floating_point():
        return (outputs[:, 0] - y).square()
    return F.cross_entropy(outputs, y, reduction="none")


@lru_cache(maxsize=2)
def _held_out(data: str, device: torch.device) -> tuple[Tensor, Tensor]:
    _, held_out = arrays(json.loads(data))
    x, y = (torch.from_numpy(held_out[name].copy()).to(device) for name in ("x", "y"))
    return x, y
