"""Bootstrap replicates of the parameters: a corner of pairs, in logs where a parameter is a scale.

The whole corner is one pair of axes with cells: as many axes as cells would take ten times as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.prediction import cost_of, largest_compute
from scaling.fitting.result import Fit
from scaling.fitting.spread import spread_about
from scaling.fitting.verdict import frontier_exponents
from scaling.reporting import numbers
from scaling.reporting.figures.axes import even_ticks, fixed_ticks, is_column, runs_on
from scaling.reporting.figures.kind import Drawn, Kind, Marks, short
from scaling.reporting.figures.style import PALETTE, label
from scaling.reporting.runs import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scaling.reporting.context import Context

MOST = 7
VARIES = 1e-9  # SD over the estimate, below which a parameter is held
FEWEST = 10  # replicates that make a cloud
BINS = 20
MOST_DOTS, ALL_DOTS = 400, 1200  # of a cell, and of all cells together
TAIL = 5.0  # percent beyond each end of what is told
SHOWN = (0.5, 99.5)  # percentiles that a cell spans
HISTOGRAM = 0.48  # of the height of a cell
GAP = 0.1  # between cells, which are 1 wide
GREEK = {"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "kappa": "κ"}


@dataclass(frozen=True)
class BootstrapData(Drawn):
    """Replicates of the parameters as they are shown.

    Attributes
    ----------
    names : tuple of str
        As written in the figure, such as ``ln A``; at most `MOST`.
    draws : ndarray
        Shape (replicates, parameters).
    estimate : ndarray
        Shape (parameters,).
    correlation : ndarray
        Shape (parameters, parameters).
    failed : int
        Replicates that did not converge.
    factor : float
        Small-sample factor that the draws are spread by.
    kind : str
    hidden : int
        Parameters that are left out for want of room.
    held : tuple of str
        Parameters that do not vary over the replicates.
    """

    names: tuple[str, ...]
    draws: Array
    estimate: Array
    correlation: Array
    failed: int
    factor: float
    kind: str
    hidden: int
    held: tuple[str, ...]

    @property
    def ends(self) -> Array:
        """5th, 50th and 95th percentile, shape (3, parameters)."""
        return np.percentile(self.draws, [TAIL, 50.0, 100.0 - TAIL], axis=0)

    @property
    def thinned(self) -> NDArray[np.int64]:
        """Which replicates are drawn: evenly spaced, so that all clouds together stay light."""
        pairs = max(1, len(self.names) * (len(self.names) - 1) // 2)
        most = min(len(self.draws), MOST_DOTS, max(FEWEST, ALL_DOTS // pairs))
        return np.linspace(0, len(self.draws) - 1, most).round().astype(np.int64)

    @property
    def caption(self) -> str:
        """What is drawn."""
        text = (
            f"{len(self.draws)} replicates ({self.kind}), {self.failed} failed; below the diagonal "
            f"{len(self.thinned)} of them, above it the correlations of all, on it median and 5 to "
            "95% range; cross: the estimate"
        )
        if (pair := self._telling) is not None:
            text += f". {pair[0]} and {pair[1]} correlate {numbers.signed(pair[2], 2)}"
        if self.held:
            text += f"; {', '.join(self.held)} does not vary"
        if self.hidden:
            text += f"; {self.hidden} more parameters are not shown"
        return f"{text}."

    @property
    def alt(self) -> str:
        """Median and range of every parameter, and the telling correlation."""
        rows = zip(self.names, self.ends.T, strict=True)
        named = (
            f"{name} {numbers.quantity(float(e[1]))} ({numbers.interval(float(e[0]), float(e[2]))})"
            for name, e in rows
        )
        text = f"Medians and 5 to 95% ranges of {len(self.draws)} replicates: {', '.join(named)}"
        if (pair := self._telling) is not None:
            text += f"; {pair[0]} and {pair[1]} correlate {numbers.signed(pair[2], 2)}"
        return f"{text}."

    @property
    def _telling(self) -> tuple[str, str, float] | None:
        if {"ln A", "α"} <= set(self.names):
            i, j = self.names.index("ln A"), self.names.index("α")
        elif len(self.names) > 1:
            size = np.abs(np.tril(self.correlation, -1))
            i, j = (int(k) for k in np.unravel_index(int(np.argmax(size)), size.shape))
        else:
            return None
        return self.names[i], self.names[j], float(self.correlation[i, j])

    def columns(self) -> dict[str, list[Any]]:
        """Return one row a pair, and one a parameter with its percentiles."""
        count, ends = len(self.names), self.ends
        pairs = [(i, j) for i in range(count) for j in range(i + 1)]
        out: dict[str, list[Any]] = {
            "y": [self.names[i] for i, _ in pairs],
            "x": [self.names[j] for _, j in pairs],
            "correlation": short([float(self.correlation[i, j]) for i, j in pairs]),
        }
        rows = (("p5", ends[0]), ("median", ends[1]), ("p95", ends[2]), ("estimate", self.estimate))
        for name, values in rows:
            out[name] = short([float(values[i]) if i == j else np.nan for i, j in pairs])
        return out


def bootstrap_data(_: Context, fit: Fit) -> BootstrapData | None:
    """Collect the replicates of a fit, or None where there are none that vary."""
    if not fit.identified or fit.interval is None or not fit.draws:
        return None
    columns, held = _shown(fit)
    if not columns:
        return None
    draws = np.column_stack([drawn for _, drawn, _ in columns])
    draws = draws[np.isfinite(draws).all(axis=1)]
    if len(draws) < FEWEST:
        return None
    correlation = np.atleast_2d(np.corrcoef(draws, rowvar=False))
    kept = slice(0, MOST)
    return BootstrapData(
        names=tuple(name for name, _, _ in columns)[kept],
        draws=draws[:, kept],
        estimate=np.array([value for _, _, value in columns])[kept],
        correlation=correlation[kept, kept],
        failed=fit.interval.failed,
        factor=fit.interval.factor,
        kind=fit.interval.kind,
        hidden=max(0, len(columns) - MOST),
        held=held,
    )


def _shown(fit: Fit) -> tuple[list[tuple[str, Array, float]], tuple[str, ...]]:
    """Name, draws and estimate of each parameter as it is shown, and the names that do not vary.

    Draws are spread about the estimate as the intervals are.
    """
    factor = 1.0 if fit.interval is None else fit.interval.factor
    logs = {p.name for p in fit.law.parameters if p.in_log}
    everything = dict(fit.draws)
    if "a" not in everything and fit.law.frontier is not None:
        with np.errstate(all="ignore"):
            found = frontier_exponents(fit.law, fit.draws, cost_of(fit), largest_compute(fit))
        everything["a"] = np.asarray(found["a"], dtype=np.float64)
    columns, held = [], []
    for name, raw in everything.items():
        value = fit.params.get(name)
        log = name in logs and value is not None and value > 0 and bool((raw > 0).all())
        written = GREEK.get(name, label(name))
        if (
            value is None
            or not np.isfinite(raw).any()
            or float(np.nanstd(raw)) <= VARIES * abs(value)
        ):
            held.append(written)
            continue
        drawn = spread_about(value, np.asarray(raw, dtype=np.float64), factor, log=log)
        if log:
            columns.append((f"ln {written}", np.log(drawn), float(np.log(value))))
        else:
            columns.append((written, drawn, float(value)))
    return columns, tuple(held)


# ----------------------------------------------------------------------------------------- drawing


def draw_bootstrap(data: BootstrapData, axes: Sequence[Axes]) -> Marks:
    """Draw the corner: clouds below, correlations above, histograms on the diagonal."""
    ax, count = axes[0], len(data.names)
    limits = _limits(data)
    scaled = (data.draws - limits[0]) / (limits[1] - limits[0])
    estimate = (data.estimate - limits[0]) / (limits[1] - limits[0])
    ax.grid(visible=False)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.set_xlim(0.0, count)
    ax.set_ylim(count, 0.0)
    _draw_clouds(ax, data, scaled)
    _draw_histograms(ax, data, scaled)
    _draw_frames(ax, count, estimate)
    column = is_column(axes)
    _write(ax, data, column=column)
    for which in ("x", "y"):
        _tick(ax, which, data, limits, column=column)
    return {}


def _limits(data: BootstrapData) -> Array:
    """Ends of each parameter's cells, shape (2, parameters)."""
    low, high = np.percentile(data.draws, SHOWN, axis=0)
    low, high = np.minimum(low, data.estimate), np.maximum(high, data.estimate)
    pad = 0.04 * (high - low)
    return np.array([low - pad, high + pad])


def _draw_clouds(ax: Axes, data: BootstrapData, scaled: Array) -> None:
    """Draw replicates of all pairs, evenly thinned, as one light path."""
    count = len(data.names)
    pairs = [(i, j) for i in range(count) for j in range(i)]
    if not pairs:
        return
    chosen = scaled[data.thinned]
    inside = (chosen >= 0.0) & (chosen <= 1.0)
    places = []
    for i, j in pairs:
        shown = chosen[inside[:, i] & inside[:, j]]
        x, y = j + _inside(shown[:, j]), i + _inside(1.0 - shown[:, i])
        places.append(np.column_stack([x, y]))
    x, y = np.concatenate(places).T
    runs_on(ax, x, y, "clouds", colour=PALETTE[0], size=1.5, tipped=False)


def _draw_histograms(ax: Axes, data: BootstrapData, scaled: Array) -> None:
    from matplotlib.collections import PolyCollection

    shapes = []
    for k in range(len(data.names)):
        heights, edges = np.histogram(scaled[:, k], bins=BINS, range=(0.0, 1.0))
        x = k + _inside(np.repeat(edges, 2))
        y = k + _inside(
            1.0 - HISTOGRAM * np.concatenate([[0], np.repeat(heights, 2), [0]]) / heights.max()
        )
        shapes.append(np.column_stack([x, y]))
    ax.add_collection(
        PolyCollection(shapes, facecolors="#9cc4e0", edgecolors=PALETTE[0], linewidths=0.6)
    )


def _inside(share: Any) -> Any:
    """Place of a share of a cell's width."""
    return 0.5 * GAP + (1.0 - GAP) * share


def _draw_frames(ax: Axes, count: int, estimate: Array) -> None:
    """Draw the edges of the cells and a cross at the estimate."""
    from matplotlib.collections import LineCollection

    low, high = _inside(0.0), _inside(1.0)
    edges, marks = [], []
    for i in range(count):
        y = i + _inside(1.0 - estimate[i])
        for j in range(i + 1):
            x = j + _inside(estimate[j])
            bottom = [(j + low, i + high), (j + high, i + high)]
            edges.append([(j + low, i + low), *bottom] if j < i else bottom)
            top = low if j < i else _inside(1.0 - HISTOGRAM)
            marks.append([(x, i + top), (x, i + high)])
            if j < i:
                marks.append([(j + low, y), (j + high, y)])
    ax.add_collection(LineCollection(edges, colors="0.4", linewidths=0.6))
    ax.add_collection(LineCollection(marks, colors=PALETTE[1], linewidths=0.7))


def _write(ax: Axes, data: BootstrapData, *, column: bool) -> None:
    """Write names, medians and ranges on the diagonal, and correlations above it."""
    ends = data.ends
    small = 6.5 if column else 8.0
    for i, name in enumerate(data.names):
        low, middle, high = (float(v) for v in ends[:, i])
        left = i + _inside(0.03)
        ax.text(left, i + _inside(0.0), name, va="top", fontweight="bold", fontsize=small)
        if not column:
            text = f"{numbers.within(middle, low, high)}\n({numbers.interval(low, high)})"
            ax.text(left, i + _inside(0.2), text, va="top", fontsize=6, linespacing=1.05)
        for j in range(i):
            value = float(data.correlation[i, j])
            shade = f"{0.5 - 0.5 * abs(value):.2f}"
            written = numbers.signed(value, 2)
            style: dict[str, Any] = {
                "ha": "center",
                "va": "center",
                "color": shade,
                "fontsize": small,
            }
            ax.text(i + 0.5, j + 0.5, written, **style)


def _tick(ax: Axes, which: Any, data: BootstrapData, limits: Array, *, column: bool) -> None:
    """Tick each column below, and each row but the first on the left, with a few values."""
    places, texts = [], []
    for k in range(len(data.names)):
        if which == "y" and k == 0:
            continue
        low, high = float(limits[0, k]), float(limits[1, k])
        for value in even_ticks(low, high, 4):
            share = (value - low) / (high - low)
            places.append(k + _inside(share if which == "x" else 1.0 - share))
            texts.append(f"{value:.6g}".replace("-", "−"))
    fixed_ticks(ax, which, places, texts)
    turned: dict[str, Any] = (
        {"rotation": 90} if which == "x" and (column or len(data.names) > 4) else {}
    )
    ax.tick_params(axis=which, labelsize=6.5, length=2, **turned)


BOOTSTRAP = Kind(
    name="bootstrap",
    title="Bootstrap replicates of the parameters",
    good="clouds are round and narrow; a thin slanted one says that the two parameters cannot be "
    "told apart, and only what is predicted from both may be quoted.",
    per="fit",
    data=bootstrap_data,
    draw=draw_bootstrap,
    height=4.6,
)
