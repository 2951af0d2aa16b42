"""Masked-token prediction, as BERT is pretrained (Devlin et al. 2018, sec. 3.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from scaling.count.tasks import HF
from scaling.training.models.encoder import build
from scaling.training.tasks.base import Batch, host_to, seed_of
from scaling.training.tasks.text import Sequences, full

TRAIN, HELD_OUT = 0, 1  # streams of random numbers
Masks = tuple[NDArray[np.int64], NDArray[np.int64]]


class Masked(Sequences):
    """Prediction of chosen tokens from both sides; the loss is in nats per chosen token.

    In every window the same number of positions is chosen, so that all parts of a batch weigh
    alike. Most of them show the mask (an id of its own, the last of the shape's vocabulary), some
    a random token, the rest what they are. D counts all tokens of the windows.
    """

    @property
    def chosen(self) -> int:
        """Positions chosen in a window, at least one."""
        return max(1, round(float(self.options["share"]) * self.corpus.context))

    def drawn(self, stream: int, number: int, windows: int) -> Masks:
        """Draw places and what they show: a pure function of the seed and these three.

        Returns
        -------
        places : ndarray
            Shape (windows, chosen), each row in order.
        shown : ndarray
            The id that each place shows, -1 for its own; same shape.
        """
        seed = seed_of(self.point, "data") if stream == TRAIN else 0
        rng = np.random.default_rng([seed, number, stream, 15])
        keys = rng.random((windows, self.corpus.context), dtype=np.float32)
        places = np.sort(keys.argpartition(self.chosen - 1, axis=1)[:, : self.chosen], axis=1)
        mask = int(self.point["shape"]["vocabulary"]) - 1
        kind = rng.random(places.shape)
        other = rng.integers(mask, size=places.shape)
        masked, replaced = float(self.options["masked"]), float(self.options["random"])
        shown = np.where(kind < masked, mask, np.where(kind < masked + replaced, other, -1))
        return places, shown

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """What a step sees: inputs (B, T), places (B, chosen) and the tokens there, same shape."""
        numbers = self.numbers(step).reshape(ranks, -1)[rank]
        masks = self.drawn(TRAIN, step, self.size)
        own = (part.reshape(ranks, -1, self.chosen)[rank] for part in masks)
        return self._hidden(self.corpus.gather(numbers)[:, :-1], *map(torch.from_numpy, own))

    @cached_property
    def fixed(self) -> tuple[Tensor, Tensor]:
        """Places and shown ids of all validation windows, the same for all points of a context."""
        places, shown = self.drawn(HELD_OUT, 0, self.checks)
        return torch.from_numpy(places), torch.from_numpy(shown)

    def validation(self, which: Tensor) -> Batch:
        """Validation windows by their number, in the form of a batch."""
        tokens = super().validation(which)
        assert isinstance(tokens, Tensor)
        places, shown = self.fixed
        return self._hidden(tokens[:, :-1], places[which], shown[which])

    def _hidden(self, tokens: Tensor, places: Tensor, shown: Tensor) -> Batch:
        places, shown = (host_to(tokens.device, part) for part in (places, shown))
        targets = tokens.gather(1, places)
        inputs = tokens.scatter(1, places, torch.where(shown < 0, targets, shown))
        return inputs, places, targets

    def build(self) -> nn.Module:
        """Build the model of the point's shape: our encoder, or one of Hugging Face."""
        if self.point["family"].startswith(HF):
            return self.of_transformers()
        return build(self.point["shape"], **self.start)

    def each(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean cross-entropy of the chosen tokens of each window [nats], shape (B,)."""
        return losses_and_right(model, batch)[0].mean(dim=1)

    @property
    def function(self) -> Callable[[nn.Module, Any], Tensor]:
        """The loss without the task."""
        return masked_loss

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean cross-entropy of the chosen tokens [nats]."""
        return masked_loss(model, batch)

    def examine(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Loss of each window, and the share of its chosen tokens that were found."""
        losses, right = losses_and_right(model, batch)
        return {"loss": losses.mean(dim=1), "right": right.double().mean(dim=1)}

    def metrics(self, seen: Mapping[str, Tensor]) -> dict[str, Any]:
        """Share of the chosen tokens whose most likely value is the right one."""
        return {"accuracy": float(seen["right"].mean())}


def losses_and_right(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Cross-entropy [nats] of the chosen tokens, and whether each was found; (B, chosen) each.

    All positions pass the head, as the family counts them.
    """
    inputs, places, targets = batch
    logits = full(model(inputs))
    own = logits.gather(1, places.unsqueeze(-1).expand(-1, -1, logits.shape[-1]))
    losses = F.cross_entropy(own.flatten(0, 1), targets.flatten(), reduction="none")
    return losses.view_as(targets), own.argmax(dim=-1) == targets


def masked_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy of the chosen tokens of a batch under a model [nats]."""
    return losses_and_right(model, batch)[0].mean()
