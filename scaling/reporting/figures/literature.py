"""Exponents of this study beside those that papers printed, with what each counts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.fitting.optima import Allocation
from scaling.fitting.result import Fit
from scaling.laws import Law
from scaling.laws.literature import LITERATURE as PRINTED
from scaling.reporting import numbers
from scaling.reporting.figures.axes import is_column
from scaling.reporting.figures.kind import Drawn, Kind, Marks
from scaling.reporting.figures.style import MARKERS, PALETTE, label
from scaling.reporting.wording import cost_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scaling.reporting.context import Context

QUANTITIES = ("a", "b", "alpha", "beta")  # never E: losses of other data are not comparable
MOST_OWN = 8
PER_ROW, FRAME = 0.3, 0.75  # height of a row and of the rest [inch]
ADDITIVE = "chinchilla"  # the law that printed alpha and beta belong to
APPROACHES = ("surface", "isoflop", "envelope", "other")
# Words that tell what N counts, the first that is found deciding.
COUNTS: Mapping[str, str] = {
    r"flop per token": "FLOP per token",
    r"non-embedding|without embedding|excluding embedding|\bbody alone": "N without embeddings",
    r"body (?:and|\+) head": "N body and head",
    r"\btotal\b|embeddings included|with embeddings": "N total",
}
YEAR = re.compile(r".*?\b(?:19|20)\d\d\b")


@dataclass(frozen=True)
class Entry:
    """What one source, or one approach of this study, says.

    Attributes
    ----------
    source : str
    own : bool
        Whether it is of this study.
    approach : str
    values : mapping
        Of `QUANTITIES`, as far as it has them.
    intervals : mapping
    kind : str
        What the intervals are; empty without any.
    convention : str
        What N and C count, in the source's words.
    group : str or None
        Of this study's.
    """

    source: str
    own: bool
    approach: str
    values: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    kind: str = ""
    convention: str = ""
    group: str | None = None

    @property
    def counts(self) -> str:
        """What N counts, in a few words; empty where it is not known."""
        text = self.convention.lower()
        return next((said for words, said in COUNTS.items() if re.search(words, text)), "")

    @property
    def like(self) -> tuple[str, bool]:
        """What must agree for values to be compared: what N counts, and C = 6ND or not."""
        return self.counts, "6nd" in self.convention.lower().replace(" ", "")


@dataclass(frozen=True)
class LiteratureData(Drawn):
    """Entries, this study's first, and for each quantity who has it."""

    entries: tuple[Entry, ...]
    quantities: tuple[str, ...]
    hidden: int

    def same(self, entry: Entry) -> bool:
        """Tell whether an entry counts as the first of this study does."""
        own = self.entries[0].like
        return entry.like == own and (entry.own or bool(own[0]))

    @property
    def caption(self) -> str:
        """What is drawn, and what must not be compared."""
        own = self.entries[0]
        counted = own.counts or "N not stated"
        text = (
            "Exponents of this study by approach, and as printed; bars: intervals, whose kinds "
            f"differ and stand under each name. Hollow: does not count as the first ({counted}, "
            f"{'C = 6ND' if own.like[1] else 'another C'}), which alone can move a by .1 and more."
        )
        if self.hidden:
            text += f" {self.hidden} more fits of this study are left out."
        return text

    @property
    def alt(self) -> str:
        """The values of each quantity."""
        parts = []
        for name in self.quantities:
            told = (
                f"{e.source} {numbers.quantity(e.values[name])}"
                for e in self.entries
                if name in e.values
            )
            parts.append(f"{name}: {', '.join(told)}.")
        return " ".join(parts)

    def columns(self) -> dict[str, list[Any]]:
        """Return one row a value."""
        names = ("quantity", "source", "approach", "value", "lo", "hi", "interval", "convention")
        out: dict[str, list[Any]] = {name: [] for name in names}
        for quantity in self.quantities:
            for e in self.entries:
                if quantity in e.values:
                    lo, hi = e.intervals.get(quantity, (float("nan"),) * 2)
                    row = (quantity, e.source, e.approach, e.values[quantity], lo, hi, e.kind)
                    for name, value in zip(names, (*row, e.convention), strict=True):
                        out[name].append(value)
        return out


def literature_data(context: Context, _: None) -> LiteratureData | None:
    """Collect exponents of all fits and papers; None where this study has none."""
    own = own_entries(context)
    if not own:
        return None
    printed = printed_entries([fit.law for fit in context.fits.fits if fit.identified])
    known = {name for e in printed for name in e.values}
    kept = own[:MOST_OWN]
    shared = tuple(
        name for name in QUANTITIES if name in known and any(name in e.values for e in kept)
    )
    if not shared:
        return None
    beside = [e for e in printed if set(e.values) & set(shared)]
    return LiteratureData((*kept, *beside), shared, len(own) - len(kept))


def own_entries(context: Context) -> list[Entry]:
    """Return what this study found: each identified fit with exponents, then other approaches."""
    convention = str(context.fits.table.get("convention") or "N not stated")
    out = []
    for fit in context.fits.fits:
        if fit.identified and fit.params.get("a") is not None:
            out.append(_own(_values(fit), fit, context, convention))
    for allocation in context.fits.allocations:
        if allocation.approach != "surface" and allocation.a is not None:
            values = {"a": allocation.a, "b": allocation.b}
            found = {k: float(v) for k, v in values.items() if v is not None}
            out.append(_own(found, allocation, context, convention))
    return out


def _values(fit: Fit) -> dict[str, float]:
    names = QUANTITIES if fit.law.name == ADDITIVE or fit.law.published else QUANTITIES[:2]
    return {name: float(fit.params[name]) for name in names if name in fit.params}


def _own(
    values: Mapping[str, float], part: Fit | Allocation, context: Context, convention: str
) -> Entry:
    if isinstance(part, Fit):
        intervals = {k: v for k, v in part.intervals.items() if k in values}
        level = part.interval.level if part.interval else 0.0
        kind = part.interval.kind if part.interval else ""
        approach, name = "surface", context.subject(part)
    else:
        found = part.interval or {}
        intervals = {k: (found[k][0], found[k][1]) for k in values if found.get(k)}
        level, kind = found.get("level", 0.0), str(found.get("kind") or "")
        approach, name = part.approach, context.group_name(part.group)
    source = f"this study: {approach}" + (f", {name}" if name else "")
    told = f"{level:.0%} {kind}".strip() if intervals else ""
    cost = cost_label(part.cost)
    own = convention.partition("; C =")[0]
    return Entry(source, True, approach, values, intervals, told, f"{own}; {cost}", part.group)


def printed_entries(laws: Sequence[Law]) -> list[Entry]:
    """Return what papers printed; alpha and beta only beside fits of their own law."""
    additive = any(law.name == ADDITIVE for law in laws)
    names = QUANTITIES if additive else QUANTITIES[:2]
    out = []
    for r in PRINTED:
        values = {k: v for k, v in r.values.items() if k in names}
        ends = {k: v for k, v in r.intervals.items() if k in values}
        out.append(Entry(r.source, False, r.approach, values, ends, r.kind, r.convention))
    return [*out, *(e for e in _of_laws(laws) if not any(_repeats(e, o) for o in out))]


def _of_laws(laws: Sequence[Law]) -> Iterator[Entry]:
    """Yield what papers printed of these laws; a and b follow from the printed parameters."""
    for law in {law.name: law for law in laws}.values():
        for item in law.published:
            values = {k: float(item.params[k]) for k in ("alpha", "beta") if k in item.params}
            if law.frontier is not None:
                a, b = law.frontier.exponents(item.params)
                values |= {"a": float(a), "b": float(b)}
            source = f"{item.source}, law {law.name}"
            yield Entry(source, False, "surface", values, convention=f"{item.convention}; C = 6ND")


def _repeats(one: Entry, other: Entry) -> bool:
    """Tell whether two entries are the same values of one paper."""
    years = [YEAR.match(e.source) for e in (one, other)]
    if not all(years) or years[0][0] != years[1][0]:  # type: ignore[index]
        return False
    shared = set(one.values) & set(other.values)
    return bool(shared) and all(abs(one.values[k] - other.values[k]) < 5e-3 for k in shared)


def draw_literature(data: LiteratureData, axes: Sequence[Axes]) -> Marks:
    """Draw a forest plot, a panel a quantity."""
    stacked = len(axes) > 1 and all(_leads(ax) for ax in axes)
    for ax, name in zip(axes, data.quantities, strict=True):
        shown = [e for e in data.entries if not stacked or name in e.values]
        for line, entry in enumerate(shown):
            if name in entry.values:
                _draw_entry(entry, name, line, data.same(entry), ax)
        own = sum(e.own for e in shown)
        ax.axhline(own - 0.5, color="0.6", linewidth=0.6)
        ax.set_ylim(len(shown) - 0.5, -0.5)
        ax.grid(axis="y", visible=False)
        ax.set_xlabel(name)
        ax.locator_params(axis="x", nbins=4)
        ax.margins(x=0.12)
        ax.tick_params(axis="y", length=0)
        if _leads(ax):
            _label(shown, ax)
        else:
            ax.set_yticks([])
    return {}


def _leads(ax: Axes) -> bool:
    """Tell whether a panel is the first of its row, and so has the names."""
    spec = ax.get_subplotspec()
    return spec is None or bool(spec.is_first_col())


def _draw_entry(entry: Entry, name: str, line: int, same: bool, ax: Axes) -> None:
    colour = PALETTE[0] if entry.own else "0.3"
    value = entry.values[name]
    if name in entry.intervals:
        ax.hlines(line, *entry.intervals[name], color=colour, linewidth=1.2)
    ax.plot(
        [value],
        [line],
        MARKERS[APPROACHES.index(entry.approach)],
        color=colour,
        markersize=5.5 if entry.own else 4.5,
        markerfacecolor=colour if same else "white",
        markeredgewidth=1.0,
        zorder=3,
    )


def _label(shown: Sequence[Entry], ax: Axes) -> None:
    """Name each entry, and under it what N counts and what its interval is."""
    small = is_column([ax])
    most = 36 if small else 42
    names = []
    for e in shown:
        counted = e.counts or "N not stated"
        interval = label(e.kind, most - len(counted) - 2) if e.kind else "no interval"
        names.append(f"{label(e.source, most)}\n{counted}; {interval}")
    ax.set_yticks(np.arange(len(names)), names, fontsize=6 if small else 6.5)


def _height(data: LiteratureData) -> float:
    return FRAME + PER_ROW * len(data.entries)


LITERATURE = Kind(
    name="literature",
    title="Exponents beside published ones",
    good="filled markers overlap within their intervals; hollow ones count otherwise and may "
    "differ for that alone.",
    per="all",
    data=literature_data,
    draw=draw_literature,
    panels=lambda data: (1, len(data.quantities)),
    height=_height,
)
