"""Points of one shape as one model: what separate runs give, whatever happens to one of them."""

import itertools

import pytest

torch = pytest.importorskip("torch")

from scaling import api  # noqa: E402
from scaling.runs.records import PointFiles, load_plan, read_record  # noqa: E402
from scaling.training import driver, trials  # noqa: E402
from scaling.training.desk import Desk  # noqa: E402
from scaling.training.grouping import jobs_of, stackable  # noqa: E402
from scaling.training.job import run_job, run_point  # noqa: E402
from scaling.training.loop import Stopped  # noqa: E402
from scaling.training.setup import Setup  # noqa: E402
from scaling.training.stack import Stack  # noqa: E402
from scaling.training.trainer import Trainer  # noqa: E402
from tests.training.conftest import (  # noqa: E402
    TINY,
    places,
    timeless,
)

SEEDS = {"kind": "grid", "params": [1.9e3], "data": [1.2e4], "seeds": 3}
STEPS = 50


def members(design=SEEDS, rates=(0.5, 2.0), **sections):
    """Return points of one shape: seeds x learning rates."""
    plan = api.plan({**TINY, "design": design, **sections})
    points = [dict(vars(point)) for point in plan]
    return [
        {**p, "id": f"{i:016x}", "optimizer": {**p["optimizer"], "lr": p["optimizer"]["lr"] * rate}}
        for i, (p, rate) in enumerate(itertools.product(points, rates))
    ]


def apart(found, others):
    """Differences of losses, step by step: for each model the root of their mean square."""
    pairs = zip(found, others, strict=True)
    return torch.stack([(a - b).square().mean().sqrt() for a, b in pairs])


def trained(trainers, steps=STEPS):
    """Losses of each model over the steps, each of shape (steps,)."""
    rows = [[t.train_step()[0].detach().clone() for _ in range(steps)] for t in trainers]
    return [torch.stack(row).double() for row in rows]


@pytest.mark.parametrize("recipe", [{}, {"name": "mup-2022"}], ids=["plain", "mup"])
def test_in_double_precision_a_stack_is_its_models(cpu, recipe):
    points = members(recipe=recipe, rates=(0.5, 1.0, 4.0))
    setup = Setup(precision="float64")
    stack = Stack(points, cpu, setup)
    alone = [Trainer(p, cpu, setup) for p in points]
    (together,) = trained([stack])
    for found, expected in zip(together.T, trained(alone), strict=True):
        assert (found - expected).abs().max() < 1e-10
    for (loss, error), trainer in zip(stack.evaluate(), alone, strict=True):
        assert (loss, error) == pytest.approx(trainer.evaluate()[0], abs=1e-10)
    stack.watch.look()
    for k, trainer in enumerate(alone):
        trainer.watch.look()
        assert stack.watch.largest[k] == pytest.approx(trainer.watch.largest[0], rel=1e-9)
        assert stack.watch.running[k] == pytest.approx(trainer.watch.running[0], rel=1e-9)


def test_in_single_precision_a_stack_differs_no_more_than_two_passes(cpu):
    """Losses are apart by their last bits, so 24 pairs are compared, and the truth is asked too."""
    points = members({**SEEDS, "seeds": 8}, rates=(0.5, 1.0, 2.0))
    halves = [Trainer(p, cpu) for p in points]
    for trainer in halves:
        trainer.micro //= 2
    expected, halved = trained([Trainer(p, cpu) for p in points]), trained(halves)
    stacked = list(trained([Stack(points, cpu)])[0].T)
    exact = trained([Trainer(p, cpu, Setup(precision="float64")) for p in points])
    for truth in (expected, exact):
        two, many = apart(halved, truth), apart(stacked, truth)
        assert 0 < two.mean() < 3e-7  # 2.4e-7 is the last bit of a loss of 2.5
        more = many - two
        assert more.mean() <= 2 * more.std() / len(points) ** 0.5


def test_passes_of_a_stack_add_up(cpu):
    points = members()
    setup = Setup(precision="float64")
    whole, parts = Stack(points, cpu, setup), Stack(points, cpu, setup)
    parts.micro //= 4
    one, other = trained([whole, parts], 20)
    assert (one - other).abs().max() < 1e-10


def test_a_sweep_of_stacks_gives_the_results_of_separate_runs(planned, cpu):
    design = {**SEEDS, "seeds": 4}
    stacked, alone = planned("stacked", design=design), planned("alone", design=design)
    setup = {"stack": 4, "precision": "float64"}
    summary = driver.run(stacked, device="cpu", workers=2, setup=setup)
    driver.run(alone, device="cpu", engine="debug", setup={"precision": "float64"})
    assert summary.counts["done"] == 4
    for point in load_plan(stacked):
        one, other = (timeless(read_record(out, point["id"])) for out in (stacked, alone))
        assert one["provenance"]["stacked"] == 2  # two workers have two each
        for record in (one, other):
            del record["provenance"]["stacked"]
        for name in ("loss", "loss_se", "train_loss", "max_grad_norm"):
            assert one.pop(name) == pytest.approx(other.pop(name), abs=1e-9)
        assert one == other


def test_a_stack_that_is_cut_anywhere_ends_in_the_same_bits(planned, cpu):
    whole, cut = planned("whole", design=SEEDS), planned("cut", design=SEEDS)
    points = load_plan(whole)
    run_job(points, "stack", Desk(whole, cpu, Setup(stack=3)))  # a trial may say this or that
    setup = Setup(stack=3, checkpoint_seconds=0.0)
    stops = 0
    while not all(read_record(cut, p["id"]) for p in points):
        calls = itertools.count()
        try:
            run_job(points, "stack", Desk(cut, cpu, setup, stop=lambda c=calls: next(c) == 1))
        except Stopped:
            stops += 1
            own = PointFiles.of(cut, points[stops % 3]["id"])
            newest = own.checkpoints()[0]  # as a kill between the files of one step leaves it
            newest.with_suffix(".sha256").unlink()
    assert stops > 2
    for point in points:
        files = [PointFiles.of(out, point["id"]) for out in (whole, cut)]
        records = [timeless(read_record(out, point["id"])) for out in (whole, cut)]
        assert records[0] == records[1]
        assert files[0].curve.read_bytes() == files[1].curve.read_bytes()
        assert sorted(p.name for p in files[1].folder.iterdir()) == ["curve.csv", "record.json"]


def test_one_that_diverges_changes_no_other(planned, cpu):
    points = members(rates=(1.0, 1e4))
    out, quiet = planned("out"), planned("quiet")
    run_job(points, "stack", Desk(out, cpu, Setup(precision="float64")))
    for point in points:
        record = read_record(out, point["id"])
        wild = point["optimizer"]["lr"] > 1.0
        assert record["status"] == ("diverged" if wild else "done")
        alone = run_point(quiet, point, cpu, setup=Setup(precision="float64"))
        assert record["cause"] == alone["cause"]
        assert record["first_bad_step"] == alone["first_bad_step"]
        assert record["steps_done"] == alone["steps_done"]
        if not wild:
            assert record["loss"] == pytest.approx(alone["loss"], abs=1e-10)


def test_a_stack_that_does_not_fit_is_halved(planned, cpu, monkeypatch):
    out = planned(design={**SEEDS, "seeds": 4})
    points, tried, real = load_plan(out), [], Stack.eager

    def limited(self, part):
        tried.append(tuple(part.shape[:2]))
        if len(part) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory (made up)")
        return real(self, part)

    monkeypatch.setattr(Stack, "eager", limited)
    run_job(points, "stack", Desk(out, cpu, Setup(stack=4)))
    assert tried[:5] == [(4, 8), (4, 4), (4, 2), (4, 1), (2, 8)]
    for point in points:
        record = read_record(out, point["id"])
        assert (record["status"], record["provenance"]["stacked"]) == ("done", 2)


# ------------------------------------------------------------------------------------- which ones


def test_what_can_share_a_stack():
    points = members()
    assert len({stackable(p) for p in points}) == 1
    first, o = points[0], points[0]["optimizer"]
    for other in (
        {**first, "steps": 7},
        {**first, "sequences": 4},
        {**first, "optimizer": {**o, "beta2": 0.5}},
        {**first, "shape": {**first["shape"], "layers": 2}},
        {**first, "init": {**first["init"], "embedding_sd": 0.1}},
    ):
        assert stackable(other) != stackable(first)
    assert stackable({**first, "optimizer": {**o, "name": "muon"}}) is None
    assert stackable({**first, "init": {**first["init"], "dropout": 0.1}}) is None
    assert stackable({**first, "init": {**first["init"], "seed_data": 3}}) == stackable(first)


@pytest.mark.parametrize(
    ("stack", "workers", "sizes"),
    [
        (1, 1, [1] * 6),
        (6, 1, [6]),
        (4, 1, [3, 3]),
        (6, 2, [3, 3]),
        (6, 9, [1] * 6),
        ("auto", 1, [1] * 6),
    ],
)
def test_stacks_are_divided_over_the_workers(stack, workers, sizes):
    points = members()
    jobs = jobs_of(points, points, False, {"stack": stack}, places(workers))
    assert [len(job.points) for job in jobs] == sizes
    assert {job.kind for job in jobs} == ({"alone"} if sizes[0] == 1 else {"stack"})
    assert sorted(name for job in jobs for name in job.points) == [p["id"] for p in points]


@pytest.mark.parametrize("pays", [True, False])
def test_a_trial_decides_once_for_a_sweep(planned, cpu, monkeypatch, pays):
    out = planned(design=SEEDS)
    points, calls = load_plan(out), []

    def seconds(trainer):
        calls.append(len(trainer.points))
        return 1.0 if len(trainer.points) == 1 else (1.0 if pays else 4.0)

    monkeypatch.setattr(trials, "_seconds", seconds)
    run_job(points, "stack", Desk(out, cpu, Setup(stack="auto")))
    assert calls == [1, 3]
    found = {read_record(out, p["id"])["provenance"]["stacked"] for p in points}
    assert found == {3 if pays else 1}
    (kept,) = (out / "trials").glob("stack-*.json")
    assert kept.exists()
    again = [{**p, "id": p["id"][::-1]} for p in points]
    run_job(again, "stack", Desk(out, cpu, Setup(stack="auto")))
    assert calls == [1, 3]


def test_a_trial_leaves_no_trace_in_the_results(planned, cpu):
    """The steps of a real trial are taken back: losses are those of a run without one."""
    plain, tried = planned("plain", design=SEEDS), planned("tried", design=SEEDS)
    points = load_plan(plain)
    run_job(points, "stack", Desk(tried, cpu, Setup(stack="auto")))
    stacked = read_record(tried, points[0]["id"])["provenance"]["stacked"]
    run_job(points, "stack" if stacked > 1 else "alone", Desk(plain, cpu, Setup(stack=3)))
    for point in points:
        assert timeless(read_record(plain, point["id"])) == timeless(
            read_record(tried, point["id"])
        )


def test_stacks_that_are_divided_otherwise_lose_no_steps(planned, cpu, monkeypatch):
    """Two stacks, stopped at different steps, that another number of workers makes one."""
    out = planned(design={**SEEDS, "seeds": 4})
    points = load_plan(out)
    setup = Setup(stack=4, checkpoint_seconds=0.0)
    for part, looks in ((points[:2], 1), (points[2:], 3)):
        calls = itertools.count()
        stop = lambda calls=calls, looks=looks: next(calls) == looks  # noqa: E731
        with pytest.raises(Stopped):
            run_job(part, "stack", Desk(out, cpu, setup, stop=stop))
    begun, real = [], Stack.restore

    def noting(self, states):
        begun.append((len(self.points), states[0]["step"]))
        return real(self, states)

    monkeypatch.setattr(Stack, "restore", noting)
    run_job(points, "stack", Desk(out, cpu, setup))
    assert begun == [(2, 40), (2, 80)]
    assert {read_record(out, p["id"])["status"] for p in points} == {"done"}
