"""What points cost: seconds, GPU-hours, wall time on several workers, money and energy."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling.count.accelerators import Device, match
from scaling.errors import Message
from scaling.planning.costing.calibration import ASSUMED, Calibration, Times
from scaling.planning.costing.devices import assumed

FloatArray = NDArray[np.float64]

DRAWN = 0.8  # share of the rated power that training draws
PUE = 1.2  # power of the building over that of its machines (training handbook: dry run)


def wall_seconds(costs: Iterable[float], workers: int, start: float = 0.0) -> float:
    """Wall time of independent points on equal workers, longest first.

    Parameters
    ----------
    costs : iterable of float
        Seconds of each point.
    workers : int
    start : float
        Seconds that each worker needs before its first point.

    Returns
    -------
    float
        [s], at most 4/3 - 1/(3k) times the best order's (Graham 1969).
    """
    ordered = np.sort(np.fromiter(costs, dtype=np.float64))[::-1].tolist()
    if not ordered:
        return 0.0
    loads = [start] * min(workers, len(ordered))
    for item in ordered:
        heapq.heapreplace(loads, loads[0] + item)
    return max(loads)


def shared_compute(
    trunk: ArrayLike,
    D: ArrayLike,
    decay: ArrayLike,
    flops_per_unit: ArrayLike,
    *,
    averaged: bool = False,
) -> FloatArray:
    """FLOP that each point adds where a trunk is trained once and every D branches off it.

    The trunk runs at a constant rate to the longest (1 - decay) D; each point then pays its own
    decay (Hägele et al. 2024). Of points with equal trunk, D and decay all but the first are free
    only in the trunk.

    Parameters
    ----------
    trunk : array_like
        Name or number of each point's trunk, shape (n,).
    D : array_like
        Tokens or examples, shape (n,).
    decay : array_like
        Share of each run over which its rate decays, in [0, 1]; shape (n,) or a scalar.
    flops_per_unit : array_like
        FLOP a token or example, shape (n,) or a scalar.
    averaged : bool
        Whether weights are averaged over that share at a constant rate: the trunk then goes on
        where a branch ends, unless the next one has left before.

    Returns
    -------
    ndarray
        Shape (n,) [FLOP]; the sum over a trunk's points is the cost of the trunk and its branches.
    """
    lengths = np.asarray(D, dtype=np.float64)
    share, each = (np.broadcast_to(np.asarray(v, float), lengths.shape)
                   for v in (decay, flops_per_unit))  # fmt: skip
    _, group = np.unique(np.asarray(trunk), return_inverse=True)
    stem = (1.0 - share) * lengths
    order = np.lexsort((stem, group))
    left, ends = stem[order], lengths[order]
    new = np.concatenate([[True], np.diff(group[order]) != 0])
    before = np.concatenate([[0.0], left[:-1]])
    if averaged:
        end = np.concatenate([[0.0], ends[:-1]])
        before = np.where(end <= left, end, before)
    own = np.empty_like(stem)
    own[order] = ends - np.where(new, 0.0, before)
    return np.asarray(each * own)


# ---------------------------------------------------------------------------------------- totals


@dataclass(frozen=True)
class Range:
    """An estimate with its optimistic and its pessimistic end.

    Attributes
    ----------
    value, low, high : float
    """

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Range:
        """Return the range in another unit."""
        return Range(self.value * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True)
class Total:
    """What a plan costs.

    Attributes
    ----------
    points : int
    flops : float
        [FLOP].
    workers : int
    seconds : Range or None
        Of all points on one worker [s]; None if any is unknown.
    wall_seconds : Range or None
        On `workers` workers, longest first, with their start [s].
    gpu_hours : Range or None
        [h]; None on a CPU.
    money : Range or None
        In the currency of the price that was given; None without a price.
    kwh : Range or None
        [kWh]; None without a known power.
    memory : float or None
        Largest point [bytes].
    memory_measured : bool
        Whether that point's shape was measured; it is estimated otherwise.
    mfu : Range or None
        Share of the device's peak that all points together get out of it as it was measured, and
        of the least and the most efficient shape; None if it was not measured.
    assumptions : tuple of str
        What the figures rest on, one sentence each.
    """

    points: int
    flops: float
    workers: int
    seconds: Range | None = None
    wall_seconds: Range | None = None
    gpu_hours: Range | None = None
    money: Range | None = None
    kwh: Range | None = None
    memory: float | None = None
    memory_measured: bool = False
    mfu: Range | None = None
    assumptions: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the machine-readable form: values by name, and ``range`` with [low, high]."""
        names = ("seconds", "wall_seconds", "gpu_hours", "money", "kwh", "mfu")
        ranges = {name: getattr(self, name) for name in names}
        return {
            "points": self.points,
            "C": self.flops,
            "workers": self.workers,
            **{name: None if r is None else _short(r.value) for name, r in ranges.items()},
            "memory_bytes": self.memory,
            "memory_measured": self.memory_measured,
            "range": {
                name: [_short(r.low), _short(r.high)] for name, r in ranges.items() if r is not None
            },
            "assumptions": list(self.assumptions),
        }


def joint(totals: Sequence[Total]) -> Total:
    """What several plans cost together; a part that is not known of one is not known of all."""
    first = totals[0]

    def added(name: str) -> Range | None:
        parts = [getattr(one, name) for one in totals]
        if any(part is None for part in parts):
            return None
        sums = (sum(getattr(part, end) for part in parts) for end in ("value", "low", "high"))
        return Range(*sums)

    largest = max(totals, key=lambda one: one.memory or 0.0)
    return replace(
        first,
        points=sum(one.points for one in totals),
        flops=sum(one.flops for one in totals),
        seconds=added("seconds"),
        wall_seconds=added("wall_seconds"),
        gpu_hours=added("gpu_hours"),
        money=added("money"),
        kwh=added("kwh"),
        memory=largest.memory,
        memory_measured=largest.memory_measured,
        mfu=first.mfu if len(totals) == 1 else None,
        assumptions=tuple(dict.fromkeys(text for one in totals for text in one.assumptions)),
    )


def total(
    times: Times | None,
    flops: ArrayLike,
    workers: int,
    *,
    calibration: Calibration | None = None,
    device: Device | None = None,
    price_per_hour: float | None = None,
    watts: float | None = None,
    mfu: float | None = None,
    drawn: float = DRAWN,
    pue: float = PUE,
    memory: float | None = None,
    memory_measured: bool = False,
    measured_use: Range | None = None,
    notes: Sequence[str] = (),
) -> Total:
    """Add up what points cost.

    Parameters
    ----------
    times : Times or None
        Of the points, on one worker; None if nothing is known of them.
    flops : array_like
        Training compute of each point [FLOP], shape (n,).
    workers : int
        Points that run at once: processes of this machine, or whole devices.
    calibration : Calibration, optional
        What the times were read from; None if they were assumed for `device`.
    device : Device, optional
        The accelerator, where the times were assumed; a calibration names its own.
    price_per_hour : float, optional
        Of one device [any currency an hour].
    watts : float, optional
        Rated power of one device; that of `device` if None.
    mfu : float, optional
        Utilisation that the times were assumed with, for the sentence that says so.
    drawn, pue : float
        Share of the rated power that is drawn, and what the building adds.
    memory : float, optional
        Of the largest point [bytes].
    memory_measured : bool
        Whether it was measured.
    measured_use : Range, optional
        MFU of the points as the calibration has it.
    notes : sequence of str
        Further sentences for the assumptions, where times are known.

    Returns
    -------
    Total
        Its ranges take all points at their low, or all at their high end: what makes one point
        slow, the load of the machine or a wrong throughput, makes the others slow too.
    """
    work = np.asarray(flops, dtype=np.float64)
    base = Total(len(work), float(work.sum()), workers, memory=memory,
                 memory_measured=memory_measured)  # fmt: skip
    if times is None or not np.isfinite(times.seconds).all():
        return base
    start = 0.0 if calibration is None else calibration.start_seconds
    ends = (times.seconds, times.low, times.high)
    seconds = Range(*(float(end.sum()) for end in ends))
    wall = Range(*(wall_seconds(end, workers, start) for end in ends))
    on_gpu = device is not None
    if calibration is not None:
        on_gpu = calibration.kind == "cuda"
        device = (match(calibration.device) or device) if on_gpu else None
    sharing = 1 if calibration is None else calibration.workers
    hours = seconds.times(1.0 / (3600.0 * sharing)) if on_gpu else None
    power = watts if watts is not None else (device.watts if device is not None else None)
    rates = (price_per_hour, None if power is None else power / 1000.0 * drawn * pue)
    used = hours if on_gpu else wall.times(1.0 / 3600.0)
    assert used is not None
    money, kwh = (None if rate is None else used.times(rate) for rate in rates)
    said = _assumptions(times, workers, calibration, device, sharing if on_gpu else 0, mfu)
    if calibration is not None and measured_use is not None:
        said.append(_on_use(measured_use, calibration))
    said += notes
    if price_per_hour is not None:
        said.append(f"{price_per_hour:g} an hour of {'one device' if on_gpu else 'this machine'}.")
    if kwh is not None:
        said.append(f"{power:g} W, {drawn:.0%} of it drawn, times {pue:g} for the building.")
    return replace(base, seconds=seconds, wall_seconds=wall, gpu_hours=hours, money=money, kwh=kwh,
                   mfu=measured_use, assumptions=tuple(said))  # fmt: skip


def concerns(calibration: Calibration, workers: int, device: Device | None) -> list[Message]:
    """SC226 for each way in which a calibration is not of the conditions that are planned for.

    Parameters
    ----------
    calibration : Calibration
    workers : int
        Points that are to run at once.
    device : Device or None
        The accelerator that the study names.
    """
    found = []
    if device is not None and calibration.device not in device.names:
        text = f"The study names {device.title}, but its seconds were measured on "
        text += f"{calibration.device}; they are those of {calibration.device}."
        found.append(Message("SC226", text, mend="plan without the calibration, or bench there"))
    if workers != calibration.workers:
        text = (
            f"Seconds were measured with {calibration.workers} at once, and {workers} are to run: "
        )
        text += "memory bandwidth, clock or a shared device may change them."
        mend = f"scaling bench FILE.toml --workers {workers} -o ANOTHER.json"
        found.append(Message("SC226", text, mend=mend))
    return found


def _assumptions(
    times: Times,
    workers: int,
    calibration: Calibration | None,
    device: Device | None,
    sharing: int,
    mfu: float | None,
) -> list[str]:
    said = [f"{workers} at once, longest first."]
    if calibration is not None:
        said.append(
            f"Seconds measured on {calibration.device} with {calibration.workers} working at once, "
            f"{calibration.threads} thread(s) each; {calibration.start_seconds:.1f} s to start."
        )
        if sharing > 1:
            said.append(f"{sharing} workers share one device.")
    elif device is not None:
        said.append(f"{device.title}: {device.peak:.4g} FLOP/s dense {device.precision} at most.")
    if (times.how == ASSUMED).any():
        said.append(assumed(mfu))
    return said


def _on_use(use: Range, calibration: Calibration) -> str:
    """Say what share of which peak the nearest measured shapes got, and what C counts."""
    all_, low, high = (f"{100 * share:.3g}%" for share in (use.value, use.low, use.high))
    return (
        f"MFU {all_} ({low} to {high} by shape) as measured on the nearest shapes: C a second over "
        f"{calibration.peak:.4g} FLOP/s a worker ({calibration.peak_source})."
    )


def _short(value: float) -> float:
    """Six significant digits, so that the last bit never shows."""
    return float(f"{value:.6g}")
