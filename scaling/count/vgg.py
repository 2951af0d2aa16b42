"""Counts of plain convolutional networks with batch norm (VGG); D counts images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scaling.count.family import Counts, OfExamples
from scaling.count.rules import Rule, image_options, named, stage_width, stage_widths
from scaling.errors import ConfigError, Fault
from scaling.options import Option

STAGES = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
MULTIPLES = (1, 2, 4, 8, 8)  # channels of the stages, in widths
CLASSIFIERS = {"pooled": 0, "full": 1}
HIDDEN = 4096  # units of the hidden layers of the full classifier
POOLED_SIDE = 7  # of what the full classifier reads
LEAST_SIDE = 2 ** len(MULTIPLES)  # each stage halves the image

WIDTH = Rule(
    "width",
    "The depth is fixed and the dial is the width of the first stage; the others have 2, 4, 8 and "
    "8 times its channels. 64 is the published network.",
    "Simonyan and Zisserman 2015; Zagoruyko and Komodakis 2016 (the width)",
    2015,
    ("width_step",),
    stage_widths,
    stage_width,
)
RULES: dict[str, Rule] = named(WIDTH)

OPTIONS = (
    Option("depth", "choice", "16", "layers of the network", choices=tuple(map(str, STAGES))),
    Option(
        "classifier", "choice", "pooled",
        "what follows the convolutions: the mean over pixels and one layer, or three layers of "
        "which two have 4096 units, as published",
        choices=tuple(CLASSIFIERS),
    ),
    *image_options(),
    Option("width_step", "integer", 2, "widths are multiples of this", high=512),
)  # fmt: skip


@dataclass(frozen=True)
class VGGShape:
    """Integer shape of a VGG network.

    Attributes
    ----------
    depth : int
        11, 13, 16 or 19: the convolutions and the three layers of the full classifier.
    full : int
        1 for the published classifier of three layers, 0 for the mean and one layer.
    image, channels, classes : int
        Side of the image [pixels], channels, classes.
    width : int
        Channels of the first stage.
    """

    depth: int
    full: int
    image: int
    channels: int
    classes: int
    width: int

    def convolutions(self) -> Iterator[tuple[int, int, int]]:
        """Yield input channels, output channels and side [pixels] of each 3x3 convolution.

        After each stage a pool halves the side, rounding down.
        """
        inputs, side = self.channels, self.image
        for multiple, layers in zip(MULTIPLES, STAGES[self.depth], strict=True):
            output = multiple * self.width
            for _ in range(layers):
                yield inputs, output, side
                inputs = output
            side //= 2

    def classifier(self) -> list[tuple[int, int]]:
        """Return inputs and outputs of the linear layers, the head last."""
        features = MULTIPLES[-1] * self.width
        if not self.full:
            return [(features, self.classes)]
        return [(features * POOLED_SIDE**2, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, self.classes)]


class VGGFamily(OfExamples):
    """The VGG network: convolutions with biases, each with a batch norm, and five max pools."""

    name = "vgg"
    rules = RULES
    own_options = OPTIONS

    def shape(self, dial: int, options: Mapping[str, Any]) -> dict[str, int]:
        """Return the shape at a value of the dial; its keys are those of `VGGShape`.

        Raises
        ------
        ConfigError
            SC012 if the image is too small for five pools.
        """
        settings = self.settings(options)
        image = settings["image"]
        if image < LEAST_SIDE:
            expected = f"{LEAST_SIDE} or more: five pools halve it"
            raise ConfigError(Fault("SC012", "[model] image", str(image), expected))
        return {
            "depth": int(settings["depth"]),
            "full": CLASSIFIERS[settings["classifier"]],
            "image": image,
            "channels": settings["channels"],
            "classes": settings["classes"],
            **self.rules[settings["rule"]].core(dial, settings),
        }

    def counts(self, shape: Mapping[str, int]) -> Counts:
        """Count a shape; the formulas stand in ``docs/reference/counting.md``."""
        s = VGGShape(**shape)
        layers, linear = list(s.convolutions()), s.classifier()
        outputs = sum(o for _, o, _ in layers)
        products = [9 * i * o * side**2 for i, o, side in layers]
        sizes = [(i + 1) * o for i, o in linear]
        groups = {
            "conv": sum(9 * i * o for i, o, _ in layers),
            "biases": outputs,
            "norms": 2 * outputs,
            "classifier": sum(sizes[:-1]),
            "head": sizes[-1],
        }
        return Counts(
            body=sum(groups.values()) - groups["head"],
            head=groups["head"],
            embedding=0,
            forward=2.0 * (sum(products) + sum(i * o for i, o in linear)),
            groups=groups,
            attention=0.0,
            attended=0.0,
            spared=2.0 * products[0],
        )


VGG = VGGFamily()
