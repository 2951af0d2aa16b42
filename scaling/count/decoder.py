"""Counts of the causal decoder: pre-norm blocks, untied head, no biases, weightless norms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scaling.count.family import FAMILIES, Counts

WIDTH_STEP = 4
MAX_WIDTH = 8192
HEAD_WIDTH = 16  # heads are at least this wide, and of even width for rotary positions


@dataclass(frozen=True)
class DecoderShape:
    """Integer shape of a decoder.

    Attributes
    ----------
    vocabulary, context, layers, width, heads, ffn : int
        V, T, n, d, number of heads, feed-forward width.
    """

    vocabulary: int
    context: int
    layers: int
    width: int
    heads: int
    ffn: int


class Decoder:
    """The decoder family; its dial is the width."""

    name = "decoder"

    def dial(self, options: Mapping[str, Any]) -> range:
        """Widths from 8 in steps of 4."""
        del options
        return range(8, MAX_WIDTH + 1, WIDTH_STEP)

    def shape(self, dial: int, options: Mapping[str, Any]) -> dict[str, int]:
        """Return the shape at width `dial`.

        Parameters
        ----------
        dial : int
            Width d.
        options : mapping
            ``vocabulary``, ``context``, ``layers`` and ``ffn_ratio``.
        """
        return {
            "vocabulary": int(options["vocabulary"]),
            "context": int(options["context"]),
            "layers": int(options["layers"]),
            "width": dial,
            "heads": _heads(dial),
            "ffn": dial * int(options.get("ffn_ratio", 4)),
        }

    def counts(self, shape: Mapping[str, int]) -> Counts:
        """Count a shape.

        Per layer the attention holds 4 d² parameters and the feed-forward 2 d f; per token the
        forward pass spends 2 FLOP on each parameter of body and head, and 4 T d a layer on the
        attention scores and their reduction over the full square (Hoffmann et al. 2022, app. F).
        """
        s = DecoderShape(**shape)
        body = s.layers * (4 * s.width**2 + 2 * s.width * s.ffn)
        table = s.vocabulary * s.width
        forward = 2.0 * (body + table) + 4.0 * s.layers * s.context * s.width
        return Counts(body=body, head=table, embedding=table, forward=forward)


def _heads(width: int) -> int:
    """Most heads whose width is even and at least `HEAD_WIDTH`; one head for narrow models."""
    fitting = [
        h for h in range(1, width // HEAD_WIDTH + 1) if width % h == 0 and (width // h) % 2 == 0
    ]
    return max(fitting, default=1)


DECODER = Decoder()
FAMILIES["decoder"] = DECODER
