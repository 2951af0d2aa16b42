"""Width transfer: rates by group, attention by 1/d, schedules, and the coordinate check."""

import json
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scaling.errors import TrainingError  # noqa: E402
from scaling.planning import recipes  # noqa: E402
from scaling.planning.recipes.optima import find, trials_of  # noqa: E402
from scaling.runs.manifest import resolve  # noqa: E402
from scaling.training.coordinates import LIMITS, check_coordinates, slopes  # noqa: E402
from scaling.training.job import run_point  # noqa: E402
from scaling.training.schedule import learning_rate  # noqa: E402
from scaling.training.tasks.decoder import Decoder  # noqa: E402
from scaling.training.trainer import Trainer, copied  # noqa: E402

DATA = resolve("markov", {"symbols": 32, "tokens": 60_000, "validation_tokens": 8_000})
T, SEQUENCES = 16, 8
FLAT = {"lr_power": 0.0}  # bytes-small at one rate: the standard parametrisation


def point(width, recipe="mup-2022", *, seed=0, steps=100, factor=1.0, layers=1, **overrides):
    """One line of a plan, of a decoder with heads 16 wide."""
    V = DATA.vocabulary
    shape = {"vocabulary": V, "context": T, "layers": layers, "width": width,
             "heads": max(1, width // 16), "ffn": 4 * width}  # fmt: skip
    size, D = 12 * layers * width**2 + V * width, steps * SEQUENCES * T
    chosen = recipes.get(recipe, overrides)
    settings = chosen.settings({"N": np.array([size]), "D": D, "T": T, "d": np.array([width])})
    block = settings.optimizer(0)
    return {
        "id": "0" * 16, "task": "text", "family": "decoder", "recipe": chosen.name,
        "shape": shape, "data": DATA.as_dict(), "N": size,
        "N_embedding": V * width, "D": D, "C": 6.0 * size * D, "batch": SEQUENCES * T,
        "sequences": SEQUENCES, "steps": steps, "seed": seed, "evaluation": {"sequences": 512},
        "optimizer": {**block, "lr": block["lr"] * factor}, "init": settings.init(0),
    }  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def test_a_point_with_width_transfer_is_trained(tmp_path, cpu):
    one = point(64, steps=200)
    record = run_point(tmp_path, one, cpu)
    assert record["status"] == "done", record["cause"]
    assert record["loss"] < math.log(32) - 0.5
    kept = json.loads(json.dumps(record["point"]))
    assert kept["optimizer"]["multipliers"] == {"embedding": 1.0, "hidden": 0.5, "head": 0.5}


# -------------------------------------------------------------------------------- rates by group


def test_without_multipliers_everything_is_one_vector(cpu):
    assert len(Trainer(point(32, "bytes-small"), cpu).flats) == 1
    assert len(Trainer(point(32), cpu).flats) == 1  # at the base width every factor is 1
    trainer = Trainer(point(64), cpu)
    assert trainer.optimizer.factors == [1.0, 0.5]
    sizes = [flat.numel() for flat in trainer.flats]
    assert sizes == [32 * 64, 12 * 64**2 + 32 * 64]


def test_factors_of_one_change_no_bit(cpu):
    plain = point(32, "bytes-small")
    ones = {"embedding": 1.0, "hidden": 1.0, "head": 1.0}
    first = Trainer(plain, cpu)
    second = Trainer({**plain, "optimizer": {**plain["optimizer"], "multipliers": ones}}, cpu)
    for _ in range(20):
        assert [float(x) for x in first.train_step()] == [float(x) for x in second.train_step()]
    for one, other in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_step_is_adamw_with_a_rate_for_each_group(cpu):
    one = point(64)
    factors = {"embedding": 1.5, "hidden": 0.5, "head": 0.25}
    o = {**one["optimizer"], "multipliers": factors, "clip": 0.8}
    trainer = Trainer({**one, "optimizer": o}, cpu)
    model = trainer.task.model()
    groups = {"embedding": model.embedding, "hidden": model.blocks, "head": model.head}
    optimizer = torch.optim.AdamW(
        [
            {"params": list(part.parameters()), "weight_decay": o["weight_decay"] / factors[kind]}
            for kind, part in groups.items()
        ],
        betas=(o["beta1"], o["beta2"]),
    )
    norms = []
    for step in range(25):
        rate = learning_rate(step, one["steps"], o)
        for group, kind in zip(optimizer.param_groups, groups, strict=True):
            group["lr"] = rate * factors[kind]
        optimizer.zero_grad()
        loss = trainer.task.loss(model, trainer.task.batch(step))
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), o["clip"])))
        optimizer.step()
        found, norm = trainer.train_step()
        assert float(found) == pytest.approx(float(loss.detach()), rel=1e-4)
        assert float(norm) == pytest.approx(norms[-1], rel=1e-3)
    assert min(norms) < o["clip"] < max(norms)
    for mine, other in zip(trainer.model.parameters(), model.parameters(), strict=True):
        assert torch.allclose(mine, other, rtol=1e-3, atol=1e-4)


def test_a_step_decays_every_group_alike(cpu):
    """Without gradients a step leaves 1 - lr weight_decay of each weight, at every width."""
    for width in (16, 64, 128):
        trainer = Trainer(point(width), cpu)
        before = [p.detach().clone() for p in trainer.model.parameters()]
        groups = trainer.optimizer.torch.param_groups
        for group, factor in zip(groups, trainer.optimizer.factors, strict=True):
            group["lr"] = 0.5 * factor
        trainer.optimizer.torch.step()
        for old, new in zip(before, trainer.model.parameters(), strict=True):
            assert torch.allclose(new, 0.95 * old, rtol=1e-5)


def test_groups_go_on_from_a_checkpoint_in_the_same_bits(cpu):
    first, second = Trainer(point(64), cpu), Trainer(point(64), cpu)
    for _ in range(15):
        first.train_step()
    second.restore(copied(first.states()))
    for _ in range(15):
        assert [float(x) for x in first.train_step()] == [float(x) for x in second.train_step()]
    for one, other in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, other)


# ------------------------------------------------------------------------------------- attention


@pytest.mark.parametrize(("heads", "base"), [(1, 16.0), (2, 16.0), (4, 4.0)])
def test_attention_by_one_over_d(heads, base):
    """Scores times √(base/d_head): as if the queries' weights were so many times larger."""
    shape = {"vocabulary": 32, "context": T, "layers": 2, "width": 64, "heads": heads, "ffn": 128}
    torch.manual_seed(1)
    scaled, plain = Decoder(shape, 0.5, base), Decoder(shape, 0.5)
    torch.nn.init.normal_(scaled.head.weight, std=0.1)
    plain.load_state_dict(scaled.state_dict())
    tokens = torch.randint(32, (3, T))
    same = torch.allclose(scaled(tokens), plain(tokens), atol=1e-5)
    assert same == (64 / heads == base)
    with torch.no_grad():
        for block in plain.blocks:
            block.qkv.weight[:64] *= math.sqrt(base / (64 / heads))
    assert torch.allclose(scaled(tokens), plain(tokens), atol=1e-5)


# ------------------------------------------------------------------------------------- schedules


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, [1, 1, 1, 0.75, 0.5, 0.25]),
        ({"shape": "linear"}, [1, 1, 1, 0.75, 0.5, 0.25]),
        ({"floor": 0.2}, [1, 1, 1, 0.8, 0.6, 0.4]),
        ({"shape": "1-sqrt"}, [1, 1, 1, 1 - 0.25**0.5, 1 - 0.5**0.5, 1 - 0.75**0.5]),
        ({"shape": "cosine"}, [1, 1, 1, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5]),
        ({"shape": "cosine", "floor": 0.5}, [1, 1, 1, 0.75 + 0.5**2.5, 0.75, 0.75 - 0.5**2.5]),
    ],
    ids=str,
)
def test_shapes_of_the_decay(extra, expected):
    block = {"lr": 2.0, "warmup_steps": 0, "decay_steps": 4, **extra}
    rates = [learning_rate(step, 6, block) for step in range(6)]
    assert rates == pytest.approx([2 * x for x in expected], rel=1e-12)


# ------------------------------------------------------------------------------ coordinate check


def checked(recipe, *, widths=(32, 64, 128, 256), **overrides):
    said = []
    points = [point(w, recipe, layers=2, **overrides) for w in widths]
    return check_coordinates(points, "cpu", 5, said.append), said


def test_coordinates_keep_their_size_under_mup():
    found, said = checked("mup-2022")
    assert found["passes"]
    assert found["messages"] == []
    assert max(abs(s["slope"]) for s in found["slopes"]) < 0.2
    layers = {s["layer"] for s in found["slopes"]}
    assert {"embedding", "head", "blocks.0", "blocks.1.down", "blocks.0.qkv"} <= layers
    assert len(said) == 4
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    rows = found["rows"]
    assert len(rows) == 4 * 6 * len({row["layer"] for row in rows})
    assert {row["change"] for row in rows if row["step"] == 0} == {0.0}
    assert {row["size"] for row in rows if row["step"] == 0 and row["layer"] == "head"} == {0.0}


def test_coordinates_grow_under_the_standard_parametrisation():
    found, _ = checked("bytes-small", **FLAT)
    assert not found["passes"]
    grown = {s["layer"]: s["slope"] for s in found["slopes"] if s["quantity"] == "change"}
    assert grown["head"] > 0.4
    assert grown["blocks.0"] > 0.7
    assert [m["code"] for m in found["messages"]] == ["SC221"]
    failed = [s for s in found["slopes"] if not s["passes"]]
    assert found["messages"][0]["text"].startswith(f"{len(failed)} slopes")


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
def test_a_check_on_a_device_that_is_not_there_is_refused():
    with pytest.raises(TrainingError) as caught:
        check_coordinates([point(16), point(32), point(64)], "cuda")
    assert caught.value.code == "SC306"


def test_a_check_needs_three_widths():
    with pytest.raises(TrainingError) as caught:
        check_coordinates([point(16), point(32), point(32, seed=1)], "cpu")
    assert caught.value.code == "SC221"


def test_slopes_are_those_of_a_line_in_logs():
    rng = np.random.default_rng(5)
    widths = [8, 16, 64, 64, 256]
    size = [w**0.2 * math.exp(0.05 * rng.standard_normal()) for w in widths]
    rows = [
        {"width": w, "seed": i, "step": step, "layer": "head", "size": s * step, "change": 0.0}
        for i, (w, s) in enumerate(zip(widths, size, strict=True))
        for step in (1, 2)
    ]
    (found,) = slopes(rows, 2)  # what does not change has no slope
    expected = np.polyfit(np.log(widths), np.log(size), 1)[0]
    assert found["slope"] == pytest.approx(expected, rel=1e-9)
    assert (found["quantity"], found["limit"]) == ("size", LIMITS["size"])
    assert found["passes"] == (abs(expected) <= LIMITS["size"])


# -------------------------------------------------------------------------------------- transfer


def best_rate(width, recipe, cpu, **overrides):
    """Best factor on the recipe's rate, by the parabola of the tuning stage."""
    rows = []
    for factor in (0.25, 0.5, 1.0, 2.0, 4.0, 8.0):
        trainer = Trainer(point(width, recipe, factor=factor, **overrides), cpu)
        for _ in range(100):
            trainer.train_step()
        loss = trainer.task.evaluate(trainer.model)[0]
        rows.append({"N": width, "D": 1, "lr": factor, "loss": loss, "status": "done"})
    (trial,) = trials_of(rows)
    assert trial.fault() is None
    return find([trial], None)[0].lr


def test_the_best_rate_stays_in_place_under_mup_and_moves_without_it(cpu):
    """Three times the width: the same rate with transfer, about a third of it without."""
    base = best_rate(32, "mup-2022", cpu)  # where both recipes are the same
    assert best_rate(96, "mup-2022", cpu) / base == pytest.approx(1.0, rel=0.25)
    assert best_rate(96, "bytes-small", cpu, **FLAT) / base == pytest.approx(1 / 3, rel=0.35)
