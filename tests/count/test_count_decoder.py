"""Counts of the decoder against the model that is trained and torch's own counter."""

import math
import random

import pytest

from scaling.count import DECODER, FAMILIES, get, solve_dial
from scaling.errors import ConfigError

SHAPES = [
    (dial, {"vocabulary": v, "context": t, "layers": n, "ffn_ratio": r})
    for dial, v, t, n, r in [
        (8, 16, 8, 1, 4), (12, 64, 32, 2, 4), (36, 256, 32, 2, 4), (64, 256, 17, 3, 2),
        (96, 50, 64, 4, 3),
    ]
]  # fmt: skip
RNG = random.Random(5)
MANY = [
    (
        RNG.choice(range(8, 520, 4)),
        {
            "vocabulary": RNG.choice([16, 64, 256, 1000]), "context": RNG.choice([8, 17, 32, 64]),
            "layers": RNG.choice([1, 2, 3, 6]), "ffn_ratio": RNG.choice([1, 2, 3, 4]),
        },
    )
    for _ in range(32)
]  # fmt: skip
OPTIONS = {"vocabulary": 256, "context": 32, "layers": 2, "ffn_ratio": 4}


def build(shape):
    decoder = pytest.importorskip("scaling.training.tasks.decoder", reason="torch is needed")
    return decoder.Decoder(shape, embedding_sd=0.5)


@pytest.mark.parametrize(("dial", "options"), SHAPES + MANY)
def test_parameters_by_group_are_those_of_the_model(dial, options):
    shape = DECODER.shape(dial, options)
    model, counts = build(shape), DECODER.counts(shape)
    groups = {
        "embedding": model.embedding.parameters(),
        "head": model.head.parameters(),
        "body": model.blocks.parameters(),
    }
    found = {name: sum(p.numel() for p in group) for name, group in groups.items()}
    assert found == {name: getattr(counts, name) for name in groups}
    assert sum(p.numel() for p in model.parameters()) == sum(found.values())
    assert found["body"] + found["head"] == counts.N


@pytest.mark.parametrize(("dial", "options"), SHAPES + MANY)
def test_flops_are_those_of_the_counter(dial, options):
    """Forward and backward, under the math attention that the counter can see."""
    torch = pytest.importorskip("torch")

    from tests.count.torch_models import counted

    shape = DECODER.shape(dial, options)
    tokens = torch.zeros(3, options["context"], dtype=torch.long)
    counts, seen = DECODER.counts(shape), 3 * options["context"]
    assert counted(build(shape), tokens) == (counts.forward * seen, counts.training * seen)


@pytest.mark.parametrize("dial", [*range(8, 260, 4), 1024, 8192])
def test_heads_fill_the_width_with_rotary_pairs(dial):
    shape = DECODER.shape(dial, OPTIONS)
    assert shape["width"] == dial
    width, rest = divmod(dial, shape["heads"])
    assert rest == 0
    assert width % 2 == 0
    assert width >= min(16, dial)


def sizes():
    values = DECODER.dial(OPTIONS)
    return values, [DECODER.counts(DECODER.shape(v, OPTIONS)).N for v in values]


def test_sizes_grow_with_the_dial():
    found = sizes()[1]
    assert found == sorted(set(found))


@pytest.mark.parametrize("target", [3.4e3, 3584, 7e3, 1.23e4, 9.9e4, 1e6, 3.3e7, 1e9])
def test_the_solver_takes_the_nearest_size_in_the_logarithm(target):
    dial = solve_dial(DECODER, target, OPTIONS)
    values, found = sizes()
    distance = {v: abs(math.log(n / target)) for v, n in zip(values, found, strict=True)}
    assert distance[dial] == min(distance.values())


@pytest.mark.parametrize("fraction", [0.1, 0.49, 0.51, 0.9])
def test_between_two_sizes_the_solver_is_within_half_a_step(fraction):
    values, found = sizes()
    for i in (0, 5, 60, len(values) - 2):
        target = found[i] ** (1 - fraction) * found[i + 1] ** fraction
        assert solve_dial(DECODER, target, OPTIONS) == values[i + (fraction > 0.5)]


@pytest.mark.parametrize("half_steps", [0.9, 1.1])
def test_beyond_the_ends_by_more_than_half_a_step_there_is_no_size(half_steps):
    values, found = sizes()
    below = found[0] * (found[0] / found[1]) ** (half_steps / 2)
    above = found[-1] * (found[-1] / found[-2]) ** (half_steps / 2)
    expected = (values[0], values[-1]) if half_steps < 1 else (None, None)
    assert (solve_dial(DECODER, below, OPTIONS), solve_dial(DECODER, above, OPTIONS)) == expected


def test_families_by_name():
    assert get("decoder") is DECODER
    assert list(FAMILIES) == [
        "decoder", "encoder", "vit", "resnet", "vgg", "mobilenet", "mlp", "recommender", "table",
    ]  # fmt: skip
    assert all(get(name) is family and family.name == name for name, family in FAMILIES.items())
    with pytest.raises(ConfigError) as caught:
        get("decodr")
    assert caught.value.code == "SC012"
    assert "decoder" in caught.value.faults[0].expected
