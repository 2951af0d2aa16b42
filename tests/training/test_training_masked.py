"""Masked tokens, and classes of sequences: what a step sees, its loss, and that both learn."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")


from scaling import api, count  # noqa: E402
from scaling.runs.manifest import resolve  # noqa: E402
from scaling.runs.records import read_record  # noqa: E402
from scaling.training.models.encoder import Classifier, Encoder, build  # noqa: E402
from scaling.training.tasks.base import divided  # noqa: E402
from scaling.training.tasks.classes import class_metrics  # noqa: E402
from scaling.training.tasks.classify import Classify  # noqa: E402
from scaling.training.tasks.masked import Masked  # noqa: E402
from scaling.training.tasks.text import Text  # noqa: E402
from scaling.training.trainer import Trainer  # noqa: E402

CPU = torch.device("cpu")
MARKOV = {"symbols": 16, "tokens": 60_000, "validation_tokens": 8_000}
CLASSES = {
    "classes": 3, "symbols": 8, "length": 16, "concentration": 0.2, "own": 0.8,
    "examples": 20_000, "validation_examples": 1000,
}  # fmt: skip
ADAMW = {
    "name": "adamw", "lr": 0.01, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.1, "clip": 1.0,
    "warmup_steps": 5, "decay_steps": 40, "shape": "linear", "floor": 0.0,
}  # fmt: skip
BERT = {"share": 0.15, "masked": 0.8, "random": 0.1}


def point_of(task, source, options, *, steps=60, sequences=16, context=16, seed=0, **more):
    """One point as a plan would have it."""
    manifest = resolve(source, options)
    family = count.get("decoder" if task == "text" else "encoder")
    chosen = {"vocabulary": manifest.vocabulary + (task != "text"), "context": context, "layers": 1}
    if "classes" in manifest.facts:
        chosen["classes"] = manifest.facts["classes"]
    shape = family.shape(16, chosen)
    counts = family.counts(shape)
    start = {"embedding_sd": 0.5 if task == "text" else 0.02}
    return {
        "id": "0" * 16, "task": task, "family": family.name, "shape": shape, "N": counts.N,
        "N_embedding": counts.embedding, "data": manifest.as_dict(), "seed": seed,
        "sequences": sequences, "steps": steps, "init": start, "optimizer": ADAMW,
        "evaluation": {"sequences": 64}, "settings": BERT if task == "masked" else {}, **more,
    }  # fmt: skip


def masked(**more):
    return Masked(point_of("masked", "markov", MARKOV, **more), CPU)


def same(a, b):
    assert len(a) == len(b)
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_step_sees_what_its_number_and_the_seed_say():
    one, other = masked(), masked()
    other.batch(9)
    assert same(one.batch(3), other.batch(3))
    assert not same(one.batch(3), one.batch(4))
    assert not same(one.batch(3), masked(seed=1).batch(3))


@pytest.mark.parametrize("make", [masked, lambda: Classify(classes_point(), CPU)])
def test_processes_share_a_step_without_a_change_of_it(make):
    task = make()
    shares = [task.batch(2, rank, 4) for rank in range(4)]
    assert same(task.batch(2), [torch.cat(parts) for parts in zip(*shares, strict=True)])


def test_every_window_hides_as_many():
    task = masked(context=32)
    inputs, places, targets = task.batch(0)
    whole = task.corpus.gather(task.numbers(0))[:, :-1]
    assert places.shape == targets.shape == (16, round(0.15 * 32))
    assert all(len(set(row)) == 5 and row == sorted(row) for row in places.tolist())
    assert torch.equal(targets, whole.gather(1, places))
    kept = torch.ones_like(whole, dtype=torch.bool).scatter(1, places, False)
    assert torch.equal(inputs[kept], whole[kept])


def test_shares_of_what_the_chosen_show():
    task = masked(context=32, sequences=64)
    places, shown, targets = [], [], []
    for step in range(60):
        inputs, own, true = task.batch(step)
        places.append(own)
        targets.append(true)
        shown.append(inputs.gather(1, own))
    places, shown, targets = (torch.cat(part).flatten() for part in (places, shown, targets))
    count_ = len(shown)
    sd = (0.25 / count_) ** 0.5
    assert (shown == 16).double().mean().item() == pytest.approx(0.8, abs=4 * sd)
    other = (shown != 16) & (shown != targets)
    assert other.double().mean().item() == pytest.approx(0.1 * 15 / 16, abs=4 * sd)
    seen = torch.bincount(places, minlength=32).double() / count_
    assert (seen - 1 / 32).abs().max() < 5 * (1 / 32 / count_) ** 0.5
    replaced = torch.bincount(shown[other], minlength=16)
    assert replaced.min() > 0.5 * replaced.max()


def test_shares_are_options():
    every = masked(settings={"share": 1.0, "masked": 1.0, "random": 0.0})
    inputs, places, targets = every.batch(0)
    assert places.tolist() == [list(range(16))] * 16
    assert (inputs == 16).all()
    assert torch.equal(targets, every.corpus.gather(every.numbers(0))[:, :-1])
    none = masked(settings={"share": 0.5, "masked": 0.0, "random": 0.0})
    inputs, places, targets = none.batch(0)
    assert torch.equal(inputs.gather(1, places), targets)
    assert masked(settings={**BERT, "share": 0.001}).batch(0)[1].shape == (16, 1)


def test_validation_hides_the_same_for_every_seed():
    which = torch.arange(64)
    one, other = masked(), masked(seed=5, sequences=4)
    assert same(one.validation(which), other.validation(which))
    few = one.validation(torch.tensor([3, 40]))
    assert same(few, [part[[3, 40]] for part in one.validation(which)])


def test_the_loss_is_that_of_the_chosen():
    task = masked()
    torch.manual_seed(0)
    model = task.model()
    torch.nn.init.normal_(model.head.weight)
    inputs, places, targets = batch = task.batch(0)
    chance = model(inputs).log_softmax(dim=-1)
    own = [
        -sum(chance[b, p, t].item() for p, t in zip(places[b], targets[b], strict=True)) / 2
        for b in range(16)
    ]
    assert places.shape[1] == 2
    assert task.each(model, batch).tolist() == pytest.approx(own, rel=1e-5)
    assert task.loss(model, batch).item() == pytest.approx(np.mean(own), rel=1e-5)


@pytest.mark.parametrize("make", [masked, lambda: Classify(classes_point(), CPU)])
def test_a_batch_may_be_passed_in_parts(make):
    task = make()
    model = task.model().double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    whole = torch.autograd.grad(task.loss(model, task.batch(0)), list(model.parameters()))
    parts = divided(task.batch(0), 4)
    total = sum(task.loss(model, part) / len(parts) for part in parts)
    for a, b in zip(whole, torch.autograd.grad(total, list(model.parameters())), strict=True):
        torch.testing.assert_close(a, b)


def test_masked_training_learns_the_neighbours():
    """Below the entropy of single symbols, which is what is known without the neighbours."""
    point = point_of("masked", "markov", {**MARKOV, "concentration": 0.1}, steps=400, sequences=64)
    trainer = Trainer({**point, "optimizer": ADAMW | {"decay_steps": 160}}, CPU)
    first = trainer.evaluate()[0][0]
    assert first == pytest.approx(math.log(17), abs=0.6)
    for _ in range(400):
        trainer.train_step()
    task = trainer.task
    counts = torch.bincount(task.corpus.train.long(), minlength=16).double()
    shares = counts / counts.sum()
    alone = -(shares * shares.clamp(min=1e-12).log()).sum().item()
    seen = task.examined(trainer.model, torch.arange(task.checks))
    assert seen["loss"].mean() < 0.8 * alone
    found = task.metrics(seen)["accuracy"]
    assert found == pytest.approx(seen["right"].mean().item())
    assert found > 1.5 * shares.max().item()


# ------------------------------------------------------------------------------------ classes


def classes_point(**more):
    return point_of("classify", "markov-classes", CLASSES, **more)


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("norm", ["none", "layernorm"])
def test_the_head_for_classes_is_counted(biases, norm):
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    options = {"vocabulary": 9, "context": 16, "layers": 2, "classes": 3, "biases": biases}
    shape = count.ENCODER.shape(16, {**options, "norm": norm})
    counts = count.ENCODER.counts(shape)
    model = build(shape)
    assert isinstance(model, Classifier)
    assert counts.head == sum(p.numel() for p in model.classifier.parameters())
    assert counts.embedding == sum(
        p.numel() for part in (model.embedding, model.positions, model.segments)
        for p in part.parameters()
    )  # fmt: skip
    assert counts.total == sum(p.numel() for p in model.parameters())
    tokens = torch.zeros((5, 16), dtype=torch.long)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(tokens)
    assert counter.get_total_flops() == counts.forward * 5 * 16


def test_an_encoder_without_classes_is_what_it_was():
    options = {"vocabulary": 9, "context": 16, "layers": 2}
    shape = count.ENCODER.shape(16, options)
    assert "classes" not in shape
    assert type(build(shape)) is Encoder


def test_a_classifier_goes_on_from_a_masked_encoder(monkeypatch):
    shape = classes_point()["shape"]
    before = build({k: v for k, v in shape.items() if k != "classes"} | {"transform": 1})
    for parameter in before.parameters():
        torch.nn.init.normal_(parameter)
    weights = before.state_dict()
    monkeypatch.setattr("scaling.training.tasks.start.start_of", lambda *_: weights)
    model = Classify(classes_point(), CPU).model()
    own = model.state_dict()
    body = [name for name in weights if not name.startswith(("head", "transform"))]
    assert len(body) > 8
    assert set(own) == {*body, "classifier.weight", "classifier.bias"}
    assert all(torch.equal(own[name], weights[name]) for name in body)
    assert not own["classifier.weight"].any()


def test_a_classifier_comes_near_the_best_that_can_be():
    point = classes_point(steps=500, sequences=64, evaluation={"sequences": 1000})
    trainer = Trainer({**point, "optimizer": ADAMW | {"decay_steps": 200}}, CPU)
    task = trainer.task
    assert trainer.evaluate()[0][0] == pytest.approx(math.log(3), abs=1e-5)
    assert task.ceiling == pytest.approx(math.log(3))
    for _ in range(500):
        trainer.train_step()
    seen = task.examined(trainer.model, torch.arange(task.checks))
    found = task.metrics(seen)
    best = resolve("markov-classes", CLASSES).entropy
    assert best < seen["loss"].mean() < 0.2 * math.log(3)
    assert found["error"] == pytest.approx(
        (seen["predicted"] != seen["label"]).double().mean().item()
    )
    assert found["error"] < 0.08
    assert sum(row["support"] for row in found["classes"]) == task.checks


TUNED = {
    "schema": 1,
    "data": {"task": "classify", "source": "markov-classes", "options": CLASSES},
    "model": {"family": "encoder", "context": 16, "layers": 1},
    "design": {"kind": "grid", "params": [9e2, 3e3], "data": [8e3]},
    "recipe": {"name": "bytes-small", "overrides": {"embedding_sd": 0.1}},
    "pretrain": {"D": 8e3, "data": {"task": "masked", "source": "markov",
                 "options": {"symbols": 8, "tokens": 60_000, "validation_tokens": 8000}}},
}  # fmt: skip


def test_pretraining_and_fine_tuning_are_one_study(tmp_path):
    plan = api.plan(TUNED)
    widths = [point.shape["width"] for point in plan]
    assert [point.shape["width"] for point in plan.before] == widths == [8, 16]
    assert {(p.task, p.shape["vocabulary"]) for p in plan.before} == {("masked", 9)}
    assert plan.before.points[0].settings == BERT
    assert [p.init["from"] for p in plan] == [p.id for p in plan.before]
    summary = api.run(plan, tmp_path, engine="debug", device="cpu")
    assert summary.counts["done"] == 2
    for point in plan:
        metrics = read_record(tmp_path, point.id)["metrics"]
        assert metrics["accuracy"] == pytest.approx(1 - metrics["error"])
        assert sum(row["support"] for row in metrics["classes"]) == 1000


def test_fewer_unique_examples_are_the_first_of_all():
    point = classes_point(sequences=8)
    few = Classify({**point, "data": {**point["data"], "unique": 8 * 16}}, CPU)
    every = Classify(point, CPU)
    assert torch.equal(few.batch(0)[0].sort(dim=0)[0], every.batch(0)[0].sort(dim=0)[0])
    assert torch.equal(few.batch(5)[0].sort(dim=0)[0], few.batch(0)[0].sort(dim=0)[0])


def test_report_of_classes_by_hand():
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    found = torch.tensor([0, 0, 1, 1, 0, 1])
    point = {"shape": {"classes": 4}, "data": {"names": ["a", "b", "c", "d"]}}
    report = class_metrics(point, {"label": labels, "predicted": found})
    assert report["accuracy"] == pytest.approx(0.5)
    assert report["error"] == pytest.approx(0.5)
    assert report["error_se"] == pytest.approx((0.25 / 6) ** 0.5)
    columns = ("name", "precision", "recall", "f1", "support")
    assert [row["class"] for row in report["classes"]] == [0, 1, 2, 3]
    assert [tuple(row[name] for name in columns) for row in report["classes"]] == [
        ("a", 2 / 3, 2 / 3, 2 / 3, 3),
        ("b", 1 / 3, 0.5, 0.4, 2),
        ("c", None, 0.0, 0.0, 1),
        ("d", None, None, None, 0),
    ]


# ----------------------------------------------------------------------- shards and their bits


@pytest.mark.parametrize("kind", ["<u1", "<u2", "<u4", "<i4", "<i8"])
def test_mapped_and_resident_tokens_are_alike(monkeypatch, kind, tmp_path):
    from scaling.training.tasks.corpus import Corpus

    high = 250 if kind == "<u1" else 60_000
    tokens = (np.arange(999) * 7919 % high).astype(kind)
    path = tmp_path / "x.bin"
    tokens.tofile(path)
    mapped = np.memmap(path, dtype=kind, mode="r")
    monkeypatch.setattr("scaling.training.tasks.corpus.load", lambda _: (mapped, mapped[:200]))
    one, other = (Corpus({}, 16, 8, CPU, resident=resident) for resident in (True, False))
    windows = np.array([[0, 5], [61, 2]])
    expected = tokens[(windows * 16)[..., None] + np.arange(17)].astype(np.int64)
    for corpus in (one, other):
        assert corpus.gather(windows).dtype == torch.int64
        assert torch.equal(corpus.gather(windows), torch.from_numpy(expected))
    assert torch.equal(one.validation, other.validation)
    assert one.validation.shape == (8, 17)


def test_several_shards_are_gathered_across_their_ends(tmp_path):
    tokens = np.arange(5000) * 31 % 40_000
    for i, part in enumerate((tokens[:1003], tokens[1003:1020], tokens[1020:])):
        part.astype("<u2").tofile(tmp_path / f"train{i}.bin")
    (np.arange(500) * 17 % 40_000).astype("<u2").tofile(tmp_path / "val.bin")
    point = point_of("text", "tokens", {"path": str(tmp_path), "vocabulary": 40_000})
    task = Text(point, CPU)
    for step in (0, 7, 19):
        starts = task.numbers(step) * 16
        assert task.batch(step).tolist() == [tokens[s : s + 17].tolist() for s in starts]
    assert "bits_per_byte" not in task.metrics({"loss": torch.tensor([1.0])})


def test_bits_per_byte_where_the_text_is_known():
    seen = {"loss": torch.tensor([1.0, 3.0], dtype=torch.float64)}
    for source, options in (("stdlib", {}), ("stdlib-split", {"part": "rest"})):
        task = Text(point_of("text", source, options), CPU)
        assert task.metrics(seen)["bits_per_byte"] == pytest.approx(2 / math.log(2))
    assert Text(point_of("text", "markov", MARKOV), CPU).metrics(seen) == {}
    point = point_of("text", "markov", MARKOV)
    point["data"]["bytes_per_token"] = 4.0
    assert Text(point, CPU).metrics(seen)["bits_per_byte"] == pytest.approx(0.5 / math.log(2))
