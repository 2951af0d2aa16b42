"""Counts that all families of transformers share: blocks of attention and feed-forward."""

from __future__ import annotations

from dataclasses import dataclass

NORMS = {"none": 0, "rmsnorm": 1, "layernorm": 2}  # vectors of weights that a norm holds


@dataclass(frozen=True)
class Blocks:
    """A stack of n equal blocks of width d, with f wide feed-forward.

    Attributes
    ----------
    layers, width, ffn : int
        n, d, f.
    keys : int
        Width of the keys, and of the values: d unless queries share them.
    gated : bool
        Whether the feed-forward has a third, gating matrix.
    norm : int
        Vectors that each norm holds: 0, 1 (a gain) or 2 (gain and bias).
    biases : bool
        Whether the linear layers have biases.
    """

    layers: int
    width: int
    ffn: int
    keys: int
    gated: bool = False
    norm: int = 0
    biases: bool = False

    @property
    def attention(self) -> int:
        """Weights of queries, keys, values and output: n (2 d² + 2 d k)."""
        return self.layers * (2 * self.width**2 + 2 * self.width * self.keys)

    @property
    def mlp(self) -> int:
        """Weights of the feed-forward: 2 n d f, gated 3 n d f."""
        return self.layers * (3 if self.gated else 2) * self.width * self.ffn

    @property
    def matrices(self) -> int:
        """Weights that each token is multiplied with."""
        return self.attention + self.mlp

    @property
    def norms(self) -> int:
        """Weights of two norms a block and one besides: (2 n + 1) d for each vector."""
        return self.norm * (2 * self.layers + 1) * self.width

    @property
    def bias(self) -> int:
        """Biases of all linear layers: the sum of their output widths."""
        mlp = (2 if self.gated else 1) * self.ffn + self.width
        return self.biases * self.layers * (2 * self.width + 2 * self.keys + mlp)

    def scores(self, pairs: float) -> float:
        """FLOP of scores and their reduction for `pairs` of query and key, summed over layers.

        Each pair takes 2 d for the score and 2 d for the sum over values (Hoffmann et al. 2022,
        app. F).
        """
        return 4.0 * self.width * pairs
