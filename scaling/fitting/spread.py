"""Spreading draws about an estimate, quantity by quantity."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def spread_about(estimate: Any, draws: Array, factor: float, *, log: bool) -> Array:
    """Move draws away from the estimate by the small-sample factor.

    Draws of the parameters lie on a curved ridge along which predictions hardly change; spreading
    the parameters themselves would leave it and shift every prediction. So each quantity is spread
    by itself: positive ones in logarithms.

    Parameters
    ----------
    estimate : float or array_like
        Shape (…,).
    draws : ndarray
        Shape (draws, …).
    factor : float
    log : bool
        Whether the quantity is positive and spread in logarithms.
    """
    if factor == 1.0 or not len(draws):
        return draws
    centre = np.asarray(estimate, dtype=np.float64)
    with np.errstate(all="ignore"):
        if log:
            return np.asarray(centre * (draws / centre) ** factor)
        return np.asarray(centre + factor * (draws - centre))
