"""The functions behind the package's public names; the command line uses the same ones."""

from scaling.api.fits import effective, envelope, fit, isoflop, law, load
from scaling.api.reports import compare, report
from scaling.api.sweeps import plan, run
from scaling.api.tables import read

__all__ = [
    "compare",
    "effective",
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
