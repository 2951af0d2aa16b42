"""The frontiers of several recipes over each other: the runs of each, its best loss, and its E."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.reporting import numbers
from scaling.reporting.context import level_of
from scaling.reporting.document import Tip
from scaling.reporting.figures.axes import above, log_axis
from scaling.reporting.figures.kind import Drawn, Kind, Marks
from scaling.reporting.figures.style import DASHES, MARKERS, PALETTE, beyond, label, with_unit
from scaling.reporting.parties import ComparisonContext, Party, compared
from scaling.reporting.runs import MOST_DRAWN, Array, Band, cost_of, optimum, runs_of, tips_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scaling.reporting.context import Context

AHEAD = 10.0  # how far beyond the largest run frontiers are drawn
POINTS = 50
PALE = 0.45
DENSE = 150  # runs of a group above which their markers are small and pale


@dataclass(frozen=True)
class One:
    """The runs of one recipe, and its frontier where its law has one."""

    name: str
    C: Array
    loss: Array
    line: Band | None
    E: float | None
    limit: float
    marked: tuple[Tip, ...]


@dataclass(frozen=True)
class FrontiersData(Drawn):
    """Every recipe of a comparison."""

    ones: tuple[One, ...]
    target: float | None
    unit: str
    level: float
    response: str

    @property
    def tips(self) -> tuple[Tip, ...]:
        """Tips of the runs, recipe by recipe."""
        return tuple(tip for one in self.ones for tip in one.marked)

    @property
    def limit(self) -> float:
        """Compute of the largest run [FLOP]."""
        return max(one.limit for one in self.ones)

    @property
    def caption(self) -> str:
        """What is drawn."""
        text = (
            f"Runs of each recipe, and lines: {self.response} of the best run at each compute by "
            "its own law, pale beyond its largest run"
        )
        if any(o.line is not None and np.isfinite(o.line.lo).all() for o in self.ones):
            text += f"; bands: {self.level:.0%} intervals"
        return f"{text}; thin horizontal lines: irreducible {self.response} E."

    @property
    def alt(self) -> str:
        """Where the runs and the lines lie."""
        parts = []
        for one in self.ones:
            text = (
                f"{one.name}: {len(one.C)} runs from {numbers.quantity(float(one.C.min()))} to "
                f"{numbers.quantity(one.limit)} FLOP"
            )
            if one.line is not None:
                at = int(np.argmin(np.abs(np.log(one.line.C / one.limit))))
                best = numbers.quantity(float(one.line.y[at]), 4)
                text += f", best {self.response} {best} at {numbers.quantity(one.line.C[at])} FLOP"
            if one.E:
                text += f", E = {numbers.quantity(one.E)}"
            parts.append(text)
        return "; ".join(parts) + "."

    def columns(self) -> dict[str, list[Any]]:
        """Return runs and lines in long form."""
        out: dict[str, list[Any]] = {
            k: [] for k in ("recipe", "what", "C", self.response, "lo", "hi")
        }

        def add(*columns: list[Any]) -> None:
            for values, new in zip(out.values(), columns, strict=True):
                values += new

        for one in self.ones:
            n = len(one.C)
            blank = [float("nan")] * n
            add([one.name] * n, ["run"] * n, one.C.tolist(), one.loss.tolist(), blank, blank)
            if one.line is not None:
                m = len(one.line.C)
                lines = [a.tolist() for a in (one.line.C, one.line.y, one.line.lo, one.line.hi)]
                add([one.name] * m, ["frontier"] * m, *lines)
        return out


def frontiers_data(context: Context, subject: None = None) -> FrontiersData | None:
    """Collect the frontiers of a comparison, or None where there are no two of one response."""
    del subject
    found = compared(context)
    if found is None or len(found.parties) < 2:
        return None
    first = found.parties[0]
    alike = [
        party
        for party in found.parties
        if party.fit.response == first.fit.response
        and party.unit(party.fit.response) == first.unit(first.fit.response)
    ]
    ones = [one for party in alike if (one := _one(found, party)) is not None]
    if len(ones) < 2:
        return None
    return FrontiersData(
        tuple(ones),
        found.target,
        first.unit(first.fit.response),
        level_of(first.fit),
        first.fit.response,
    )


def _one(context: ComparisonContext, party: Party) -> One | None:
    fit = party.fit
    runs = runs_of(fit, fit.response, most=MOST_DRAWN)
    compute = cost_of(fit, runs)
    keep = np.isfinite(compute) & np.isfinite(runs.loss)
    if not keep.any():
        return None
    limit = float(compute[keep].max())
    grid = np.geomspace(compute[keep].min(), max(AHEAD * limit, context.target or 0.0), POINTS)
    table = optimum(fit, grid, level_of(fit))
    line = None
    if table is not None:
        line = Band(grid, *(np.asarray(table[k], dtype=np.float64) for k in ("loss", "lo", "hi")))
    offset = fit.params.get("E") if fit.identified else None
    tips = tuple(
        Tip(f"{party.name}\n{tip.text}", tip.anchor if context.anchored else "")
        for tip in tips_of(runs, keep, fit.response)
    )
    return One(
        party.name,
        compute[keep],
        runs.loss[keep],
        line,
        float(offset) if offset else None,
        limit,
        tips,
    )


def draw_frontiers(data: FrontiersData, axes: Sequence[Axes]) -> Marks:
    """Draw runs, frontiers with bands, and irreducible losses, a colour and marker a recipe."""
    ax = axes[0]
    ax.set_xscale("log")
    ends = [o.line.C[-1] if o.line is not None else o.limit for o in data.ones]
    beyond(ax, data.limit, float(max(ends)))
    marks: Marks = {}
    place = 0
    for k, one in enumerate(data.ones):
        _draw_one(ax, one, k)
        marks[f"runs-{k}"] = list(range(place, place + len(one.marked)))
        place += len(one.marked)
    if data.target is not None:
        ax.axvline(data.target, color="0.2", linewidth=1.0, dashes=(5, 2), label="target C")
    seen = [float(v) for one in data.ones for v in (one.loss.min(), one.loss.max())]
    lines = [one.line for one in data.ones if one.line is not None]
    seen += [float(v) for line in lines for v in (np.nanmin(line.y), line.y[0])]
    seen += [one.E for one in data.ones if one.E is not None and min(seen) < 2.0 * one.E]
    log_axis(ax, "y", (0.98 * min(seen), 1.02 * max(seen)), most=6)
    ax.set_xlabel("C [FLOP]")
    ax.set_ylabel(with_unit(data.response, data.unit))
    above(ax, columns=3)
    return marks


def _draw_one(ax: Axes, one: One, k: int) -> None:
    colour = PALETTE[k % len(PALETTE)]
    dense = len(one.C) > DENSE
    ax.scatter(
        one.C,
        one.loss,
        color=colour,
        marker=MARKERS[k % len(MARKERS)],
        s=8 if dense else 14,
        alpha=0.5 if dense else 0.8,
        linewidths=0,
        gid=f"runs-{k}",
        zorder=3,
        label=None if one.line is not None else label(one.name, 40),
    )
    if one.E is not None:
        ax.axhline(one.E, color=colour, linewidth=0.7, alpha=0.8, dashes=(1, 2))
    if one.line is None:
        return
    line = one.line
    near = np.asarray(line.C) <= one.limit * 1.001
    dashes = DASHES[k % len(DASHES)]
    if np.isfinite(line.lo).all():
        ax.fill_between(line.C, line.lo, line.hi, color=colour, alpha=0.14, linewidth=0)
    ax.plot(
        line.C[near],
        line.y[near],
        color=colour,
        linestyle=dashes,
        marker=MARKERS[k % len(MARKERS)],
        markevery=[0],
        label=label(one.name, 40),
    )
    start = max(int(near.sum()) - 1, 0)
    ax.plot(line.C[start:], line.y[start:], color=colour, linestyle=dashes, alpha=PALE)


FRONTIERS = Kind(
    name="frontiers",
    title="Frontiers overlaid",
    good="bands that do not overlap where one recipe is said to be better, and runs of both "
    "recipes over the same range of compute.",
    per="all",
    data=frontiers_data,
    draw=draw_frontiers,
    height=3.4,
)
