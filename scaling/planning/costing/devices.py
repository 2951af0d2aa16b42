"""Accelerators by name, and the hours that compute takes on one that nobody measured."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling.errors import ConfigError, Fault
from scaling.planning.costing.calibration import ASSUMED, Times

FloatArray = NDArray[np.float64]

USABLE = 0.9  # share of the rated memory that a process can fill
# Utilisation by N (training handbook, speed anchors per GPU): models of 1e8 and more were reported
# at 33 to 60%; below, 25% is a guess that nobody has confirmed.
SMALL, LARGE = 5e7, 1e8
MFU_SMALL, MFU_LARGE = (0.25, 0.10, 0.40), (0.40, 0.33, 0.60)  # middle, lowest, highest
# A step of many small kernels waits for their launches, however little it computes.
STEP_SECONDS = (3e-3, 1e-3, 8e-3)  # middle, lowest, highest [s]


@dataclass(frozen=True)
class Device:
    """An accelerator as its vendor rates it.

    Attributes
    ----------
    name, title : str
    peak : float
        Dense matrix products at 16 bits [FLOP/s].
    precision : str
        What those 16 bits are.
    memory : float
        [bytes].
    watts : float
        Board power [W].
    names : tuple of str
        What torch calls it.
    source : str
        Where the figures stand.
    """

    name: str
    title: str
    peak: float
    precision: str
    memory: float
    watts: float
    names: tuple[str, ...]
    source: str

    @property
    def usable(self) -> float:
        """Memory that a process can fill [bytes]."""
        return USABLE * self.memory


@cache
def devices() -> Mapping[str, Device]:
    """Return all known devices, by name."""
    path = Path(__file__).with_suffix(".toml")
    found = {}
    for name, entry in tomllib.loads(path.read_text(encoding="utf-8")).items():
        memory = float(entry.pop("memory_gb")) * 1e9
        names = tuple(entry.pop("names"))
        found[name] = Device(name=name, memory=memory, names=names, **entry)
    return MappingProxyType(found)


def get(name: str, where: str = "device") -> Device:
    """Return the device called `name`.

    Raises
    ------
    ConfigError
        SC012 with the known names.
    """
    known = devices()
    if name not in known:
        near = [other for other in known if other.startswith(name.split("-")[0])]
        mend = f"did you mean {' or '.join(near)}?" if near else ""
        raise ConfigError(Fault("SC012", where, f'"{name}"', "one of " + ", ".join(known), mend))
    return known[name]


def match(title: str) -> Device | None:
    """Return the device that torch calls `title`; None for one that is not known."""
    return next((d for d in devices().values() if title in d.names), None)


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
