"""Delimited text: CSV, TSV and the like."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from scaling.errors import Fault, TableError, clip
from scaling.runs.files import uncollected
from scaling.runs.formats.common import MAX_LINE, fault, frame_of, unique
from scaling.runs.formats.plain import split_plain
from scaling.runs.importers.base import Imported

DELIMITERS = ",\t;|"
_CHUNK = 65536
_MOST_FAULTS = 10_000
_NEWLINE = re.compile("\r\n|\n|\r")


def read_delimited(raw: bytes, text: str, name: str, digest: str) -> Imported:
    """Split into cells, all text, with the line number of each row.

    Parameters
    ----------
    raw, text : bytes, str
        The file and what it says in UTF-8.
    name, digest : str
        The file's name and sha256.

    Raises
    ------
    TableError
        SC101 for rows that differ from the header, SC108 for repeated names.
    """
    _refuse_comments(text[: 2 * MAX_LINE], name)
    delimiter = _delimiter(text[: 2 * MAX_LINE], name)
    with uncollected():
        quick = split_plain(text, delimiter)
        if quick is None:
            return _careful(raw, delimiter, name, digest)
        header, columns, rows = quick
        names = _header(header, f"{name}:1", delimiter)
        return Imported(frame_of(names, columns), rows, name, None, digest, (), delimiter)


def _refuse_comments(text: str, name: str) -> None:
    """Name lines above the header that begin with ``#`` and are no header themselves."""
    first, *rest = [line for line in _NEWLINE.split(text, maxsplit=40) if line][:40]
    after = next((line for line in rest if not line.startswith("#")), "")
    marks = max((after.count(mark) for mark in DELIMITERS), default=0)
    if first.startswith("#") and max(first.count(mark) for mark in DELIMITERS) < marks:
        mend = "remove the lines that begin with #"
        raise TableError(fault(f"{name}:1", "a comment", "a header line first", mend, first))


def _careful(raw: bytes, delimiter: str, name: str, digest: str) -> Imported:
    """Split text with quotes, or find out what is wrong with it."""
    # newline="" keeps line breaks inside quotes and lets the reader count lines of all systems
    reader = _rows(io.TextIOWrapper(io.BytesIO(raw), "utf-8", newline=""), delimiter)
    names: list[str] = []
    columns: list[list[str]] = []
    rows: list[int] = []
    faults: list[Fault] = []
    batch: list[list[str]] = []
    start = 1
    try:
        for fields in reader:
            line, start = start, reader.line_num + 1
            if not fields or (not fields[0] and not any(map(str.strip, fields))):
                continue
            if not names:
                names = _header(fields, f"{name}:{line}", delimiter)
                columns = [[] for _ in names]
            elif len(fields) != len(names):
                faults.append(_ragged(fields, len(names), f"{name}:{line}", delimiter))
                if len(faults) == _MOST_FAULTS:
                    break
            else:
                rows.append(line)
                batch.append(fields)
                if len(batch) == _CHUNK:
                    _flush(batch, columns)
    except csv.Error as error:
        faults.append(_unreadable(error, f"{name}:{start}", raw, start))
    _flush(batch, columns)
    if faults:
        raise TableError(faults)
    if not rows:
        header = clip(delimiter.join(names), 200)
        mend = "add the runs below the header"
        raise TableError(
            fault(f"{name}:1", "a header but no rows", "one line per run", mend, header)
        )
    return Imported(frame_of(names, columns), np.array(rows), name, None, digest, (), delimiter)


def _flush(batch: list[list[str]], columns: list[list[str]]) -> None:
    for column, cells in zip(columns, zip(*batch, strict=True), strict=False):
        column.extend(cells)
    batch.clear()


def _delimiter(text: str, name: str) -> str:
    """The delimiter that splits the first rows alike, and the header into most fields."""
    text = text.strip("\r\n")  # a tab may stand for an empty name
    shapes = {delimiter: _shape(text, delimiter) for delimiter in DELIMITERS}
    best = max(shapes, key=lambda d: shapes[d])
    header, *body = _NEWLINE.split(text.strip(), maxsplit=4)
    words = len(header.split())
    spaced = {len(line.split()) for line in body[:3] if line.strip()} == {words} and words > 1
    if spaced and shapes[best][1] < 2 and not set('"(') & set(header):
        found = "columns that spaces separate"
        expected = "commas, tabs, semicolons or | between columns"
        raise TableError(fault(f"{name}:1", found, expected, "save it as CSV", header))
    return best


def _shape(text: str, delimiter: str) -> tuple[bool, int]:
    """Whether the first rows have one width above 1, and the number of fields of the header."""
    reader = _rows(io.StringIO(text, newline=""), delimiter)
    widths: list[int] = []
    with contextlib.suppress(csv.Error):
        filled = (fields for fields in reader if any(map(str.strip, fields)))
        widths += map(len, itertools.islice(filled, 5))
    return len(set(widths)) == 1 < widths[0], widths[0] if widths else 0


def _rows(lines: Iterable[str], delimiter: str) -> Any:
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)


def _header(fields: Sequence[str], where: str, delimiter: str) -> list[str]:
    names = [field.strip() or f"column {i}" for i, field in enumerate(fields, start=1)]
    unique(names, f"{where}:", delimiter.join(fields))
    return names


def _ragged(fields: Sequence[str], width: int, where: str, delimiter: str) -> Fault:
    mend = "quote fields that contain the delimiter"
    if delimiter == "," and len(fields) > width:
        mend += "; decimal commas need another delimiter than ,"
    line = clip(delimiter.join(fields), 200)
    return fault(where, f"{len(fields)} fields", f"{width}, as in the header", mend, line)


def _unreadable(error: csv.Error, where: str, raw: bytes, line: int) -> Fault:
    reason = str(error).split(" - ")[0]
    lines = io.TextIOWrapper(io.BytesIO(raw), "utf-8", newline="")
    shown = next(itertools.islice(lines, line - 1, None), "")[:200].rstrip("\r\n")
    said = {
        "unexpected end of data": "a quote is opened and never closed",
        "line contains NUL": "a NUL character",
    }
    found = said.get(reason, reason)
    if "field larger" in reason:
        found = "a field of more than 128 KiB; is a quote never closed?"
    return fault(where, found, "CSV text", 'close each quote; write "" for a quote inside', shown)
