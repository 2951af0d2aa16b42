"""The loss over N and D: contours of the law, what the runs cover, and the compute-optimal path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.fitting.prediction import cost_of as cost_law
from scaling.fitting.result import Fit
from scaling.laws.cost import Cost
from scaling.reporting import numbers
from scaling.reporting.context import level_of
from scaling.reporting.document import Tip
from scaling.reporting.figures.axes import log_axis, over, runs_on, tick_label
from scaling.reporting.figures.kind import Drawn, Kind, Marks, short
from scaling.reporting.figures.style import PALETTE, colours, label, with_unit
from scaling.reporting.runs import MOST_DRAWN, Array, Runs, cost_of, optimum, runs_of, tips_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scaling.reporting.context import Context

GRID = 36
LEVELS = 8
MOST_DIAGONALS = 5
PATH_POINTS = 40
BEYOND = 2.0  # factor by which the axes go beyond the runs
FARTHEST = 1e4  # and at most, for the target


@dataclass(frozen=True)
class SurfaceData(Drawn):
    """A fitted law over N and D with its runs.

    Attributes
    ----------
    N, D : ndarray
        Of the runs, shape (n,).
    grid_N, grid_D : ndarray
        Of the grid, shape (g,) each; they span the axes.
    loss : ndarray
        Of the law, shape (g of D, g of N).
    levels : ndarray
        Of the contours, rising.
    hull : ndarray
        Corners of the convex hull of the runs in logs, in order, shape (h, 2); empty where the
        runs lie on a line.
    path_N, path_D : ndarray
        Compute-optimal path.
    diagonals : tuple of (float, ndarray, ndarray)
        Compute, N and D along each line of equal compute.
    best : (float, float) or None
        N and D that are best at the target.
    bar_N, bar_D : ndarray
        Interval of the optimum along the target's line; empty without draws.
    target : float or None
    level : float
    response, unit, unit_D : str
    marked : tuple of Tip
    """

    N: Array
    D: Array
    grid_N: Array
    grid_D: Array
    loss: Array
    levels: Array
    hull: Array
    path_N: Array
    path_D: Array
    diagonals: tuple[tuple[float, Array, Array], ...]
    best: tuple[float, float] | None
    bar_N: Array
    bar_D: Array
    target: float | None
    level: float
    response: str
    unit: str
    unit_D: str
    marked: tuple[Tip, ...]

    @property
    def caption(self) -> str:
        """What is drawn."""
        text = f"{with_unit(self.response, self.unit)} of the law over N and D, with the runs"
        if len(self.hull):
            text += "; contours are dashed and pale beyond the hull of the runs"
        if len(self.path_N):
            text += "; thick line: compute-optimal N and D"
        if self.diagonals:
            text += "; grey lines: equal compute [FLOP]"
        if self.best is not None:
            text += "; star: optimum at the target"
            if len(self.bar_N):
                text += f", bar: its {self.level:.0%} interval along that compute"
        return f"{text}."

    @property
    def alt(self) -> str:
        """How the loss falls, what the runs cover and where the optimum is."""
        n, d = self.N, self.D
        text = (
            f"Contours of {self.response} from {numbers.quantity(float(self.levels[-1]))} down to "
            f"{numbers.quantity(float(self.levels[0]))} over {len(n)} runs with N from "
            f"{numbers.quantity(float(n.min()))} to {numbers.quantity(float(n.max()))} and D from "
            f"{numbers.quantity(float(d.min()))} to {numbers.quantity(float(d.max()))}"
        )
        if self.best is None:
            return f"{text}."
        best = " and D ".join(numbers.quantity(x) for x in self.best)
        text += f"; at {numbers.quantity(self.target)} FLOP the optimum is N {best}"
        if len(self.bar_N):
            ends = (numbers.quantity(float(x)) for x in self.bar_N[[0, -1]])
            text += f", N from {' to '.join(ends)}"
        return f"{text}."

    def columns(self) -> dict[str, list[Any]]:
        """Return runs, path, hull and optimum in long form, and every third point of the grid."""
        every = np.arange(0, len(self.grid_N), 3)
        grid_n, grid_d = np.meshgrid(self.grid_N[every], self.grid_D[every])
        nothing = np.empty(0)
        corners = np.exp(self.hull) if len(self.hull) else np.empty((0, 2))
        star = nothing.reshape(0, 2) if self.best is None else np.array([self.best])
        parts = [
            ("run", self.N, self.D, nothing),
            ("law", grid_n.ravel(), grid_d.ravel(), self.loss[np.ix_(every, every)].ravel()),
            ("hull", corners[:, 0], corners[:, 1], nothing),
            ("optimal", self.path_N, self.path_D, nothing),
            ("optimum at target", star[:, 0], star[:, 1], nothing),
            ("interval of optimum", self.bar_N, self.bar_D, nothing),
        ]
        return {
            "what": [what for what, n, _, _ in parts for _ in n],
            "N": short([float(v) for _, n, _, _ in parts for v in n]),
            "D": short([float(v) for _, _, d, _ in parts for v in d]),
            self.response: short(
                [
                    float(v)
                    for _, n, _, y in parts
                    for v in (y if len(y) else np.full_like(n, np.nan))
                ]
            ),
        }


def surface_data(context: Context, fit: Fit) -> SurfaceData | None:
    """Collect the law over N and D, or None where it is no identified law of these two."""
    runs = runs_of(fit, fit.response, most=MOST_DRAWN)
    known = len(runs.N) and np.isfinite(runs.N).all() and np.isfinite(runs.D).all()
    if not fit.identified or set(fit.law.variables) != {"N", "D"} or not known:
        return None
    level, target = level_of(fit), context.target
    best = None if target is None else optimum(fit, np.array([target]), level)
    cost = cost_law(fit)
    star, bar_n, bar_d = _star(best, cost, target)
    box = _box(runs, star, bar_n, bar_d)
    grid_n, grid_d = (np.geomspace(low, high, GRID) for low, high in box)
    loss = _loss(fit, grid_n, grid_d)
    levels = _levels(loss)
    if levels is None:
        return None
    path = _path(fit, runs, box, target)
    return SurfaceData(
        N=runs.N,
        D=runs.D,
        grid_N=grid_n,
        grid_D=grid_d,
        loss=loss,
        levels=levels,
        hull=_hull(np.log(np.column_stack([runs.N, runs.D]))),
        path_N=path[0],
        path_D=path[1],
        diagonals=_diagonals(cost, box),
        best=star,
        bar_N=bar_n,
        bar_D=bar_d,
        target=target,
        level=level,
        response=fit.response,
        unit=context.unit(fit.response),
        unit_D=context.unit("D"),
        marked=tips_of(runs, response=fit.response),
    )


Box = tuple[tuple[float, float], tuple[float, float]]


def _star(
    best: dict[str, Array] | None, cost: Cost, target: float | None
) -> tuple[tuple[float, float] | None, Array, Array]:
    """Optimum at the target, and its interval along the target's line of equal compute."""
    nothing = np.empty(0)
    if best is None or target is None:
        return None, nothing, nothing
    star = (float(best["N"][0]), float(best["D"][0]))
    ends = np.array([best["N_lo"][0], best["N_hi"][0]], dtype=np.float64)
    if not np.isfinite(ends).all() or not ends[0] < ends[1]:
        return star, nothing, nothing
    low, high = (float(e) for e in np.clip(ends, star[0] / FARTHEST, star[0] * FARTHEST))
    sizes = np.geomspace(low, high, PATH_POINTS // 4)
    data = np.exp(cost.log_tokens(np.log(sizes), np.full_like(sizes, np.log(target))))
    keep = np.isfinite(data)
    return star, sizes[keep], data[keep]


def _box(runs: Runs, star: tuple[float, float] | None, bar_n: Array, bar_d: Array) -> Box:
    """Limits of the axes: the runs, and the optimum at the target as far as it can be shown."""
    out = []
    for k, (values, bar) in enumerate(((runs.N, bar_n), (runs.D, bar_d))):
        low, high = float(values.min()), float(values.max())
        more = np.array([*([] if star is None else [star[k]]), *bar])
        more = np.clip(more, low / FARTHEST, high * FARTHEST)
        low, high = min([low, *more]), max([high, *more])
        out.append((float(low / BEYOND), float(high * BEYOND)))
    return out[0], out[1]


def _loss(fit: Fit, n: Array, d: Array) -> Array:
    grid = dict(zip(("N", "D"), np.meshgrid(n, d), strict=True))
    with np.errstate(all="ignore"):
        loss = fit.law.loss({k: fit.params[k] for k in fit.law.names}, grid)
    return np.asarray(loss, dtype=np.float64)


def _levels(loss: Array) -> Array | None:
    """Round values of the loss at even steps along the diagonal of the axes."""
    diagonal = np.diagonal(loss)
    places = np.linspace(0, len(diagonal) - 1, LEVELS + 2)[1:-1]
    found = np.interp(places, np.arange(len(diagonal)), diagonal)
    rounded = np.unique([float(f"{v:.3g}") for v in found if np.isfinite(v) and v > 0])
    return rounded if len(rounded) > 1 else None


def _path(fit: Fit, runs: Runs, box: Box, target: float | None) -> tuple[Array, Array]:
    """Compute-optimal N and D within the axes."""
    compute = cost_of(fit, runs)
    ends = [float(compute.min()), float(compute.max()), *([] if target is None else [target])]
    table = optimum(fit, np.geomspace(min(ends) / 10.0, max(ends) * 10.0, PATH_POINTS))
    if table is None:
        return np.empty(0), np.empty(0)
    n, d = (np.asarray(table[k], dtype=np.float64) for k in ("N", "D"))
    keep = (n >= box[0][0]) & (n <= box[0][1]) & (d >= box[1][0]) & (d <= box[1][1])
    return n[keep], d[keep]


def _diagonals(cost: Cost, box: Box) -> tuple[tuple[float, Array, Array], ...]:
    """Lines of equal compute at powers of ten."""
    low, high = (float(cost.compute(n, d)) for n, d in zip(*box, strict=True))
    if not (np.isfinite([low, high]).all() and 0 < low < high):
        return ()
    first, last = int(np.ceil(np.log10(low))), int(np.floor(np.log10(high)))
    step = max(1, -(-(last - first) // MOST_DIAGONALS))
    sizes = np.geomspace(*box[0], PATH_POINTS // 2)
    out = []
    for power in range(first, last + 1, step):
        with np.errstate(all="ignore"):
            data = cost.log_tokens(np.log(sizes), np.full_like(sizes, power * np.log(10.0)))
        data = np.exp(data)
        keep = np.isfinite(data)
        if keep.sum() > 1:
            out.append((10.0**power, sizes[keep], data[keep]))
    return tuple(out)


def _hull(points: Array) -> Array:
    """Corners of the convex hull, in order; empty where the points lie on a line."""
    from scipy.spatial import ConvexHull, QhullError

    centred = points - points.mean(axis=0)
    if len(np.unique(points, axis=0)) < 3 or np.linalg.matrix_rank(centred, tol=1e-6) < 2:
        return np.empty((0, 2))
    try:
        return np.asarray(points[ConvexHull(points).vertices], dtype=np.float64)
    except QhullError:
        return np.empty((0, 2))


# ----------------------------------------------------------------------------------------- drawing


def draw_surface(data: SurfaceData, axes: Sequence[Axes]) -> Marks:
    """Draw contours of the law, the runs and their hull, equal compute and the optimal path."""
    ax = axes[0]
    across = (float(data.grid_N[0]), float(data.grid_N[-1]))
    up = (float(data.grid_D[0]), float(data.grid_D[-1]))
    log_axis(ax, "x", across)
    log_axis(ax, "y", up)
    ax.grid(visible=False)
    _draw_diagonals(data, ax)
    _draw_contours(data, ax)
    if len(data.path_N):
        ax.plot(data.path_N, data.path_D, color=PALETTE[1], linewidth=1.8)
    runs_on(ax, data.N, data.D, "runs", colour=PALETTE[5])
    if len(data.bar_N):
        ax.plot(data.bar_N, data.bar_D, color=PALETTE[1], linewidth=4.0, alpha=0.45)
    if data.best is not None:
        rim: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.7}
        ax.plot(*data.best, "*", color=PALETTE[1], markersize=12, zorder=6, **rim)
    ax.set_xlabel("N [parameters]")
    ax.set_ylabel(with_unit("D", data.unit_D))
    over(axes, _handles(data), 4, handlelength=2.0)
    return {"runs": list(range(len(data.N)))}


def _draw_contours(data: SurfaceData, ax: Axes) -> None:
    """Draw each contour pale and dashed, and over it, within the hull of the runs, solid."""
    from matplotlib.collections import LineCollection
    from matplotlib.patches import Polygon

    palette = colours()
    shades = [palette(k / (len(data.levels) - 1)) for k in range(len(data.levels))]
    found = [_contour(data, level) for level in data.levels]
    parts = [(part, shade) for own, shade in zip(found, shades, strict=True) for part in own]
    segments = [part for part, _ in parts]
    style: dict[str, Any] = {"colors": [shade for _, shade in parts], "zorder": 1.5}
    pale = LineCollection(segments, linewidths=0.8, linestyles=(0, (3, 2)), alpha=0.6, **style)
    ax.add_collection(pale, autolim=False)
    if len(data.hull):
        corners = np.exp(data.hull)
        outline = Polygon(corners, fill=False, edgecolor="0.4", linewidth=0.8, linestyle=":")
        ax.add_patch(outline)
        solid = LineCollection(segments, linewidths=1.4, **style)
        ax.add_collection(solid, autolim=False)
        solid.set_clip_path(outline)
    for level, own, shade in zip(data.levels, found, shades, strict=True):
        _name_contour(data, ax, f"{level:g}", own, shade)


def _contour(data: SurfaceData, level: float) -> list[Array]:
    """Points (N, D) of the lines at which the law has this loss."""
    from contourpy import contour_generator

    lines = contour_generator(np.log(data.grid_N), np.log(data.grid_D), data.loss).lines(level)
    return [np.exp(np.asarray(line)) for line in lines]


def _name_contour(data: SurfaceData, ax: Axes, text: str, own: Sequence[Array], shade: Any) -> None:
    """Write the loss where a contour leaves the axes on the right, else above."""
    ends = np.array([line[k] for line in own for k in (0, -1)]).reshape(-1, 2)
    right = ends[ends[:, 0] > data.grid_N[-1] * 0.999]
    if len(right):
        ax.annotate(
            text,
            right[0],
            xytext=(3, 0),
            textcoords="offset points",
            fontsize=7,
            color=shade,
            va="center",
            annotation_clip=False,
        )


def _draw_diagonals(data: SurfaceData, ax: Axes) -> None:
    """Draw lines of equal compute, named where they leave the axes above."""
    from matplotlib.collections import LineCollection

    segments = [np.column_stack([n, d]) for _, n, d in data.diagonals]
    if not segments:
        return
    lines = LineCollection(segments, colors="0.75", linewidths=0.6, zorder=1)
    ax.add_collection(lines, autolim=False)
    top, left = np.log(data.grid_D[-1]), np.log(data.grid_N)
    for compute, n, d in data.diagonals:
        order = np.argsort(d)
        at = float(np.interp(top, np.log(d)[order], np.log(n)[order], left=np.nan, right=np.nan))
        if left[0] <= at < left[-1]:
            ax.annotate(
                tick_label(compute),
                (np.exp(at), data.grid_D[-1]),
                xytext=(0, 2),
                textcoords="offset points",
                fontsize=7,
                color="0.4",
                ha="center",
                annotation_clip=False,
            )


def _handles(data: SurfaceData) -> list[Any]:
    from matplotlib.lines import Line2D

    dot: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 3.5}
    out = [Line2D([], [], color=PALETTE[5], label="run", **dot)]
    out.append(Line2D([], [], color=colours()(0.5), label=f"equal {label(data.response)}"))
    if len(data.path_N):
        out.append(Line2D([], [], color=PALETTE[1], linewidth=1.8, label="compute-optimal"))
    if data.diagonals:
        out.append(Line2D([], [], color="0.75", linewidth=0.8, label="equal compute [FLOP]"))
    return out


SURFACE = Kind(
    name="surface",
    title="The fitted law over size and data",
    good="the runs surround the compute-optimal line, and the target is not far beyond their hull.",
    per="fit",
    data=surface_data,
    draw=draw_surface,
    height=3.6,
)
