"""From the data of a figure to a drawing: SVG that can stand inline, or a matplotlib figure."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scaling.errors import Fault, OutputError
from scaling.reporting.document import csv_of
from scaling.reporting.figures import svg
from scaling.reporting.figures.axes import plain_logs
from scaling.reporting.figures.kind import Drawn, Kind, Marks
from scaling.reporting.figures.style import COLUMN, PAGE, style
from scaling.runs.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Width = Literal["page", "column"]
DPI = 300
# Without dates and versions, which would make other bytes of the same figure.
METADATA: dict[str, dict[str, None]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
MARGIN = 0.3  # of a figure, for its legend [inch]


def drawn(kind: Kind, data: Drawn, width: Width = "page") -> tuple[Figure, Marks]:
    """Draw a figure; the caller has applied a style.

    At column width the panels stand in one column.
    """
    from matplotlib.figure import Figure

    rows, columns = kind.shape(data)
    if width == "column":
        rows, columns = rows * columns, 1
    size = (PAGE if width == "page" else COLUMN, MARGIN + rows * kind.row_height(data))
    figure = Figure(size, layout="constrained")
    axes = _flat(figure.subplots(rows, columns, squeeze=False))
    marks = kind.draw(data, axes)
    plain_logs(figure.axes)
    return figure, marks


def _flat(axes: Any) -> Sequence[Axes]:
    return list(np.asarray(axes, dtype=object).ravel())


def to_svg(key: str, title: str, alt: str, *, kind: Kind, data: Drawn, theme: str) -> str:
    """Return an SVG that can stand inline; the same bytes every time."""
    with style("none", theme):
        figure, marks = drawn(kind, data)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return svg.finish(out.getvalue(), key, title, alt, marks)


def renderer(kind: Kind, data: Drawn, theme: str = "paper") -> Callable[[str, str, str], str]:
    """Return `to_svg` bound to `data`, as `scaling.reporting.document.Figure` wants it."""
    return partial(to_svg, kind=kind, data=data, theme=theme)


def save(kind: Kind, data: Drawn, path: Path, width: Width = "page", theme: str = "paper") -> None:
    """Write a figure as the ending of `path` says; the same bytes every time.

    Raises
    ------
    OutputError
        SC003 for another ending than .svg, .pdf, .png or .csv, or an unwritable place.
    """
    ending = path.suffix.removeprefix(".").lower()
    if ending == "csv":
        write_atomic(path, csv_of(data.columns()))
        return
    if ending not in METADATA:
        expected = "one of .csv, " + ", ".join(f".{known}" for known in METADATA)
        raise OutputError(Fault("SC003", str(path), f'no figure as "{path.suffix}"', expected))
    with style("path", theme):
        figure, _ = drawn(kind, data, width)
        out = io.BytesIO()
        figure.savefig(out, format=ending, dpi=DPI, metadata=METADATA[ending])
    write_atomic(path, out.getvalue())
