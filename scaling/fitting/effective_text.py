"""Effective data in words: the sentence that answers, and what a terminal shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling.fitting.effective_result import Effective, Treatment


def interval_kind(method: str, cluster: str) -> str:
    """Name the kind of the intervals in a few words."""
    unit = "runs" if cluster == "row" else f"{cluster}s"
    return {
        "pairs": f"cluster bootstrap over {unit}",
        "wild": f"wild bootstrap over {unit}",
    }.get(method, f"sandwich covariance by {unit}")


def many(count: int, what: str) -> str:
    """Write a count of things."""
    return f"{count} {what}{'s' * (count != 1)}"


def short(value: float | None) -> str:
    """Write a factor or an amount with three digits."""
    if value is None:
        return "no bound"
    return f"{value:.2f}" if 0.1 <= abs(value) < 100 else f"{value:.3g}"


def between(ends: Sequence[float | None] | None) -> str:
    """Write an interval; an end that is None has no bound."""
    if ends is None:
        return "no interval"
    low, high = ends
    if low is None and high is None:
        return "unbounded"
    if high is None:
        return f"above {short(low)}"
    return f"below {short(high)}" if low is None else f"{short(low)} to {short(high)}"


def sentence(item: Treatment, form: str, level: float, kind: str) -> str:
    """Return the sentence that answers for one group."""
    if item.verdict == "not identified":
        return next(m.text for m in item.messages if m.severity == "error")
    if form == "multiplier":
        value, ends = item.multiplier["m"], item.multiplier["interval"]
        bound = ""
    else:
        value, ends = item.mean["ratio"], item.mean["interval"]
        bound = f"{item.mean['bound']} " if item.mean["bound"] else ""
    size = f"{bound}{short(value)}"
    shown = f"{size} ({between(ends)}, {level:.0%} {kind})" if ends else f"{size} (no interval)"
    over = "" if form == "multiplier" else f", on average over {many(item.mean['cells'], 'cell')}"
    text = {
        "helps": f"{item.group} is worth {shown} times the data{over}.",
        "hurts": f"{item.group} hurts: its runs do as well as the reference with {shown} times "
        f"the data{over}, so data are lost.",
        "no evidence": f"There is no evidence that {item.group} helps or hurts: it is worth "
        f"{shown} times the data{over}, and the interval covers 1.",
        "not judged": f"{item.group} is worth {shown} times the data{over}; without a bootstrap "
        "this is not judged.",
    }[item.verdict]
    more = _not_constant(item) if form == "multiplier" else _transferred(item)
    return f"{text} {more}".strip()


def _not_constant(item: Treatment) -> str:
    if item.multiplier["constant"] is not False:
        return ""
    known = [c for c in item.cells if c["ratio"] is not None]
    if len(known) < 2:
        return "One multiplier does not describe it."
    low, high = min(known, key=lambda c: c["ratio"]), max(known, key=lambda c: c["ratio"])
    return (
        f"One multiplier does not describe it: it goes from {short(low['ratio'])} "
        f"({cell_name(low)}) to {short(high['ratio'])} ({cell_name(high)})."
    )


def _transferred(item: Treatment) -> str:
    t = item.transfer
    if not t["fitted"]:
        return f"No power law of the transferred data is given: {t['why']}."
    text = f"Transferred data follow {t['k']:.3g} D_F^{t['alpha']:.2f}"
    return text + (f" N^{t['beta']:.2f}." if t["beta"] is not None else ".")


def cell_name(cell: Mapping[str, Any]) -> str:
    """Name a cell by its size and data."""
    size = f"N = {cell['N']:.3g}, " if cell["N"] is not None else ""
    return f"{size}D = {cell['D_F']:.3g}"


def summarise_effective(found: Effective) -> str:
    """Render effective data for a terminal of 80 columns."""
    from scaling.errors import wrapped

    curve = found.curve
    lines = [
        f"effective data  {found.form}, reference {found.reference}, of {found.response}",
        *wrapped(f"  reference: {curve['title']}, {curve['n']} runs", "  "),
    ]
    if found.kind:
        lines.append(f"  {found.level:.0%} intervals: {found.kind}")
    for item in found.treatments:
        lines += wrapped(item.sentence, "  ")
        lines += _test_lines(item)
        lines.append("           N        D_F   runs        D_E  D_E/D_F  interval")
        lines += [_cell_line(cell) for cell in item.cells]
        if any(cell["reach"] != "inside" for cell in item.cells):
            lines.append("  * extrapolated beyond the reference's data")
        for row in item.curves:
            size = f" at N = {row['N']:.3g}" if row["N"] is not None else ""
            lines += wrapped(f"  {item.group}{size}: {own_law(row)}", "    ")
    for message in found.every_message:
        lines += message.lines()
    return "\n".join(lines)


def _cell_line(cell: Mapping[str, Any]) -> str:
    size = f"{cell['N']:.3g}" if cell["N"] is not None else "-"
    data = f"{cell['D_E']:.3g}" if cell["D_E"] is not None else "no bound"
    mark = " " if cell["reach"] == "inside" else "*"
    return (
        f"  {size:>10} {cell['D_F']:>10.3g} {cell['runs']:>6} {data:>10}{mark} "
        f"{short(cell['ratio']):>7}  {between(cell['ratio_interval'])}"
    )


def _test_lines(item: Treatment) -> list[str]:
    out = []
    for name, slope in item.multiplier.get("slopes", {}).items():
        out.append(f"  ln m per ln {name}: {slope['slope']:+.3f} ({between(slope['interval'])})")
    if item.multiplier.get("p") is not None:
        out.append(f"  one multiplier for all: p = {item.multiplier['p']:.2g}")
    if item.transfer.get("fitted"):
        t = item.transfer
        for name in ("k", "alpha", "beta"):
            if t[name] is not None:
                ends = f" ({between(t['intervals'].get(name))})" if t["intervals"] else ""
                out.append(f"  {name:<6}{t[name]:.4g}{ends}")
    return out


def own_law(row: Mapping[str, Any]) -> str:
    """Say in a line what a law of the treated runs alone came to."""
    if row["status"] in ("not fitted", "failed"):
        return f"{row['law']} not fitted: {row['why']}"
    values = ", ".join(f"{name} {value:.4g}" for name, value in row["params"].items())
    told = "" if row["status"] in ("converged", "at-bound") else f"; {row['status']}"
    return f"{row['law']}: {values}; RMSE {row['rmse_log']:.2%}, {row['n']} runs{told}"
