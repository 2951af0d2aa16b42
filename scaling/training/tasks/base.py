"""What a task is: batches in a fixed order, the model of a shape, its loss and its metrics.

A task belongs to one point on one device. What a step sees is a pure function of the point and the
number of the step, so no loader has a state, a shorter run sees a prefix of what a longer one
sees, and neither the number of processes nor the size of a pass can change what a step sees.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scaling.training.tasks.start import load_start

Batch = Tensor | tuple[Tensor, ...]
Point = Mapping[str, Any]
SEEDS = ("init", "data", "dropout")
AT_ONCE = 256  # examples of one pass of an evaluation


def seed_of(point: Point, stream: str) -> int:
    """Seed of the initialisation, the order of the data or the dropout of a point.

    All three are the point's seed unless its start names another.
    """
    return int(point["init"].get(f"seed_{stream}", point["seed"]))


class Task:
    """Base of all tasks that are trained by gradients.

    A task gives `batch`, `validation`, `build` and either `each` or both `loss` and `examine`.

    Parameters
    ----------
    point : mapping
        A line of ``plan.jsonl``.
    device : torch.device
    folder : Path, optional
        Sweep folder, in which the weights that a point starts from are looked for.

    Attributes
    ----------
    divisible : bool
        Whether a batch may be passed in parts, with the gradient of the whole; not so where
        examples of a batch see each other, as under batch norm.
    resident : bool
        Whether batches are made on the device. Else the next one is prepared while it computes.
    at_once : int
        Examples of one pass of an evaluation.
    loss_unit : str
        Unit of the loss, where it is not nats per token.
    """

    divisible: bool = True
    resident: bool = True
    at_once: int = AT_ONCE
    loss_unit: str = "a loss per example"

    def __init__(self, point: Point, device: torch.device, folder: Path | None = None) -> None:
        self.point, self.device, self.folder = point, device, folder

    @property
    def options(self) -> Mapping[str, Any]:
        """Options of the task, as the study set them, with their defaults."""
        found: Mapping[str, Any] = self.point.get("settings", {})
        return found

    # --------------------------------------------------------------------------------------- data

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """What a step (0-based) sees, or the share of one of several processes.

        Returns
        -------
        Tensor or tuple of Tensor
            On the device; examples lie along the first axis, ``sequences / ranks`` of them.
        """
        raise NotImplementedError

    @property
    def checks(self) -> int:
        """Validation examples (or sequences): the same in every evaluation."""
        raise NotImplementedError

    def validation(self, which: Tensor) -> Batch:
        """Validation examples by their number, in the form of a batch.

        Parameters
        ----------
        which : Tensor
            Shape (n,), int64, on the CPU.
        """
        raise NotImplementedError

    @property
    def ceiling(self) -> float:
        """Loss of a prediction that knows nothing; a loss well above it is a divergence."""
        return math.inf

    # -------------------------------------------------------------------------------------- model

    def build(self) -> nn.Module:
        """Build the model of the point's shape, on the CPU, from torch's global generator."""
        raise NotImplementedError

    def model(self) -> nn.Module:
        """Build the model from the point's seed, check its count, and load what it starts from."""
        torch.manual_seed(seed_of(self.point, "init"))
        model = self.build()
        built = sum(p.numel() for p in model.parameters())
        planned = self.point["N"] + self.point["N_embedding"]
        if built != planned:
            raise AssertionError(f"the model has {built} parameters, the plan {planned}")
        load_start(model, self.point, self.folder)
        return model.to(self.device)

    @property
    def start(self) -> dict[str, Any]:
        """What the point's start says of the model, seeds and earlier points left out."""
        own = self.point["init"]
        return {k: v for k, v in own.items() if not k.startswith("seed_") and k != "from"}

    # --------------------------------------------------------------------------------------- loss

    def each(self, model: nn.Module, batch: Batch) -> Tensor:
        """Loss of each example, shape (B,), in float32 or better."""
        raise NotImplementedError

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Loss that is descended: the mean over the batch."""
        return self.each(model, batch).mean()

    @property
    def function(self) -> Callable[[nn.Module, Any], Tensor]:
        """The loss as a function that is compiled once for all points of a shape."""
        return self.loss

    def examine(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """What is seen of validation examples: ``loss``, and what `metrics` needs beside it.

        Returns
        -------
        dict of str to Tensor
            Each with the examples along its first axis.
        """
        return {"loss": self.each(model, batch)}

    def metrics(self, seen: Mapping[str, Tensor]) -> dict[str, Any]:
        """Further figures of a trained model, for its record.

        Parameters
        ----------
        seen : mapping of str to Tensor
            What `examine` gave of all validation examples, on the CPU; floats are float64.

        Returns
        -------
        dict
            Numbers become columns of ``results.csv``; anything else stays in the record.
        """
        del seen
        return {}

    @torch.no_grad()
    def examined(self, model: nn.Module, which: Tensor) -> dict[str, Tensor]:
        """Let `examine` see validation examples by their number, some at a time."""
        found: dict[str, list[Tensor]] = {}
        for part in torch.split(which, self.at_once):
            for name, value in self.examine(model, self.validation(part)).items():
                kept = value.double() if value.is_floating_point() else value
                found.setdefault(name, []).append(kept.cpu())
        return {name: torch.cat(parts) for name, parts in found.items()}

    def evaluate(self, model: nn.Module) -> tuple[float, float]:
        """Validation loss and its standard error over examples."""
        return summary(self.examined(model, torch.arange(self.checks))["loss"])


class Computed:
    """Base of the tasks whose loss is computed, without gradient steps.

    Parameters
    ----------
    point : mapping

    Attributes
    ----------
    loss_unit : str
        Unit of the loss, where it is not nats per token.
    """

    loss_unit: str = "a loss per example"

    def __init__(self, point: Point) -> None:
        self.point = point

    @property
    def options(self) -> Mapping[str, Any]:
        """Options of the data source."""
        found: Mapping[str, Any] = self.point["data"]["options"]
        return found

    def outcome(self) -> dict[str, Any]:
        """What the point comes to.

        Returns
        -------
        dict
            ``loss`` and ``loss_se`` (None where it is exact), and ``metrics``, a mapping, where
            there is more to say.
        """
        raise NotImplementedError


def summary(losses: Tensor) -> tuple[float, float]:
    """Mean of the losses of examples, and its standard error."""
    return float(losses.mean()), float(losses.std() / math.sqrt(len(losses)))


def divided(batch: Batch, size: int, axis: int = 0) -> list[Batch]:
    """Divide a batch into passes of so many examples."""
    if isinstance(batch, Tensor):
        return list(torch.split(batch, size, dim=axis))
    return list(zip(*(torch.split(part, size, dim=axis) for part in batch), strict=True))


def host_to(device: torch.device, part: Tensor) -> Tensor:
    """Copy a tensor of the host to the device, without waiting where memory can be pinned."""
    if device.type == "cuda":
        return part.pin_memory().to(device, non_blocking=True)
    return part.to(device)
