"""Jobs: points that one process trains, alone, as branches of a trunk, or as a stack."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from scaling.runs.records import read_record
from scaling.training.desk import Desk, Point, Record, Split, make_trainer, to_the_end
from scaling.training.loop import (
    Outcome,
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
from scaling.training.tasks.registry import computed
from scaling.training.trainer import Effort, Trainer
from scaling.training.trials import stack_pays
from scaling.training.trunk import Trunk


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
    if left and computed(left[0], desk.out) is not None:
        for point in left:
            desk.tell("start", point["id"])
            desk.guarded([point], partial(_computed, point, desk))
    elif ranks > 1 and desk.ranks == 1:
        from scaling.training.ranks import launch

        desk.tell("start", left[0]["id"])
        desk.guarded(left, partial(launch, points, kind, ranks, desk))
    elif kind == "stack" and left:
        _stack(left, desk)
    elif kind == "trunk" and left:
        _trunk(points, desk)
    else:
        for point in left:
            desk.tell("start", point["id"])
            desk.guarded([point], partial(_alone, point, desk))


def _computed(point: Point, desk: Desk) -> None:
    task = computed(point, desk.out)
    assert task is not None
    began = time.monotonic()
    found = task.outcome()
    effort = Effort(active=time.monotonic() - began)
    loss, error = found["loss"], found.get("loss_se")
    outcome = Outcome("done", int(point["steps"]), loss, error, effort=effort)
    outcome.metrics, outcome.loss_unit = dict(found.get("metrics") or {}), task.loss_unit
    desk.keep(point, outcome)


def _alone(point: Point, desk: Desk) -> None:
    trainer = make_trainer(point, desk)
    own = desk.checkpoints(point)
    state = trainer.found(own)
    if state is not None:
        trainer.restore([state])
    del state
    desk.settle(trainer)
    to_the_end(trainer, own, desk)


# ----------------------------------------------------------------------------------------- trunk


def _trunk(points: Sequence[Point], desk: Desk) -> None:
    """Train what branches share once, and each branch from where it leaves."""
    trunk = Trunk(points, desk)
    desk.tell("start", trunk.pending[0]["id"])
    desk.guarded(trunk.pending, trunk.run)
    left = [p for p in trunk.every if read_record(desk.out, p["id"]) is None]
    if not desk.setup.keep and not desk.rank and not left:
        trunk.kept.remove()


# ----------------------------------------------------------------------------------------- stack


def _stack(points: Sequence[Point], desk: Desk) -> None:
    """Train points of one shape as one model; halves of them, if all do not fit.

    One point left of several is a stack, too: it goes on in the same bits.
    """
    for point in points:
        desk.tell("start", point["id"])
    try:
        desk.guarded(points, partial(_stacked, points, desk))
        return
    except Split:
        pass
    finally:
        desk.trainer = None  # and so the memory of the stack is free again
    if len(points) == 1:
        run_job(points, "alone", desk)
        return
    half = (len(points) + 1) // 2
    for part in (points[:half], points[half:]):
        run_job(part, "stack", desk)


def _stacked(points: Sequence[Point], desk: Desk) -> None:
    auto = desk.setup.stack == "auto"
    if auto and len(points) == 1:
        raise Split
    parts = _by_step(points, desk)
    if len(parts) > 1:
        for part in parts:
            run_job(part, "stack", desk)
        return
    try:
        trainer = Stack(points, desk.device, desk.setup)
        begin_with_what_fits(trainer)
        desk.settle(trainer)
        if not auto or _pays(trainer, desk):
            _run_stack(trainer, desk)
            return
        trainer.__dict__.clear()  # its memory is needed
    except TooBig:
        raise Split from None
    except RuntimeError as error:  # weights and moments of all, or their evaluation
        if not is_memory_error(error):
            raise
        raise Split from None
    for point in points:
        desk.guarded([point], partial(_alone, point, desk))


def _by_step(points: Sequence[Point], desk: Desk) -> list[list[Point]]:
    """Divide points whose checkpoints have no step in common, as other stacks left them."""
    every = {p["id"]: set(desk.checkpoints(p).steps()) for p in points}
    if set.intersection(*every.values()) or not any(every.values()):
        return [list(points)]
    parts: dict[int, list[Point]] = {}
    for point in points:
        parts.setdefault(max(every[point["id"]], default=0), []).append(point)
    return list(parts.values())


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
        trainer.restore([trainer.read(own, max(common)) for own in every])

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
