"""Images on the device, and the balanced order in which a run sees them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scaling.errors import Fault, TrainingError
from scaling.runs.files import canonical_json
from scaling.runs.manifest import arrays
from scaling.training.tasks.order import Stream

RESIDENT = 0.25  # share of the free device memory that data may take
MEASURED = 2000  # images that mean and standard deviation are taken of, where they are decoded


class Pictures:
    """The images of one data set.

    Parameters
    ----------
    data : mapping
        Manifest.
    device : torch.device
    resident : bool, optional
        Whether the training images lie on the device; by their size if None. Else a batch is
        gathered on the host and copied.

    Attributes
    ----------
    images, labels : Tensor or array-like, ndarray
        Training part: uint8 of shape (n, channels, height, width), and int64 of shape (n,).
    mean, sd : Tensor
        Of the training pixels, shape (channels, 1, 1), on the scale of 0 to 255.
    held_out : tuple
        Images and labels of the validation part.
    """

    def __init__(
        self, data: Mapping[str, Any], device: torch.device, *, resident: bool | None = None
    ) -> None:
        train, held_out = arrays(data)
        self.device, self.labels = device, np.asarray(train["labels"])
        self.held_out = (_kept(held_out["images"], device), held_out["labels"])
        self.images = _kept(train["images"], device) if resident is not False else train["images"]
        self.resident = isinstance(self.images, Tensor)
        mean, sd = _measured(train["images"])
        self.mean, self.sd = (torch.from_numpy(x).float().to(device) for x in (mean, sd))

    def gather(self, numbers: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Training images by their number, (n, C, H, W) of uint8, and labels, on the device."""
        return (
            _gathered(self.images, numbers, self.device),
            torch.from_numpy(self.labels[numbers]).to(self.device),
        )

    def checked(self, numbers: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Validation images by their number, and labels, on the device."""
        images, labels = self.held_out
        return (
            _gathered(images, numbers, self.device),
            torch.from_numpy(labels[numbers]).to(self.device),
        )

    def normal(self, images: Tensor) -> Tensor:
        """Images of bytes as floats of mean 0 and variance 1."""
        return (images.float() - self.mean) / self.sd


def channels_last(images: Tensor) -> Tensor:
    """Copy images so that channels lie last in memory, which convolutions are faster on.

    With one channel either order is the same memory; the strides say which is meant, and torch
    keeps those it finds.
    """
    channels, height, width = images.shape[1:]
    strides = (channels * height * width, 1, channels * width, channels)
    return torch.empty_strided(
        images.shape, strides, dtype=images.dtype, device=images.device
    ).copy_(images)


def _gathered(images: Any, numbers: NDArray[np.int64], device: torch.device) -> Tensor:
    if isinstance(images, Tensor):
        return images[torch.from_numpy(numbers).to(images.device)]
    found = torch.from_numpy(np.ascontiguousarray(images[numbers]))
    if device.type == "cuda":
        return found.pin_memory().to(device, non_blocking=True)
    return found.to(device)


def _kept(images: Any, device: torch.device) -> Any:
    """Copy images to the device if they are in memory and take little of the device's."""
    if not isinstance(images, np.ndarray):
        return images
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if images.nbytes > RESIDENT * free:
            return images
        return torch.from_numpy(images).to(device)
    return torch.from_numpy(images.copy() if not images.flags.writeable else images)


def _measured(images: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each channel, shape (channels, 1, 1)."""
    if not isinstance(images, np.ndarray):
        step = max(1, len(images) // MEASURED)
        images = images[np.arange(0, len(images), step)[:MEASURED]]
    counts = np.stack(
        [np.bincount(images[:, c].reshape(-1), minlength=256) for c in range(images.shape[1])]
    ).astype(np.float64)
    values, total = np.arange(256.0), counts.sum(axis=1)
    mean = counts @ values / total
    sd = np.sqrt(np.maximum(counts @ values**2 / total - mean**2, 0.0))
    shape = (-1, 1, 1)
    return mean.reshape(shape), np.maximum(sd, 1.0).reshape(shape)


@lru_cache(maxsize=2)
def _shared(data: str, device: torch.device) -> Pictures:
    return Pictures(json.loads(data), device)


def pictures_of(data: Mapping[str, Any], device: torch.device) -> Pictures:
    """Return the images of a point's data; the next point of a process finds them where they are.

    How many of them a run may see does not matter here.
    """
    whole = {name: value for name, value in data.items() if name != "unique"}
    return _shared(canonical_json(whole), device)


class Balanced(Stream):
    """The endless stream of examples of one seed whose first epoch has its classes in balance.

    In each round every class that has examples left gives one, in random order. So the first U are
    balanced, within one, as long as no class runs out, and for one seed they are among the first
    U' > U. Later epochs are permutations of the same U.

    Parameters
    ----------
    seed : int
    labels : ndarray of int64
        Class of each example, shape (n,).
    unique : int, optional
        U; all if None.

    Raises
    ------
    TrainingError
        SC333 if U is less than the number of classes.
    """

    def __init__(self, seed: int, labels: NDArray[np.int64], unique: int | None = None) -> None:
        super().__init__(seed, len(labels), unique)
        classes = len(np.unique(labels))
        if self.windows < classes:
            found = f"{self.windows} images, {classes} classes"
            expected = f"at least {classes}, one image of each class"
            raise TrainingError(Fault("SC333", "subset of a point", found, expected))
        self.first = balanced(seed, labels)[: self.windows]

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        if epoch == 0:
            return self.first
        return self.first[np.random.default_rng([self.seed, epoch]).permutation(self.windows)]


def balanced(seed: int, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return all examples in rounds of one of each class, shape (n,)."""
    rng = np.random.default_rng([seed, 0])
    order = rng.permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    counts = np.bincount(labels)
    starts = np.cumsum(counts) - counts
    # place of each example within its class: the round in which it comes
    turn = np.arange(len(labels)) - np.repeat(starts, counts)
    return by_class[np.lexsort((rng.random(len(labels)), turn))]
