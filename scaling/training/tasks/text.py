"""Text and symbol sequences: next-token prediction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from scaling.training.tasks.corpus import Stream, corpus_of
from scaling.training.tasks.decoder import Decoder

EVALUATION_BATCH, EVALUATION_LOGITS = 256, 2**21  # most sequences, and most logits, at once
SEEDS = ("init", "data", "dropout")


def seed_of(point: Mapping[str, Any], stream: str) -> int:
    """Seed of the initialisation, the order of the data or the dropout of a point.

    All three are the point's seed unless its start names another.
    """
    return int(point["init"].get(f"seed_{stream}", point["seed"]))


class Text:
    """Next-token prediction for one point.

    Parameters
    ----------
    point : mapping
        A line of ``plan.jsonl``.
    device : torch.device
    """

    def __init__(self, point: Mapping[str, Any], device: torch.device) -> None:
        self.point, self.device = point, device
        self.corpus = corpus_of(point, device)
        self.order = Stream(seed_of(point, "data"), self.windows, self.corpus.unique)

    @property
    def windows(self) -> int:
        """Windows there are."""
        return self.corpus.windows

    @property
    def validation(self) -> Tensor:
        """Fixed validation windows, shape (S, T + 1)."""
        return self.corpus.validation

    def numbers(self, step: int) -> NDArray[np.int64]:
        """Windows of one step (0-based), shape (sequences,)."""
        size = int(self.point["sequences"])
        return self.order(step * size, size)

    def batch(self, step: int) -> Tensor:
        """Tokens of one step (0-based), shape (sequences, T + 1), int64."""
        return self.corpus.gather(self.numbers(step))

    def model(self) -> Decoder:
        """Build the model of the point's shape from the point's seed; check its count."""
        torch.manual_seed(seed_of(self.point, "init"))
        start = {k: v for k, v in self.point["init"].items() if not k.startswith("seed_")}
        model = Decoder(self.point["shape"], **start)
        built = sum(p.numel() for p in model.parameters())
        planned = self.point["N"] + self.point["N_embedding"]
        if built != planned:
            raise AssertionError(f"the model has {built} parameters, the plan {planned}")
        return model.to(self.device)

    def loss(self, model: torch.nn.Module, tokens: Tensor) -> Tensor:
        """Mean cross-entropy [nats per token], reduced in float32 or better."""
        return next_token_loss(model, tokens)

    @property
    def ceiling(self) -> float:
        """Loss of the uniform prediction [nats per token]."""
        return math.log(self.point["shape"]["vocabulary"])

    @torch.no_grad()
    def losses(self, model: torch.nn.Module, sequences: Tensor) -> Tensor:
        """Mean loss of each validation sequence, shape (S,), float64 on the CPU."""
        found = []
        for part in torch.split(sequences, self.evaluated_at_once):
            tokens = part.long()
            logits = full(model(tokens[:, :-1]))
            losses = F.cross_entropy(
                logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none"
            )
            found.append(losses.view(len(tokens), -1).mean(dim=1).double().cpu())
        return torch.cat(found)

    @property
    def evaluated_at_once(self) -> int:
        """Validation sequences in one pass."""
        each = self.corpus.context * int(self.point["shape"]["vocabulary"])
        return max(1, min(EVALUATION_BATCH, EVALUATION_LOGITS // each))

    def evaluate(self, model: torch.nn.Module) -> tuple[float, float]:
        """Validation loss and its standard error over sequences [nats per token]."""
        return summary(self.losses(model, self.validation))


def next_token_loss(model: torch.nn.Module, tokens: Tensor) -> Tensor:
    """Mean cross-entropy [nats per token] of tokens (B, T + 1) under a model."""
    logits = full(model(tokens[:, :-1]))
    return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


def summary(losses: Tensor) -> tuple[float, float]:
    """Mean of the losses of sequences, and its standard error."""
    return float(losses.mean()), float(losses.std() / math.sqrt(len(losses)))


def full(logits: Tensor) -> Tensor:
    """Logits in float32, or as they are where they are better."""
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
