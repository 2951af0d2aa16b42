"""What a fit minimises: losses of residuals, their derivatives and curvature weights.

Residuals are ``r = ln f - ln y`` for the ``log-`` objectives and ``r = f - y`` otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault

Array = NDArray[np.float64]
Name = Literal["log-huber", "huber", "log-mse", "mse", "asymmetric"]
NAMES: tuple[Name, ...] = ("log-huber", "huber", "log-mse", "mse", "asymmetric")
REDUCTIONS = ("sum", "mean")
OVER = 10.0  # how much more the asymmetric objective charges for predicting too much
OUTSIDE = 0.1


@dataclass(frozen=True)
class Loss:
    """A loss of residuals.

    Attributes
    ----------
    name : {"log-huber", "huber", "log-mse", "mse", "asymmetric"}
        Huber's function is ``r²/2`` up to ``delta`` and ``delta (|r| - delta/2)`` beyond
        (Huber 1964); the squared losses are ``r²``; ``asymmetric`` is log-huber with predictions
        above the observation charged `over` times.
    delta : float
        Threshold in the residual's unit; infinite for the squared losses.
    over : float
        Factor on positive residuals.
    """

    name: Name = "log-huber"
    delta: float = 1e-3
    over: float = 1.0

    @property
    def logs(self) -> bool:
        """Whether residuals are differences of logarithms."""
        return self.name.startswith("log-") or self.name == "asymmetric"

    @property
    def squared(self) -> bool:
        """Whether the loss is a plain square."""
        return self.name.endswith("mse")

    def value(self, r: Array, delta: Array | float) -> Array:
        """Loss of each residual; ``delta`` broadcasts against `r`."""
        if self.squared:
            return r * r
        inner = np.clip(r, -delta, delta)
        return self._charged(inner * (r - 0.5 * inner), r)

    def slope(self, r: Array, delta: Array | float) -> Array:
        """Derivative of `value` by the residual."""
        return 2.0 * r if self.squared else self._charged(np.clip(r, -delta, delta), r)

    def curvature(self, r: Array, delta: Array | float) -> Array:
        """Second derivative of `value`, kept positive outside the threshold.

        There Huber's function has none; a tenth of the reweighting curvature keeps Newton's step
        finite where few residuals are inside.
        """
        if self.squared:
            return np.full(r.shape, 2.0)
        size = np.abs(r)
        outside = OUTSIDE * delta / np.maximum(size, 1e-300)
        return self._charged(np.where(size <= delta, 1.0, outside), r)

    def _charged(self, values: Array, r: Array) -> Array:
        return values if self.over == 1.0 else np.where(r > 0, self.over, 1.0) * values


def make(name: str, delta: float | None) -> Loss:
    """Build a loss from user options.

    Raises
    ------
    ConfigError
        SC004 if the name is unknown or delta is not positive.
    """
    if name not in NAMES:
        raise ConfigError(Fault("SC004", "--objective", f'"{name}"', "one of " + ", ".join(NAMES)))
    if name.endswith("mse"):
        return Loss(name, np.inf)
    chosen = 1e-3 if delta is None else delta
    if not chosen > 0 or not np.isfinite(chosen):
        expected = "a number above 0, such as 1e-3, or auto"
        raise ConfigError(Fault("SC004", "--delta", f"{delta}", expected))
    return Loss(name, chosen, OVER if name == "asymmetric" else 1.0)
