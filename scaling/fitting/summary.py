"""The text that `scaling fit` prints: one line a parameter, digits that follow the error."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaling.fitting.result import Allocation, Fit


WIDTH = 80
PLAIN = 1e7


def digits(value: float, error: float | None) -> str:
    """Write `value` with two digits of its standard error; four significant digits without one."""
    if error is None or not math.isfinite(error) or error <= 0:
        return f"{value:.4g}"
    if abs(value) >= PLAIN:
        return f"{value:.3g}"
    if error >= abs(value):  # rounding to the error would leave a zero
        return f"{float(f'{value:.2g}'):.10g}"
    places = 1 - math.floor(math.log10(error))
    return f"{value:.{places}f}" if places > 0 else f"{round(value, places):.0f}"


def summarise(fit: Fit) -> str:
    """Render a fit for a terminal of 80 columns."""
    named = fit.law.name != fit.law.formula
    head = f"{fit.law.name}  {fit.law.formula}" if named else fit.law.formula
    if named and len(head) > WIDTH:  # `scaling laws show` prints it whole
        head = f"{fit.law.name}  {fit.law.title}"
    objective = f"{fit.objective.name}"
    if fit.objective.delta is not None:
        objective += f" delta {fit.objective.delta:g}"
    objective += f", {fit.objective.reduction}, {fit.objective.value:.7g}"
    lines = [
        head + (f"   group {fit.group}" if fit.group else ""),
        f"  {fit.n} rows; {objective}; {fit.status}",
    ]
    interval = fit.interval
    if interval is not None:
        lines.append(
            f"  {interval.level:.0%} intervals: {interval.kind}\n"
            f"  {interval.draws} draws, {interval.failed} failed"
        )
    if not fit.identified:
        lines.append("  no headline numbers: the runs do not identify this law")
    for name, value in fit.params.items():
        if not fit.identified:
            continue
        text = f"  {name:<6} {digits(value, interval.se.get(name) if interval else None):>9}"
        if interval is not None:
            lo, hi = interval.params[name]
            error = interval.se[name]
            text += "    held" if lo == hi else f"    {digits(lo, error)} – {digits(hi, error)}"
        if name == "a":
            text += f"     N* ∝ C^a under C = {fit.cost['formula']}"
        lines.append(text)
    for profile in fit.profiles if fit.identified else ():
        ends = ["none" if end is None else f"{end:.4g}" for end in profile["interval"]]
        label = f"{profile['parameter']:<6} profile {profile['level']:.0%}"
        lines.append(f"  {label}: {ends[0]} – {ends[1]}")
    if fit.holdout is not None:
        h = fit.holdout
        lines.append(
            f"  hold-out {h.where}: {h.n} rows up to {h.factor:.3g}x, RMSE {h.rmse_log:.2%}, "
            f"bias {h.bias_log:+.2%}"
        )
    lines += [f"! {m.text} [{m.code}]" for m in fit.messages if m.severity != "info"]
    lines += [f"  {m.text} [{m.code}]" for m in fit.messages if m.severity == "info"]
    return "\n".join(lines)


def summarise_allocation(allocation: Allocation) -> str:
    """Render an allocation for a terminal."""
    lines = [f"{allocation.approach}  {allocation.method}", f"  C: {allocation.cost['formula']}"]
    for m in allocation.minima:
        if m.N is None or m.D is None:
            lines.append(f"  {m.budget:9.3g}  refused: {m.why}")
            continue
        text = f"  {m.budget:9.3g}  N* {m.N:9.3g}  D* {m.D:9.3g}  loss {m.loss:.4f}"
        if m.offset is not None:
            text += f"  grid centre {math.exp(m.offset):.2g}×"
        lines.append(text + (f"\n             kept though {m.why}" if m.why else ""))
    for name, value in (("a", allocation.a), ("b", allocation.b)):
        if value is None:
            continue
        text = f"  {name} {value:.3f}"
        if allocation.interval is not None:
            lo, hi = allocation.interval[name]
            text += f"  {allocation.interval['level']:.0%} {lo:.3f} – {hi:.3f}"
        lines.append(text)
    if allocation.interval is not None:
        lines.append(f"  {allocation.interval['kind']}")
    lines += [f"! {m.text} [{m.code}]" for m in allocation.messages if m.severity != "info"]
    lines += [f"  {m.text} [{m.code}]" for m in allocation.messages if m.severity == "info"]
    return "\n".join(lines)
