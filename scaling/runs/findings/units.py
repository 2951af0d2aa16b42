"""Units, factors and columns that are not what they seem."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.errors import Message, clip, printable
from scaling.runs.findings.view import View, in_expression
from scaling.runs.names import guesses
from scaling.runs.numbers import looks_suffixed
from scaling.runs.words import split_words

_LOG_1000 = math.log(1000.0)
_USUAL_RATIO = 30.0  # of D to N, between compute-optimal runs and long ones
_SLIPS = {
    1.0: "multiply-accumulates of the forward pass (N D)",
    2.0: "the forward pass only (2 N D)",
    3.0: "multiply-accumulates instead of FLOP (3 N D)",
    6.0: "",
    8.0: "a forward pass computed twice (8 N D)",
    12.0: "a factor 2 too many (12 N D)",
}
_NEAR = 50  # points of a name that was considered


def missing_roles(view: View) -> Iterator[Message]:
    """N or D that was not found, with the columns that came near."""
    table = view.table
    for role, other in (("N", "D"), ("D", "N")):
        if role in table.frame or "loss" not in table.frame:
            continue
        near = [
            header
            for header in table.source
            if any(g.role == role and g.points >= _NEAR for g in guesses(header))
            or (role == "N" and header.lower() == "size")
            if _countable(table.source[header])
        ]
        mend = "; ".join(f"--map {role}={_as_map(header)}" for header in near[:2])
        product = _steps_times_batch(view) if role == "D" else ""
        if product:
            near, mend = [*near, product], f"--map D={product}"
        found = f" (columns that come near: {', '.join(clip(n, 30) for n in near[:4])})" * bool(
            near
        )
        text = f"No column was read as {role}{found}: only laws without {role} can be fitted"
        sure = bool(near) or other in table.frame or not {"N", "D", "C"} & set(table.frame)
        yield view.say("SC105", text, None, mend, "warning" if sure else "info")


def _countable(cells: NDArray[Any]) -> bool:
    return cells.dtype != object or looks_suffixed(pd.Series(cells))


def _as_map(header: str) -> str:
    return in_expression(header) if header.isidentifier() else f"'{in_expression(header)}'"


def _steps_times_batch(view: View) -> str:
    """The product that gives D where a table has steps and the tokens of a batch."""
    headers = [str(h) for h in view.table.source]
    batches = [
        h for h in headers if {"batch"} <= set(split_words(h)) and {"tokens"} & set(split_words(h))
    ]
    reading = view.table.columns.get("steps")
    if not batches or reading is None or reading.header is None:
        return ""
    return f"{in_expression(reading.header)}*{in_expression(batches[0])}"


def compute_against_6nd(view: View) -> Iterator[Message]:
    """C/(N D) far from 6, with the slip that explains it; rows that differ from the others."""
    budget = "C" in view.table.columns and view.table.columns["C"].source == "= budget"
    if not (view.own("N") and view.own("D") and (view.own("C") or budget)):
        return
    ratio = view.numbers("C") / (view.numbers("N") * view.numbers("D"))
    if np.isnan(ratio).all() or _counted_by_us(view):
        return
    median = float(np.nanmedian(ratio))
    apart = np.abs(np.log(ratio / median)) > math.log(30.0)
    if apart.any():
        text = f"C/(N D) is {median:.3g} in most rows, but 30 times more or less in others"
        yield view.say("SC118", text, apart, "write each column in one unit")
    counted = {"N_body", "N_head"} <= set(view.table.frame)  # heads and attention are in C
    if counted and "token" not in view.table.columns["loss"].unit:
        return  # a convolution multiplies by each weight many times an image
    low, high = (2.0, 18.0) if counted else (4.0, 8.0)
    if not low <= median <= high:
        yield _far_from_6(view, median)


def _counted_by_us(view: View) -> bool:
    """Whether a sweep of ours wrote the table: its C is counted from shapes, convolutions too."""
    frame = view.table.frame
    if not {"C_6nd", "N_body", "N_head", "trunk"} <= set(frame):
        return False
    six = frame["C_6nd"].to_numpy(dtype=np.float64) / (view.numbers("N") * view.numbers("D"))
    return bool(np.allclose(six[np.isfinite(six)], 6.0, rtol=1e-9))


def _far_from_6(view: View, median: float) -> Message:
    slip, thousands = _likely_slip(median)
    text = f"The median of C/(N D) is {median:.3g}, far from 6"
    if slip is None or (slip == 6.0 and not thousands):
        severity = "info" if 2.0 <= median <= 18.0 else "warning"
        mend = "check units and factors of N, D and C"
        return view.say("SC113", text, None, mend, severity)  # type: ignore[arg-type]
    causes, mend = [], ""
    if thousands:
        factor = f"1e{3 * abs(thousands)}"
        causes.append(f"{'C is' if thousands < 0 else 'N or D is'} short of a factor {factor}")
        column = "C" if thousands < 0 else _short(view)
        mend = view.map(column, "{}*" + factor)
    if slip != 6.0:
        cause = f"C is {_SLIPS[slip]}"
        if not thousands and slip < 4.0:
            cause += ", or N counts parameters that are looked up and not multiplied"
        causes.append(cause)
        factor = f"{6.0 / slip:g}" + (f"*1e{3 * -thousands}" if thousands < 0 else "")
        mend = mend if thousands > 0 else "if C is so: " + view.map("C", "{}*" + factor)
    return view.say("SC113", text + "; likely " + " and ".join(causes), None, mend)


def _short(view: View) -> str:
    """Whether N or D needs a factor, so that D/N comes nearer to what is usual."""
    ratio = float(np.nanmedian(view.numbers("D") / view.numbers("N")))
    return "D" if ratio < _USUAL_RATIO else "N"


def _likely_slip(ratio: float) -> tuple[float | None, int]:
    """The constant and the power of 1000 that explain a C/(N D), if any does within 15%."""
    best: tuple[float, float | None, int] = (math.log(1.15), None, 0)
    for slip in _SLIPS:
        thousands = round((math.log(ratio) - math.log(slip)) / _LOG_1000)
        if abs(thousands) <= 7:
            error = abs(math.log(ratio / slip) - thousands * _LOG_1000)
            # A pure power of 1000 is likelier than one with another constant beside it.
            error += 0.0 if slip == 6.0 or thousands == 0 else 0.05
            best = min(best, (error, slip, thousands), key=lambda b: b[0])
    return best[1], best[2]


def magnitudes(view: View) -> Iterator[Message]:
    """Counts that must be thousands, millions or billions."""
    if "N_body" in view.table.frame:  # counted, not written down
        return
    n, d = view.numbers("N"), view.numbers("D")
    both = view.own("N") and view.own("D")
    for column, values, other in (("N", n, d), ("D", d, n)):
        if not view.own(column) or view.table.columns[column].scale != 1.0:
            continue
        top = float(np.nanmax(values))
        parts = bool(np.nanmax(np.abs(values - np.round(values))) > 0)
        beside = float(np.nanmedian(other)) if not np.isnan(other).all() else 0.0
        tiny = column == "N" and top < 1000
        if top < 2e4 and (tiny or (parts and top < 2000) or beside > 1e6 * top):
            text = f"{column} is at most {top:.4g}: is it in millions or billions?"
            mend = f"millions: {view.map(column, '{}*1e6')}; billions: "
            yield view.say("SC118", text, None, mend + view.map(column, "{}*1e9"))
    if view.own("C") and not both and view.table.columns["C"].scale == 1.0:
        top = float(np.nanmax(view.numbers("C")))
        if top < 1e6:
            text = f"C is at most {top:.4g}: is it in units of 1e18 or 1e21?"
            yield view.say("SC118", text, None, view.map("C", "{}*1e18"))


def gaps(view: View) -> Iterator[Message]:
    """Two units down one column leave a gap that no sweep has."""
    for column in ("N", "D", "C"):
        if not view.own(column):
            continue
        values = view.numbers(column)
        known = np.sort(np.log10(values[~np.isnan(values)]))
        if len(known) < 3:
            continue
        steps = np.diff(known)
        at = int(np.argmax(steps))
        if steps[at] < 4.0:
            continue
        border = 10 ** (0.5 * (known[at] + known[at + 1]))
        below, above = values < border, values >= border
        apart = below if below.sum() <= above.sum() else above
        text = f"{column} jumps from {10 ** known[at]:.3g} to {10 ** known[at + 1]:.3g}: are there "
        text += f"two units down one column, with {int(apart.sum())} of {len(known)} values apart?"
        yield view.say("SC118", text, apart, "write the column in one unit")


def swapped(view: View) -> Iterator[Message]:
    """N and D, or data seen and data available, under each other's name."""
    seen = view.numbers("D")
    if view.own("N") and view.own("D"):
        n = view.numbers("N")
        known = ~np.isnan(n) & ~np.isnan(seen)
        if known.sum() >= 3 and (seen < n)[known].mean() > 0.9 and np.nanmax(seen) > 1e7:
            text = "D is smaller than N in nearly all rows: are the columns swapped?"
            yield view.say("SC135", text, None, _exchange(view, "N", "D"), "info")
    if not (view.own("D") and view.own("D_unique")):
        return
    unique = view.numbers("D_unique")
    known = ~np.isnan(seen) & ~np.isnan(unique)
    if known.sum() < 3 or len(np.unique(unique[known])) < 2:
        return
    above = known & (unique > seen * 1.0001)
    if above.sum() >= 0.5 * known.sum():
        text = "The data available exceed the data seen in most rows: are the columns swapped?"
        yield view.say("SC135", text, above, _exchange(view, "D", "D_unique"))


def _exchange(view: View, one: str, other: str) -> str:
    sources = [view.table.columns[c].header or c for c in (other, one)]
    pairs = zip((one, other), sources, strict=True)
    return " ".join(f"--map '{role}=source[\"{printable(h)}\"]'" for role, h in pairs)
