"""CIFAR-10 and CIFAR-100 as their pickled batches, read without running anything in them.

Krizhevsky (2009), *Learning Multiple Layers of Features from Tiny Images*; the folders are those of
https://www.cs.toronto.edu/~kriz/cifar.html, which torchvision downloads too.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault, clip
from scaling.options import Option
from scaling.runs.sources.base import PATH, Made
from scaling.runs.sources.pictures import DUPLICATES, Part, collected

SIDE, VALUES = 32, 3 * 32 * 32


@dataclass(frozen=True)
class Cifar:
    """One of the two data sets.

    Attributes
    ----------
    name : str
    folder : str
        Name of the folder that the archive holds.
    train, validation : tuple of str
        Files of the two parts.
    labels, classes : str
        Keys of the labels in a batch and of the names in the file of names.
    names : str
        File of the names of classes.
    """

    name: str
    folder: str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    labels: str
    names: str
    classes: str
    kind: str = "images"

    @property
    def options(self) -> tuple[Option, ...]:
        """The folder, and the share of copies."""
        what = f"folder of the batches, or the one that holds {self.folder}"
        return (Option(PATH, "text", "", what), DUPLICATES)

    @property
    def mend(self) -> str:
        """How to get the files."""
        archive = self.folder.removesuffix("-batches-py").removesuffix("-python") + "-python.tar.gz"
        return (
            f"unpack https://www.cs.toronto.edu/~kriz/{archive} and name its folder: "
            "[data] options path"
        )

    def make(self, options: Mapping[str, Any], where: Path | None) -> Made:
        """Read the batches."""
        folder = self._folder(where)
        found = _entry(folder / self.names, _loaded(folder / self.names, self.mend), self.classes)
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
            raise _wrong(folder / self.names, f"{self.classes} are not names", "a list of names")
        train, validation = (self._part(folder, files) for files in (self.train, self.validation))
        sizes = f"{len(train.labels):,} colour images of 32 x 32"
        held_out = f"{len(validation.labels):,} held out (the test part)"
        detail = f"{sizes} in {len(found)} classes, {held_out}"
        return collected(train, validation, found, detail, options)

    def _folder(self, where: Path | None) -> Path:
        for folder in () if where is None else (where, where / self.folder):
            if (folder / self.train[0]).is_file():
                return folder
        place = "[data] options path" if where is None else str(where)
        found = "no folder is named" if where is None else f"no file {self.train[0]} in it"
        raise ConfigError(Fault("SC330", place, found, f"the folder {self.folder}", self.mend))

    def _part(self, folder: Path, files: tuple[str, ...]) -> Part:
        batches = [self._batch(folder / name) for name in files]
        images = np.concatenate([batch[0] for batch in batches])
        labels = np.concatenate([batch[1] for batch in batches])
        return Part(images, labels, str(folder / files[0]))

    def _batch(self, path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Images (n, 3, 32, 32) and labels (n,) of one file."""
        batch = _loaded(path, self.mend)
        images, labels = (_entry(path, batch, name) for name in ("data", self.labels))
        right = isinstance(images, np.ndarray) and images.dtype == np.uint8
        if not right or images.shape[1:] != (VALUES,):
            found = f"data of shape {getattr(images, 'shape', None)}"
            raise _wrong(path, found, f"(images, {VALUES})")
        if not isinstance(labels, list) or not all(type(k) is int for k in labels):
            raise _wrong(path, f"{self.labels} are not a list of whole numbers", "labels")
        if len(labels) != len(images):
            raise _wrong(path, f"{len(images)} images, {len(labels)} labels", "one for each")
        return images.reshape(-1, 3, SIDE, SIDE), np.asarray(labels, dtype=np.int64)


class _Refused(pickle.UnpicklingError):
    """A file asks for something that no batch needs."""


def _array(kind: object, shape: object, code: object) -> NDArray[np.uint8]:
    """Stand for numpy's ``_reconstruct``: an empty array whose values follow."""
    del shape, code
    if kind is not np.ndarray:
        raise _Refused("it holds an array of another class")
    return np.ndarray((0,), np.uint8)


def _dtype(code: object, *rest: object) -> np.dtype[np.uint8]:
    """Stand for ``numpy.dtype``: bytes and nothing else."""
    del rest
    if code not in ("u1", "|u1"):
        raise _Refused(f"it holds values of type {clip(repr(code), 20)}, not bytes")
    return np.dtype("u1", copy=True)  # what follows is put into it


def _encoded(text: object, code: object) -> bytes:
    """Stand for ``_codecs.encode``, by which Python 3 writes bytes into old protocols."""
    if not isinstance(text, str) or code != "latin1":
        raise _Refused("it asks for another encoding than latin1")
    return text.encode("latin1")


# All that a batch may name; anything else could run code.
_ALLOWED: dict[tuple[str, str], Callable[..., object] | type] = {
    ("numpy.core.multiarray", "_reconstruct"): _array,
    ("numpy._core.multiarray", "_reconstruct"): _array,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encoded,
}


class _Unpickler(pickle.Unpickler):
    """Reads lists, dictionaries, text, numbers and arrays of bytes."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name; refuse every other."""
        if (module, name) not in _ALLOWED:
            raise _Refused(f"it asks for {clip(f'{module}.{name}', 40)}")
        return _ALLOWED[module, name]


def _loaded(path: Path, mend: str) -> Mapping[Any, Any]:
    """Read a pickled dictionary.

    Raises
    ------
    ConfigError
        SC330 for a file that is missing or holds what no batch does, SC334 for one cut off.
    """
    try:
        stored = path.read_bytes()
    except OSError as error:
        found = f"cannot be read: {error.strerror or error}"
        raise ConfigError(Fault("SC330", str(path), found, mend=mend)) from None
    try:
        # Python 2 wrote these files; its strings are bytes, of which latin1 keeps each
        batch = _Unpickler(io.BytesIO(stored), encoding="latin1").load()
    except _Refused as error:
        found = f"not a CIFAR batch: {error}"
        raise ConfigError(Fault("SC330", str(path), found, mend=mend)) from None
    except Exception as error:  # noqa: BLE001  (a damaged pickle can raise anything)
        found = f"cannot be read to its end: {type(error).__name__}: {clip(str(error))}"
        raise ConfigError(Fault("SC334", str(path), found, mend=mend)) from None
    if not isinstance(batch, dict):
        raise _wrong(path, f"holds a {type(batch).__name__}", "a dictionary")
    return batch


def _entry(path: Path, batch: Mapping[Any, Any], name: str) -> Any:
    if name not in batch:
        there = ", ".join(clip(str(key), 20) for key in list(batch)[:6])
        raise _wrong(path, f'no entry "{name}", but {there}', name)
    return batch[name]


def _wrong(path: Path, found: str, expected: str) -> ConfigError:
    return ConfigError(Fault("SC330", str(path), found, expected))


CIFAR_10 = Cifar(
    "cifar-10",
    "cifar-10-batches-py",
    tuple(f"data_batch_{k}" for k in range(1, 6)),
    ("test_batch",),
    "labels",
    "batches.meta",
    "label_names",
)
CIFAR_100 = Cifar(
    "cifar-100",
    "cifar-100-python",
    ("train",),
    ("test",),
    "fine_labels",
    "meta",
    "fine_label_names",
)
