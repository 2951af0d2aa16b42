"""Published counts, and each convention against sums over what it counts."""

from pathlib import Path

import numpy as np
import pytest

from scaling.count import DECODER, ENCODER, FAMILIES, MOBILENET, RESNET, TABLE, VGG, VIT, solve
from scaling.errors import ConfigError

GPT2 = {
    "vocabulary": 50257, "context": 1024, "head_width": 64, "tied": True, "norm": "layernorm",
    "biases": True, "positions": True,
}  # fmt: skip
BERT = {"rule": "bert-2018", "vocabulary": 30522, "context": 512}
PILE = {"vocabulary": 50432, "context": 2048}  # of Porian et al. and Gadre et al.


def count(family, dial, **options):
    return family.counts(family.shape(dial, options))


@pytest.mark.parametrize(
    ("layers", "width", "total"),
    [(12, 768, 124_439_808), (24, 1024, 354_823_168), (36, 1280, 774_030_080)],
)
def test_gpt2(layers, width, total):
    counts = count(DECODER, width, layers=layers, **GPT2)
    assert counts.total == total
    assert counts.embedding == 1024 * width  # positions alone: the tied table is the head's
    assert counts.head == 50257 * width


def test_gpt2_by_group():
    d = 768
    assert count(DECODER, d, layers=12, **GPT2).groups == {
        "attention": 12 * 4 * d * d, "mlp": 12 * 8 * d * d, "norms": 25 * 2 * d,
        "biases": 12 * 9 * d, "head": 50257 * d, "embedding": 0, "positions": 1024 * d,
    }  # fmt: skip


def test_grouped_queries_and_gates():
    """Llama 3 8B: 8,030,261,248 with untied head, gated feed-forward and 8 heads of keys."""
    counts = count(
        DECODER, 4096, vocabulary=128256, context=8192, layers=32, ffn_ratio=3.5, head_width=128,
        kv_heads=8, gated=True, norm="rmsnorm",
    )  # fmt: skip
    assert counts.total == 8_030_261_248


def test_bert():
    """The masked-token model holds 109,514,298; the published 110M has a pooler for the head."""
    base, large = count(ENCODER, 4, **BERT), count(ENCODER, 5, **BERT)
    assert base.total == 109_514_298
    assert large.total == 335_174_458
    head_without_table = base.head - 30522 * 768
    pooler = 768 * 768 + 768
    assert base.total - head_without_table + pooler == 109_482_240


@pytest.mark.parametrize(
    ("row", "patch", "total"),
    [
        (0, 16, 5_717_416), (1, 16, 22_050_664), (2, 16, 86_567_656), (2, 32, 88_224_232),
        (3, 16, 304_326_632), (3, 32, 306_535_400), (4, 14, 632_045_800),
    ],
)  # fmt: skip
def test_vision_transformers(row, patch, total):
    assert count(VIT, row, rule="vit-2021", patch=patch).total == total


def test_vision_transformer_products():
    """ViT-B/16 takes 17.6 G multiply-adds an image, attention included."""
    assert count(VIT, 2, rule="vit-2021").forward / 2 == pytest.approx(17.564e9, rel=1e-4)


@pytest.mark.parametrize(
    ("depth", "total", "multiply_adds"),
    [
        ("18", 11_689_512, 1.814e9), ("34", 21_797_672, 3.664e9), ("50", 25_557_032, 4.089e9),
        ("101", 44_549_160, 7.801e9), ("152", 60_192_808, 11.514e9),
    ],
)  # fmt: skip
def test_residual_networks(depth, total, multiply_adds):
    counts = count(RESNET, 64, depth=depth)
    assert counts.total == total
    assert counts.forward / 2 == pytest.approx(multiply_adds, rel=1e-3)


@pytest.mark.parametrize(
    ("depth", "total", "multiply_adds"),
    [
        ("11", 132_868_840, 7.609e9), ("13", 133_053_736, 11.308e9),
        ("16", 138_365_992, 15.470e9), ("19", 143_678_248, 19.632e9),
    ],
)  # fmt: skip
def test_vgg(depth, total, multiply_adds):
    counts = count(VGG, 64, depth=depth, classifier="full")
    assert counts.total == total
    assert counts.forward / 2 == pytest.approx(multiply_adds, rel=1e-4)


def test_vgg_with_the_mean_in_place_of_the_classifier():
    full, pooled = count(VGG, 64, classifier="full"), count(VGG, 64)
    assert pooled.groups["conv"] == full.groups["conv"]
    assert (pooled.groups["classifier"], pooled.head) == (0, 1000 * 513)
    assert full.groups["classifier"] == (512 * 49 + 1) * 4096 + 4097 * 4096
    assert full.head == 1000 * 4097


@pytest.mark.parametrize("depth", ["11", "19"])
def test_an_image_too_small_for_five_pools_is_refused(depth):
    assert VGG.shape(8, {"depth": depth, "image": 32})["image"] == 32
    with pytest.raises(ConfigError) as caught:
        VGG.shape(8, {"depth": depth, "image": 31})
    assert caught.value.code == "SC012"


def test_mobilenet():
    """3.4 M parameters and 300 M multiply-adds in the paper; torchvision has 3,504,872."""
    counts = count(MOBILENET, 100)
    assert counts.total == 3_504_872
    assert counts.forward / 2 == pytest.approx(0.301e9, rel=1e-3)
    assert count(MOBILENET, 140).forward / 2 == pytest.approx(585e6, rel=0.01)
    assert {35, 50, 75, 100, 130, 140} <= set(MOBILENET.dial({}))


def test_the_capacities_of_tables():
    grid = np.array(TABLE.dial({}))
    assert (grid[0], grid[-1]) == (1, 10**9)
    assert {10**k for k in range(10)} <= set(grid.tolist())
    steps = grid[1:] / grid[:-1]
    assert np.all(steps[grid[:-1] > 1000] == pytest.approx(1.03, abs=1e-3))
    assert np.all(np.diff(grid[grid < 40]) == 1)
    targets = np.array([1, 17, 1234.0, 7e8])
    assert np.abs(grid[solve(TABLE, targets, {})] / targets - 1).max() < 0.016
    counts = TABLE.counts(TABLE.shape(1000, {}))
    assert (counts.N, counts.total, counts.forward) == (1000, 1000, 2000.0)
    assert counts.conventions() == {"6n": 6000.0, "6n_body": 6000.0, "full": 6000.0}


PORIAN = {
    "N": [
        5173248, 7503872, 9809920, 15597568, 22487040, 28672000, 37060608, 57384960, 84787200,
        108462080, 149045248, 220872704, 347078656, 455311360, 611958784, 901726208,
    ],
    "N_body": [
        331776, 1048576, 1740800, 4300800, 7962624, 12533760, 17694720, 33177600, 55738368,
        76185600, 113541120, 178913280, 295436288, 398827520, 545792000, 825876480,
    ],
    # their count with attention, over 6: half the square
    "N_attention": [
        5763072, 8552448, 11448320, 18350080, 27205632, 34570240, 44924928, 69181440, 101302272,
        128122880, 174997504, 256655360, 395313152, 514949120, 681820160, 994131968,
    ],
}  # fmt: skip


def test_porian():
    """N as released with the runs, under their three counts."""
    counts = [count(DECODER, row, rule="porian-2024", **PILE) for row in range(16)]
    assert [c.N for c in counts] == PORIAN["N"]
    assert [c.body for c in counts] == PORIAN["N_body"]
    half = [c.N + c.attention / 4 for c in counts]  # 6 of N for 2, three passes, half the square
    assert half == PORIAN["N_attention"]


def test_gadre():
    """All parameters of their six models as released; the norms are the only vectors."""
    counts = [count(DECODER, i, rule="gadre-2024", norm="rmsnorm", **PILE) for i in range(6)]
    released = [10_569_312, 78_914_048, 153_677_376, 411_616_256, 1_439_795_200, 6_889_410_560]
    assert [c.total for c in counts] == released


def test_olmo():
    """The names of the ladder's sizes are their parameters of body and head."""
    names = [190e6, 370e6, 760e6, 1.28e9, 3.17e9]
    found = [
        count(DECODER, i, rule="olmo-2025", vocabulary=100352, context=4096).N for i in range(5)
    ]
    assert found == pytest.approx(names, rel=5e-3)


OPTIONS = [
    {},
    {"gated": True, "kv_heads": 2, "biases": True, "norm": "layernorm", "positions": True},
    {"window": 5},
    {"window": 1, "full_every": 3},
    {"window": 7, "full_every": 2, "kv_heads": 1, "tied": True},
]


def seen_pairs(shape):
    """Pairs of query and key over a sequence, counted one by one."""
    length, layers = shape["context"], shape["layers"]
    total = 0
    for layer in range(1, layers + 1):
        every = shape.get("full_every", 0)
        full = "window" not in shape or (every and (layer % every == 0 or layer == layers))
        window = length if full else shape["window"]
        total += sum(1 for i in range(length) for j in range(length) if 0 <= i - j < window)
    return total


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("layers", [1, 4, 5])
def test_conventions_of_a_decoder(options, layers):
    shape = DECODER.shape(
        48, {"vocabulary": 101, "context": 13, "layers": layers, "ffn_ratio": 3, **options}
    )
    counts = DECODER.counts(shape)
    d, length, heads = 48, 13, shape["heads"]
    groups = counts.groups
    matrices = groups["attention"] + groups["mlp"] + groups["head"]
    square = layers * length**2
    softmax = 3 * heads * layers * length**2
    expected = {
        "6n": 6 * counts.N,
        "6n_body": 6 * (counts.N - 101 * d),
        "matmul": 6 * matrices,
        "full": 6 * matrices + 12 * d * square / length,
        "exact": 6 * matrices + 12 * d * square / length,
        "causal": 6 * matrices + 12 * d * seen_pairs(shape) / length,
        "hoffmann": 6 * (matrices + 101 * d) + (12 * d * square + 3 * softmax) / length,
    }
    found = counts.conventions()
    assert list(found) == list(expected)
    assert found == pytest.approx(expected, rel=1e-14)
    assert counts.training == found["full"]


def test_without_a_window_half_the_square_and_the_diagonal_are_seen():
    counts = count(DECODER, 64, vocabulary=256, context=32)
    assert counts.attended / counts.attention == (32 + 1) / 2 / 32


def test_a_window_as_long_as_the_context_is_none():
    plain = DECODER.shape(64, {"vocabulary": 256, "context": 32})
    for window in (32, 33):
        options = {"vocabulary": 256, "context": 32, "window": window, "full_every": 2}
        assert DECODER.shape(64, options) == plain


def test_hoffmann_by_hand():
    """Appendix F, term by term and per sequence, for 2 layers of width 64 with 4 heads."""
    length, vocabulary, d, heads, f, layers = 32, 256, 64, 4, 256, 2
    embedding = 2 * length * vocabulary * d
    qkv = 2 * 3 * length * d * d
    logits = 2 * length * length * d
    softmax = 3 * heads * length * length
    reduction = 2 * length * length * d
    projection = 2 * length * d * d
    dense = 2 * length * (d * f + d * f)
    head = 2 * length * d * vocabulary
    layer = qkv + logits + softmax + reduction + projection + dense
    forward = embedding + layers * layer + head
    counts = count(DECODER, d, vocabulary=vocabulary, context=length, layers=layers)
    assert counts.conventions()["hoffmann"] * length == 3 * forward


def test_conventions_of_the_others():
    encoder = count(ENCODER, 64, vocabulary=97, context=16)
    assert list(encoder.conventions()) == list(count(DECODER, 8, **PILE).conventions())
    vit, resnet = count(VIT, 64, image=32, patch=8), count(RESNET, 16, image=32)
    for images in (vit, resnet):
        assert list(images.conventions()) == ["6n", "6n_body", "matmul", "full", "exact", "causal"]
    for counts in (encoder, vit, resnet):  # nothing is masked
        assert counts.conventions()["causal"] == counts.conventions()["full"]
    assert resnet.conventions()["matmul"] == resnet.training


def test_units():
    text = {"vocabulary": 97, "context": 16}
    assert (DECODER.unit, DECODER.per_sequence(DECODER.shape(8, text))) == ("token", 16)
    assert (ENCODER.unit, ENCODER.per_sequence(ENCODER.shape(8, text))) == ("token", 16)
    for family in (VIT, RESNET, VGG, MOBILENET, TABLE):
        assert (family.unit, family.per_sequence(family.shape(8, {}))) == ("example", 1)


NEEDED = {
    "decoder": PILE, "encoder": PILE, "mlp": {"inputs": 20, "outputs": 3},
    "recommender": {"users": 50, "items": 40},
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES.values())
def test_groups_make_up_the_parts(family):
    options = NEEDED.get(family.name, {})
    rng = np.random.default_rng(0)
    dials = rng.choice(np.asarray(family.dial(options)), 20)
    for dial in dials.tolist():
        counts = family.counts(family.shape(dial, options))
        assert all(isinstance(n, int) and n >= 0 for n in counts.groups.values())
        assert sum(counts.groups.values()) == counts.total == counts.N + counts.embedding
        assert counts.groups.get("head", 0) == counts.head


def test_the_page_names_all_that_is_counted():
    """Every family, rule, convention and group; formulas are for readers to check."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "counting.md").read_text(
        encoding="utf-8"
    )
    names = set(count(DECODER, 8, **PILE).conventions())
    for family in FAMILIES.values():
        options = NEEDED.get(family.name, {})
        names |= {family.name, *family.rules, *count(family, 8, **options).groups}
    names -= {"head"}  # a part and a group at once
    assert sorted(name for name in names if f"`{name}`" not in page) == []
