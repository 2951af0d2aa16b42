"""Ticks, limits and light SVG, which every figure shares."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.reporting.figures.axes import even_ticks, log_ticks, padded, tick_label
from scaling.reporting.figures.svg import finish


@given(st.floats(-20, 30), st.floats(0.01, 30))
def test_ticks_of_a_log_axis_lie_on_it(start, span):
    low, high = 10.0**start, 10.0 ** (start + span)
    ticks = log_ticks(low, high)
    assert 2 <= len(ticks) <= 6
    assert all(low * (1 - 1e-6) <= t <= high * (1 + 1e-6) for t in ticks)
    assert ticks == sorted(set(ticks))
    assert len({tick_label(t) for t in ticks}) == len(ticks)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(3, 6))
def test_ticks_of_a_linear_axis_are_even(low, span, most):
    ticks = even_ticks(low, low + span, most)
    assert 2 <= len(ticks) <= most
    assert all(low <= t + 1e-9 * span and t <= low + span * (1 + 1e-9) for t in ticks)
    assert np.ptp(np.diff(ticks)) < 1e-6 * span + 1e-9


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (1e9, "10⁹"),
        (2e10, "2×10¹⁰"),
        (500, "500"),
        (0.2, "0.2"),
        (1e-7, "10⁻⁷"),
        (1.2e6, "1.2×10⁶"),
    ],
)
def test_labels_are_plain(value, want):
    assert tick_label(value) == want


def test_limits_hold_what_can_be_shown():
    low, high = padded(np.array([1.0, np.nan, 100.0]), np.array([-3.0, np.inf]))
    assert 0.5 < low < 1.0
    assert 100.0 < high < 200.0
    assert padded(np.array([np.nan, -1.0])) is None
    one = padded(np.array([7.0]))
    assert one[0] < 7.0 < one[1]


RAW = """<?xml?><svg x="0"><metadata>x</metadata><!-- a comment --><g id="runs">
<defs><path id="m0123456789" d="M 0 1.23456 z"/></defs><g clip-path="url(#pabcdef0123)">
<use xlink:href="#m0123456789" x="1.23456" y="2" style="fill: red"/>
<use xlink:href="#m0123456789" x="9" y="8.76543" style="fill: red"/>
</g></g><g id="other"><use xlink:href="#m0123456789" x="1" y="2" style="fill: blue"/></g>
<path d="M 5.123456 6.123456·
L 5.123457 6.123456·
"/><text>1.23456 x</text></svg>""".replace("·", " ")


def test_what_no_eye_sees_is_left_out():
    svg = finish(RAW, "k", "t", "d", {"runs": [4, 5], "none": [1]})
    assert "comment" not in svg
    assert 'd="M5.12 6.12h0"' in svg
    assert ">1.23456 x<" in svg
    assert svg.count("fill: red") == 1
    assert svg.count("fill: blue") == 1
    assert re.search(r'data-i="4" href="#s[0-9a-f]{5}\d+" x="1.23"', svg)
    assert svg.count("data-i") == 2


def test_a_group_without_markers_takes_none_of_the_next():
    empty = RAW.replace('<g id="runs">', '<g id="runs"></g><g id="next">')
    assert "data-i" not in finish(empty, "k", "t", "d", {"runs": [0, 1]})
