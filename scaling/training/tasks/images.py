"""Images in classes: cross-entropy, accuracy and a report of each class."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from scaling.count.tasks import BATCH_NORM
from scaling.training.models import images as models
from scaling.training.tasks.augment import Augment
from scaling.training.tasks.base import Batch, Point, Task, seed_of
from scaling.training.tasks.classes import class_metrics
from scaling.training.tasks.pictures import Balanced, balanced, channels_last, pictures_of

DROPS = ("vit", "vgg", "mobilenet")


class Images(Task):
    """Classification of images for one point; the loss is in nats per image."""

    def __init__(self, point: Point, device: torch.device, folder: Path | None = None) -> None:
        super().__init__(point, device, folder)
        self.pictures = pictures_of(point["data"], device)
        self.augment = Augment.of(self.options)
        self.order = Balanced(
            seed_of(point, "data"), self.pictures.labels, point["data"].get("unique")
        )

    # --------------------------------------------------------------------------------------- data

    @property
    def divisible(self) -> bool:  # type: ignore[override]
        """Whether no batch norm sees several images."""
        return self.point["family"] not in BATCH_NORM

    @property
    def resident(self) -> bool:  # type: ignore[override]
        """Whether the training images lie on the device."""
        return self.pictures.resident

    @cached_property
    def size(self) -> int:
        """Images of a step."""
        return int(self.point["sequences"])

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """What a step (0-based) sees, or the share of one of several processes.

        Returns
        -------
        tuple of Tensor
            Images, (B, C, H, W) of floats, and labels (B,); under MixUp also the labels of the
            partners and the weights of an image's own label, both (B,).
        """
        numbers = self.order(step * self.size, self.size)
        places = np.arange(self.size).reshape(ranks, -1)[rank]
        draws = self.augment.draw(seed_of(self.point, "data"), step, self.size)
        images, labels = self._seen(numbers, places, draws)
        if self.augment.kind != "mixup":
            return channels_last(images), labels
        others, other_labels = self._seen(numbers, draws.partner[places], draws)
        share = torch.from_numpy(draws.share[places]).to(images)
        weight = share.view(-1, 1, 1, 1)
        mixed = images * weight + others * (1 - weight)
        return channels_last(mixed), labels, other_labels, share

    def _seen(
        self, numbers: NDArray[np.int64], places: NDArray[np.int64], draws: Any
    ) -> tuple[Tensor, Tensor]:
        images, labels = self.pictures.gather(numbers[places])
        return self.pictures.normal(self.augment.apply(images, draws, places)), labels

    @property
    def checks(self) -> int:
        """Validation images, as many as the recipe asks for."""
        return len(self._checked)

    @cached_property
    def _checked(self) -> NDArray[np.int64]:
        """Numbers of the validation images: all, or a balanced part that is always the same."""
        labels, most = self.pictures.held_out[1], int(self.point["evaluation"]["sequences"])
        return np.arange(len(labels)) if most >= len(labels) else balanced(0, labels)[:most]

    def validation(self, which: Tensor) -> Batch:
        """Validation images by their number, and labels; never augmented."""
        images, labels = self.pictures.checked(self._checked[which.numpy()])
        return channels_last(self.pictures.normal(images)), labels

    @property
    def ceiling(self) -> float:
        """Loss of the uniform prediction [nats per image]."""
        return math.log(self.point["shape"]["classes"])

    # -------------------------------------------------------------------------------------- model

    def build(self) -> nn.Module:
        """Build the network of the point's family and shape; without dropout unless asked for."""
        family, shape = self.point["family"], self.point["shape"]
        dropout = {"dropout": float(self.start.get("dropout", 0.0))} if family in DROPS else {}
        model: nn.Module = getattr(models, family)(shape, **dropout)
        return model

    def each(self, model: nn.Module, batch: Batch) -> Tensor:
        """Cross-entropy of each image [nats], shape (B,)."""
        return losses(model, batch)[0]

    @property
    def function(self) -> Callable[[nn.Module, Any], Tensor]:
        """The loss without the task."""
        return mean_loss

    # ----------------------------------------------------------------------------------- metrics

    def examine(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Loss, label and prediction of each image."""
        loss, logits = losses(model, batch)
        return {"loss": loss, "label": batch[1], "predicted": logits.argmax(dim=1)}

    def metrics(self, seen: Mapping[str, Tensor]) -> dict[str, Any]:
        """Accuracy, error with its standard error, and a report of each class.

        Returns
        -------
        dict
            As `scaling.training.tasks.classes.class_metrics` gives it.
        """
        return class_metrics(self.point, seen)


def losses(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each image [nats], shape (B,), in float32 or better, and the logits."""
    images, labels, *mixed = batch
    logits = model(images.to(next(model.parameters()).dtype))
    if logits.dtype in (torch.bfloat16, torch.float16):
        logits = logits.float()
    loss = F.cross_entropy(logits, labels, reduction="none")
    if mixed:
        others, share = mixed
        loss = share * loss + (1 - share) * F.cross_entropy(logits, others, reduction="none")
    return loss, logits


def mean_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy [nats per image]."""
    return losses(model, batch)[0].mean()
