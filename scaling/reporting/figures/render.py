"""From the data of a figure to a drawing: SVG that can stand inline, or a matplotlib figure."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scaling.reporting.figures import svg
from scaling.reporting.figures.kind import Drawn, Kind, Marks
from scaling.reporting.figures.style import COLUMN, PAGE, plain_powers, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FontType = Literal["none", "path"]
Width = Literal["page", "column"]
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
    plain_powers(figure.axes)
    return figure, marks


def _flat(axes: Any) -> Sequence[Axes]:
    return list(np.asarray(axes, dtype=object).ravel())


def to_svg(fonttype: FontType, key: str, title: str, alt: str, *, kind: Kind, data: Drawn) -> str:
    """Return an SVG that can stand inline; the same bytes every time."""
    with style(fonttype):
        figure, marks = drawn(kind, data)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return svg.finish(out.getvalue(), key, title, alt, marks if fonttype == "none" else {})


def renderer(kind: Kind, data: Drawn) -> Callable[[FontType, str, str, str], str]:
    """Return `to_svg` bound to `data`, as `scaling.reporting.document.Figure` wants it."""
    return partial(to_svg, kind=kind, data=data)
