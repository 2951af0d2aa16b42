"""MNIST-like images in idx files: FashionMNIST, and whatever else has that format.

The format: two zero bytes, the kind of value (8: unsigned bytes), the number of axes, then the
length of each axis as a big-endian 32-bit integer, then the values (LeCun, Cortes and Burges, *The
MNIST database*).
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault
from scaling.options import Option
from scaling.runs.sources.base import PATH, Made
from scaling.runs.sources.pictures import DUPLICATES, Part, collected

PACKED = 1100  # values in a byte of gzip at most
BYTES = 0x08  # the code of unsigned bytes
SUBFOLDERS = ("", "raw", "FashionMNIST/raw", "MNIST/raw")  # as Debian and torchvision lay them
FASHION = (
    "t-shirt or top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
    "ankle boot",
)  # fmt: skip


@dataclass(frozen=True)
class Idx:
    """A data set of idx files.

    Attributes
    ----------
    name : str
    default : str
        Folder that is read where none is named; may be empty.
    mend : str
        How to get the files.
    classes : tuple of str
        Names of the classes; empty where an option tells how many there are.
    """

    name: str
    default: str
    mend: str
    classes: tuple[str, ...] = ()
    kind: str = "images"

    @property
    def options(self) -> tuple[Option, ...]:
        """The folder, a margin, the share of copies, and the number of classes where it is open."""
        path = Option(PATH, "text", "", f"folder of the files ({self.default or 'none'} if empty)")
        pad = Option("pad", "integer", 0, "black pixels added on each side", low=0, high=64)
        classes = Option("classes", "integer", 10, "number of classes", low=2, high=256)
        return (path, pad, DUPLICATES, *(() if self.classes else (classes,)))

    def make(self, options: Mapping[str, Any], where: Path | None) -> Made:
        """Read the four files."""
        folder = where if where is not None else Path(self.default) if self.default else None
        if folder is None or not folder.is_dir():
            found = "no folder is named" if folder is None else "no such folder"
            raise ConfigError(
                Fault("SC330", str(folder or "[data] options path"), found,
                      "a folder of idx files", self.mend)
            )  # fmt: skip
        classes = self.classes or tuple(str(k) for k in range(int(options["classes"])))
        train, validation = (
            self._part(folder, names, int(options["pad"])) for names in ("train", "t10k test")
        )
        n, side = len(train.labels), train.images.shape[-1]
        held_out = f"{len(validation.labels):,} held out (the test part)"
        detail = f"{n:,} grey images of {side} x {side} in {len(classes)} classes, {held_out}"
        return collected(train, validation, classes, detail, options)

    def _part(self, folder: Path, names: str, pad: int) -> Part:
        images = self._file(folder, names, "images", 3)
        labels = self._file(folder, names, "labels", 1)
        found = read_idx(labels, 1).astype(np.int64)
        edges = ((0, 0), (0, 0), (pad, pad), (pad, pad))
        return Part(np.pad(read_idx(images, 3)[:, None], edges), found, str(labels))

    def _file(self, folder: Path, names: str, what: str, axes: int) -> Path:
        """Find the one file of a part: ``train-images-idx3-ubyte.gz``, or packed out."""
        for inside in SUBFOLDERS:
            here = folder / inside
            patterns = [f"*{name}-{what}?idx{axes}-ubyte*" for name in names.split()]
            files = sorted({f for pattern in patterns for f in here.glob(pattern) if f.is_file()})
            plain = [f for f in files if f.suffix != ".gz"]
            if len(plain or files) > 1:
                found = " and ".join(f.name for f in (plain or files)[:2])
                raise ConfigError(
                    Fault("SC330", str(here), found, "one data set in a folder", "part them")
                )
            if files:
                return (plain or files)[0]
        name = f"{names.split()[0]}-{what}-idx{axes}-ubyte.gz"
        raise ConfigError(Fault("SC330", str(folder), f"no file {name}", name, self.mend))


def read_idx(path: Path, axes: int) -> NDArray[np.uint8]:
    """Read an idx file of unsigned bytes, compressed or not.

    Parameters
    ----------
    path : Path
    axes : int
        How many it must have.

    Returns
    -------
    ndarray of uint8

    Raises
    ------
    ConfigError
        SC330 for another format, SC334 for a file that is cut off or cannot be decompressed.
    """
    try:
        with _opened(path) as file:
            head = file.read(4 + 4 * axes)
            if len(head) < 4 or head[:3] != bytes([0, 0, BYTES]) or head[3] != axes:
                found = f"starts with the bytes {head[:4].hex(' ')}"
                expected = f"00 00 {BYTES:02x} {axes:02x}: unsigned bytes with {axes} axes"
                raise ConfigError(Fault("SC330", str(path), found, expected))
            shape = struct.unpack(f">{len(head) // 4 - 1}I", head[4 : len(head) // 4 * 4])
            size = math.prod(shape)
            # as much as there can be, so that a damaged head does not ask for all memory
            most = path.stat().st_size * (PACKED if path.suffix == ".gz" else 1)
            values = file.read(min(size, most) + 1) if len(shape) == axes else b""
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        mend = "fetch the file again"
        raise ConfigError(Fault("SC334", str(path), f"cut off: {error}", mend=mend)) from None
    except OSError as error:
        found = f"cannot be read: {error.strerror or error}"
        raise ConfigError(Fault("SC330", str(path), found)) from None
    if len(shape) < axes or len(values) != size or not size:
        more = "more than" if len(values) > size else f"{len(values):,} of"
        found = f"{more} {size:,} values" if len(shape) == axes else "its head is cut off"
        expected = " x ".join(f"{n}" for n in shape) + " values, as its head says"
        raise ConfigError(Fault("SC334", str(path), found, expected, "fetch the file again"))
    return np.frombuffer(values, np.uint8).reshape(shape)


def _opened(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


FASHION_MNIST = Idx(
    "fashion-mnist",
    "/usr/share/datasets/fashion-mnist",
    "apt-get install dataset-fashion-mnist, or name a folder that holds "
    "train-images-idx3-ubyte.gz and the other three files: [data] options path",
    FASHION,
)
MNIST = Idx(
    "mnist",
    "",
    "name the folder that holds train-images-idx3-ubyte.gz and the other three files (torchvision "
    "puts them into MNIST/raw): [data] options path",
)
