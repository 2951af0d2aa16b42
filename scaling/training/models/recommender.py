"""The recommender that `scaling.count.recommender` counts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from scaling.training.models.mlp import MLP


class Recommender(nn.Module):
    """A dense tower over the user's vector, the item's, and their product (He et al. 2017).

    Parameters
    ----------
    shape : mapping
        ``users, items, layers, width, hidden``.
    scale : float
        Standard deviation of the tables at the start.
    dropout : float
        Share of hidden units of the tower that is dropped.
    """

    def __init__(self, shape: Mapping[str, int], scale: float = 0.1, dropout: float = 0.0) -> None:
        super().__init__()
        width = shape["width"]
        # of one name, by which recipes give tables a rate of their own
        tables = [nn.Embedding(shape[name], width) for name in ("users", "items")]
        self.embedding = nn.ModuleList(tables)
        tower = {"inputs": 3 * width, "outputs": 1, "layers": shape["layers"],
                 "width": shape["hidden"], "biases": 1}  # fmt: skip
        self.tower = MLP(tower, dropout)
        for table in tables:
            nn.init.normal_(table.weight, std=scale)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Map users (B,) and items (B,), both as row numbers, to one number each, (B,).

        It is a logit where the question is whether, and a rating less its mean where it is how
        much: the head starts at zero.
        """
        user, item = self.embedding[0](users), self.embedding[1](items)
        out: Tensor = self.tower(torch.cat([user, item, user * item], dim=-1)).squeeze(-1)
        return out


def build(shape: Mapping[str, int], *, scale: float = 0.1, dropout: float = 0.0) -> Recommender:
    """Return the model of a shape of the family ``recommender``."""
    return Recommender(shape, scale, dropout)
