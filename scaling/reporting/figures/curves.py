"""Learning curves of a group: loss against data seen, by size, with the final points."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.reporting import numbers
from scaling.reporting.document import Tip
from scaling.reporting.figures.axes import above, log_axis
from scaling.reporting.figures.kind import Drawn, Kind, Marks
from scaling.reporting.figures.style import PALETTE, colours, with_unit
from scaling.reporting.runs import Array
from scaling.reporting.wording import anchor_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LogNorm

    from scaling.reporting.context import Context

MOST_CURVES = 50
MOST_DIVERGED = 12  # of those
MOST_POINTS = 750  # over all curves
FEWEST_POINTS = 8  # of a curve
LATE = 1.5  # a curve that starts so many times later than its trunk branches off it
BEFORE_DECAY = 0.75  # share of a run before its rate is taken to fall, where that is unknown
RED = "#B2182B"
DASH = (0, (2, 1))


@dataclass(frozen=True)
class Curve:
    """One curve of one run.

    Attributes
    ----------
    run : str
    N : float
        NaN where unknown.
    D, loss : ndarray
        Points in order of D, thinned evenly in ln D and not smoothed.
    validation, diverged : bool
    trunk : str
        Empty where unknown.
    branch : float
        D at which the learning rate began to fall; NaN where unknown.
    joined : bool
        Whether the first point lies on the trunk that this curve branches off.
    """

    run: str
    N: float
    D: Array
    loss: Array
    validation: bool
    diverged: bool
    trunk: str = ""
    branch: float = np.nan
    joined: bool = False


@dataclass(frozen=True)
class CurvesData(Drawn):
    """Learning curves, and where their runs ended."""

    curves: tuple[Curve, ...]
    final_D: Array
    final_loss: Array
    final_N: Array
    marked: tuple[Tip, ...]
    runs: int
    shown: int
    units: tuple[str, str]

    @property
    def caption(self) -> str:
        """What is drawn."""
        kinds = {c.validation for c in self.curves}
        text = "Validation loss" if kinds == {True} else "Training loss"
        if len(kinds) > 1:
            text = "Validation (thick) and training loss (thin)"
        text += " along training, thinned evenly in ln D and not smoothed; dots: final loss"
        if any(c.joined for c in self.curves):
            text += "; branches start on the trunk that they share"
        if any(c.diverged for c in self.curves):
            text += "; red with a cross: diverged"
        text += "."
        if self.shown < self.runs:
            text += f" {self.shown} of {self.runs} runs are shown, evenly chosen by N."
        return text

    @property
    def alt(self) -> str:
        """How many curves, over what, and where they end."""
        ends = np.array([c.D[-1] for c in self.curves])
        text = (
            f"{len(self.curves)} learning curves of {self.shown} runs, up to "
            f"{numbers.quantity(float(ends.max()))} {self.units[0]}"
        )
        if len(self.final_loss):
            low, high = float(self.final_loss.min()), float(self.final_loss.max())
            text += f"; final losses from {numbers.quantity(low)} to {numbers.quantity(high)}"
        lost = len({c.run for c in self.curves if c.diverged})
        return f"{text}; {lost} diverged." if lost else f"{text}; none diverged."

    def columns(self) -> dict[str, list[Any]]:
        """Return the drawn points in long form."""
        out: dict[str, list[Any]] = {k: [] for k in ("run", "what", "N", "D", "loss")}
        for c in self.curves:
            out["run"] += [c.run] * len(c.D)
            out["what"] += ["validation" if c.validation else "training"] * len(c.D)
            out["N"] += [c.N] * len(c.D)
            out["D"] += [float(f"{x:.5g}") for x in c.D]
            out["loss"] += [float(f"{x:.5g}") for x in c.loss]
        out["run"] += [tip.text.partition("\n")[0] for tip in self.marked]
        out["what"] += ["final"] * len(self.marked)
        for name, values in (("N", self.final_N), ("D", self.final_D), ("loss", self.final_loss)):
            out[name] += values.tolist()
        return out


def curves_data(context: Context, group: str | None) -> CurvesData | None:
    """Collect the learning curves of a group, or None where none are kept."""
    rows = _rows(context, group)
    columns = context.fits.curves
    groups, alone = columns.get("group"), len(context.groups) < 2

    def member(i: int) -> bool:
        if alone:
            return True
        return groups[i] == group if groups else str(columns["run"][i]) in rows

    found = _read(columns, member)
    if not found:
        return None
    names = list(dict.fromkeys(c.run for c in found))
    kept = _chosen(found)
    drawn = [c for c in _joined(found) if c.run in kept]
    most = max(FEWEST_POINTS, MOST_POINTS // len(drawn))
    drawn = [_thinned(c, most) for c in drawn]
    ends = _ends(drawn, rows)
    return CurvesData(
        curves=tuple(drawn),
        final_D=np.array([e[1] for e in ends]),
        final_loss=np.array([e[2] for e in ends]),
        final_N=np.array([e[0] for e in ends]),
        marked=tuple(e[3] for e in ends),
        runs=len(names),
        shown=len(kept),
        units=(context.unit("D"), context.unit("loss")),
    )


def _rows(context: Context, group: str | None) -> dict[str, dict[str, Any]]:
    """Return what the fits of a group know of each run, with the anchor of its row."""
    out: dict[str, dict[str, Any]] = {}
    for fit in context.fits_of(group):
        places = fit.rows.get("row", [])
        for i, run in enumerate(fit.rows.get("run") or []):
            if run is not None and i < len(places):
                known = {
                    k: (fit.rows.get(k) or [None] * len(places))[i] for k in ("N", "D", "loss")
                }
                out.setdefault(str(run), known | {"anchor": anchor_of(group, places[i])})
    return out


def _read(columns: Mapping[str, Sequence[Any]], member: Callable[[int], bool]) -> list[Curve]:
    """Return the curves whose rows are members, in order of appearance; points that are known.

    Columns that say nothing may be missing, but not run, D and loss.
    """
    if not {"run", "D", "loss"} <= set(columns):
        return []
    parts: dict[tuple[str, bool], list[int]] = {}
    blank = [None] * len(columns["run"])
    status, trunk, what = (columns.get(name) or blank for name in ("status", "trunk", "what"))
    for i, run in enumerate(columns["run"]):
        if member(i):
            parts.setdefault((str(run), str(what[i]).startswith("val")), []).append(i)
    data, loss, size, branch = (
        np.array(columns.get(name) or blank, dtype=np.float64)  # None becomes NaN
        for name in ("D", "loss", "N", "branch")
    )
    known = np.isfinite(data) & (data > 0) & np.isfinite(loss) & (loss > 0)
    out = []
    for (run, validation), places in parts.items():
        at = np.array(places)
        good = at[known[at]]
        if len(good) < 2:
            continue
        good, first = good[np.argsort(data[good], kind="stable")], places[0]
        lost = str(status[first]) == "diverged"
        of_run = (validation, lost, str(trunk[first] or ""), float(branch[first]))
        out.append(Curve(run, float(size[first]), data[good], loss[good], *of_run))
    return out


def _chosen(found: Sequence[Curve]) -> set[str]:
    """Return the runs that are shown: evenly over N and D, diverged ones first."""
    last: dict[str, tuple[float, float]] = {}
    lost: dict[str, bool] = {}
    for c in found:
        last[c.run] = max(last.get(c.run, (0.0, 0.0)), (c.N if c.N > 0 else 0.0, float(c.D[-1])))
        lost[c.run] = c.diverged
    order = sorted(last, key=lambda run: (last[run], run))
    bad = _evenly([run for run in order if lost[run]], MOST_DIVERGED)
    each = max(1.0, len(found) / len(order))  # a run may have two curves
    room = max(1, int(MOST_CURVES / each) - len(bad))
    return {*bad, *_evenly([run for run in order if not lost[run]], room)}


def _evenly(items: Sequence[str], most: int) -> list[str]:
    if len(items) <= most:
        return list(items)
    return [items[k] for k in sorted({round(k) for k in np.linspace(0, len(items) - 1, most)})]


def _joined(found: Sequence[Curve]) -> list[Curve]:
    """Start branches on the curve of their trunk where that is known."""
    out = []
    for c in found:
        alike = [
            o
            for o in found
            if c.trunk and o.trunk == c.trunk and o.run != c.run and o.validation == c.validation
        ]
        stems = [o for o in alike if LATE * o.D[0] <= c.D[0] <= _steady(o)]
        if not stems:
            out.append(c)
            continue
        stem = max(stems, key=lambda o: float(o.D[-1]))
        before = np.flatnonzero(c.D[0] >= stem.D)[-1]
        data = np.concatenate([stem.D[before : before + 1], c.D])
        loss = np.concatenate([stem.loss[before : before + 1], c.loss])
        out.append(replace(c, D=data, loss=loss, joined=True))
    return out


def _steady(c: Curve) -> float:
    """Return the D up to which a run's own learning rate has not begun to fall."""
    return c.branch if np.isfinite(c.branch) else BEFORE_DECAY * float(c.D[-1])


def _thinned(c: Curve, most: int) -> Curve:
    """Keep points evenly in ln D, with the first and the last."""
    if len(c.D) <= most:
        return c
    marks = np.linspace(np.log(c.D[0]), np.log(c.D[-1]), most)
    kept = np.unique(np.searchsorted(np.log(c.D), marks - 1e-9).clip(0, len(c.D) - 1))
    kept = np.union1d(kept, [0, len(c.D) - 1])
    return replace(c, D=c.D[kept], loss=c.loss[kept])


def _ends(
    drawn: Sequence[Curve], rows: Mapping[str, Mapping[str, Any]]
) -> list[tuple[float, float, float, Tip]]:
    """Return N, D, loss and tip of each run that ended well: of its row, else of its curve."""
    out: dict[str, tuple[float, float, float, Tip]] = {}
    for c in sorted(drawn, key=lambda c: not c.validation):
        if c.diverged or c.run in out:
            continue
        row = rows.get(c.run, {})
        known = [row.get(k) for k in ("N", "D", "loss")]
        if not all(numbers.finite(v) for v in known):
            known = [c.N, float(c.D[-1]), float(c.loss[-1])]
        size, data, loss = (float(v) for v in known if v is not None)
        lines = [c.run, f"D {numbers.quantity(data, 4)}", f"loss {numbers.quantity(loss, 4)}"]
        if np.isfinite(size):
            lines.insert(1, f"N {numbers.quantity(size, 4)}")
        out[c.run] = (size, data, loss, Tip("\n".join(lines), row.get("anchor", "")))
    return list(out.values())


def draw_curves(data: CurvesData, axes: Sequence[Axes]) -> Marks:
    """Draw loss against data seen, both in logs, coloured by N."""
    from matplotlib.colors import LogNorm

    ax = axes[0]
    ax.set_xscale("log")
    sizes = np.array([c.N for c in data.curves])
    norm = None
    if np.isfinite(sizes).all():
        norm = LogNorm(float(sizes.min()), max(float(sizes.max()), 1.01 * float(sizes.min())))
    for validation in (False, True):
        _draw_lines([c for c in data.curves if c.validation == validation], norm, ax)
    if len(data.marked):
        dots = ax.scatter(
            data.final_D,
            data.final_loss,
            s=13,
            linewidths=0.5,
            edgecolors="white",
            gid="final",
            zorder=4,
            **(_coloured(data.final_N, norm)),
        )
        if norm is not None:
            bar = ax.figure.colorbar(dots, ax=ax, pad=0.01, aspect=30)
            bar.set_label("N [parameters]")
            bar.minorticks_off()
            if bar.solids is not None:
                bar.solids.set_edgecolor("face")  # else viewers leave white lines in it
    _draw_lost(data, ax)
    _limits(data, ax)
    ax.set_xlabel(with_unit("D", data.units[0]))
    ax.set_ylabel(with_unit("loss", data.units[1]))
    _legend(data, ax)
    return {"final": list(range(len(data.marked)))}


def _coloured(sizes: Array, norm: LogNorm | None) -> dict[str, Any]:
    if norm is None or not np.isfinite(sizes).all():
        return {"color": PALETTE[4]}
    return {"c": sizes, "cmap": colours(), "norm": norm}


def _draw_lines(curves: Sequence[Curve], norm: LogNorm | None, ax: Axes) -> None:
    from matplotlib.collections import LineCollection

    good = [c for c in curves if not c.diverged]
    if good:
        lines = LineCollection(
            [np.column_stack([c.D, c.loss]) for c in good],
            linewidths=1.3 if good[0].validation else 0.6,
            alpha=0.9 if good[0].validation else 0.6,
            cmap=colours(),
            norm=norm,
            zorder=3 if good[0].validation else 2,
        )
        if norm is None:
            lines.set_color(PALETTE[4])
        else:
            lines.set_array(np.array([c.N for c in good]))
        ax.add_collection(lines, autolim=False)


def _draw_lost(data: CurvesData, ax: Axes) -> None:
    lost = [c for c in data.curves if c.diverged]
    for c in lost:
        ax.plot(c.D, c.loss, color=RED, linewidth=0.8, linestyle=DASH, zorder=3)
    if lost:
        ax.plot(
            [c.D[-1] for c in lost],
            [c.loss[-1] for c in lost],
            "X",
            color=RED,
            markersize=6,
            markeredgecolor="white",
            markeredgewidth=0.5,
            zorder=5,
        )


def _limits(data: CurvesData, ax: Axes) -> None:
    """Leave room for every curve that ended well, and cut what diverged or began far above."""
    seen = np.concatenate([c.D for c in data.curves])
    good = [c.loss for c in data.curves if not c.diverged] or [c.loss for c in data.curves]
    losses = np.concatenate([*good, data.final_loss])
    low, high = float(losses.min()), float(losses.max())
    ax.set_xlim(0.9 * float(seen.min()), 1.15 * float(max(seen.max(), *data.final_D, 0.0)))
    if high / low < 10.0:
        log_axis(ax, "y", (0.97 * low, 1.03 * high), most=6)
    else:
        ax.set_yscale("log")
        ax.set_ylim(0.9 * low, 1.1 * high)


def _legend(data: CurvesData, ax: Axes) -> None:
    from matplotlib.lines import Line2D

    kinds = {c.validation for c in data.curves if not c.diverged}
    handles = []
    if True in kinds:
        handles.append(Line2D([], [], color="0.25", linewidth=1.3, label="validation"))
    if False in kinds:
        handles.append(Line2D([], [], color="0.25", linewidth=0.6, label="training"))
    if len(data.marked):
        handles.append(
            Line2D(
                [], [], color="0.25", marker="o", linestyle="none", markersize=3.5, label="final"
            )
        )
    if any(c.diverged for c in data.curves):
        handles.append(
            Line2D([], [], color=RED, marker="X", linestyle=DASH, linewidth=0.8, label="diverged")
        )
    above(ax, 4, handles=handles)


CURVES = Kind(
    name="curves",
    title="Learning curves",
    good="curves fall smoothly, those of larger N end lower, and none ends while it still falls "
    "steeply.",
    per="group",
    data=curves_data,
    draw=draw_curves,
    height=3.3,
)
