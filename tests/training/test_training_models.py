"""Models have the parameters and the FLOPs that their family counts, and can be trained."""

import random

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from scaling import count
from scaling.errors import ConfigError
from scaling.training.models.registry import BUILDERS, build
from tests.count.torch_models import counted

BATCH = 3
HEAVY = 1e8  # FLOP of a sequence; above, nothing is computed
BOOL = (False, True)


def draws(name, number, **pools):
    """Draw shapes of a family: each option from its pool, the dial from ``dial``."""
    rng, family = random.Random(7), count.get(name)
    for _ in range(number):
        drawn = {key: rng.choice(pool) for key, pool in pools.items()}
        yield name, family.shape(drawn.pop("dial"), drawn)


SHAPES = [
    *draws(
        "encoder", 24, dial=(8, 32, 64, 96), vocabulary=(17, 64, 250), context=(7, 16, 33),
        layers=(1, 2, 3), ffn_ratio=(1, 8 / 3, 4), head_width=(8, 32),
        norm=("none", "rmsnorm", "layernorm"), biases=BOOL, positions=BOOL, segments=(0, 1, 2),
        transform=BOOL, tied=BOOL,
    ),
    ("encoder", count.ENCODER.shape(
        4, {"rule": "bert-2018", "vocabulary": 30522, "context": 512}
    )),
    *draws(
        "vit", 20, dial=(8, 36, 64, 96), image=(32, 48), patch=(4, 8, 16), classes=(2, 10),
        channels=(1, 3, 4), layers=(1, 2, 3), ffn_ratio=(1, 4), head_width=(8, 32), biases=BOOL,
        class_token=BOOL,
    ),
    ("vit", count.VIT.shape(2, {"rule": "vit-2021"})),
    *draws(
        "resnet", 16, dial=(4, 10, 16), depth=("18", "18", "34", "50"), channels=(1, 3),
        stem=("imagenet", "cifar"), image=(16, 32, 49), classes=(2, 10, 1000),
    ),
    *(("resnet", count.RESNET.shape(64, {"depth": d})) for d in ("18", "34", "50", "101", "152")),
    *draws(
        "vgg", 14, dial=(4, 6, 16), depth=("11", "13", "16", "19"), image=(32, 37, 64),
        channels=(1, 3), classes=(2, 10, 1000), classifier=("pooled", "pooled", "full"),
    ),
    ("vgg", count.VGG.shape(64, {"classifier": "full"})),
    *draws(
        "mobilenet", 14, dial=(5, 13, 25, 35, 50, 75, 100, 140), stem=("imagenet", "cifar"),
        image=(32, 45, 224), channels=(1, 3), classes=(2, 10, 1000),
    ),
    *draws(
        "mlp", 14, dial=(1, 3, 16, 100), inputs=(1, 7, 784), outputs=(1, 10), layers=(1, 2, 5),
        biases=BOOL,
    ),
    *draws(
        "recommender", 14, dial=(1, 2, 8, 33), users=(1, 40, 999), items=(2, 70),
        layers=(1, 2, 4), hidden_ratio=(0.5, 1, 2.5),
    ),
]  # fmt: skip


def inputs(name, shape):
    """Return a batch of zeros for a model of the shape."""
    if "image" in shape:
        size = (BATCH, shape["channels"], shape["image"], shape["image"])
        return torch.zeros(size, requires_grad=True)
    if name == "encoder":
        return torch.zeros(BATCH, shape["context"], dtype=torch.long)
    if name == "mlp":
        return torch.zeros(BATCH, shape["inputs"], requires_grad=True)
    return torch.zeros(BATCH, dtype=torch.long)


class Pairs(nn.Module):
    """A recommender that takes one input."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, rows):
        return self.model(rows, rows)


def too_much(name, shape):
    """FLOP that torch's counter has in excess for a batch, as it takes depthwise for full.

    It does so for the gradient of the weights alone: channels times too much.
    """
    if name != "mobilenet":
        return 0
    layers = count.MobileNetShape(**shape).convolutions()
    return 2 * BATCH * sum(
        c.weights * c.side**2 * (c.inputs - 1) for c in layers if c.depthwise
    )  # fmt: skip


@pytest.mark.parametrize(("name", "shape"), SHAPES, ids=str)
def test_a_model_is_what_is_counted(name, shape):
    family = count.get(name)
    counts = family.counts(shape)
    units = BATCH * family.per_sequence(shape)
    with torch.device("meta" if counts.forward * units / BATCH > HEAVY else "cpu"):
        model, batch = build(name, shape), inputs(name, shape)
        assert sum(p.numel() for p in model.parameters()) == counts.total
        found = counted(Pairs(model) if name == "recommender" else model, batch)
    training = counts.training * units + too_much(name, shape)
    assert found == (counts.forward * units, training)


def test_every_family_with_a_model_is_tested_often_enough():
    number = {name: sum(1 for n, _ in SHAPES if n == name) for name in BUILDERS}
    assert min(number.values()) >= 12
    assert set(BUILDERS) == set(count.FAMILIES) - {"decoder", "table"}


def test_a_family_without_a_model_is_refused():
    with pytest.raises(ConfigError, match="recommender") as caught:
        build("table", {"entries": 3})
    assert caught.value.code == "SC012"


SMALL = {
    "encoder": (32, {"vocabulary": 50, "context": 12, "layers": 2}),
    "vit": (32, {"image": 16, "patch": 4, "layers": 2, "classes": 5, "channels": 1}),
    "resnet": (8, {"image": 16, "stem": "cifar", "classes": 5, "channels": 1}),
    "vgg": (8, {"image": 32, "depth": "11", "classes": 5, "channels": 1}),
    "mobilenet": (25, {"image": 16, "stem": "cifar", "classes": 5, "channels": 1}),
    "mlp": (32, {"inputs": 256, "outputs": 5}),
    "recommender": (8, {"users": 20, "items": 30}),
}


def small(name, **init):
    dial, options = SMALL[name]
    shape = count.get(name).shape(dial, options)
    torch.manual_seed(0)
    return shape, build(name, shape, **init)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_model_learns_a_batch_by_heart(name):
    shape, model = small(name)
    drawn = torch.Generator().manual_seed(1)
    size = {"encoder": (8, 12), "mlp": (8, 16, 16), "recommender": (8,)}.get(name)
    size = size or (8, 1, shape["image"], shape["image"])
    tokens = torch.randint(0, 20, size, generator=drawn)
    floats = torch.randn(size, generator=drawn)
    labels = torch.randint(0, 5, size[: 2 if name == "encoder" else 1], generator=drawn)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(80):
        if name == "recommender":
            logits = model(tokens, tokens)
            loss = F.binary_cross_entropy_with_logits(logits, (labels > 2).float())
        else:
            logits = model(tokens if name == "encoder" else floats)
            loss = F.cross_entropy(logits.flatten(0, -2), labels.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("name", BUILDERS)
def test_a_seed_makes_one_model(name):
    one, two = (small(name)[1].state_dict() for _ in range(2))
    assert list(one) == list(two)
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize("name", ["vit", "resnet", "vgg", "mobilenet"])
def test_published_networks_load_the_weights_of_torchvision(name):
    from scaling.training.vision import torchvision

    models = torchvision().models
    theirs, dial, options = {
        "vit": (models.vit_b_16, 2, {"rule": "vit-2021"}),
        "resnet": (models.resnet50, 64, {"depth": "50"}),
        "vgg": (models.vgg16_bn, 64, {"classifier": "full"}),
        "mobilenet": (models.mobilenet_v2, 100, {}),
    }[name]
    with torch.device("meta"):
        ours = build(name, count.get(name).shape(dial, options)).state_dict()
        expected = theirs().state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in expected.items()}


@pytest.mark.parametrize("name", ["resnet", "vgg", "mobilenet", "vit"])
def test_weights_start_as_those_of_torchvision(name):
    """Standard deviations of each layer, where there is enough of it to tell."""
    from scaling.training.vision import torchvision

    models = torchvision().models
    theirs, dial, options = {
        "vit": (lambda: models.VisionTransformer(32, 8, 2, 3, 96, 384), 96,
                {"image": 32, "patch": 8, "layers": 2}),
        "resnet": (models.resnet18, 64, {}),
        "vgg": (models.vgg11_bn, 64, {"depth": "11"}),
        "mobilenet": (models.mobilenet_v2, 100, {}),
    }[name]  # fmt: skip
    torch.manual_seed(0)
    ours = build(name, count.get(name).shape(dial, options)).state_dict()
    for key, tensor in theirs().state_dict().items():
        if key in ours and ours[key].shape == tensor.shape and tensor.numel() > 5000:
            a, b = ours[key].std().item(), tensor.std().item()
            assert a == pytest.approx(b, rel=0.1), key


def test_the_encoder_sees_both_sides_and_gives_its_states():
    _, model = small("encoder")
    for block in model.blocks:  # which start as the identity
        nn.init.normal_(block.proj.weight, std=0.1)
    tokens = torch.randint(0, 50, (2, 12))
    states = model.hidden(tokens)
    assert states.shape == (2, 12, 32)
    other = tokens.clone()
    other[:, -1] = (other[:, -1] + 1) % 50
    assert not torch.allclose(model.hidden(other)[:, 0], states[:, 0])
    short = model.hidden(tokens[:, :5])
    assert short.shape == (2, 5, 32)


@pytest.mark.parametrize("pre", BOOL)
def test_both_kinds_of_blocks_have_the_same_parameters(pre):
    shape, model = small("encoder", pre=pre)
    assert sum(p.numel() for p in model.parameters()) == count.ENCODER.counts(shape).total
    assert model(torch.zeros(2, 12, dtype=torch.long)).shape == (2, 12, 50)


def test_a_vision_transformer_without_biases_can_be_evaluated():
    options = {"image": 16, "patch": 4, "layers": 1, "classes": 5, "biases": False}
    model = build("vit", count.VIT.shape(32, options)).eval()
    with torch.no_grad():
        assert model(torch.zeros(2, 3, 16, 16)).shape == (2, 5)


def test_the_recommender_tells_users_and_items_apart():
    _, model = small("recommender")
    nn.init.normal_(model.tower.head.weight)
    users, items = torch.tensor([1, 2, 1]), torch.tensor([3, 3, 4])
    found = model(users, items)
    assert found.shape == (3,)
    assert len(set(found.tolist())) == 3
