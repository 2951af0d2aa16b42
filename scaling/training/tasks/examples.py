"""Tasks on examples that fit in memory, and the base of a user's own task."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scaling.errors import Fault, TrainingError
from scaling.runs.files import canonical_json
from scaling.training.tasks.base import Batch, Point, Task, seed_of
from scaling.training.tasks.code import CODE, code_of, joined
from scaling.training.tasks.order import Stream

Parts = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]


class Examples(Task):
    """A task whose examples are rows of a few tensors.

    A task of one's own gives `data`, `network` and `each`; a study names it as
    ``[data] task = "module:class"`` and its sizes as ``[model.options] dials``.

    Attributes
    ----------
    rows, held_out : tuple of Tensor
        Training and validation part, on the device.
    order : callable
        ``(first, count) -> ndarray``: which examples are seen, in order; the same for every length.
    """

    def __init__(self, point: Point, device: torch.device, folder: Path | None = None) -> None:
        super().__init__(point, device, folder)
        self.rows, self.held_out = self.parts()
        count = len(self.rows[0])
        self.order = Stream(seed_of(point, "data"), count, point["data"].get("unique"))

    @staticmethod
    def data(options: Mapping[str, Any]) -> Parts:
        """Training and validation part: each a tuple of tensors with examples along the first axis.

        Parameters
        ----------
        options : mapping
            What ``[data] options`` of the study says.
        """
        raise NotImplementedError

    @staticmethod
    def network(dial: int, options: Mapping[str, Any]) -> nn.Module:
        """Model of a size.

        Parameters
        ----------
        dial : int
            One of ``[model.options] dials``.
        options : mapping
            What ``[data] options`` of the study says.
        """
        raise NotImplementedError

    @staticmethod
    def inputs(batch: tuple[Tensor, ...]) -> Any:
        """What the model takes of a batch: its first tensor, unless a task says otherwise."""
        return batch[0]

    def parts(self) -> Parts:
        """Both parts, on the device."""
        options = canonical_json(self.point["data"]["options"])
        return _kept(self.data, options, self.device, self.point["data"]["hash"], self._code())

    def _code(self) -> str:
        """Text of the task's code, where the sweep folder keeps it."""
        module, _, member = str(self.point["task"]).partition(":")
        return joined(code_of(module, (self.folder or Path()) / CODE)) if member else ""

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """Examples of a step, or the share of one of several processes."""
        size = int(self.point["sequences"])
        numbers = self.order(step * size, size).reshape(ranks, -1)[rank]
        which = torch.from_numpy(numbers).to(self.device)
        return tuple(part[which] for part in self.rows)

    @property
    def checks(self) -> int:
        """Validation examples, as many as the recipe asks for."""
        return min(len(self.held_out[0]), int(self.point["evaluation"]["sequences"]))

    def validation(self, which: Tensor) -> Batch:
        """Validation examples by their number."""
        return tuple(part[which.to(self.device)] for part in self.held_out)

    def build(self) -> nn.Module:
        """Build the model of the point's dial."""
        return self.network(int(self.point["shape"]["dial"]), self.point["data"]["options"])


@lru_cache(maxsize=2)
def _kept(
    data: Callable[[Mapping[str, Any]], Parts],
    options: str,
    device: torch.device,
    planned: str,
    code: str,
) -> Parts:
    """Both parts, checked against the hash in the plan.

    Raises
    ------
    TrainingError
        SC305.
    """
    train, held_out = data(json.loads(options))
    found = digest(train, held_out, code)
    if found != planned:
        what, mend = f"{planned[:12]} as planned", "plan again; a task's data may not be random"
        raise TrainingError(Fault("SC305", "data of the task", f"hash {found[:12]}", what, mend))
    return tuple(t.to(device) for t in train), tuple(t.to(device) for t in held_out)


def digest(train: Sequence[Tensor], held_out: Sequence[Tensor], code: str = "") -> str:
    """sha256 over the tensors of both parts and the code that made them."""
    found = hashlib.sha256(code.encode())
    for part in (*train, *held_out):
        found.update(f"{part.dtype}{tuple(part.shape)}".encode())
        found.update(part.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
