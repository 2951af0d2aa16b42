"""Held-out error: of larger runs from rolling origins, and observed against predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.errors import ScalingError, counted
from scaling.fitting.result import Fit
from scaling.reporting import numbers
from scaling.reporting.context import compute_of, level_of
from scaling.reporting.document import Tip
from scaling.reporting.figures.axes import above
from scaling.reporting.figures.kind import Drawn, Kind, Marks
from scaling.reporting.figures.style import MARKERS, PALETTE, beyond, colours, label, with_unit
from scaling.reporting.runs import Array, runs_of, tips_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scaling.reporting.context import Context

ROOM = 1.25  # beyond the outermost factor
MOST_NAMED = 6  # cuts in the legend; more are said to be one marker each
FAR = 30.0  # how far beyond what was tested the axis goes, to show the target


@dataclass(frozen=True)
class Rolling:
    """One law from several origins: fitted up to each cut, scored on all larger runs.

    Attributes
    ----------
    law, along : str
        What was fitted, and along what the cuts lie.
    cut, factor, rmse, bias : ndarray
        Of each origin: largest value fitted, largest value scored over it, and the errors [%].
    run_origin, run_factor, run_error : ndarray
        Of single held-out runs: index of the origin, distance and signed error [%].
    """

    law: str
    along: str
    cut: Array
    factor: Array
    rmse: Array
    bias: Array
    run_origin: Array
    run_factor: Array
    run_error: Array


@dataclass(frozen=True)
class Held:
    """Runs that were named to be held out; ``lo`` and ``hi`` are of the mean, NaN without draws."""

    observed: Array
    predicted: Array
    lo: Array
    hi: Array
    where: str
    tips: tuple[Tip, ...]


@dataclass(frozen=True)
class HoldoutData(Drawn):
    """One panel of origins, one of runs held out by name, or both."""

    rolling: Rolling | None
    held: Held | None
    asked: float | None
    response: str
    unit: str
    level: float

    @property
    def tips(self) -> tuple[Tip, ...]:
        """Tips of the runs that were held out by name."""
        return self.held.tips if self.held else ()

    @property
    def caption(self) -> str:
        """What is drawn, and what the target asks for."""
        parts = []
        if self.rolling is not None:
            r = self.rolling
            text = (
                f"Errors (predicted over observed {self.response}, in logs) of runs larger than "
                f"all that {r.law} was fitted to, from {len(r.cut)} cuts of {r.along}; line: RMSE "
                "of each cut at its farthest run. Random splits would flatter: they test between "
                "runs, not beyond them."
            )
            parts.append(text)
            if self.asked is not None:
                tested = float(r.factor.max())
                asked = f"The target asks for {numbers.factor(self.asked)} the largest run"
                parts.append(f"{asked}; {numbers.factor(tested)} was tested.")
        if self.held is not None:
            text = f"Held out ({self.held.where}): observed against predicted {self.response}"
            if np.isfinite(self.held.lo).all():
                text += f"; bars: {self.level:.0%} interval of the mean"
            parts.append(f"{text}.")
        return " ".join(parts)

    @property
    def alt(self) -> str:
        """The errors by distance, and the bias of what was held out by name."""
        parts = []
        if self.rolling is not None:
            pairs = zip(self.rolling.factor, self.rolling.rmse, strict=True)
            told = ", ".join(f"{e:.2g}% at {numbers.factor(f)}" for f, e in pairs)
            parts.append(f"Held-out RMSE by factor beyond the fitted runs: {told}.")
        if self.held is not None:
            error = np.log(self.held.predicted / self.held.observed)
            parts.append(
                f"{counted(len(error), 'run')} held out: RMSE "
                f"{100 * np.sqrt((error**2).mean()):.2g}%, bias "
                f"{numbers.percent(float(error.mean()))}."
            )
        return " ".join(parts)

    def columns(self) -> dict[str, list[Any]]:
        """Return origins, their runs and the runs held out by name, in long form."""
        names = ("what", "cut", "factor", "error_percent", "observed", "predicted", "lo", "hi")
        out: dict[str, list[Any]] = {name: [] for name in names}
        nan = float("nan")

        def add(*row: Any) -> None:
            for name, value in zip(names, row, strict=True):
                out[name].append(value)

        if self.rolling is not None:
            r = self.rolling
            for cut, factor, rmse in zip(r.cut, r.factor, r.rmse, strict=True):
                add("RMSE of origin", float(cut), float(factor), float(rmse), nan, nan, nan, nan)
            for k, factor, error in zip(r.run_origin, r.run_factor, r.run_error, strict=True):
                cut = float(r.cut[int(k)])
                add("run of origin", cut, float(factor), float(error), nan, nan, nan, nan)
        if self.held is not None:
            h = self.held
            for seen, said, lo, hi in zip(h.observed, h.predicted, h.lo, h.hi, strict=True):
                error = float(100.0 * np.log(said / seen))
                add("held out", nan, nan, error, float(seen), float(said), float(lo), float(hi))
        return out


def holdout_data(context: Context, group: str | None) -> HoldoutData | None:
    """Collect the held-out errors of a group, or None where nothing was held out."""
    fit = context.surface_of(group)
    rows = [row for row in context.fits.laws if row["group"] == group]
    own = [row for row in rows if fit is not None and row["law"] == fit.law.name]
    found = (rolling_of(row) for row in (*own, *rows))
    rolling = next((r for r in found if r is not None), None)
    holders = [f for f in context.fits_of(group) if f.holdout is not None]
    named = next((f for f in holders if f is fit), next(iter(holders), None))
    held = None if named is None else held_of(named)
    if rolling is None and held is None:
        return None
    subject = named or fit
    asked = None
    if rolling is not None and rolling.along == "C" and context.target and fit is not None:
        largest = compute_of(fit)
        asked = context.target / float(largest.max()) if len(largest) else None
    return HoldoutData(
        rolling=rolling,
        held=held,
        asked=asked if asked is not None and asked > 1.0 else None,
        response="loss" if subject is None else subject.response,
        unit="" if subject is None else context.unit(subject.response),
        level=0.95 if subject is None else level_of(subject),
    )


def rolling_of(row: Mapping[str, Any]) -> Rolling | None:
    """Read the origins of one row of `scaling.fitting.backtest`; None where none was scored."""
    found = [o for o in row["backtest"]["origins"] if o["rmse_log"] is not None]
    if not found:
        return None
    origin: list[float] = []
    factor: list[float] = []
    error: list[float] = []
    for k, item in enumerate(found):
        for far, off in zip(item.get("test_factor", ()), item.get("errors", ()), strict=True):
            if numbers.finite(far) and numbers.finite(off):
                origin.append(k)
                factor.append(far)
                error.append(100.0 * off)
    columns = {name: np.array([o[name] for o in found], dtype=np.float64) for name in SCORES}
    return Rolling(
        law=row["law"],
        along=row["backtest"]["along"],
        cut=columns["cut"],
        factor=columns["factor"],
        rmse=100.0 * columns["rmse_log"],
        bias=100.0 * columns["bias_log"],
        run_origin=np.array(origin),
        run_factor=np.array(factor),
        run_error=np.array(error),
    )


SCORES = ("cut", "factor", "rmse_log", "bias_log")


def held_of(fit: Fit) -> Held | None:
    """Predict the runs that a fit held out by name; None where they lack what the law reads."""
    if not fit.identified or fit.holdout is None:
        return None
    member = np.asarray(fit.rows.get("held_out", []), dtype=bool)
    runs = runs_of(fit, fit.response, "held_out")
    x = {v: _column(fit, v)[member] for v in fit.law.variables}
    good = np.isfinite(runs.loss) & (runs.loss > 0)
    for values in x.values():
        good &= np.isfinite(values)
    if not good.any():
        return None
    try:
        table = fit.predict(interval=level_of(fit), **{v: a[good] for v, a in x.items()})
    except ScalingError:
        return None
    said, lo, hi = (table[name].to_numpy(dtype=np.float64) for name in ("loss", "lo", "hi"))
    tips = tips_of(runs, good, fit.response)
    return Held(runs.loss[good], said, lo, hi, fit.holdout.where, tips)


def _column(fit: Fit, name: str) -> Array:
    values = fit.rows.get(name) or [None] * len(fit.rows["used"])
    return np.array(values, dtype=np.float64)  # None becomes NaN


def draw_holdout(data: HoldoutData, axes: Sequence[Axes]) -> Marks:
    """Draw errors against distance, and observed against predicted."""
    left = list(axes)
    if data.rolling is not None:
        _draw_rolling(data, data.rolling, left.pop(0))
    if data.held is not None:
        _draw_held(data, data.held, left.pop(0))
        return {"held": list(range(len(data.held.tips)))}
    return {}


def _draw_rolling(data: HoldoutData, r: Rolling, ax: Axes) -> None:
    palette = colours()
    count = max(1, len(r.cut) - 1)
    farthest = max(float(r.factor.max()), float(max(r.run_factor, default=0.0)))
    nearest = min(float(r.factor.min()), float(min(r.run_factor, default=np.inf)))
    end = farthest * ROOM
    if data.asked is not None:
        end = max(end, min(data.asked, FAR * farthest) * ROOM)
    ax.set_xscale("log")
    ax.set_xlim(min(1.0, nearest) / 1.05, end)  # before anything is drawn: one place has no range
    if data.asked is not None:
        beyond(ax, farthest, end, said=False)
        _draw_asked(data.asked, end, ax)
    ax.axhline(0.0, color="0.3", linewidth=0.8)
    few = len(r.cut) <= MOST_NAMED
    if not few and len(r.run_origin):
        said = "runs above a cut, one marker a cut"
        ax.plot([], [], MARKERS[0], color="0.4", markersize=3.2, label=said)
    for k in range(len(r.cut)):
        own = r.run_origin == k
        ax.plot(
            r.run_factor[own],
            r.run_error[own],
            MARKERS[k % len(MARKERS)],
            color=palette(k / count),
            markersize=3.2,
            markeredgewidth=0,
            label=_cut_name(float(r.cut[k])) if own.any() and few else None,
        )
    order = np.argsort(r.factor)
    ax.plot(
        r.factor[order], r.rmse[order], "D-", color="black", markersize=4.5, label="RMSE", zorder=4
    )
    ax.set_xlabel(f"{r.along} over the largest fitted")
    ax.set_ylabel("log error [%]")
    above(ax, 3 if few else 2, columnspacing=1.0, handletextpad=0.3)


def _cut_name(cut: float) -> str:
    return f"runs above {numbers.quantity(cut, 2)}"


def _draw_asked(asked: float, end: float, ax: Axes) -> None:
    """Mark what the target asks for, or say that it lies off the axis."""
    if asked < end:
        ax.axvline(asked, color=PALETTE[1], linewidth=1.0, dashes=(5, 2), label="target")
        return
    ax.text(
        0.99,
        0.02,
        f"target: {numbers.factor(asked)} →",
        transform=ax.transAxes,
        ha="right",
        fontsize=7,
        color=PALETTE[1],
    )


def _draw_held(data: HoldoutData, h: Held, ax: Axes) -> None:
    both = np.concatenate([h.observed, h.predicted])
    low, high = float(both.min()), float(both.max())
    room = 0.04 * (high - low) or 0.02 * high
    ends = [low - room, high + room]
    ax.plot(ends, ends, color="0.3", linewidth=0.8, label="as predicted")
    if np.isfinite(h.lo).all() and np.isfinite(h.hi).all():
        ax.vlines(h.observed, h.lo, h.hi, color=PALETTE[0], linewidth=0.8, alpha=0.7)
    ax.plot(
        h.observed,
        h.predicted,
        "o",
        color=PALETTE[0],
        markersize=3.6,
        markeredgewidth=0,
        gid="held",
        label="held out",
    )
    ax.set_xlabel(with_unit(f"observed {label(data.response)}", data.unit))
    ax.set_ylabel(f"predicted {label(data.response)}")
    ax.locator_params(axis="x", nbins=5)
    above(ax, 2)


def _panels(data: HoldoutData) -> tuple[int, int]:
    return (1, 1 + (data.rolling is not None and data.held is not None))


HOLDOUT = Kind(
    name="holdout",
    title="Error of held-out larger runs",
    good="errors scatter about zero and grow slowly with the distance, up to what the target "
    "asks for.",
    per="group",
    data=holdout_data,
    draw=draw_holdout,
    panels=_panels,
    height=2.9,
)
