"""One model in training: its step, exact to the token, and its state, exact to the bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from scaling.training import optimizers
from scaling.training.checkpoint import MOMENTS, Checkpoints
from scaling.training.schedule import averages, decay_start, learning_rate
from scaling.training.setup import Setup, prepare
from scaling.training.tasks.base import Batch, Task, divided, seed_of, summary
from scaling.training.tasks.registry import task_of
from scaling.training.watch import Watch

Point = Mapping[str, Any]
RENEWED = 32  # batches that statistics of averaged weights are taken of


@dataclass
class Effort:
    """What a point took on this machine; nothing of it enters the result.

    Attributes
    ----------
    active, evaluation, compile : float
        Time in training steps, in evaluating and in compiling [s].
    """

    active: float = 0.0
    evaluation: float = 0.0
    compile: float = 0.0

    @property
    def seconds(self) -> float:
        """All of it [s]."""
        return self.active + self.evaluation + self.compile


class Trainer:
    """State of one point in training.

    Parameters
    ----------
    point : mapping
        A line of ``plan.jsonl``.
    device : torch.device
    setup : Setup
    """

    ranks, rank = 1, 0
    axis = 0  # along which the examples of a batch lie

    def __init__(self, point: Point, device: torch.device, setup: Setup | None = None) -> None:
        prepare(device)
        self.setup, self.device = (setup or Setup()).of_point(point), device
        self.dtype = self.setup.dtype(device)
        self.points: tuple[Point, ...] = (point,)
        self.step = 0
        self.updating = False  # a step that is interrupted then cannot be taken again
        self.micro = int(point["sequences"])
        self.watch = Watch(1)
        self.averaged: list[Tensor] = []  # means of the weights since the decay would have begun
        self.averaged_steps = 0
        self.task: Task = task_of(point, device, self.setup.folder)
        self.measured: list[dict[str, Any]] = []  # further figures of each model, once evaluated
        self._next: tuple[int, Batch] | None = None
        self.effort = Effort()
        self.paid = 0  # steps that another branch of the trunk has taken
        self.compiled: str | None = None
        self._build()
        self.ended = [False] * len(self.points)
        self.curves: list[dict[int, list[float]]] = [{} for _ in self.points]

    @property
    def point(self) -> Point:
        """The point, or the first of several."""
        return self.points[0]

    def _build(self) -> None:
        o = self.point["optimizer"]
        self.model: nn.Module = self.task.model().to(self.weight_dtype)
        self.called: nn.Module = self.model  # what a pass goes through: the model, or what wraps it
        parts = optimizers.parts_of(self.model, o)
        self.flats = [optimizers.flatten(part.parameters) for part in parts]
        self.optimizer: optimizers.Optimizer = optimizers.build(o, parts, self.flats)
        self.gradients = [flat.grad for flat in self.flats if flat.grad is not None]
        self.function: Callable[[nn.Module, Any], Tensor] = self.task.function
        self.passed: Callable[[Batch], Tensor] = self.eager

    @property
    def weight_dtype(self) -> torch.dtype:
        """Type of weights, gradients and moments: float32 unless all is float64."""
        return torch.float64 if self.dtype == torch.float64 else torch.float32

    # -------------------------------------------------------------------------------------- step

    def train_step(self) -> tuple[Tensor, Tensor]:
        """Take one optimiser step; return the batch loss and the gradient norm, on the device.

        Of a stack they are those of each model, shape (k,).
        """
        self.updating = False
        total, norm = self.gradient()
        self.updating = True
        self._clip(norm)
        self.optimizer.step([self.rate(point) for point in self.points])
        self.watch.add(total, norm)
        if averages(self.point) and self.step >= decay_start(self.point):
            self._average()
        self.step += 1
        self.updating = False
        return total, norm

    def rate(self, point: Point) -> float:
        """Learning rate of this step."""
        return learning_rate(self.step, int(point["steps"]), point["optimizer"])

    def gradient(self) -> tuple[Tensor, Tensor]:
        """Leave the gradient of this step's batch; return its loss and norm."""
        batch = self._batch()
        for gradient in self.gradients:
            gradient.zero_()
        if self.point["init"].get("dropout"):  # masks are a function of (seed, step) too
            seed = seed_of(self.point, "dropout") * 1_000_003 + self.step
            torch.manual_seed((seed * self.ranks + self.rank) % 2**63)
        parts = divided(batch, self.micro, self.axis)
        total = torch.zeros((), device=self.device)
        for number, part in enumerate(parts, start=1):
            with self.exchange(number == len(parts)):
                total = total + self._backward(part, len(parts))
        self._fetch(self.step + 1)
        return total, self._norm()

    def exchange(self, last: bool) -> AbstractContextManager[None]:
        """Let gradients be exchanged in the last pass of a step, where there are others."""
        del last
        return nullcontext()

    def _backward(self, part: Batch, parts: int) -> Tensor:
        """Add the gradient of one pass; return its share of the batch loss."""
        if self.compiled == "graphs":
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        with torch.autocast(self.device.type, torch.bfloat16, self.dtype == torch.bfloat16):
            loss = self.passed(part)
        if parts > 1:
            loss = loss / parts
        (loss.sum() if loss.dim() else loss).backward()  # type: ignore[no-untyped-call]
        found = loss.detach()
        return found.clone() if self.compiled == "graphs" else found  # the next pass overwrites it

    def eager(self, part: Batch) -> Tensor:
        """Loss of a pass, not compiled."""
        return self.task.loss(self.called, part)

    def _norm(self) -> Tensor:
        return optimizers.norm_of(self.gradients)

    def _clip(self, norm: Tensor) -> None:
        scale = (self.point["optimizer"]["clip"] / (norm + 1e-6)).clamp_(max=1.0)
        for gradient in self.gradients:
            gradient.mul_(scale)

    @torch.no_grad()
    def _average(self) -> None:
        """Take the weights into the mean of those since the decay would have begun."""
        self.averaged_steps += 1
        if not self.averaged:
            self.averaged = [flat.detach().clone() for flat in self.flats]
            return
        for mean, flat in zip(self.averaged, self.flats, strict=True):
            mean.lerp_(flat, 1.0 / self.averaged_steps)

    def _batch(self) -> Batch:
        ready, self._next = self._next, None
        return ready[1] if ready is not None and ready[0] == self.step else self.load(self.step)

    def _fetch(self, step: int) -> None:
        """Start copying the next batch while the device computes, if it comes from the host."""
        if not self.task.resident and step < int(self.point["steps"]):
            self._next = (step, self.load(step))

    def load(self, step: int) -> Batch:
        """Batch of a step, or this process's share of it."""
        return self.task.batch(step, self.rank, self.ranks)

    # --------------------------------------------------------------------------------- what is seen

    def note(self) -> None:
        """Keep loss and gradient norm of the last step for the learning curves."""
        self.watch.look()
        for curve, loss, norm in zip(self.curves, self.watch.loss, self.watch.norm, strict=True):
            curve[self.step] = [float(loss), float(norm)]

    def troubles(self) -> Iterator[tuple[int, str]]:
        """Models that have just diverged, with the cause."""
        for model, point in enumerate(self.points):
            warmup, ceiling = int(point["optimizer"]["warmup_steps"]), self.task.ceiling
            cause = self.watch.trouble(model, self.step, warmup, ceiling)
            if cause is not None and not self.ended[model]:
                yield model, cause

    def agree(self, *answers: bool) -> tuple[bool, ...]:
        """Let the first process decide for all."""
        return answers

    # -------------------------------------------------------------------------------- evaluation

    def evaluate(self) -> list[tuple[float, float]]:
        """Validation loss and standard error of each model, of averaged weights where asked."""
        self.model.eval()
        fast, torch.backends.cuda.matmul.allow_tf32 = torch.backends.cuda.matmul.allow_tf32, False
        with self._averages():
            seen = self.seen()
        found = [summary(one["loss"]) for one in seen]
        self.measured = [self.task.metrics(one) for one in seen]
        torch.backends.cuda.matmul.allow_tf32 = fast
        self.model.train()
        return found

    @contextmanager
    def _averages(self) -> Iterator[None]:
        """Give the model its averaged weights for a while, where there are any."""
        if not self.averaged:
            self.renewed()
            yield
            return
        kept = [flat.data.clone() for flat in self.flats]
        buffers = {name: value.clone() for name, value in self.buffers().items()}
        for mean, flat in zip(self.averaged, self.flats, strict=True):
            flat.data.copy_(mean)
        self.renewed()
        self._renew_statistics()
        try:
            yield
        finally:
            for old, flat in zip(kept, self.flats, strict=True):
                flat.data.copy_(old)
            for name, value in self.buffers().items():
                value.copy_(buffers[name])
            self.renewed()

    @torch.no_grad()
    def _renew_statistics(self) -> None:
        """Take the statistics of batch norm anew, of the last batches under these weights.

        Those that training has kept are of other weights (Izmailov et al. 2018, sec. 3.2).
        """
        norms = [m for m in self.model.modules() if isinstance(m, _BatchNorm)]
        moments = [norm.momentum for norm in norms]
        training = self.model.training
        self.model.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean over batches
            norm.train()
        for step in range(max(0, self.step - RENEWED), self.step) if norms else ():
            self.task.loss(self.model, self.load(step))
        for norm, momentum in zip(norms, moments, strict=True):
            norm.momentum = momentum
        self.model.train(training)

    def seen(self) -> list[dict[str, Tensor]]:
        """What the task sees of each validation example, for each model."""
        return [self.task.examined(self.model, torch.arange(self.task.checks))]

    def weights(self, model: int) -> dict[str, Tensor]:
        """Weights and buffers of a model by name, as it is evaluated, on the host."""
        del model
        with self._averages():
            state = self.model.state_dict()
            return {k: v.detach().to("cpu", copy=True) for k, v in state.items()}

    # ------------------------------------------------------------------------------------- state

    def save(self, kept: Sequence[Checkpoints]) -> None:
        """Keep the state of each point that has not ended."""
        for own, state, over in zip(kept, self.states(), self.ended, strict=True):
            if not over:
                self.write(own, self.step, state)

    def write(self, kept: Checkpoints, step: int, state: dict[str, Any]) -> None:
        """Keep a state of this trainer."""
        kept.save(step, state)

    def found(self, kept: Checkpoints, at_most: int | None = None) -> dict[str, Any] | None:
        """Read the newest checkpoint that is whole, or None."""
        step = kept.newest(at_most)
        return None if step is None else self.read(kept, step)

    def read(self, kept: Checkpoints, step: int) -> dict[str, Any]:
        """Read the checkpoint of a step."""
        return kept.load(step, torch.device("cpu"))  # the device has no room for two of them

    def snapshot(self) -> list[dict[str, Any]]:
        """Copy the states of all points to the host."""
        found: list[dict[str, Any]] = copied(self.states(), torch.device("cpu"))
        return found

    def states(self) -> list[dict[str, Any]]:
        """Everything that the next step of each point depends on; tensors are not copied."""
        return [self._state(i) for i in range(len(self.points))]

    def _state(self, model: int) -> dict[str, Any]:
        return {
            "step": self.step,
            "weights": self._row(self.flats, model),
            "averaged": self._row(self.averaged, model),
            "averaged_steps": self.averaged_steps,
            "curve": dict(self.curves[model]),
            "paid": self.paid,
            "seconds": [self.effort.active, self.effort.compile],
            "watch": self.watch.state(model),
            **({"buffers": self.buffers()} if self.buffers() else {}),
            **self.optimizer.state(model),
        }

    def buffers(self) -> dict[str, Tensor]:
        """What a model keeps beside its weights, such as the statistics of batch norm."""
        kept = self.model.state_dict()
        return {name: value for name, value in self.model.named_buffers() if name in kept}

    def _row(self, tensors: Sequence[Tensor], model: int) -> list[Tensor]:
        del model
        return [tensor.detach() for tensor in tensors]

    @torch.no_grad()
    def restore(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Continue from the states of all points, which are of the same step."""
        states = [self.flattened(state) if "names" in state else state for state in states]
        self.step = int(states[0]["step"])
        for flat, value in zip(self.flats, self._joined(states, "weights"), strict=True):
            flat.copy_(value)
        self.averaged = [
            value.to(flat.device, copy=True)
            for flat, value in zip(self.flats, self._joined(states, "averaged"), strict=False)
        ]
        self.averaged_steps = int(states[0]["averaged_steps"])
        self.curves = [dict(state["curve"]) for state in states]
        self.effort.active, self.effort.compile = states[0]["seconds"]
        self.paid = int(states[0]["paid"])
        self.watch.restore([state["watch"] for state in states])
        self.optimizer.restore(states)
        for name, buffer in self.buffers().items():
            buffer.copy_(states[0]["buffers"][name])
        self._next = None
        self.renewed()

    def renewed(self) -> None:
        """Say that weights were changed in place."""

    def flattened(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """Lay the weights and moments of a state that was sharded in vectors, as they lie here."""
        values = dict(zip(state["names"], state["weights"], strict=True))
        moments = dict(zip(state["names"], state["adamw"], strict=True))
        averaged = dict(zip(state["names"], state["averaged"], strict=False))
        names = {p: name for name, p in self.model.named_parameters()}
        parts = optimizers.parts_of(self.model, self.point["optimizer"])
        groups = [[names[p] for p in part.parameters] for part in parts]

        def flat(named: Mapping[str, Tensor], group: Sequence[str]) -> Tensor:
            return torch.cat([named[name].flatten() for name in group])

        adamw = [
            {
                "step": moments[group[0]]["step"],
                **{k: flat({n: m[k] for n, m in moments.items()}, group) for k in MOMENTS},
            }
            for group in groups
        ]
        return {
            **{k: v for k, v in state.items() if k != "names"},
            "weights": [flat(values, group) for group in groups],
            "averaged": [flat(averaged, group) for group in groups] if averaged else [],
            "adamw": adamw,
        }

    def _joined(self, states: Sequence[Mapping[str, Any]], name: str) -> list[Tensor]:
        return list(states[0][name])

    def turn_to(self, point: Point) -> None:
        """Go on as another branch of the same trunk: only its schedule differs."""
        self.points, self.ended = (point,), [False]
        self.effort.evaluation = 0.0
        self.averaged, self.averaged_steps = [], 0


def copied(value: Any, device: torch.device | None = None) -> Any:
    """Copy a state with all its tensors, to another device if one is named."""
    if isinstance(value, Tensor):
        own = value.detach()
        return own.clone() if device is None else own.to(device, copy=True)
    if isinstance(value, dict):
        return {k: copied(v, device) for k, v in value.items()}
    if isinstance(value, list):
        return [copied(v, device) for v in value]
    return value
