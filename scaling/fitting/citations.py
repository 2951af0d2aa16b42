"""Which works a set of fits rests on, by what was done in it."""

from __future__ import annotations

from scaling.fitting.optima import Allocation
from scaling.fitting.result import Fit, Fits
from scaling.laws import get
from scaling.laws.references import METHODS, TOOLKIT, of_law, of_methods

INTERVALS = {"pairs": "pairs", "cluster": "cluster", "wild": "wild", "sandwich": "delta"}


def citations(fits: Fits) -> tuple[str, ...]:
    """Return the keys of every work that the fits cite: laws, methods, checklist, this toolkit.

    `scaling.laws.references` turns them into texts and BibTeX.
    """
    methods: list[str] = []
    for fit in fits.fits:
        methods += methods_of(fit)
    for allocation in fits.allocations:
        methods += _approach(allocation)
    if fits.effective:
        methods.append("effective data")
    laws = [law for fit in fits.fits for law in (fit.law, *(get(m["law"]) for m in fit.members))]
    keys = [key for law in laws for key in of_law(law)]
    known = [name for name in methods if name in METHODS]
    return tuple(dict.fromkeys([*keys, *of_methods(known), *METHODS["checklist"], TOOLKIT]))


def methods_of(fit: Fit) -> list[str]:
    """Return the names of `scaling.laws.references.METHODS` that a fit used."""
    used = ["weighted laws"] if fit.members else ["solver", fit.objective.name]
    if fit.interval is not None and not fit.members:
        used.append(INTERVALS.get(fit.interval.kind.split()[0], ""))
        if fit.interval.cluster != "row":
            used.append("cluster")
    used += ["profile"] if fit.profiles else []
    checks = {check.name for check in fit.checks}
    used += ["residuals against seeds"] if "residuals against seeds" in checks else []
    used += ["schedules"] if checks & {"schedule matched", "warm-up"} else []
    return [name for name in used if name in METHODS]


def _approach(allocation: Allocation) -> list[str]:
    spline = allocation.approach == "isoflop" and "spline" in allocation.method
    return [allocation.approach, *(["isoflop spline"] if spline else [])]
