"""RandAugment on whole batches (Cubuk et al. 2020, *RandAugment: Practical automated data
augmentation with a reduced search space*, arXiv:1909.13719).

The fourteen operations and what a magnitude means for each are those of torchvision. The turns,
shears and shifts of a batch are one bilinear resampling; each other operation sees its images as
one batch.
"""  # noqa: D205

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

MOST = 30  # the largest magnitude
GEOMETRIC = ("shear-x", "shear-y", "translate-x", "translate-y", "rotate")
GREY = (0.2989, 0.587, 0.114)  # weights of red, green and blue (ITU-R BT.601)


def operate(
    images: Tensor, chosen: NDArray[np.int64], signs: NDArray[np.int64], magnitude: int
) -> Tensor:
    """Do one operation on each image.

    Parameters
    ----------
    images : Tensor
        uint8 of shape (n, C, H, W).
    chosen : ndarray of int64
        Index into `OPERATIONS` of each image, shape (n,).
    signs : ndarray of int64
        1 or -1 of each image, shape (n,), where an operation has a direction.
    magnitude : int
        0 to `MOST`.

    Returns
    -------
    Tensor
        uint8 of the same shape.
    """
    share = magnitude / MOST
    out = images.clone()
    moved = np.flatnonzero(np.isin(chosen, [OPERATIONS.index(name) for name in GEOMETRIC]))
    if len(moved) and share > 0:
        maps = np.stack(
            [_map(OPERATIONS[chosen[i]], signs[i] * share, *images.shape[-2:]) for i in moved]
        )
        which = torch.from_numpy(moved).to(images.device)
        out[which] = _rounded(_resampled(images[which].float(), maps))
    for number, name in enumerate(OPERATIONS):
        if name not in COLOURS:
            continue
        which_here = np.flatnonzero(chosen == number)
        if len(which_here):
            which = torch.from_numpy(which_here).to(images.device)
            sign = torch.from_numpy(signs[which_here]).to(images.device).view(-1, 1, 1, 1)
            out[which] = _rounded(COLOURS[name](images[which].float(), sign * share))
    return out


def _rounded(pixels: Tensor) -> Tensor:
    return pixels.round().clamp(0, 255).to(torch.uint8)


# ------------------------------------------------------------------------------------- geometric


def _map(name: str, amount: float, height: int, width: int) -> NDArray[np.float64]:
    """From a pixel's place about the middle to where its value comes from, shape (2, 3)."""
    if name == "rotate":
        angle = math.radians(30.0 * amount)
        turned = [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0]]
        return np.array(turned)
    found = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    if name == "shear-x":
        found[0, 1:] = 0.3 * amount, 0.3 * amount * height / 2  # the upper edge stays
    elif name == "shear-y":
        found[1, ::2] = 0.3 * amount, 0.3 * amount * width / 2  # the left edge stays
    elif name == "translate-x":
        found[0, 2] = -float(int(150.0 / 331.0 * width * amount))  # whole pixels
    else:
        found[1, 2] = -float(int(150.0 / 331.0 * height * amount))
    return found


def _resampled(images: Tensor, maps: NDArray[np.float64]) -> Tensor:
    """Bilinear values of images at mapped places; 0 outside of them."""
    height, width = images.shape[-2:]
    scale = np.array([width / 2, height / 2])  # grid_sample counts from -1 to 1
    relative = maps.copy()
    relative[:, :, :2] = maps[:, :, :2] * (scale[None, None, :] / scale[None, :, None])
    relative[:, :, 2] = maps[:, :, 2] / scale
    theta = torch.from_numpy(relative).to(images)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, "bilinear", "zeros", align_corners=False)


# --------------------------------------------------------------------------------------- colours


def _blended(one: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    return (factor * one + (1.0 - factor) * other).clamp(0, 255)


def _grey(x: Tensor) -> Tensor:
    if x.shape[1] != len(GREY):
        return x
    weights = torch.tensor(GREY).to(x).view(1, 3, 1, 1)
    return (x * weights).sum(dim=1, keepdim=True).floor()


def _brightness(x: Tensor, amount: Tensor) -> Tensor:
    return (x * (1 + 0.9 * amount)).clamp(0, 255)


def _saturation(x: Tensor, amount: Tensor) -> Tensor:
    return _blended(x, _grey(x), 1 + 0.9 * amount)


def _contrast(x: Tensor, amount: Tensor) -> Tensor:
    return _blended(x, _grey(x).mean(dim=(1, 2, 3), keepdim=True), 1 + 0.9 * amount)


def _sharpness(x: Tensor, amount: Tensor) -> Tensor:
    """Blend with a smoothed image; pixels of the border stay."""
    channels = x.shape[1]
    kernel = torch.full((3, 3), 1 / 13).to(x)
    kernel[1, 1] = 5 / 13
    smooth = x.clone()
    inner = F.conv2d(x, kernel.expand(channels, 1, 3, 3), groups=channels)
    smooth[:, :, 1:-1, 1:-1] = inner.round()
    return _blended(x, smooth, 1 + 0.9 * amount)


def _posterized(x: Tensor, amount: Tensor) -> Tensor:
    """Keep 8 bits at magnitude 0, and 4 at the largest."""
    step = 2.0 ** torch.round(4 * amount.abs())
    return (x / step).floor() * step


def _solarized(x: Tensor, amount: Tensor) -> Tensor:
    return torch.where(x >= 255.0 * (1 - amount.abs()), 255.0 - x, x)


def _autocontrast(x: Tensor, amount: Tensor) -> Tensor:
    del amount
    low, high = x.amin(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)
    flat = high == low
    scale = 255.0 / torch.where(flat, torch.ones_like(high), high - low)
    return torch.where(flat, x, (x - low) * scale)


def _equalized(x: Tensor, amount: Tensor) -> Tensor:
    """Let every channel have the same number of pixels of each value, as far as that goes."""
    del amount
    n, channels, height, width = x.shape
    flat = x.view(n * channels, height * width).long()
    histogram = torch.zeros(n * channels, 256, dtype=torch.long, device=x.device)
    histogram.scatter_add_(1, flat, torch.ones_like(flat))
    last = histogram.gather(1, flat.amax(dim=1, keepdim=True))  # of the largest value there is
    step = (height * width - last) // 255
    before = histogram.cumsum(dim=1) - histogram
    table = ((before + step // 2) // step.clamp(min=1)).clamp(0, 255)
    changed = table.gather(1, flat).view_as(x).to(x)
    return torch.where((step == 0).view(n, channels, 1, 1), x, changed)


COLOURS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": _brightness,
    "saturation": _saturation,
    "contrast": _contrast,
    "sharpness": _sharpness,
    "posterize": _posterized,
    "solarize": _solarized,
    "autocontrast": _autocontrast,
    "equalize": _equalized,
}
OPERATIONS = ("identity", *GEOMETRIC, *COLOURS)
