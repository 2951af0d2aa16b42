"""Cells to numbers: what counts as a number, and what every other cell probably is."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.errors import Fault, TableError, clip
from scaling.runs.importers.base import Imported

Array = NDArray[np.float64]

MISSING = frozenset({"", "na", "n/a", "#n/a", "none", "null", "-", "--"})
SUFFIXES = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}

_PLAIN = frozenset("0123456789+-.eE")
_NUMBER = re.compile(r"[+-]?(\d+(?:\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_SPELLED = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_SUFFIXED = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([kKmMbBtT])", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Dialect:
    """How numbers are written.

    Attributes
    ----------
    decimal : str
        Decimal mark, ``.`` or ``,``.
    thousands : str
        Separator of groups of three digits; none if empty.
    """

    decimal: str = "."
    thousands: str = ""

    @property
    def plain(self) -> bool:
        """Whether numbers are written as Python writes them."""
        return self.decimal == "." and not self.thousands

    def rewrite(self, text: str) -> str:
        """Write one cell as Python would; a cell that does not fit is returned as it stands."""
        mark, sep = re.escape(self.decimal), re.escape(self.thousands)
        whole = rf"\d{{1,3}}({sep}\d{{3}})+|\d+" if sep else r"\d+"
        shape = re.fullmatch(rf"([+-]?)({whole})(?:{mark}(\d*))?([eE][+-]?\d+)?", text, re.ASCII)
        if shape is None:
            return text if self.decimal == "." else text.replace(".", "\0")
        groups = shape.groups()
        sign, digits, fraction, power = groups[0], groups[1], groups[-2], groups[-1]
        digits = digits.replace(self.thousands, "") if self.thousands else digits
        return f"{sign}{digits}.{fraction or '0'}{power or ''}"


POINT = Dialect()


def to_numbers(
    values: pd.Series, header: str, source: Imported, dialect: Dialect = POINT, counts: bool = False
) -> Array:
    """Convert cells to float64, empty cells to NaN.

    Parameters
    ----------
    values : Series
        Text or numbers, one a row of `source`.
    header : str
        Column of `source` that they are, for messages.
    dialect : Dialect
        How numbers are written.
    counts : bool
        Whether cells such as ``7B`` are counts, if all filled cells are of that kind.

    Returns
    -------
    ndarray
        A written NaN becomes infinity: it is a fault of value, not an empty cell.

    Raises
    ------
    TableError
        SC102 for the cells that are not numbers, one fault for each kind.
    """
    if _real(values):
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    texts = texts_of(values)
    if not dialect.plain:
        texts = [dialect.rewrite(text) for text in texts]
    numbers, bad = _convert(texts)
    if bad and counts:
        scaled = _suffixed(texts)
        if scaled is not None:
            return scaled
    if bad:
        shown = texts_of(values)
        raise TableError(_faults(bad, shown, header, source, dialect))
    return numbers


def _real(values: pd.Series) -> bool:
    """Whether the cells are stored as real numbers: a truth or a complex number is none."""
    types = pd.api.types
    odd = types.is_bool_dtype(values) or types.is_complex_dtype(values)
    return types.is_numeric_dtype(values) and not odd


def texts_of(values: pd.Series) -> list[str]:
    """Return the cells as stripped text, empty where missing."""
    cells = values.tolist()
    if set(map(type, cells)) <= {str}:
        return list(map(str.strip, cells))
    missing = values.isna().to_numpy()
    return [
        "" if gone else cell.strip() if isinstance(cell, str) else str(cell)
        for cell, gone in zip(cells, missing, strict=True)
    ]


def numbers_or_none(values: pd.Series, dialect: Dialect) -> Array | None:
    """Convert cells to float64 if every filled one is a number."""
    if not looks_numeric(values):
        return None
    texts = texts_of(values)
    if not dialect.plain:
        texts = [dialect.rewrite(text) for text in texts]
    numbers, bad = _convert(texts)
    return None if bad else numbers


def _convert(texts: Sequence[str]) -> tuple[Array, list[int]]:
    """Convert text; return the numbers and the positions that hold none."""
    plain = _PLAIN.issuperset("".join(texts))
    return _plain_numbers(texts) if plain else _numbers(texts)


def _plain_numbers(texts: Sequence[str]) -> tuple[Array, list[int]]:
    """Convert text of digits, signs, points and exponents only."""
    try:
        if "" not in texts:
            return np.fromiter(map(float, texts), dtype=np.float64, count=len(texts)), []
        return np.array([float(t) if t else np.nan for t in texts], dtype=np.float64), []
    except ValueError:
        return _numbers(texts)


def _numbers(texts: Sequence[str]) -> tuple[Array, list[int]]:
    """Convert cell by cell; return the numbers and the positions that hold none."""
    numbers, bad = np.full(len(texts), np.nan), []
    for i, text in enumerate(texts):
        if _NUMBER.fullmatch(text):
            numbers[i] = float(text)
        elif _SPELLED.fullmatch(text):
            numbers[i] = np.inf
        elif text.lower() not in MISSING:
            bad.append(i)
    return numbers, bad


def _suffixed(texts: Sequence[str]) -> Array | None:
    """Read ``7B`` as 7e9, if every filled cell is written so."""
    numbers = np.full(len(texts), np.nan)
    for i, text in enumerate(texts):
        shape = _SUFFIXED.fullmatch(text)
        if shape is not None:
            # Through text, so that 1.3B is the float nearest to 1.3e9.
            numbers[i] = float(f"{shape[1]}e{int(np.log10(SUFFIXES[shape[2].lower()]))}")
        elif text.lower() not in MISSING:
            return None
    return numbers


def looks_numeric(values: pd.Series, sample: int = 300) -> bool:
    """Whether most of the filled cells among the first `sample` are numbers of some spelling."""
    if pd.api.types.is_bool_dtype(values):
        return False
    if _real(values):
        return bool(values.notna().any())
    filled = values[values.notna()]
    texts = [t for t in texts_of(filled.iloc[:sample]) if t.lower() not in MISSING]
    if not texts:  # the first filled cells may stand far down
        texts = [t for t in texts_of(filled) if t.lower() not in MISSING][:sample]
    shapes = (_NUMBER, _DECIMAL_COMMA, _SPELLED)
    good = sum(any(s.fullmatch(t.replace(" ", "")) for s in shapes) or _grouped(t) for t in texts)
    return bool(texts) and good >= 0.5 * len(texts)


def starts_like_numbers(values: pd.Series, sample: int = 300) -> bool:
    """Whether a column of mostly other text has a number, or mostly cells that begin as one."""
    if values.dtype != object and not pd.api.types.is_string_dtype(values):
        return False
    texts = [t for t in texts_of(values) if t.lower() not in MISSING][:sample]
    begin = sum(bool(re.match(r"[+-]?\.?\d", t, re.ASCII)) for t in texts)
    return any(map(_NUMBER.fullmatch, texts)) or 2 * begin > len(texts) > 0


def looks_suffixed(values: pd.Series) -> bool:
    """Whether all filled cells are counts such as ``7B``."""
    texts = texts_of(values)
    return any(texts) and _suffixed(texts) is not None


def _grouped(text: str) -> bool:
    return bool(re.fullmatch(r"[+-]?\d{1,3}([,.' _]\d{3})+([.,]\d+)?", text, re.ASCII))


# --------------------------------------------------------------------------- what a bad cell is

_MOST = 10_000
_LONGEST = 100

_KINDS: tuple[tuple[str, Callable[[str], object], str], ...] = (
    (
        "a decimal comma or a thousands separator",
        re.compile(r"[+-]?\d{1,3},\d{3}", re.ASCII).fullmatch,
        "--decimal , if 2,431 means 2.431; --thousands , if it means 2431",
    ),
    ("a decimal comma", _DECIMAL_COMMA.fullmatch, "--decimal , reads it"),
    (
        "thousands separators",
        _grouped,
        "separators",
    ),
    ("a decimal point among decimal commas", lambda t: "." in t and _NUMBER.fullmatch(t), ""),
    ("a formula or its error", lambda t: t[:1] in "=#", "export values, not formulas"),
    (
        "a date, as a spreadsheet may have made of a number",
        re.compile(
            r"\d{4}-\d{1,2}-\d{1,2}([T ].*)?|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|"
            r"\d{1,2}[-. ]{1,2}(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\w*([- ]\d+)?|"
            r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\w*[-. ]{1,2}\d+",
            re.IGNORECASE,
        ).fullmatch,
        "restore the number; format the column as text before the export",
    ),
    (
        "a count with a suffix, but not all of the column is",
        _SUFFIXED.fullmatch,
        "write 7e9 for 7B, in every cell of the column",
    ),
    (
        "a number with a unit",
        re.compile(r"[+-]?[\d.,]+([eE][+-]?\d+)?\s*[^\W\d_]*[A-Za-z%/]+.*").fullmatch,
        "leave the unit to the header, as in tokens (B)",
    ),
)


def _faults(
    bad: Sequence[int], texts: Sequence[str], header: str, source: Imported, dialect: Dialect
) -> list[Fault]:
    """One fault for each kind of bad cell; the first of its kind is shown."""
    kinds: dict[str, list[int]] = {}
    mends: dict[str, str] = {}
    for i in bad[:_MOST]:
        kind, mend = _kind(texts[i])
        kinds.setdefault(kind, []).append(i)
        mends[kind] = mend
    faults = []
    for kind, members in kinds.items():
        cell = texts[members[0]]
        reason = f": {kind}?" if kind else ""
        more = others(members, source)
        more += f"; {len(bad) - _MOST} cells below were not looked at" if len(bad) > _MOST else ""
        expected = "a number" if dialect.plain else f"a number with {dialect.decimal!r}"
        found = f'"{clip(cell)}" is not a number{reason}{more}'
        where, line = source.place(members[0], header), source.line(members[0])
        at = source.offset(members[0], header)
        faults.append(Fault("SC102", where, found, expected, mends[kind], line, cell, at))
    return faults


def _separators(text: str) -> str:
    """The options that read a number with thousands separators."""
    marks = [c for c in text if c in ",.' _"]
    first, last = marks[0], marks[-1]
    thousands = f"--thousands {first!r}" if first in " '" else f"--thousands {first}"
    decimal = " --decimal ," if first == "." or (last == "," != first) else ""
    return f"{thousands}{decimal} reads it"


def _kind(text: str) -> tuple[str, str]:
    for kind, fits, mend in _KINDS:
        if len(text) <= _LONGEST and fits(text):  # longer ones are none, and slow to match
            mend = _separators(text) if mend == "separators" else mend
            return kind, mend or "write all numbers of the table in one way"
    return "", "write plain numbers such as 2431 or 2.4e3, and leave cells without one empty"


def others(members: Sequence[int], source: Imported) -> str:
    """Say how many more rows are like the first of `members`, and which."""
    if len(members) < 2:
        return ""
    rest = [int(source.rows[i]) for i in members[1:]]
    cells = "1 other cell looks" if len(rest) == 1 else f"{len(rest)} other cells look"
    return f"; {cells} the same (row{'s' * (len(rest) > 1)} {row_ranges(rest)})"


def row_ranges(rows: Sequence[int], limit: int = 6) -> str:
    """Write row numbers compactly: ``2-6, 9``."""
    runs: list[list[int]] = []
    for row in sorted(rows):
        if runs and row == runs[-1][1] + 1:
            runs[-1][1] = row
        else:
            runs.append([row, row])
            if len(runs) > limit:
                break
    text = [str(p) if p == q else f"{p}-{q}" for p, q in runs[:limit]]
    return ", ".join(text) + (", …" if len(runs) > limit else "")
