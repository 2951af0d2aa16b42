"""The fully connected network that `scaling.count.mlp` counts."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn


class MLP(nn.Module):
    """Linear layers with ReLU between them.

    Weights start normal with variance 2 / fan-in (He et al. 2015), those of the head at zero, so
    that the first predictions do not depend on the width; biases start at zero.

    Parameters
    ----------
    shape : mapping
        ``inputs, outputs, layers, width, biases``.
    dropout : float
        Share of hidden units that is dropped.
    """

    def __init__(self, shape: Mapping[str, int], dropout: float = 0.0) -> None:
        super().__init__()
        bias = bool(shape["biases"])
        widths = [shape["inputs"], *[shape["width"]] * shape["layers"]]
        self.hidden = nn.ModuleList(nn.Linear(a, b, bias=bias) for a, b in pairwise(widths))
        self.head = nn.Linear(shape["width"], shape["outputs"], bias=bias)
        self.dropout = nn.Dropout(dropout)
        for layer in self.hidden:
            assert isinstance(layer, nn.Linear)
            started(layer, (2.0 / layer.in_features) ** 0.5)
        started(self.head, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Map examples (B, inputs), or (B, …) with as many numbers each, to (B, outputs)."""
        x = x.flatten(1)
        for layer in self.hidden:
            x = self.dropout(torch.relu(layer(x)))
        out: Tensor = self.head(x)
        return out


def started(layer: nn.Linear, sd: float) -> None:
    """Draw the weights of a layer with standard deviation `sd`, and set its biases to zero."""
    nn.init.normal_(layer.weight, std=sd) if sd else nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def build(shape: Mapping[str, int], *, dropout: float = 0.0) -> MLP:
    """Return the network of a shape of the family ``mlp``."""
    return MLP(shape, dropout)
