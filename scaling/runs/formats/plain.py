"""The quick way through most CSV files: those without a quote in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scaling.runs.formats.common import MAX_CELL


def split_plain(
    text: str, delimiter: str
) -> tuple[list[str], list[list[str]], NDArray[np.int64]] | None:
    """Split text in which every delimiter divides and every line break ends a row.

    Parameters
    ----------
    text : str
        The whole file.
    delimiter : str
        One character.

    Returns
    -------
    header : list of str
    columns : list of list of str
    rows : ndarray of int
        Line number of each row; lines of nothing but blanks and delimiters are passed over.
    None
        If the text has quotes, NUL, lone carriage returns or rows of unequal length; the careful
        reader then says what and where.
    """
    if '"' in text or "\0" in text:
        return None
    if "\r" in text:
        text = text.replace("\r\n", "\n")
        if "\r" in text:
            return None
    lines = text.split("\n")
    numbers = np.arange(1, len(lines) + 1, dtype=np.int64)
    blanks = delimiter + " \t"
    filled = [bool(line.strip(blanks)) for line in lines]
    if not all(filled):
        lines = [line for line, full in zip(lines, filled, strict=True) if full]
        numbers = numbers[np.array(filled)]
    if len(lines) < 2 or max(map(len, lines)) > MAX_CELL:
        return None
    width = lines[0].count(delimiter) + 1
    if not _even(lines, delimiter, width - 1):
        return None
    cells = delimiter.join(lines).split(delimiter)
    columns = [cells[i::width] for i in range(width)]
    return [column[0] for column in columns], [column[1:] for column in columns], numbers[1:]


def _even(lines: Sequence[str], delimiter: str, count: int) -> bool:
    return all(line.count(delimiter) == count for line in lines)
