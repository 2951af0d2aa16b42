"""Jobs: points that one process trains, alone, as branches of a trunk, or as a stack."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from scaling.errors import ScalingError
from scaling.runs.records import read_record
from scaling.training.desk import Desk, Point, Record, make_trainer, to_the_end
from scaling.training.loop import (
    NeedsSmaller,
    Stopped,
    TooBig,
    advance,
    begin_with_what_fits,
    is_memory_error,
    marks,
    outcome,
    outcomes,
)
from scaling.training.setup import Setup
from scaling.training.stack import Stack
from scaling.training.trainer import Trainer
from scaling.training.trials import stack_pays
from scaling.training.trunk import Trunk


class _Split(Exception):
    """A stack does not fit in memory or does not pay; its parts may."""


def run_job(points: Sequence[Point], kind: str, desk: Desk) -> None:
    """Train the points of a job that have no record yet.

    An exception of the training itself becomes a record with status ``failed``; an error of the
    file system or of the data does not, since the point is not to blame.

    Parameters
    ----------
    points : sequence of mapping
        Of one trunk under ``trunk``, of one `stackable` key under ``stack``.
    kind : {"alone", "trunk", "stack"}
    desk : Desk

    Raises
    ------
    ScalingError
        If the data differ from the plan or files cannot be written.
    Stopped
        If `desk` asked for it.
    """
    left = [p for p in points if read_record(desk.out, p["id"]) is None]
    ranks = desk.setup.ranks(left[0]) if left else 1
    if ranks > 1 and desk.ranks == 1:
        from scaling.training.ranks import launch

        desk.tell("start", left[0]["id"])
        _guarded(left, desk, partial(launch, points, kind, ranks, desk))
    elif kind == "stack" and left:
        _stack(left, desk)
    elif kind == "trunk" and left:
        _trunk(points, desk)
    else:
        for point in left:
            desk.tell("start", point["id"])
            _guarded([point], desk, partial(_alone, point, desk))


def _guarded(points: Sequence[Point], desk: Desk, work: Callable[[], None]) -> None:
    """Do the work; of what it cannot survive, its points keep a record.

    Of several processes none can tell whether it is at fault or another one that it waits for, so
    they leave that to whoever started them.
    """
    if desk.ranks > 1:
        work()
        return
    try:
        work()
    except (ScalingError, Stopped, NeedsSmaller, _Split, OSError):
        raise
    except TooBig as error:
        status, cause = "too-big", str(error) or "out of memory with one sequence a pass"
    except RuntimeError as error:
        status = "too-big" if is_memory_error(error) else "failed"
        cause = traceback.format_exc(limit=-3)
    except Exception:  # noqa: BLE001 - whatever stops a run, its point is kept as failed
        status, cause = "failed", traceback.format_exc(limit=-3)
    else:
        return
    for point in points:
        if read_record(desk.out, point["id"]) is None:
            desk.fail(point, status, cause)


def _alone(point: Point, desk: Desk) -> None:
    trainer = make_trainer(point, desk)
    own = desk.checkpoints(point)
    state = trainer.found(own)
    if state is not None:
        trainer.restore([state])
    desk.settle(trainer)
    to_the_end(trainer, own, desk)


# ----------------------------------------------------------------------------------------- trunk


def _trunk(points: Sequence[Point], desk: Desk) -> None:
    """Train what branches share once, and each branch from where it leaves."""
    trunk = Trunk(points, desk)
    desk.tell("start", trunk.pending[0]["id"])
    _guarded(trunk.pending, desk, trunk.run)
    if not desk.setup.keep and not desk.rank:
        trunk.kept.remove()


# ----------------------------------------------------------------------------------------- stack


def _stack(points: Sequence[Point], desk: Desk) -> None:
    """Train points of one shape as one model; halves of them, if all do not fit.

    One point left of several is a stack, too: it goes on in the same bits.
    """
    for point in points:
        desk.tell("start", point["id"])
    try:
        _guarded(points, desk, partial(_stacked, points, desk))
        return
    except _Split:
        pass  # and so the memory of the stack is free again
    if len(points) == 1:
        run_job(points, "alone", desk)
        return
    half = (len(points) + 1) // 2
    for part in (points[:half], points[half:]):
        run_job(part, "stack", desk)


def _stacked(points: Sequence[Point], desk: Desk) -> None:
    auto = desk.setup.stack == "auto"
    if auto and len(points) == 1:
        raise _Split
    try:
        trainer = Stack(points, desk.device, desk.setup)
        begin_with_what_fits(trainer)
        desk.settle(trainer)
        if not auto or _pays(trainer, desk):
            _run_stack(trainer, desk)
            return
        trainer.__dict__.clear()  # its memory is needed
    except TooBig:
        raise _Split from None
    except RuntimeError as error:  # weights and moments of all, or their evaluation
        if not is_memory_error(error):
            raise
        raise _Split from None
    for point in points:
        _guarded([point], desk, partial(_alone, point, desk))


def _pays(stack: Stack, desk: Desk) -> bool:
    alone = make_trainer(stack.point, desk)
    desk.settle(alone)
    pays = stack_pays(alone, stack, desk.out)
    desk.settle(stack)  # code for one model may have taken the place of its own
    return pays


def _run_stack(trainer: Stack, desk: Desk) -> None:
    every = [desk.checkpoints(point) for point in trainer.points]
    common = set.intersection(*(set(own.steps()) for own in every))
    if common:  # a kill may have come between the checkpoints of one step
        trainer.restore([own.load(max(common), desk.device) for own in every])

    def save(_trainer: Trainer) -> None:
        trainer.save(every)

    def ended(model: int, cause: str) -> None:
        desk.commit(trainer, model, outcome(trainer, model, cause))

    steps = int(trainer.point["steps"])
    noted = marks(trainer.point)
    if not advance(trainer, steps, save, desk.control(), noted=noted, ended=ended):
        return
    for model, found in enumerate(outcomes(trainer)):
        if not trainer.ended[model]:
            desk.commit(trainer, model, found)


def run_point(
    out: Path,
    point: Point,
    device: torch.device,
    *,
    setup: Setup | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Record:
    """Train one point unless it has a record; return its record.

    Raises
    ------
    ScalingError, Stopped
        As in `run_job`.
    """
    run_job([point], "alone", Desk(out, device, setup or Setup(), stop=stop))
    record = read_record(out, point["id"])
    assert record is not None
    return record
