"""Image files as arrays: decoded all at once, or when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault, MissingExtraError, clip

TAIL = 4096  # bytes at the end of a file; some programs write theirs behind the image
ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
THREADS = 8
MEND = "fetch the file again, or remove it"


class Decoded:
    """Images of files, indexed as an array of uint8 is by its first axis.

    Parameters
    ----------
    files : sequence of Path
    side : int
        Of the square that each is brought to [pixels].
    channels : {1, 3}
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, files: Sequence[Path], side: int, channels: int) -> None:
        self.files = tuple(files)
        self.shape = (len(self.files), channels, side, side)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: Any) -> NDArray[np.uint8]:
        """Decode images; a number, a slice or an array of numbers or switches.

        Raises
        ------
        ConfigError
            SC334 with the file that cannot be decoded.
        """
        numbers = np.arange(len(self.files))[index]
        flat = np.atleast_1d(numbers).ravel()
        out = np.empty((len(flat), *self.shape[1:]), np.uint8)

        def one(place: int) -> None:
            out[place] = decoded(self.files[flat[place]], self.shape[2], self.shape[1])

        if len(flat) < THREADS:
            for place in range(len(flat)):
                one(place)
        else:  # files are decoded outside of Python's lock
            with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
                list(pool.map(one, range(len(flat))))
        return out.reshape(*np.shape(numbers), *self.shape[1:])


def decoded(path: Path, side: int, channels: int) -> NDArray[np.uint8]:
    """Decode one file to a square: shorter side resized, middle cut out; (channels, side, side).

    Raises
    ------
    ConfigError
        SC334 for a file that cannot be decoded.
    """
    from PIL import Image

    mode = "RGB" if channels == 3 else "L"
    with _faults(path), Image.open(path) as opened:
        opened.draft(mode, (side, side))  # a JPEG shrinks as it is read
        image = opened.convert(mode)
        scale = side / min(image.size)
        width, height = (max(side, round(n * scale)) for n in image.size)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        left, top = (width - side) // 2, (height - side) // 2
        pixels = np.asarray(image.crop((left, top, left + side, top + side)), dtype=np.uint8)
    return pixels.reshape(side, side, channels).transpose(2, 0, 1)


def looked_at(files: Sequence[Path]) -> None:
    """Refuse files whose head names no image, or whose end is missing; nothing is decoded.

    Raises
    ------
    ConfigError
        SC334 with every such file.
    MissingExtraError
        Without Pillow.
    """
    try:
        import PIL  # noqa: F401
    except ImportError:
        raise MissingExtraError.of("pillow", "train", "read folders of images") from None
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        faults = [fault for fault in pool.map(_fault, files) if fault is not None]
    if faults:
        raise ConfigError(faults)


def _fault(path: Path) -> Fault | None:
    from PIL import Image

    try:
        with _faults(path), path.open("rb") as file:
            with Image.open(file) as image:  # a name may lie: ImageNet has a PNG called .JPEG
                end = ENDS.get(str(image.format), b"")
            size = path.stat().st_size
            file.seek(max(0, size - TAIL))
            if end not in file.read():
                return Fault(
                    "SC334", str(path), "cut off: the mark of its end is missing", mend=MEND
                )
    except ConfigError as error:
        return error.faults[0]
    return None


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a file is decoded into a fault that names it."""
    from PIL import Image

    try:
        yield
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        missing = isinstance(error, FileNotFoundError)
        found = "is gone" if missing else f"cannot be decoded: {clip(str(error))}"
        raise ConfigError(Fault("SC334", str(path), found, "an image", MEND)) from None
