"""Tables of the PDF have room for what stands in them, and a report ends where its text does."""

import numpy as np

from scaling.reporting import numbers
from scaling.reporting.document import Document, Section, Table, Verdict, checked
from scaling.reporting.figures.frontier import frontier_data
from scaling.reporting.renderers import pdf
from scaling.reporting.sections.data import _plain
from tests.reporting.drawn_figures import context, fitted, runs

HASH = "0123456789abcdef"


def table(columns, cell, *, rows=20):
    """Return a long table of equal cells."""
    row = (cell,) * columns
    return Table("Long", ("x",) * columns, (row,) * rows, ("left",) * columns, long=True)


def source(*tables):
    verdict = Verdict("supported", "", "yes", "")
    return pdf.source(Document("t", "s", "", (verdict,), (Section("h", tables),), "made by it"))[0]


def test_tables_that_fit_stand_upright_and_wide_ones_on_their_side():
    text = source(table(12, HASH), table(4, HASH))
    assert text.count("flipped: true") == 1
    assert text.index("columns: (auto, auto, auto, auto,)") < text.index("flipped: true")
    assert "flipped" not in source(table(4, HASH))


def test_the_wider_the_table_the_smaller_its_text_and_never_wider_than_the_page():
    sizes = [pdf._size(table(k, HASH), pdf.UPRIGHT) for k in (4, 7, 9, 12)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1] >= pdf.LEAST
    for k, size in zip((4, 7, 9), sizes, strict=False):
        assert pdf._needed(table(k, HASH), size) <= pdf.UPRIGHT


def test_a_column_wraps_where_its_words_are_short():
    words, name = table(1, "words that are short " * 3), table(1, "n" * 30)
    assert [pdf._width(t, 0) for t in (words, name)] == ["1fr", "auto"]
    assert pdf._needed(name, 7.0) > 2 * pdf._needed(words, 7.0)


def test_the_footer_is_no_block_of_its_own():
    text = source(table(3, "1"))
    assert text.count("made by it") == 1
    assert text.index("made by it") < text.index('"yes"')
    assert "pagebreak" not in text


def test_columns_that_say_nothing_new_are_left_out():
    rows = {"run": ["a", "b"], "D": [1.0, 2.0], "D_unique": [1.0, 2.0], "trunk": ["p", "q"]}
    assert _plain(rows, ["D_unique", "trunk"]) == {"D_unique", "trunk"}
    assert _plain({**rows, "D_unique": [1.0, 1.0]}, ["D_unique"]) == set()
    assert _plain({**rows, "trunk": ["p", "p"]}, ["trunk"]) == set()


def test_numbers_of_messages_are_written_as_the_others():
    assert numbers.readable("from 3.58e+03 to 1e-09, by v1.2e+03x") == (
        "from 3,580 to 1×10⁻⁹, by v1.2e+03x"
    )
    assert numbers.readable("0.0e+00 of 7e-04") == "0.0 of 7×10⁻⁴"
    assert checked((23, 1, 0)) == "Checks: 23 passed, 1 warning, 0 failed."
    assert [numbers.factor(x) for x in (3.8e-5, 0.5, 12)] == ["3.8×10⁻⁵ times", "0.5×", "12×"]


def test_an_alternative_text_tells_extrapolation_from_runs():
    found = fitted(runs(7))
    data = frontier_data(context(found), found.fits[0])
    inside, _, beyond = data.alt.partition("at the largest run; by the law, extrapolated, to ")
    line = data.line
    at = np.interp(np.log(data.limit), np.log(line.C), line.y)
    assert inside.endswith(f"to {numbers.quantity(float(at), 4)} ")
    assert beyond.startswith(f"{numbers.quantity(float(line.y[-1]), 4)} at ")
