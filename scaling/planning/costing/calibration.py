"""What `scaling bench` measured, and what it says of the points of a plan.

Seconds of a step are measured for some shapes. Between them, within a family, the time of a step
is a rising function of its FLOP: both logarithms are made monotone (pool adjacent violators; Barlow
et al. 1972) and joined by straight lines. Beyond the ends only throughput is carried on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling.errors import ConfigError, Fault, Message, counted
from scaling.runs.files import canonical_json

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SCHEMA = "scaling/calibration@3"
READABLE = ("scaling/calibration@2", SCHEMA)  # version 2 says nothing of peak and MFU
MEASURED, INTERPOLATED, EXTRAPOLATED, ASSUMED, UNKNOWN = range(5)
LONE_SLOPE = 0.5  # of ln seconds in ln FLOP, where a family has one measured shape
LONE_SPREAD = 0.2  # of ln seconds between shapes, where too few were measured to see it
_MEND = "scaling bench STUDY.toml -o FILE --force makes one"


def shape_key(family: str, shape: Mapping[str, int], sequences: int) -> str:
    """Key of a shape in a calibration file; sequences [count] are those of one step."""
    return canonical_json({"family": family, "sequences": sequences, "shape": dict(shape)})


@dataclass(frozen=True)
class Measured:
    """What one shape cost.

    Attributes
    ----------
    family : str
    flops : float
        Of one training step [FLOP].
    step, low, high : float
        Seconds of one step: median, 10% and 90% quantile over blocks of steps.
    evaluation : float
        Seconds a validation sequence.
    setup : float
        Seconds before the first usual step: data, model, first steps.
    compile : float
        Seconds of compilation; 0 where nothing is compiled.
    memory : float or None
        Peak on a GPU, growth of the resident memory on a CPU [bytes]; None if unknown.
    mfu : float or None
        FLOP of a step over its seconds and the peak of the device; None if that is unknown.
    """

    family: str
    flops: float
    step: float
    low: float
    high: float
    evaluation: float
    setup: float
    compile: float
    memory: float | None
    mfu: float | None = None


@dataclass(frozen=True)
class Times:
    """Seconds of points on one worker, each array of shape (n,).

    Attributes
    ----------
    seconds, low, high : ndarray
        [s]; NaN where unknown.
    how : ndarray of int
        ``MEASURED``, ``INTERPOLATED``, ``EXTRAPOLATED``, ``ASSUMED`` or ``UNKNOWN``.
    """

    seconds: FloatArray
    low: FloatArray
    high: FloatArray
    how: NDArray[np.int8]

    @property
    def measured(self) -> NDArray[np.bool_]:
        """Whether the shape itself was measured."""
        return np.asarray(self.how == MEASURED)

    def messages(self) -> list[Message]:
        """SC222, SC223, SC225: how many points have times that were not measured."""
        kinds = np.bincount(self.how, minlength=5)
        found = []
        if kinds[INTERPOLATED]:
            text = f"{kinds[INTERPOLATED]} of {len(self.how)} points have seconds interpolated "
            text += "between measured shapes."
            found.append(Message("SC222", text, "info"))
        if kinds[EXTRAPOLATED]:
            text = f"{kinds[EXTRAPOLATED]} of {len(self.how)} points lie beyond the measured "
            text += "shapes: their seconds assume the throughput of the nearest."
            mend = "scaling bench with more --shapes, and this plan's own study"
            found.append(Message("SC223", text, mend=mend))
        if kinds[ASSUMED]:
            text = f"Seconds of {counted(kinds[ASSUMED], 'point')} rest on a rated peak and an "
            text += "assumed utilisation."
            found.append(Message("SC225", text, "info"))
        return found


@dataclass(frozen=True)
class Rates:
    """What distinct shapes cost, each array of shape (m,), and what every point costs beside.

    Attributes
    ----------
    step, low, high : ndarray
        Seconds of one training step, and its range.
    evaluation : ndarray
        Seconds a validation sequence.
    setup : ndarray
        Seconds of a point before its steps and after them.
    how : ndarray of int
        As in `Times`.
    """

    step: FloatArray
    low: FloatArray
    high: FloatArray
    evaluation: FloatArray
    setup: FloatArray
    how: NDArray[np.int8]

    def times(self, which: ArrayLike, steps: ArrayLike, evaluation: ArrayLike = 0) -> Times:
        """Seconds of points; arithmetic only, so that a search may call it often.

        Parameters
        ----------
        which : array_like of int
            Shape of each point: index into the arrays of this object, shape (n,).
        steps : array_like
            Training steps, shape (n,).
        evaluation : array_like
            Validation sequences [count], shape (n,) or a scalar.

        Returns
        -------
        Times
            The range of a point is in proportion to that of its steps.
        """
        index = np.asarray(which, dtype=np.int64)
        count = np.asarray(steps, dtype=np.float64)
        fixed = self.setup[index] + np.asarray(evaluation) * self.evaluation[index]
        seconds = fixed + count * self.step[index]
        low = seconds * (self.low / self.step)[index]
        high = seconds * (self.high / self.step)[index]
        return Times(seconds, low, high, self.how[index])


@dataclass(frozen=True)
class Calibration:
    """A calibration file.

    Attributes
    ----------
    device : str
        Name of the device.
    kind : {"cpu", "cuda"}
    torch : str
        Version.
    threads : int
        Of each worker.
    workers : int
        Processes that worked at once while it was measured.
    start_seconds : float
        From the start of a worker until it can build its first model, data included.
    record_seconds : float
        To keep the result of a point.
    shapes : mapping of str to Measured
        By `shape_key`.
    peak : float or None
        What MFU is taken against [FLOP/s]: the vendor's for a GPU, measured on a CPU; None if
        unknown.
    peak_source : str or None
        Where the peak stands.
    """

    device: str
    kind: str
    torch: str
    threads: int
    workers: int
    start_seconds: float
    record_seconds: float
    shapes: Mapping[str, Measured]
    peak: float | None = None
    peak_source: str | None = None

    @classmethod
    def read(cls, path: str | Path) -> Calibration:
        """Read what `scaling bench` wrote.

        Raises
        ------
        ConfigError
            SC005 if the file cannot be read, SC012 if it is no calibration of this version.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            fault = Fault("SC005", str(path), f"cannot be read: {error.strerror}", mend=_MEND)
            raise ConfigError(fault) from None
        except ValueError:
            text = ""
        try:
            data: Any = json.loads(text)
        except ValueError:
            data = None
        return cls.of(data, str(path))

    @classmethod
    def of(cls, data: Any, where: str = "calibration") -> Calibration:
        """Check the content of a calibration file; `where` names it in errors.

        Raises
        ------
        ConfigError
            SC012.
        """
        schema = data.get("schema") if isinstance(data, dict) else None
        if schema not in READABLE:
            old = str(schema).startswith("scaling/calibration@")
            found = f"is of version {schema}" if old else "is not a calibration file"
            raise ConfigError(Fault("SC012", where, found, SCHEMA, _MEND))
        try:
            if schema != SCHEMA:
                data = _as_of_today(data)
            shapes = {key: _measured(entry) for key, entry in data["shapes"].items()}
            peak = data["peak_flops"]
            return cls(
                device=str(data["device"]),
                kind=str(data["kind"]),
                torch=str(data["torch"]),
                threads=int(data["threads"]),
                workers=int(_positive(data["workers"])),
                start_seconds=_positive(data["start_seconds"], zero=True),
                record_seconds=_positive(data["record_seconds"], zero=True),
                shapes=shapes,
                peak=None if peak is None else _positive(peak),
                peak_source=None if data["peak_source"] is None else str(data["peak_source"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            found = f"is damaged: {error.__class__.__name__} {error}"
            raise ConfigError(Fault("SC012", where, found, SCHEMA, _MEND)) from None

    def uses(self, keys: Sequence[str], families: Sequence[str], flops: ArrayLike) -> FloatArray:
        """MFU of distinct shapes, shape (m,): as measured, else of the nearest in ln FLOP a step.

        Parameters are those of `rates`; NaN where no shape of the family has one.
        """
        rated = [entry for entry in self.shapes.values() if entry.mfu is not None]
        found = []
        for key, family, work in zip(keys, families, np.asarray(flops).tolist(), strict=True):
            own = self.shapes.get(key)
            if own is None or own.mfu is None:
                own = _nearest([entry for entry in rated if entry.family == family], work)
            found.append(math.nan if own is None or own.mfu is None else own.mfu)
        return np.array(found)

    def rates(self, keys: Sequence[str], families: Sequence[str], flops: ArrayLike) -> Rates:
        """Rates of distinct shapes: as measured, else from the measured ones of their family.

        Parameters
        ----------
        keys : sequence of str
            `shape_key` of each shape, length m.
        families : sequence of str
            Length m.
        flops : array_like
            FLOP of one training step, shape (m,).

        Returns
        -------
        Rates
            To six significant digits; NaN and ``UNKNOWN`` for families that were not measured.
        """
        work = np.asarray(flops, dtype=np.float64)
        table = np.full((5, len(work)), np.nan)
        how = np.full(len(work), UNKNOWN, dtype=np.int8)
        names = np.asarray(families, dtype=object)
        for family in sorted({entry.family for entry in self.shapes.values()}):
            members = np.flatnonzero(names == family)
            if len(members):
                line = _Line.through([e for e in self.shapes.values() if e.family == family])
                table[:, members], how[members] = line.at(work[members])
        for i, key in enumerate(keys):
            entry = self.shapes.get(key)
            if entry is not None:
                how[i] = MEASURED
                table[:, i] = (entry.step, entry.low, entry.high, entry.evaluation,
                               entry.setup + entry.compile)  # fmt: skip
        table[4] += self.record_seconds
        step, low, high, evaluation, setup = (
            np.array([float(f"{x:.6g}") for x in row]) for row in table
        )
        return Rates(step, low, high, evaluation, setup, how)


def _positive(value: Any, *, zero: bool = False) -> float:
    number = float(value)
    if not (math.isfinite(number) and (number > 0 or (zero and number == 0))):
        raise ValueError(f"{value} is not {'zero or ' if zero else ''}above zero")
    return number


def _measured(entry: Mapping[str, Any]) -> Measured:
    step = _positive(entry["seconds_per_step"])
    return Measured(
        family=str(entry["family"]),
        flops=_positive(entry["flops"]),
        step=step,
        low=min(step, _positive(entry["low"])),
        high=max(step, _positive(entry["high"])),
        evaluation=_positive(entry["evaluation_seconds"], zero=True),
        setup=_positive(entry["setup_seconds"], zero=True),
        compile=_positive(entry["compile_seconds"], zero=True),
        memory=None if entry["memory_bytes"] is None else float(entry["memory_bytes"]),
        mfu=None if entry["mfu"] is None else _positive(entry["mfu"]),
    )


def _nearest(entries: Sequence[Measured], flops: float) -> Measured | None:
    """The entry whose FLOP a step are nearest by their ratio; None if there is none."""
    gaps = [abs(math.log(entry.flops / flops)) for entry in entries]
    return entries[gaps.index(min(gaps))] if gaps else None


def _as_of_today(data: Mapping[str, Any]) -> dict[str, Any]:
    """A file of version 2 with what it does not say as null."""
    shapes = {key: {**entry, "mfu": None} for key, entry in data["shapes"].items()}
    return {**data, "peak_flops": None, "peak_source": None, "shapes": shapes}


# --------------------------------------------------------------------------------- interpolation


@dataclass(frozen=True)
class _Line:
    """Measured shapes of a family in the logarithm of FLOP a step, shape (k,) each."""

    x: FloatArray
    step: FloatArray  # ln seconds, monotone
    evaluation: FloatArray  # ln seconds, monotone
    setup: FloatArray
    spread: FloatArray  # ln high - ln low, halved
    scatter: float  # how far single shapes lie from the line, in ln seconds

    @classmethod
    def through(cls, entries: Sequence[Measured]) -> _Line:
        ordered = sorted(entries, key=lambda e: (e.flops, e.step))
        x = np.log([e.flops for e in ordered])
        raw = np.log([e.step for e in ordered])
        evaluation = np.log([max(e.evaluation, 1e-12) for e in ordered])
        spread = np.array([0.5 * math.log(e.high / e.low) for e in ordered])
        setup = np.array([e.setup + e.compile for e in ordered])
        knots, group = np.unique(np.round(x, 9).astype(np.float64), return_inverse=True)
        columns = [_averages(v, group) for v in (raw, evaluation, setup, spread)]
        weights = np.bincount(group).astype(np.float64)
        return cls(
            knots,
            _monotone(columns[0], weights),
            _monotone(columns[1], weights),
            columns[2],
            columns[3],
            _scatter(x, raw),
        )

    def at(self, flops: FloatArray) -> tuple[FloatArray, NDArray[np.int8]]:
        """Rows step, low, high, evaluation, setup of shape (5, m), and how each was found."""
        x = np.log(flops)
        below, above = np.maximum(self.x[0] - x, 0.0), np.maximum(x - self.x[-1], 0.0)
        first, last = self._slopes()
        # Below, a step costs at most what the smallest costs, and at least what throughput that
        # falls as it did before would make it; above, at most what the largest's throughput makes.
        step = np.interp(x, self.x, self.step) - 0.5 * first * below + above
        evaluation = np.interp(x, self.x, self.evaluation) - 0.5 * first * below + above
        outside = 0.5 * first * below + (1.0 - last) * above
        wide = np.interp(x, self.x, self.spread) + self.scatter + outside
        setup = np.interp(x, self.x, self.setup)
        beyond = (below > 1e-9) | (above > 1e-9)
        rows = [np.exp(step), np.exp(step - wide), np.exp(step + wide), np.exp(evaluation), setup]
        return np.array(rows), np.where(beyond, EXTRAPOLATED, INTERPOLATED).astype(np.int8)

    def _slopes(self) -> tuple[float, float]:
        """Slopes of ln seconds at the two ends, between 0 (all overhead) and 1 (all work)."""
        if len(self.x) < 2:
            return LONE_SLOPE, LONE_SLOPE
        slopes = np.clip(np.diff(self.step) / np.diff(self.x), 0.0, 1.0)
        return float(slopes[0]), float(slopes[-1])


def _averages(values: FloatArray, group: IntArray) -> FloatArray:
    return np.asarray(np.bincount(group, values) / np.bincount(group))


def _monotone(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Nearest non-decreasing values in least squares: pool adjacent violators."""
    blocks: list[tuple[float, float, int]] = []  # mean, weight, members
    for value, weight in zip(values, weights, strict=True):
        mean, total, members = float(value), float(weight), 1
        while blocks and blocks[-1][0] > mean:
            before, heavy, many = blocks.pop()
            mean = (before * heavy + mean * total) / (heavy + total)
            total, members = total + heavy, members + many
        blocks.append((mean, total, members))
    return np.concatenate([np.full(members, mean) for mean, _, members in blocks])


def _scatter(x: FloatArray, y: FloatArray) -> float:
    """Error of leaving a shape out: 90% quantile of |ln seconds| from its neighbours' line."""
    if len(x) < 4:
        return LONE_SPREAD
    left, right = x[:-2], x[2:]
    gap = right - left
    share = np.where(gap > 0, (x[1:-1] - left) / np.where(gap > 0, gap, 1.0), 0.5)
    found = np.abs(y[1:-1] - (1 - share) * y[:-2] - share * y[2:])
    return float(np.quantile(found, 0.9))
