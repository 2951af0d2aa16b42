"""The training loop: steps, looks, checkpoints. One road for one model and for many."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from scaling.runs.files import canonical_json, uncollected
from scaling.training.schedule import learning_rate
from scaling.training.trainer import Effort, Trainer
from scaling.training.watch import CHECK_EVERY, finite

CURVE_POINTS = 50
PATIENCE = 1.0  # seconds without asking whether to stop
# As torch says it on a CPU, and as CUDA and cuBLAS do.
NO_MEMORY = ("not enough memory", "out of memory", "alloc_failed")

_fitting: dict[str, int] = {}  # sequences of a pass that fitted in memory, by shape


class Stopped(Exception):
    """The loop was asked to stop; its state is in a checkpoint."""


class TooBig(Exception):
    """One sequence a pass does not fit in memory."""


class NeedsSmaller(Exception):
    """Several processes must start again with fewer sequences a pass.

    Attributes
    ----------
    micro : int
        How many; 0 if one does not fit.
    """

    def __init__(self, micro: int) -> None:
        super().__init__(f"{micro} sequences a pass")
        self.micro = micro


@dataclass
class Outcome:
    """What the loop found; ``loss`` is None unless ``status`` is done."""

    status: str
    steps_done: int
    loss: float | None = None
    loss_se: float | None = None
    train_loss: float | None = None
    max_grad_norm: float | None = None
    spikes: int = 0
    first_bad_step: int | None = None
    cause: str | None = None
    curve: list[list[Any]] = field(default_factory=list)
    effort: Effort = field(default_factory=Effort)
    metrics: dict[str, Any] = field(default_factory=dict)
    loss_unit: str = ""


@dataclass
class Control:
    """What the loop is told from outside.

    Attributes
    ----------
    checkpoint_seconds : float
        Time between checkpoints [s].
    stop : callable
        Asked at every look; if true, the loop checkpoints and raises `Stopped`.
    progress : callable
        Called with the trainer and the steps a second since the last look.
    """

    checkpoint_seconds: float = 60.0
    stop: Callable[[], bool] = lambda: False
    progress: Callable[[Trainer, float], None] = lambda *_: None


Save = Callable[[Trainer], None]


def marks(point: Mapping[str, Any]) -> set[int]:
    """Steps at which the learning curve of a point has a row."""
    steps = int(point["steps"])
    return {max(1, round(steps * (i + 1) / CURVE_POINTS)) for i in range(CURVE_POINTS)}


def advance(
    trainer: Trainer,
    until: int,
    save: Save,
    control: Control,
    *,
    noted: Collection[int],
    ended: Callable[[int, str], None],
) -> bool:
    """Train up to a step.

    Parameters
    ----------
    trainer : Trainer
    until : int
        Steps to have done in the end.
    save : callable
        Keeps the trainer's state.
    control : Control
    noted : collection of int
        Steps to note for learning curves.
    ended : callable
        Told of each model that diverges, with the cause.

    Returns
    -------
    bool
        Whether a model is left that has not diverged.

    Raises
    ------
    Stopped
        If `control` asked for it.
    TooBig
        If one sequence a pass does not fit in memory.
    """
    last = int(trainer.point["steps"])
    began = looked = saved = time.monotonic()
    before, slow = trainer.step, False
    already = trainer.effort.active
    with uncollected():
        while trainer.step < until and not all(trainer.ended):
            _step(trainer)
            done = trainer.step
            if done in noted:
                trainer.note()
            now = time.monotonic()
            if done % CHECK_EVERY and done < last:
                # Where a step takes long, a wish to stop need not wait for the next look. Several
                # processes have clocks of their own and know only what they have agreed on.
                if not (slow or (trainer.ranks == 1 and now - looked > PATIENCE)):
                    continue
            else:
                trainer.watch.look()
                trainer.effort.active = already + now - began
                for model, cause in trainer.troubles():
                    trainer.ended[model] = True
                    ended(model, cause)
            if done >= until or all(trainer.ended):
                continue
            rate = (done - before) / max(now - looked, 1e-9)
            control.progress(trainer, rate)
            before, looked = done, now
            asked, due, slow = trainer.agree(
                control.stop(), now - saved >= control.checkpoint_seconds, rate * PATIENCE < 1.0
            )
            if asked or due:
                save(trainer)
                saved = time.monotonic()
            if asked:
                raise Stopped
    trainer.effort.active = already + time.monotonic() - began
    return not all(trainer.ended)


def _step(trainer: Trainer) -> None:
    """Take a step, with fewer sequences a pass if they do not fit in memory."""
    while True:
        try:
            trainer.train_step()
            return
        except RuntimeError as error:  # torch.OutOfMemoryError is one
            if not is_memory_error(error):
                raise
            if trainer.updating:  # weights may have moved; smaller passes would not help
                if trainer.ranks > 1:
                    raise NeedsSmaller(0) from error
                raise TooBig("out of memory in the update of the weights") from error
        shrink(trainer)


def is_memory_error(error: RuntimeError) -> bool:
    """Whether an error says that memory has run out."""
    said = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(text in said for text in NO_MEMORY)


def is_device_error(error: RuntimeError) -> bool:
    """Whether an error has spoilt the device for this process, so that all that follows fails."""
    if is_memory_error(error):
        return False
    return type(error).__name__ == "AcceleratorError" or "CUDA error" in str(error)


def shrink(trainer: Trainer) -> None:
    """Go to the next smaller divisor of the sequences a pass; the batch stays what it is."""
    smaller = (d for d in range(trainer.micro - 1, 0, -1) if trainer.micro % d == 0)
    micro = next(smaller, 0) if trainer.task.divisible else 0
    if trainer.ranks > 1:
        raise NeedsSmaller(micro)
    if not micro:
        raise TooBig
    take(trainer, micro)
    if trainer.device.type == "cuda":
        torch.cuda.empty_cache()


def take(trainer: Trainer, micro: int) -> None:
    """Train with so many sequences a pass from now on, and start so at the next such point."""
    trainer.micro = micro
    _fitting[_key(trainer)] = micro


def begin_with_what_fits(trainer: Trainer) -> None:
    """Start with the sequences a pass that a point of the same shape ended with."""
    trainer.micro = _fitting.get(_key(trainer), trainer.micro)


def _key(trainer: Trainer) -> str:
    point = trainer.point
    return canonical_json([point["shape"], point["sequences"], len(trainer.points), trainer.ranks])


def outcomes(trainer: Trainer) -> list[Outcome]:
    """Evaluate all models at the end of their runs."""
    began = time.monotonic()
    found = trainer.evaluate()
    trainer.effort.evaluation += time.monotonic() - began
    return [
        outcome(trainer, model, loss=loss, error=error) for model, (loss, error) in enumerate(found)
    ]


def outcome(
    trainer: Trainer,
    model: int,
    cause: str | None = None,
    status: str = "diverged",
    *,
    loss: float | None = None,
    error: float | None = None,
) -> Outcome:
    """What is known of one model: its loss if it has one, else why it ended."""
    if loss is not None and finite(loss) is None:
        loss, cause = None, "validation loss is not finite"
    watch = trainer.watch
    done = loss is not None
    return Outcome(
        "done" if done else status,
        trainer.step,
        loss,
        error if done else None,
        finite(float(watch.running[model])) if done else None,
        finite(float(watch.largest[model])) if done else None,
        int(watch.spikes[model]),
        int(watch.first_bad[model]) or None,
        cause,
        _curve(trainer, model, loss),
        replace(trainer.effort),
        trainer.measured[model] if done and trainer.measured else {},
        trainer.task.loss_unit,
    )


def _curve(trainer: Trainer, model: int, loss: float | None) -> list[list[Any]]:
    """Rows of ``curve.csv`` of one model: those steps that its own length asks for."""
    point, noted = trainer.points[model], trainer.curves[model]
    steps, batch = int(point["steps"]), int(point["batch"])
    per_token = point["C"] / point["D"]
    rows = []
    for step in sorted(marks(point) & set(noted)):
        rate = learning_rate(step - 1, steps, point["optimizer"])
        tokens, (train, norm) = step * batch, noted[step]
        value = loss if step == steps else None
        rows.append([step, tokens, per_token * tokens, train, value, rate, norm])
    return rows
