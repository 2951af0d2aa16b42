"""How far choices of method move a and N*, beside the interval of the fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.fitting.result import Fit
from scaling.reporting import numbers
from scaling.reporting.context import level_of
from scaling.reporting.document import Tip
from scaling.reporting.figures.kind import Drawn, Kind, Marks
from scaling.reporting.figures.style import MARKERS, PALETTE, label, with_unit
from scaling.reporting.runs import Array, optimum

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scaling.reporting.context import Context

SPREAD = 0.3  # of the dots of a kind about its line, in lines
PER_KIND, FRAME = 0.42, 0.65  # height of a kind and of the rest [inch]


@dataclass(frozen=True)
class Spread:
    """One quantity: its value in every variant, in the fit, and the interval of the fit.

    ``values`` is NaN where a variant gives none; ``lo`` and ``hi`` are NaN without intervals.
    """

    name: str
    values: Array
    fit: float
    lo: float
    hi: float


@dataclass(frozen=True)
class SensitivityData(Drawn):
    """Variants by kind of change, with a and N*.

    Attributes
    ----------
    kinds, changes : tuple of str
        Of each variant.
    quantities : tuple of Spread
        a, and N* at `C` where any variant gives it.
    C : float
    level : float
    unit : str
        Of N.
    """

    kinds: tuple[str, ...]
    changes: tuple[str, ...]
    quantities: tuple[Spread, ...]
    C: float
    level: float
    unit: str

    @property
    def order(self) -> tuple[str, ...]:
        """Kinds of change in order of appearance."""
        return tuple(dict.fromkeys(self.kinds))

    @property
    def shown(self) -> Array:
        """Indices of the variants that have the first quantity, by kind."""
        return np.array(self._members(self.quantities[0].values), dtype=np.int64)

    def _members(self, values: Array) -> list[int]:
        every = range(len(self.kinds))
        return [
            i for k in self.order for i in every if self.kinds[i] == k and np.isfinite(values[i])
        ]

    @property
    def tips(self) -> tuple[Tip, ...]:
        """One tip a variant that is drawn: what was changed and what it gives."""
        out = []
        for i in self.shown:
            lines = [self.changes[i]]
            for q in self.quantities:
                if np.isfinite(q.values[i]):
                    lines.append(f"{q.name} {numbers.quantity(float(q.values[i]))}")
            out.append(Tip("\n".join(lines)))
        return tuple(out)

    @property
    def caption(self) -> str:
        """What is drawn."""
        text = "Each dot: the same runs fitted again with one or two choices of method changed"
        if len(self.quantities) > 1:
            text += f"; N* at C = {numbers.quantity(self.C)} FLOP"
        text += "; vertical line: the fit"
        if np.isfinite(self.quantities[0].lo):
            text += f", shaded: its {self.level:.0%} interval, which knows noise alone"
        return f"{text}."

    @property
    def alt(self) -> str:
        """The range of each quantity by kind of change, and the interval of the fit."""
        parts = []
        for q in self.quantities:
            told = []
            for kind in self.order:
                own = [q.values[i] for i in self._members(q.values) if self.kinds[i] == kind]
                if own:
                    told.append(f"{kind} {numbers.span([float(v) for v in own])}")
            if np.isfinite(q.lo):
                told.append(f"interval of the fit {numbers.interval(q.lo, q.hi)}")
            parts.append(f"Range of {q.name}: {', '.join(told)}.")
        return " ".join(parts)

    def columns(self) -> dict[str, list[Any]]:
        """Return one row a variant, the fit last."""
        out: dict[str, list[Any]] = {
            "kind": [*self.kinds, "fit"],
            "change": [*self.changes, ""],
        }
        for q in self.quantities:
            blank = [float("nan")] * len(self.kinds)
            out[q.name] = [*q.values.tolist(), q.fit]
            out[f"{q.name}_lo"], out[f"{q.name}_hi"] = [*blank, q.lo], [*blank, q.hi]
        return out


def sensitivity_data(context: Context, fit: Fit) -> SensitivityData | None:
    """Collect the variants of a fit, or None without a panel or with fewer than two values."""
    s = fit.sensitivity
    if not s or not fit.identified or fit.params.get("a") is None:
        return None
    values = {name: np.array(s[name], dtype=np.float64) for name in ("a", "N")}
    if int(np.isfinite(values["a"]).sum()) < 2:
        return None
    compute, level = float(s["C"][0]), level_of(fit)
    lo, hi = fit.intervals.get("a", (np.nan, np.nan))
    quantities = [Spread("a", values["a"], float(fit.params["a"]), lo, hi)]
    best = optimum(fit, np.array([compute]), level)
    if best is not None and np.isfinite(values["N"]).any():
        place = (float(best[name][0]) for name in ("N", "N_lo", "N_hi"))
        quantities.append(Spread("N*", values["N"], *place))
    return SensitivityData(
        tuple(s["kind"]), tuple(s["change"]), tuple(quantities), compute, level, context.unit("N")
    )


def draw_sensitivity(data: SensitivityData, axes: Sequence[Axes]) -> Marks:
    """Draw the variants as dots by kind of change, beside the interval of the fit."""
    place = {int(i): k for k, i in enumerate(data.shown)}
    marks: Marks = {}
    for ax, q in zip(axes, data.quantities, strict=True):
        if np.isfinite(q.lo) and np.isfinite(q.hi):
            ax.axvspan(q.lo, q.hi, color=PALETTE[0], alpha=0.15, linewidth=0)
        ax.axvline(q.fit, color=PALETTE[0], linewidth=1.2)
        names = []
        for line, kind in enumerate(data.order):
            own = [i for i in place if data.kinds[i] == kind and np.isfinite(q.values[i])]
            count = sum(data.kinds[i] == kind for i in range(len(data.kinds)))
            names.append(f"{label(kind, 20)}\n{len(own)} of {count}")
            if own:
                group = f"{'n' if q.name == 'N*' else 'a'}{line}"
                marks[group] = [place[i] for i in own]
                _draw_kind(q.values[own], line, group, ax)
        ax.set_ylim(len(names) - 0.5, -0.5)
        spec = ax.get_subplotspec()
        first = spec is None or spec.is_first_col()
        ax.set_yticks(range(len(names)), names if first else [""] * len(names))
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="y", visible=False)
        if q.name == "N*":
            ax.set_xscale("log")
        ax.set_xlabel(with_unit("N*", data.unit) if q.name == "N*" else "a, N* ∝ C^a")
    return marks


def _draw_kind(values: Array, line: int, group: str, ax: Axes) -> None:
    """Draw the range of one kind, and its dots beside one another in their order."""
    ax.plot([values.min(), values.max()], [line, line], color="0.55", linewidth=1.0)
    shift = SPREAD * (((np.arange(len(values)) * 5) % 11) / 5.0 - 1.0)
    if len(values) == 1:
        shift = np.zeros(1)
    ax.plot(
        values,
        line + shift,
        MARKERS[line % len(MARKERS)],
        color=PALETTE[1 + line % 4],
        markersize=3.6,
        markeredgewidth=0,
        alpha=0.85,
        gid=group,
    )


def _height(data: SensitivityData) -> float:
    return FRAME + PER_KIND * len(data.order)


SENSITIVITY = Kind(
    name="sensitivity",
    title="Choices of method beside the interval",
    good="the dots lie inside the shaded interval: no choice of method moves the answer further "
    "than the noise does.",
    per="fit",
    data=sensitivity_data,
    draw=draw_sensitivity,
    panels=lambda data: (1, len(data.quantities)),
    height=_height,
)
