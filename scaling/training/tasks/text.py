"""Text and symbol sequences: next-token prediction."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from scaling.count.tasks import HF
from scaling.runs.manifest import bytes_per_token
from scaling.training.tasks.base import Batch, Point, Task, seed_of
from scaling.training.tasks.corpus import corpus_of
from scaling.training.tasks.decoder import Decoder
from scaling.training.tasks.order import Stream

EVALUATION_LOGITS = 2**21  # most logits at once in an evaluation


class Sequences(Task):
    """Base of the tasks on windows of a stream of tokens."""

    def __init__(self, point: Point, device: torch.device, folder: Path | None = None) -> None:
        super().__init__(point, device, folder)
        self.corpus = corpus_of(point, device)
        unique = point["data"].get("unique")
        windows = None if unique is None else int(unique) // self.corpus.context
        self.order = Stream(seed_of(point, "data"), self.corpus.windows, windows)
        each = self.corpus.context * int(point["shape"]["vocabulary"])
        self.at_once = max(1, min(self.at_once, EVALUATION_LOGITS // each))

    @property
    def resident(self) -> bool:  # type: ignore[override]
        """Whether the corpus lies on the device."""
        return self.corpus.resident

    @cached_property
    def size(self) -> int:
        """Sequences of a step."""
        return int(self.point["sequences"])

    def of_transformers(self) -> torch.nn.Module:
        """Build a model of Hugging Face; of the point's start only the dropout concerns it."""
        from scaling.training.tasks.huggingface import build

        own = self.point
        return build(own["family"], own["shape"], own["task"], float(self.start.get("dropout", 0)))

    def numbers(self, step: int) -> NDArray[np.int64]:
        """Windows of one step (0-based), shape (sequences,)."""
        return self.order(step * self.size, self.size)

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """Tokens of a step (0-based), shape (sequences / ranks, T + 1), int64."""
        return self.corpus.gather(self.numbers(step).reshape(ranks, -1)[rank])

    @property
    def checks(self) -> int:
        """Validation windows."""
        return len(self.corpus.validation)

    def validation(self, which: Tensor) -> Batch:
        """Validation windows by their number, shape (n, T + 1), int64."""
        return self.corpus.validation[which.to(self.corpus.validation.device)].long()

    @property
    def ceiling(self) -> float:
        """Loss of the uniform prediction [nats per token]."""
        return math.log(self.point["shape"]["vocabulary"])


class Text(Sequences):
    """Next-token prediction for one point; the loss is in nats per token."""

    def build(self) -> torch.nn.Module:
        """Build the model of the point's shape: our decoder, or one of Hugging Face."""
        if self.point["family"].startswith(HF):
            return self.of_transformers()
        return Decoder(self.point["shape"], **self.start)

    def each(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        """Mean cross-entropy of each sequence [nats per token], shape (B,)."""
        assert isinstance(batch, Tensor)
        logits = full(model(batch[:, :-1]))
        losses = F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten(), reduction="none")
        return losses.view(len(batch), -1).mean(dim=1)

    def metrics(self, seen: Mapping[str, Tensor]) -> dict[str, Any]:
        """Bits per byte, where the text behind the tokens is known.

        The bytes of a token are those of the whole validation part, on average.
        """
        size = bytes_per_token(self.point["data"])
        if size is None:
            return {}
        return {"bits_per_byte": float(seen["loss"].mean()) / math.log(2) / size}

    def loss(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        """Mean cross-entropy [nats per token], reduced in float32 or better."""
        return next_token_loss(model, batch)

    @property
    def function(self) -> Callable[[torch.nn.Module, Any], Tensor]:
        """The loss without the task."""
        return next_token_loss


def next_token_loss(model: torch.nn.Module, tokens: Batch) -> Tensor:
    """Mean cross-entropy [nats per token] of tokens (B, T + 1) under a model."""
    assert isinstance(tokens, Tensor)
    logits = full(model(tokens[:, :-1]))
    return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


def full(logits: Tensor) -> Tensor:
    """Logits in float32, or as they are where they are better."""
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
