"""The hours that compute takes on an accelerator that nobody measured: what is assumed of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling.count.accelerators import Device
from scaling.errors import ConfigError, Fault
from scaling.planning.costing.calibration import ASSUMED, Times

FloatArray = NDArray[np.float64]

# Utilisation by N (training handbook, speed anchors per GPU): models of 1e8 and more were reported
# at 33 to 60%; below, 25% is a guess that nobody has confirmed.
SMALL, LARGE = 5e7, 1e8
MFU_SMALL, MFU_LARGE = (0.25, 0.10, 0.40), (0.40, 0.33, 0.60)  # middle, lowest, highest
# A step of many small kernels waits for their launches, however little it computes.
STEP_SECONDS = (3e-3, 1e-3, 8e-3)  # middle, lowest, highest [s]


def mfu(size: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Model FLOP utilisation to expect of a model of N = `size`.

    Parameters
    ----------
    size : array_like
        N [count], shape (n,).

    Returns
    -------
    middle, low, high : ndarray
        Share of the peak, shape (n,): `MFU_SMALL` up to N = 5e7, `MFU_LARGE` from 1e8, and between
        them a straight line in ln N.
    """
    place = np.log(np.asarray(size, dtype=np.float64))
    ends = np.log([SMALL, LARGE])
    pairs = zip(MFU_SMALL, MFU_LARGE, strict=True)
    middle, low, high = (np.asarray(np.interp(place, ends, pair)) for pair in pairs)
    return middle, low, high


def device_times(
    device: Device,
    flops: ArrayLike,
    size: ArrayLike,
    steps: ArrayLike,
    utilisation: float | None = None,
) -> Times:
    """Seconds of points on an accelerator that was not measured: C / (peak x utilisation).

    Parameters
    ----------
    device : Device
    flops : array_like
        Training compute C of each point [FLOP], shape (n,).
    size : array_like
        N of each point [count], shape (n,).
    steps : array_like
        Training steps, shape (n,); no step is faster than `STEP_SECONDS`.
    utilisation : float, optional
        Share of the peak for every point, in (0, 1]; by size (`mfu`) if None.

    Returns
    -------
    Times
        All ``ASSUMED``; evaluation and start-up are left out.

    Raises
    ------
    ConfigError
        SC012 if the utilisation is not in (0, 1].
    """
    if utilisation is not None and not 0.0 < utilisation <= 1.0:
        raise ConfigError(Fault("SC012", "utilisation", f"{utilisation:g}", "above 0, at most 1"))
    work, count = np.asarray(flops, dtype=np.float64), np.asarray(steps, dtype=np.float64)
    middle, low, high = mfu(size) if utilisation is None else [np.full(work.shape, utilisation)] * 3
    # High utilisation and fast launches make the low end of the seconds.
    seconds, least, most = (
        np.maximum(work / (device.peak * share), count * floor)
        for share, floor in zip((middle, high, low), STEP_SECONDS, strict=True)
    )
    return Times(seconds, least, most, np.full(work.shape, ASSUMED, dtype=np.int8))


def assumed(utilisation: float | None = None) -> str:
    """Say in a sentence what `device_times` assumes."""
    share = "of the peak are assumed, not measured"
    least, quick, slow = (f"{1e3 * s:g}" for s in STEP_SECONDS)
    floor = f"a step takes at least {least} ms ({quick} to {slow})"
    if utilisation is not None:
        return f"{utilisation:.0%} {share}; {floor}."
    small, large = (f"{m:.0%} ({a:.0%} to {b:.0%})" for m, a, b in (MFU_SMALL, MFU_LARGE))
    return f"{small} up to N = {SMALL:g} and {large} from {LARGE:g} {share}; {floor}."
