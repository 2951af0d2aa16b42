"""The causal decoder that `scaling.count.decoder` counts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ROTARY_BASE = 100.0  # contexts are short: lower frequencies would never turn


def attend(
    qkv: Tensor, heads: int, cos: Tensor, sin: Tensor, scale: float | None, dropout: float = 0.0
) -> Tensor:
    """Causal attention with rotary positions, from queries, keys and values side by side.

    Parameters
    ----------
    qkv : Tensor
        Shape (B, T, 3 d).
    heads : int
    cos, sin : Tensor
        Turns of the halves of a head, shape (T, 1, 1, 2, d/heads/2).
    scale : float or None
        Of the scores; one over the root of a head's width if None.
    dropout : float
        Share of the weights that is dropped.

    Returns
    -------
    Tensor
        Shape (B, T, d).
    """
    batch, length, _ = qkv.shape
    qkv = qkv.view(batch, length, 3, heads, 2, -1)  # halves of a head turn together
    halves = qkv[:, :, :2]
    rotated = torch.addcmul(halves * cos, halves.flip(-2), sin).flatten(-2)
    q, k = rotated.transpose(1, 3).unbind(2)  # (B, heads, T, d/heads)
    v = qkv[:, :, 2].flatten(-2).transpose(1, 2)
    y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True, scale=scale)
    return y.transpose(1, 2).reshape(batch, length, -1)


class Block(nn.Module):
    """Pre-norm attention and ReLU² feed-forward; norms carry no weights."""

    def __init__(
        self, width: int, heads: int, ffn: int, scale: float | None, dropout: float
    ) -> None:
        super().__init__()
        self.heads, self.scale, self.dropout = heads, scale, dropout
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, ffn, bias=False)
        self.down = nn.Linear(ffn, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Map hidden states (B, T, d) to (B, T, d)."""
        width, dropout = x.shape[-1], self.dropout if self.training else 0.0
        y = attend(self.qkv(F.layer_norm(x, (width,))), self.heads, cos, sin, self.scale, dropout)
        x = x + self._dropped(self.proj(y))
        hidden = F.relu(self.up(F.layer_norm(x, (width,))))
        out: Tensor = x + self._dropped(self.down(hidden.square()))
        return out

    def _dropped(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training) if self.dropout else x


class Decoder(nn.Module):
    """Token embedding, blocks, final norm and an untied head that starts at zero.

    Parameters
    ----------
    shape : mapping
        ``vocabulary, context, layers, width, heads, ffn``.
    embedding_sd : float
        Standard deviation of the embeddings at the start.
    attention_base : float, optional
        Scores are divided by ``width of a head / √attention_base``, so by the root of the width
        where that is `attention_base` (Yang et al. 2022, def. 4.1); by the root at every width if
        None.
    dropout : float
        Share of attention weights, and of what each half of a block adds, that is dropped.
    """

    cos: Tensor
    sin: Tensor

    def __init__(
        self,
        shape: Mapping[str, int],
        embedding_sd: float = 0.5,
        attention_base: float | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        width, heads = shape["width"], shape["heads"]
        scale = None if attention_base is None else attention_base**0.5 * heads / width
        self.embedding = nn.Embedding(shape["vocabulary"], width)
        self.blocks = nn.ModuleList(
            Block(width, heads, shape["ffn"], scale, dropout) for _ in range(shape["layers"])
        )
        self.head = nn.Linear(width, shape["vocabulary"], bias=False)
        half = width // heads // 2
        frequency = ROTARY_BASE ** (-torch.arange(half) / half)
        angle = torch.outer(torch.arange(shape["context"]).float(), frequency)
        cos, sin = angle.cos(), angle.sin()  # (T, d/heads/2)
        for name, turn in (("cos", (cos, cos)), ("sin", (-sin, sin))):
            table = torch.stack(turn, dim=1)[:, None, None]  # (T, 1, 1, 2, d/heads/2)
            self.register_buffer(name, table, persistent=False)
        nn.init.normal_(self.embedding.weight, std=embedding_sd)
        nn.init.zeros_(self.head.weight)
        for block in self.blocks:
            assert isinstance(block, Block)
            for layer, gain in (
                (block.qkv, 1.0),
                (block.up, 1.0),
                (block.proj, 0.5),
                (block.down, 0.5),
            ):
                nn.init.normal_(layer.weight, std=gain * layer.in_features**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, T) to logits (B, T, V)."""
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        logits: Tensor = self.head(F.layer_norm(x, x.shape[-1:]))
        return logits
