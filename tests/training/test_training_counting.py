"""Models of one's own: parameters and FLOP by hand."""

from dataclasses import asdict

import pytest

torch = pytest.importorskip("torch")

import scaling as sc  # noqa: E402
from scaling.errors import ConfigError  # noqa: E402
from scaling.runs.manifest import resolve  # noqa: E402
from scaling.training import driver  # noqa: E402
from scaling.training.counting import count_models  # noqa: E402

MODULE = """
import torch
from torch import nn

def mlp(width):
    return nn.Sequential(nn.Linear(10, width), nn.ReLU(), nn.Linear(width, 4)), torch.zeros(1, 10)

class Attends(nn.Module):
    def __init__(self, width, tied):
        super().__init__()
        self.table = nn.Embedding(50, width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, 50, bias=False)
        if tied:
            self.out.weight = self.table.weight

    def forward(self, tokens):
        q, k, v = self.qkv(self.table(tokens)).chunk(3, -1)
        return self.out(nn.functional.scaled_dot_product_attention(q, k, v))

def attends(width):
    return Attends(width, False), torch.zeros(1, 16, dtype=torch.long)

def tied(width):
    return Attends(width, True), torch.zeros(1, 16, dtype=torch.long)

class Adds(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 5)

    def forward(self, x, y):
        return self.layer(x + y)

def two_inputs(width):
    return Adds(), (torch.zeros(1, 3), torch.zeros(1, 3))

def fails(width):
    raise RuntimeError(f"no model of width {width}")

def nothing(width):
    return None

def no_tensor(width):
    return nn.Linear(3, 3), "text"

def wrong_shape(width):
    return nn.Linear(3, 3), torch.zeros(1, 4)

half = 0.5
"""


@pytest.fixture
def module(write):
    """Write the module under a name of its own, since Python imports each name once."""

    def make(name, text=MODULE):
        return write(f"{name}.py", text).parent

    return make


def fault_of(*arguments):
    with pytest.raises(ConfigError) as caught:
        count_models(*arguments)
    return caught.value.faults[0]


def test_a_perceptron_by_hand(module):
    base = module("own_mlp")
    options = {"dials": [8, 3], "head": "2"}
    found = count_models("own_mlp:mlp", options, base)
    assert found["name"] == "own_mlp:mlp"
    assert (found["unit"], found["per_sequence"]) == ("example", 1)
    for row, width in zip(found["sizes"], (8, 3), strict=True):
        assert row == {
            "dial": width,
            "body": 10 * width + width,
            "head": width * 4 + 4,
            "embedding": 0,
            "forward": 2 * 10 * width + 2 * width * 4,
        }


def test_embeddings_attention_and_heads_by_hand(module):
    base = module("own_attends")
    options = {"dials": [12], "head": "out", "unit": "token", "per_sequence": 16}
    row = count_models("own_attends:attends", options, base)["sizes"][0]
    assert (row["embedding"], row["body"], row["head"]) == (50 * 12, 3 * 12 * 12, 50 * 12)
    # a token: projections 2 d 3d, scores and values 2 T d each, head 2 d V; the look-up is free
    assert row["forward"] == 2 * 12 * 36 + 2 * 2 * 16 * 12 + 2 * 12 * 50
    row = count_models("own_attends:tied", options, base)["sizes"][0]
    assert (row["embedding"], row["body"], row["head"]) == (0, 3 * 12 * 12, 50 * 12)
    row = count_models("own_attends:attends", {"dials": [12]}, base)["sizes"][0]
    assert (row["embedding"], row["body"], row["head"]) == (600, 432 + 600, 0)


def test_several_inputs(module):
    base = module("own_inputs")
    row = count_models("own_inputs:two_inputs", {"dials": [1]}, base)["sizes"][0]
    assert (row["body"], row["forward"]) == (20, 30)


def test_nothing_is_allocated(module):
    base = module("own_huge")
    row = count_models("own_huge:mlp", {"dials": [10**10]}, base)["sizes"][0]
    assert row["body"] == 10**10 * 15 + 4  # 600 GB of weights


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fails", "RuntimeError: no model of width 7"),
        ("nothing", "TypeError"),
        ("no_tensor", "AttributeError"),
        ("wrong_shape", "RuntimeError"),
    ],
)
def test_what_a_function_does_wrong_is_told(module, name, words):
    base = module("own_wrong")
    fault = fault_of(f"own_wrong:{name}", {"dials": [7]}, base)
    assert fault.code == "SC240"
    assert fault.where == f"own_wrong:{name}(7)"
    assert words in fault.found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("own_absent:make", None),
        ("own_there:make", MODULE),
        ("own_there:half", MODULE),
        ("own_broken:make", "def make(:\n"),
        ("own_raises:make", "raise ValueError('at import')\n"),
        (":make", None),
        ("own_there:", MODULE),
    ],
)
def test_a_function_that_is_not_there(module, tmp_path, name, text):
    if text is not None:
        module(name.split(":")[0], text)
    fault = fault_of(name, {"dials": [7]}, tmp_path)
    assert fault.code == "SC005"
    assert name in fault.render()


@pytest.mark.parametrize(
    ("options", "code", "where"),
    [
        ({}, "SC012", "dials"),
        ({"dials": []}, "SC012", "dials"),
        ({"dials": 7}, "SC012", "dials"),
        ({"dials": [7, True]}, "SC012", "dials"),
        ({"dials": [7], "heads": 2}, "SC011", "heads"),
        ({"dials": [7], "head": "tail"}, "SC012", "head"),
        ({"dials": [7], "per_sequence": 0}, "SC012", "per_sequence"),
        ({"dials": [7], "per_sequence": "all"}, "SC012", "per_sequence"),
        ({"dials": [7], "per_sequence": 1.5}, "SC012", "per_sequence"),
    ],
    ids=str,
)
def test_options_that_cannot_be_used(module, options, code, where):
    base = module("own_options")
    fault = fault_of("own_options:mlp", options, base)
    assert fault.code == code
    assert where in fault.where


STUDY = """schema = 1
[data]
source = "external"
options = {tokens = 1e9}
[model]
family = "own_planned:mlp"
options = {dials = [16, 64, 256], head = "2"}
[design]
kind = "grid"
params = [230, 1e3, 4e3]
data = [1e7]
"""


def test_a_model_of_ones_own_is_planned_by_its_counts(module, write):
    module("own_planned")
    plan = sc.plan(write("s.toml", STUDY))
    assert [p.shape for p in plan] == [{"dial": 16}, {"dial": 64}, {"dial": 256}]
    for p in plan:
        width = p.shape["dial"]
        assert (p.N_body, p.N_head, p.N_embedding) == (11 * width, 4 * width + 4, 0)
        assert p.C == 3 * (2 * 10 * width + 2 * width * 4) * p.D
        assert p.family == "own_planned:mlp"


def test_counts_of_a_file_give_the_same_plan(module, write):
    import json

    base = module("own_planned")
    options = {"dials": [16, 64, 256], "head": "2"}
    counted = count_models("own_planned:mlp", options, base)
    direct = sc.plan(write("s.toml", STUDY))
    write("counts.json", json.dumps(counted))
    text = STUDY.replace('family = "own_planned:mlp"', 'counts = "counts.json"')
    text = text.replace('options = {dials = [16, 64, 256], head = "2"}\n', "")
    assert [p.id for p in sc.plan(write("t.toml", text))] == [p.id for p in direct]


# ------------------------------------------------------------------------------ what is not trained

EXTERNAL = {"schema": 1, "data": {"source": "external", "options": {"vocabulary": 256}}}
MARKOV = {
    "schema": 1,
    "data": {"source": "markov",
             "options": {"symbols": 16, "tokens": 60_000, "validation_tokens": 8_000}},
}  # fmt: skip
POINTS = {"kind": "points", "points": [[1e4, 1e6]]}
REFUSED = {
    "vit": ({**EXTERNAL, "model": {"family": "vit", "options": {"image": 32, "patch": 8}},
             "design": {"kind": "points", "points": [[1e5, 1e6]]}}, "family vit"),
    "external": ({**EXTERNAL, "design": POINTS}, "external"),
    "gated": ({**MARKOV, "model": {"context": 16, "options": {"gated": True}},
               "design": POINTS}, "gated"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_points_that_would_be_another_model_are_refused_before_any_is_trained(tmp_path, name):
    content, words = REFUSED[name]
    sc.plan(content).write(tmp_path / "out")
    with pytest.raises(ConfigError) as caught:
        driver.run(tmp_path / "out", engine="debug")
    (fault,) = caught.value.faults
    assert fault.code == "SC308"
    assert words in f"{fault.where} {fault.found}"
    assert "plan.jsonl" in fault.mend
    left = {p.name for p in (tmp_path / "out").iterdir()}
    assert left <= {"plan.jsonl", "plan.csv", "study.json", "results.csv"}
    assert not (tmp_path / "out" / "points").exists()


@pytest.mark.parametrize("name", REFUSED)
def test_commands_that_train_a_little_refuse_them_too(name):
    """A bench and a coordinate check would measure another model than the plan's."""
    points = [asdict(p) for p in sc.plan(REFUSED[name][0])]
    with pytest.raises(ConfigError) as caught:
        driver.refuse_unknown(points)
    assert caught.value.code == "SC308"


def test_external_data_are_what_was_said_of_them():
    found = resolve("external", {"tokens": 5e9, "vocabulary": 1000})
    assert (found.train_tokens, found.validation_tokens, found.vocabulary) == (
        5_000_000_000, 10_000_000, 1000,
    )  # fmt: skip
    assert found.hash != resolve("external", {"tokens": 6e9, "vocabulary": 1000}).hash
    assert found == resolve("external", {"vocabulary": 1000, "tokens": 5_000_000_000})
    with pytest.raises(ConfigError):
        resolve("external", {"tokens": 1.5})
    with pytest.raises(ConfigError):
        resolve("external", {"symbols": 5})
