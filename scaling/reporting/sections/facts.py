"""The numbers of an answer, each with how sure it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from scaling.fitting.result import Fit
from scaling.reporting import numbers
from scaling.reporting.context import Context, level_of
from scaling.reporting.document import Fact
from scaling.reporting.runs import optimum
from scaling.reporting.sections.doubts import outside, table_compute
from scaling.reporting.wording import cost_label

NARROW = 0.8  # level of the second intervals of the answer
MOST = 8
COUNTED = re.compile(r"N\b[^;]{0,60}$")
Row = Mapping[str, Any]


def loss_text(x: Any, lo: Any, hi: Any) -> str:
    """Write a loss with the digits of its interval, else with four."""
    known = numbers.finite(lo) and numbers.finite(hi)
    return numbers.within(x, lo, hi) if known else numbers.quantity(x, 4)


def head(context: Context, fit: Fit) -> str:
    """Return what was fitted, in its unit."""
    unit = context.unit(fit.response)
    return f"{fit.response} [{unit}]" if unit else fit.response


def allocation_facts(context: Context, fit: Fit, row: Row) -> tuple[Fact, ...]:
    """Give what to train and what to expect, each with its intervals at two levels."""
    narrow = _narrow(fit, row["C"], level_of(fit))
    ratio = row["D"] / row["N"]
    ends = (row["D_lo"] / row["N_hi"], row["D_hi"] / row["N_lo"])
    inside = row["inside_hull"]
    where = "inside the runs" if inside is not None and bool(inside) else outside(fit, row)
    target = "compute" if context.target else "compute (the largest measured)"
    sizes = _levels(fit, row, narrow, "N_lo", "N_hi")
    facts = (
        Fact(target, f"{numbers.quantity(row['C'])} FLOP", _cost(context, fit)),
        Fact(
            f"N* [{context.unit('N')}]",
            numbers.within(row["N"], row["N_lo"], row["N_hi"]),
            "; ".join(part for part in (sizes, _counts(context)) if part),
        ),
        Fact(
            f"D* [{context.unit('D')}]",
            numbers.within(row["D"], row["D_lo"], row["D_hi"]),
            _levels(fit, row, narrow, "D_lo", "D_hi"),
        ),
        Fact(
            head(context, fit),
            loss_text(row["loss"], row["lo"], row["hi"]),
            _levels(fit, row, narrow, "lo", "hi"),
        ),
        Fact("D*/N*", numbers.within(ratio, *ends)),
        Fact("extrapolation", f"{numbers.factor(row['factor'])} the largest run", where),
        *_checked(fit),
        *_floor(fit),
    )
    return facts[:MOST]


def curve_facts(context: Context, fit: Fit, row: Row) -> tuple[Fact, ...]:
    """Give the point of a law of one variable, its loss, and the law's exponent and floor."""
    name = fit.law.variables[0]
    unit = context.unit(name)
    narrow = None
    if fit.interval is not None and level_of(fit) > NARROW:
        frame = fit.predict(**{name: np.array([row[name]])}, interval=NARROW)
        narrow = {str(column): frame[column].iloc[0] for column in frame.columns}
    used = repeats_of(fit) if name == "D" and row["factor"] <= 1.0001 else ""
    facts = (
        Fact(f"{name} [{unit}]" if unit else name, numbers.quantity(row[name]), used),
        Fact(
            head(context, fit),
            loss_text(row["loss"], row["lo"], row["hi"]),
            _levels(fit, row, narrow, "lo", "hi"),
        ),
        Fact("extrapolation", f"{numbers.factor(row['factor'])} the largest {name}"),
        *_checked(fit),
        *(_parameter(fit, p.name, f"{p.name}, exponent of {name}") for p in _exponents(fit)),
        *_floor(fit),
    )
    return facts[:MOST]


def repeats_of(fit: Fit) -> str:
    """Say how many of the data of the run with most data differ; empty where none repeat."""
    used = np.asarray(fit.rows.get("used", []), dtype=bool)
    columns = {}
    for name in ("D", "D_unique", "epochs"):
        values = fit.rows.get(name) or [None] * len(used)
        columns[name] = np.array([np.nan if v is None else float(v) for v in values])[used]
    if not np.isfinite(columns["D"]).any():
        return ""
    at = int(np.nanargmax(columns["D"]))
    data, different, epochs = (float(columns[n][at]) for n in ("D", "D_unique", "epochs"))
    if np.isfinite(different) and different > 0 and not np.isfinite(epochs):
        epochs = data / different
    if not np.isfinite(different) and epochs > 0:
        different = data / epochs
    if not (np.isfinite(different) and epochs > 1.0001):
        return ""
    return f"{numbers.quantity(different)} different, {numbers.quantity(epochs, 2)} epochs"


def _levels(fit: Fit, row: Row, narrow: Row | None, lo: str, hi: str) -> str:
    if not numbers.finite(float(row[lo])):
        return "no interval"
    levels = [(level_of(fit), row)] + ([(NARROW, narrow)] if narrow else [])
    return "; ".join(f"{level:.0%} {numbers.interval(r[lo], r[hi])}" for level, r in levels)


def _narrow(fit: Fit, compute: Any, wide: float) -> Row | None:
    """Return the row of the optimum at the narrower level, where there are intervals."""
    if fit.interval is None or wide <= NARROW:
        return None
    table = optimum(fit, np.array([compute], dtype=np.float64), NARROW)
    return None if table is None else {name: values[0] for name, values in table.items()}


def _cost(context: Context, fit: Fit) -> str:
    """Say what C means, and the table's own C where it is another amount."""
    found = table_compute(fit)
    if found is None:
        return cost_label(fit.cost)
    whose = "the largest run" if context.target else "that run"
    return f"{cost_label(fit.cost)}; the table's own C of {whose} is {numbers.quantity(found[0])}"


def _counts(context: Context) -> str:
    """Return what N counts, in short, where the table's convention says so."""
    first = str(context.fits.table.get("convention") or "").split(";")[0].strip()
    return first if COUNTED.match(first) else ""


def _exponents(fit: Fit) -> list[Any]:
    return [p for p in fit.law.parameters if p.role == "exponent" and p.name in fit.params]


def _checked(fit: Fit) -> tuple[Fact, ...]:
    """Say up to where forecasts of weighted laws were checked."""
    if fit.evidence_factor is None:
        return ()
    text = f"up to {numbers.factor(fit.evidence_factor)}"
    return (Fact("forecasts checked", text, "beyond what they were fitted to"),)


def _floor(fit: Fit) -> tuple[Fact, ...]:
    known = "E" in fit.law.names and "E" in fit.params
    return (_parameter(fit, "E", f"E, irreducible {fit.response}"),) if known else ()


def _parameter(fit: Fit, name: str, label: str) -> Fact:
    """Give a parameter with its interval, or say why it has none."""
    value, ends = fit.params[name], fit.intervals.get(name)
    if ends is None:
        return Fact(label, numbers.quantity(value, 4), "no interval")
    if ends[0] == ends[1] == value:
        return Fact(label, numbers.quantity(value, 4), "at its bound in every replicate")
    sure = f"{level_of(fit):.0%} {numbers.interval(*ends)}"
    if any(m.code == "SC411" for m in fit.messages) and name == "E":
        sure += "; not separated (SC411)"
    return Fact(label, numbers.within(value, *ends), sure)
