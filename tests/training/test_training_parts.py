"""What is left of stacks and trunks: their rests give the bits of the whole, and no more is run."""

import pytest

torch = pytest.importorskip("torch")

from scaling.runs.records import PointFiles, load_plan, read_record, retry, trunk_folder  # noqa: E402
from scaling.training import driver, loop  # noqa: E402
from scaling.training.checkpoint import Checkpoints  # noqa: E402
from scaling.training.desk import Desk  # noqa: E402
from scaling.training.grouping import jobs_of  # noqa: E402
from scaling.training.job import run_job, run_point  # noqa: E402
from scaling.training.loop import Stopped  # noqa: E402
from scaling.training.optimizers import StackedAdamW  # noqa: E402
from scaling.training.schedule import decay_start  # noqa: E402
from scaling.training.setup import Setup  # noqa: E402
from scaling.training.stack import Stack  # noqa: E402
from scaling.training.tasks.text import Text  # noqa: E402
from scaling.training.trainer import Trainer  # noqa: E402
from tests.training.conftest import places, timeless  # noqa: E402
from tests.training.test_training_resume import DAMAGES, stop_at_look  # noqa: E402

SEEDS = {"kind": "grid", "params": [9e2], "data": [1.2e4], "seeds": 4}
TRUNK = {"kind": "grid", "params": [9e2], "data": [6e3, 1.2e4, 2.4e4], "trunks": True}
DECAY = {"overrides": {"decay": 0.2, "warmup_steps": 10}}
OFTEN = Setup(stack=4, checkpoint_seconds=0.0)


def left_by(out, point):
    """Everything that a point left, but for how many were trained with it."""
    record = timeless(read_record(out, point["id"]))
    record["provenance"].pop("stacked")
    return record, PointFiles.of(out, point["id"]).curve.read_bytes()


@pytest.fixture(scope="module")
def whole(plan_into, tmp_path_factory):
    """Train a stack of four and a trunk of three, undisturbed."""
    found = {}
    for kind, sections in (
        ("stack", {"design": SEEDS}),
        ("trunk", {"design": TRUNK, "recipe": DECAY}),
    ):
        out = plan_into(tmp_path_factory.mktemp(kind), **sections)
        run_job(load_plan(out), kind, Desk(out, torch.device("cpu"), Setup(stack=4)))
        found[kind] = {p["id"]: left_by(out, p) for p in load_plan(out)}
    return found


def stopped_at(out, kind, cpu, look):
    with pytest.raises(Stopped):
        run_job(load_plan(out), kind, Desk(out, cpu, OFTEN, stop=stop_at_look(look)))


# ------------------------------------------------------------------------------------------ stacks


@pytest.mark.parametrize("gone", [1, 3])
def test_the_rest_of_a_stack_ends_in_the_bits_of_the_whole(planned, cpu, whole, gone):
    """A kill between the records of a stack leaves some of its points, perhaps a single one."""
    out = planned(design=SEEDS)
    points = load_plan(out)
    stopped_at(out, "stack", cpu, 3)
    kept = {p["id"]: PointFiles.of(out, p["id"]).folder for p in points}
    before = {n: {f.name: f.read_bytes() for f in d.iterdir()} for n, d in kept.items()}
    run_job(points, "stack", Desk(out, cpu, OFTEN))
    for point in points[gone:]:  # as if no record had been reached
        folder = kept[point["id"]]
        (folder / "record.json").unlink()
        for name, data in before[point["id"]].items():
            (folder / name).write_bytes(data)
    (job,) = jobs_of(points, points[gone:], False, OFTEN.as_dict(), places(1))
    assert (job.kind, len(job.points)) == ("stack", 4 - gone)
    run_job(points[gone:], job.kind, Desk(out, cpu, OFTEN))
    assert {p["id"]: left_by(out, p) for p in points} == whole["stack"]


def test_a_point_of_a_stack_that_runs_again_alone_ends_in_the_same_bits(planned, whole):
    out = planned(design=SEEDS)
    settings = {**OFTEN.as_dict(), "checkpoint_seconds": 60.0}
    driver.run(out, engine="debug", device="cpu", setup=settings, workers=1)
    points = load_plan(out)
    record = PointFiles.of(out, points[1]["id"]).record
    record.write_text(record.read_text().replace('"status": "done"', '"status": "failed"'))
    assert retry(out, points, ["failed"]) == 1
    driver.run(out, engine="debug", device="cpu", setup=settings, workers=1)
    assert {p["id"]: left_by(out, p) for p in points} == whole["stack"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_stack_with_a_damaged_checkpoint_goes_on_from_the_common_one(
    planned, cpu, whole, damage, monkeypatch
):
    out = planned(design=SEEDS)
    points = load_plan(out)
    stopped_at(out, "stack", cpu, 3)
    damage(PointFiles.of(out, points[2]["id"]).checkpoints()[0])
    began, real = [], Stack.restore

    def restored(self, states):
        began.append(states[0]["step"])
        real(self, states)

    monkeypatch.setattr(Stack, "restore", restored)
    run_job(points, "stack", Desk(out, cpu, OFTEN))
    assert began == [40]
    assert {p["id"]: left_by(out, p) for p in points} == whole["stack"]


def test_a_checkpoint_of_a_stacked_point_holds_its_own_row(planned, cpu):
    """Torch saves the whole storage of a view."""
    out = planned(design=SEEDS)
    points = load_plan(out)
    sizes = []
    for trainer in (Trainer(points[0], cpu), Stack(points, cpu)):
        trainer.train_step()
        kept = Checkpoints(out / f"kept-{len(trainer.points)}")
        kept.save(1, trainer.states()[0])
        sizes.append((kept.folder / "checkpoint-0000000001.pt").stat().st_size)
    assert sizes[1] < 1.2 * sizes[0]


def test_one_that_diverges_changes_no_bit_of_the_others(planned, cpu, whole):
    out = planned(design=SEEDS)
    wild, *tame = load_plan(out)
    wild = {**wild, "optimizer": {**wild["optimizer"], "lr": 1e4}}
    run_job([wild, *tame], "stack", Desk(out, cpu, OFTEN))
    assert read_record(out, wild["id"])["status"] == "diverged"
    for point in tame:
        assert left_by(out, point) == whole["stack"][point["id"]]


def test_weights_of_a_stack_that_do_not_fit_are_divided_too(planned, cpu, whole, monkeypatch):
    """Not only passes run out of memory: so do weights, moments and evaluations."""
    out, sizes, real = planned(design=SEEDS), [], StackedAdamW.__init__

    def limited(self, flats, *rest):
        sizes.append(len(flats[0]))
        if sizes[-1] > 1:
            raise torch.OutOfMemoryError("CUDA out of memory (made up)")
        real(self, flats, *rest)

    monkeypatch.setattr(StackedAdamW, "__init__", limited)
    run_job(load_plan(out), "stack", Desk(out, cpu, OFTEN))
    assert sizes == [4, 2, 1, 1, 2, 1, 1]
    assert {p["id"]: left_by(out, p) for p in load_plan(out)} == whole["stack"]


def test_halves_begin_when_the_memory_of_the_whole_is_free(planned, cpu, monkeypatch):
    import gc
    import weakref

    out, living, seen = planned(design=SEEDS), [], []
    real, eager = Stack.__init__, Stack.eager

    def noting(self, points, *rest):
        gc.collect()
        seen.append(sum(ref() is not None for ref in living))
        real(self, points, *rest)
        living.append(weakref.ref(self))

    def limited(self, part):
        if len(part) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory (made up)")
        return eager(self, part)

    monkeypatch.setattr(Stack, "__init__", noting)
    monkeypatch.setattr(Stack, "eager", limited)
    run_job(load_plan(out), "stack", Desk(out, cpu, OFTEN))
    assert seen == [0, 0, 0]


def test_an_exception_in_a_stack_fails_its_points(planned, cpu, monkeypatch):
    out = planned(design=SEEDS)
    monkeypatch.setattr(Stack, "_clip", lambda self, norm: 1 // 0)
    run_job(load_plan(out), "stack", Desk(out, cpu, OFTEN))
    for point in load_plan(out):
        record = read_record(out, point["id"])
        assert (record["status"], record["loss"]) == ("failed", None)
        assert "ZeroDivisionError" in record["cause"]


# ------------------------------------------------------------------------------------------ trunks


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("newest", ["periodic", "start"])
def test_a_trunk_with_a_damaged_checkpoint_ends_in_the_same_bits(
    planned, cpu, whole, damage, newest, steps_taken
):
    """A lost start of a branch that is done costs its steps again; they are told."""
    out = planned(design=TRUNK, recipe=DECAY)
    points = load_plan(out)
    folder = trunk_folder(out, points[0]["trunk"])
    stopped_at(out, "trunk", cpu, 2 if newest == "start" else 4)
    steps = list(Checkpoints(folder).steps())
    assert steps[0] == (38 if newest == "start" else 60)
    damage(sorted(folder.glob("*.pt"))[-1])
    assert list(Checkpoints(folder).steps()) == steps[1:]
    steps_taken.clear()
    run_job(points, "trunk", Desk(out, cpu, OFTEN))
    found = {p["id"]: left_by(out, p) for p in points}
    if newest == "start":  # of the second point; the first one has its record and had paid for 38
        assert steps_taken[:8] == [*range(40, 47), 20]
        second = found[points[1]["id"]][0]
        assert second["trunk_steps"] == 20
        assert second["C_spent"] == pytest.approx(points[1]["C"] * 74 / 94)
        for name in ("trunk_steps", "C_spent"):
            second[name] = whole["trunk"][points[1]["id"]][0][name]
    assert found == whole["trunk"]


def test_only_one_branch_of_a_trunk_is_trained(planned, whole):
    out = planned(design=TRUNK, recipe=DECAY)
    points = load_plan(out)
    shared = (0, 0, decay_start(points[1]))  # the trunk stays while a branch is left
    order = (points[1], points[0], points[2])
    for count, (point, steps) in enumerate(zip(order, shared, strict=True), start=1):
        driver.run(out, engine="debug", device="cpu", trunks=True, only=[point["id"]])
        records = [read_record(out, p["id"]) for p in points]
        assert sum(r is not None for r in records) == count
        assert read_record(out, point["id"])["trunk_steps"] == steps
    assert not list(out.glob("trunks/*/checkpoint*"))
    for point in points:
        found, expected = left_by(out, point), whole["trunk"][point["id"]]
        for name in ("C_spent", "trunk_steps"):
            del found[0][name]
        assert found[0] == {k: v for k, v in expected[0].items() if k in found[0]}
        assert found[1] == expected[1]


# ------------------------------------------------------------------------------------------ memory


def test_what_fitted_is_where_the_next_point_of_its_shape_begins(planned, cpu, monkeypatch):
    out, tried, real = planned(design={**SEEDS, "seeds": 2}), [], Text.loss

    def limited(self, model, tokens):
        tried.append(len(tokens))
        if len(tokens) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory (made up)")
        return real(self, model, tokens)

    monkeypatch.setattr(Text, "loss", limited)
    first, second = load_plan(out)
    run_point(out, first, cpu)
    assert tried[:3] == [8, 4, 2]
    tried.clear()
    run_point(out, second, cpu)
    assert set(tried) == {2}
    assert read_record(out, second["id"])["provenance"]["micro_batch"] == 2


@pytest.mark.parametrize("at", [0, 30])
def test_memory_that_runs_out_in_an_update_never_repeats_it(one_point, cpu, monkeypatch, at):
    """Half of the weights may have moved; the point ends, since nothing smaller would help."""
    from scaling.training.optimizers import AdamW

    out, point = one_point()
    calls, real = [], AdamW.step

    def step(self, rates):
        calls.append(len(calls))
        if calls[-1] == at:
            raise torch.OutOfMemoryError("CUDA out of memory (made up)")
        real(self, rates)

    monkeypatch.setattr(AdamW, "step", step)
    record = run_point(out, point, cpu)
    assert len(calls) == at + 1
    assert (record["status"], record["loss"]) == ("too-big", None)
    assert "update" in record["cause"]
    assert not loop._fitting
