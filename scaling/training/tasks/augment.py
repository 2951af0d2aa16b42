"""Augmentation of images on the device, each a pure function of (seed, step, place in the batch).

All random numbers of a step are drawn at once for the whole batch, so neither the number of
processes nor the size of a pass changes what an image becomes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scaling.training.tasks.randaugment import OPERATIONS, operate

TAG = 1709  # tells these random numbers from those of other streams


@dataclass(frozen=True)
class Augment:
    """What is done to the images of a batch.

    Attributes
    ----------
    kind : {"none", "crop-flip", "randaugment", "mixup"}
    crops : bool
        Whether the last two come after crops and flips.
    padding : int
        Largest shift of a crop [pixels]; the edge is repeated.
    flips : bool
        Whether half of the images are mirrored.
    operations : int
        Of RandAugment on each image.
    magnitude : int
        Of RandAugment, from 0 to 30.
    alpha : float
        Of MixUp's Beta(alpha, alpha).
    """

    kind: str = "none"
    crops: bool = True
    padding: int = 4
    flips: bool = True
    operations: int = 2
    magnitude: int = 9
    alpha: float = 0.2

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Augment:
        """Take the options of a task."""
        names = ("crops", "padding", "flips", "operations", "magnitude", "alpha")
        given = {name: options[name] for name in names if name in options}
        return cls(str(options.get("augment", "none")), **given)

    def draw(self, seed: int, step: int, size: int) -> Draws:
        """Draw the random numbers of a step for a batch of `size` images."""
        rng = np.random.default_rng([seed, step, TAG])
        moves = rng.random((size, 3))
        chosen = rng.integers(0, len(OPERATIONS), (size, self.operations))
        signs = rng.integers(0, 2, (size, self.operations)) * 2 - 1
        partner = rng.permutation(size)
        share = rng.beta(self.alpha, self.alpha, size) if self.kind == "mixup" else np.ones(size)
        return Draws(moves, chosen, signs, partner, share)

    def apply(self, images: Tensor, draws: Draws, which: NDArray[np.int64]) -> Tensor:
        """Crop, flip and change images; mixing comes after them.

        Parameters
        ----------
        images : Tensor
            uint8 of shape (n, C, H, W).
        draws : Draws
        which : ndarray of int64
            Places of the images in the batch, shape (n,).

        Returns
        -------
        Tensor
            uint8 of the same shape.
        """
        if self.kind == "none":
            return images
        if self.kind == "crop-flip" or self.crops:
            images = self._cropped(images, draws.moves[which])
        if self.kind == "randaugment":
            for turn in range(self.operations):
                chosen, signs = draws.chosen[which, turn], draws.signs[which, turn]
                images = operate(images, chosen, signs, self.magnitude)
        return images

    def _cropped(self, images: Tensor, moves: NDArray[np.float64]) -> Tensor:
        """Shift each image by up to the padding on either axis, and mirror half of them."""
        height, width = images.shape[-2:]
        shift = (moves[:, :2] * (2 * self.padding + 1)).astype(np.int64) - self.padding
        rows = np.clip(np.arange(height) + shift[:, :1], 0, height - 1)
        columns = np.clip(np.arange(width) + shift[:, 1:], 0, width - 1)
        if self.flips:
            columns = np.where(moves[:, 2:] < 0.5, columns[:, ::-1], columns)
        return _picked(images, rows, columns)


@dataclass(frozen=True)
class Draws:
    """Random numbers of one step, for each place of the batch.

    Attributes
    ----------
    moves : ndarray
        Of shift and mirror, shape (B, 3).
    chosen, signs : ndarray of int64
        Operations of RandAugment and their signs, shape (B, operations).
    partner : ndarray of int64
        Whom each image is mixed with, shape (B,).
    share : ndarray
        Weight of the image itself, shape (B,).
    """

    moves: NDArray[np.float64]
    chosen: NDArray[np.int64]
    signs: NDArray[np.int64]
    partner: NDArray[np.int64]
    share: NDArray[np.float64]


def _picked(images: Tensor, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Tensor:
    """Pixels of each image by row and column, shape (n, C, H, W)."""
    n, channels, height, width = images.shape
    places = rows[:, :, None] * width + columns[:, None, :]  # (n, H, W)
    index = torch.from_numpy(places).to(images.device).view(n, 1, height * width)
    flat = images.reshape(n, channels, height * width)
    found = torch.gather(flat, 2, index.expand(n, channels, height * width))
    return found.view(n, channels, height, width)
