"""Counts of the bidirectional encoder with a masked-token head, as in BERT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scaling.count.family import Counts, Ruled
from scaling.count.rules import FIXED_DEPTH, Rule, named, table, width_options
from scaling.count.transformer import NORMS, Blocks
from scaling.options import Option

BERT = table(
    "bert-2018",
    "Six sizes: tiny 2 layers of width 128, mini 4 of 256, small 4 of 512, medium 8 of 512, base "
    "12 of 768, large 24 of 1024; heads are 64 wide and the feed-forward is 4 times the width.",
    "Devlin et al. 2018 (base, large), Turc et al. 2019 (the smaller ones)",
    2018,
    [
        {"layers": n, "width": d, "heads": d // 64, "ffn": 4 * d}
        for n, d in ((2, 128), (4, 256), (4, 512), (8, 512), (12, 768), (24, 1024))
    ],
)
RULES: dict[str, Rule] = named(FIXED_DEPTH, BERT)

OPTIONS = (
    Option("vocabulary", "integer", None, "number of tokens V"),
    Option("context", "integer", None, "length T of a sequence [tokens]"),
    *width_options(layers=4, head_width=32, width_step=4),
    Option("norm", "choice", "layernorm", "weights of the norms", choices=tuple(NORMS)),
    Option("biases", "switch", True, "linear layers and the head have biases"),
    Option("positions", "switch", True, "one learned vector a position"),
    Option("segments", "integer", 2, "learned vectors for segments", low=0, high=1000),
    Option("transform", "switch", True, "the head has a square layer and a norm of its own"),
    Option("tied", "switch", True, "the head is the input embedding"),
    Option("classes", "integer", 0, "a head over the mean of all positions for so many classes, "
           "in place of the one for tokens; 0 for none", low=0, high=1_000_000),
)  # fmt: skip


@dataclass(frozen=True)
class EncoderShape:
    """Integer shape of an encoder.

    Attributes
    ----------
    vocabulary, context, layers, width, heads, ffn : int
        V, T, n, d, number of heads, feed-forward width.
    norm : int
        Vectors that each norm holds: 0, 1 (gain) or 2 (gain and bias).
    biases, positions, transform, tied : int
        1 for biases, learned positions, a transform in the head, a tied head.
    segments : int
        Learned vectors for segments.
    classes : int
        Outputs of a head for classes, which takes the place of the one for tokens; 0 for none.
    """

    vocabulary: int
    context: int
    layers: int
    width: int
    heads: int
    ffn: int
    norm: int
    biases: int
    positions: int
    segments: int
    transform: int
    tied: int
    classes: int = 0


class Encoder(Ruled):
    """The encoder family: every position attends to all, and the head reads every position."""

    name = "encoder"
    unit = "token"
    rules = RULES
    own_options = OPTIONS

    def per_sequence(self, shape: Mapping[str, int]) -> int:
        """Tokens in a sequence: the context."""
        return shape["context"]

    def shape(self, dial: int, options: Mapping[str, Any]) -> dict[str, int]:
        """Return the shape at a value of the dial; its keys are those of `EncoderShape`."""
        settings = self.settings(options)
        shape = {
            "vocabulary": settings["vocabulary"],
            "context": settings["context"],
            **self.rules[settings["rule"]].core(dial, settings),
            "norm": NORMS[settings["norm"]],
            "biases": int(settings["biases"]),
            "positions": int(settings["positions"]),
            "segments": settings["segments"],
            "transform": int(settings["transform"]),
            "tied": int(settings["tied"]),
        }
        if settings["classes"]:  # the other head is not there, and what it is like says nothing
            shape |= {"transform": 0, "tied": 0, "classes": settings["classes"]}
        return shape

    def counts(self, shape: Mapping[str, int]) -> Counts:
        """Count a shape; the formulas stand in ``docs/reference/counting.md``."""
        s = EncoderShape(**shape)
        blocks = Blocks(s.layers, s.width, s.ffn, s.width, norm=s.norm, biases=bool(s.biases))
        table, square = s.vocabulary * s.width, s.transform * s.width**2
        transform = square + s.transform * (s.biases + s.norm) * s.width
        outputs = s.classes or s.vocabulary
        head = outputs * s.width + transform + s.biases * outputs
        groups = {
            "attention": blocks.attention,
            "mlp": blocks.mlp,
            "norms": blocks.norms,
            "biases": blocks.bias,
            "head": head,
            "embedding": 0 if s.tied else table,
            "positions": s.positions * s.context * s.width,
            "segments": s.segments * s.width,
        }
        attention = blocks.scores(s.layers * s.context)
        read = table if not s.classes else s.classes * s.width / s.context  # once a sequence
        forward = 2.0 * (blocks.matrices + square + read) + attention
        return Counts(
            body=blocks.matrices + blocks.norms + blocks.bias,
            head=head,
            embedding=groups["embedding"] + groups["positions"] + groups["segments"],
            forward=forward,
            groups=groups,
            attention=attention,
            attended=attention,
            spared=0.0,
            hoffmann=forward + 2.0 * table + 3.0 * s.layers * s.heads * s.context,
        )


ENCODER = Encoder()
