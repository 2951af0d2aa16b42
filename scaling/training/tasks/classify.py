"""Classification of sequences by an encoder, from scratch or from a pretrained one."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scaling.runs.files import canonical_json
from scaling.runs.manifest import arrays
from scaling.training.models.encoder import Encoder, build
from scaling.training.tasks.base import Batch, Point, Task, seed_of
from scaling.training.tasks.classes import class_metrics
from scaling.training.tasks.order import Stream
from scaling.training.tasks.text import full

Part = tuple[Tensor, Tensor]


class Classify(Task):
    """Classes of sequences; the loss is in nats per sequence, and D counts their tokens."""

    def __init__(self, point: Point, device: torch.device, folder: Path | None = None) -> None:
        super().__init__(point, device, folder)
        data = {name: value for name, value in point["data"].items() if name != "unique"}
        self.rows, self.held_out = _kept(canonical_json(data), device)
        count, length = self.rows[0].shape
        unique = point["data"].get("unique")
        most = None if unique is None else max(1, int(unique) // length)
        self.order = Stream(seed_of(point, "data"), count, most)

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """Sequences of a step, (B, T), and their classes, (B,)."""
        size = int(self.point["sequences"])
        numbers = self.order(step * size, size).reshape(ranks, -1)[rank]
        return self._taken(self.rows, torch.from_numpy(numbers))

    @property
    def checks(self) -> int:
        """Validation sequences, as many as the recipe asks for."""
        return min(len(self.held_out[1]), int(self.point["evaluation"]["sequences"]))

    def validation(self, which: Tensor) -> Batch:
        """Validation sequences by their number, and their classes."""
        return self._taken(self.held_out, which)

    def _taken(self, part: Part, which: Tensor) -> Batch:
        which = which.to(self.device)
        return part[0][which].long(), part[1][which]

    @property
    def ceiling(self) -> float:
        """Loss of the uniform prediction [nats]."""
        return math.log(self.point["shape"]["classes"])

    def build(self) -> Encoder:
        """Build the encoder of the point's shape, with a head for classes."""
        return build(self.point["shape"], **self.start)

    def each(self, model: nn.Module, batch: Batch) -> Tensor:
        """Cross-entropy of each sequence's class [nats], shape (B,)."""
        tokens, labels = batch
        return F.cross_entropy(full(model(tokens)), labels, reduction="none")

    def examine(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Loss of each sequence, its class, and the one that the model holds most likely."""
        tokens, labels = batch
        logits = full(model(tokens))
        losses = F.cross_entropy(logits, labels, reduction="none")
        return {"loss": losses, "label": labels, "predicted": logits.argmax(dim=1)}

    def metrics(self, seen: Mapping[str, Tensor]) -> dict[str, Any]:
        """Accuracy, error, and a report of each class."""
        return class_metrics(self.point, seen)


@lru_cache(maxsize=2)
def _kept(data: str, device: torch.device) -> tuple[Part, Part]:
    """Both parts on the device, as they are kept."""
    train, held_out = arrays(json.loads(data))
    return _part(train, device), _part(held_out, device)


def _part(part: Mapping[str, Any], device: torch.device) -> Part:
    tokens, labels = part["tokens"], part["labels"]
    if tokens.dtype.kind == "u" and tokens.dtype.itemsize > 1:  # few operations know these
        tokens = tokens.astype("int32")
    return torch.tensor(tokens).to(device), torch.tensor(labels).long().to(device)
