"""Checks of how the runs were made, where the table says so: schedules, evaluation, shared noise.

References
----------
Hoffmann et al. (2022), app. B: a cosine more than 25% longer than the run costs loss. Porian et al.
(2024): a warm-up that is long for the run moves the exponent. Muennighoff et al. (2023): up to four
passes over the same data are worth nearly as much as new data, further ones ever less.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.fitting.parts import Check
from scaling.runs.columns import COLUMNS
from scaling.runs.findings.kinds import EVALUATIONS, SCALES
from scaling.runs.words import split_words

Array = NDArray[np.float64]
SHORT, LONG = 0.95, 1.25  # length of a schedule over that of its run
MAX_WARMUP = 0.2  # of a run
MAX_PASSES = 4.0  # over the same data
SAME_PASSES = 1.05  # most over fewest, where all runs made as many
_SCHEDULE = frozenset({"schedule", "horizon", "planned"})
_LENGTH = frozenset({"tokens", "examples", "steps", "end", "length", "horizon"})
_SHARE = frozenset({"share", "fraction", "frac", "ratio", "percent", "pct"})
_FEW = 4


def conduct_checks(
    frame: pd.DataFrame, variables: Sequence[str], cluster: str | None
) -> list[Check]:
    """Judge what the columns of the fitted rows say of how they were made.

    Parameters
    ----------
    frame : DataFrame
        Fitted rows of one group.
    variables : sequence of str
        What the law reads; these may vary.
    cluster : str or None
        What the intervals resample; None without intervals.
    """
    found = [*_schedule(frame), *_warmup(frame), *_one_scale(frame, variables)]
    return [*found, *_dependent(frame, cluster), *_repeated(frame, variables)]


def _judged(name: str, found: str, bad: bool, code: str, wanted: str) -> Check:
    """Return a check that limits what may be concluded, where it does not pass."""
    return Check(name, "warn" if bad else "pass", found, code if bad else None, wanted)


def _amounts(frame: pd.DataFrame, name: str) -> Array | None:
    """Positive numbers of a column; None if it holds anything else."""
    if not pd.api.types.is_numeric_dtype(frame[name]):
        return None
    values = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
    return values if len(values) and (values >= 0).all() and np.isfinite(values).all() else None


def _schedule(frame: pd.DataFrame) -> list[Check]:
    """Whether the learning rate's schedule of every run ended with the run."""
    for name in map(str, frame):
        words = set(split_words(name))
        if name in COLUMNS or not (words & _SCHEDULE and words & _LENGTH):
            continue
        length = _amounts(frame, name)
        own = _amounts(frame, "steps" if "steps" in words else "D") if _has(frame, words) else None
        if length is None or own is None or not (own > 0).all():
            continue
        ratio = length / own
        bad = int(((ratio < SHORT) | (ratio > LONG)).sum())
        text = f'by "{name}", {float(ratio.min()):.3g} to {float(ratio.max()):.3g} times the run'
        text += f"; {bad} of {len(ratio)} runs do not end with it" if bad else ""
        wanted = f"a schedule of {SHORT:g} to {LONG:g} times its run"
        return [_judged("schedule matched", text, bad > 0, "SC447", wanted)]
    return []


def _has(frame: pd.DataFrame, words: set[str]) -> bool:
    return ("steps" if "steps" in words else "D") in frame


def _warmup(frame: pd.DataFrame) -> list[Check]:
    """Which share of each run its warm-up took."""
    for name in map(str, frame):
        words = set(split_words(name))
        if not ("warmup" in words or {"warm", "up"} <= words):
            continue
        values = _amounts(frame, name)
        share = None if values is None else _share(frame, words, values)
        if share is None:
            continue
        bad = int((share > MAX_WARMUP).sum())
        text = f"up to {float(share.max()):.1%} of a run"
        text += f"; above {MAX_WARMUP:.0%} in {bad} of {len(share)} runs" if bad else ""
        wanted = f"{MAX_WARMUP:.0%} of every run or less"
        return [_judged("warm-up", text, bad > 0, "SC447", wanted)]
    return []


def _share(frame: pd.DataFrame, words: set[str], values: Array) -> Array | None:
    if words & {"percent", "pct"}:
        return values / 100.0
    if words & _SHARE or (values <= 1.0).all():
        return values if (values <= 1.0).all() else None
    if not words & {"steps", "tokens", "examples"} or not _has(frame, words):
        return None  # a bare number may be of steps, tokens or sequences
    own = _amounts(frame, "steps" if "steps" in words else "D")
    return None if own is None or not (own > 0).all() else values / own


def _one_scale(frame: pd.DataFrame, variables: Sequence[str]) -> list[Check]:
    """Whether tokenizer, evaluation set and unit of the losses are the same in all rows."""
    same, mixed = [], []
    for name in map(str, frame):
        words = set(split_words(name))
        if (name in COLUMNS and name != "loss_unit") or name in variables:
            continue
        number = pd.api.types.is_numeric_dtype(frame[name])
        if not words & SCALES and (number or not words & EVALUATIONS):
            continue
        values = frame[name].dropna().unique()
        if not len(values):
            continue
        if len(values) == 1:
            same.append(f"{name} {values[0]}")
        else:
            mixed.append(f"{len(values)} values of {name}")
    if not same and not mixed:
        return []
    text = "; ".join(mixed or same[:_FEW])
    wanted = "one tokenizer, one evaluation set and one unit of the loss"
    return [_judged("losses on one scale", text, bool(mixed), "SC124", wanted)]


def _dependent(frame: pd.DataFrame, cluster: str | None) -> list[Check]:
    """Whether rows that share a trunk or a run are resampled together."""
    if cluster is None:
        return []
    for name in ("run", "trunk"):
        values = frame[name].dropna() if name in frame else pd.Series(dtype=object)
        if not values.duplicated().any():
            continue
        text = f"{len(values)} rows share {values.nunique()} {name}s; intervals resample "
        good = cluster == name
        text += f"each {name} whole" if good else f"each {cluster} by itself"
        wanted = f"rows of one {name} resampled together"
        return [_judged("dependent rows", text, not good, "SC448", wanted)]
    return []


def _repeated(frame: pd.DataFrame, variables: Sequence[str]) -> list[Check]:
    """Whether a law that knows no repeats was fitted to runs that saw their data often.

    Where every run made as many passes, a law of D is one of distinct data too.
    """
    if "D" not in variables or "D_unique" in variables or not {"D", "D_unique"} <= set(frame):
        return []
    seen, distinct = _amounts(frame, "D"), _amounts(frame, "D_unique")
    if seen is None or distinct is None or not (distinct > 0).all():
        return []
    passes = seen / distinct
    if passes.max() <= 1.0 or passes.max() <= SAME_PASSES * passes.min():
        return []
    bad = int((passes > MAX_PASSES).sum())
    text = f"up to {float(passes.max()):.4g} passes"
    text += f"; more than {MAX_PASSES:g} in {bad} of {len(passes)} runs" if bad else ""
    wanted = f"at most {MAX_PASSES:g} passes over the same data"
    return [_judged("repeated data", text, bad > 0, "SC452", wanted)]
