"""Tasks on sources that are known: computed without steps, and trained down to what is known."""

import math

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch")

import scaling as sc  # noqa: E402
from scaling import api  # noqa: E402
from scaling.count.tasks import TASKS  # noqa: E402
from scaling.errors import ScalingError  # noqa: E402
from scaling.options import read  # noqa: E402
from scaling.runs.manifest import resolve  # noqa: E402
from scaling.runs.records import load_plan, read_record  # noqa: E402
from scaling.runs.sources.drawn import step_examples  # noqa: E402
from scaling.runs.sources.registry import source_of  # noqa: E402
from scaling.training.desk import Desk  # noqa: E402
from scaling.training.job import run_job  # noqa: E402
from scaling.training.tasks.drawn import DrawnExamples  # noqa: E402
from scaling.training.tasks.registry import OURS, class_of  # noqa: E402
from scaling.training.tasks.truth import MODULES, loss  # noqa: E402
from tests.training.conftest import timeless  # noqa: E402

PARITY = {"tasks": 4, "bits": 8, "relevant": 2, "validation": 600}
TEACHER = {"dimensions": 4, "inputs": 8, "validation": 4000}
RECIPE = {"name": "bytes-small", "overrides": {"sequences": 64, "weight_decay": 0.0}}


def study(task, source, options, model, params, data, recipe=RECIPE):
    return {
        "schema": 1,
        "data": {"task": task, "source": source, "options": options},
        "model": model,
        "design": {"kind": "grid", "params": params, "data": data},
        "recipe": recipe,
    }


def trained(folder, asked):
    """Plan a study into a folder and train its points in this process; their records."""
    api.plan(asked).write(folder)
    points = load_plan(folder)
    for point in points:
        run_job([point], "alone", Desk(folder, torch.device("cpu")))
    return [read_record(folder, point["id"]) for point in points]


def parity_study(params=(500,), data=(5e4,)):
    model = {"family": "mlp", "options": {"inputs": 12, "outputs": 2, "layers": 1}}
    return study("examples", "parity-examples", PARITY, model, list(params), list(data))


# ---------------------------------------------------------------------------------------- computed


@pytest.mark.parametrize("source", sorted(MODULES))
def test_a_computed_point_leaves_the_loss_of_its_source(tmp_path, source):
    asked = study(
        "truth", source, {}, {"family": "table"}, [60], [2000, 4000], {"name": RECIPE["name"]}
    )
    records = trained(tmp_path / "one", asked)
    again = trained(tmp_path / "two", asked)
    options = read(source_of(source).options, {})
    for record, other in zip(records, again, strict=True):
        point = record["point"]
        expected, error = loss(source, options, point["N"], point["D"], point["seed"])
        assert record["status"] == "done"
        assert record["loss"] == expected
        assert record["loss_se"] == (error or None)
        assert record["metrics"]["truth"]["E"] == point["data"]["entropy"]
        assert timeless(record) == timeless(other)
    assert records[0]["loss"] != records[1]["loss"]


def test_a_truth_needs_a_table():
    asked = study("truth", "hutter", {}, {"family": "decoder"}, [1e4], [1e5])
    with pytest.raises(ScalingError):
        api.plan(asked)


# ------------------------------------------------------------------------------------------- drawn


@pytest.mark.parametrize(("name", "given"), [("parity-examples", PARITY), ("teacher", TEACHER)])
def test_examples_of_a_step_follow_from_its_number(name, given):
    options = read(source_of(name).options, given)
    x, y = step_examples(name, options, 3, 7, 40)
    again = step_examples(name, options, 3, 7, 40)
    assert np.array_equal(x, again[0])
    assert np.array_equal(y, again[1])
    assert x.dtype == np.float32
    for other in (
        step_examples(name, options, 3, 8, 40),
        step_examples(name, options, 4, 7, 40),
        step_examples(name, options | {"seed": 1}, 3, 7, 40),
    ):
        assert not np.array_equal(x, other[0])
    manifest = resolve(name, given)
    assert (manifest.facts["inputs"], manifest.validation_tokens) == (
        x.shape[1],
        given["validation"],
    )
    assert manifest.entropy == 0


def test_classes_are_parities_of_few_bits():
    """Each task's class is a product of some two bits, the frequencies are a power of the rank."""
    options = read(source_of("parity-examples").options, PARITY | {"alpha": 0.5})
    x, y = step_examples("parity-examples", options, 0, 0, 40_000)
    task, bits = x[:, :4].argmax(axis=1), x[:, 4:]
    assert (x[:, :4].sum(axis=1) == 1).all()
    p = np.arange(1, 5) ** -1.5
    p /= p.sum()
    seen = np.bincount(task, minlength=4) / len(task)
    assert (np.abs(seen - p) < 5 * np.sqrt(p * (1 - p) / len(task))).all()
    for k in range(4):
        own, classes = bits[task == k], y[task == k]
        fits = [
            (i, j) for i in range(8) for j in range(i)
            if (((own[:, i] * own[:, j]) < 0) == (classes == 1)).all()
        ]  # fmt: skip
        assert len(fits) == 1


def test_the_teacher_knows_only_the_manifold():
    options = read(source_of("teacher").options, TEACHER)
    x, y = step_examples("teacher", options, 0, 0, 20_000)
    values = np.linalg.svd(x, compute_uv=False)
    assert (values > 1e-3 * values[0]).sum() == 4
    assert np.mean(y) == pytest.approx(0, abs=0.05)
    assert np.std(y) == pytest.approx(1, rel=0.05)
    line = np.linalg.lstsq(np.c_[x, np.ones(len(x))], y, rcond=None)[0]
    left = np.mean((np.c_[x, np.ones(len(x))] @ line - y) ** 2)
    assert 0.05 < left < 1  # it is not linear


def test_processes_share_what_one_would_see(tmp_path):
    api.plan(parity_study()).write(tmp_path)
    (point,) = load_plan(tmp_path)
    task = DrawnExamples(point, torch.device("cpu"))
    whole = task.batch(5)
    shares = [task.batch(5, rank, 4) for rank in range(4)]
    for part, shared in zip(whole, zip(*shares, strict=True), strict=True):
        assert torch.equal(part, torch.cat(shared))
    assert len(whole[0]) == 64
    assert (task.checks, task.ceiling) == (600, math.log(2))


def test_parities_are_learned(tmp_path):
    (record,) = trained(tmp_path, parity_study())
    assert record["loss"] < 0.05 * math.log(2)
    assert record["metrics"]["accuracy"] > 0.99


@pytest.mark.slow
def test_the_exponent_of_a_teacher_is_four_over_its_dimensions(tmp_path):
    """Within 20%, as the law is one of dimensions and not of this teacher."""
    model = {"family": "mlp", "options": {"inputs": 8, "outputs": 1, "layers": 2}}
    overrides = {"sequences": 128, "weight_decay": 0.0, "lr": 0.01, "warmup_steps": 200}
    recipe = {"name": "bytes-small", "overrides": overrides}
    sizes = [100, 220, 450, 1000]
    records = trained(tmp_path, study("examples", "teacher", TEACHER, model, sizes, [1e6], recipe))
    frame = pd.DataFrame([{"N": r["point"]["N"], "loss": r["loss"]} for r in records])
    fit = sc.fit(frame, "power-N", fixed={"E": 0.0}, bootstrap=0)
    assert fit.params["alpha"] == pytest.approx(4 / TEACHER["dimensions"], rel=0.2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("zipf", {"symbols": 16, "exponent": 1.0}),
        ("hmm", {"states": 4, "symbols": 8, "seed": 1}),
    ],
)
def test_a_small_decoder_comes_down_to_the_entropy(tmp_path, source, options):
    """Within 2%, and not below by more than the error; of exponents nothing is asserted."""
    sizes = {"tokens": 2_000_000, "validation_tokens": 100_000}
    model = {"context": 32, "layers": 1}
    (record,) = trained(
        tmp_path,
        study("text", source, options | sizes, model, [4e3], [8e5], {"name": RECIPE["name"]}),
    )
    floor = record["point"]["data"]["entropy"]
    assert floor - 4 * record["loss_se"] < record["loss"] < 1.02 * floor


def test_every_task_that_can_be_planned_can_be_made():
    assert set(OURS) == set(TASKS)
    for name in OURS:
        assert class_of(name).__module__.startswith("scaling.training.tasks")
