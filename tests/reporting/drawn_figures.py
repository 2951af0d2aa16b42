"""What tests of figures share: runs with a known truth, and drawing with its checks."""

import io
import re

import numpy as np
from matplotlib.text import Text

from scaling.fitting.analyse import Ways, analyse
from scaling.fitting.options import Options
from scaling.laws import get
from scaling.reporting.context import Context
from scaling.reporting.figures.render import drawn, to_svg
from scaling.reporting.figures.style import style
from scaling.runs.read import from_frame

LAW = get("chinchilla")
TRUTH = dict(LAW.published[0].params)
BUDGETS = np.geomspace(1e18, 1e21, 4)
MARKER = re.compile(r'<use data-i="(\d+)"[^>]* x="([-\d.e]+)" y="([-\d.e]+)"')


def runs(sizes=6, *, budgets=BUDGETS, noise=0.002, seed=0, groups=("",), truth=TRUTH):
    """Return a frame of runs at several budgets, group by group."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    rows = []
    for group in groups:
        for budget in budgets:
            for factor in np.geomspace(0.25, 4, sizes):
                n = factor * float(LAW.frontier.size(truth, budget))
                d = budget / 6 / n
                loss = float(LAW.loss(truth, {"N": n, "D": d}))
                loss *= np.exp(noise * rng.standard_normal())
                rows.append((f"r{len(rows)}", group, budget, n, d, budget, loss))
    frame = pd.DataFrame(rows, columns=["run", "group", "budget", "N", "D", "C", "loss"])
    return frame if any(groups) else frame.drop(columns="group")


def fitted(frame, *, laws=(), approaches=("surface",), sensitivity=False, **options):
    """Fit a frame as the command line does."""
    chosen = Options(**{"bootstrap": 20, "interval": 0.9, "seed": 1, **options})
    return analyse(
        from_frame(frame, needs_loss="loss" in frame),
        laws=laws,
        approaches=approaches,
        options=chosen,
        ways=Ways("parabola"),
        sensitivity=sensitivity,
    )


def context(fits, target=None):
    """Return the context of a report."""
    return Context(fits, target)


def checked(kind, data):
    """Draw a figure at both widths, check what every figure must be, and return its SVG.

    Nothing warns, no label leaves the figure, every tip has markers, columns are of equal length,
    and the same data give the same bytes.
    """
    assert data.caption.endswith(".")
    assert data.alt.endswith(".")
    assert "nan" not in data.caption + data.alt
    assert len({len(column) for column in data.columns().values()}) == 1
    for width in ("page", "column"):
        with style():
            figure, marks = drawn(kind, data, width)
            figure.savefig(io.StringIO(), format="svg")
            whole = figure.bbox.padded(1.0)
            for text in figure.findobj(Text):
                if text.get_visible() and text.get_text() and text.axes is not None:
                    box = text.get_window_extent()
                    at = (text.get_text(), width, box.extents, whole.extents)
                    assert (whole.x0 <= box.x0 and box.x1 <= whole.x1) or _off(text), at
                    assert (whole.y0 <= box.y0 and box.y1 <= whole.y1) or _off(text), at
        used = {tip for tips in marks.values() for tip in tips}
        assert used == set(range(len(data.tips)))
    svg = to_svg("key", "title", data.alt, kind=kind, data=data, theme="paper")
    assert svg == to_svg("key", "title", data.alt, kind=kind, data=data, theme="paper")
    assert svg.count("data-i=") == sum(len(tips) for tips in marks.values())
    assert len(svg) < 60_000
    return svg


def _off(text):
    """Tell whether a text is a tick label beyond the axis, which is not drawn."""
    axis = {t for a in (text.axes.xaxis, text.axes.yaxis) for t in a.get_ticklabels(which="both")}
    if text not in axis:
        return False
    x, y = text.get_transform().transform(text.get_position())
    box = text.axes.bbox.padded(1.0)
    return not (box.x0 <= x <= box.x1 or box.y0 <= y <= box.y1)


def places(svg, group):
    """Return the tip, x and y [pt] of each marker of a group."""
    start = svg.index(f'<g id="key-{group}"')
    end = svg.find('<g id="key-', start + 10)
    found = MARKER.findall(svg[start : end if end > 0 else None])
    return [(int(i), float(x), float(y)) for i, x, y in found]


def along(values, shown):
    """Return the correlation of values with places on the page."""
    return abs(np.corrcoef(values, shown)[0, 1])
