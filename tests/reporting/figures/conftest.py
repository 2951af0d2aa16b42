"""Fits that figures are drawn from, and how a drawing is read back."""

import io
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from scaling.fitting.result import Fits
from scaling.fitting.stored import load
from scaling.reporting.context import Context
from scaling.reporting.figures.render import drawn, to_svg
from scaling.reporting.figures.style import style

REPORTS = Path(__file__).parents[3] / "reports"
SVG = "{http://www.w3.org/2000/svg}"


class Drawing:
    """A figure as SVG, drawn at the width of a page and of a column."""

    def __init__(self, kind, data):
        self.svg = to_svg("k", "title", data.alt, kind=kind, data=data, theme="paper")
        with style("none"):
            narrow, self.marks = drawn(kind, data, "column")
            narrow.savefig(io.StringIO(), format="svg")
        self.column, self.axes = narrow.get_size_inches(), narrow.axes
        self.root = ElementTree.fromstring(self.svg)

    @property
    def words(self):
        """Return every text in the drawing."""
        return [t for e in self.root.iter(f"{SVG}text") if (t := "".join(e.itertext()).strip())]

    def markers(self, group):
        """Return the tip and the place of each marker of a group, shape (n, 3)."""
        (parent,) = [e for e in self.root.iter(f"{SVG}g") if e.get("id") == f"k-{group}"]
        uses = parent.iter(f"{SVG}use")
        found = [[float(u.get(name)) for name in ("data-i", "x", "y")] for u in uses]
        return np.array(found)

    @property
    def numbered(self):
        """Return every tip that some marker has."""
        return {int(i) for i in re.findall(r'data-i="(\d+)"', self.svg)}


@pytest.fixture(scope="session")
def drawing():
    """Return the class that draws a figure and reads it back."""
    return Drawing


@pytest.fixture(scope="session")
def stored():
    """Return a function that reads one of our own reports' fits."""
    return lambda name: load(REPORTS / f"{name}.fit.json")


@pytest.fixture(scope="session")
def quickstart(stored):
    """Return the fits of the quickstart: repeated seeds, isoFLOP minima, draws."""
    return stored("quickstart")


@pytest.fixture(scope="session")
def epoch(shared_file, analysed_file):
    """Return a fit of the points of Hoffmann et al. that Epoch read off a figure."""
    return analysed_file(
        shared_file("chinchilla_epoch2024/svg_extracted_data.csv"), where="loss < 3.446"
    )


@pytest.fixture(scope="session")
def analysed_file():
    """Return a function that fits a file with draws and profiles."""
    from scaling.fitting.analyse import Ways, analyse
    from scaling.fitting.options import Options
    from scaling.runs.read import read_table

    def make(path, **more):
        options = Options(bootstrap=200, profile=("alpha", "B"), seed=3)
        table = read_table(path, **more)
        return analyse(
            table, laws=(), approaches=("surface",), options=options, ways=Ways("parabola")
        )

    return make


def without(fits, **changes):
    """Return fits each of which has other fields."""
    return replace(fits, fits=tuple(replace(fit, **changes) for fit in fits.fits))


def with_rows(fits, change):
    """Return fits whose rows were changed by a function of the columns."""
    return replace(fits, fits=tuple(replace(fit, rows=change(dict(fit.rows))) for fit in fits.fits))


def _first(rows):
    return {name: values[:1] for name, values in rows.items()}


def _nothing(rows):
    return {name: [] for name in rows}


def _no_size(rows):
    return rows | {"N": [None] * len(rows["N"])}


def _no_columns(rows):
    return {name: v for name, v in rows.items() if name not in ("seed", "budget", "C")}


def _one_size(rows):
    return rows | {"N": [rows["N"][0]] * len(rows["N"])}


DEGENERATE = (
    "plain", "no draws", "no fit", "single run", "no rows", "N unknown", "few columns", "one size",
    "law of D", "groups", "ladder", "minima alone", "hostile", "responses",
)  # fmt: skip


@pytest.fixture(scope="session", params=DEGENERATE)
def degenerate(request, quickstart):
    """Return contexts that lack something, or that have more than usual."""
    find = request.getfixturevalue
    fits = {
        "plain": lambda: quickstart,
        "no draws": lambda: without(quickstart, interval=None, draws={}),
        "no fit": lambda: without(quickstart, status="not-identified"),
        "single run": lambda: with_rows(quickstart, _first),
        "no rows": lambda: with_rows(quickstart, _nothing),
        "N unknown": lambda: with_rows(quickstart, _no_size),
        "few columns": lambda: with_rows(quickstart, _no_columns),
        "one size": lambda: with_rows(quickstart, _one_size),
        "law of D": lambda: find("curve").fits,
        "groups": lambda: find("many").fits,
        "ladder": lambda: find("lost").fits,
        "minima alone": lambda: find("minima").fits,
        "hostile": lambda: find("hostile").fits,
        "responses": lambda: find("stored")("fashion-mnist"),
    }[request.param]()
    fits = fits if isinstance(fits, Fits) else Fits((fits,), table=fits.table)
    return request.param, Context(fits, 1e13 if request.param == "plain" else None)
