"""Counts of MobileNetV2: inverted residuals with depthwise convolutions; D counts images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from scaling.count.family import Counts, OfExamples
from scaling.count.rules import Core, Rule, Settings, image_options, named
from scaling.options import Option

STEMS = {"imagenet": 0, "cifar": 1}
FIRST, LAST = 32, 1280  # channels of the first and the last convolution at multiplier 1
# expansion, channels at multiplier 1, blocks, stride of the first of them (Sandler et al. 2018,
# table 2)
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
LEAST, MOST = 5, 800  # multipliers [percent]
PUBLISHED = (35, 50, 75, 100, 130, 140)


def divisible(channels: float) -> int:
    """Round to the nearest multiple of 8, halves up, but not down by more than a tenth."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _channels(percent: int) -> tuple[int, ...]:
    """Channels of the first convolution, of each stage and of the last convolution.

    The multiplier is a float before it is applied, so that roundings are torchvision's.
    """
    multiplier = percent / 100
    stages = (divisible(c * multiplier) for _, c, _, _ in STAGES)
    last = divisible(LAST * max(1.0, multiplier))
    return divisible(FIRST * multiplier), *stages, last


@lru_cache(maxsize=16)
def _multipliers(step: int) -> tuple[int, ...]:
    """Multipliers [percent] in steps, one for each set of channels: a published one, or the least.

    Channels never fall, so that one multiplier stands for a run of them.
    """
    found: dict[tuple[int, ...], int] = {}
    for percent in range(step * -(-LEAST // step), MOST + 1, step):
        channels = _channels(percent)
        if channels not in found or percent in PUBLISHED:
            found[channels] = percent
    return tuple(found.values())


def _dial(settings: Settings) -> Sequence[int]:
    return _multipliers(int(settings["width_step"]))


def _core(dial: int, _: Settings) -> Core:
    return {"width": dial}


WIDTH = Rule(
    "width",
    "The depth is fixed and the dial is the width multiplier in percent, from 5 to 800; channels "
    "are rounded to multiples of 8, and multipliers that round alike are one.",
    "Sandler et al. 2018, with the rounding of torchvision",
    2018,
    ("width_step",),
    _dial,
    _core,
)
RULES: dict[str, Rule] = named(WIDTH)

OPTIONS = (
    Option(
        "stem", "choice", "imagenet", "first layer: 3x3 with stride 2, or with stride 1",
        choices=tuple(STEMS),
    ),
    *image_options(),
    Option("width_step", "integer", 1, "multipliers in percent are multiples of this", high=400),
)  # fmt: skip


class Convolution(NamedTuple):
    """A convolution: channels, kernel side, side of the output [pixels], whether depthwise."""

    inputs: int
    outputs: int
    kernel: int
    side: int
    depthwise: bool = False

    @property
    def weights(self) -> int:
        """Parameters [count]; a depthwise filter sees one channel."""
        return (1 if self.depthwise else self.inputs) * self.outputs * self.kernel**2


@dataclass(frozen=True)
class MobileNetShape:
    """Integer shape of a MobileNetV2.

    Attributes
    ----------
    cifar_stem : int
        1 for a first layer with stride 1, 0 for stride 2.
    image, channels, classes : int
        Side of the image [pixels], channels, classes.
    width : int
        Width multiplier [percent].
    """

    cifar_stem: int
    image: int
    channels: int
    classes: int
    width: int

    def convolutions(self) -> Iterator[Convolution]:
        """Yield all convolutions in order; strides halve the side, rounding up."""
        inputs, *outputs, last = _channels(self.width)
        side = self.image if self.cifar_stem else _half(self.image)
        yield Convolution(self.channels, inputs, 3, side)
        for (expansion, _, blocks, stride), output in zip(STAGES, outputs, strict=True):
            for block in range(blocks):
                hidden = expansion * inputs
                if expansion > 1:
                    yield Convolution(inputs, hidden, 1, side)
                side = _half(side) if stride == 2 and block == 0 else side
                yield Convolution(hidden, hidden, 3, side, depthwise=True)
                yield Convolution(hidden, output, 1, side)
                inputs = output
        yield Convolution(inputs, last, 1, side)


def _half(side: int) -> int:
    return (side + 1) // 2


class MobileNet(OfExamples):
    """MobileNetV2: a batch norm after each convolution, no biases but the head's."""

    name = "mobilenet"
    rules = RULES
    own_options = OPTIONS

    def shape(self, dial: int, options: Mapping[str, Any]) -> dict[str, int]:
        """Return the shape at a value of the dial; its keys are those of `MobileNetShape`."""
        settings = self.settings(options)
        return {
            "cifar_stem": STEMS[settings["stem"]],
            "image": settings["image"],
            "channels": settings["channels"],
            "classes": settings["classes"],
            **self.rules[settings["rule"]].core(dial, settings),
        }

    def counts(self, shape: Mapping[str, int]) -> Counts:
        """Count a shape; the formulas stand in ``docs/reference/counting.md``."""
        s = MobileNetShape(**shape)
        layers = list(s.convolutions())
        features = layers[-1].outputs
        groups = {
            "conv": sum(c.weights for c in layers if not c.depthwise),
            "depthwise": sum(c.weights for c in layers if c.depthwise),
            "norms": 2 * sum(c.outputs for c in layers),
            "head": (features + 1) * s.classes,
        }
        products = [c.weights * c.side**2 for c in layers]
        return Counts(
            body=sum(groups.values()) - groups["head"],
            head=groups["head"],
            embedding=0,
            forward=2.0 * (sum(products) + features * s.classes),
            groups=groups,
            attention=0.0,
            attended=0.0,
            spared=2.0 * products[0],
        )


MOBILENET = MobileNet()
