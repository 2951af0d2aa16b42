"""The bidirectional encoder that `scaling.count.encoder` counts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scaling.training.models.mlp import started


class Plain(nn.Module):
    """Layer norm without weights."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (…, d) to (…, d)."""
        return F.layer_norm(x, x.shape[-1:])


def norm(vectors: int, width: int) -> nn.Module:
    """Return a norm that holds 0 (plain), 1 (RMSNorm) or 2 (LayerNorm) vectors."""
    if vectors == 0:
        return Plain()
    return nn.LayerNorm(width) if vectors == 2 else nn.RMSNorm(width)


class Block(nn.Module):
    """Attention of all positions to all, and a GELU feed-forward; either is pre- or post-norm."""

    def __init__(self, shape: Mapping[str, int], pre: bool, dropout: float) -> None:
        super().__init__()
        width, bias = shape["width"], bool(shape["biases"])
        self.heads, self.pre, self.dropout = shape["heads"], pre, dropout
        self.norms = nn.ModuleList(norm(shape["norm"], width) for _ in range(2))
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.proj = nn.Linear(width, width, bias=bias)
        self.up = nn.Linear(width, shape["ffn"], bias=bias)
        self.down = nn.Linear(shape["ffn"], width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map hidden states (B, T, d) to (B, T, d)."""
        if self.pre:
            x = x + self._dropped(self._attend(self.norms[0](x)))
            return x + self._dropped(self._feed(self.norms[1](x)))
        x = self.norms[0](x + self._dropped(self._attend(x)))
        out: Tensor = self.norms[1](x + self._dropped(self._feed(x)))
        return out

    def _attend(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        rate = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=rate)  # (B, heads, T, d/heads)
        out: Tensor = self.proj(y.transpose(1, 2).flatten(-2))
        return out

    def _feed(self, x: Tensor) -> Tensor:
        out: Tensor = self.down(F.gelu(self.up(x)))
        return out

    def _dropped(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training) if self.dropout else x


class Encoder(nn.Module):
    """Embeddings of tokens, positions and segments, blocks, and a head for masked tokens.

    Weights start normal with variance 1 / fan-in, and at zero where a layer adds to the stream, so
    that every block begins as the identity. Of embeddings the width is the fan-in, as a tied head
    multiplies with them. Biases start at zero.

    With `pre` the blocks normalise what they read and one norm closes the stack; without, they
    normalise what they add up and one norm follows the embeddings, as in BERT (Devlin et al.
    2018). The parameters are the same.

    Parameters
    ----------
    shape : mapping
        As `scaling.count.EncoderShape`.
    pre : bool
    dropout : float
        Share of attention weights, and of what each half of a block adds, that is dropped.
    embedding_sd : float, optional
        Standard deviation of the embeddings at the start; one over the root of the width if None.
    """

    def __init__(
        self,
        shape: Mapping[str, int],
        pre: bool = True,
        dropout: float = 0.0,
        embedding_sd: float | None = None,
    ) -> None:
        super().__init__()
        width, bias = shape["width"], bool(shape["biases"])
        self.pre, self.embedding_sd = pre, embedding_sd
        self.embedding = nn.Embedding(shape["vocabulary"], width)
        self.positions = nn.Embedding(shape["context"], width) if shape["positions"] else None
        self.segments = nn.Embedding(shape["segments"], width) if shape["segments"] else None
        self.norm = norm(shape["norm"], width)
        self.blocks = nn.ModuleList(Block(shape, pre, dropout) for _ in range(shape["layers"]))
        self.transform = None
        if shape["transform"]:
            self.transform = nn.Sequential(
                nn.Linear(width, width, bias=bias), nn.GELU(), norm(shape["norm"], width)
            )
        self.head = nn.Linear(width, shape["vocabulary"], bias=bias)
        self._start()
        if shape["tied"]:
            self.head.weight = self.embedding.weight

    def _start(self) -> None:
        """Draw the weights."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                started(
                    module, 0.0 if name.endswith(("proj", "down")) else module.in_features**-0.5
                )
            elif isinstance(module, nn.Embedding):
                std = self.embedding_sd or module.embedding_dim**-0.5
                nn.init.normal_(module.weight, std=std)

    def hidden(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, T), T up to the context, to the states that the head reads, (B, T, d).

        All tokens are of segment 0.
        """
        x = self.embedding(tokens)
        if self.positions is not None:
            x = x + self.positions.weight[: tokens.shape[1]]
        if self.segments is not None:
            x = x + self.segments(torch.zeros_like(tokens))
        if not self.pre:
            x = self.norm(x)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x) if self.pre else x
        return out

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, T) to logits (B, T, V)."""
        x = self.hidden(tokens)
        logits: Tensor = self.head(x if self.transform is None else self.transform(x))
        return logits


class Classifier(Encoder):
    """An encoder whose states are averaged over the positions and read by a head for classes.

    Its body has the names of `Encoder`, so that it can go on from one; its head starts at zero.

    Parameters
    ----------
    shape, pre, dropout, embedding_sd
        As of `Encoder`; ``classes`` of the shape is not 0.
    """

    def __init__(
        self,
        shape: Mapping[str, int],
        pre: bool = True,
        dropout: float = 0.0,
        embedding_sd: float | None = None,
    ) -> None:
        super().__init__({**shape, "transform": 0, "tied": 0}, pre, dropout, embedding_sd)
        del self.head
        self.classifier = nn.Linear(shape["width"], shape["classes"], bias=bool(shape["biases"]))
        for parameter in self.classifier.parameters():
            nn.init.zeros_(parameter)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, T) to logits (B, classes)."""
        logits: Tensor = self.classifier(self.hidden(tokens).mean(dim=1))
        return logits


def build(
    shape: Mapping[str, int],
    *,
    pre: bool = True,
    dropout: float = 0.0,
    embedding_sd: float | None = None,
) -> Encoder:
    """Return the model of a shape of the family ``encoder``."""
    made = Classifier if shape.get("classes") else Encoder
    return made(shape, pre, dropout, embedding_sd)
