"""Runs as importers gather them, put together into one table and its curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from scaling.errors import Message, clip
from scaling.runs.importers.base import Imported
from scaling.runs.importers.sources import Cell, clean
from scaling.runs.names import guesses

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RATES = {"lr", "learningrate", "peaklr", "maxlr"}


@dataclass(frozen=True)
class Series:
    """One metric of one run: its points in the order of logging.

    Attributes
    ----------
    steps : ndarray of int
        Shape (n,); a step that was logged twice stands twice.
    values : ndarray of float
        Shape (n,).
    """

    steps: Ints
    values: Floats

    @classmethod
    def of(cls, steps: ArrayLike, values: ArrayLike) -> Series:
        """Build a series from anything that NumPy takes."""
        return cls(np.asarray(steps, dtype=np.int64), np.asarray(values, dtype=np.float64))

    def last(self) -> float:
        """Value at the largest step, the last of those logged there."""
        at = np.flatnonzero(self.steps == self.steps.max())
        return float(self.values[at[-1]])

    def __len__(self) -> int:
        return len(self.steps)


@dataclass
class Run:
    """What one run left behind.

    Attributes
    ----------
    name : str
        Unique in its source.
    status : str
        Empty where the source does not say.
    about : dict
        What describes the run and is neither a setting nor a metric, for example its title.
    settings : dict
        Hyperparameters.
    metrics : dict
        Last values that the source states itself; the series give the others.
    series : dict
        Metric name to its points.
    """

    name: str
    status: str = ""
    about: dict[str, Cell | None] = field(default_factory=dict)
    settings: dict[str, Cell | None] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    series: dict[str, Series] = field(default_factory=dict)

    def last_values(self) -> dict[str, float]:
        """Value of each metric for the table: the last, but of a learning rate the peak."""
        last = {name: series.last() for name, series in self.series.items() if len(series)}
        rates = {name for name in self.series if is_rate(name) and len(self.series[name])}
        peaks = {name: _peak(self.series[name].values) for name in rates}
        return last | self.metrics | peaks


def _diverged(run: Run) -> bool:
    """Whether a run that is said to be done ends without a finite loss."""
    if run.status not in ("", "done"):
        return False
    losses = (n for n in run.series if any(g.role == "loss" for g in guesses(n)))
    return any(len(run.series[n]) and not np.isfinite(run.series[n].last()) for n in losses)


def is_rate(metric: str) -> bool:
    """Whether a metric is a learning rate, by the last part of its name."""
    return "".join(filter(str.isalnum, metric.rsplit("/", 1)[-1].lower())) in RATES


def _peak(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.max()) if len(known) else float("nan")


def assemble(
    runs: Sequence[Run],
    name: str,
    *,
    sha256: str | None = None,
    messages: Iterable[Message] = (),
    rows: Sequence[int] | None = None,
) -> Imported:
    """Put runs into one table and one frame of curves.

    A setting and a metric of one name are told apart: the metric gives way where the setting is a
    number in every run, else the setting does.

    Parameters
    ----------
    runs : sequence of Run
        At least one; names are unique.
    name : str
        The source in messages.
    sha256 : str, optional
        Digest of the source file.
    messages : iterable of Message
        What was decided before.
    rows : sequence of int, optional
        Place of each run in its source; counted from 1 by default.
    """
    told = list(messages)
    last = [run.last_values() for run in runs]
    settings, metrics = _names(runs, last)
    moved = [old for names in (settings, metrics) for old, new in names.items() if old != new]
    if moved:
        text = "Names that settings, metrics or the table itself share were told apart by a prefix"
        told.append(Message("SC143", f"{text}: {_some(moved)}.", "info"))
    told += _peaks_told(runs)
    statuses = ["diverged" if _diverged(run) else run.status for run in runs]
    ended = [r.name for r, status in zip(runs, statuses, strict=True) if status != r.status]
    if ended:
        told.append(
            Message("SC134", f"Counted as diverged, for a loss ends in NaN: {_some(ended)}.")
        )
    columns: dict[str, object] = {
        "run": _column([run.name for run in runs]),
        "status": _column(statuses),
    }
    for title in _ordered(run.about for run in runs):
        columns[title] = _column([run.about.get(title) for run in runs])
    for old, new in settings.items():
        columns[new] = _column([run.settings.get(old) for run in runs])
    for old, new in metrics.items():
        columns[new] = np.array([values.get(old, np.nan) for values in last], dtype=np.float64)
    return Imported(
        cells=pd.DataFrame(columns),
        rows=np.asarray(rows if rows is not None else range(1, len(runs) + 1), dtype=np.int64),
        name=name,
        curves=_curves(runs, metrics),
        sha256=sha256,
        messages=tuple(told),
    )


def _ordered(maps: Iterable[Mapping[str, object]]) -> list[str]:
    return list(dict.fromkeys(name for names in maps for name in names))


def _some(names: Sequence[str], limit: int = 6) -> str:
    shown = ", ".join(clip(name, 40) for name in names[:limit])
    return shown + (f" … and {len(names) - limit} more" if len(names) > limit else "")


def _peaks_told(runs: Sequence[Run]) -> list[Message]:
    rates = [name for name in _ordered(run.series for run in runs) if is_rate(name)]
    if not rates:
        return []
    text = f"The table holds the peak, not the last value, of the learning rate ({_some(rates)})."
    return [Message("SC143", text, "info")]


def _names(
    runs: Sequence[Run], last: Sequence[Mapping[str, float]]
) -> tuple[dict[str, str], dict[str, str]]:
    """Map settings and metrics to column names, all different."""
    settings, metrics = _ordered(run.settings for run in runs), _ordered(last)
    taken = {"run", "status", "step", *_ordered(run.about for run in runs)}
    both = set(settings) & set(metrics)
    numeric = {name for name in both if all(_is_number(run.settings.get(name)) for run in runs)}
    free = taken | set(settings) | set(metrics)
    new_settings = {
        old: _prefixed("setting/", old, free) if old in taken | (both - numeric) else old
        for old in settings
    }
    new_metrics = {
        old: _prefixed("metric/", old, free) if old in taken | numeric else old for old in metrics
    }
    return new_settings, new_metrics


def _is_number(value: Cell | None) -> bool:
    try:
        float("nan" if value is None else value)
    except (ValueError, OverflowError):
        return False
    return True


def _prefixed(prefix: str, name: str, taken: set[str]) -> str:
    name = prefix + name
    while name in taken:
        name = prefix + name
    taken.add(name)
    return name


def _column(values: Sequence[Cell | None]) -> object:
    """Numbers where all cells are, without loss; else text, empty where missing."""
    present = [value for value in values if value is not None]
    numbers = [value for value in present if not isinstance(value, str)]
    if numbers and len(numbers) == len(present):
        integers = [value for value in numbers if isinstance(value, int)]
        if len(integers) == len(values) and all(-(2**63) <= v < 2**63 for v in integers):
            return np.array(integers, dtype=np.int64)
        if all(abs(value) <= 2**53 for value in integers):
            return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    return pd.Series([_text(value) for value in values], dtype=object)


def _text(value: Cell | None) -> str:
    return "" if value is None else clean(value) if isinstance(value, str) else repr(value)


def _curves(runs: Sequence[Run], metrics: Mapping[str, str]) -> pd.DataFrame | None:
    frames = []
    for run in runs:
        series = {metrics[name]: item for name, item in run.series.items() if len(item)}
        if series:
            frame = widen(series)
            frame.insert(0, "run", pd.Series([run.name] * len(frame), dtype=object))
            frames.append(frame)
    if not frames:
        return None
    order = ["run", "step", *(new for new in metrics.values() if any(new in f for f in frames))]
    return pd.concat(frames, ignore_index=True)[order]


def widen(series: Mapping[str, Series]) -> pd.DataFrame:
    """Bring series to one row a step; a step logged k times has k rows.

    Returns
    -------
    DataFrame
        ``step``, ascending, and one column a series, NaN where it was not logged.
    """
    counts = {name: _occurrence(item.steps) for name, item in series.items()}
    steps = np.concatenate([item.steps for item in series.values()])
    times = np.concatenate(list(counts.values()))
    order = np.lexsort((times, steps))
    first = np.ones(len(order), dtype=bool)
    first[1:] = (np.diff(steps[order]) != 0) | (np.diff(times[order]) != 0)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.cumsum(first) - 1
    columns: dict[str, NDArray[np.generic]] = {"step": steps[order][first]}
    start = 0
    for name, item in series.items():
        values = np.full(int(first.sum()), np.nan)
        values[place[start : start + len(item)]] = item.values
        columns[name] = values
        start += len(item)
    return pd.DataFrame(columns)


def _occurrence(steps: Ints) -> Ints:
    """How often each step stood before, shape (n,)."""
    order = np.argsort(steps, kind="stable")
    ordered = steps[order]
    fresh = np.ones(len(steps), dtype=bool)
    fresh[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(fresh)
    count = np.empty(len(steps), dtype=np.int64)
    count[order] = np.arange(len(steps)) - starts[np.cumsum(fresh) - 1]
    return count


def merge_restarts(parts: Sequence[tuple[Series, Floats]]) -> tuple[Series, int]:
    """Join what several files say of one metric; of a step in two files the later one counts.

    Parameters
    ----------
    parts : sequence of (Series, ndarray)
        Points of each file with their wall times, shape (n,) each.

    Returns
    -------
    Series
        The joined points, by step.
    int
        How many points gave way.
    """
    if len(parts) == 1:
        return parts[0][0], 0
    steps = np.concatenate([series.steps for series, _ in parts])
    values = np.concatenate([series.values for series, _ in parts])
    walls = np.concatenate([wall for _, wall in parts])
    files = np.repeat(np.arange(len(parts)), [len(series) for series, _ in parts])
    order = np.lexsort((files, walls, steps))
    ends = np.ones(len(steps), dtype=bool)
    ends[:-1] = steps[order][1:] != steps[order][:-1]
    group = np.concatenate(([0], np.cumsum(ends)[:-1])).astype(np.int64)
    keep = files[order] == files[order][ends][group]
    kept = order[keep]
    return Series(steps[kept], values[kept]), int(len(steps) - len(kept))
