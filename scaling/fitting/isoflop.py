"""IsoFLOP minima: the best size of each budget, and the power law through them.

Chinchilla's approach 2 (Hoffmann et al. 2022, sec. 3.2), with the choice of curve open, because a
parabola is biased where the two exponents differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.interpolate import Akima1DInterpolator

from scaling.errors import ConfigError, Fault, Message, TableError
from scaling.fitting.result import Allocation, Minimum
from scaling.runs.table import RunsTable

Array = NDArray[np.float64]
DEGREES = {"parabola": 2, "cubic": 3, "quartic": 4}
MINIMA = (*DEGREES, "spline")
GRID = 801
CLUSTER_GAP = 0.1  # decades of C that part two budgets where none are given
MIN_DRAWS = 20


@dataclass(frozen=True)
class Options:
    """How to find minima: the curve, what to do at edges, replicates, level and seed."""

    minimum: str = "cubic"
    edge: str = "refuse"
    draws: int = 1000
    interval: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class _Budget:
    """One budget: its runs sorted by size, and the distinct sizes."""

    budget: float
    u: Array  # ln N of each run
    v: Array  # ln D of each run
    y: Array  # ln loss of each run


def isoflop_allocation(
    table: RunsTable, options: Options, group: str | None, member: NDArray[np.bool_]
) -> Allocation:
    """Find the minimum of each budget and the exponents through those that are bracketed.

    Parameters
    ----------
    table : RunsTable
        With N, D, C and loss, and preferably ``budget``.
    options : Options
    group : str or None
    member : ndarray of bool
        Rows of the group.

    Returns
    -------
    Allocation
        ``a`` is None with fewer than 3 bracketed minima. The interval re-draws the noise: each
        budget's losses are replaced by its curve plus noise of the pooled residual spread.

    Raises
    ------
    ConfigError
        SC004 for unknown options.
    TableError
        SC105 if a column is missing.
    """
    _check(table, options, group)
    rows = table.used & member
    frame = table.frame.loc[rows]
    budgets, found = _budgets(frame)
    messages = list(found)
    refuse = options.edge == "refuse"
    minima = [_minimum(b, options.minimum, refuse) for b in budgets]
    curves = tuple(_curve(b, options.minimum) for b in budgets if len(np.unique(b.u)) >= 3)
    refused = [m for m in minima if not m.bracketed]
    if refused:
        text = "; ".join(f"{m.budget:.3g}: {m.why}" for m in refused)
        messages.append(Message("SC406", f"Minimum not bracketed at {text}."))
    good = [m for m in minima if m.N is not None and (m.bracketed or not refuse)]
    cost = {"name": "table", "formula": f"C as in the table ({table.columns['C'].source})"}
    method = f"{options.minimum} of ln loss in ln N"
    if len(good) < 3:
        messages.append(
            Message("SC417", f"{len(good)} budgets have a bracketed minimum; no exponent is given.")
        )
        return Allocation(
            group,
            "isoflop",
            None,
            None,
            None,
            tuple(minima),
            {},
            curves,
            cost,
            tuple(messages),
            method,
        )
    line_n = _line([m.budget for m in good], [m.N for m in good])
    line_d = _line([m.budget for m in good], [m.D for m in good])
    interval, more = _interval(budgets, minima, options)
    return Allocation(
        group,
        "isoflop",
        line_n[1],
        line_d[1],
        interval,
        tuple(minima),
        {"N": line_n, "D": line_d},
        curves,
        cost,
        (*messages, *more),
        method,
    )


def _check(table: RunsTable, options: Options, group: str | None) -> None:
    if options.minimum not in MINIMA:
        known = ", ".join(MINIMA)
        raise ConfigError(Fault("SC004", "--minimum", f'"{options.minimum}"', f"one of {known}"))
    if options.edge not in ("refuse", "keep"):
        raise ConfigError(Fault("SC004", "--edge", f'"{options.edge}"', "refuse or keep"))
    missing = [c for c in ("N", "D", "C") if c not in table.frame]
    if missing:
        where = (table.file or "frame") + (f" group {group}" if group else "")
        found = f"no column for {missing[0]}"
        raise TableError(Fault("SC105", where, found, "N, D (or C) and loss"))


def _budgets(frame: pd.DataFrame) -> tuple[list[_Budget], list[Message]]:
    """Split the runs by planned budget, or by gaps in log C where none is planned."""
    messages = []
    if "budget" in frame and frame["budget"].notna().any():
        labels = frame["budget"].to_numpy(dtype=np.float64)
    else:
        log_c = np.log10(frame["C"].to_numpy(dtype=np.float64))
        order = np.argsort(log_c, kind="stable")
        jumps = np.concatenate([[0], np.cumsum(np.diff(log_c[order]) > CLUSTER_GAP)])
        cluster = np.empty(len(order), dtype=int)
        cluster[order] = jumps
        centres = {k: 10 ** float(np.median(log_c[cluster == k])) for k in set(cluster.tolist())}
        labels = np.array([centres[k] for k in cluster.tolist()])
        text = f"No budget column: {len(centres)} budgets were found by clustering log C."
        messages.append(Message("SC115", text, "info"))
    out = []
    for budget in sorted(set(labels[np.isfinite(labels)].tolist())):
        part = frame.loc[labels == budget]
        u, v, y = (np.log(part[c].to_numpy(dtype=np.float64)) for c in ("N", "D", "loss"))
        order = np.argsort(u, kind="stable")
        out.append(_Budget(budget, u[order], v[order], y[order]))
    return out, messages


def _smooth(u: Array, y: Array, minimum: str) -> Callable[[Array], Array]:
    """Fit the curve of ln loss in ln N; ties in N are averaged for the spline."""
    if minimum == "spline":
        nodes, inverse = np.unique(u, return_inverse=True)
        means = np.bincount(inverse, weights=y) / np.bincount(inverse)
        return Akima1DInterpolator(nodes, means)
    centre = u.mean()
    degree = min(DEGREES[minimum], len(np.unique(u)) - 1)
    coefficients = np.polynomial.polynomial.polyfit(u - centre, y, degree)
    return lambda x: np.polynomial.polynomial.polyval(x - centre, coefficients)


def _needed(minimum: str) -> int:
    return 5 if minimum == "spline" else DEGREES[minimum] + 1


def _minimum(b: _Budget, minimum: str, refuse: bool) -> Minimum:
    levels = np.unique(b.u)
    if len(levels) < max(3, _needed(minimum)):
        return Minimum(b.budget, None, None, None, False, f"only {len(levels)} sizes")
    at, value, inside = _argmin(b, b.y, minimum)
    means = np.array([b.y[b.u == level].mean() for level in levels])
    lowest = int(means.argmin())
    why = None
    if not inside:
        why = "the fitted curve is lowest at the edge of the sizes"
    elif lowest in (0, len(levels) - 1):
        why = "the lowest loss is at the edge of the sizes"
    if why and refuse:
        return Minimum(b.budget, None, None, None, False, why)
    return Minimum(
        b.budget,
        float(np.exp(at)),
        float(np.exp(_tokens(b, at))),
        float(np.exp(value)),
        why is None,
        why,
    )


def _argmin(b: _Budget, y: Array, minimum: str) -> tuple[float, float, bool]:
    """Lowest point of the curve between the smallest and the largest size."""
    curve = _smooth(b.u, y, minimum)
    grid = np.linspace(b.u[0], b.u[-1], GRID)
    values = curve(grid)
    k = int(np.argmin(values))
    if k in (0, GRID - 1):
        return float(grid[k]), float(values[k]), False
    left, mid, right = values[k - 1], values[k], values[k + 1]
    bend = left - 2 * mid + right
    shift = 0.5 * (left - right) / bend if bend > 0 else 0.0
    at = float(grid[k] + shift * (grid[1] - grid[0]))
    return at, float(curve(np.array([at]))[0]), True


def _tokens(b: _Budget, at: float) -> float:
    """Log tokens at a log size of the budget, between its runs."""
    levels, index = np.unique(b.u, return_index=True)
    return float(np.interp(at, levels, b.v[index]))


def _curve(b: _Budget, minimum: str) -> dict[str, object]:
    kind = minimum if len(np.unique(b.u)) >= _needed(minimum) else "parabola"
    grid = np.linspace(b.u[0], b.u[-1], 60)
    values = np.exp(_smooth(b.u, b.y, kind)(grid))
    return {"budget": b.budget, "N": np.exp(grid).tolist(), "loss": values.tolist()}


def _line(budgets: list[float], values: list[float | None]) -> list[float]:
    """Least squares of ln value on ln budget: intercept and slope."""
    x, y = np.log(np.asarray(budgets)), np.log(np.asarray(values, dtype=np.float64))
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())
    return [float(y.mean() - slope * x.mean()), slope]


def _interval(
    budgets: list[_Budget], minima: list[Minimum], options: Options
) -> tuple[dict[str, object] | None, list[Message]]:
    """Re-draw the noise of every budget and repeat the whole procedure."""
    kept = [b for b, m in zip(budgets, minima, strict=True) if m.N is not None]
    smooth = "cubic" if options.minimum == "spline" else options.minimum
    centres = [_smooth(b.u, b.y, smooth)(b.u) for b in kept]
    square = sum(float(((b.y - c) ** 2).sum()) for b, c in zip(kept, centres, strict=True))
    free = sum(len(b.u) - min(DEGREES[smooth] + 1, len(np.unique(b.u))) for b in kept)
    if not options.draws:
        return None, []
    if free < 3:
        text = "Too few runs beyond the curves' own parameters to estimate noise: no interval of a."
        return None, [Message("SC416", text)]
    sigma = np.sqrt(square / free)
    slopes = []
    for k in range(options.draws):
        rng = np.random.default_rng([options.seed, k])
        found = []
        for b, centre in zip(kept, centres, strict=True):
            at, _, inside = _argmin(
                b, centre + sigma * rng.standard_normal(len(b.u)), options.minimum
            )
            if inside:
                found.append((b.budget, np.exp(at), np.exp(_tokens(b, at))))
        if len(found) >= 3:
            c, n, d = (list(column) for column in zip(*found, strict=True))
            slopes.append((_line(c, n)[1], _line(c, d)[1]))
    if options.draws < MIN_DRAWS:
        text = f"{options.draws} replicates are too few for an interval of a; {MIN_DRAWS} or more."
        return None, [Message("SC416", text)]
    if len(slopes) < MIN_DRAWS:
        return None, [Message("SC409", "Most noise replicates lost their minima: no interval.")]
    tail = 50.0 * (1.0 - options.interval)
    lo, hi = np.percentile(np.array(slopes), [tail, 100.0 - tail], axis=0)
    lost = options.draws - len(slopes)
    messages = []
    if lost > 0.01 * options.draws:
        messages.append(
            Message("SC409", f"{lost} of {options.draws} noise replicates lost minima.")
        )
    kind = f"noise injection, residual SD {sigma:.2%} of loss, percentile"
    interval = {
        "level": options.interval,
        "kind": kind,
        "draws": len(slopes),
        "failed": lost,
        "a": [float(lo[0]), float(hi[0])],
        "b": [float(lo[1]), float(hi[1])],
    }
    return interval, messages
