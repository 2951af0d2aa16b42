"""Drawn shapes as images: a source that is always there, of any size, with a known generator.

An image shows one shape of its class at a random place, size, angle and contrast, among smaller
shapes of any class, on a sloping ground with noise; the class is that of the largest shape. All
shapes are the same in a mirror up to their angle, so flips and shifts of an image keep its class.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.options import Option
from scaling.runs.files import canonical_json
from scaling.runs.sources.base import Made
from scaling.runs.sources.pictures import Part, collected

Floats = NDArray[np.float32]
VERSION = 1  # of what is drawn: another number, other data
BINS = 720  # directions in which an outline is kept
BLOCK = 512  # images drawn at once, from a stream of their own
NUMBERS = 16  # random numbers of a shape and of its ground
CLUTTER = 2
NAMES = (
    "disc", "triangle", "square", "cross", "star", "bar", "ring", "hollow triangle",
    "hollow square", "hexagon",
)  # fmt: skip
HOLLOW = 0.6  # inner outline of a hollow shape over the outer one
MOST = 2_000_000


class Shapes:
    """Grey or coloured shapes of up to ten classes."""

    name = "shapes"
    kind = "images"
    options = (
        Option("images", "integer", 20_000, "images to train on", 10, MOST),
        Option("validation_images", "integer", 4_000, "held-out images", 10, MOST),
        Option("image", "integer", 28, "side [pixels]", 12, 256),
        Option("channels", "choice", "grey", "three channels or one", choices=("grey", "colour")),
        Option("classes", "integer", 10, "number of shapes", 2, len(NAMES)),
        Option("difficulty", "number", 0.5, "of noise, clutter and small shapes", 0, 1),
        Option("seed", "integer", 0, "seed of everything drawn", 0, 2**32),
    )

    def make(self, options: Mapping[str, Any], where: Path | None) -> Made:
        """Draw the two parts."""
        del where
        sizes = (int(options["images"]), int(options["validation_images"]))
        train, validation = (_part(options, k, size) for k, size in enumerate(sizes))
        side, classes = int(options["image"]), int(options["classes"])
        detail = (
            f"{sizes[0]:,} drawn images of {side} x {side} in {classes} classes, "
            f"{sizes[1]:,} held out"
        )
        # Pixels are rounded from floating point, which need not be the same on every machine, so
        # the random numbers stand for them: those are.
        known = canonical_json({**options, "version": VERSION})
        draws = (_numbers(options, k, 0, 8).tobytes() for k in range(2))
        digest = hashlib.sha256(known.encode() + b"".join(draws)).hexdigest()
        names = NAMES[:classes]
        return collected(train, validation, names, detail, {"duplicates": 1.0}, digest)


def _part(options: Mapping[str, Any], part: int, size: int) -> Part:
    """Draw one part; its first images do not depend on how many there are."""
    side, channels = int(options["image"]), 3 if options["channels"] == "colour" else 1
    images = np.empty((size, channels, side, side), np.uint8)
    labels = np.arange(size, dtype=np.int64) % int(options["classes"])
    for block, first in enumerate(range(0, size, BLOCK)):
        last = min(first + BLOCK, size)
        images[first:last] = _drawn(options, part, block, labels[first:last])
    return Part(images, labels, "data source shapes")


def _numbers(options: Mapping[str, Any], part: int, block: int, count: int) -> Floats:
    """Uniform numbers of the first `count` images of a block, (count, 1 + clutter, NUMBERS)."""
    rng = np.random.default_rng([int(options["seed"]), part, block, 0])
    return rng.random((BLOCK, 1 + CLUTTER, NUMBERS), dtype=np.float32)[:count]


def _drawn(
    options: Mapping[str, Any], part: int, block: int, labels: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Draw the images of a block, shape (images, channels, side, side)."""
    side, channels = int(options["image"]), 3 if options["channels"] == "colour" else 1
    classes, hard = int(options["classes"]), float(options["difficulty"])
    u = _numbers(options, part, block, len(labels))
    image = _ground(u[:, 0], side, channels, hard)
    largest = 0.22 + 0.16 * u[:, 0, 2] * (1 - 0.5 * hard)  # half a side is 0.5
    for layer in range(CLUTTER, -1, -1):  # the largest is drawn last and hides the others
        v = u[:, layer]
        if layer == 0:
            kind, size, there = labels, largest, np.ones(len(labels), bool)
        else:
            kind = (v[:, 5] * classes).astype(np.int64)
            size = largest * (0.35 + 0.25 * v[:, 2])
            there = v[:, 6] < hard
        cover = _cover(kind, v, size, side)[:, None] * there[:, None, None, None]
        # as far from the middle grey as the task is easy, lighter or darker
        contrast = (0.5 - 0.35 * hard) + 0.25 * v[:, 7]
        tone = np.where(v[:, 8] < 0.5, -1, 1) * contrast
        tint = tone[:, None] + 0.3 * (v[:, 9 : 9 + channels] - 0.5)
        image += cover * (tint[:, :, None, None] - 0.5 * image)
    rng = np.random.default_rng([int(options["seed"]), part, block, 1])
    noise = rng.random((len(labels), channels, side, side), dtype=np.float32) - 0.5
    image += noise * (0.15 + 0.85 * hard)
    pixels = np.rint(127.5 + 127.5 * np.clip(image, -1, 1))
    return np.asarray(pixels, dtype=np.uint8)


def _ground(v: Floats, side: int, channels: int, hard: float) -> Floats:
    """A plane of any slope, shape (images, channels, side, side), about 0."""
    line = np.linspace(-1, 1, side, dtype=np.float32)
    slope = (v[:, 12:14] - 0.5) * hard
    plane = slope[:, :1, None] * line[:, None] + slope[:, 1:, None] * line
    return np.repeat(plane[:, None], channels, axis=1).astype(np.float32)


def _cover(kind: NDArray[np.int64], v: Floats, size: Floats, side: int) -> Floats:
    """How much of each pixel a shape covers, (images, side, side), from 0 to 1."""
    line = (np.arange(side, dtype=np.float32) + 0.5) / side
    room = 1 - 2 * size  # all of a shape lies inside
    x = line[None, None, :] - (size + room * v[:, 0])[:, None, None]
    y = line[None, :, None] - (size + room * v[:, 1])[:, None, None]
    radius = np.sqrt(x * x + y * y)
    turn = np.arctan2(y, x) * (1 / (2 * math.pi)) + v[:, 3, None, None] + 1
    direction = (turn * BINS).astype(np.int64) % BINS
    outer = OUTLINES[kind[:, None, None], direction] * size[:, None, None]
    inner = outer * INSIDE[kind][:, None, None]
    cover = np.clip((outer - radius) * side + 0.5, 0, 1)
    hole = np.clip((inner - radius) * side + 0.5, 0, 1) * (inner > 0)
    return np.asarray(cover - hole, dtype=np.float32)


def _outlines() -> Floats:
    """Distance of each outline from its middle, (classes, BINS), at most 1."""
    angle = (np.arange(BINS) + 0.5) / BINS * 2 * math.pi

    def polygon(corners: int) -> NDArray[np.float64]:
        wedge = math.pi / corners
        return np.asarray(math.cos(wedge) / np.cos(angle % (2 * wedge) - wedge))

    def box(width: float, height: float) -> NDArray[np.float64]:
        along, up = np.abs(np.cos(angle)), np.abs(np.sin(angle))
        return np.asarray(np.minimum(width / along, height / up))

    def star() -> NDArray[np.float64]:
        wedge, notch = math.pi / 5, 0.42
        t = np.abs(angle % (2 * wedge) - wedge)  # from a notch at 0 to a tip at `wedge`
        across = np.cos(t) * math.sin(wedge) - np.sin(t) * (math.cos(wedge) - notch)
        return np.asarray(notch * math.sin(wedge) / across)

    disc, triangle, square = np.full(BINS, 0.85), polygon(3), polygon(4)
    cross = np.maximum(box(0.95, 0.3), box(0.3, 0.95))
    bar = box(0.95, 0.28)
    rows = [disc, triangle, square, cross, star(), bar, disc, triangle, square, 0.95 * polygon(6)]
    return np.asarray(rows, dtype=np.float32)


OUTLINES = _outlines()
INSIDE = np.asarray([HOLLOW * name.startswith(("ring", "hollow")) for name in NAMES], np.float32)
SHAPES = Shapes()
