"""What is seen of models while they train, looked at now and then.

Each step leaves its losses and gradient norms on the device; a look, every `CHECK_EVERY` steps,
reads them all at once, since reading waits for the device. So the step at which a number stopped
being finite is known exactly although nobody waited for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CHECK_EVERY = 20  # steps between looks
SMOOTHING = 0.95
MARGIN = 0.5  # nats above the uniform prediction that count as divergence
WINDOW = 128  # losses that a spike is judged by
SPIKE = 6.0  # standard deviations above their mean (OLMo's threshold for skipping a step)

Array = NDArray[np.float64]


class Watch:
    """Smoothed loss, largest gradient norm, spikes and the first step that was not finite.

    Parameters
    ----------
    models : int
        k, models that train at once.
    """

    def __init__(self, models: int) -> None:
        self.seen = 0  # steps
        self.running = np.full(models, np.nan)
        self.largest = np.zeros(models)
        self.spikes = np.zeros(models, dtype=np.int64)
        self.first_bad = np.zeros(models, dtype=np.int64)  # 1-based; 0: none
        self.window = np.zeros((0, models))
        self.loss, self.norm = np.full(models, np.nan), np.full(models, np.nan)  # of the last step
        self._waiting: list[Tensor] = []

    def add(self, loss: Tensor, norm: Tensor) -> None:
        """Take the losses and norms of a step, shape () or (k,), without waiting for them."""
        self._waiting.append(torch.stack((loss, norm)))

    def look(self) -> None:
        """Read what was added since the last look."""
        if not self._waiting:
            return
        both = torch.stack(self._waiting).double().cpu().numpy().reshape(len(self._waiting), 2, -1)
        self._waiting.clear()
        losses, norms = both[:, 0], both[:, 1]
        finite = np.isfinite(losses) & np.isfinite(norms)
        bad = ~finite.all(axis=0) & (self.first_bad == 0)
        self.first_bad[bad] = self.seen + 1 + np.argmin(finite[:, bad], axis=0)
        with np.errstate(all="ignore"):
            self._count_spikes(losses)
            for row in losses:
                first = np.isnan(self.running) if self.seen == 0 else False
                self.running = np.where(
                    first, row, SMOOTHING * self.running + (1 - SMOOTHING) * row
                )
                self.seen += 1
        self.largest = np.maximum(self.largest, norms.max(axis=0))
        self.loss, self.norm = losses[-1], norms[-1]

    def _count_spikes(self, losses: Array) -> None:
        """Count losses far above those of the steps before them, once `WINDOW` are known."""
        known, new = len(self.window), len(losses)
        every = np.concatenate([self.window, losses])
        self.window = every[-WINDOW:]
        rows = np.arange(max(known, WINDOW), known + new)
        if not len(rows):
            return
        shifted = every - every[:WINDOW].mean(axis=0)  # so that sums of squares keep their digits
        zero = np.zeros((1, every.shape[1]))
        sums, squares = (
            np.concatenate([zero, np.cumsum(v, axis=0)]) for v in (shifted, shifted * shifted)
        )
        mean = (sums[rows] - sums[rows - WINDOW]) / WINDOW
        spread = (squares[rows] - squares[rows - WINDOW]) / WINDOW - mean * mean
        limit = mean + SPIKE * np.sqrt(np.maximum(spread, 0.0))
        self.spikes += (shifted[rows] > limit).sum(axis=0)

    def trouble(self, model: int, step: int, warmup: int, ceiling: float) -> str | None:
        """Say why a model has diverged, or None.

        Parameters
        ----------
        model : int
        step : int
            Steps done.
        warmup : int
            Steps of the warm-up; a loss is not judged before twice as many.
        ceiling : float
            Loss of the uniform prediction [nats].
        """
        if self.first_bad[model]:
            return f"loss or gradient not finite at step {self.first_bad[model]}"
        running, limit = float(self.running[model]), ceiling + MARGIN
        if step > 2 * warmup and running > limit:
            return f"training loss {running:.3f} above {limit:.3f} at step {step}"
        return None

    def state(self, model: int) -> dict[str, Any]:
        """Everything that later looks depend on, of one model."""
        self.look()
        return {
            "seen": self.seen,
            "running": float(self.running[model]),
            "largest": float(self.largest[model]),
            "spikes": int(self.spikes[model]),
            "first_bad": int(self.first_bad[model]),
            "window": self.window[:, model].tolist(),
        }

    def restore(self, states: list[Mapping[str, Any]]) -> None:
        """Continue from the states of all models, which have seen as many steps."""
        self._waiting.clear()
        self.seen = int(states[0]["seen"])
        self.running = np.array([s["running"] for s in states])
        self.largest = np.array([s["largest"] for s in states])
        self.spikes = np.array([s["spikes"] for s in states])
        self.first_bad = np.array([s["first_bad"] for s in states])
        self.window = np.array([s["window"] for s in states]).T.reshape(-1, len(states))


def finite(value: float) -> float | None:
    """Return the number, or None where JSON has none for it."""
    return value if math.isfinite(value) else None
