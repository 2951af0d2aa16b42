"""Several processes train a point together: what one would give, up to the order of additions."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from scaling.errors import OutputError  # noqa: E402
from scaling.runs.records import PointFiles, load_plan, read_record, trunk_folder  # noqa: E402
from scaling.training import driver  # noqa: E402
from scaling.training.checkpoint import Checkpoints  # noqa: E402
from scaling.training.desk import Desk  # noqa: E402
from scaling.training.job import run_job, run_point  # noqa: E402
from scaling.training.loop import Stopped  # noqa: E402
from scaling.training.setup import Setup  # noqa: E402
from scaling.training.trainer import Trainer  # noqa: E402

LONG = partial(pytest.param, marks=pytest.mark.slow)
LENGTH = {"tokens": 8e3, "recipe": {"overrides": {"warmup_steps": 5}}}


def losses(out, point):
    record = read_record(out, point["id"])
    assert record["status"] == "done", record["cause"]
    curve = PointFiles.of(out, point["id"]).curve.read_text().splitlines()[1:]
    return record["loss"], [float(row.split(",")[3]) for row in curve]


def furthest(first, second):
    """Largest difference between two runs, along their curves and at the end."""
    pairs = [(first[0], second[0]), *zip(first[1], second[1], strict=True)]
    return max(abs(a - b) for a, b in pairs)


@pytest.fixture(scope="module")
def one(plan_into, tmp_path_factory):
    """Return losses of one process, by precision, and of one with two passes a step."""
    cpu, found = torch.device("cpu"), {}
    for precision in ("float64", "float32"):
        for passes in (1, 2):
            out = plan_into(tmp_path_factory.mktemp("one"), **sections())
            (point,) = load_plan(out)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Trainer, "train_step", halved(Trainer.train_step, passes))
                run_point(out, point, cpu, setup=Setup(precision=precision))
            found[precision, passes] = losses(out, point)
    return found


def halved(real, passes):
    def step(self):
        self.micro = self.point["sequences"] // passes
        return real(self)

    return step


def sections():
    design = {"kind": "grid", "params": [9e2], "data": [LENGTH["tokens"]]}
    return {"design": design, "recipe": LENGTH["recipe"]}


@pytest.mark.parametrize(
    ("ranks", "sharding"),
    [(2, "ddp"), (4, "fsdp"), LONG(2, "fsdp"), LONG(4, "ddp")],
)
def test_ranks_agree_with_one_process(planned, cpu, one, ranks, sharding):
    out = planned(**sections())
    (point,) = load_plan(out)
    told = []
    setup = Setup(precision="float64", devices=ranks, sharding=sharding)
    run_job([point], "alone", Desk(out, cpu, setup, tell=lambda *event, **_: told.append(event)))
    assert told[0] == ("start", point["id"])
    assert told[-1] == ("done", point["id"])
    assert furthest(losses(out, point), one["float64", 1]) < 1e-10
    record = read_record(out, point["id"])
    assert record["provenance"]["devices"] == ranks
    assert record["provenance"]["micro_batch"] == point["sequences"] // ranks
    files = sorted(p.name for p in PointFiles.of(out, point["id"]).folder.iterdir())
    assert files == ["curve.csv", "record.json"]


@pytest.mark.slow
def test_in_single_precision_ranks_differ_like_two_passes(planned, cpu, one):
    out = planned(**sections())
    (point,) = load_plan(out)
    run_job([point], "alone", Desk(out, cpu, Setup(devices=2)))
    apart = furthest(one["float32", 2], one["float32", 1])
    assert 0 < apart < 1e-4
    assert furthest(losses(out, point), one["float32", 1]) <= 2 * apart


@pytest.mark.parametrize("sharding", ["fsdp", LONG("ddp")])
def test_a_checkpoint_of_two_ranks_goes_on_in_one(planned, cpu, sharding):
    design = {"kind": "grid", "params": [9e2], "data": [1.6e5]}  # not over before it is asked
    out, alone = planned(design=design), planned("alone", design=design)
    (point,) = load_plan(out)
    setup = Setup(precision="float64", devices=2, sharding=sharding, checkpoint_seconds=0.0)
    folder = PointFiles.of(out, point["id"]).folder
    kept = Checkpoints(folder)

    def stop():
        return next(kept.steps(), 0) >= 20

    with pytest.raises(Stopped):
        run_job([point], "alone", Desk(out, cpu, setup, stop=stop))
    (step, *_) = kept.steps()
    assert 20 <= step < point["steps"]
    assert kept.sharded(step) == (sharding == "fsdp")
    taken, real = [], Trainer.train_step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "train_step", lambda self: taken.append(self.step) or real(self))
        run_point(out, point, cpu, setup=Setup(precision="float64"))
        assert taken == list(range(step, point["steps"]))
        run_point(alone, point, cpu, setup=Setup(precision="float64"))
    assert furthest(losses(out, point), losses(alone, point)) < 1e-9


@pytest.mark.parametrize("sharding", ["ddp", LONG("fsdp")])
def test_a_rank_that_is_killed_costs_a_restart(planned, cpu, one, sharding):
    out = planned(**sections())
    (point,) = load_plan(out)
    setup = Setup(precision="float64", devices=2, sharding=sharding, checkpoint_seconds=0.0)
    kept, killed = Checkpoints(PointFiles.of(out, point["id"]).folder), []

    def stop():
        if not killed and next(kept.steps(), 0) >= 20:
            killed.extend(ranks_of(out))
            os.kill(killed[-1], signal.SIGKILL)
        return False

    run_job([point], "alone", Desk(out, cpu, setup, stop=stop))
    assert len(killed) == 2
    assert furthest(losses(out, point), one["float64", 1]) < 1e-10


@pytest.fixture
def in_rank(tmp_path, monkeypatch):
    """Let one of the processes run some code of the test's when it starts."""

    def run(rank, code):
        text = f"import os\nif os.environ.get('RANK') == '{rank}':\n"
        text += textwrap.indent(textwrap.dedent(code), "    ")
        (tmp_path / "sitecustomize.py").write_text(text)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    return run


def ranks_of(out):
    """Return the processes that train together in a folder, torchrun aside."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode()
            except OSError:
                continue
            mine = "scaling.training.ranks" in words and str(out) in words
            if mine and "torch.distributed.run" not in words:
                found.append(int(entry.name))
    return sorted(found)


def test_memory_that_runs_out_in_one_rank_restarts_all_with_less(planned, cpu, one, in_rank):
    """The second process fails with more than two sequences a pass; the batch stays."""
    out = planned(**sections())
    (point,) = load_plan(out)
    code = """
        import torch
        from scaling.training.tasks.text import Text
        real = Text.loss
        def loss(self, model, tokens):
            if len(tokens) > 2:
                raise torch.OutOfMemoryError("made up")
            return real(self, model, tokens)
        Text.loss = loss
    """
    in_rank(1, code)
    run_job([point], "alone", Desk(out, cpu, Setup(precision="float64", devices=2)))
    record = read_record(out, point["id"])
    assert record["provenance"]["micro_batch"] == 2
    assert furthest(losses(out, point), one["float64", 1]) < 1e-10
    assert not (PointFiles.of(out, point["id"]).folder / "micro").exists()


@pytest.mark.slow
def test_branches_of_a_trunk_on_two_ranks(planned, cpu):
    design = {"kind": "grid", "params": [9e2], "data": [4e3, 8e3], "trunks": True}
    recipe = {"overrides": {"decay": 0.2, "warmup_steps": 5}}
    setup = {"precision": "float64", "devices": 2, "sharding": "fsdp"}
    together, apart = (planned(name, design=design, recipe=recipe) for name in ("two", "one"))
    points = load_plan(together)
    for out, chosen in ((together, setup), (apart, {"precision": "float64"})):
        summary = driver.run(out, device="cpu", workers=1, setup=chosen, trunks=True)
        assert summary.counts["done"] == 2
        assert summary.C_spent < summary.C
    for point in points:
        assert furthest(losses(together, point), losses(apart, point)) < 1e-10
    assert not list(trunk_folder(together, points[0]["trunk"]).glob("*"))


def test_a_disk_that_is_full_is_no_fault_of_the_point(planned, cpu, in_rank):
    """What a process raises comes back as it was; nothing is recorded."""
    out = planned(**sections())
    (point,) = load_plan(out)
    code = """
        from scaling.training import checkpoint
        def full(path, write):
            raise OSError(28, "No space left on device", str(path))
        checkpoint.write_atomic_by = full
    """
    in_rank(0, code)
    setup = Setup(devices=2, checkpoint_seconds=0.0)
    with pytest.raises(OutputError, match="No space left on device") as caught:
        run_job([point], "alone", Desk(out, cpu, setup))
    assert caught.value.code == "SC003"
    assert read_record(out, point["id"]) is None


def test_ranks_leave_with_their_worker(planned, cpu):
    out = planned(design={"kind": "grid", "params": [9e2], "data": [1.6e6]})
    (point,) = load_plan(out)
    setup = {"devices": 2}
    command = [
        sys.executable,
        "-m",
        "scaling.training.worker",
        str(out),
        "cpu",
        json.dumps(setup),
        "w",
    ]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        job = {"points": [point["id"]], "kind": "alone", "spare": {}}
        worker.stdin.write(json.dumps(job) + "\n")
        worker.stdin.flush()
        for line in iter(worker.stdout.readline, ""):
            if json.loads(line)["event"] == "progress":
                break
        assert len(ranks_of(out)) == 2
    finally:
        worker.kill()
        worker.wait()
        worker.stdin.close()
        worker.stdout.close()
    end = time.monotonic() + 20
    while ranks_of(out) and time.monotonic() < end:
        time.sleep(0.1)
    assert ranks_of(out) == []
