"""Shape rules: how one dial sets depth, width, heads and feed-forward of a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scaling.options import Option

MIN_WIDTH, MAX_WIDTH = 8, 8192

Settings = Mapping[str, Any]
Core = dict[str, int]


@dataclass(frozen=True)
class Rule:
    """A named shape rule of a family.

    Attributes
    ----------
    name : str
    text : str
        The rule in one sentence.
    source : str
        Where it comes from.
    year : int
    reads : tuple of str
        Options of the family that bear on the shape under this rule; the rule sets the rest of
        depth, width, heads and feed-forward itself.
    dial : callable
        Options to the values of the dial. Depth and width never fall along it, and one of them
        grows, so that N grows whatever the other options are.
    core : callable
        A value of the dial and the options to the part of the shape that the rule decides.
    """

    name: str
    text: str
    source: str
    year: int
    reads: tuple[str, ...]
    dial: Callable[[Settings], Sequence[int]]
    core: Callable[[int, Settings], Core]


def named(*rules: Rule) -> dict[str, Rule]:
    """Return rules by their names, in the order given."""
    return {rule.name: rule for rule in rules}


def width_options(layers: int | None, head_width: int, width_step: int) -> tuple[Option, ...]:
    """Options of the rules that turn the width, with a family's defaults."""
    return (
        Option("layers", "integer", layers, "depth", high=10_000),
        Option("ffn_ratio", "number", 4, "feed-forward width over width", low=0.01, high=1000),
        Option(
            "ffn_multiple",
            "integer",
            1,
            "feed-forward widths are rounded to multiples of this",
            high=65_536,
        ),
        Option("head_width", "integer", head_width, "heads are at least this wide", high=65_536),
        Option(
            "width_step", "integer", width_step, "widths are multiples of this",
            low=2, high=4096, step=2,
        ),
    )  # fmt: skip


def image_options() -> tuple[Option, ...]:
    """Options of convolutional networks: what their images and classes are."""
    return (
        Option("image", "integer", 224, "side of a square image [pixels]", high=65_536),
        Option("channels", "integer", 3, "channels of an image", high=65_536),
        Option("classes", "integer", 1000, "classes of the head"),
    )


def stage_widths(settings: Settings) -> range:
    """Widths of the first stage of a convolutional network: multiples of the step from 4 to 512."""
    step = int(settings["width_step"])
    return range(step * -(-4 // step), 513, step)


def stage_width(dial: int, _: Settings) -> Core:
    """Core of a convolutional network: the dial is the width of its first stage."""
    return {"width": dial}


READS = ("layers", "ffn_ratio", "ffn_multiple", "head_width", "width_step")


def widths(settings: Settings) -> range:
    """Multiples of the width step from 8 to 8192."""
    step = int(settings["width_step"])
    return range(-(-MIN_WIDTH // step) * step, MAX_WIDTH + 1, step)


def heads(width: int, head_width: int) -> int:
    """Most heads whose width is even and at least `head_width`; one head for narrow models.

    The width of a head is even for the sake of rotary positions.
    """
    fitting = (h for h in range(width // head_width, 0, -1) if width % (2 * h) == 0)
    return next(fitting, 1)


def feed_forward(width: int, settings: Settings) -> int:
    """Feed-forward width: width times ratio, to the nearest multiple, halves up, at least one."""
    multiple = int(settings["ffn_multiple"])
    ratio = float(settings["ffn_ratio"])
    return max(1, math.floor(width * ratio / multiple + 0.5)) * multiple


def of_width(width: int, layers: int, settings: Settings) -> Core:
    """Core of a transformer of the given width and depth, the rest by the options."""
    return {
        "layers": layers,
        "width": width,
        "heads": heads(width, int(settings["head_width"])),
        "ffn": feed_forward(width, settings),
    }


FIXED_DEPTH = Rule(
    "width",
    "The depth is fixed and the width is the dial, with as many heads as fit and a feed-forward "
    "width in a fixed ratio to the width.",
    "this package",
    2026,
    READS,
    widths,
    lambda dial, settings: of_width(dial, int(settings["layers"]), settings),
)


def table(
    name: str,
    text: str,
    source: str,
    year: int,
    rows: Sequence[Core],
) -> Rule:
    """Return a rule that lists its shapes; the dial is the row, from 0, in order of size."""
    return Rule(
        name, text, source, year, (), lambda _: range(len(rows)), lambda dial, _: dict(rows[dial])
    )
