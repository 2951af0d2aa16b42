"""Photographs in folders, one folder a class: the layout of ImageNet and torchvision.

``PATH/train/CLASS/*.jpg`` and ``PATH/val/CLASS/*.jpg``, or ``PATH/CLASS/*.jpg`` alone, of which a
share is held out by the hash of each file's name. Images become squares of one size: the shorter
side is resized (bilinear, smoothed where it shrinks) and the middle is cut out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scaling.errors import ConfigError, Fault, listed
from scaling.options import Option
from scaling.runs.sources.base import PATH, Made
from scaling.runs.sources.decoding import Decoded, looked_at
from scaling.runs.sources.pictures import DUPLICATES, Part, collected

ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".webp"})
HELD_OUT = ("val", "valid", "validation", "test")
MEND = "[data] options path: a folder with train/CLASS/*.jpg and val/CLASS/*.jpg, or CLASS/*.jpg"


@dataclass(frozen=True)
class _Listed:
    """Files of one part with their labels."""

    folder: Path
    files: tuple[Path, ...]
    labels: tuple[int, ...]


class ImageFolder:
    """Images in one folder a class."""

    name = "image-folder"
    kind = "images"
    options = (
        Option(PATH, "text", "", "folder of train/CLASS and val/CLASS, or of CLASS"),
        Option("image", "integer", 32, "side that images are brought to [pixels]", 8, 1024),
        Option("channels", "choice", "colour", "three channels or one",
               choices=("colour", "grey")),
        Option("held_out", "number", 0.1, "share held out where there is no val folder", 0.01, 0.5),
        Option("memory", "number", 2048.0, "images are kept in memory up to so much [MiB]", 0, 1e7),
        DUPLICATES,
    )  # fmt: skip

    def make(self, options: Mapping[str, Any], where: Path | None) -> Made:
        """List the files, and decode them unless they are too many."""
        if where is None or not where.is_dir():
            found = "no folder is named" if where is None else "no such folder"
            place = str(where or "[data] options path")
            raise ConfigError(Fault("SC330", place, found, "a folder of images", MEND))
        classes, train, validation = _listed(where, float(options["held_out"]))
        side, channels = int(options["image"]), 3 if options["channels"] == "colour" else 1
        count = len(train.files) + len(validation.files)
        resident = count * channels * side * side <= float(options["memory"]) * 2**20
        looked_at([*train.files, *validation.files])
        first, second = (_part(p, side, channels, resident) for p in (train, validation))
        digest = _digest(where, (train, validation), options, resident)
        kept = "kept in memory" if resident else "decoded when needed"
        detail = (
            f"{len(train.files):,} images brought to {side} x {side} in {len(classes)} classes, "
            f"{len(validation.files):,} held out, {kept}"
        )
        return collected(first, second, classes, detail, options, digest, hashed=resident)


def _part(part: _Listed, side: int, channels: int, resident: bool) -> Part:
    images = Decoded(part.files, side, channels)
    labels = np.asarray(part.labels, dtype=np.int64)
    return Part(images[:] if resident else images, labels, str(part.folder))


def _digest(
    where: Path, parts: Sequence[_Listed], options: Mapping[str, Any], resident: bool
) -> str:
    """Hash names and what files hold; only their sizes where there is too much to read.

    Files are hashed and not pixels: two versions of a JPEG decoder may round differently.
    """
    digest = hashlib.sha256(f"{options['image']} {options['channels']}".encode())
    for part in parts:
        digest.update(b"|")
        for file in part.files:
            content = file.read_bytes() if resident else str(file.stat().st_size).encode()
            name = file.relative_to(where).as_posix().encode()
            digest.update(hashlib.sha256(name).digest() + hashlib.sha256(content).digest())
    return digest.hexdigest()


def _listed(where: Path, share: float) -> tuple[list[str], _Listed, _Listed]:
    """Names of the classes, and the files of the two parts in the order of their names."""
    train = where / "train"
    if train.is_dir():
        held_out = [where / name for name in HELD_OUT if (where / name).is_dir()]
        if not held_out:
            expected = listed(HELD_OUT)
            found = "has a folder train and none that is held out"
            raise ConfigError(Fault("SC330", str(where), found, expected, MEND))
        classes = sorted({n for folder in (train, held_out[0]) for n in _classes(folder)})
        parts = [_files(folder, classes) for folder in (train, held_out[0])]
    else:
        classes = _classes(where)
        parts = _divided(_files(where, classes), share)
    if len(classes) < 2:
        found = f"{len(classes)} folders with images"
        raise ConfigError(Fault("SC330", str(where), found, "a folder for each class", MEND))
    return classes, parts[0], parts[1]


def _classes(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _files(folder: Path, classes: Sequence[str]) -> _Listed:
    """Images of a part, those in folders below a class with it."""
    found = [
        (file, label)
        for label, name in enumerate(classes)
        for file in sorted((folder / name).rglob("*"))
        if file.suffix.lower() in ENDINGS and file.is_file() and not file.name.startswith(".")
    ]
    return _Listed(folder, tuple(f for f, _ in found), tuple(k for _, k in found))


def _divided(part: _Listed, share: float) -> list[_Listed]:
    """Hold out files by the hash of class and name, so that other files do not move them."""
    pairs: tuple[list[tuple[Path, int]], ...] = ([], [])
    for file, label in zip(part.files, part.labels, strict=True):
        name = file.relative_to(part.folder).as_posix()
        first = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        pairs[first < share * 2**64].append((file, label))
    return [
        _Listed(part.folder, tuple(f for f, _ in found), tuple(k for _, k in found))
        for found in pairs
    ]


IMAGE_FOLDER = ImageFolder()
