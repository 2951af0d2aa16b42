"""Plan, train, fit and report scaling-law studies.

The names below are the public API; each is loaded when it is first used, so that importing the
package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOME = {
    "Fit": "scaling.fitting.result",
    "Fits": "scaling.fitting.result",
    "Law": "scaling.laws",
    "Plan": "scaling.planning.plan",
    "compare": "scaling.api",
    "envelope": "scaling.api",
    "fit": "scaling.api",
    "isoflop": "scaling.api",
    "law": "scaling.api",
    "load": "scaling.api",
    "plan": "scaling.api",
    "read": "scaling.api",
    "report": "scaling.api",
    "run": "scaling.api",
}

__all__ = [
    "Fit",
    "Fits",
    "Law",
    "Plan",
    "compare",
    "envelope",
    "fit",
    "isoflop",
    "law",
    "load",
    "plan",
    "read",
    "report",
    "run",
]

if TYPE_CHECKING:
    from scaling.api import compare, envelope, fit, isoflop, law, load, plan, read, report, run
    from scaling.fitting.result import Fit, Fits
    from scaling.laws import Law
    from scaling.planning.plan import Plan


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'scaling' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
