"""Jobs: points that one process trains, alone, as branches of a trunk, or as a stack."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from scaling.errors import ScalingError
from scaling.runs.records import PointFiles, read_record, trunk_folder, write_progress
from scaling.training.checkpoint import Checkpoints
from scaling.training.loop import (
    Control,
    NeedsSmaller,
    Outcome,
    Stopped,
    TooBig,
    advance,
    begin_with_what_fits,
    is_memory_error,
    marks,
    outcome,
    outcomes,
)
from scaling.training.record import keep
from scaling.training.schedule import averages, decay_start
from scaling.training.setup import Setup
from scaling.training.stack import Stack
from scaling.training.trainer import Trainer, copied
from scaling.training.trials import settle, stack_pays

PROGRESS_SECONDS = 0.5
Point = Mapping[str, Any]
Record = dict[str, Any]


@dataclass
class Desk:
    """Where a job works, and whom it tells.

    Attributes
    ----------
    out : Path
        Sweep folder.
    device : torch.device
    setup : Setup
    plan : sequence of mapping
        All points of the sweep, for what pays only over many.
    stop : callable
        Asked now and then; if true, the job checkpoints and raises `Stopped`.
    tell : callable
        Called with (event, point id, fields).
    ranks, rank : int
        Processes that train each point together, and which of them this is.
    micro : int, optional
        Sequences a pass to start with.
    """

    out: Path
    device: torch.device
    setup: Setup = field(default_factory=Setup)
    plan: Sequence[Point] = ()
    stop: Callable[[], bool] = lambda: False
    tell: Callable[..., None] = lambda *_, **__: None
    ranks: int = 1
    rank: int = 0
    micro: int | None = None

    def settle(self, trainer: Trainer) -> None:
        """Choose how passes of this shape are run."""

        def horizon() -> int:
            """Steps that are planned at this shape."""
            names = ("shape", "sequences")
            alike = [p for p in self.plan if all(p[n] == trainer.point[n] for n in names)]
            steps = sum(int(p["steps"]) for p in alike) // len(trainer.points)
            return max(steps, int(trainer.point["steps"]))

        settle(trainer, self.out, horizon)

    def control(self) -> Control:
        """What the loop is told."""
        last = 0.0

        def progress(trainer: Trainer, rate: float) -> None:
            nonlocal last
            now = time.time()
            if now - last < PROGRESS_SECONDS or self.rank:
                return
            last = now
            for point, loss, over in zip(
                trainer.points, trainer.watch.running, trainer.ended, strict=True
            ):
                if not over:
                    state = {"step": trainer.step, "loss": float(loss), "rate": rate}
                    write_progress(self.out, point, **state)
                    self.tell("progress", point["id"], **state)

        return Control(self.setup.checkpoint_seconds, self.stop, progress)

    def checkpoints(self, point: Point) -> Checkpoints:
        """Checkpoints of a point."""
        return Checkpoints(PointFiles.of(self.out, point["id"]).folder)

    def commit(self, trainer: Trainer, model: int, found: Outcome) -> None:
        """Keep what became of a point, and say so; of several processes the first does."""
        point = trainer.points[model]
        if self.rank:
            return
        record = keep(
            self.out,
            point,
            found,
            self.device,
            self.setup,
            micro=trainer.micro,
            compiled=trainer.compiled,
            stacked=len(trainer.points),
            ranks=trainer.ranks,
            trunk_steps=trainer.paid,
        )
        self._done(record)

    def fail(self, point: Point, status: str, cause: str) -> None:
        """Keep a point that ended without an outcome of the loop."""
        if self.rank:
            return
        record = keep(self.out, point, Outcome(status, 0, cause=cause), self.device, self.setup)
        self._done(record)

    def _done(self, record: Record) -> None:
        names = ("status", "loss", "seconds", "cause")
        self.tell("done", record["id"], **{name: record[name] for name in names})


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
    _to_the_end(trainer, own, desk)


def make_trainer(point: Point, desk: Desk) -> Trainer:
    """Build the trainer of a point on the device of this process."""
    if desk.ranks > 1:
        from scaling.training.distributed import trainer_of

        found = trainer_of(point, desk.device, desk.setup)
        found.micro = desk.micro or found.micro
        return found
    trainer = Trainer(point, desk.device, desk.setup)
    begin_with_what_fits(trainer)
    return trainer


def _to_the_end(
    trainer: Trainer, own: Checkpoints, desk: Desk, at_end: Callable[[], None] = lambda: None
) -> None:
    """Train a single point to its last step, or until it diverges, and keep its record."""
    point = trainer.point

    def save(_trainer: Trainer) -> None:
        trainer.save([own])

    def ended(model: int, cause: str) -> None:
        desk.commit(trainer, model, outcome(trainer, model, cause))

    steps = int(point["steps"])
    if advance(trainer, steps, save, desk.control(), noted=marks(point), ended=ended):
        at_end()
        if desk.setup.keep:
            trainer.save([own])
        desk.commit(trainer, 0, outcomes(trainer)[0])


# ----------------------------------------------------------------------------------------- trunk


def _trunk(points: Sequence[Point], desk: Desk) -> None:
    """Train what branches share once, and each branch from where it leaves."""
    trunk = Trunk(points, desk)
    desk.tell("start", trunk.pending[0]["id"])
    _guarded(trunk.pending, desk, trunk.run)
    if not desk.setup.keep and not desk.rank:
        trunk.kept.remove()


class Trunk:
    """The common part of several points, at a constant rate, and its checkpoints.

    Parameters
    ----------
    branches : sequence of mapping
        Points of one trunk that are to be trained, if they have no record; others of the plan may
        have left it before, or will.
    desk : Desk
    """

    def __init__(self, branches: Sequence[Point], desk: Desk) -> None:
        self.desk = desk
        of_plan = [p for p in desk.plan if p["trunk"] == branches[0]["trunk"]]
        every = sorted(of_plan or branches, key=decay_start)
        chosen = {p["id"] for p in branches if read_record(desk.out, p["id"]) is None}
        self.pending = [p for p in every if p["id"] in chosen]
        self.left_at = {decay_start(p) for p in every}
        self.left_at |= {int(p["steps"]) for p in every if averages(p)}
        self.every = every
        self.kept = Checkpoints(trunk_folder(desk.out, every[0]["trunk"]), self.left_at)
        self.noted = set().union(*(marks(p) for p in every))

    def run(self) -> None:
        """Train every branch; if the trunk diverges, so do all that have not left it."""
        desk = self.desk
        self.trainer = trainer = make_trainer(self.pending[0], desk)
        desk.settle(trainer)
        state: dict[str, Any] | None = None  # of the trunk, in memory
        for i, point in enumerate(self.pending):
            if i:
                desk.tell("start", point["id"])
            own, start = desk.checkpoints(point), decay_start(point)
            cut = trainer.found(own)
            if cut is not None and cut["step"] >= start:
                self._restore(point, cut)
                state = None
            else:
                if state is None or state["step"] > start:
                    state = self._found(start, self.pending[i:])
                self._restore(point, state)
                if not self._advance(start, self.pending[i:]):
                    return
                state = self._leave()
                trainer.write(self.kept, start, {**state, "paid": trainer.paid})
            ends: list[dict[str, Any]] = []
            _to_the_end(trainer, own, desk, lambda: ends.append(self._end()))  # noqa: B023
            if ends and averages(point):  # its rate never fell: where it ends, the trunk goes on
                following = self.pending[i + 1 :]
                if following and decay_start(following[0]) >= trainer.step:
                    state = ends[0]

    def _found(self, start: int, left: Sequence[Point]) -> dict[str, Any] | None:
        """The newest checkpoint of the trunk before a branch; an earlier branch has paid for it."""
        state = self.trainer.found(self.kept, at_most=start)
        if state is None:
            return None
        step = state["step"]
        ends = (p for p in self.every if read_record(self.desk.out, p["id"]) and p not in left)
        paid = max((int(p["steps"]) if averages(p) else decay_start(p) for p in ends), default=0)
        if step < start and step in self.left_at:
            paid = step
        state["paid"] = max(state["paid"], min(step, paid))
        return state

    def _restore(self, point: Point, state: Mapping[str, Any] | None) -> None:
        self.trainer.turn_to(point)
        if state is not None:
            self.trainer.restore([state])

    def _leave(self) -> dict[str, Any]:
        """State of the trunk for those who go on from here, when this branch has paid for it."""
        state: dict[str, Any] = copied(self.trainer.states()[0])
        return {**state, "paid": self.trainer.step, "seconds": [0.0, 0.0]}

    def _end(self) -> dict[str, Any]:
        """Keep the trunk where a branch of constant rate ends."""
        if not averages(self.trainer.point):
            return {}
        state = {**self._leave(), "averaged": [], "averaged_steps": 0}
        self.trainer.write(self.kept, self.trainer.step, state)
        return state

    def _advance(self, start: int, left: Sequence[Point]) -> bool:
        """Train the trunk up to a branch; if it diverges, keep that for all that are left."""
        trainer = self.trainer

        def save(trainer: Trainer) -> None:
            trainer.save([self.kept])

        def ended(model: int, cause: str) -> None:
            for point in left:
                trainer.points = (point,)
                self.desk.commit(trainer, model, outcome(trainer, model, cause))
                trainer.paid = trainer.step

        control = self.desk.control()
        return advance(trainer, start, save, control, noted=self.noted, ended=ended)


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
