"""IsoFLOP minima: the best size of each budget, and the power law through them.

Chinchilla's approach 2 (Hoffmann et al. 2022, sec. 3.2), with the choice of curve open, because a
parabola is biased where the two exponents differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault, Message
from scaling.fitting import pooled
from scaling.fitting.allocation import lowest_along
from scaling.fitting.bowls import (
    DEGREES,
    DRAWN,
    MINIMA,
    NEEDED,
    Array,
    Bools,
    Bowl,
    Curve,
    Lowest,
    curve_of,
    lowest,
)
from scaling.fitting.inputs import require_columns
from scaling.fitting.lines import Draws, Line, interval_of, line_through
from scaling.fitting.optima import Allocation, Minimum
from scaling.fitting.options import check_level
from scaling.fitting.result import Fit
from scaling.runs.table import RunsTable, clusters

CLUSTER_GAP = 0.1  # decades of C that part two budgets where none are given
WIDEST = 0.15  # decades of C that one budget may span
LEAST = 3  # budgets that make a line
EDGES = ("refuse", "keep")
RESAMPLES = ("noise", "bootstrap")
DIP = 0.97  # of the lowest loss, below which no minimum is believed
WIDE, OFF_CENTRE = np.log(8.5), np.log(2.0)


@dataclass(frozen=True)
class Options:
    """How to find minima.

    Attributes
    ----------
    minimum : str
        Curve: ``powers`` (two powers of N, their exponents pooled over budgets), ``parabola``,
        ``cubic`` or ``quartic`` of the loss in ln N, or ``spline`` (Akima's, in logs).
    edge : {"refuse", "keep"}
        What to do with minima that are not bracketed.
    draws, interval, seed : int, float, int
        Replicates, level and seed of the interval.
    resample : {"noise", "bootstrap"}
        Replicates draw the noise about the curves anew, or the runs of each budget.
    """

    minimum: str = "powers"
    edge: str = "refuse"
    draws: int = 1000
    interval: float = 0.95
    seed: int = 0
    resample: str = "noise"


def isoflop_allocation(
    table: RunsTable, options: Options, group: str | None, member: Bools
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
        ``a`` is None with fewer than 3 bracketed minima.

    Raises
    ------
    ConfigError
        SC004 for unknown options.
    TableError
        SC105 if a column is missing.
    """
    _check(table, options, group)
    bowls, messages = budgets_of(table.frame.loc[table.used & member])
    traced = _trace(bowls, options.minimum)
    found = traced.lowest()
    refuse = options.edge == "refuse"
    minima = [_minimum(b, options.minimum, found.get(b.budget), refuse) for b in bowls]
    refused = [m for m in minima if not m.bracketed]
    if refused:
        text = "; ".join(f"{m.budget:.3g}: {m.why}" for m in refused)
        messages.append(Message("SC406", f"Minimum not bracketed at {text}."))
    messages += _windows(bowls, minima, options.minimum)
    good = [m for m in minima if m.N is not None]
    allocation = Allocation(
        group,
        "isoflop",
        None,
        None,
        minima=tuple(minima),
        curves=_drawn(bowls, traced),
        cost={"name": "table", "formula": f"C as in the table ({table.columns['C'].source})"},
        method=_method(options.minimum),
    )
    if len(good) < LEAST:
        text = f"{len(good)} budgets have a bracketed minimum; no exponent is given."
        if len(bowls) == 1:
            text = (
                "One budget: its best size stands, but nothing says how it moves with compute; "
                "add two budgets or more."
            )
        messages.append(Message("SC417", text))
        return replace(allocation, messages=tuple(messages))
    line = through(good)
    interval, draws, more = _interval(traced.only({m.budget for m in good}), line, options)
    return replace(
        allocation,
        a=line["N"].slope,
        b=line["D"].slope,
        interval=interval,
        line={name: [one.level, one.slope] for name, one in line.items()},
        left={name: one.left for name, one in line.items()},
        draws=draws,
        messages=(*messages, *more),
    )


def _method(minimum: str) -> str:
    if minimum == "powers":
        return "powers of N, shape pooled over budgets"
    return "spline of ln loss in ln N" if minimum == "spline" else f"{minimum} of loss in ln N"


def _check(table: RunsTable, options: Options, group: str | None) -> None:
    for option, value, known in (
        ("--minimum", options.minimum, MINIMA),
        ("--edge", options.edge, EDGES),
        ("--resample", options.resample, RESAMPLES),
    ):
        if value not in known:
            raise ConfigError(Fault("SC004", option, f'"{value}"', "one of " + ", ".join(known)))
    check_level(options.interval)
    require_columns(table, ("N", "D", "C", "loss"), group)


def budgets_of(frame: pd.DataFrame) -> tuple[list[Bowl], list[Message]]:
    """Split the runs by planned budget, or by gaps in log C where none is planned."""
    messages = []
    if "budget" in frame and frame["budget"].notna().any():
        labels = frame["budget"].to_numpy(dtype=np.float64)
    else:
        labels, count, loose = _clustered(np.log10(frame["C"].to_numpy(dtype=np.float64)))
        text = f"No budget column: {count} budgets were found by clustering log C."
        messages.append(Message("SC115", text, "info"))
        if loose:
            text = (
                f"{loose} runs lie at C without gaps over more than ×{10**WIDEST:.2g}, so they "
                "form no budget and are left out of the minima: name budgets in a column."
            )
            messages.append(Message("SC115", text))
    _, cluster = clusters(frame)
    u, v = (np.log(frame[c].to_numpy(dtype=np.float64)) for c in ("N", "D"))
    loss = frame["loss"].to_numpy(dtype=np.float64)
    out = []
    for budget in sorted(set(labels[np.isfinite(labels)].tolist())):
        rows = np.flatnonzero(labels == budget)
        rows = rows[np.argsort(u[rows], kind="stable")]
        out.append(Bowl(budget, u[rows], v[rows], loss[rows], cluster[rows]))
    return out, messages


def _clustered(log_c: Array) -> tuple[Array, int, int]:
    """Label each run by the median of its cluster of C, NaN in clusters too wide for a budget.

    Returns
    -------
    labels : ndarray
    budgets, loose : int
        Number of budgets, and of runs in none.
    """
    order = np.argsort(log_c, kind="stable")
    jumps = np.concatenate([[0], np.cumsum(np.diff(log_c[order]) > CLUSTER_GAP)])
    labels = np.full(len(log_c), np.nan)
    budgets = 0
    for k in range(int(jumps[-1]) + 1):
        members = order[jumps == k]
        if np.ptp(log_c[members]) <= WIDEST:
            labels[members] = 10 ** float(np.median(log_c[members]))
            budgets += 1
    return labels, budgets, int(np.isnan(labels).sum())


# ---------------------------------------------------------------------------------------- minima


@dataclass(frozen=True)
class _Traced:
    """Budgets with enough sizes, with the runs that enter their curves, and the curves.

    Attributes
    ----------
    minimum : str
    bowls : tuple of Bowl
    curves : tuple of Curve
    shape : Shape or None
        What the curves share, if they do.
    """

    minimum: str
    bowls: tuple[Bowl, ...]
    curves: tuple[Curve, ...]
    shape: pooled.Shape | None

    def lowest(self) -> dict[float, Lowest]:
        """Find where each curve is lowest."""
        pairs = zip(self.bowls, self.curves, strict=True)
        return {b.budget: lowest(curve, b, b.y[:, None]) for b, curve in pairs}

    def only(self, budgets: set[float]) -> _Traced:
        """Return the part of some budgets; the curves stay as they are."""
        pairs = zip(self.bowls, self.curves, strict=True)
        kept = [(b, c) for b, c in pairs if b.budget in budgets]
        return replace(self, bowls=tuple(b for b, _ in kept), curves=tuple(c for _, c in kept))


def _trace(bowls: Sequence[Bowl], minimum: str) -> _Traced:
    """Draw a curve through every budget with enough sizes."""
    enough = [b for b in bowls if len(b.sizes) >= NEEDED[minimum]]
    if minimum != "powers" or not enough:
        return _Traced(minimum, tuple(enough), tuple(curve_of(b, minimum) for b in enough), None)
    near = [b.rows(pooled.near_the_minimum(b)) for b in enough]
    shape = pooled.pool(near)
    return _Traced(minimum, tuple(near), tuple(shape.curve(b) for b in near), shape)


def _minimum(b: Bowl, minimum: str, found: Lowest | None, refuse: bool) -> Minimum:
    if found is None:
        return Minimum(b.budget, None, None, None, False, _only(len(b.sizes)))
    means = np.array([b.y[b.u == size].mean() for size in b.sizes])
    at = float(found.u[0])
    why = None
    if not found.bends[0] and minimum in ("powers", "parabola"):
        why = "the fitted curve bends downwards, so it has no minimum: lowest at an edge"
    elif not b.sizes[0] < at < b.sizes[-1] or not found.bends[0]:
        why = "the fitted curve is lowest at the edge of the sizes"
    elif int(means.argmin()) in (0, len(means) - 1):
        why = "the lowest loss is at the edge of the sizes"
    elif float(found.loss[0]) < DIP * float(b.y.min()):
        why = "the fitted curve dips far below every run"
    if why and refuse:
        return Minimum(b.budget, None, None, None, False, why)
    tokens = float(np.exp(b.tokens(np.array(at))))
    offset = float(0.5 * (b.sizes[0] + b.sizes[-1]) - at)
    return Minimum(
        b.budget, float(np.exp(at)), tokens, float(found.loss[0]), why is None, why, offset
    )


def _only(sizes: int) -> str:
    return f"only {sizes} size" + ("s" if sizes != 1 else "")


def _windows(bowls: Sequence[Bowl], minima: Sequence[Minimum], minimum: str) -> list[Message]:
    """Say where a polynomial's runs reach far from the minimum, or lie mostly on one side."""
    if minimum not in DEGREES:
        return []
    wide, aside = [], []
    for b, m in zip(bowls, minima, strict=True):
        if m.N is None or m.offset is None:
            continue
        reach = float(np.abs(b.sizes[[0, -1]] - np.log(m.N)).max())
        if reach > WIDE:
            wide.append(f"{m.budget:.3g} ({np.exp(reach):.3g}×)")
        if abs(m.offset) > OFF_CENTRE:
            aside.append(f"{m.budget:.3g} ({np.exp(m.offset):.2g}×)")
    out = []
    mend = "such a curve is biased there; --minimum powers or spline is not"
    if wide:
        text = f"Sizes reach more than 8× from the minimum at {', '.join(wide)}: {mend}."
        out.append(Message("SC424", text))
    if aside:
        text = f"The centre of the sizes is off the minimum at {', '.join(aside)}: {mend}."
        out.append(Message("SC424", text))
    return out


def _drawn(bowls: Sequence[Bowl], traced: _Traced) -> tuple[Mapping[str, object], ...]:
    """Curve of each budget for figures; a parabola where the chosen one needs more sizes."""
    found = {b.budget: (b, c) for b, c in zip(traced.bowls, traced.curves, strict=True)}
    out = []
    for bowl in bowls:
        if len(bowl.sizes) < LEAST:
            continue
        b, curve = found.get(bowl.budget, (bowl, curve_of(bowl, "parabola")))
        grid = np.linspace(b.u[0], b.u[-1], DRAWN)
        values = curve.at(grid, b.y[:, None])[:, 0]
        out.append({"budget": b.budget, "N": np.exp(grid).tolist(), "loss": values.tolist()})
    return tuple(out)


def through(minima: Sequence[Minimum]) -> dict[str, Line]:
    """Lines of ln N*, ln D* and ln loss on ln C through minima."""
    budgets = np.log([m.budget for m in minima])
    columns = {"N": [m.N for m in minima], "D": [m.D for m in minima]}
    columns["loss"] = [m.loss for m in minima]
    return {
        name: line_through(budgets, np.log(np.asarray(values, dtype=np.float64)))
        for name, values in columns.items()
    }


# ------------------------------------------------------------------------------------- intervals


@dataclass(frozen=True)
class _Replicates:
    """ln N*, ln D* and ln loss of every replicate, shape (budgets, k); NaN where it was lost."""

    u: Array
    v: Array
    loss: Array


def _interval(
    traced: _Traced, line: Mapping[str, Line], options: Options
) -> tuple[dict[str, object] | None, Draws, list[Message]]:
    """Repeat the whole procedure on replicates, and read intervals off their lines."""
    if not options.draws:
        return None, {}, []
    if options.resample == "noise":
        smooth = _trace(traced.bowls, "cubic") if traced.minimum == "spline" else traced
        sigma = _noise(smooth)
        if sigma is None:
            text = "Too few runs beyond the curves' own parameters to estimate noise: no interval "
            return None, {}, [Message("SC416", text + "of a.")]
        found = _with_noise(traced, smooth, options, sigma)
        kind = f"noise injection, residual SD {sigma:.2%} of loss, percentile"
    else:
        found = _resampled(traced, options)
        kind = "bootstrap of the runs of each budget, percentile"
    return interval_of(
        np.log([b.budget for b in traced.bowls]),
        {"N": found.u, "D": found.v, "loss": found.loss},
        line,
        draws=options.draws,
        level=options.interval,
        kind=kind,
        least=LEAST,
    )


def _noise(traced: _Traced) -> float | None:
    """Spread of the runs about their curves as a share of the loss; None where it is unknown."""
    if traced.shape is not None:
        free = sum(len(b.u) - 3 for b in traced.bowls)
        return traced.shape.sigma if free >= LEAST else None
    square, free = 0.0, 0
    for b, curve in zip(traced.bowls, traced.curves, strict=True):
        centre = curve.at(b.u, b.y[:, None])[:, 0]
        square += float(((b.y / centre - 1.0) ** 2).sum())
        free += len(b.u) - min(DEGREES[traced.minimum] + 1, len(b.sizes))
    return float(np.sqrt(square / free)) if free >= LEAST else None


def _with_noise(traced: _Traced, smooth: _Traced, options: Options, sigma: float) -> _Replicates:
    """Replace each budget's losses by a smooth curve plus noise of the pooled spread."""
    count = sum(len(b.u) for b in traced.bowls)
    streams = (np.random.default_rng([options.seed, k]) for k in range(options.draws))
    noise = np.stack([stream.standard_normal(count) for stream in streams], axis=1)
    ends = np.cumsum([len(b.u) for b in traced.bowls])[:-1]
    losses = [
        curve.at(b.u, b.y[:, None]) * np.exp(sigma * error)
        for b, curve, error in zip(smooth.bowls, smooth.curves, np.split(noise, ends), strict=True)
    ]
    if traced.shape is None:
        return _located(traced.bowls, traced.curves, losses, options.edge)
    out = np.full((3, len(traced.bowls), options.draws), np.nan)
    for members, own in pooled.redrawn(traced.bowls, losses, traced.shape):
        curves = [own.curve(b) for b in traced.bowls]
        part = _located(traced.bowls, curves, [y[:, members] for y in losses], options.edge)
        out[:, :, members] = (part.u, part.v, part.loss)
    return _Replicates(*out)


def _resampled(traced: _Traced, options: Options) -> _Replicates:
    """Draw the runs of each budget again, whole clusters of them; a pooled shape is kept."""
    minimum, shape = traced.minimum, traced.shape
    out = np.full((3, len(traced.bowls), options.draws), np.nan)
    groups = [[np.flatnonzero(b.cluster == c) for c in np.unique(b.cluster)] for b in traced.bowls]
    for k in range(options.draws):
        rng = np.random.default_rng([options.seed, k])
        for j, b in enumerate(traced.bowls):
            picked = rng.integers(0, len(groups[j]), len(groups[j]))
            again = b.rows(np.concatenate([groups[j][i] for i in picked]))
            if len(again.sizes) < NEEDED[minimum]:
                continue
            curve = curve_of(again, minimum) if shape is None else shape.curve(again)
            part = _located([again], [curve], [again.y[:, None]], options.edge)
            out[:, j, k] = (part.u[0, 0], part.v[0, 0], part.loss[0, 0])
    return _Replicates(*out)


def _located(
    bowls: Sequence[Bowl], curves: Sequence[Curve], losses: Sequence[Array], edge: str
) -> _Replicates:
    """Minima of every replicate; those that the estimate would refuse are lost."""
    rows = []
    for b, curve, y in zip(bowls, curves, losses, strict=True):
        found = lowest(curve, b, y)
        lost = ~found.bends if edge == "keep" else ~found.inside
        parts = (found.u, b.tokens(found.u), np.log(np.maximum(found.loss, 1e-300)))
        rows.append([np.where(lost, np.nan, part) for part in parts])
    return _Replicates(*np.array(rows).transpose(1, 0, 2))


# ------------------------------------------------------------------------------------------ bias


def with_expected_bias(
    allocation: Allocation, table: RunsTable, member: NDArray[np.bool_], fit: Fit, minimum: str
) -> Allocation:
    """Say how far this curve on this grid misses the minima of the fitted surface, noise apart.

    The losses of the runs are replaced by the surface's on the line of each budget, the minima are
    found again, and compared with the surface's own on that line.
    """
    kept = {m.budget for m in allocation.minima if m.N is not None}
    bowls = [b for b in budgets_of(table.frame.loc[table.used & member])[0] if b.budget in kept]
    if len(bowls) < LEAST or not fit.identified or set(fit.law.variables) != {"N", "D"}:
        return allocation
    ideal, true = [], []
    for b in bowls:
        slope, level = np.polyfit(b.u, b.v, 1)
        n, d = np.exp(b.u), np.exp(level + slope * b.u)
        ideal.append(replace(b, v=np.log(d), y=fit.law.loss(fit.params, {"N": n, "D": d})))
        true.append(lowest_along(fit.law, fit.params, level, slope))
    own, parabola = (_missed(ideal, true, name) for name in (minimum, "parabola"))
    if own is None or parabola is None:
        return allocation
    budgets = [b.budget for b in bowls]
    return replace(
        allocation, bias={"law": fit.law.name, "budget": budgets, **own, "parabola": parabola}
    )


def _missed(bowls: Sequence[Bowl], true: Sequence[float], minimum: str) -> dict[str, object] | None:
    """Share by which a curve misses N* at each budget, and what that does to a."""
    found = _trace(bowls, minimum).lowest()
    missed = np.array(
        [
            float(found[b.budget].u[0]) - t if b.budget in found else np.nan
            for b, t in zip(bowls, true, strict=True)
        ]
    )
    sound = np.isfinite(missed)
    if sound.sum() < LEAST:
        return None
    log_c = np.log([b.budget for b in bowls])
    shares: list[float | None] = [
        float(np.expm1(m)) if ok else None for m, ok in zip(missed, sound, strict=True)
    ]
    return {"a": line_through(log_c[sound], missed[sound]).slope, "N": shares}
