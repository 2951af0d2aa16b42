"""The loop: learning rates, tokens, start, determinism, divergence, memory."""

import csv
import itertools
import json
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from scaling import count  # noqa: E402
from scaling.runs.records import PointFiles, load_plan, read_record  # noqa: E402
from scaling.training import loop  # noqa: E402
from scaling.training.job import run_point  # noqa: E402
from scaling.training.record import CURVE_COLUMNS  # noqa: E402
from scaling.training.schedule import learning_rate  # noqa: E402
from scaling.training.tasks.text import Text  # noqa: E402
from scaling.training.trainer import Trainer  # noqa: E402
from scaling.training.watch import CHECK_EVERY  # noqa: E402
from tests.training.conftest import timeless  # noqa: E402


def curve(out, point):
    with PointFiles.of(out, point["id"]).curve.open(newline="") as handle:
        return list(csv.DictReader(handle))


# ------------------------------------------------------------------------------- learning rate


def test_learning_rate_rises_stays_and_falls():
    optimizer = {"lr": 0.8, "warmup_steps": 4, "decay_steps": 5}
    rates = [learning_rate(step, 12, optimizer) for step in range(12)]
    assert rates == pytest.approx(
        [0.2, 0.4, 0.6, 0.8, 0.8, 0.8, 0.8, 0.8, 0.64, 0.48, 0.32, 0.16], rel=1e-12
    )


def test_learning_rate_where_rise_and_fall_overlap():
    optimizer = {"lr": 1.0, "warmup_steps": 4, "decay_steps": 4}
    rates = [learning_rate(step, 4, optimizer) for step in range(4)]
    assert rates == [0.25, 0.5, 0.5, 0.25]


def test_no_warm_up_starts_at_the_peak(one_point, cpu):
    out, point = one_point(tokens=4e3, recipe={"overrides": {"warmup_steps": 0}})
    assert point["optimizer"]["warmup_steps"] == 0
    record = run_point(out, point, cpu)
    assert record["status"] == "done", record["cause"]
    assert float(curve(out, point)[0]["lr"]) == point["lr"]


def test_no_decay_keeps_the_peak(one_point, cpu):
    out, point = one_point(tokens=4e3, recipe={"overrides": {"decay": 0}})
    assert run_point(out, point, cpu)["status"] == "done"
    assert float(curve(out, point)[-1]["lr"]) == point["lr"]


def test_the_curve_holds_the_rates_that_were_used(one_point, cpu):
    out, point = one_point()
    run_point(out, point, cpu)
    rows = curve(out, point)
    assert tuple(rows[0]) == CURVE_COLUMNS
    for row in rows:
        expected = learning_rate(int(row["step"]) - 1, point["steps"], point["optimizer"])
        assert float(row["lr"]) == expected


# --------------------------------------------------------------------------------------- tokens


def test_every_point_stops_at_its_planned_tokens(planned, cpu, monkeypatch):
    out, seen = planned(), []
    real = Text.batch

    def counting(self, step, *share):
        tokens = real(self, step, *share)
        seen.append(tokens.shape[0] * (tokens.shape[1] - 1))
        return tokens

    monkeypatch.setattr(Text, "batch", counting)
    points = load_plan(out)
    assert len({p["D"] for p in points}) == 2
    assert len({p["N"] for p in points}) == 2
    for point in points:
        seen.clear()
        record = run_point(out, point, cpu)
        assert sum(seen) == point["D"]
        assert record["steps_done"] == point["steps"] == len(seen)
        assert record["steps_done"] * point["batch"] == record["point"]["D"]
        last = curve(out, point)[-1]
        assert int(last["tokens"]) == point["D"]
        assert float(last["flops"]) == pytest.approx(point["C"], rel=1e-15)
        assert float(last["val_loss"]) == record["loss"]


def test_realised_parameters_and_flops_are_those_planned(one_point, cpu):
    _, point = one_point()
    trainer = Trainer(point, cpu)
    names = {name: p.numel() for name, p in trainer.model.named_parameters()}
    embedding = names.pop("embedding.weight")
    assert (embedding, sum(names.values())) == (point["N_embedding"], point["N"])
    assert names["head.weight"] == point["N_head"]
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        trainer.train_step()
    assert counter.get_total_flops() * point["steps"] == point["C"]
    family = count.get("decoder")
    assert family.counts(point["shape"]).training * point["D"] == point["C"]


def test_windows_are_a_pure_function_of_seed_and_step(one_point, cpu):
    data = {"source": "markov", "options": {"symbols": 16, "tokens": 9e3, "validation_tokens": 8e3}}
    _, point = one_point(tokens=3e4, data=data)
    assert point["epochs"] > 3
    task, count_ = Text(point, cpu), 3 * 562
    assert task.corpus.windows == 562
    stream = task.order(0, count_)
    for epoch in stream.reshape(3, 562):
        assert sorted(epoch) == list(range(562))
    assert not np.array_equal(stream[:562], stream[562:1124])
    fresh = Text(point, cpu)
    pieces = [fresh.order(first, 281) for first in range(0, count_, 281)]
    assert np.array_equal(np.concatenate(pieces), stream)
    assert np.array_equal(Text(point, cpu).order(900, 100), stream[900:1000])
    assert torch.equal(Text(point, cpu).batch(100), task.batch(100))
    other = Text({**point, "seed": 1}, cpu)
    assert not np.array_equal(other.order(0, 562), stream[:562])


def test_a_shorter_run_sees_a_prefix_of_a_longer_one(planned, cpu):
    out = planned(recipe={"overrides": {"warmup_steps": 3}})
    short, long = (p for p in load_plan(out) if p["N"] < 1500)
    assert short["D"] < long["D"]
    assert short["trunk"] == long["trunk"]
    first, second = Text(short, cpu), Text(long, cpu)
    for step in range(short["steps"]):
        assert torch.equal(first.batch(step), second.batch(step))


# ---------------------------------------------------------------------------------------- start


def test_training_starts_at_the_uniform_prediction(quickstart_point, cpu):
    assert quickstart_point["shape"]["vocabulary"] == 256
    trainer = Trainer(quickstart_point, cpu)
    before, error = trainer.evaluate()[0]
    first, norm = trainer.train_step()
    assert before == pytest.approx(math.log(256), abs=1e-5)
    assert error < 1e-5
    assert float(first) == pytest.approx(math.log(256), abs=1e-5)
    assert 0 < float(norm) < math.inf
    for _ in range(60):
        last, _ = trainer.train_step()
    assert float(last) < math.log(256) - 1


def test_loss_lies_between_entropy_and_uniform(one_point, cpu):
    out, point = one_point()
    record = run_point(out, point, cpu)
    assert point["data"]["entropy"] - 0.02 < record["loss"] < math.log(16) - 0.2
    assert 0 < record["loss_se"] < 0.05


def test_a_step_is_clipped_adamw_as_torch_has_it(one_point, cpu):
    _, point = one_point(recipe={"overrides": {"clip": 0.4}})
    trainer, o = Trainer(point, cpu), point["optimizer"]
    model = trainer.task.model()
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(
        parameters, betas=(o["beta1"], o["beta2"]), weight_decay=o["weight_decay"]
    )
    norms = []
    for step in range(30):
        optimizer.param_groups[0]["lr"] = learning_rate(step, point["steps"], o)
        optimizer.zero_grad()
        loss = trainer.task.loss(model, trainer.task.batch(step))
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, o["clip"])
        optimizer.step()
        found, found_norm = trainer.train_step()
        assert float(found) == pytest.approx(float(loss.detach()), rel=1e-4)
        assert float(found_norm) == pytest.approx(float(norm), rel=1e-3)
        norms.append(float(norm))
    assert min(norms) < o["clip"] < max(norms)
    for one, other in zip(trainer.model.parameters(), parameters, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-4)
    trainer.watch.look()
    assert float(trainer.watch.largest[0]) == pytest.approx(max(norms), rel=1e-3)


# ---------------------------------------------------------------------------------- determinism


def test_same_seed_same_bits(one_point, cpu):
    found = []
    for name in ("first", "second"):
        out, point = one_point(name)
        record = run_point(out, point, cpu)
        found.append((timeless(record), PointFiles.of(out, point["id"]).curve.read_bytes()))
        assert timeless(read_record(out, point["id"])) == timeless(record)
    assert found[0] == found[1]
    assert isinstance(found[0][0]["loss"], float)


def test_another_seed_is_another_run(planned, cpu):
    design = {"kind": "grid", "params": [9e2], "data": [4e3], "seeds": 2}
    out = planned(design=design)
    losses = {run_point(out, point, cpu)["loss"] for point in load_plan(out)}
    assert len(losses) == 2


def test_what_ran_before_does_not_matter(planned, cpu):
    out, again = planned("out"), planned("again")
    points = load_plan(out)
    first = [timeless(run_point(out, p, cpu)) for p in points]
    second = [timeless(run_point(again, p, cpu)) for p in reversed(points)]
    assert first == second[::-1]


# ----------------------------------------------------------------------------------- divergence


@pytest.mark.parametrize(("rate", "cause"), [(10, "training loss"), (1e4, "loss or gradient not")])
def test_a_huge_learning_rate_diverges(one_point, cpu, rate, cause):
    out, point = one_point(recipe={"overrides": {"lr": rate}})
    record = run_point(out, point, cpu)
    assert record["status"] == "diverged"
    assert record["loss"] is None
    assert record["cause"].startswith(cause)
    assert 0 < record["steps_done"] <= point["steps"]
    assert run_point(out, point, cpu) == record


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_divergence(one_point, cpu, monkeypatch, value):
    out, point = one_point()
    calls, real = itertools.count(), Text.loss

    def poisoned(self, model, tokens):
        return real(self, model, tokens) * (value if next(calls) == 50 else 1.0)

    monkeypatch.setattr(Text, "loss", poisoned)
    record = run_point(out, point, cpu)
    assert record["status"] == "diverged"
    assert record["cause"] == "loss or gradient not finite at step 51"
    assert record["steps_done"] == 60
    json.dumps(record, allow_nan=False)


def test_a_validation_loss_that_is_not_finite_is_divergence(one_point, cpu, monkeypatch):
    out, point = one_point(tokens=4e3)
    monkeypatch.setattr(Trainer, "evaluate", lambda self: [(math.nan, math.nan)])
    record = run_point(out, point, cpu)
    assert (record["status"], record["loss"]) == ("diverged", None)
    assert "validation" in record["cause"]


# --------------------------------------------------------------------------------------- memory


def limited(monkeypatch, most):
    """Let passes of more than `most` sequences run out of memory; return the sizes tried."""
    tried, real = [], Text.loss

    def limit(self, model, tokens):
        tried.append(len(tokens))
        if len(tokens) > most:
            raise torch.OutOfMemoryError("CUDA out of memory (made up)")
        return real(self, model, tokens)

    monkeypatch.setattr(Text, "loss", limit)
    return tried


def test_out_of_memory_walks_the_divisors_of_the_batch(one_point, cpu, monkeypatch):
    out, point = one_point("whole")
    whole = run_point(out, point, cpu)
    tried = limited(monkeypatch, 2)
    out, point = one_point("parts")
    parts = run_point(out, point, cpu)
    assert tried[:4] == [8, 4, 2, 2]
    assert tried.count(2) == 4 * point["steps"]
    assert parts["status"] == "done"
    assert parts["point"] == whole["point"]
    assert parts["loss"] == pytest.approx(whole["loss"], abs=1e-3)


def test_out_of_memory_with_one_sequence_is_too_big(one_point, cpu, monkeypatch):
    out, point = one_point()
    tried = limited(monkeypatch, 0)
    record = run_point(out, point, cpu)
    assert tried == [8, 4, 2, 1]
    assert (record["status"], record["loss"], record["steps_done"]) == ("too-big", None, 0)
    assert "memory" in record["cause"]


# --------------------------------------------------------------------------------- checks of it


def test_a_model_unlike_the_plan_is_refused(one_point, cpu):
    _, point = one_point()
    with pytest.raises(AssertionError, match="parameters, the plan"):
        Trainer({**point, "N": point["N"] + 1}, cpu)


def test_the_loop_tells_of_every_look_but_the_last(one_point, cpu):
    _, point = one_point()
    told = []
    control = loop.Control(progress=lambda trainer, rate: told.append((trainer.step, rate > 0)))
    trainer = Trainer(point, cpu)
    steps = point["steps"]
    assert loop.advance(trainer, steps, print, control, noted=(), ended=print)
    assert told == [(step, True) for step in range(CHECK_EVERY, steps, CHECK_EVERY)]


def test_a_wish_to_stop_does_not_wait_for_slow_steps(one_point, cpu, monkeypatch):
    """A look is twenty steps; where a step takes a second, stopping is asked after each."""
    _, point = one_point()
    clock, asked = itertools.count(), []
    monkeypatch.setattr(loop.time, "monotonic", lambda: 0.6 * next(clock))
    saved = []
    control = loop.Control(stop=lambda: asked.append(1) or len(asked) == 2)
    trainer = Trainer(point, cpu)
    with pytest.raises(loop.Stopped):
        loop.advance(
            trainer, point["steps"], lambda t: saved.append(t.step), control, noted=(), ended=print
        )
    assert saved == [trainer.step]
    assert trainer.step < CHECK_EVERY


@pytest.mark.parametrize("text", ["CUDA error: device-side assert triggered", "CUDA error: ECC"])
def test_a_spoilt_device_is_no_fault_of_the_point(one_point, cpu, monkeypatch, text):
    """The process ends, so that another one goes on; no record is written."""
    out, point = one_point()

    def broken(self, model, tokens):
        raise RuntimeError(text)

    monkeypatch.setattr(Text, "loss", broken)
    with pytest.raises(RuntimeError, match="CUDA error"):
        run_point(out, point, cpu)
    assert read_record(out, point["id"]) is None
