"""The training loop: one road for CPU and GPU, exact to the token, resumable to the bit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scaling.runs.records import PointFiles
from scaling.training import checkpoint
from scaling.training.tasks.text import Text

CHECK_EVERY = 20  # steps between looks at the loss: each look waits for the device
CURVE_POINTS = 50
SMOOTHING = 0.95
MARGIN = 0.5  # nats above the uniform prediction that count as divergence
SHAPES: dict[str, Callable[[float], float]] = {  # of what is left of the decay, from 1 to 0
    "linear": lambda left: left,
    "cosine": lambda left: 0.5 - 0.5 * math.cos(math.pi * left),
    "1-sqrt": lambda left: 1.0 - math.sqrt(1.0 - left),
}


class Stopped(Exception):
    """The loop was asked to stop; its state is in a checkpoint."""


@dataclass
class Outcome:
    """What the loop found; ``loss`` is None unless ``status`` is done."""

    status: str
    steps_done: int
    loss: float | None = None
    loss_se: float | None = None
    train_loss: float | None = None
    max_grad_norm: float | None = None
    cause: str | None = None
    curve: list[list[Any]] = field(default_factory=list)
    seconds: float = 0.0


def learning_rate(step: int, steps: int, optimizer: Mapping[str, Any]) -> float:
    """Rate of a step (0-based): linear warm-up, constant, then a decay over the last steps.

    The decay is linear to zero, unless the block names another ``shape`` (``cosine`` or
    ``1-sqrt``, Hägele et al. 2024) or a ``floor``, the share of the peak that is left.
    """
    warmup, decay = optimizer["warmup_steps"], optimizer["decay_steps"]
    rise = (step + 1) / warmup if warmup else 1.0
    fall = (steps - step) / decay if decay else 1.0
    if fall < 1.0 and "shape" in optimizer:
        fall = SHAPES[optimizer["shape"]](fall)
    floor = optimizer.get("floor", 0.0)
    if floor:
        fall = floor + (1.0 - floor) * fall
    return float(optimizer["lr"] * min(1.0, rise, fall))


def prepare(device: torch.device) -> None:
    """Fix what decides speed and determinism: threads, denormals, TF32."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True


def _flatten(parameters: Sequence[torch.nn.Parameter]) -> torch.nn.Parameter:
    """Lay parameters and their gradients in one vector each, and return it.

    Small models spend their time between operations: the optimiser and the clipping then need one
    call each, whatever the number of layers.
    """
    flat = torch.nn.Parameter(torch.cat([p.detach().flatten() for p in parameters]))
    flat.grad = torch.zeros_like(flat)
    start = 0
    for p in parameters:
        piece = slice(start, start + p.numel())
        p.data = flat.data[piece].view_as(p)
        p.grad = flat.grad[piece].view_as(p)
        start = piece.stop
    return flat


def _by_factor(
    model: torch.nn.Module, factors: Mapping[str, float]
) -> dict[float, list[torch.nn.Parameter]]:
    """Split parameters by the factor on their rate: of the embedding, the head and the rest."""
    parts: dict[float, list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        kind = name.split(".")[0]
        factor = factors.get(kind if kind in ("embedding", "head") else "hidden", 1.0)
        parts.setdefault(factor, []).append(parameter)
    return parts


class Trainer:
    """State of one point in training."""

    def __init__(self, point: Mapping[str, Any], device: torch.device) -> None:
        prepare(device)
        self.point, self.device = point, device
        self.task = Text(point, device)
        self.model = self.task.model()
        o = point["optimizer"]
        parts = _by_factor(self.model, o.get("multipliers", {}))
        self.factors = list(parts)
        self.flats = [_flatten(part) for part in parts.values()]
        # A step decays by lr * weight_decay whatever the factor (Yang et al. 2022, app. B.3).
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [flat], "weight_decay": o["weight_decay"] / factor}
                for flat, factor in zip(self.flats, self.factors, strict=True)
            ],
            lr=o["lr"],
            betas=(o["beta1"], o["beta2"]),
            fused=True,
        )
        self.step = 0
        self.running = torch.zeros((), device=device)  # smoothed training loss
        self.largest_norm = torch.zeros((), device=device)
        self.curve: list[list[Any]] = []
        self.micro = int(point["sequences"])
        self.seconds = 0.0

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "running": self.running,
            "largest_norm": self.largest_norm,
            "curve": self.curve,
            "seconds": self.seconds,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.curve = int(state["step"]), list(state["curve"])
        self.running, self.largest_norm = state["running"], state["largest_norm"]
        self.seconds = float(state["seconds"])

    def train_step(self) -> tuple[Tensor, Tensor]:
        """Take one optimiser step; return the batch loss and the gradient norm, on the device."""
        rate = learning_rate(self.step, int(self.point["steps"]), self.point["optimizer"])
        for group, factor in zip(self.optimizer.param_groups, self.factors, strict=True):
            group["lr"] = rate * factor
        tokens = self.task.batch(self.step)
        gradients = [flat.grad for flat in self.flats if flat.grad is not None]
        for gradient in gradients:
            gradient.zero_()
        total = torch.zeros((), device=self.device)
        for part in torch.split(tokens, self.micro):
            with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
                loss = self.task.loss(self.model, part) * (len(part) / len(tokens))
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        norm = torch.linalg.vector_norm(gradients[0])
        for other in gradients[1:]:
            norm = torch.hypot(norm, torch.linalg.vector_norm(other))
        scale = (self.point["optimizer"]["clip"] / (norm + 1e-6)).clamp_(max=1.0)
        for gradient in gradients:
            gradient.mul_(scale)
        self.optimizer.step()
        self.running = total if self.step == 0 else torch.lerp(total, self.running, SMOOTHING)
        self.largest_norm = torch.maximum(self.largest_norm, norm)
        self.step += 1
        return total, norm


def train(
    point: Mapping[str, Any],
    files: PointFiles,
    device: torch.device,
    *,
    checkpoint_seconds: float = 60.0,
    progress: Callable[[int, float], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Outcome:
    """Train a point to its planned D, from its last checkpoint if it has one.

    Parameters
    ----------
    point : mapping
        A line of ``plan.jsonl``.
    files : PointFiles
    device : torch.device
    checkpoint_seconds : float
        Time between checkpoints [s].
    progress : callable, optional
        Called with (steps done, smoothed loss) every few steps.
    stop : callable, optional
        Asked every few steps; if true, the loop checkpoints and raises `Stopped`.

    Raises
    ------
    Stopped
    """
    trainer = Trainer(point, device)
    state = checkpoint.latest(files, device)
    if state is not None:
        trainer.restore(state)
    while True:
        try:
            return _run(trainer, files, checkpoint_seconds, progress, stop)
        except torch.OutOfMemoryError:
            if trainer.micro == 1:
                cause = "out of memory with one sequence a pass"
                return Outcome("too-big", trainer.step, cause=cause, curve=trainer.curve)
            micro = next(d for d in range(trainer.micro - 1, 0, -1) if trainer.micro % d == 0)
            trainer = Trainer(point, device)
            trainer.micro = micro
            state = checkpoint.latest(files, device)
            if state is not None:
                trainer.restore(state)


def _run(
    trainer: Trainer,
    files: PointFiles,
    checkpoint_seconds: float,
    progress: Callable[[int, float], None] | None,
    stop: Callable[[], bool] | None,
) -> Outcome:
    point, steps = trainer.point, int(trainer.point["steps"])
    began = saved = time.monotonic()
    already = trainer.seconds
    marks = {max(1, round(steps * (i + 1) / CURVE_POINTS)) for i in range(CURVE_POINTS)}
    per_token = point["C"] / point["D"]
    while trainer.step < steps:
        rate = learning_rate(trainer.step, steps, point["optimizer"])
        total, norm = trainer.train_step()
        done = trainer.step
        if done in marks and done < steps:
            tokens = done * point["batch"]
            trainer.curve.append(
                [done, tokens, per_token * tokens, float(total), None, rate, float(norm)]
            )
        if done % CHECK_EVERY and done < steps:
            continue
        trouble = _diverged(trainer, float(trainer.running), float(norm))
        if trouble:
            return Outcome(
                "diverged",
                done,
                cause=trouble,
                curve=trainer.curve,
                seconds=already + time.monotonic() - began,
            )
        if progress is not None:
            progress(done, float(trainer.running))
        asked = stop is not None and stop()
        if done < steps and (asked or time.monotonic() - saved >= checkpoint_seconds):
            saved = time.monotonic()
            trainer.seconds = already + saved - began
            checkpoint.save(files, done, trainer.state())
        if asked and done < steps:
            raise Stopped
    trainer.model.eval()
    loss, error = trainer.task.evaluate(trainer.model)
    tokens = steps * point["batch"]
    trainer.curve.append([steps, tokens, per_token * tokens, float(total), loss, rate, float(norm)])
    if not math.isfinite(loss):
        return Outcome(
            "diverged", steps, cause="validation loss is not finite", curve=trainer.curve
        )
    return Outcome(
        "done",
        steps,
        loss,
        error,
        float(trainer.running),
        float(trainer.largest_norm),
        None,
        trainer.curve,
        already + time.monotonic() - began,
    )


def _diverged(trainer: Trainer, running: float, norm: float) -> str | None:
    if not (math.isfinite(running) and math.isfinite(norm)):
        return f"non-finite loss or gradient at or before step {trainer.step}"
    after_warmup = trainer.step > 2 * trainer.point["optimizer"]["warmup_steps"]
    limit = trainer.task.ceiling + MARGIN
    if after_warmup and running > limit:
        return f"training loss {running:.3f} above {limit:.3f} at step {trainer.step}"
    return None
