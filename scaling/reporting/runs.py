"""The runs of a fit as arrays, and lines of its law over compute: what figures are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ScalingError
from scaling.expressions import parse
from scaling.fitting.result import Fit
from scaling.reporting import numbers
from scaling.reporting.document import Tip
from scaling.reporting.wording import anchor_of

Array = NDArray[np.float64]

CURVE_POINTS = 60
MOST_DRAWN = 400  # runs that a figure draws
ENDS = 2  # rows at either end of a column that are always drawn
EXTRAPOLATION = 100.0


@dataclass(frozen=True)
class Runs:
    """The fitted rows: arrays of shape (n,), NaN where the table has no such column."""

    names: tuple[str, ...]
    anchors: tuple[str, ...]
    N: Array
    D: Array
    C: Array
    loss: Array
    budget: Array
    residual: Array

    def at(self, keep: NDArray[np.bool_]) -> Runs:
        """Return the runs that a mask of shape (n,) keeps."""
        chosen = np.flatnonzero(keep)
        columns = (self.N, self.D, self.C, self.loss, self.budget, self.residual)
        return Runs(
            tuple(self.names[i] for i in chosen),
            tuple(self.anchors[i] for i in chosen),
            *(column[keep] for column in columns),
        )


def _floats(rows: Mapping[str, Sequence[Any]], name: str, n: int) -> Array:
    values = rows.get(name) or [None] * n
    return np.array([np.nan if v is None else float(v) for v in values], dtype=np.float64)


def runs_of(fit: Fit, response: str = "loss", which: str = "used", most: int | None = None) -> Runs:
    """Return the rows that were fitted; ``loss`` holds the column named as the response.

    With ``which="held_out"`` they are those that were kept out instead; of more than `most` some
    are chosen as `_few` says.
    """
    used = np.asarray(fit.rows.get(which, []), dtype=bool)
    n = len(used)
    labels = fit.rows.get("run") or [None] * n
    places = fit.rows.get("row") or list(range(n))
    names = [str(r if r is not None else f"row {p}") for r, p in zip(labels, places, strict=True)]
    columns = [
        _floats(fit.rows, name, n)[used] for name in ("N", "D", "C", response, "budget", "residual")
    ]
    chosen = np.flatnonzero(used)
    few = np.arange(len(chosen)) if most is None else _few(columns, most)
    return Runs(
        tuple(names[i] for i in chosen[few]),
        tuple(anchor_of(fit.group, places[i]) for i in chosen[few]),
        *(column[few] for column in columns),
    )


def _few(columns: Sequence[Array], most: int) -> NDArray[np.int64]:
    """Choose at most `most` rows: evenly, with the ends of every column and the worst residuals."""
    n = len(columns[0])
    if n <= most:
        return np.arange(n, dtype=np.int64)
    kept: set[int] = set()
    for column in columns:
        order = [int(i) for i in np.argsort(column, kind="stable") if np.isfinite(column[i])]
        kept |= {*order[:ENDS], *order[-ENDS:]}
    even = np.linspace(0, n - 1, most - len(kept)).round()
    return np.array(sorted(kept | {int(i) for i in even}), dtype=np.int64)


def tips_of(
    runs: Runs, keep: NDArray[np.bool_] | None = None, response: str = "loss"
) -> tuple[Tip, ...]:
    """Return the tip of each run: its name, its values, and its row in the run table."""
    chosen = np.arange(len(runs.names)) if keep is None else np.flatnonzero(keep)
    lines = []
    for i in chosen:
        parts = [runs.names[i]]
        for name, column in (("N", runs.N), ("D", runs.D), ("C", runs.C), (response, runs.loss)):
            if np.isfinite(column[i]):
                parts.append(f"{name} {numbers.quantity(float(column[i]), 4)}")
        if np.isfinite(runs.residual[i]):
            parts.append(f"residual {numbers.percent(float(runs.residual[i]))}")
        lines.append(Tip("\n".join(parts), runs.anchors[i]))
    return tuple(lines)


def cost_of(fit: Fit, runs: Runs) -> Array:
    """Return the compute of each run in the fit's own meaning of C [FLOP], shape (n,).

    Runs and frontier stand in one figure only if both count C alike; where the table lacks N or D
    its own C is all there is.
    """
    if not (np.isfinite(runs.N).all() and np.isfinite(runs.D).all()):
        return runs.C
    try:
        cost = parse(str(fit.cost["formula"]), where="cost", names=("N", "D"))
    except ScalingError:
        return runs.C
    return np.asarray(cost.value({"N": runs.N, "D": runs.D}), dtype=np.float64)


@dataclass(frozen=True)
class Band:
    """A line over C with its interval; ``lo`` and ``hi`` are NaN without draws."""

    C: Array
    y: Array
    lo: Array
    hi: Array


def compute_grid(compute: Array, target: float | None) -> Array:
    """Return the values of C that lines are drawn at: the runs' and up to 100 times as much."""
    largest = float(np.nanmax(compute))
    end = max(largest * EXTRAPOLATION, target or 0.0)
    return np.geomspace(float(np.nanmin(compute)), end, CURVE_POINTS)


def optimum(fit: Fit, compute: Array, level: float = 0.95) -> dict[str, Array] | None:
    """Return columns of ``fit.optimal`` as arrays, or None where the law has no optimum."""
    if (
        not fit.identified
        or set(fit.law.variables) != {"N", "D"}
        or not any(fit.rows.get("used", []))
    ):
        return None
    try:
        frame = fit.optimal(C=compute, interval=level)
    except ScalingError:
        return None
    return {str(name): np.asarray(frame[name]) for name in frame.columns}
