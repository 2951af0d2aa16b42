"""What every source of labelled images checks and gives, whatever its files are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault, clip
from scaling.options import Option
from scaling.runs.sources.base import Made

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
SHOWN = 5
MOST_NAMES = 1000  # classes whose names stand in a plan

DUPLICATES = Option(
    "duplicates", "number", 0.001,
    "largest share of the validation images that may be in the training part", low=0, high=1,
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """Images for training or for validation.

    Attributes
    ----------
    images : ndarray of uint8
        Shape (n, channels, height, width); or what can be indexed like it.
    labels : ndarray of int64
        Shape (n,), from 0.
    file : str
        Where the labels come from.
    """

    images: Any
    labels: Labels
    file: str


def collected(
    train: Part,
    validation: Part,
    classes: Sequence[str],
    detail: str,
    options: Mapping[str, Any],
    digest: str | None = None,
    *,
    hashed: bool = True,
) -> Made:
    """Check two parts against each other and return them as the data of a source.

    Parameters
    ----------
    train, validation : Part
    classes : sequence of str
        Names, by label.
    detail : str
        One line for readers.
    options : mapping
        With the share of ``duplicates`` that is allowed.
    digest : str, optional
        sha256 that stands for the data; that of the arrays if None.
    hashed : bool
        Whether images are compared; not where each would have to be read for it.

    Raises
    ------
    ConfigError
        SC330 where the two parts do not go together, SC331 for labels beyond the classes, SC332
        for validation images in the training part, SC333 for classes without an image.
    """
    for part in (train, validation):
        if len(part.images) != len(part.labels):
            found = f"{len(part.images)} images and {len(part.labels)} labels"
            raise ConfigError(Fault("SC330", part.file, found, "a label for every image"))
    shapes = [part.images.shape[1:] for part in (train, validation)]
    if shapes[0] != shapes[1]:
        found = f"images of shape {shapes[1]}, those for training are {shapes[0]}"
        raise ConfigError(Fault("SC330", validation.file, found, "one shape for both parts"))
    faults = [f for part in (train, validation) for f in _labels(part, classes)]
    if faults:
        raise ConfigError(faults)
    if hashed:
        _apart(train, validation, float(options["duplicates"]))
    channels, height, width = (int(n) for n in shapes[0])
    if height != width:
        found = f"images of {height} x {width}"
        raise ConfigError(Fault("SC330", train.file, found, "square images"))
    first, second = ({"images": p.images, "labels": p.labels} for p in (train, validation))
    facts = {"image": width, "channels": channels, "classes": len(classes)}
    sizes = (len(train.labels), len(validation.labels))
    names = tuple(classes) if len(classes) <= MOST_NAMES else ()
    return Made(first, second, *sizes, len(classes), detail, None, facts, digest, names=names)


def _labels(part: Part, classes: Sequence[str]) -> list[Fault]:
    """What is wrong with the labels of one part."""
    outside = np.flatnonzero((part.labels < 0) | (part.labels >= len(classes)))
    if len(outside):
        first = outside[0]
        found = f"label {part.labels[first]} of image {first}"
        return [Fault("SC331", part.file, found, f"0 to {len(classes) - 1}")]
    counts = np.bincount(part.labels, minlength=len(classes))
    missing = [f'{k} ("{clip(name, 20)}")' for k, name in enumerate(classes) if not counts[k]]
    if not missing:
        return []
    rest = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
    found = f"no image of class {', '.join(missing[:SHOWN])}{rest}"
    return [Fault("SC333", part.file, found, "images of every class in both parts")]


def _apart(train: Part, validation: Part, allowed: float) -> None:
    """Refuse more exact copies of validation images in the training part than are allowed."""
    known = {_hash(image): i for i, image in enumerate(train.images)}
    copies = [(i, known.get(_hash(image))) for i, image in enumerate(validation.images)]
    copies = [(i, j) for i, j in copies if j is not None]
    share = len(copies) / len(validation.images)
    if share > allowed:
        mine, theirs = copies[0]
        found = (
            f"{len(copies)} of {len(validation.images)} validation images ({share:.2%}) are in "
            f"the training part: image {mine} is image {theirs} of {train.file}"
        )
        mend = f"remove them, or allow them: [data] options duplicates = {_upwards(share)}"
        raise ConfigError(Fault("SC332", validation.file, found, f"at most {allowed:.2%}", mend))


def _hash(image: Images) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()


def _upwards(share: float) -> str:
    return f"{min(1.0, np.ceil(share * 1000) / 1000):g}"
