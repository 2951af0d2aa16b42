"""How far choices of method move the answer, beside the interval of the fit."""

from __future__ import annotations

import numpy as np

from scaling.fitting.result import Fit
from scaling.reporting import numbers
from scaling.reporting.context import Context, level_of
from scaling.reporting.document import Align, Section, Table
from scaling.reporting.figures.sensitivity import SENSITIVITY
from scaling.reporting.runs import optimum
from scaling.reporting.sections.figures import figure_of
from scaling.reporting.wording import titled


def sensitivity_sections(context: Context) -> list[Section]:
    """Return a section for each fit that has a panel."""
    fits = context.fits.fits
    return [section for fit in fits for section in _panel(context, fit)]


def _panel(context: Context, fit: Fit) -> list[Section]:
    """Show how far choices of method move the answer, beside the interval of the fit."""
    s, name = fit.sensitivity, context.subject(fit)
    if not s or not fit.identified:
        return []
    target = numbers.quantity(s["C"][0])
    kinds = []
    for kind in dict.fromkeys(s["kind"]):
        own = [i for i, k in enumerate(s["kind"]) if k == kind]
        known = [i for i in own if s["a"][i] is not None]
        cells = [
            numbers.span([s[k][i] for i in known if s[k][i] is not None])
            for k in ("a", "N", "loss")
        ]
        kinds.append((kind, str(len(own)), str(len(own) - len(known)), *cells))
    ends = fit.intervals.get("a")
    beside = [numbers.interval(*ends) if ends else numbers.MISSING]
    best = optimum(fit, np.array([s["C"][0]]), level_of(fit))
    for lo, hi in (("N_lo", "N_hi"), ("lo", "hi")):
        known_ends = best is not None and np.isfinite(best[lo][0])
        beside.append(
            numbers.interval(float(best[lo][0]), float(best[hi][0]))
            if best is not None and known_ends
            else numbers.MISSING
        )
    kinds.append((f"{level_of(fit):.0%} interval of the fit", "", "", *beside))
    summary = Table(
        f"Range over the variants, optimum at C = {target} FLOP",
        ("what was changed", "fits", "without a", "a", "N*", "loss"),
        tuple(kinds),
        ("left", "right", "right", "right", "right", "right"),
        note="The interval knows noise alone; the ranges know the choices of method. Lines through "
        "minima predict no loss.",
    )
    columns = ("kind", "change", "n", "status", "a", "b", "E", "N", "loss")
    shown = tuple(
        tuple(
            str(s[c][i])
            if c in ("kind", "change", "n", "status")
            else numbers.quantity(s[c][i], 5 if c == "loss" else 3)
            for c in columns
        )
        for i in range(len(s["kind"]))
    )
    align: tuple[Align, ...] = ("left", "left", "right", "left", *(("right",) * 5))
    whole = Table("Every variant", columns, shown, align, long=True)
    return [
        Section(
            titled("Sensitivity to the method", name),
            (*figure_of(SENSITIVITY, context, fit), summary, whole),
        )
    ]
