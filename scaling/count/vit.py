"""Counts of the vision transformer; D counts images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scaling.count.family import Counts, OfExamples
from scaling.count.rules import FIXED_DEPTH, Rule, named, table, width_options
from scaling.count.transformer import Blocks
from scaling.errors import ConfigError, Fault
from scaling.options import Option

TABLE = table(
    "vit-2021",
    "Seven sizes: Ti 12 layers of width 192, S 12 of 384, B 12 of 768, L 24 of 1024, H 32 of 1280, "
    "g 40 of 1408, G 48 of 1664, with the published heads and feed-forward.",
    "Dosovitskiy et al. 2021 (B, L, H), Touvron et al. 2021 (Ti, S), Zhai et al. 2022 (g, G)",
    2021,
    [
        {"layers": n, "width": d, "heads": h, "ffn": f}
        for n, d, h, f in (
            (12, 192, 3, 768), (12, 384, 6, 1536), (12, 768, 12, 3072), (24, 1024, 16, 4096),
            (32, 1280, 16, 5120), (40, 1408, 16, 6144), (48, 1664, 16, 8192),
        )
    ],
)  # fmt: skip
RULES: dict[str, Rule] = named(FIXED_DEPTH, TABLE)

OPTIONS = (
    Option("image", "integer", 224, "side of a square image [pixels]", high=65_536),
    Option("patch", "integer", 16, "side of a square patch [pixels]; it divides the image"),
    Option("channels", "integer", 3, "channels of an image", high=65_536),
    Option("classes", "integer", 1000, "classes of the head"),
    *width_options(layers=12, head_width=32, width_step=4),
    Option("biases", "switch", True, "linear layers, patches and the head have biases"),
    Option("class_token", "switch", True, "the head reads a class token, else the mean"),
)


@dataclass(frozen=True)
class ViTShape:
    """Integer shape of a vision transformer.

    Attributes
    ----------
    image, patch, channels, classes : int
        Side of the image and of a patch [pixels], channels, classes.
    layers, width, heads, ffn : int
        n, d, number of heads, feed-forward width.
    biases, class_token : int
        1 for biases, a class token.
    """

    image: int
    patch: int
    channels: int
    classes: int
    layers: int
    width: int
    heads: int
    ffn: int
    biases: int
    class_token: int


class ViT(OfExamples):
    """The vision transformer: pre-norm blocks with LayerNorm over patches."""

    name = "vit"
    rules = RULES
    own_options = OPTIONS

    def shape(self, dial: int, options: Mapping[str, Any]) -> dict[str, int]:
        """Return the shape at a value of the dial; its keys are those of `ViTShape`.

        Raises
        ------
        ConfigError
            SC012 if the patch does not divide the image.
        """
        settings = self.settings(options)
        image, patch = settings["image"], settings["patch"]
        if image % patch:
            expected = f"a divisor of the image's side of {image}"
            raise ConfigError(Fault("SC012", "[model] patch", str(patch), expected))
        return {
            "image": image,
            "patch": patch,
            "channels": settings["channels"],
            "classes": settings["classes"],
            **self.rules[settings["rule"]].core(dial, settings),
            "biases": int(settings["biases"]),
            "class_token": int(settings["class_token"]),
        }

    def counts(self, shape: Mapping[str, int]) -> Counts:
        """Count a shape; the formulas stand in ``docs/reference/counting.md``."""
        s = ViTShape(**shape)
        blocks = Blocks(s.layers, s.width, s.ffn, s.width, norm=2, biases=bool(s.biases))
        patches = (s.image // s.patch) ** 2
        length = patches + s.class_token
        patch, head = s.channels * s.patch**2 * s.width, s.classes * s.width
        groups = {
            "patch": patch,
            "attention": blocks.attention,
            "mlp": blocks.mlp,
            "norms": blocks.norms,
            "biases": blocks.bias + s.biases * s.width,
            "head": head + s.biases * s.classes,
            "class_token": s.class_token * s.width,
            "positions": length * s.width,
        }
        attention = blocks.scores(s.layers * length**2)
        embedding = groups["class_token"] + groups["positions"]
        return Counts(
            body=sum(groups.values()) - groups["head"] - embedding,
            head=groups["head"],
            embedding=embedding,
            forward=2.0 * (patches * patch + length * blocks.matrices + head) + attention,
            groups=groups,
            attention=attention,
            attended=attention,
            spared=2.0 * patches * patch,
        )


VIT = ViT()
