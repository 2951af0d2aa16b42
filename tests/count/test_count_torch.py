"""Parameters by group and FLOPs of every family against models in torch and torch's own counter.

Small models run on the CPU, under math attention; published sizes live on the meta device, where
nothing is computed. Equality is exact throughout.
"""

import random

import pytest
import torch

from scaling.count import DECODER, ENCODER, RESNET, VIT
from tests.count import torch_models, torchvision_models
from tests.count.torch_models import counted, grouped

BATCH = 3
HEAVY = 1e8  # FLOP of a sequence; above, nothing is computed


def draws(family, number, **pools):
    """Draw shapes: each option from its pool, the dial from ``dial``."""
    rng = random.Random(6)
    for _ in range(number):
        drawn = {name: rng.choice(pool) for name, pool in pools.items()}
        yield family.shape(drawn.pop("dial"), drawn)


BOOL = (False, True)
DECODERS = [
    *draws(
        DECODER, 32,
        dial=(8, 36, 48, 64, 96, 128), vocabulary=(17, 64, 250), context=(7, 16, 33),
        layers=(1, 2, 4), ffn_ratio=(1, 8 / 3, 4), head_width=(8, 16), kv_heads=(0, 1, 2, 3),
        gated=BOOL, tied=BOOL, norm=("none", "rmsnorm", "layernorm"), biases=BOOL,
        positions=BOOL, window=(0, 0, 1, 6), full_every=(0, 2, 3),
    ),
    DECODER.shape(5, {"rule": "porian-2024", "vocabulary": 50432, "context": 2048}),
    DECODER.shape(0, {"rule": "olmo-2025", "vocabulary": 100352, "context": 4096}),
    DECODER.shape(11, {"rule": "nanochat-2026", "vocabulary": 32768, "context": 2048}),
    DECODER.shape(768, {"rule": "marin-2025", "vocabulary": 128256, "context": 4096}),
    DECODER.shape(1, {"rule": "gadre-2024", "vocabulary": 50432, "context": 2048}),
]  # fmt: skip
ENCODERS = [
    *draws(
        ENCODER, 32,
        dial=(8, 32, 64, 96, 128), vocabulary=(17, 64, 250), context=(7, 16, 33),
        layers=(1, 2, 3), ffn_ratio=(1, 8 / 3, 4), head_width=(8, 32),
        norm=("none", "rmsnorm", "layernorm"), biases=BOOL, positions=BOOL, segments=(0, 1, 2),
        transform=BOOL, tied=BOOL,
    ),
    *(ENCODER.shape(i, {"rule": "bert-2018", "vocabulary": 30522, "context": 512}) for i in (0, 4)),
]  # fmt: skip
VITS = [
    *draws(
        VIT, 30,
        dial=(8, 36, 64, 96, 128), image=(32, 48), patch=(4, 8, 16), classes=(2, 10, 1000),
        layers=(1, 2, 3), ffn_ratio=(1, 2, 4), head_width=(8, 32),
    ),
    *(VIT.shape(i, {"rule": "vit-2021"}) for i in (0, 2)),
    VIT.shape(1, {"rule": "vit-2021", "patch": 14}),
]  # fmt: skip
PLAIN_VITS = list(
    draws(
        VIT, 12,
        dial=(8, 36, 64, 96), image=(32, 48), patch=(4, 8, 16), classes=(2, 10), layers=(1, 2),
        channels=(1, 3), biases=BOOL, class_token=BOOL,
    )
)  # fmt: skip
RESNETS = [
    *draws(
        RESNET, 28,
        dial=(4, 10, 16), depth=("18", "18", "18", "34", "50"), stem=("imagenet", "cifar"),
        image=(16, 32, 49), channels=(1, 3), classes=(2, 10, 1000),
    ),
    *(RESNET.shape(64, {"depth": depth}) for depth in ("18", "34", "50", "101", "152")),
]  # fmt: skip


def text_group(shape):
    """Groups of the decoder and encoder here; a tied matrix stands in the head."""

    def group_of(name, tensor):
        first = name.split(".")[0]
        if first == "embedding":
            return "head" if shape.get("tied") else "embedding"
        if first in ("head", "positions", "segments"):
            return first
        if "norm" in name:
            return "norms"
        if tensor.ndim == 1:
            return "biases"
        return "attention" if "att" in name else "mlp"

    return group_of


def image_group(name, tensor):
    """Groups of both vision transformers."""
    first = name.split(".")[0]
    if first in ("token", "class_token"):
        return "class_token"
    if "pos" in name:
        return "positions"
    if first in ("head", "heads"):
        return "head"
    if "norm" in name or ".ln" in name:
        return "norms"
    if tensor.ndim == 1:
        return "biases"
    return "patch" if tensor.ndim == 4 else "attention" if "att" in name else "mlp"


def convolution_group(name, tensor):
    """Groups of a residual network: four dimensions are a convolution's, one a norm's."""
    return "head" if name.startswith("fc") else "conv" if tensor.ndim == 4 else "norms"


def built(family, build, shape, requires_grad=True, device=None):
    """Return a model of the shape and a batch for it."""
    heavy = family.counts(shape).forward * family.per_sequence(shape) > HEAVY
    with torch.device(device or ("meta" if heavy else "cpu")):
        if "image" in shape:
            size = (BATCH, shape["channels"], shape["image"], shape["image"])
            return build(shape), torch.zeros(size, requires_grad=requires_grad)
        return build(shape), torch.zeros(BATCH, shape["context"], dtype=torch.long)


def check(family, build, shape, group_of):
    counts = family.counts(shape)
    model, inputs = built(family, build, shape)
    expected = {name: number for name, number in counts.groups.items() if number}
    assert grouped(model, group_of) == expected
    assert sum(expected.values()) == counts.total == sum(p.numel() for p in model.parameters())
    units = BATCH * family.per_sequence(shape)
    assert counted(model, inputs) == (counts.forward * units, counts.training * units)


def named(value):
    """Name a parameter the same in every process: families and functions by their names."""
    if isinstance(value, dict):
        return str(value)
    return getattr(value, "__name__", None) or value.name


@pytest.mark.parametrize("shape", DECODERS, ids=str)
def test_decoders(shape):
    check(DECODER, torch_models.Decoder, shape, text_group(shape))


@pytest.mark.parametrize("shape", ENCODERS, ids=str)
def test_encoders(shape):
    check(ENCODER, torch_models.Encoder, shape, text_group(shape))


@pytest.mark.parametrize("shape", VITS, ids=str)
def test_vision_transformers_of_torchvision(shape):
    check(VIT, torchvision_models.vit, shape, image_group)


@pytest.mark.parametrize("shape", PLAIN_VITS, ids=str)
def test_vision_transformers_with_other_options(shape):
    check(VIT, torch_models.ViT, shape, image_group)


@pytest.mark.parametrize("shape", RESNETS, ids=str)
def test_residual_networks(shape):
    check(RESNET, torchvision_models.resnet, shape, convolution_group)


@pytest.mark.parametrize(
    ("family", "build", "shape"),
    [
        (DECODER, torch_models.Decoder, DECODERS[1]),
        (ENCODER, torch_models.Encoder, ENCODERS[1]),
        (VIT, torchvision_models.vit, VITS[1]),
        (RESNET, torchvision_models.resnet, RESNETS[1]),
    ],
)
def test_the_device_does_not_matter(family, build, shape):
    counts = {
        device: counted(*built(family, build, shape, device=device)) for device in ("cpu", "meta")
    }
    assert counts["cpu"] == counts["meta"]


@pytest.mark.parametrize(
    ("family", "build", "shape"),
    [
        *((VIT, torchvision_models.vit, shape) for shape in VITS[::6]),
        *((VIT, torch_models.ViT, shape) for shape in PLAIN_VITS[::4]),
        *((RESNET, torchvision_models.resnet, shape) for shape in RESNETS[::5]),
    ],
    ids=named,
)
def test_images_need_no_gradient(family, build, shape):
    """Training spares the product that would give the gradient of the image."""
    counts = family.counts(shape)
    forward, training = counted(*built(family, build, shape, requires_grad=False))
    assert forward == BATCH * counts.forward
    assert training == BATCH * counts.conventions()["exact"] < BATCH * counts.training


@pytest.mark.parametrize("shapes", [DECODERS, ENCODERS, VITS, RESNETS])
def test_the_shapes_are_many(shapes):
    assert len({str(shape) for shape in shapes}) >= 30
