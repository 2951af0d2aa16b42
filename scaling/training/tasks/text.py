"""Text and symbol sequences: windows in an order that is a pure function of (seed, step)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from scaling.runs.manifest import load
from scaling.training.tasks.decoder import Decoder

EVALUATION_BATCH, EVALUATION_LOGITS = 256, 2**21  # most sequences, and most logits, at once


class Text:
    """Next-token prediction for one point.

    Parameters
    ----------
    point : mapping
        A line of ``plan.jsonl``.
    device : torch.device
    """

    def __init__(self, point: Mapping[str, Any], device: torch.device) -> None:
        self.point = point
        self.device = device
        self.context = int(point["shape"]["context"])
        train, validation = load(point["data"])
        self.train = torch.from_numpy(train.copy()).to(device)
        self.offsets = torch.arange(self.context + 1, device=device)
        self.windows = (len(train) - 1) // self.context
        self.validation = self._fixed(validation, int(point["evaluation"]["sequences"]))
        self._epoch = -1
        self._order: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def _fixed(self, tokens: NDArray[np.uint8], sequences: int) -> Tensor:
        """Validation windows (S, T + 1) at one stride over the held-out part."""
        last = len(tokens) - self.context - 1
        sequences = min(sequences, last // self.context)
        starts = torch.arange(sequences) * (last // sequences)
        return torch.from_numpy(tokens.copy())[starts[:, None] + self.offsets.cpu()].to(self.device)

    def order(self, first: int, count: int) -> NDArray[np.int64]:
        """Windows number `first` … of the endless stream: a new permutation each epoch.

        A shorter run sees a prefix of what a longer one with the same seed sees.
        """
        out = np.empty(count, dtype=np.int64)
        for i in range(count):
            epoch, position = divmod(first + i, self.windows)
            if epoch != self._epoch:
                rng = np.random.default_rng([int(self.point["seed"]), epoch])
                self._epoch, self._order = epoch, rng.permutation(self.windows)
            out[i] = self._order[position]
        return out

    def batch(self, step: int) -> Tensor:
        """Tokens of one step (0-based), shape (sequences, T + 1), int64."""
        size = int(self.point["sequences"])
        starts = torch.from_numpy(self.order(step * size, size) * self.context).to(self.device)
        return self.train[starts[:, None] + self.offsets].long()

    def model(self) -> Decoder:
        """Build the model of the point's shape from the point's seed; check its count."""
        torch.manual_seed(int(self.point["seed"]))
        model = Decoder(self.point["shape"], **self.point["init"])
        built = sum(p.numel() for p in model.parameters())
        planned = self.point["N"] + self.point["N_embedding"]
        if built != planned:
            raise AssertionError(f"the model has {built} parameters, the plan {planned}")
        return model.to(self.device)

    def loss(self, model: torch.nn.Module, tokens: Tensor) -> Tensor:
        """Mean cross-entropy [nats per token], reduced in float32."""
        logits = model(tokens[:, :-1])
        return F.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten())

    @property
    def ceiling(self) -> float:
        """Loss of the uniform prediction [nats per token]."""
        return math.log(self.point["shape"]["vocabulary"])

    @torch.no_grad()
    def evaluate(self, model: torch.nn.Module) -> tuple[float, float]:
        """Validation loss and its standard error over sequences [nats per token]."""
        means = []
        each = self.context * int(self.point["shape"]["vocabulary"])
        at_once = max(1, min(EVALUATION_BATCH, EVALUATION_LOGITS // each))
        for part in torch.split(self.validation, at_once):
            tokens = part.long()
            logits = model(tokens[:, :-1]).float()
            losses = F.cross_entropy(
                logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none"
            )
            means.append(losses.view(len(tokens), -1).mean(dim=1).double().cpu())
        per_sequence = torch.cat(means)
        error = per_sequence.std() / math.sqrt(len(per_sequence))
        return float(per_sequence.mean()), float(error)
