"""Models of Hugging Face from a configuration: counted on no memory, trained as any other."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from scaling import api  # noqa: E402
from scaling.errors import ConfigError, PlanError  # noqa: E402
from scaling.runs.records import read_record  # noqa: E402
from scaling.training.grouping import stackable  # noqa: E402
from scaling.training.tasks.huggingface import build, count_config  # noqa: E402

TYPES = [("gpt2", "text"), ("llama", "text"), ("opt", "text"), ("bert", "masked")]
OPTIONS = {"dials": [16, 32], "context": 16}


def study(name, task, options=OPTIONS, **more):
    data = {"symbols": 16, "tokens": 60_000, "validation_tokens": 8_000}
    return {
        "schema": 1,
        "data": {"task": task, "source": "markov", "options": data},
        "model": {"family": f"hf:{name}", "options": options},
        "design": {"kind": "grid", "params": [7e3, 3e4], "data": [8e3]},
        "recipe": {"name": "bytes-small"},
    } | more


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.parametrize(("name", "task"), TYPES)
def test_counts_are_those_of_a_model_with_memory(name, task):
    counted = count_config(f"hf:{name}", OPTIONS, 17, task)
    for row in counted["sizes"]:
        model = build(f"hf:{name}", row["shape"], task).eval()
        parameters = {id(p): p.numel() for p in model.parameters()}
        assert row["body"] + row["head"] + row["embedding"] == sum(parameters.values())
        assert row["head"] >= 17 * row["dial"]
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            model(torch.zeros((3, 16), dtype=torch.long))
        assert counter.get_total_flops() == row["forward"] * 3 * 16


@pytest.mark.parametrize(("name", "task"), TYPES)
def test_who_sees_whom(name, task):
    torch.manual_seed(0)
    shape = count_config(f"hf:{name}", OPTIONS, 17, task)["sizes"][1]["shape"]
    model = build(f"hf:{name}", shape, task).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    tokens = torch.randint(16, (2, 16))
    changed = tokens.clone()
    changed[:, 9] = 16
    moved = (model(tokens) - model(changed)).abs().amax(dim=(0, 2)) > 1e-6
    assert moved.tolist() == [task == "masked" or t >= 9 for t in range(16)]


def test_nothing_is_dropped_unless_asked_for():
    shape = count_config("hf:gpt2", OPTIONS, 17, "text")["sizes"][0]["shape"]
    tokens = torch.zeros((1, 16), dtype=torch.long)
    still = build("hf:gpt2", shape, "text").train()
    assert torch.equal(still(tokens), still(tokens))
    dropping = build("hf:gpt2", shape, "text", dropout=0.5).train()
    assert not torch.equal(dropping(tokens), dropping(tokens))


@pytest.mark.parametrize(("name", "task"), [("gpt2", "text"), ("bert", "masked")])
def test_they_are_trained_as_any_other(tmp_path, name, task):
    plan = api.plan(study(name, task))
    assert [p.shape["width"] for p in plan] == [16, 32]
    assert {p.shape["vocabulary"] for p in plan} == {16 if task == "text" else 17}
    assert all(stackable(p.as_dict()) is None for p in plan)
    summary = api.run(plan, tmp_path, engine="debug", device="cpu")
    assert summary.counts["done"] == 2
    losses = [read_record(tmp_path, p.id)["loss"] for p in plan]
    assert max(losses) < 2.75  # ln 16 is 2.77


@pytest.mark.parametrize(
    ("name", "task", "options", "code"),
    [
        ("gpt-nonsense", "text", OPTIONS, "SC005"),
        ("gpt2", "classify", OPTIONS, "SC012"),
        ("gpt2", "text", {"dials": [20]}, "SC012"),
        ("gpt2", "text", {}, "SC012"),
        ("gpt2", "text", OPTIONS | {"width": 3}, "SC011"),
        ("vit", "text", OPTIONS, "SC240"),
    ],
)
def test_what_cannot_be_meant(name, task, options, code):
    with pytest.raises((ConfigError, PlanError)) as caught:
        api.plan(study(name, task, options))
    assert caught.value.code == code
