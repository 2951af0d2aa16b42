"""The envelope of loss against compute: which runs are best at their compute, and how they grow.

Chinchilla's approach 1 (Hoffmann et al. 2022, sec. 3.1). The frontier of a law with a floor is
convex in logs, so the best runs are the corners of the lower convex hull of (ln C, ln loss): no
bins, and no run that is merely the best of a thin neighbourhood. Published bins are kept as a way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault, Message
from scaling.fitting.inputs import require_columns
from scaling.fitting.lines import Draws, Line, interval_from, line_through
from scaling.fitting.optima import Allocation, Minimum
from scaling.fitting.options import check_level
from scaling.runs.table import RunsTable, clusters, curves_of

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
LEAST = 3  # winners that make a line
SAME_SIZE = 1e-6  # of ln N


@dataclass(frozen=True)
class Options:
    """How to take the envelope.

    Attributes
    ----------
    bins : tuple of (float, float, int) or int, optional
        Equal bins of log C, or ends and number of bins, of which each gives its lowest loss at its
        centre (Cherti et al. 2023); the convex hull if None.
    edge : {"refuse", "keep"}
        What to do with winners of the smallest or largest size, beside which a better one may lie.
    draws, interval, seed : int, float, int
        Replicates, level and seed of the interval.
    """

    bins: int | tuple[float, float, int] | None = None
    edge: str = "refuse"
    draws: int = 1000
    interval: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class _Points:
    """Points of all runs: ln C, ln N and ln D (NaN if unknown), ln loss, curve and cluster."""

    c: Array
    u: Array
    v: Array
    y: Array
    curve: Integers
    cluster: Integers

    def rows(self, index: Integers) -> _Points:
        return _Points(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class _Winners:
    """The best runs, from the smallest compute: columns as in `_Points`, and if at an edge."""

    c: Array
    u: Array
    v: Array
    y: Array
    edge: NDArray[np.bool_]


def envelope_allocation(
    table: RunsTable, options: Options, group: str | None, member: NDArray[np.bool_]
) -> Allocation:
    """Find the best runs at their compute and the power laws through them.

    Parameters
    ----------
    table : RunsTable
        With C and loss, and N and D for exponents; finished runs, or whole curves.
    options : Options
    group : str or None
    member : ndarray of bool
        Rows of the group.

    Returns
    -------
    Allocation
        ``a`` is None with fewer than 3 winners between the smallest and the largest size;
        ``line["loss"]`` is the frontier itself.

    Raises
    ------
    ConfigError
        SC004 for unknown options.
    TableError
        SC105 if a column is missing.
    """
    points = _points(table, options, group, member)
    won = _winners(points, options)
    minima = tuple(_minimum(won, i, options.edge == "refuse") for i in range(len(won.c)))
    line = _lines(won, options.edge == "refuse")
    text = "The envelope is made of the luckiest of noisy runs, so it lies below the mean of runs."
    messages = [Message("SC434", text)]
    if len(np.unique(points.curve)) < len(points.curve):
        text = "Points in mid-run lie above what a schedule that ends there would have reached."
        messages.append(Message("SC434", text))
    if np.isnan(points.u).all():
        text = "The table has no N and D, so the envelope says nothing about how to divide compute."
        messages.append(Message("SC417", text, "info"))
    elif "N" not in line:
        inner = int((~won.edge).sum())
        text = f"{inner} of {len(won.c)} best runs lie between the smallest and the largest size; "
        messages.append(Message("SC417", text + "no exponent is given."))
    interval, draws, more = _interval(points, line, options)
    how = "bins of log C" if options.bins is not None else "convex hull"
    return Allocation(
        group,
        "envelope",
        line["N"].slope if "N" in line else None,
        line["D"].slope if "D" in line else None,
        interval=interval,
        minima=minima,
        line={name: [one.level, one.slope] for name, one in line.items()},
        left={name: one.left for name, one in line.items()},
        cost={"name": "table", "formula": f"C as in the table ({table.columns['C'].source})"},
        messages=(*messages, *more),
        method=f"lower {how} of ln loss in ln C" if how == "convex hull" else f"lowest in {how}",
        draws=draws,
    )


def _points(
    table: RunsTable, options: Options, group: str | None, member: NDArray[np.bool_]
) -> _Points:
    if options.edge not in ("refuse", "keep"):
        raise ConfigError(Fault("SC004", "--edge", f'"{options.edge}"', "one of refuse, keep"))
    check_level(options.interval)
    require_columns(table, ("C", "loss"), group)
    frame = table.frame.loc[table.used & member]
    known = {"N", "D"} <= set(frame)

    def logs(name: str) -> Array:
        if not known and name in ("N", "D"):
            return np.full(len(frame), np.nan)
        return np.asarray(np.log(frame[name].to_numpy(dtype=np.float64)))

    name, cluster = clusters(frame)
    curve = curves_of(frame)
    return _Points(
        logs("C"), logs("N"), logs("D"), logs("loss"), curve, curve if name == "row" else cluster
    )


def _winners(points: _Points, options: Options) -> _Winners:
    if options.bins is not None:
        return _best_of_bins(points, options.bins)
    corners = _hull(points.c, points.y)
    # A run may hold several corners of the hull; it stands at the middle of its stretch.
    changes = np.flatnonzero(np.diff(points.curve[corners])) + 1
    rows = []
    for stretch in np.split(corners, changes):
        middle = float(points.c[stretch[[0, -1]]].mean())
        own = (np.interp(middle, points.c[stretch], getattr(points, k)[stretch]) for k in "uvy")
        rows.append([middle, *map(float, own)])
    return _with_edges(np.array(rows), points)


def _with_edges(rows: Array, points: _Points) -> _Winners:
    """Mark winners of the smallest and the largest size."""
    c, u, v, y = rows.T
    with np.errstate(invalid="ignore"):
        ends = np.array([points.u.min(), points.u.max()])
        edge = (np.abs(u[:, None] - ends) < SAME_SIZE).any(axis=1)
    return _Winners(c, u, v, y, edge)


def _hull(x: Array, y: Array) -> Integers:
    """Corners of the lower convex hull up to the lowest point, from the left."""
    order = np.lexsort((y, x))
    last = int(np.flatnonzero(order == np.lexsort((x, y))[0])[0])
    chain: list[int] = []
    for i in order[: last + 1].tolist():
        if chain and x[chain[-1]] == x[i]:
            continue  # the first of equal C is the lowest
        while len(chain) >= 2 and _above(x, y, chain[-2], chain[-1], i):
            chain.pop()
        chain.append(i)
    falling = [chain[0]] + [j for i, j in pairwise(chain) if y[j] < y[i]]
    return np.array(falling, dtype=np.int64)


def _above(x: Array, y: Array, i: int, j: int, k: int) -> bool:
    """Whether point j lies on or above the chord from i to k."""
    return bool((x[j] - x[i]) * (y[k] - y[i]) <= (y[j] - y[i]) * (x[k] - x[i]))


def _best_of_bins(points: _Points, bins: int | tuple[float, float, int]) -> _Winners:
    if isinstance(bins, int):
        low, high, count = float(np.exp(points.c.min())), float(np.exp(points.c.max())), bins
    else:
        low, high, count = bins
    if count < 1 or not 0 < low < high:
        raise ConfigError(Fault("SC004", "--bins", str(bins), "COUNT, or LOW:HIGH:COUNT"))
    edges = np.linspace(np.log(low), np.log(high), count + 1)
    place = np.clip(np.searchsorted(edges, points.c, side="right") - 1, 0, count - 1)
    inside = (points.c >= edges[0] - 1e-12) & (points.c <= edges[-1] + 1e-12)
    rows = []
    for k in range(count):
        own = np.flatnonzero((place == k) & inside)
        if len(own):
            best = own[points.y[own].argmin()]
            centre = 0.5 * (edges[k] + edges[k + 1])
            rows.append([centre, points.u[best], points.v[best], points.y[best]])
    if not rows:
        raise ConfigError(Fault("SC004", "--bins", str(bins), "bins that hold a run"))
    return _with_edges(np.array(rows), points)


def _minimum(won: _Winners, i: int, refuse: bool) -> Minimum:
    why = "the best run is of the smallest or the largest size" if won.edge[i] else None
    hidden = np.isnan(won.u[i]) or (why is not None and refuse)
    return Minimum(
        float(np.exp(won.c[i])),
        None if hidden else float(np.exp(won.u[i])),
        None if hidden else float(np.exp(won.v[i])),
        float(np.exp(won.y[i])),
        why is None,
        why,
    )


def _lines(won: _Winners, refuse: bool) -> dict[str, Line]:
    """Power laws through the winners: N and D through those that are bracketed."""
    lines = {}
    inner = ~won.edge if refuse else np.ones(len(won.c), dtype=bool)
    inner &= np.isfinite(won.u)
    if inner.sum() >= LEAST:
        lines["N"] = line_through(won.c[inner], won.u[inner])
        lines["D"] = line_through(won.c[inner], won.v[inner])
    if len(won.c) >= LEAST:
        lines["loss"] = line_through(won.c, won.y)
    return lines


def _interval(
    points: _Points, line: dict[str, Line], options: Options
) -> tuple[dict[str, object] | None, Draws, list[Message]]:
    """Draw the runs again, whole curves of them, and repeat the whole procedure."""
    if not options.draws or not line:
        return None, {}, []
    labels = np.unique(points.cluster, return_inverse=True)[1]
    rows = [np.flatnonzero(labels == k) for k in range(int(labels.max()) + 1)]
    drawn: dict[str, list[Line]] = {name: [] for name in line}
    fixed = replace(options, bins=_fixed_bins(points, options))
    for k in range(options.draws):
        picked = np.random.default_rng([options.seed, k]).integers(0, len(rows), len(rows))
        again = _lines(
            _winners(points.rows(np.concatenate([rows[i] for i in picked])), fixed),
            options.edge == "refuse",
        )
        if set(again) >= set(line):
            for name in line:
                drawn[name].append(again[name])
    kept = {
        name: [[one.level for one in lines], [one.slope for one in lines]]
        for name, lines in drawn.items()
    }
    kind = "bootstrap of the runs, percentile; the luck of the best is not corrected"
    return interval_from(kept, draws=options.draws, level=options.interval, kind=kind)


def _fixed_bins(points: _Points, options: Options) -> tuple[float, float, int] | None:
    """Replicates keep the bins of the estimate."""
    if isinstance(options.bins, int):
        return float(np.exp(points.c.min())), float(np.exp(points.c.max())), options.bins
    return options.bins
