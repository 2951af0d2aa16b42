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
Name = Literal["log-huber", "huber", "log-mse", "mse"]
NAMES: tuple[Name, ...] = ("log-huber", "huber", "log-mse", "mse")
REDUCTIONS = ("sum", "mean")


@dataclass(frozen=True)
class Loss:
    """A loss of residuals.

    Attributes
    ----------
    name : {"log-huber", "huber", "log-mse", "mse"}
        Huber's function is ``r²/2`` up to ``delta`` and ``delta (|r| - delta/2)`` beyond
        (Huber 1964); the squared losses are ``r²``.
    delta : float
        Threshold in the residual's unit; infinite for the squared losses.
    """

    name: Name = "log-huber"
    delta: float = 1e-3

    @property
    def logs(self) -> bool:
        """Whether residuals are differences of logarithms."""
        return self.name.startswith("log-")

    @property
    def squared(self) -> bool:
        """Whether the loss is a plain square."""
        return self.name.endswith("mse")

    def value(self, r: Array, delta: Array | float) -> Array:
        """Loss of each residual; ``delta`` broadcasts against `r`."""
        if self.squared:
            return r * r
        size = np.abs(r)
        inner = np.minimum(size, delta)
        return inner * (size - 0.5 * inner)

    def slope(self, r: Array, delta: Array | float) -> Array:
        """Derivative of `value` by the residual."""
        if self.squared:
            return 2.0 * r
        return np.clip(r, -delta, delta)


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
        raise ConfigError(Fault("SC004", "--delta", f"{delta}", "a number above 0, such as 1e-3"))
    return Loss(name, chosen)
