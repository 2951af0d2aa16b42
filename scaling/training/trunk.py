"""Several lengths from one run: what they share is trained once, and each branches off it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from scaling.runs.records import read_record, trunk_folder
from scaling.training.checkpoint import Checkpoints
from scaling.training.desk import Desk, Point, make_trainer, to_the_end
from scaling.training.loop import advance, marks, outcome
from scaling.training.schedule import averages, decay_start
from scaling.training.trainer import Trainer


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
        self.trainer = make_trainer(self.pending[0], desk)
        desk.settle(self.trainer)
        state: dict[str, Any] | None = None  # of the trunk, in memory
        for i, point in enumerate(self.pending):
            if i:
                desk.tell("start", point["id"])
            own, start = desk.checkpoints(point), decay_start(point)
            cut = self.trainer.found(own)
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
                if start:
                    kept = {**state, "paid": self.trainer.paid}
                    self.trainer.write(self.kept, start, kept)
            del cut
            desk.trainer = self.trainer
            ends: list[dict[str, Any]] = []
            desk.guarded([point], partial(self._branch, own, ends))
            if ends and averages(point):  # its rate never fell: where it ends, the trunk goes on
                following = self.pending[i + 1 :]
                if following and decay_start(following[0]) >= self.trainer.step:
                    state = ends[0]

    def _branch(self, own: Checkpoints, ends: list[dict[str, Any]]) -> None:
        """Train a branch to its end, where the trunk goes on if the rate has not fallen."""
        noted = self.noted if averages(self.trainer.point) else None
        to_the_end(self.trainer, own, self.desk, lambda: ends.append(self._end()), noted=noted)

    def _found(self, start: int, left: Sequence[Point]) -> dict[str, Any] | None:
        """The newest checkpoint of the trunk before a branch; an earlier branch has paid for it."""
        state = self.trainer.found(self.kept, at_most=start)
        if state is None:
            return None
        step = state["step"]
        ends = (p for p in self.every if read_record(self.desk.out, p["id"]) and p not in left)
        paid = max((self._left(p, step) for p in ends), default=0)
        if step < start and step in self.left_at:
            paid = step
        state["paid"] = max(state["paid"], min(step, paid))
        return state

    def _left(self, branch: Point, step: int) -> int:
        """Step at which a branch has left a trunk that is at `step`."""
        end = int(branch["steps"])
        return end if averages(branch) and end <= step else decay_start(branch)

    def _restore(self, point: Point, state: Mapping[str, Any] | None) -> None:
        if state is None and self.trainer.step:  # it has gone on as another branch
            self.trainer = make_trainer(point, self.desk)
            self.desk.settle(self.trainer)
        self.trainer.turn_to(point)
        if state is not None:
            self.trainer.restore([state])

    def _leave(self) -> dict[str, Any]:
        """State of the trunk for those who go on from here, when this branch has paid for it."""
        (state,) = self.trainer.snapshot()
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
