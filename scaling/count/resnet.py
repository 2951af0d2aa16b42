"""Counts of residual convolutional networks with basic or bottleneck blocks; D counts images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scaling.count.family import Counts, OfExamples
from scaling.count.rules import Rule, image_options, named, stage_width, stage_widths
from scaling.options import Option

STAGES = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
BOTTLENECK_FROM = 50
EXPANSION = 4  # of a bottleneck block's output over its inner width
STEMS = {"imagenet": 0, "cifar": 1}


WIDTH = Rule(
    "width",
    "The depth is fixed and the dial is the width of the first stage, which each later stage "
    "doubles; 64 is the published network.",
    "He et al. 2016; Zagoruyko and Komodakis 2016 (the width)",
    2016,
    ("width_step",),
    stage_widths,
    stage_width,
)
RULES: dict[str, Rule] = named(WIDTH)

OPTIONS = (
    Option("depth", "choice", "18", "layers of the network", choices=tuple(map(str, STAGES))),
    Option(
        "stem", "choice", "imagenet",
        "first layer: 7x7 with stride 2 and a max pool, or 3x3 with stride 1 and none",
        choices=tuple(STEMS),
    ),
    *image_options(),
    Option("width_step", "integer", 2, "widths are multiples of this", high=512),
)  # fmt: skip


@dataclass(frozen=True)
class ResNetShape:
    """Integer shape of a residual network.

    Attributes
    ----------
    depth : int
        18, 34, 50, 101 or 152.
    cifar_stem : int
        1 for a 3x3 first layer with stride 1 and no pool, 0 for 7x7 with stride 2 and a pool.
    image, channels, classes : int
        Side of the image [pixels], channels, classes.
    width : int
        Channels of the first stage, before a bottleneck's expansion.
    """

    depth: int
    cifar_stem: int
    image: int
    channels: int
    classes: int
    width: int

    @property
    def expansion(self) -> int:
        """Output channels of a block over its inner width."""
        return EXPANSION if self.depth >= BOTTLENECK_FROM else 1

    def convolutions(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield input channels, output channels, kernel side and output side of each one.

        Strides halve the side, rounding up, whatever the kernel, since padding is half of it. In a
        bottleneck the 3x3 layer has the stride.
        """
        kernel, side = (3, self.image) if self.cifar_stem else (7, _half(self.image))
        yield self.channels, self.width, kernel, side
        side, inputs = (side if self.cifar_stem else _half(side)), self.width
        for stage, blocks in enumerate(STAGES[self.depth]):
            inner = self.width * 2**stage
            output = inner * self.expansion
            for block in range(blocks):
                halved = stage > 0 and block == 0
                before, side = side, (_half(side) if halved else side)
                if self.expansion > 1:
                    yield inputs, inner, 1, before
                    yield inner, inner, 3, side
                    yield inner, output, 1, side
                else:
                    yield inputs, inner, 3, side
                    yield inner, output, 3, side
                if halved or inputs != output:
                    yield inputs, output, 1, side
                inputs = output


def _half(side: int) -> int:
    return (side + 1) // 2


class ResNet(OfExamples):
    """The residual network: a batch norm after each convolution, no biases but the head's."""

    name = "resnet"
    rules = RULES
    own_options = OPTIONS

    def shape(self, dial: int, options: Mapping[str, Any]) -> dict[str, int]:
        """Return the shape at a value of the dial; its keys are those of `ResNetShape`."""
        settings = self.settings(options)
        return {
            "depth": int(settings["depth"]),
            "cifar_stem": STEMS[settings["stem"]],
            "image": settings["image"],
            "channels": settings["channels"],
            "classes": settings["classes"],
            **self.rules[settings["rule"]].core(dial, settings),
        }

    def counts(self, shape: Mapping[str, int]) -> Counts:
        """Count a shape; the formulas stand in ``docs/reference/counting.md``."""
        s = ResNetShape(**shape)
        layers = list(s.convolutions())
        weights = sum(i * o * k * k for i, o, k, _ in layers)
        norms = 2 * sum(o for _, o, _, _ in layers)
        products = [i * o * (k * side) ** 2 for i, o, k, side in layers]
        features = layers[-1][1]
        head = (features + 1) * s.classes
        return Counts(
            body=weights + norms,
            head=head,
            embedding=0,
            forward=2.0 * (sum(products) + features * s.classes),
            groups={"conv": weights, "norms": norms, "head": head},
            attention=0.0,
            attended=0.0,
            spared=2.0 * products[0],
        )


RESNET = ResNet()
