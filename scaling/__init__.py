"""Plan, train, fit and report scaling-law studies.

The names below are the public API; each is loaded when it is first used, so that importing the
package costs nothing.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if sys.version_info < (3, 11):  # noqa: UP036 - a checkout, or an installation that was forced
    _OLD = (
        "scaling needs Python 3.11 or newer, and this is "
        f"{sys.version_info[0]}.{sys.version_info[1]}: make an environment with a newer one, "
        "such as python3.12 -m venv .venv, and install scaling-study there"
    )
    if sys.argv[0] == "-m" or sys.argv[0].endswith("scaling"):  # as a command: without a traceback
        sys.stderr.write(_OLD + "\n")
        sys.exit(2)
    raise ImportError(_OLD)

_HOME = {
    "Fit": "scaling.fitting.result",
    "Fits": "scaling.fitting.result",
    "Law": "scaling.laws",
    "Plan": "scaling.planning.plan",
    "compare": "scaling.api",
    "effective": "scaling.api",
    "envelope": "scaling.api",
    "fit": "scaling.api",
    "isoflop": "scaling.api",
    "law": "scaling.api",
    "load": "scaling.api",
    "plan": "scaling.api",
    "preflight": "scaling.planning.preflight",
    "read": "scaling.api",
    "report": "scaling.api",
    "run": "scaling.api",
    "suggest": "scaling.planning.suggest",
}

__all__ = [
    "Fit",
    "Fits",
    "Law",
    "Plan",
    "compare",
    "effective",
    "envelope",
    "fit",
    "isoflop",
    "law",
    "load",
    "plan",
    "preflight",
    "read",
    "report",
    "run",
    "suggest",
]

if TYPE_CHECKING:
    from scaling.api import (
        compare,
        effective,
        envelope,
        fit,
        isoflop,
        law,
        load,
        plan,
        read,
        report,
        run,
    )
    from scaling.fitting.result import Fit, Fits
    from scaling.laws import Law
    from scaling.planning.plan import Plan
    from scaling.planning.preflight import preflight
    from scaling.planning.suggest import suggest


if not TYPE_CHECKING:  # type checkers would take any name for one that this returns

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module 'scaling' has no attribute {name!r}")
        value = getattr(importlib.import_module(_HOME[name]), name)
        globals()[name] = value
        if name in _GIVES_RESULTS:
            _let_notebooks_show()
        return value


# Results hold no drawing: what a notebook shows of them is looked up when it asks.
_GIVES_RESULTS = {"Fit", "Fits", "compare", "envelope", "fit", "isoflop", "load"}


def _let_notebooks_show() -> None:
    from scaling.fitting.comparison import Comparison
    from scaling.fitting.optima import Allocation
    from scaling.fitting.result import Fit, Fits

    def plot(self: Any) -> Any:
        """Figures: ``fit.plot.frontier()``; see `scaling.reporting.figures.plotting`."""
        from scaling.reporting.figures.plotting import Plots

        return Plots(self)

    def show(self: Any) -> str:
        """Return what a notebook shows; see `scaling.reporting.notebook`."""
        from scaling.reporting.notebook import html_of

        return html_of(self)

    for kind in (Allocation, Comparison, Fit, Fits):
        kind._repr_html_ = show  # type: ignore[union-attr]
    Fit.plot = Fits.plot = property(plot)  # type: ignore[method-assign,assignment]


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
