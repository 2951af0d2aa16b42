"""Counts of the causal decoder.

As it comes it is the decoder that is trained: pre-norm blocks, untied head, no biases, norms
without weights. Options add what other decoders have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scaling.count.decoder_rules import RULES
from scaling.count.family import Counts, Ruled
from scaling.count.rules import width_options
from scaling.count.transformer import NORMS, Blocks
from scaling.options import Option

OPTIONS = (
    Option("vocabulary", "integer", None, "number of tokens V"),
    Option("context", "integer", None, "length T of a sequence [tokens]"),
    *width_options(layers=2, head_width=16, width_step=4),
    Option("aspect", "integer", 64, "width over depth under the rule aspect", high=65_536),
    Option(
        "kv_heads", "integer", 0,
        "heads of keys and values: the largest divisor of the heads up to this; 0: all heads",
        low=0, high=65_536,
    ),
    Option("gated", "switch", False, "feed-forward with a gate: three matrices"),
    Option("tied", "switch", False, "the head is the input embedding"),
    Option("norm", "choice", "none", "weights of the norms", choices=tuple(NORMS)),
    Option("biases", "switch", False, "linear layers of the blocks have biases"),
    Option("positions", "switch", False, "one learned vector a position"),
    Option("window", "integer", 0, "tokens attended to, itself included; 0: all", low=0),
    Option(
        "full_every", "integer", 0,
        "with a window, every such layer and the last attend to all; 0: none does",
        low=0, high=10_000,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class DecoderShape:
    """Integer shape of a decoder.

    Attributes
    ----------
    vocabulary, context, layers, width, heads, ffn : int
        V, T, n, d, number of heads, feed-forward width.
    kv_heads : int
        Heads of keys and values; 0 stands for all heads.
    gated, tied, biases, positions : int
        1 for a gated feed-forward, a tied head, biases, learned positions.
    norm : int
        Vectors that each norm holds: 0, 1 (gain) or 2 (gain and bias).
    window, full_every : int
        Tokens attended to, and which layers are exempt; 0 for none.
    """

    vocabulary: int
    context: int
    layers: int
    width: int
    heads: int
    ffn: int
    kv_heads: int = 0
    gated: int = 0
    tied: int = 0
    norm: int = 0
    biases: int = 0
    positions: int = 0
    window: int = 0
    full_every: int = 0

    @property
    def blocks(self) -> Blocks:
        """The stack of blocks."""
        keys = self.width // self.heads * (self.kv_heads or self.heads)
        return Blocks(
            self.layers, self.width, self.ffn, keys, bool(self.gated), self.norm, bool(self.biases)
        )

    @property
    def pairs(self) -> float:
        """Pairs of query and key that the mask lets through, per token, summed over layers.

        The mean over a sequence is w - w (w - 1) / (2 T) in a layer with window w, and (T + 1) / 2
        in one without.
        """
        full, every, length = self.layers, self.full_every, self.context
        window = min(self.window or length, length)
        if self.window:
            full = -(-self.layers // every) if every else 0
        twice = full * length * (length + 1)
        twice += (self.layers - full) * (2 * window * length - window * (window - 1))
        return twice / (2 * length)  # one division of integers, so that it is rounded once


class Decoder(Ruled):
    """The decoder family."""

    name = "decoder"
    unit = "token"
    rules = RULES
    own_options = OPTIONS

    def per_sequence(self, shape: Mapping[str, int]) -> int:
        """Tokens in a sequence: the context."""
        return shape["context"]

    def shape(self, dial: int, options: Mapping[str, Any]) -> dict[str, int]:
        """Return the shape at a value of the dial.

        Keys beyond the first six of `DecoderShape` are there only where they differ from their
        default.
        """
        settings = self.settings(options)
        core = self.rules[settings["rule"]].core(dial, settings)
        length, most = settings["context"], settings["kv_heads"]
        kv_heads = next((h for h in range(most, 0, -1) if core["heads"] % h == 0), 0)
        window = settings["window"] if settings["window"] < length else 0
        extra = {
            "kv_heads": 0 if kv_heads == core["heads"] else kv_heads,
            "gated": int(settings["gated"]),
            "tied": int(settings["tied"]),
            "norm": NORMS[settings["norm"]],
            "biases": int(settings["biases"]),
            "positions": int(settings["positions"]),
            "window": window,
            "full_every": settings["full_every"] if window else 0,
        }
        base = {"vocabulary": settings["vocabulary"], "context": length}
        return base | {name: value for name, value in extra.items() if value} | core

    def counts(self, shape: Mapping[str, int]) -> Counts:
        """Count a shape; the formulas stand in ``docs/reference/counting.md``."""
        s = DecoderShape(**shape)
        blocks, table = s.blocks, s.vocabulary * s.width
        embedding, positions = (0 if s.tied else table), s.positions * s.context * s.width
        matrices = blocks.matrices + table  # the product with the head is paid, tied or not
        attention = blocks.scores(s.layers * s.context)
        forward = 2.0 * matrices + attention
        return Counts(
            body=blocks.matrices + blocks.norms + blocks.bias,
            head=table,
            embedding=embedding + positions,
            forward=forward,
            groups={
                "attention": blocks.attention,
                "mlp": blocks.mlp,
                "norms": blocks.norms,
                "biases": blocks.bias,
                "head": table,
                "embedding": embedding,
                "positions": positions,
            },
            attention=attention,
            attended=blocks.scores(s.pairs),
            spared=0.0,
            hoffmann=forward + 2.0 * table + 3.0 * s.layers * s.heads * s.context,
        )


DECODER = Decoder()
