"""Every kind of figure on fits that lack something: a readable figure, or none."""

import math
import re
from pathlib import Path

import pytest

from scaling.errors import ConfigError
from scaling.reporting import figures
from scaling.reporting.figures.kinds import KINDS, kind_of


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_figure_is_readable_or_not_there(kind, degenerate, drawing):
    _, context = degenerate
    for subject in kind.subjects(context)[:2]:
        data = kind.data(context, subject)
        if data is None:
            continue
        columns = data.columns()
        assert len({len(values) for values in columns.values()}) == 1
        assert all(columns.values())
        for text in (data.caption, data.alt):
            assert text.endswith(".")
            assert not re.search(r"\b(nan|inf|None)\b", text), text
        found = drawing(kind, data)
        assert found.numbered == set(range(len(data.tips)))
        assert found.words
        assert not [word for word in found.words if re.search(r"\b(nan|inf)\b", word)]
        assert found.root.get("width") == "496.8pt"
        assert found.column[0] == pytest.approx(3.4)


def test_no_figure_is_made_of_a_fit_that_failed(degenerate):
    name, context = degenerate
    if name not in ("no fit", "ladder"):
        return
    for kind in KINDS:
        if kind.per == "fit":
            assert [kind.data(context, s) for s in kind.subjects(context)] == [None] * len(
                kind.subjects(context)
            )


def test_a_figure_is_the_same_twice(quickstart, drawing):
    from scaling.reporting.context import Context

    context = Context(quickstart, 1e13)
    for kind in KINDS:
        for subject in kind.subjects(context):
            if (data := kind.data(context, subject)) is not None:
                again = kind.data(Context(quickstart, 1e13), subject)
                assert drawing(kind, data).svg == drawing(kind, again).svg


def test_figures_are_light(epoch, drawing):
    """A report of 250 runs has some 16 figures and stays below a megabyte."""
    from scaling.reporting.context import Context

    context = Context(epoch, 1e24)
    sizes = {}
    for kind in KINDS:
        for subject in kind.subjects(context):
            if (data := kind.data(context, subject)) is not None:
                sizes[kind.name] = len(drawing(kind, data).svg)
    assert {"surface", "excess", "allocation", "residuals", "bootstrap", "profiles"} <= set(sizes)
    assert max(sizes.values()) < 75_000, sizes
    assert math.fsum(sizes.values()) < 400_000, sizes


def test_names_are_unique_and_an_unknown_one_is_told():
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert kind_of("surface").title == "The fitted law over size and data"
    with pytest.raises(ConfigError, match="SC004"):
        kind_of("pie")


def test_drawing_is_what_imports_matplotlib():
    for path in Path(figures.__file__).parent.glob("*.py"):
        source = path.read_text()
        assert not re.search(r"^(import|from) matplotlib", source, re.MULTILINE), path.name
