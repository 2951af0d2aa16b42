"""Branches of a trunk: the same bits as separate runs, for less compute."""

import itertools

import pytest

torch = pytest.importorskip("torch")

from typer.testing import CliRunner  # noqa: E402

from scaling import api  # noqa: E402
from scaling.cli.app import app  # noqa: E402
from scaling.runs.records import PointFiles, load_plan, read_record, trunk_folder  # noqa: E402
from scaling.training.checkpoint import Checkpoints  # noqa: E402
from scaling.training.desk import Desk  # noqa: E402
from scaling.training.grouping import own_compute  # noqa: E402
from scaling.training.job import run_job  # noqa: E402
from scaling.training.loop import Stopped  # noqa: E402
from scaling.training.schedule import averages, decay_start  # noqa: E402
from scaling.training.setup import Setup  # noqa: E402
from scaling.training.trainer import Trainer  # noqa: E402
from tests.training.conftest import TINY, timeless  # noqa: E402

DOUBLING = {"kind": "grid", "params": [9e2], "data": [6e3, 1.2e4, 2.4e4], "trunks": True}
OVERRIDES = {"decay": 0.2, "warmup_steps": 10}
RECIPES = {
    "linear": {"overrides": OVERRIDES},
    "1-sqrt": {"overrides": OVERRIDES, "schedule": "1-sqrt"},
    "average": {"overrides": OVERRIDES, "schedule": "average"},
}
OWN = ("C_spent", "trunk_steps")


def result(out, point):
    """What a point left, without what sharing a trunk changes."""
    record = timeless(read_record(out, point["id"]))
    curve = PointFiles.of(out, point["id"]).curve.read_bytes()
    return {k: v for k, v in record.items() if k not in OWN}, curve


@pytest.fixture(params=RECIPES)
def shared(request, planned):
    return planned("shared", design=DOUBLING, recipe=RECIPES[request.param])


def apart(planned, points, cpu):
    out = planned("apart")
    for point in points:
        run_job([point], "alone", Desk(out, cpu))
    return out


def test_branches_are_separate_runs_bit_for_bit(shared, planned, cpu, steps_taken):
    points = load_plan(shared)
    assert len({p["trunk"] for p in points}) == 1
    assert [p["steps"] for p in points] == [47, 94, 188]
    other = apart(planned, points, cpu)
    assert len(steps_taken) == sum(p["steps"] for p in points)
    steps_taken.clear()
    run_job(points, "trunk", Desk(shared, cpu))
    for point in points:
        assert result(shared, point) == result(other, point)
    # the records' compute is what was done, and what the planner's formula says
    spent = [read_record(shared, p["id"])["C_spent"] for p in points]
    assert sum(spent) == pytest.approx(len(steps_taken) * points[0]["C"] / points[0]["steps"])
    assert not list(trunk_folder(shared, points[0]["trunk"]).glob("*"))


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("data", [[6e3, 1.2e4, 2.4e4], [2e4, 2.2e4]], ids=["apart", "near"])
def test_the_spent_compute_is_that_of_the_plan(tmp_path, recipe, data):
    plan = api.plan({**TINY, "design": {**DOUBLING, "data": data}, "recipe": recipe})
    summary = api.run(plan, tmp_path, engine="debug", device="cpu")
    assert summary.C == sum(p.C for p in plan)
    assert summary.C_spent == pytest.approx(plan.total.flops, rel=1e-12)
    assert summary.C_spent < 0.75 * summary.C
    own = own_compute([vars(p) for p in plan], trunks=True)
    for point in plan:
        assert own[point.id] == pytest.approx(read_record(tmp_path, point.id)["C_spent"])
    assert "SC239" in [m.code for m in plan.messages]


def test_a_trunk_that_is_cut_anywhere_ends_in_the_same_bits(shared, planned, cpu):
    points = load_plan(shared)
    whole = planned("whole")
    run_job(points, "trunk", Desk(whole, cpu))
    setup = Setup(checkpoint_seconds=0.0)
    for look in itertools.count(1):
        calls = itertools.count(1)
        desk = Desk(shared, cpu, setup, stop=lambda calls=calls, look=look: next(calls) == look)
        try:
            run_job(points, "trunk", desk)
        except Stopped:
            if look % 2:  # nothing but what is newest may be damaged
                folder = trunk_folder(shared, points[0]["trunk"])
                newest = next(iter(sorted(folder.glob("*.pt"), reverse=True)), None)
                if newest is not None and next(Checkpoints(folder).steps()) not in {
                    decay_start(p) for p in points
                }:
                    newest.write_bytes(newest.read_bytes()[:-10])
        if all(read_record(shared, p["id"]) for p in points):
            break
    assert look > 3
    for point in points:
        assert timeless(read_record(shared, point["id"])) == timeless(
            read_record(whole, point["id"])
        )
        assert result(shared, point) == result(whole, point)
    assert not list(trunk_folder(shared, points[0]["trunk"]).glob("*"))


def test_a_trunk_that_diverges_ends_all_its_branches(planned, cpu):
    recipe = {"overrides": {**OVERRIDES, "lr": 1e4}}
    out = planned("out", design=DOUBLING, recipe=recipe)
    points = load_plan(out)
    run_job(points, "trunk", Desk(out, cpu))
    other = apart(planned, points, cpu)
    for point in points:
        assert read_record(out, point["id"])["status"] == "diverged"
        assert result(out, point) == result(other, point)


def test_a_branch_whose_trunk_is_lost_starts_anew(shared, planned, cpu):
    """The first branch goes on from its own checkpoint; nothing of it may reach the second."""
    points = load_plan(shared)[1:]
    other, calls = apart(planned, points, cpu), itertools.count()
    setup = Setup(checkpoint_seconds=0.0)
    with pytest.raises(Stopped):  # the trunk is looked at three times, then the branch
        run_job(points, "trunk", Desk(shared, cpu, setup, stop=lambda: next(calls) == 3))
    own = Checkpoints(PointFiles.of(shared, points[0]["id"]).folder)
    assert own.newest() > decay_start(points[0])
    Checkpoints(trunk_folder(shared, points[0]["trunk"])).remove()
    run_job(points, "trunk", Desk(shared, cpu, setup))
    for point in points:
        assert result(shared, point) == result(other, point)
    ended = points[0]["steps"] if averages(points[0]) else 0  # where the trunk goes on, or nowhere
    assert read_record(shared, points[1]["id"])["trunk_steps"] == ended


def test_one_branch_that_fails_is_no_end_of_the_others(shared, cpu, monkeypatch):
    points, real = load_plan(shared), Trainer.train_step

    def failing(self):
        if self.point["id"] == points[1]["id"] and self.step == points[1]["steps"] - 1:
            raise ValueError("made up")
        return real(self)

    monkeypatch.setattr(Trainer, "train_step", failing)
    run_job(points, "trunk", Desk(shared, cpu))
    records = [read_record(shared, p["id"]) for p in points]
    assert [r["status"] for r in records] == ["done", "failed", "done"]
    assert records[1]["steps_done"] == points[1]["steps"] - 1
    assert records[1]["C_spent"] > 0


def test_a_rehearsal_counts_a_trunk_once(shared):
    design_total = sum(own_compute(load_plan(shared), trunks=True).values())
    done = CliRunner().invoke(app, ["sweep", "run", str(shared), "--dry-run"])
    assert done.exit_code == 0, done.output
    assert f"3 of 3 points would be trained, {design_total:.3g} FLOP" in done.stderr
