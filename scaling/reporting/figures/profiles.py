"""Deviance along each traced parameter, with its limit and the interval that it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.fitting.result import Fit
from scaling.reporting import numbers
from scaling.reporting.figures.axes import is_column, linear_axis, log_axis, over, padded
from scaling.reporting.figures.kind import Drawn, Kind, Marks, short
from scaling.reporting.figures.style import PALETTE, label
from scaling.reporting.runs import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scaling.reporting.context import Context

MOST = 6
TOP = 2.2  # end of the axis of deviance, in limits
WIDE = 8.0  # ratio of values from which a parameter's axis is logarithmic


@dataclass(frozen=True)
class Profile:
    """One parameter.

    Attributes
    ----------
    name : str
    values, deviance : ndarray
        Shape (n,), values rising.
    estimate : float
    interval : (float or None, float or None)
        Where the deviance reaches its limit; None where it never does.
    bootstrap : (float, float) or None
    """

    name: str
    values: Array
    deviance: Array
    estimate: float
    interval: tuple[float | None, float | None]
    bootstrap: tuple[float, float] | None


@dataclass(frozen=True)
class ProfileData(Drawn):
    """The traced parameters, at most `MOST` of them; ``limit`` is that of the deviance."""

    profiles: tuple[Profile, ...]
    limit: float
    level: float
    hidden: int

    @property
    def caption(self) -> str:
        """What is drawn."""
        text = (
            "Deviance with one parameter held and the others fitted afresh; dashed: its limit at "
            f"{self.level:.0%}, {numbers.quantity(self.limit)}; shaded: the interval that it gives"
        )
        if any(p.bootstrap for p in self.profiles):
            text += "; bar: the interval of the bootstrap"
        text += "."
        if self.hidden:
            text += f" {self.hidden} more profiles are not shown."
        return text

    @property
    def alt(self) -> str:
        """Both intervals of each parameter."""
        return "; ".join(_told(p) for p in self.profiles) + "."

    def columns(self) -> dict[str, list[Any]]:
        """Return the points and both intervals in long form."""
        rows: list[tuple[str, str, float, float]] = []
        for p in self.profiles:
            pairs = zip(p.values, p.deviance, strict=True)
            rows += [(p.name, "profile", float(v), float(d)) for v, d in pairs]
            ends = [("end of the profile's interval", e) for e in p.interval]
            ends += [("end of the bootstrap's interval", e) for e in p.bootstrap or ()]
            rows += [
                (p.name, what, end, self.limit if "profile" in what else np.nan)
                for what, end in ends
                if end is not None
            ]
        names = ("parameter", "what", "value", "deviance")
        return {name: short([row[k] for row in rows]) for k, name in enumerate(names)}


def _told(p: Profile) -> str:
    ends = ["no end" if e is None else numbers.quantity(e, 4) for e in p.interval]
    text = f"{p.name} {numbers.quantity(p.estimate, 4)}, profile {ends[0]} to {ends[1]}"
    if p.bootstrap is not None:
        text += f", bootstrap {numbers.interval(*p.bootstrap)}"
    return text


def profile_data(_: Context, fit: Fit) -> ProfileData | None:
    """Collect the profiles of a fit, or None where none was traced."""
    if not fit.identified or not fit.profiles:
        return None
    found = [p for p in (_profile(fit, item) for item in fit.profiles) if p is not None]
    level = float(fit.profiles[0]["level"])
    if not found:
        return None
    return ProfileData(tuple(found[:MOST]), _limit(fit, level), level, max(0, len(found) - MOST))


def _limit(fit: Fit, level: float) -> float:
    """Limit of the deviance: the square of Student's t, as `fitting.estimate.profiles` takes it."""
    from scipy.special import stdtrit

    left = max(1, fit.n - len(fit.certificate.get("free", fit.law.names)))
    return float(stdtrit(left, 0.5 * (1.0 + level)) ** 2)


def _profile(fit: Fit, item: Mapping[str, Any]) -> Profile | None:
    name = str(item["parameter"])
    values, deviance = (
        np.array([np.nan if v is None else v for v in item[key]], dtype=np.float64)
        for key in ("values", "deviance")
    )
    known = np.isfinite(values) & np.isfinite(deviance)
    if known.sum() < 2 or name not in fit.params:
        return None
    low, high = (None if end is None else float(end) for end in item["interval"])
    order = np.argsort(values[known], kind="stable")
    return Profile(
        name=name,
        values=values[known][order],
        deviance=deviance[known][order],
        estimate=float(fit.params[name]),
        interval=(low, high),
        bootstrap=fit.intervals.get(name),
    )


# ----------------------------------------------------------------------------------------- drawing


def draw_profiles(data: ProfileData, axes: Sequence[Axes]) -> Marks:
    """Draw the deviance along each parameter, with its limit and both intervals."""
    columns = _panels(data)[1]
    for k, (p, ax) in enumerate(zip(data.profiles, axes, strict=False)):
        _draw_profile(data, p, ax)
        linear_axis(ax, "y", (0.0, TOP * data.limit), named=k % columns == 0 or is_column(axes))
        ax.set_xlabel(label(p.name))
        if k % columns == 0:
            ax.set_ylabel("deviance")
    for spare in axes[len(data.profiles) :]:
        spare.set_axis_off()
    over(axes, _handles(data), 4, handlelength=1.8)
    return {}


def _draw_profile(data: ProfileData, p: Profile, ax: Axes) -> None:
    ends = [p.values[0], p.values[-1], *(p.bootstrap or ())]
    low, high = float(min(ends)), float(max(ends))
    limits = padded(np.array([low, high]), share=0.04) if low > 0 and high > WIDE * low else None
    if limits is not None:
        log_axis(ax, "x", limits, most=4)
    else:
        extra = 0.04 * (high - low) or 0.1 * abs(high) or 1.0
        limits = (low - extra, high + extra)
        linear_axis(ax, "x", limits, 4)
    left, right = (e if e is not None else limits[k] for k, e in enumerate(p.interval))
    ax.axvspan(left, right, color=PALETTE[0], alpha=0.15, linewidth=0)
    ax.axhline(data.limit, color="0.3", linewidth=0.8, dashes=(4, 3))
    ax.plot(p.values, p.deviance, "o-", color=PALETTE[0], markersize=2.5, linewidth=1.1)
    ax.axvline(p.estimate, color="0.3", linewidth=0.8)
    if p.bootstrap is not None:
        height = np.full(2, 0.94 * TOP * data.limit)
        ax.plot(p.bootstrap, height, "|-", color=PALETTE[1], linewidth=1.6, markersize=6)


def _handles(data: ProfileData) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    out: list[Any] = [
        Line2D([], [], color=PALETTE[0], marker="o", markersize=2.5, label="profile"),
        Line2D([], [], color="0.3", linewidth=0.8, dashes=(4, 3), label="limit"),
        Patch(color=PALETTE[0], alpha=0.15, linewidth=0, label="its interval"),
    ]
    if any(p.bootstrap for p in data.profiles):
        out.append(Line2D([], [], color=PALETTE[1], linewidth=1.6, label="bootstrap interval"))
    return out


def _panels(data: ProfileData) -> tuple[int, int]:
    count = len(data.profiles)
    columns = 2 if count in (2, 4) else min(3, count)
    return -(-count // columns), columns


PROFILES = Kind(
    name="profiles",
    title="Profiles of the parameters",
    good="each curve is a bowl that crosses its limit on both sides, and both intervals agree; a "
    "side that never crosses leaves the parameter open there.",
    per="fit",
    data=profile_data,
    draw=draw_profiles,
    panels=_panels,
    height=1.9,
)
