"""The text that `scaling fit` prints: one line a parameter, digits that follow the error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scaling.errors import wrapped
from scaling.laws.cost import rounded

if TYPE_CHECKING:
    from scaling.errors import Message
    from scaling.fitting.comparison import Comparison
    from scaling.fitting.optima import Allocation
    from scaling.fitting.result import Fit


WIDTH = 80
PLAIN = 1e7
SHOWN = 0.005  # weight below which a law is not listed


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


def _told(messages: Sequence[Message]) -> list[str]:
    """Messages as lines, warnings first."""
    ordered = sorted(messages, key=lambda m: m.severity == "info")
    return [line for message in ordered for line in message.lines()]


def summarise(fit: Fit) -> str:
    """Render a fit for a terminal of 80 columns."""
    named = fit.law.name != fit.law.formula
    head = f"{fit.law.name}  {fit.law.formula}" if named else fit.law.formula
    if named and len(head) > WIDTH:  # `scaling laws show` prints it whole
        head = f"{fit.law.name}  {fit.law.title}"
    if fit.members:
        head = f"{fit.law.name}  {fit.law.title}"
    lines = [
        head + (f"   group {fit.group}" if fit.group else ""),
        f"  {fit.n} rows; {_objective(fit)}; {fit.status}",
    ]
    interval = fit.interval
    if interval is not None:
        lines += wrapped(f"  {interval.level:.0%} intervals: {interval.kind}", "    ")
        failed = "" if fit.members else f", {interval.failed} failed"  # nothing is refitted
        lines.append(f"  {interval.draws} draws{failed}")
    if fit.members and fit.identified:
        lines += member_lines(fit)
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
        if name == "a" and name not in fit.law.names:
            text += f"     {_meaning_of_a(fit)}"
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
    lines += _sensitivity_lines(fit)
    lines += _told(fit.messages)
    return "\n".join(lines)


def _objective(fit: Fit) -> str:
    """What was minimised, with its value; of weighted laws the evidence of the best of them."""
    made = fit.objective
    if fit.members:
        return f"ln evidence of the likeliest law {-made.value:.4g}"
    delta = "" if made.delta is None else f" delta {made.delta:g}"
    return f"{made.name}{delta}, {made.reduction}, {made.value:.7g}"


def member_lines(fit: Fit) -> list[str]:
    """Laws with their weights and parameters, open futures, and what the result says of them.

    Sentences that a message of the fit repeats are left to the message.
    """
    said = fit.certificate["auto"]
    lines = ["  weight  law, and its parameters"]
    shown = [m for m in said["members"] if m["weight"] >= SHOWN]
    for m in shown:
        values = ", ".join(f"{name} {value:.4g}" for name, value in m["params"].items())
        lines += wrapped(f"  {m['weight']:>6.1%}  {m['law']}: {values}", " " * 12)
    if light := len(said["members"]) - len(shown):
        lines.append(f"  {light} more of less than {SHOWN:.1%} each")
    futures = said["futures"]
    along = "compute" if len(fit.law.variables) > 1 else fit.law.variables[0]
    lines.append(f"  forecasts at {futures[0]['factor']:g} times the largest {along}")
    lines.append(f"    future        weight   in intervals   {fit.response}")
    lines += [
        f"    {f['future']:<12}{f['weight']:>8.1%}{f['doubt']:>15.1%}   {f['forecast']:.4g}"
        for f in futures
    ]
    weight, doubt = (1.0 - sum(f[key] for f in futures) for key in ("weight", "doubt"))
    if max(weight, doubt) >= SHOWN:
        lines.append(f"    {'others':<12}{weight:>8.1%}{doubt:>15.1%}")
    told = " ".join(m.text for m in fit.messages)
    for sentence in said["text"]:
        if sentence not in told:
            lines += wrapped(f"  {sentence}", "  ")
    return lines


def _meaning_of_a(fit: Fit) -> str:
    """What a is: a power, or where there is none, a slope at one compute."""
    from scaling.fitting.prediction import largest_compute

    cost = rounded(fit.cost["formula"])
    if fit.cost.get("name") == "given" or fit.members:
        return f"slope of N* at C = {largest_compute(fit):.3g} = {cost}"
    return f"N* ∝ C^a under C = {cost}"


def _sensitivity_lines(fit: Fit) -> list[str]:
    """Range of a and of the optimum over the variants of each kind."""
    if not fit.sensitivity or not fit.identified:
        return []
    s = fit.sensitivity
    lines = [f"  sensitivity: a, and N* at C = {s['C'][0]:.3g}"]
    for kind in dict.fromkeys(s["kind"]):
        own = [i for i, k in enumerate(s["kind"]) if k == kind and s["a"][i] is not None]
        if own:
            a, n = ([s[name][i] for i in own] for name in ("a", "N"))
            lines.append(
                f"    {kind:<11}{len(own):>3} fits   a {min(a):.3f} – {max(a):.3f}   "
                f"N* {min(n):.3g} – {max(n):.3g}"
            )
    return lines


def summarise_allocation(allocation: Allocation) -> str:
    """Render an allocation for a terminal."""
    group = f"   group {allocation.group}" if allocation.group else ""
    lines = [
        f"{allocation.approach}  {allocation.method}{group}",
        f"  C: {rounded(allocation.cost['formula'])}",
    ]
    for m in allocation.minima:
        if (m.N is None or m.D is None) and m.why:
            lines.append(f"  {m.budget:9.3g}  refused: {m.why}")
            continue
        text = f"  {m.budget:9.3g}"
        if m.N is not None and m.D is not None:
            text += f"  N* {m.N:9.3g}  D* {m.D:9.3g}"
        text += f"  loss {m.loss:.4f}"
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
    if "loss" in allocation.line:
        level, slope = allocation.line["loss"]
        lines.append(f"  lowest loss {math.exp(level):.4g} C^{slope:+.4f}, without a floor")
    if allocation.interval is not None:
        lines.append(f"  {allocation.interval['kind']}")
    lines += _told(allocation.messages)
    return "\n".join(lines)


def summarise_printed(rows: Sequence[Mapping[str, Any]]) -> str:
    """Render figures that were printed beside what was found, by their sources."""
    agree = sum(bool(row["agrees"]) for row in rows)
    lines = [f"figures that were printed: {agree} of {len(rows)} agree"]
    for source in dict.fromkeys(row["source"] for row in rows):
        lines += wrapped(f"  {source}", "    ")
        lines.append("         printed        found   tolerance")
        for row in (r for r in rows if r["source"] == source):
            found = "none" if row["found"] is None else f"{row['found']:.6g}"
            mark = " " if row["agrees"] else "!"
            numbers = f"  {mark} {row['printed']:>12.6g} {found:>12} {row['tolerance']:>11.2g}  "
            text = row["quantity"] + (f"; {row['of']}" if row["of"] else "")
            text += f" ({row['why']})" if row["why"] else ""
            lines += wrapped(numbers + text, " " * 6)
    return "\n".join(lines)


def summarise_comparison(c: Comparison) -> str:
    """Render a comparison for a terminal of 80 columns."""
    lines: list[str] = []
    for r in c.laws:
        b = r["backtest"]
        if not any(line.startswith("laws") for line in lines):
            cuts = len(b["origins"])
            lines.append(f"laws, by error beyond {cuts} rolling origins over {b['along']}")
            lines.append("     law                     k   RMSE    bias      AICc       BIC")
        rank = b["rank"] if b["rank"] is not None else "-"
        rmse = _share(b["rmse_log"], "{:.2%}")
        bias = _share(b["bias_log"], "{:+.2%}")
        criteria = "".join(_share(r[name], "{:.1f}").rjust(10) for name in ("aicc", "bic"))
        group = f"  group {r['group']}" if r["group"] else ""
        lines.append(f"  {rank!s:>2} {r['law']:<22}{r['k']:>3}{rmse:>7}{bias:>8}{criteria}{group}")
    done: list[tuple[str, str]] = []
    for r in c.rows:
        pair = (r["pair"][0], r["pair"][1])
        if pair not in done:
            done.append(pair)
            how = r["pairing"]
            by = f"{how['n']} pairs by {how['by']}" if how["kind"] == "paired" else "unpaired"
            by += f", law {how['law']}"
            level = f"{r['interval']['level']:.0%}"
            lines += [
                f"{pair[1]} against {pair[0]}: {by}",
                "  multiplier: compute that the reference needs to do as well, over C",
                f"        C [FLOP]   multiplier   {level:<15} difference of loss",
            ]
        lo, hi = r["interval"]["multiplier"]
        low, high = r["interval"]["difference"]
        out = " " if r["extrapolation"]["factor"] <= 1.001 else "*"
        lines.append(
            f"  {r['C']:>14.3g}{out}  {r['multiplier']:>10.3f}   {_range(lo, hi, '.3f'):<15} "
            f"{r['difference']:+.4f} ({_range(low, high, '+.4f')})"
        )
    if any(r["extrapolation"]["factor"] > 1.001 for r in c.rows):
        lines.append("  * extrapolated")
    for t in c.tests:
        if len(done) > 1 and t["quantity"] == "offset":
            lines.append(f"{t['pair'][1]} against {t['pair'][0]}")
        lo, hi = t["interval"]
        what = f"ln m at {t['at']:.3g}" if t["quantity"] == "offset" else "per ln C"
        lines.append(
            f"  {t['quantity']:<9} {t['estimate']:+.4f} ({_range(lo, hi, '+.4f')}), p = "
            f"{t['p']:.2g}  {what}"
        )
    lines += _literature_lines(c)
    lines += _told(c.messages)
    return "\n".join(lines)


def _literature_lines(c: Comparison) -> list[str]:
    """What papers printed for a, under the values of the fits."""
    own: dict[str, None] = {}
    printed: dict[str, str] = {}
    for r in c.literature:
        if r["quantity"] != "a":
            continue
        lo, hi = r["interval"]
        ends = f" ({_range(lo, hi, '.3f')})" if lo is not None else ""
        group = f", group {r['group']}" if r["group"] else ""
        text = f"  {r['value']:.3f}{ends}  {r['law']}{group}"
        own.setdefault(f"{text}\n         {r['own_convention']}")
        lo, hi = r["published_interval"]
        ends = f" ({_range(lo, hi, '.3f')})" if lo is not None else ""
        kind = f"\n         interval: {r['kind']}" if r["kind"] else ""
        printed[r["source"]] = (
            f"  {r['published']:.3f}{ends}  {r['source']}\n         {r['convention']}{kind}"
        )
    if not own:
        return []
    head = "published a; compare only where N and C count alike"
    return ["a of these fits", *own, head, *printed.values()]


def _share(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _range(lo: float, hi: float, form: str) -> str:
    return f"{lo:{form}} to {hi:{form}}"
