"""What all formats share: the form of their errors, names of columns, limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from scaling.errors import Fault, TableError, clip

MAX_LINE = 1024**2
MAX_COLUMNS, MAX_NAME, MAX_CELL = 20_000, 1000, 128 * 1024


def fault(where: str, found: str, expected: str = "", mend: str = "", line: str = "") -> Fault:
    """Form a fault of a file that cannot be read as a table."""
    return Fault("SC101", where, found, expected, mend, line)


def frame_of(names: Sequence[str], columns: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Make a frame of text; pandas would infer kinds of its own."""
    cells = {n: pd.Series(c, dtype=object) for n, c in zip(names, columns, strict=True)}
    return pd.DataFrame(cells)


def unique(names: Sequence[str], where: str, line: str) -> None:
    """Refuse names that cannot tell columns apart; a column's number follows `where`.

    Raises
    ------
    TableError
        SC108 for a repeated name, SC101 for a name or a number of columns beyond all measure.
    """
    seen: set[str] = set()
    if len(names) > MAX_COLUMNS:
        found = f"{len(names)} columns"
        expected = f"at most {MAX_COLUMNS}"
        raise TableError(fault(f"{where}{len(names)}", found, expected, "keep those you need"))
    for i, item in enumerate(names, start=1):
        if len(item) > MAX_NAME or not writable(item):
            found = f'the name "{clip(item)}"'
            expected = f"Unicode text of at most {MAX_NAME} characters"
            raise TableError(fault(f"{where}{i}", found, expected, "rename the column"))
        if item in seen:
            found, mend = f'two columns are called "{clip(item)}"', "rename one of them"
            place = f"{where}{i}"
            raise TableError(Fault("SC108", place, found, "one name a column", mend, line, item))
        seen.add(item)


def writable(text: str) -> bool:
    """Whether a CSV file can hold a text: JSON may escape a NUL or half a pair of surrogates."""
    halves = not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)
    return "\0" not in text and not halves
