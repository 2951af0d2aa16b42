"""Laws of one group side by side: held-out error, and AICc and BIC where there is a likelihood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.reporting import numbers
from scaling.reporting.figures.axes import above
from scaling.reporting.figures.kind import Drawn, Kind, Marks
from scaling.reporting.figures.style import PALETTE, label
from scaling.reporting.runs import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scaling.reporting.context import Context

MOST_LAWS = 12
PER_LAW, FRAME = 0.34, 0.75  # height of a law and of the rest [inch]


@dataclass(frozen=True)
class LawsData(Drawn):
    """One entry a law, best first.

    Attributes
    ----------
    names : tuple of str
        Law, with its objective where that differs.
    k, n : tuple of int
        Free parameters and fitted runs.
    error, above : ndarray
        Mean held-out RMSE over the origins, and what it has above the best [%]; NaN if unscored.
    origins : tuple of ndarray
        RMSE at each origin [%].
    aicc, bic : ndarray
        Above the lowest of the laws that can be compared; NaN where undefined.
    hidden : int
        Laws beyond `MOST_LAWS`.
    weighed : str
        Name of what is several weighted laws; empty without.
    """

    names: tuple[str, ...]
    k: tuple[int, ...]
    n: tuple[int, ...]
    error: Array
    above: Array
    origins: tuple[Array, ...]
    aicc: Array
    bic: Array
    hidden: int
    weighed: str = ""

    @property
    def criteria(self) -> bool:
        """Whether two laws or more have a likelihood to compare."""
        return int(np.isfinite(self.aicc).sum()) > 1

    @property
    def caption(self) -> str:
        """What is drawn."""
        text = (
            "Large: mean held-out RMSE over the origins; small: each origin. k: free parameters, "
            "n: runs; in brackets the difference to the best."
        )
        if self.criteria:
            text += " Right: AICc and BIC above the lowest, by the likelihood of the fitted runs."
        if self.weighed:
            text += (
                f" {self.weighed}: several laws, weighted at each origin by the runs below it; k "
                "is that of the heaviest."
            )
        if self.hidden:
            text += f" The {self.hidden} worst of {self.hidden + len(self.names)} are left out."
        return text

    @property
    def alt(self) -> str:
        """The error of each law."""
        told = (
            f"{name} {error_text(error)}"
            for name, error in zip(self.names, self.error, strict=True)
        )
        return f"Held-out error by law, best first: {', '.join(told)}."

    def columns(self) -> dict[str, list[Any]]:
        """Return one row a law."""
        return {
            "law": list(self.names),
            "k": list(self.k),
            "n": list(self.n),
            "error_percent": self.error.tolist(),
            "above_best_percent": self.above.tolist(),
            "aicc_above_lowest": self.aicc.tolist(),
            "bic_above_lowest": self.bic.tolist(),
        }


def error_text(error: float) -> str:
    """Write an error in percent to a hundredth, or to two digits if it is very small."""
    if not np.isfinite(error):
        return "not scored"
    return numbers.share(error / 100.0)


def laws_data(context: Context, group: str | None) -> LawsData | None:
    """Compare the laws of a group; None with fewer than two, or with none that was scored."""
    rows = laws_of(context, group)
    if len(rows) < 2:
        return None
    error = _percent([row["backtest"]["rmse_log"] for row in rows])
    if not np.isfinite(error).any():
        return None
    best = float(np.nanmin(error))
    kept = rows[:MOST_LAWS]
    return LawsData(
        names=named(kept),
        k=tuple(row["k"] for row in kept),
        n=tuple(row["n"] for row in kept),
        error=error[:MOST_LAWS],
        above=error[:MOST_LAWS] - best,
        origins=tuple(
            _percent([o["rmse_log"] for o in row["backtest"]["origins"]]) for row in kept
        ),
        aicc=above_lowest(rows, "aicc")[:MOST_LAWS],
        bic=above_lowest(rows, "bic")[:MOST_LAWS],
        hidden=len(rows) - len(kept),
        weighed=next((str(row["law"]) for row in kept if weighted(row)), ""),
    )


def laws_of(context: Context, group: str | None) -> list[Mapping[str, Any]]:
    """Return the rows of a group, best first, those that were not scored last."""
    rows = [row for row in context.fits.laws if row["group"] == group]
    return sorted(rows, key=lambda row: row["backtest"].get("rank") or np.inf)


def named(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Name laws, with the objective where one law was fitted by several or they differ."""
    several = len({row["objective"] for row in rows if not weighted(row)}) > 1
    return tuple(
        f"{row['law']}, {row['objective']}" if several and not weighted(row) else row["law"]
        for row in rows
    )


def weighted(row: Mapping[str, Any]) -> bool:
    """Whether a row is of several weighted laws, not of one."""
    return bool(str(row["objective"]).startswith("log-evidence"))


def above_lowest(rows: Sequence[Mapping[str, Any]], name: str) -> Array:
    """Return a criterion above its lowest value, shape (rows,).

    Only laws that were fitted to equally many runs as the best of those are compared.
    """
    values = np.array([row[name] for row in rows], dtype=np.float64)  # None becomes NaN
    known = np.isfinite(values)
    if not known.any():
        return values
    n = np.array([row["n"] for row in rows])
    same = known & (n == n[np.flatnonzero(known)[0]])
    return np.where(same, values - values[same].min(), np.nan)


def _percent(values: Sequence[float | None]) -> Array:
    return 100.0 * np.array(values, dtype=np.float64)


def draw_laws(data: LawsData, axes: Sequence[Axes]) -> Marks:
    """Draw a dot a law, with each origin, and the criteria beside them."""
    places = np.arange(len(data.names), dtype=np.float64)
    _draw_errors(data, places, axes[0])
    if data.criteria:
        _draw_criteria(data, places, axes[1])
    best = zip(data.names, data.k, data.n, data.above, strict=True)
    told = [f"{label(name, 30)}\nk {k}, n {n} ({_above(more)})" for name, k, n, more in best]
    for ax in axes:
        ax.set_ylim(len(places) - 0.5, -0.5)
        ax.grid(axis="y", visible=False)
        first = ax.get_subplotspec()
        if first is None or first.is_first_col():
            ax.set_yticks(places, told)
        else:
            ax.set_yticks(places, [""] * len(places))
        ax.tick_params(axis="y", length=0)
    return {}


def _above(more: float) -> str:
    if not np.isfinite(more):
        return "not scored"
    return "best" if more == 0 else f"+{error_text(more)}"


def _draw_errors(data: LawsData, places: Array, ax: Axes) -> None:
    for place, own in zip(places, data.origins, strict=True):
        known = own[np.isfinite(own)]
        name = "each origin" if place == 0 else None
        ax.plot(
            known,
            np.full(len(known), place),
            "|",
            color="0.45",
            markersize=7,
            markeredgewidth=1.0,
            label=name,
        )
    ax.plot(data.error, places, "o", color=PALETTE[0], markersize=6, label="mean", zorder=4)
    lost = ~np.isfinite(data.error)
    for place in places[lost]:
        ax.text(0.02, place, "not scored", transform=ax.get_yaxis_transform(), va="center")
    right = ax.get_xlim()[1]
    ax.set_xlim(-0.03 * right, right)
    ax.locator_params(axis="x", nbins=6)
    ax.set_xlabel("held-out RMSE [%]")
    above(ax, 2)


def _draw_criteria(data: LawsData, places: Array, ax: Axes) -> None:
    for name, values, marker, colour, shift in (
        ("AICc", data.aicc, "s", PALETTE[1], -0.12),
        ("BIC", data.bic, "D", PALETTE[4], 0.12),
    ):
        ax.plot(values, places + shift, marker, color=colour, markersize=4.5, label=name)
    highest = float(np.nanmax([data.aicc, data.bic]))
    if highest > 50.0:
        ax.set_xscale("symlog", linthresh=10.0)
    ax.set_xlim(left=-0.04 * max(highest, 1.0) if highest <= 50.0 else -1.0)
    ax.set_xlabel("above the lowest")
    above(ax, 2)


def _height(data: LawsData) -> float:
    return FRAME + PER_LAW * len(data.names)


LAWS = Kind(
    name="laws",
    title="Laws compared by held-out error",
    good="one law is clearly ahead at most origins; laws within a tenth of each other are not "
    "told apart by these runs.",
    per="group",
    data=laws_data,
    draw=draw_laws,
    panels=lambda data: (1, 1 + data.criteria),
    height=_height,
)
