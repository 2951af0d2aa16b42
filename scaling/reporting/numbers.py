"""Numbers as a reader wants them: no more digits than the standard error supports."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

POWER = re.compile(r"(?<![\w.])(\d(?:\.\d+)?)e[+-]\d{2,3}\b")
MISSING = "—"
SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
PLAIN_LIMIT = 1e5
SMALL_LIMIT = 1e-3
MAX_DECIMALS = 12
# A central 95% interval is about four standard errors wide.
ERRORS_IN_INTERVAL = 4.0


def finite(x: Any) -> bool:
    """Return whether `x` is a number that can be shown."""
    return isinstance(x, (int, float)) and math.isfinite(x)


def exponent_of(x: float) -> int:
    """Return the decimal exponent of `x`; 0 for zero."""
    return 0 if x == 0 else math.floor(math.log10(abs(x)))


def _fixed(x: float, decimals: int) -> str:
    """Write with `decimals` decimals (negative ones round to tens), thousands marked."""
    rounded = round(x, decimals)
    text = f"{rounded:,.{max(0, min(decimals, MAX_DECIMALS))}f}"
    return text.replace("-", "−")


def _scientific(x: float, decimals: int, exponent: int) -> str:
    return f"{_fixed(x / 10.0**exponent, decimals)}×10{str(exponent).translate(SUPERSCRIPT)}"


def _shown_as_power(x: float) -> bool:
    return x != 0 and (abs(x) >= PLAIN_LIMIT or abs(x) < SMALL_LIMIT)


def quantity(x: Any, digits: int = 3) -> str:
    """Write a count, an amount or a loss with `digits` significant digits.

    Examples
    --------
    >>> quantity(1.2e10), quantity(12345.6, 6), quantity(0.5)
    ('1.20×10¹⁰', '12,345.6', '0.500')
    """
    if not finite(x):
        return MISSING
    x = float(x)
    exponent = exponent_of(float(f"{x:.{digits - 1}e}"))
    if _shown_as_power(x):
        return _scientific(x, digits - 1, exponent)
    return _fixed(x, digits - 1 - exponent)


def error_digits(se: float, digits: int = 2) -> int:
    """Return the decimals that keep `digits` significant digits of a standard error."""
    return digits - 1 - exponent_of(float(f"{se:.{digits - 1}e}"))


def estimate(x: Any, se: Any) -> str:
    """Write `x` to the last digit that its standard error supports.

    Without a usable standard error four significant digits are shown.

    Examples
    --------
    >>> estimate(0.347311, 0.0123), estimate(482.0, 124.58), estimate(0.347311, None)
    ('0.347', '480', '0.3473')
    """
    if not finite(x):
        return MISSING
    if not finite(se) or se <= 0:
        return quantity(x, 4)
    x, se = float(x), float(se)
    if x != 0 and se >= abs(x):  # rounding to such an error could leave a zero
        return quantity(x, 2)
    if _shown_as_power(x):
        exponent = exponent_of(x)
        decimals = max(0, min(6, error_digits(se / 10.0**exponent)))
        exponent = exponent_of(float(f"{x:.{decimals}e}"))
        return _scientific(x, decimals, exponent)
    return _fixed(x, min(error_digits(se), 8))


def error(se: Any) -> str:
    """Write a standard error with two significant digits."""
    return quantity(se, 2)


def within(x: Any, lo: Any, hi: Any) -> str:
    """Write an estimate with the digits that its interval supports."""
    if not (finite(lo) and finite(hi)):
        return quantity(x)
    return estimate(x, (float(hi) - float(lo)) / ERRORS_IN_INTERVAL)


def _keeping(x: float, decimals: int, exponent: int = 0) -> int:
    """Return the decimals, or as many more as keep two digits of an `x` that would become 0."""
    scaled = x / 10.0**exponent
    lost = scaled != 0 and abs(scaled) < 2 * 10.0**-decimals
    return max(decimals, 1 - exponent_of(scaled)) if lost else decimals


def interval(lo: Any, hi: Any) -> str:
    """Write an interval, both ends with the digits that its width supports.

    Examples
    --------
    >>> interval(0.4701, 0.5312), interval(2.51e9, 3.42e9), interval(-1.0, 2.0)
    ('0.470–0.531', '2.51–3.42×10⁹', '−1.00 to 2.00')
    """
    if not (finite(lo) and finite(hi)):
        return MISSING
    lo, hi = float(lo), float(hi)
    se = (hi - lo) / ERRORS_IN_INTERVAL
    if se <= 0:
        return f"{quantity(lo, 4)}–{quantity(hi, 4)}"
    exponent = exponent_of(hi)
    if _shown_as_power(hi) and lo > 0 and exponent - exponent_of(lo) <= 1:
        decimals = max(0, min(6, _keeping(lo, error_digits(se / 10.0**exponent), exponent)))
        return f"{_fixed(lo / 10.0**exponent, decimals)}–{_scientific(hi, decimals, exponent)}"
    if _shown_as_power(hi) or _shown_as_power(lo):
        return f"{quantity(lo)} to {quantity(hi)}"
    decimals = min(_keeping(lo, error_digits(se)), 8)
    joint = " to " if lo < 0 else "–"
    return f"{_fixed(lo, decimals)}{joint}{_fixed(hi, decimals)}"


def percent(x: Any, digits: int = 2) -> str:
    """Write a fraction as a percentage with a sign."""
    if not finite(x):
        return MISSING
    return f"{100.0 * x:+.{digits}f}%".replace("-", "−")


def share(x: float, most: int = 2) -> str:
    """Write a share as a percentage: `most` decimals, or more where two digits need them.

    Examples
    --------
    >>> share(0.0534), share(0.000012), share(0.2416)
    ('5.34%', '0.0012%', '24.16%')
    """
    needed = 0 if x == 0 else 1 - math.floor(math.log10(100.0 * abs(x)))
    return percent(x, max(most, min(needed, 6))).removeprefix("+")


def signed(x: Any, digits: int) -> str:
    """Write a difference with its sign and `digits` decimals."""
    if not finite(x):
        return MISSING
    return f"{float(x):+.{digits}f}".replace("-", "−")


def span(values: Sequence[float]) -> str:
    """Write the smallest and the largest of several values."""
    if not len(values):
        return MISSING
    return interval(min(values), max(values))


def factor(x: Any) -> str:
    """Write how many times as much: ``10×``, ``0.5×``, ``3.8×10⁻⁵ times``."""
    if not finite(x):
        return MISSING
    if 0.0 < x < SMALL_LIMIT:
        return f"{quantity(x, 2)} times"
    return f"{float(x):,.0f}×" if x >= 9.95 else f"{float(x):.2g}×"


def count(x: Any) -> str:
    """Write an exact whole number below the limit, else three digits and a power of ten."""
    if not finite(x):
        return MISSING
    if float(x).is_integer() and abs(x) < PLAIN_LIMIT:
        return f"{int(x):,}".replace("-", "−")
    return quantity(x, 4)


def readable(text: str) -> str:
    """Return a text whose numbers with an exponent are written as the others of a report are.

    Examples
    --------
    >>> readable("from 3.58e+03 to 1e-09")
    'from 3,580 to 1×10⁻⁹'
    """
    return POWER.sub(lambda m: quantity(float(m[0]), len(m[1].replace(".", ""))), text)


def exact(x: Any) -> str:
    """Write the shortest text that reads back as the same number."""
    return repr(float(x)) if finite(x) else MISSING
