"""Checkpoints: a run that was cut off ends in the same bits; a damaged checkpoint is not used."""

import itertools

import pytest

torch = pytest.importorskip("torch")

from scaling.errors import Fault, OutputError  # noqa: E402
from scaling.runs.records import PointFiles, load_plan, read_record  # noqa: E402
from scaling.training import checkpoint  # noqa: E402
from scaling.training.checkpoint import Checkpoints  # noqa: E402
from scaling.training.job import run_point  # noqa: E402
from scaling.training.loop import Stopped  # noqa: E402
from scaling.training.setup import Setup  # noqa: E402
from scaling.training.trainer import Trainer  # noqa: E402
from scaling.training.watch import CHECK_EVERY  # noqa: E402
from tests.training.conftest import timeless  # noqa: E402

OFTEN = Setup(checkpoint_seconds=0.0)


@pytest.fixture(scope="module")
def undisturbed(plan_into, tmp_path_factory):
    """Return what the point of `one_point` leaves when nothing happens to it."""
    design = {"kind": "grid", "params": [9e2], "data": [1.6e4]}
    out = plan_into(tmp_path_factory.mktemp("undisturbed"), design=design)
    (point,) = load_plan(out)
    return result(out, run_point(out, point, torch.device("cpu")))


def result(out, record):
    """Return everything that a point left, its seconds aside."""
    files = PointFiles.of(out, record["id"])
    assert read_record(out, record["id"]) == record
    left = sorted(path.name for path in files.folder.iterdir())
    assert left == ["curve.csv", "record.json"]
    return timeless(record), files.curve.read_bytes()


def stop_at_look(number):
    looks = itertools.count(1)
    return lambda: next(looks) == number


def cut(out, point, cpu, look, **options):
    """Train until the given look at the loss, as a worker that is asked to leave does."""
    with pytest.raises(Stopped):
        run_point(out, point, cpu, stop=stop_at_look(look), **options)
    assert read_record(out, point["id"]) is None
    return PointFiles.of(out, point["id"])


@pytest.mark.parametrize("look", [1, 3, 6])
def test_a_run_that_was_stopped_ends_in_the_same_bits(
    one_point, cpu, undisturbed, steps_taken, look
):
    out, point = one_point()
    files = cut(out, point, cpu, look)
    assert [p.name for p in files.checkpoints()] == [f"checkpoint-{look * CHECK_EVERY:010d}.pt"]
    del steps_taken[:]
    record = run_point(out, point, cpu)
    assert steps_taken == list(range(look * CHECK_EVERY, point["steps"]))
    assert result(out, record) == undisturbed


def test_a_run_stopped_at_every_look_ends_in_the_same_bits(one_point, cpu, undisturbed):
    out, point = one_point()
    stops = 0
    while read_record(out, point["id"]) is None:
        try:
            run_point(out, point, cpu, stop=lambda: True)
        except Stopped:
            stops += 1
    assert stops == (point["steps"] - 1) // CHECK_EVERY
    assert result(out, read_record(out, point["id"])) == undisturbed


def test_the_latest_two_checkpoints_are_kept(one_point, cpu, undisturbed):
    out, point = one_point()
    files = cut(out, point, cpu, 6, setup=OFTEN)
    names = [path.name for path in files.checkpoints()]
    assert names == ["checkpoint-0000000120.pt", "checkpoint-0000000100.pt"]
    hashes = sorted(path.stem for path in files.folder.glob("*.sha256"))
    assert hashes == ["checkpoint-0000000100", "checkpoint-0000000120"]
    assert result(out, run_point(out, point, cpu, setup=OFTEN)) == undisturbed


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def empty(path):
    path.write_bytes(b"")


def lose_hash(path):
    path.with_suffix(".sha256").unlink()


def cut_hash(path):
    text = path.with_suffix(".sha256").read_text()
    path.with_suffix(".sha256").write_text(text[:20])


DAMAGES = [truncate, flip, empty, lose_hash, cut_hash]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_gives_way_to_the_older_one(
    one_point, cpu, undisturbed, steps_taken, damage
):
    out, point = one_point()
    files = cut(out, point, cpu, 5, setup=OFTEN)
    damage(files.checkpoints()[0])
    del steps_taken[:]
    record = run_point(out, point, cpu)
    assert steps_taken == list(range(80, point["steps"]))
    assert result(out, record) == undisturbed


def test_without_a_whole_checkpoint_the_run_starts_again(one_point, cpu, undisturbed, steps_taken):
    out, point = one_point()
    files = cut(out, point, cpu, 5, setup=OFTEN)
    for path, damage in zip(files.checkpoints(), (truncate, lose_hash), strict=True):
        damage(path)
    assert Checkpoints(files.folder).latest(cpu) is None
    del steps_taken[:]
    record = run_point(out, point, cpu)
    assert steps_taken == list(range(point["steps"]))
    assert result(out, record) == undisturbed


def test_damaged_checkpoints_of_later_steps_do_not_push_out_whole_ones(
    one_point, cpu, undisturbed, steps_taken
):
    """Each kill during a write leaves one; a run that starts again passes below their steps."""
    out, point = one_point()
    folder = PointFiles.of(out, point["id"]).folder
    folder.mkdir(parents=True)
    for step in (100, 120):
        (folder / f"checkpoint-{step:010d}.pt").write_bytes(b"cut off before its hash")
    files = cut(out, point, cpu, 3, setup=OFTEN)
    state = Checkpoints(files.folder).latest(cpu)
    assert state is not None
    assert state["step"] == 60
    del steps_taken[:]
    record = run_point(out, point, cpu)
    assert steps_taken == list(range(60, point["steps"]))
    assert result(out, record) == undisturbed


def test_a_checkpoint_that_cannot_be_written_is_no_result(one_point, cpu, undisturbed, monkeypatch):
    out, point = one_point()
    cut(out, point, cpu, 2)

    def full(path, write):
        raise OutputError(Fault("SC003", str(path), "cannot be written: No space left on device"))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_atomic_by", full)
        with pytest.raises(OutputError, match="No space left"):
            run_point(out, point, cpu, setup=OFTEN)
    assert read_record(out, point["id"]) is None
    assert result(out, run_point(out, point, cpu)) == undisturbed


def test_a_torn_write_leaves_the_point_as_it_was(one_point, cpu, undisturbed, monkeypatch):
    """The process ends between the checkpoint and its hash."""
    out, point = one_point()
    real = checkpoint.write_atomic

    def torn(path, data):
        if path.suffix == ".sha256" and "60" in path.name:
            raise KeyboardInterrupt
        real(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_atomic", torn)
        with pytest.raises(KeyboardInterrupt):
            run_point(out, point, cpu, setup=OFTEN)
    files = PointFiles.of(out, point["id"])
    assert Checkpoints(files.folder).latest(cpu)["step"] == 40
    assert result(out, run_point(out, point, cpu)) == undisturbed


def test_the_state_is_everything_that_a_step_depends_on(one_point, cpu):
    out, point = one_point()
    first = Trainer(point, cpu)
    for _ in range(30):
        first.train_step()
    files = PointFiles.of(out, point["id"])
    kept = Checkpoints(files.folder)
    kept.save(first.step, first.states()[0])
    second = Trainer(point, cpu)
    second.restore([kept.latest(cpu)])
    for _ in range(30):
        assert [float(x) for x in first.train_step()] == [float(x) for x in second.train_step()]
    for one, other in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_record_comes_last(one_point, cpu, monkeypatch):
    """A process that ends before the record leaves a pending point; after it, a whole one."""
    from scaling.training import record as module

    out, point = one_point(tokens=4e3)
    files, real = PointFiles.of(out, point["id"]), module.commit_record

    def commit(folder, record):
        assert files.curve.exists()
        return real(folder, record)

    monkeypatch.setattr(module, "commit_record", commit)
    assert run_point(out, point, cpu)["status"] == "done"


def test_a_finished_point_is_not_trained_again(one_point, cpu, steps_taken):
    out, point = one_point(tokens=4e3)
    record = run_point(out, point, cpu)
    data = PointFiles.of(out, point["id"]).record.read_bytes()
    del steps_taken[:]
    assert run_point(out, point, cpu) == record
    assert steps_taken == []
    assert PointFiles.of(out, point["id"]).record.read_bytes() == data
