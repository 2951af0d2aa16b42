"""How runs depart from a law: noise of their own, and a smooth departure that neighbours share.

A law is wrong somewhere. Under a shared departure near points count less where they say the same,
and a forecast starts from where the last runs are, not from where the law would have them. Noise
that grows towards small scales gives early runs, with their plateaus and warm-up, less say. Which
of these holds is decided by forecasts, like the law itself.

References
----------
Kennedy and O'Hagan (2001), Bayesian calibration of computer models; Rasmussen and Williams (2006),
ch. 4 (kernels).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Kernel = Literal["rough", "smooth"]


@dataclass(frozen=True)
class Departure:
    """Covariance of ln y about a law, in units of the variance of a run's own noise.

    Attributes
    ----------
    size : float
        SD of the shared departure over that of a run's own noise; 0 for none.
    length : float
        ln of the ratio of scales over which it is shared.
    kernel : {"rough", "smooth"}
        Exponential, or Matérn 3/2.
    growth : float
        By how much ln of a run's own noise grows per unit of ln scale towards small ones.
    """

    size: float = 0.0
    length: float = 1.0
    kernel: Kernel = "rough"
    growth: float = 0.0

    def own(self, along: Array, end: float, count: Array) -> Array:
        """Variance of each point's own noise; `end` is the largest scale that is fitted."""
        back = np.maximum(end - along, 0.0)
        return np.exp(2.0 * self.growth * back) / count

    def within(self, along: Array, end: float, scatter: Array) -> float:
        """Sum of squares of rows about their points, in units of a row's own noise at `end`."""
        back = np.maximum(end - along, 0.0)
        return float((np.exp(-2.0 * self.growth * back) * scatter).sum())

    def shared(self, left: Array, right: Array) -> Array:
        """Covariance of the shared departure between points, shapes (m, d) and (n, d)."""
        if not self.size:
            return np.zeros((len(left), len(right)))
        gap = (left[:, None, :] - right[None, :, :]) / self.length
        far: Array = np.sqrt((gap**2).sum(axis=2))
        near: Array = np.exp(-far)
        if self.kernel == "smooth":
            far = np.sqrt(3.0) * far
            near = (1.0 + far) * np.exp(-far)
        return self.size**2 * near


FOR_SURFACES: tuple[Departure, ...] = (
    Departure(),
    Departure(growth=0.125),
    Departure(growth=0.25),
    Departure(growth=0.5),
)
FOR_CURVES: tuple[Departure, ...] = (
    Departure(),
    Departure(growth=0.5),
    Departure(growth=1.0),
    Departure(1.0, 0.7, "rough"),
    Departure(4.0, 0.7, "rough"),
    Departure(4.0, 2.0, "rough"),
    Departure(16.0, 2.0, "rough"),
    Departure(1.0, 0.7, "smooth"),
    Departure(4.0, 0.7, "smooth"),
    Departure(4.0, 2.0, "smooth"),
    Departure(16.0, 2.0, "smooth"),
)
