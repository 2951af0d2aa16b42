"""Shape rules of decoders: a plain dial, and those of published studies."""

from __future__ import annotations

import math

from scaling.count.rules import (
    FIXED_DEPTH,
    READS,
    Core,
    Rule,
    Settings,
    named,
    of_width,
    table,
    widths,
)


def _aspect(dial: int, settings: Settings) -> Core:
    aspect = int(settings["aspect"])
    depth = max(1, (2 * dial + aspect) // (2 * aspect))  # to the nearest, halves up
    return of_width(dial, depth, settings)


ASPECT = Rule(
    "aspect",
    "The width is the dial and the depth is the width over `aspect`, rounded, with as many heads "
    "as fit and a feed-forward width in a fixed ratio to the width.",
    "this package",
    2026,
    (*(name for name in READS if name != "layers"), "aspect"),
    widths,
    _aspect,
)


def _nanochat(depth: int, _: Settings) -> Core:
    heads = -(-depth // 2)  # 64 a layer, up to a multiple of the head width 128
    return {"layers": depth, "width": 128 * heads, "heads": heads, "ffn": 512 * heads}


NANOCHAT = Rule(
    "nanochat-2026",
    "The depth is the dial, from 1 to 64: the width is 64 times the depth up to a multiple of 128, "
    "heads are 128 wide and the feed-forward is 4 times the width.",
    "nanochat",
    2026,
    (),
    lambda _: range(1, 65),
    _nanochat,
)


def _marin(width: int, _: Settings) -> Core:
    # No width comes near a half, so that the last digit of the logarithm decides nothing.
    depth = math.floor(width / (64 + 4 * math.log2(width) - 9) + 0.5)
    return {"layers": depth, "width": width, "heads": width // 128, "ffn": 4 * width, "gated": 1}


MARIN = Rule(
    "marin-2025",
    "The width is the dial, from 512 to 4096 by 128: the depth is width / (64 + 4 log2 width - 9), "
    "rounded, heads are 128 wide and the gated feed-forward is 4 times the width.",
    "marin scaling-law sweep",
    2025,
    (),
    lambda _: range(512, 4097, 128),
    _marin,
)

OLMO = table(
    "olmo-2025",
    "Five sizes of the OLMo-core ladder, named 190M to 3B; the depth stays at 16 above the "
    "smallest, and the gated feed-forward is 4 times the width.",
    "OLMo-core model ladder",
    2025,
    [
        {"layers": n, "width": d, "heads": h, "ffn": 4 * d, "gated": 1}
        for d, n, h in (
            (768, 12, 12),
            (1024, 16, 16),
            (1536, 16, 16),
            (2048, 16, 16),
            (3328, 16, 16),
        )
    ],
)


def _open_lm(width: int) -> int:
    """Gated feed-forward of open_lm: 8/3 of the width, rounded down, then up to 256s."""
    return -(-(8 * width // 3) // 256) * 256


def _open_lm_rows(rows: tuple[tuple[int, int, int], ...]) -> list[Core]:
    return [
        {"layers": n, "width": d, "heads": h, "ffn": _open_lm(d), "gated": 1} for d, n, h in rows
    ]


PORIAN = table(
    "porian-2024",
    "Sixteen sizes from 3 layers of width 96 to 30 of 1504, with 4 heads and a gated feed-forward "
    "of 8/3 of the width up to a multiple of 256; the vocabulary was 50432, the context 2048.",
    "Porian et al. 2024",
    2024,
    _open_lm_rows(
        (
            (96, 3, 4), (128, 4, 4), (160, 5, 4), (224, 6, 4), (288, 8, 4), (320, 9, 4),
            (384, 10, 4), (480, 12, 4), (576, 14, 4), (640, 15, 4), (704, 18, 4), (832, 21, 4),
            (1024, 23, 4), (1120, 26, 4), (1312, 26, 4), (1504, 30, 4),
        )
    ),
)  # fmt: skip

GADRE = table(
    "gadre-2024",
    "Six sizes from 8 layers of width 96 to 32 of 4096, with a gated feed-forward of 8/3 of the "
    "width up to a multiple of 256; the vocabulary was 50432, the context 2048.",
    "Gadre et al. 2024",
    2024,
    _open_lm_rows(
        ((96, 8, 4), (512, 8, 4), (576, 24, 8), (1024, 24, 8), (2048, 24, 16), (4096, 32, 32))
    ),
)

RULES = named(FIXED_DEPTH, ASPECT, NANOCHAT, MARIN, OLMO, PORIAN, GADRE)
