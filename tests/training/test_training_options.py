"""Options of training: Muon, dropout, seeds, precision, compiled passes, data beside the device."""

import itertools
import json
import time

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scaling import api  # noqa: E402
from scaling.errors import TrainingError  # noqa: E402
from scaling.runs.records import load_plan, read_record  # noqa: E402
from scaling.training import trials  # noqa: E402
from scaling.training.checkpoint import Checkpoints  # noqa: E402
from scaling.training.desk import Desk  # noqa: E402
from scaling.training.job import run_job, run_point  # noqa: E402
from scaling.training.loop import Stopped  # noqa: E402
from scaling.training.schedule import learning_rate  # noqa: E402
from scaling.training.setup import Setup  # noqa: E402
from scaling.training.tasks.corpus import Corpus  # noqa: E402
from scaling.training.tasks.order import Stream  # noqa: E402
from scaling.training.trainer import Trainer, copied  # noqa: E402
from tests.training.conftest import TINY, timeless  # noqa: E402

# what torch's compiler says of its own parts
COMPILER = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def steps(trainer, count):
    return [float(trainer.train_step()[0]) for _ in range(count)]


# ----------------------------------------------------------------------------------------- Muon


def test_muon_moves_hidden_matrices_and_adamw_the_rest(one_point, cpu):
    """Against torch's own optimisers over the parameters one by one."""
    _, point = one_point(recipe={"optimizer": "muon"})
    assert point["recipe"].endswith("+muon")
    o = point["optimizer"]
    assert (o["name"], o["momentum"]) == ("muon", 0.95)
    setup = Setup(precision="float64")
    trainer = Trainer(point, cpu, setup)
    model = trainer.task.model().double()
    hidden = [p for name, p in model.named_parameters() if name.startswith("blocks.")]
    others = [p for name, p in model.named_parameters() if not name.startswith("blocks.")]
    muon = torch.optim.Muon(
        hidden, weight_decay=o["weight_decay"], momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    adamw = torch.optim.AdamW(
        others, betas=(o["beta1"], o["beta2"]), weight_decay=o["weight_decay"]
    )
    for step in range(12):
        for optimizer in (muon, adamw):
            optimizer.param_groups[0]["lr"] = learning_rate(step, point["steps"], o)
            optimizer.zero_grad()
        loss = trainer.task.loss(model, trainer.task.batch(step))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), o["clip"])
        muon.step()
        adamw.step()
        assert float(trainer.train_step()[0]) == pytest.approx(float(loss.detach()), abs=1e-4)


def test_muon_goes_on_from_a_checkpoint_in_the_same_bits(one_point, cpu, tmp_path):
    _, point = one_point(recipe={"optimizer": "muon"})
    first, second = Trainer(point, cpu), Trainer(point, cpu)
    steps(first, 10)
    kept = Checkpoints(tmp_path)
    first.save([kept])
    second.restore([kept.latest(cpu)])
    assert steps(first, 10) == steps(second, 10)


def test_muon_learns(one_point, cpu):
    for name in ("adamw", "muon"):
        out, point = one_point(name, recipe={"optimizer": name})
        record = run_point(out, point, cpu)
        assert record["status"] == "done", record["cause"]
        assert point["data"]["entropy"] - 0.02 < record["loss"] < 2.3


def test_an_old_torch_has_no_muon(one_point, cpu, monkeypatch):
    out, point = one_point(recipe={"optimizer": "muon"})
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(TrainingError) as caught:
        run_point(out, point, cpu)
    assert caught.value.code == "SC310"
    assert read_record(out, point["id"]) is None


# ------------------------------------------------------------------------------ dropout and seeds


def test_masks_are_a_function_of_seed_and_step(one_point, cpu):
    out, point = one_point(recipe={"overrides": {"dropout": 0.2}})
    assert point["init"]["dropout"] == 0.2
    plain = Trainer({**point, "init": {**point["init"], "dropout": 0.0}}, cpu)
    first, second = Trainer(point, cpu), Trainer(point, cpu)
    begun = steps(first, 15)
    assert begun != steps(plain, 15)
    torch.rand(1000)  # the generator's own state decides nothing
    state = copied(first.states())
    rest = steps(first, 10)
    second.restore(state)
    torch.rand(77)
    assert steps(second, 10) == rest
    evaluated = first.evaluate()
    assert first.evaluate() == evaluated
    calls = itertools.count()
    with pytest.raises(Stopped):
        run_point(out, point, cpu, stop=lambda: next(calls) == 1)
    assert run_point(out, point, cpu)["status"] == "done"


def test_seeds_of_start_order_and_dropout_are_apart(one_point, cpu):
    _, point = one_point(recipe={"overrides": {"dropout": 0.2}})

    def trainer(**seeds):
        start = {**point["init"], **{f"seed_{name}": seed for name, seed in seeds.items()}}
        return Trainer({**point, "init": start}, cpu)

    base, other = trainer(), trainer(init=5)
    assert torch.equal(base.load(3), other.load(3))
    assert not torch.equal(base.flats[0], other.flats[0])
    other = trainer(data=5)
    assert not torch.equal(base.load(3), other.load(3))
    assert torch.equal(base.flats[0], other.flats[0])
    other = trainer(dropout=5)
    assert torch.equal(base.load(3), other.load(3))
    assert torch.equal(base.flats[0], other.flats[0])
    # the head starts at zero, so masks show from the second step on
    assert steps(base, 3) != steps(other, 3)


@pytest.mark.parametrize("vary", [["init"], ["data"], ["init", "data"]])
def test_a_design_says_what_its_seeds_vary(vary, cpu):
    design = {"kind": "grid", "params": [9e2], "data": [4e3], "seeds": 2}
    everything = list(api.plan({**TINY, "design": design}))
    some = list(api.plan({**TINY, "design": {**design, "vary": vary}}))
    assert {p.id for p in everything}.isdisjoint({p.id for p in some})
    first, second = (Trainer(dict(vars(p)), cpu) for p in some)
    assert torch.equal(first.load(0), second.load(0)) == ("data" not in vary)
    assert torch.equal(first.flats[0], second.flats[0]) == ("init" not in vary)
    assert [p.seed for p in some] == [0, 1]


# ------------------------------------------------------------------------------------- the data


def test_data_beside_the_device_are_the_same_data(one_point, cpu):
    _, point = one_point()
    here = Corpus(point["data"], 16, 100, cpu)
    there = Corpus(point["data"], 16, 100, cpu, resident=False)
    windows = np.array([[3, 1], [2, 0]])
    assert torch.equal(here.gather(windows), there.gather(windows))
    assert here.gather(windows).shape == (2, 2, 17)
    first, second = Trainer(point, cpu), Trainer(point, cpu)
    second.task.corpus = there
    assert steps(first, 30) == steps(second, 30)
    assert second._next[0] == 30


def test_a_stream_takes_epoch_after_epoch():
    stream = Stream(4, 7)
    found = stream(0, 30)
    assert [sorted(found[i : i + 7]) for i in (0, 7, 14, 21)] == [list(range(7))] * 4
    assert len({tuple(found[i : i + 7]) for i in (0, 7, 14, 21)}) == 4
    assert np.array_equal(Stream(4, 7)(5, 13), found[5:18])


def test_repeated_data_are_a_prefix_seen_again(planned, cpu):
    """D_unique windows of the long run's order, in a new order each epoch."""
    data = {**TINY["data"], "unique": 4e3}
    fresh = planned("fresh", design={"kind": "grid", "params": [9e2], "data": [1.6e4]})
    again = planned("again", design={"kind": "grid", "params": [9e2], "data": [1.6e4]}, data=data)
    (one,), (other,) = load_plan(fresh), load_plan(again)
    assert (one["D_unique"], one["epochs"]) == (one["D"], 1.0)
    assert other["D_unique"] == 4000
    assert other["epochs"] == other["D"] / 4000
    assert one["id"] != other["id"]
    count = 4000 // 16
    long, short = (Trainer(p, cpu).task.order(0, 4 * count) for p in (one, other))
    for i in range(4):
        assert sorted(short[i * count : (i + 1) * count]) == sorted(long[:count])
    assert not np.array_equal(short[:count], short[count : 2 * count])


# --------------------------------------------------------------------------- precision, compiling


def test_sixteen_bits_on_request(one_point, cpu):
    out, point = one_point(tokens=4e3)
    record = run_point(out, point, cpu, setup=Setup(precision="bfloat16"))
    assert record["provenance"]["dtype"] == "bfloat16 autocast"
    trainer = Trainer(point, cpu, Setup(precision="bfloat16"))
    assert {p.dtype for p in trainer.model.parameters()} == {torch.float32}
    loss, _ = trainer.train_step()
    assert loss.dtype == torch.float32


def test_a_record_tells_where_it_came_from(one_point, cpu):
    out, point = one_point(tokens=4e3)
    record = run_point(out, point, cpu)
    found = record["provenance"]
    assert found["threads"] == 1
    assert found["torch"] == torch.__version__.split("+")[0] or found["torch"] in torch.__version__
    assert found["data"] == point["data"]["hash"]
    assert {"python", "scaling-study", "numpy", "commit", "device", "cpu", "dtype"} <= set(found)
    effort = record["effort"]
    assert effort["units_per_second"] > 0
    assert 0 < effort["mfu"] < 1
    assert record["seconds"] == pytest.approx(
        effort["active_seconds"] + effort["evaluation_seconds"], abs=2e-3
    )
    assert record["C_spent"] == pytest.approx(point["C"])


@COMPILER
def test_a_compiled_pass_gives_the_same_losses(one_point, cpu):
    pytest.importorskip("torch._inductor")
    _, point = one_point(tokens=4e3)
    setup = Setup(compile="inductor", precision="float64")
    compiled, eager = Trainer(point, cpu, setup), Trainer(point, cpu, Setup(precision="float64"))
    trials.settle(compiled, None, lambda: 100)
    assert compiled.compiled == "inductor"
    assert compiled.effort.compile > 0
    assert compiled.step == 0
    assert steps(compiled, 20) == pytest.approx(steps(eager, 20), abs=1e-10)


def test_a_pass_that_cannot_be_compiled_is_an_error(one_point, cpu, monkeypatch):
    out, point = one_point()

    def broken(*args, **kwargs):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(TrainingError, match="no C\\+\\+ compiler") as caught:
        run_point(out, point, cpu, setup=Setup(compile="inductor"))
    assert caught.value.code == "SC311"


@COMPILER
@pytest.mark.parametrize(
    ("eager", "compiled", "spent", "choice"),
    [
        (1.0, 0.5, 0.0, "inductor"),
        (1.0, 0.99, 0.0, "off"),
        (1.0, 0.5, 1e6, "off"),
        (1e-9, 0, 0, None),
    ],
)
def test_a_trial_of_compiling(one_point, cpu, monkeypatch, eager, compiled, spent, choice):
    """What it costs and what it saves decide; too little training is not worth a trial."""
    out, point = one_point()
    clock = itertools.count()
    trainer = Trainer(point, cpu, Setup(compile="trial"))
    monkeypatch.setattr(trials, "_seconds", lambda t: compiled if t.compiled else eager)
    monkeypatch.setattr(trials, "_dry", lambda t, n: None)
    monkeypatch.setattr(
        trials.time, "monotonic", lambda: next(clock) * spent if spent else time.perf_counter()
    )
    trials.settle(trainer, out, lambda: 1000)
    assert (trainer.compiled or "off") == (choice or "off")
    kept = list((out / "trials").glob("compile-*.json"))
    assert len(kept) == (choice is not None)
    if kept:
        assert json.loads(kept[0].read_text())["choice"] == choice
        monkeypatch.setattr(trials, "_seconds", None)  # the next point of the shape asks the file
        again = Trainer(point, cpu, Setup(compile="trial"))
        trials.settle(again, out, None)
        assert (again.compiled or "off") == choice


@COMPILER
def test_a_real_trial_ends_with_the_same_results(one_point, cpu, monkeypatch):
    monkeypatch.setattr(trials, "WORTH", 0.0)
    out, point = one_point("tried", tokens=4e3)
    run_point(out, point, cpu, setup=Setup(compile="trial"))
    plain, _ = one_point("plain", tokens=4e3)
    run_point(plain, point, cpu)
    tried, alone = read_record(out, point["id"]), read_record(plain, point["id"])
    assert len(list((out / "trials").glob("compile-*.json"))) == 1
    assert tried["loss"] == pytest.approx(alone["loss"], abs=1e-4)
    if tried["provenance"]["compiled"] is None:
        assert timeless(tried) == timeless(alone)


def test_the_checkpoint_stays_where_asked(one_point, cpu):
    out, point = one_point()
    calls = itertools.count()
    with pytest.raises(Stopped):
        run_job([point], "alone", Desk(out, cpu, stop=lambda: next(calls) == 3))
    run_point(out, point, cpu, setup=Setup(keep=True))
    kept = Checkpoints(out / "points" / point["id"][:2] / point["id"])
    assert next(kept.steps()) == point["steps"]
    trainer = Trainer(point, cpu)
    trainer.restore([kept.latest(cpu)])
    assert trainer.evaluate()[0][0] == read_record(out, point["id"])["loss"]
