"""RandAugment's operations against torchvision's, and what they must keep."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scaling.training.tasks.randaugment import COLOURS, GEOMETRIC, OPERATIONS, operate  # noqa: E402
from scaling.training.vision import torchvision  # noqa: E402

SIDE = 24


def smooth(count=6, channels=3, seed=0):
    """Return images without edges, on which ways to interpolate agree."""
    torch.manual_seed(seed)
    coarse = torch.rand(count, channels, 4, 4) * 255
    fine = torch.nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bicubic")
    return fine.clamp(0, 255).round().to(torch.uint8)


def one(name, images, magnitude, sign=1):
    chosen = np.full(len(images), OPERATIONS.index(name))
    return operate(images, chosen, np.full(len(images), sign), magnitude)


def theirs(name, images, magnitude, sign):
    """What torchvision's RandAugment does at this bin and sign."""
    v2 = torchvision().transforms.v2
    bilinear = torchvision().transforms.InterpolationMode.BILINEAR
    augment = v2.RandAugment(interpolation=bilinear)
    kind = {
        "identity": "Identity", "shear-x": "ShearX", "shear-y": "ShearY",
        "translate-x": "TranslateX", "translate-y": "TranslateY", "rotate": "Rotate",
        "brightness": "Brightness", "saturation": "Color", "contrast": "Contrast",
        "sharpness": "Sharpness", "posterize": "Posterize", "solarize": "Solarize",
        "autocontrast": "AutoContrast", "equalize": "Equalize",
    }[name]  # fmt: skip
    of_bin, signed = augment._AUGMENTATION_SPACE[kind]
    values = of_bin(31, SIDE, SIDE)
    amount = 0.0 if values is None else float(values[magnitude])
    amount *= sign if signed else 1
    return augment._apply_image_or_video_transform(
        images, kind, amount, interpolation=bilinear, fill={}
    )


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("magnitude", [0, 9, 14, 30])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_those_of_torchvision(name, magnitude, sign):
    images = smooth()
    found = one(name, images, magnitude, sign).int()
    expected = theirs(name, images, magnitude, sign).int()
    difference = (found - expected).abs()
    if name in GEOMETRIC:  # where an image ends, rounding decides whether a pixel is inside
        inside = difference[:, :, 2:-2, 2:-2]
        assert (inside > 3).float().mean() < 0.1
        assert inside.float().median() <= 1
    else:
        assert difference.max() <= 1


def test_every_operation_of_the_paper_is_there():
    assert len(OPERATIONS) == 14
    assert set(OPERATIONS) == {"identity", *GEOMETRIC, *COLOURS}


def test_images_of_a_batch_do_not_touch_each_other():
    """Each image becomes what it becomes alone."""
    images = smooth(14)
    chosen, signs = np.arange(14), np.where(np.arange(14) % 2, 1, -1)
    together = operate(images, chosen, signs, 12)
    for i in range(14):
        alone = operate(images[i : i + 1], chosen[i : i + 1], signs[i : i + 1], 12)
        assert (together[i].int() - alone[0].int()).abs().max() <= 1, OPERATIONS[i]


@pytest.mark.parametrize("channels", [1, 3])
def test_bytes_stay_bytes(channels):
    images = torch.randint(0, 256, (28, channels, 9, 9), dtype=torch.uint8)
    for magnitude in (0, 30):
        out = operate(images, np.arange(28) % 14, np.ones(28, dtype=np.int64), magnitude)
        assert out.dtype == torch.uint8
        assert out.shape == images.shape


def test_a_shift_moves_by_whole_pixels():
    images = smooth()
    out = one("translate-x", images, 9)
    pixels = int(150 / 331 * SIDE * 9 / 30)
    assert torch.equal(out[..., pixels:], images[..., :-pixels])
    assert not out[..., :pixels].any()


def test_a_flat_image_is_no_trouble():
    flat = torch.full((14, 3, 8, 8), 7, dtype=torch.uint8)
    out = operate(flat, np.arange(14), np.ones(14, dtype=np.int64), 15)
    for name in ("autocontrast", "equalize", "identity"):
        assert torch.equal(out[OPERATIONS.index(name)], flat[0]), name
