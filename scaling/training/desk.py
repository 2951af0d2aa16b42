"""Where a job works and whom it tells, and what every job does with a single point."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from scaling.errors import ScalingError
from scaling.runs.records import PointFiles, read_record, write_progress
from scaling.training.checkpoint import Checkpoints
from scaling.training.engines.base import done_event, of_the_place
from scaling.training.loop import (
    Control,
    NeedsSmaller,
    Outcome,
    Stopped,
    TooBig,
    advance,
    begin_with_what_fits,
    is_device_error,
    is_memory_error,
    marks,
    outcome,
    outcomes,
)
from scaling.training.record import keep
from scaling.training.setup import Setup
from scaling.training.tasks.start import WEIGHTS, save_weights
from scaling.training.trainer import Trainer
from scaling.training.trials import settle

PROGRESS_SECONDS = 0.5
Point = Mapping[str, Any]
Record = dict[str, Any]


class Split(Exception):
    """A stack does not fit in memory or does not pay; its parts may."""


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
    spare : dict
        Exceptions that a point may still raise before it is kept as failed, by id; none if absent.
    ranks, rank : int
        Processes that train each point together, and which of them this is.
    micro : int, optional
        Sequences a pass to start with.
    trainer : Trainer, optional
        The one at work, for what a failed point has taken.
    """

    out: Path
    device: torch.device
    setup: Setup = field(default_factory=Setup)
    plan: Sequence[Point] = ()
    stop: Callable[[], bool] = lambda: False
    tell: Callable[..., None] = lambda *_, **__: None
    spare: dict[str, int] = field(default_factory=dict)
    ranks: int = 1
    rank: int = 0
    micro: int | None = None
    trainer: Trainer | None = None

    def __post_init__(self) -> None:
        self.setup = replace(self.setup, folder=self.out)

    def settle(self, trainer: Trainer) -> None:
        """Choose how passes of this shape are run; from here on the trainer is at work."""
        self.trainer = trainer

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
        point, weights = trainer.points[model], {}
        if self.setup.keep and found.status == "done":
            weights = trainer.weights(model)  # of parts that several processes hold
        if self.rank:
            return
        if weights:
            save_weights(PointFiles.of(self.out, point["id"]).folder / WEIGHTS, weights)
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

    def guarded(self, points: Sequence[Point], work: Callable[[], None]) -> None:
        """Do the work; of what it cannot survive, its points keep a record.

        Of several processes none can tell whether it is at fault or another one that it waits for,
        so they leave that to whoever started them.
        """
        if self.ranks > 1:
            work()
            return
        try:
            work()
        except (ScalingError, Stopped, NeedsSmaller, Split):
            raise
        except TooBig as error:
            status, cause = "too-big", str(error) or "out of memory with one sequence a pass"
        except RuntimeError as error:
            if is_device_error(error):
                raise  # the device is of no use to this process: another one goes on
            status = "too-big" if is_memory_error(error) else "failed"
            cause = traceback.format_exc(limit=-3)
        except Exception as error:
            if of_the_place(error):
                raise
            status, cause = "failed", traceback.format_exc(limit=-3)
        else:
            return
        left = [p for p in points if read_record(self.out, p["id"]) is None]
        if status == "failed" and left and all(self.spare.get(p["id"], 0) > 0 for p in left):
            names = [p["id"] for p in left]
            self.spare.update({name: self.spare[name] - 1 for name in names})
            self.tell("exception", names[0], points=names, traceback=cause)
            return  # it is tried again
        for point in left:
            self.fail(point, status, cause)

    def fail(self, point: Point, status: str, cause: str) -> None:
        """Keep a point that ended without an outcome of the loop."""
        if self.rank:
            return
        trainer = self.trainer
        if trainer is None or point not in trainer.points:
            self.keep(point, Outcome(status, 0, cause=cause))
            return
        found = Outcome(status, trainer.step, cause=cause, effort=replace(trainer.effort))
        self._done(
            keep(
                self.out, point, found, self.device, self.setup, stacked=len(trainer.points),
                trunk_steps=min(trainer.paid, trainer.step),
            )
        )  # fmt: skip

    def keep(self, point: Point, found: Outcome) -> None:
        """Keep the outcome of a point that had no trainer, and say so."""
        self._done(keep(self.out, point, found, self.device, self.setup))

    def _done(self, record: Record) -> None:
        event = done_event(record)
        self.tell(event.pop("event"), event.pop("id"), **event)


def make_trainer(point: Point, desk: Desk) -> Trainer:
    """Build the trainer of a point on the device of this process."""
    if desk.ranks > 1:
        from scaling.training.distributed import trainer_of

        found = trainer_of(point, desk.device, desk.setup)
        wish = desk.micro or found.micro  # it may be that of another number of devices
        found.micro = next(d for d in range(min(wish, found.micro), 0, -1) if found.micro % d == 0)
        return found
    trainer = Trainer(point, desk.device, desk.setup)
    begin_with_what_fits(trainer)
    return trainer


def to_the_end(
    trainer: Trainer,
    own: Checkpoints,
    desk: Desk,
    at_end: Callable[[], None] = lambda: None,
    *,
    noted: Collection[int] | None = None,
) -> None:
    """Train a single point to its last step, or until it diverges, and keep its record."""
    point = trainer.point

    def save(_trainer: Trainer) -> None:
        trainer.save([own])

    def ended(model: int, cause: str) -> None:
        desk.commit(trainer, model, outcome(trainer, model, cause))

    steps, rows = int(point["steps"]), marks(point) if noted is None else noted
    if advance(trainer, steps, save, desk.control(), noted=rows, ended=ended):
        at_end()
        if desk.setup.keep:
            trainer.save([own])
        desk.commit(trainer, 0, outcomes(trainer)[0])
