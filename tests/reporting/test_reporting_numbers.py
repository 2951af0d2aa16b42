"""Numbers: digits that their errors support, and texts that read back."""

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scaling.reporting import numbers

SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻−", "0123456789--")
COUNTS = st.floats(1e-12, 1e30)
SIGNED = st.one_of(COUNTS, COUNTS.map(lambda x: -x))
NOT_SHOWN = [None, float("nan"), float("inf"), -float("inf"), "1"]


def number(text):
    """Read a number as the report writes it."""
    base, _, power = text.translate(SUPERSCRIPT).replace(",", "").partition("×10")
    return float(base) * 10.0 ** int(power or 0)


@pytest.mark.parametrize(
    ("x", "digits", "text"),
    [
        (1.2e10, 3, "1.20×10¹⁰"),
        (12345.6, 6, "12,345.6"),
        (12345.6, 3, "12,300"),
        (0.5, 3, "0.500"),
        (0.0, 3, "0.00"),
        (0.000123, 3, "1.23×10⁻⁴"),
        (-0.25, 2, "−0.25"),
        (-3e7, 2, "−3.0×10⁷"),
        (99999.9, 3, "100,000"),
        (9.996e9, 3, "1.00×10¹⁰"),
        (0.9996, 3, "1.00"),
        (5.76e23, 3, "5.76×10²³"),
        (1, 3, "1.00"),
    ],
)
def test_quantities(x, digits, text):
    assert numbers.quantity(x, digits) == text


@pytest.mark.parametrize(
    ("x", "se", "text"),
    [
        (0.347311, 0.0123, "0.347"),
        (0.347311, 0.00123, "0.3473"),
        (482.0, 124.58, "480"),
        (482.0, 12.0, "482"),
        (0.347311, None, "0.3473"),
        (0.347311, 0.0, "0.3473"),
        (0.347311, float("nan"), "0.3473"),
        (1.234e10, 5e8, "1.234×10¹⁰"),
        (1.234e10, 5e10, "1.2×10¹⁰"),
        (-0.5, 0.1, "−0.50"),
        (1.8172, 0.03, "1.817"),
    ],
)
def test_estimates(x, se, text):
    assert numbers.estimate(x, se) == text


@pytest.mark.parametrize(
    ("lo", "hi", "text"),
    [
        (0.4701, 0.5312, "0.470–0.531"),
        (2.51e9, 3.42e9, "2.51–3.42×10⁹"),
        (9.4e10, 1.2e11, "0.940–1.200×10¹¹"),
        (-1.0, 2.0, "−1.00 to 2.00"),
        (1e6, 5e12, "1.00×10⁶ to 5.00×10¹²"),
        (0.5, 0.5, "0.5000–0.5000"),
        (0.0, 0.3, "0.000–0.300"),
    ],
)
def test_intervals(lo, hi, text):
    assert numbers.interval(lo, hi) == text


@pytest.mark.parametrize(
    ("function", "x", "text"),
    [
        (numbers.percent, 0.0123, "+1.23%"),
        (numbers.percent, -0.0123, "−1.23%"),
        (numbers.factor, 10.0, "10×"),
        (numbers.factor, 0.5, "0.5×"),
        (numbers.factor, 1.0, "1×"),
        (numbers.factor, 9.97, "10×"),
        (numbers.factor, 50000.0, "50,000×"),
        (numbers.count, 1234, "1,234"),
        (numbers.count, 1234567, "1.235×10⁶"),
        (numbers.count, 2.5, "2.500"),
        (numbers.error, 0.01234, "0.012"),
        (numbers.exact, 0.1, "0.1"),
        (numbers.exact, 3, "3.0"),
    ],
)
def test_other_forms(function, x, text):
    assert function(x) == text


@pytest.mark.parametrize("x", NOT_SHOWN, ids=repr)
def test_what_cannot_be_shown_is_a_dash(x):
    functions = (numbers.quantity, numbers.percent, numbers.factor, numbers.count, numbers.exact)
    assert {f(x) for f in functions} == {"—"}
    assert numbers.estimate(x, 1.0) == "—"
    assert numbers.interval(x, 1.0) == numbers.interval(1.0, x) == "—"


def test_an_interval_that_is_missing_leaves_three_digits():
    assert numbers.within(1234.5, float("nan"), 2.0) == "1,230"


@settings(max_examples=200, deadline=None)
@given(SIGNED, st.integers(1, 6))
def test_quantities_read_back(x, digits):
    assert number(numbers.quantity(x, digits)) == pytest.approx(x, rel=0.6 * 10 ** (1 - digits))


@settings(max_examples=200, deadline=None)
@given(SIGNED, st.floats(1e-3, 0.5))
def test_estimates_read_back_within_their_error(x, relative):
    """Two digits of the error are kept, so rounding costs at most a twentieth of it."""
    se = relative * abs(x)
    assert abs(number(numbers.estimate(x, se)) - x) <= 0.051 * se


@settings(max_examples=200, deadline=None)
@given(st.floats(1e-3, 9e4), st.floats(0.5, 1e4))
@example(482.0, 25.0)
@example(20.0, 112.0)
def test_an_estimate_is_never_rounded_to_zero(x, relative):
    """However large the error is: a coefficient of 482 ± 12,000 is not 0."""
    assert number(numbers.estimate(x, relative * x)) == pytest.approx(x, rel=0.5)


@settings(max_examples=100, deadline=None)
@given(COUNTS, st.floats(1e-6, 1e3))
@example(9.99996e9, 1e-4)
def test_powers_of_ten_are_normal(x, relative):
    text = numbers.estimate(x, relative * x)
    if "×10" in text:
        assert 1 <= float(text.split("×")[0]) < 10


@settings(max_examples=200, deadline=None)
@given(COUNTS, st.floats(1.001, 1e6))
def test_intervals_read_back(lo, factor):
    """Both ends lie within a tenth of a standard error, or three digits, of what they were."""
    hi = lo * factor
    text = numbers.interval(lo, hi)
    first, second = text.split(" to ") if " to " in text else text.split("–")
    low, high = number(first), number(second)
    if " to " not in text and "×10" in second:
        low *= 10.0 ** round(math.log10(number(second) / float(second.split("×")[0])))
    slack = 0.1 * (hi - lo) / 4
    assert abs(low - lo) <= max(slack, 0.006 * lo)
    assert abs(high - hi) <= max(slack, 0.006 * hi)
    assert low <= high


@settings(max_examples=100, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_full_precision_reads_back_exactly(x):
    assert float(numbers.exact(x)) == x
