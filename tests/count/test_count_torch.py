"""Parameters by group and FLOPs of every family against models in torch and torch's own counter.

Small models run on the CPU, under math attention; published sizes live on the meta device, where
nothing is computed. Equality is exact throughout.
"""

import random

import pytest

torch = pytest.importorskip("torch")

from scaling.count import DECODER, ENCODER, MLP, MOBILENET, RECOMMENDER, RESNET, VGG, VIT  # noqa: E402
from tests.count import torch_models, torchvision_models  # noqa: E402
from tests.count.torch_models import counted, grouped  # noqa: E402

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
VGGS = [
    VGG.shape(64, {"classifier": "full", "depth": depth, "image": image, "classes": classes})
    for depth in ("11", "13", "16", "19")
    for image, classes in ((224, 1000), (32, 10), (77, 5))
]
MOBILENETS = [
    MOBILENET.shape(percent, {"image": image, "classes": classes})
    for percent in (5, 13, 20, 35, 50, 67, 75, 100, 130, 140, 233)
    for image, classes in ((224, 1000), (45, 10))
]
MLPS = list(
    draws(MLP, 16, dial=(1, 5, 64), inputs=(3, 784), outputs=(1, 10), layers=(1, 2, 4), biases=BOOL)
)
RECOMMENDERS = list(
    draws(
        RECOMMENDER, 16, dial=(1, 5, 32), users=(3, 100), items=(2, 50), layers=(1, 2, 3),
        hidden_ratio=(0.3, 1, 2.5),
    )
)  # fmt: skip


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


def classifier_group(name, tensor):
    """Groups of torchvision's VGG and MobileNetV2; a depthwise filter sees one channel."""
    if name.startswith("classifier"):
        return "head" if name.split(".")[1] in ("1", "6") else "classifier"
    if tensor.ndim == 4:
        return "depthwise" if tensor.shape[1] == 1 else "conv"
    # torchvision's VGG has a convolution, its norm and a ReLU in turn; only norms have a 1d weight
    return "norms"


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


@pytest.mark.parametrize("shape", VGGS, ids=str)
def test_plain_convolutional_networks(shape):
    counts = VGG.counts(shape)
    model, inputs = built(VGG, torchvision_models.vgg, shape, device="meta")
    found = grouped(model, classifier_group)
    found["norms"] -= counts.groups["biases"]  # one for each of a norm's two vectors
    assert found == {k: v for k, v in counts.groups.items() if k != "biases"}
    assert counts.groups["norms"] == 2 * counts.groups["biases"]
    assert counted(model, inputs) == (BATCH * counts.forward, BATCH * counts.training)


@pytest.mark.parametrize("shape", MOBILENETS, ids=str)
def test_mobile_networks(shape):
    """Torch's counter takes the gradient of depthwise filters for that of full ones."""
    counts = MOBILENET.counts(shape)
    model, inputs = built(MOBILENET, torchvision_models.mobilenet, shape, device="meta")
    assert grouped(model, classifier_group) == counts.groups
    channels, extra = [], 0

    def hook(layer, _, output):
        nonlocal extra
        if layer.groups > 1:
            channels.append(layer.groups)
            extra += 2 * output.numel() * layer.weight[0].numel() * (layer.groups - 1)

    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(hook)
    forward, training = counted(model, inputs)
    assert len(channels) == 17
    assert forward == BATCH * counts.forward
    assert training - extra == BATCH * counts.training


@pytest.mark.parametrize("shape", MLPS, ids=str)
def test_fully_connected_networks(shape):
    bias, width = bool(shape["biases"]), shape["width"]
    layers = [torch.nn.Linear(shape["inputs"], width, bias=bias)]
    layers += [torch.nn.Linear(width, width, bias=bias) for _ in range(shape["layers"] - 1)]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(width, shape["outputs"], bias=bias))
    counts = MLP.counts(shape)
    last = str(shape["layers"])

    def group_of(name, tensor):
        head = name.split(".")[0] == last
        return "head" if head else "dense" if tensor.ndim == 2 else "biases"

    assert grouped(model, group_of) == {k: v for k, v in counts.groups.items() if v}
    inputs = torch.zeros(BATCH, shape["inputs"], requires_grad=True)
    assert counted(model, inputs) == (BATCH * counts.forward, BATCH * counts.training)
    inputs = inputs.detach()
    assert counted(model, inputs)[1] == BATCH * counts.conventions()["exact"]


class Pairs(torch.nn.Module):
    """Tables and a tower, written apart from the counts."""

    def __init__(self, shape):
        super().__init__()
        w, h = shape["width"], shape["hidden"]
        self.users = torch.nn.Embedding(shape["users"], w)
        self.items = torch.nn.Embedding(shape["items"], w)
        layers = [torch.nn.Linear(3 * w, h)]
        layers += [torch.nn.Linear(h, h) for _ in range(shape["layers"] - 1)]
        self.dense, self.head = torch.nn.Sequential(*layers), torch.nn.Linear(h, 1)

    def forward(self, rows):
        user, item = self.users(rows), self.items(rows)
        return self.head(self.dense(torch.cat([user, item, user * item], dim=1)))


@pytest.mark.parametrize("shape", RECOMMENDERS, ids=str)
def test_recommenders(shape):
    counts, model = RECOMMENDER.counts(shape), Pairs(shape)
    assert grouped(model, lambda name, _: name.split(".")[0]) == counts.groups
    assert counts.embedding == counts.groups["users"] + counts.groups["items"]
    found = counted(model, torch.zeros(BATCH, dtype=torch.long))
    assert found == (BATCH * counts.forward, BATCH * counts.training)
    assert counts.conventions()["exact"] == counts.training


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
        *((VGG, torchvision_models.vgg, shape) for shape in VGGS[::4]),
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
