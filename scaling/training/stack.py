"""Points of one shape trained as one model: seeds and learning rates side by side.

Small models leave a device idle between their many small operations. Here the weights of k models
lie in one tensor with a leading axis, their products are batched, and only the loss, the clipping,
the learning rate and the look at what is finite belong to each model alone: what one does, even
diverge, changes no other. Results are those of separate runs up to the order of additions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scaling.training import optimizers
from scaling.training.setup import Setup
from scaling.training.tasks.base import Batch
from scaling.training.tasks.decoder import Block, Decoder, attend
from scaling.training.tasks.text import Text, full
from scaling.training.trainer import Point, Trainer


class StackedDecoder(nn.Module):
    """k decoders whose weights lie in matrices with a row for each.

    Parameters
    ----------
    models : sequence of Decoder
        Of one shape; their weights are copied.
    parts : sequence of sequence of str
        Names of the parameters that lie in one matrix, part by part.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, models: Sequence[Decoder], parts: Sequence[Sequence[str]]) -> None:
        super().__init__()
        first = models[0]
        self.width, self.layers = first.head.in_features, len(first.blocks)
        block = first.blocks[0]
        assert isinstance(block, Block)
        self.heads, self.scale = block.heads, block.scale
        self.names = [list(names) for names in parts]
        self.shapes = {name: value.shape for name, value in first.named_parameters()}
        rows = [
            [torch.cat([m.get_parameter(n).detach().flatten() for n in names]) for m in models]
            for names in self.names
        ]
        self.flats = nn.ParameterList([nn.Parameter(torch.stack(part)) for part in rows])
        self.register_buffer("cos", first.cos, persistent=False)
        self.register_buffer("sin", first.sin, persistent=False)

    def weights(self, flats: Sequence[Tensor] | None = None) -> dict[str, Tensor]:
        """Weights by name, each of shape (k, out, in); of other matrices where they are given."""
        found = {}
        for names, flat in zip(self.names, flats or list(self.flats), strict=True):
            pieces = torch.split(flat, [self.shapes[name].numel() for name in names], dim=1)
            for name, piece in zip(names, pieces, strict=True):
                found[name] = piece.view(-1, *self.shapes[name])
        return found

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (k, B, T) to logits (k, B, T, V)."""
        k, batch, length = tokens.shape
        weights = self.weights()

        def apart(x: Tensor, layer: str) -> Tensor:
            """Apply a linear layer of each model to its rows: (k, n, in) to (k, n, out)."""
            return torch.bmm(x, weights[f"{layer}.weight"].transpose(1, 2))

        table = weights["embedding.weight"]
        rows = tokens + (torch.arange(k, device=tokens.device) * table.shape[1])[:, None, None]
        x = F.embedding(rows.view(k, -1), table.flatten(0, 1))  # (k, B T, d)
        for i in range(self.layers):
            block = f"blocks.{i}"
            qkv = apart(F.layer_norm(x, (self.width,)), f"{block}.qkv")
            qkv = qkv.view(k * batch, length, -1)
            seen = attend(qkv, self.heads, self.cos, self.sin, self.scale)
            x = x + apart(seen.view(k, batch * length, -1), f"{block}.proj")
            hidden = F.relu(apart(F.layer_norm(x, (self.width,)), f"{block}.up"))
            x = x + apart(hidden.square(), f"{block}.down")
        logits = apart(F.layer_norm(x, (self.width,)), "head")
        return logits.view(k, batch, length, -1)


def stacked_loss(model: nn.Module, tokens: Tensor) -> Tensor:
    """Mean cross-entropy of each model [nats per token], shape (k,), from tokens (k, B, T + 1)."""
    logits = full(model(tokens[..., :-1]))
    losses = F.cross_entropy(logits.flatten(0, 2), tokens[..., 1:].flatten(), reduction="none")
    return losses.view(len(tokens), -1).mean(dim=1)


class Stack(Trainer):
    """State of several points in training, all of one `stackable` key.

    Parameters
    ----------
    points : sequence of mapping
    device : torch.device
    setup : Setup
    """

    axis = 1

    def __init__(
        self, points: Sequence[Point], device: torch.device, setup: Setup | None = None
    ) -> None:
        self.several = tuple(points)
        super().__init__(points[0], device, setup)
        self.watch = type(self.watch)(len(points))

    def _build(self) -> None:
        self.points = self.several
        self.tasks = [Text(point, self.device, self.setup.folder) for point in self.points]
        seeds = [task.order.seed for task in self.tasks]
        self.orders = dict(zip(seeds, self.tasks, strict=True))
        self.rows = [list(self.orders).index(seed) for seed in seeds]
        models = [cast(Decoder, task.model()) for task in self.tasks]
        blocks = [point["optimizer"] for point in self.points]
        names = {p: name for name, p in models[0].named_parameters()}
        parts = optimizers.parts_of(models[0], blocks[0])
        named = [[names[p] for p in part.parameters] for part in parts]
        stacked = StackedDecoder(models, named).to(self.weight_dtype)
        self.model, self.called = stacked, stacked
        self.flats = list(stacked.flats)
        for flat in self.flats:
            flat.grad = torch.zeros_like(flat)
        factors = [part.factor for part in parts]
        self.optimizer = optimizers.StackedAdamW(self.flats, factors, blocks)
        self.gradients = [flat.grad for flat in self.flats if flat.grad is not None]
        self.function, self.passed = stacked_loss, self.eager
        self.limit = self.flats[0].new_tensor([block["clip"] for block in blocks])

    def load(self, step: int) -> Batch:
        """Tokens of a step of each model, shape (k, sequences, T + 1)."""
        windows = np.stack([task.numbers(step) for task in self.orders.values()])
        return self.tasks[0].corpus.gather(windows)[self.rows]

    def eager(self, part: Batch) -> Tensor:
        """Loss of a pass of each model, shape (k,), not compiled."""
        assert isinstance(part, Tensor)
        return stacked_loss(self.model, part)

    def _norm(self) -> Tensor:
        return optimizers.norm_of(self.gradients, rows=True)

    def _clip(self, norm: Tensor) -> None:
        scale = (self.limit / (norm + 1e-6)).clamp_(max=1.0)[:, None]
        for gradient in self.gradients:
            gradient.mul_(scale)

    @torch.no_grad()
    def seen(self) -> list[dict[str, Tensor]]:
        """Loss of each validation sequence, for each model."""
        found = []
        at_once = max(1, self.task.at_once // len(self.points))
        for part in torch.split(self.tasks[0].corpus.validation, at_once):
            tokens = part.long().expand(len(self.points), -1, -1)
            logits = full(self.model(tokens[..., :-1]))
            losses = F.cross_entropy(
                logits.flatten(0, 2), tokens[..., 1:].flatten(), reduction="none"
            )
            found.append(losses.view(len(self.points), len(part), -1).mean(dim=2).double().cpu())
        return [{"loss": losses} for losses in torch.cat(found, dim=1)]

    def weights(self, model: int) -> dict[str, Tensor]:
        """Weights of one of the models by name, on the host."""
        assert isinstance(self.model, StackedDecoder)
        rows = self.averaged or [flat.detach() for flat in self.flats]
        return {k: v[model].cpu() for k, v in self.model.weights(rows).items()}

    def _row(self, tensors: Sequence[Tensor], model: int) -> list[Tensor]:
        return [tensor.detach()[model].clone() for tensor in tensors]  # else all rows are saved

    def _joined(self, states: Sequence[Mapping[str, Any]], name: str) -> list[Tensor]:
        several = zip(*(state[name] for state in states), strict=True)
        return [torch.stack(list(rows)) for rows in several]
