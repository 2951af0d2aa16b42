"""Shape rules: what their sources print, and what every rule promises."""

import math
from itertools import pairwise

import pytest

from scaling.count import FAMILIES
from scaling.errors import ConfigError

TEXT = {"vocabulary": 1000, "context": 64}
RULES = [(family, name) for family in FAMILIES.values() for name in family.rules]
PUBLISHED = {
    "decoder": [
        "width", "aspect", "nanochat-2026", "marin-2025", "olmo-2025", "porian-2024", "gadre-2024",
    ],
    "encoder": ["width", "bert-2018"], "vit": ["width", "vit-2021"], "resnet": ["width"],
    "vgg": ["width"], "mobilenet": ["width"], "mlp": ["width"], "recommender": ["width"],
    "table": ["entries"],
}  # fmt: skip


NEEDED = {
    "decoder": TEXT, "encoder": TEXT, "mlp": {"inputs": 20, "outputs": 3},
    "recommender": {"users": 50, "items": 40},
}  # fmt: skip


def options_of(family, **others):
    return {**NEEDED.get(family.name, {}), **others}


def shapes(family, rule, **others):
    options = options_of(family, rule=rule, **others)
    return [family.shape(dial, options) for dial in family.dial(options)]


def test_every_rule_is_there_and_the_plain_one_is_the_default():
    assert {name: list(family.rules) for name, family in FAMILIES.items()} == PUBLISHED
    for family in FAMILIES.values():
        assert family.options[0].default == next(iter(family.rules))


@pytest.mark.parametrize(("family", "name"), RULES)
def test_a_rule_says_what_it_is(family, name):
    rule = family.rules[name]
    assert rule.name == name
    assert rule.text.endswith(".")
    assert len(rule.text) < 250
    assert rule.source
    assert 2010 < rule.year < 2030
    assert name == "width" or not name[-4:].isdigit() or int(name[-4:]) == rule.year


@pytest.mark.parametrize(("family", "name"), RULES)
def test_sizes_grow_along_the_dial(family, name):
    known = {option.name for option in family.options}
    for others in ({}, {"width_step": 64} if "width_step" in known else {}):
        found = shapes(family, name, **others)
        counted = [family.counts(shape).N for shape in found]
        assert all(a < b for a, b in pairwise(counted))
        for key in ("layers", "width"):
            values = [shape.get(key, 0) for shape in found]
            assert values == sorted(values)


@pytest.mark.parametrize(("family", "name"), RULES)
def test_shapes_are_whole_and_heads_divide_the_width(family, name):
    for shape in shapes(family, name):
        assert all(type(value) is int for value in shape.values())
        assert all(value > 0 for key, value in shape.items() if key in ("layers", "width", "ffn"))
        assert shape.get("width", 1) % shape.get("heads", 1) == 0


CHANGES = {
    "layers": 7, "ffn_ratio": 2.5, "ffn_multiple": 64, "head_width": 128, "width_step": 256,
    "aspect": 16, "hidden_ratio": 3.5,
}  # fmt: skip


@pytest.mark.parametrize(("family", "name"), RULES)
def test_a_rule_reads_what_it_says(family, name):
    """An option that it reads changes the shapes, another one changes nothing."""
    plain = shapes(family, name)
    known = {option.name for option in family.options}
    read = {
        key
        for key in CHANGES
        if key in known and shapes(family, name, **{key: CHANGES[key]}) != plain
    }
    assert read == set(family.rules[name].reads)


@pytest.mark.parametrize("depth", [10, 12, 13, 20, 26])
def test_nanochat(depth):
    """The formula as its source has it, and the printed widths."""
    family = FAMILIES["decoder"]
    shape = family.shape(depth, options_of(family, rule="nanochat-2026"))
    width = math.ceil(64 * depth / 128) * 128
    assert shape == {**TEXT, "layers": depth, "width": width, "heads": width // 128,
                     "ffn": 4 * width}  # fmt: skip
    assert {12: 768, 20: 1280, 26: 1664}.get(depth, width) == width


def test_marin():
    family = FAMILIES["decoder"]
    found = {s["width"]: s["layers"] for s in shapes(family, "marin-2025")}
    assert list(found) == list(range(512, 4097, 128))
    assert {d: found[d] for d in (512, 1024, 2048, 4096)} == {512: 6, 1024: 11, 2048: 21, 4096: 40}
    for width, depth in found.items():
        exact = width / (64 + 4 * math.log2(width) - 9)
        assert depth == round(exact)
        assert abs(exact % 1 - 0.5) > 1e-3  # so that rounding errors decide nothing


def test_tables_of_decoders():
    family = FAMILIES["decoder"]
    printed = {
        "olmo-2025": [(768, 12), (1024, 16), (1536, 16), (2048, 16), (3328, 16)],
        "gadre-2024": [(96, 8), (512, 8), (576, 24), (1024, 24), (2048, 24), (4096, 32)],
        "porian-2024": [
            (96, 3), (128, 4), (160, 5), (224, 6), (288, 8), (320, 9), (384, 10), (480, 12),
            (576, 14), (640, 15), (704, 18), (832, 21), (1024, 23), (1120, 26), (1312, 26),
            (1504, 30),
        ],
    }  # fmt: skip
    for name, rows in printed.items():
        found = shapes(family, name)
        assert [(s["width"], s["layers"]) for s in found] == rows
        assert all(s["gated"] == 1 for s in found)
        if name != "olmo-2025":
            feed = [256 * math.ceil(math.floor(8 * d / 3) / 256) for d, _ in rows]
            assert [s["ffn"] for s in found] == feed


def test_tables_of_encoders_and_vision_transformers():
    bert = [(s["layers"], s["width"], s["heads"]) for s in shapes(FAMILIES["encoder"], "bert-2018")]
    assert bert == [(2, 128, 2), (4, 256, 4), (4, 512, 8), (8, 512, 8), (12, 768, 12),
                    (24, 1024, 16)]  # fmt: skip
    vit = [(s["layers"], s["width"], s["heads"]) for s in shapes(FAMILIES["vit"], "vit-2021")]
    assert vit[:3] == [(12, 192, 3), (12, 384, 6), (12, 768, 12)]
    assert vit[3:] == [(24, 1024, 16), (32, 1280, 16), (40, 1408, 16), (48, 1664, 16)]


@pytest.mark.parametrize("aspect", [3, 32, 64])
def test_aspect(aspect):
    family = FAMILIES["decoder"]
    found = shapes(family, "aspect", aspect=aspect, width_step=8)
    assert [s["width"] for s in found] == list(range(8, 8193, 8))
    for shape in found:
        ratio = shape["width"] / aspect
        assert shape["layers"] == max(1, math.floor(ratio + 0.5))


def test_feed_forward_goes_to_the_nearest_multiple():
    family = FAMILIES["decoder"]
    for width, multiple, ffn in (
        (96, 1, 256),
        (100, 1, 267),
        (96, 64, 256),
        (100, 64, 256),
        (8, 64, 64),
    ):
        shape = family.shape(width, {**TEXT, "ffn_ratio": 8 / 3, "ffn_multiple": multiple})
        assert shape["ffn"] == ffn


@pytest.mark.parametrize(
    ("most", "expected"), [(0, None), (1, 1), (4, 4), (5, 4), (7, 6), (12, None), (99, None)]
)
def test_heads_of_keys_divide_the_heads(most, expected):
    family = FAMILIES["decoder"]
    shape = family.shape(192, {**TEXT, "kv_heads": most})
    assert shape["heads"] == 12
    assert shape.get("kv_heads") == expected


def faults(family, **options):
    with pytest.raises(ConfigError) as caught:
        family.shape(64, options)
    return [(fault.code, fault.where, fault.found, fault.expected) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("options", "code", "where", "expected"),
    [
        ({"gatd": True}, "SC011", "[model] gatd", "gated"),
        ({"rule": "chinchilla"}, "SC012", "[model] rule", "porian-2024"),
        ({"gated": 1}, "SC012", "[model] gated", "true or false"),
        ({"layers": True}, "SC012", "[model] layers", "an integer from 1 to 10000"),
        ({"layers": 2.0}, "SC012", "[model] layers", "an integer"),
        ({"layers": 0}, "SC012", "[model] layers", "from 1"),
        ({"layers": 10**400}, "SC012", "[model] layers", "to 10000"),
        ({"width_step": 6.5}, "SC012", "[model] width_step", "a multiple of 2"),
        ({"width_step": 7}, "SC012", "[model] width_step", "a multiple of 2"),
        ({"ffn_ratio": float("nan")}, "SC012", "[model] ffn_ratio", "a number"),
        ({"ffn_ratio": "4"}, "SC012", "[model] ffn_ratio", "a number"),
        ({"norm": ["rmsnorm"]}, "SC012", "[model] norm", "layernorm"),
        ({"vocabulary": None}, "SC012", "[model] vocabulary", "an integer"),
    ],
)  # fmt: skip
def test_bad_options_say_what_is_good(options, code, where, expected):
    found = faults(FAMILIES["decoder"], **{**TEXT, **options})
    assert len(found) == 1
    assert found[0][:2] == (code, where)
    assert expected in found[0][3]


def test_all_bad_options_at_once_and_what_is_missing():
    found = faults(FAMILIES["decoder"], context=4, gated=0, depth=3)
    assert [fault[:2] for fault in found] == [
        ("SC011", "[model] depth"), ("SC012", "[model] vocabulary"), ("SC012", "[model] gated"),
    ]  # fmt: skip
    assert found[1][2] == "is missing"


def test_good_options_do_not_vouch_for_equal_ones():
    """True equals 1 in Python, and what was checked is remembered."""
    family = FAMILIES["decoder"]
    family.shape(64, {**TEXT, "gated": True, "layers": 1})
    assert faults(family, **TEXT, gated=1, layers=True) == [
        ("SC012", "[model] layers", "True", "an integer from 1 to 10000"),
        ("SC012", "[model] gated", "1", "true or false"),
    ]


def test_patches_must_fit():
    with pytest.raises(ConfigError) as caught:
        FAMILIES["vit"].shape(64, {"image": 32, "patch": 5})
    assert caught.value.code == "SC012"
    assert "divisor" in caught.value.faults[0].expected


@pytest.mark.parametrize("family", FAMILIES.values())
def test_options_say_what_they_are(family):
    for option in family.options:
        assert option.text
        assert "\n" not in option.text
        assert option.default is None or option.allows(option.default)
    assert len({option.name for option in family.options}) == len(family.options)


def test_shapes_of_the_default_decoder_keep_their_keys():
    """Ids of points are made of them."""
    family = FAMILIES["decoder"]
    shape = family.shape(64, {"vocabulary": 256, "context": 32, "layers": 2, "ffn_ratio": 4})
    assert list(shape.items()) == [
        ("vocabulary", 256), ("context", 32), ("layers", 2), ("width", 64), ("heads", 4),
        ("ffn", 256),
    ]  # fmt: skip
    same = {"gated": False, "tied": False, "norm": "none", "kv_heads": 4, "full_every": 3}
    assert family.shape(64, {**TEXT, **same}) == family.shape(64, TEXT)
