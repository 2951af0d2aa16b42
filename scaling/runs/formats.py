"""Files of runs to cells: CSV, TSV, JSON, JSON lines and Parquet; nothing is understood yet."""

from __future__ import annotations

import contextlib
import csv
import gc
import hashlib
import io
import itertools
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from scaling.errors import Fault, MissingExtraError, TableError, clip, listed
from scaling.runs.importers.base import Imported

FORMATS = ("csv", "json", "jsonl", "parquet")
MAX_BYTES = 1024**3
MAX_LINE = 1024**2
MAX_JSON = 256 * 1024**2  # JSON may stand on one line
MAX_COLUMNS, MAX_NAME, MAX_CELL = 20_000, 1000, 128 * 1024
MAX_VALUES = 10**8  # a small Parquet file may say one value a billion times
DELIMITERS = ",\t;|"
_CHUNK = 65536
_MOST_FAULTS = 10_000
_NEWLINE = re.compile("\r\n|\n|\r")
_BINARY = {
    b"PK\x03\x04": ("a spreadsheet or another zip archive", "export the sheet as CSV"),
    b"\x1f\x8b": ("a gzip archive", "decompress it first: gunzip"),
    b"\xfd7zXZ": ("an xz archive", "decompress it first: unxz"),
    b"\xff\xfe": ("UTF-16 text", "save the file as UTF-8"),
    b"\xfe\xff": ("UTF-16 text", "save the file as UTF-8"),
    b"\x80\x04": ("a Python pickle", "write it as CSV: a pickle can run code and is never opened"),
    b"SQLite format 3": ("a database", "scaling import reads those of MLflow"),
}


def read_cells(source: str | Path, kind: str | None = None) -> Imported:
    """Read the cells of a file, or of standard input for ``"-"``.

    Parameters
    ----------
    source : str or Path
        The file.
    kind : {"csv", "json", "jsonl", "parquet"}, optional
        Its format; by its content and name if None. TSV and other delimiters are ``csv``.

    Raises
    ------
    TableError
        SC005 if it cannot be opened, SC101 or SC108 if it is not a table.
    MissingExtraError
        SC001 if Parquet cannot be read here.
    """
    raw, name = _read_bytes(source)
    kind = kind or _kind(raw, name)
    digest = hashlib.sha256(raw).hexdigest()
    if kind == "parquet":
        return _parquet(raw, name, digest)
    text = _decode(raw, name)
    if kind == "csv":
        delimiter = _delimiter(text[: 2 * MAX_LINE], name)
        del text
        with _uncollected():
            return _csv(raw, delimiter, name, digest)
    entries = _json(text, name) if kind == "json" else list(_json_lines(text, name))
    return _records(entries, name, digest)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector from walking a million new rows again and again."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


# ------------------------------------------------------------------------------------------ bytes


def _fault(where: str, found: str, expected: str = "", mend: str = "", line: str = "") -> Fault:
    return Fault("SC101", where, found, expected, mend, line)


def _read_bytes(source: str | Path) -> tuple[bytes, str]:
    if str(source) == "-":
        return _whole(sys.stdin.buffer, "stdin"), "stdin"
    path = Path(source)
    try:
        with path.open("rb") as handle:
            name = clip(path.name, 255)
            return _whole(handle, name), name
    except OSError as error:
        raise TableError(
            Fault("SC005", str(source), f"cannot be read: {error.strerror}", "a file of runs")
        ) from error


def _whole(handle: BinaryIO, name: str) -> bytes:
    """Read all, but stop where no table can follow: a line or a file beyond all measure."""
    chunks: list[bytes] = []
    size = lines = since = 0
    longest = MAX_LINE
    while chunk := handle.read(_CHUNK):
        if not chunks:
            one_value = chunk.lstrip()[:1] in (b"[", b"{")
            longest = MAX_JSON if one_value else MAX_LINE
            longest = MAX_BYTES if chunk.startswith(b"PAR1") else longest
        chunks.append(chunk)
        size += len(chunk)
        newlines = chunk.count(b"\n")
        last = max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
        since = len(chunk) - last - 1 if last >= 0 else since + len(chunk)
        if since > longest:
            where = f"{name}:{lines + newlines + 1}"
            found = f"a line of more than {longest // 1024**2} MiB"
            raise TableError(_fault(where, found, "one line a run", "save it as CSV"))
        lines += newlines
        if size > MAX_BYTES:
            found = f"more than {MAX_BYTES // 1024**3} GiB"
            raise TableError(_fault(name, found, "a table of runs", "keep one row a run"))
    return b"".join(chunks)


def _kind(raw: bytes, name: str) -> str:
    """Tell the format by the content, and by the name where that leaves a choice."""
    if raw.startswith(b"PAR1"):
        return "parquet"
    head = raw[:_CHUNK].removeprefix(b"\xef\xbb\xbf").lstrip()
    suffix = Path(name).suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        return "jsonl"
    if head[:1] == b"[" and suffix not in (".csv", ".tsv"):
        return "json"
    if head[:1] == b"{" and suffix not in (".csv", ".tsv"):
        return "jsonl" if suffix != ".json" and _is_json_line(head) else "json"
    return "csv"


def _is_json_line(head: bytes) -> bool:
    try:
        json.loads(head.split(b"\n", 1)[0])
    except (ValueError, RecursionError):
        return False
    return True


def _decode(raw: bytes, name: str) -> str:
    if not raw.strip():
        mend = "write at least N, D, loss and one row"
        raise TableError(_fault(name, "the file is empty", "a header line and a line a run", mend))
    for magic, (found, mend) in _BINARY.items():
        if raw.startswith(magic):
            raise TableError(_fault(name, found, "text: CSV, TSV, JSON or JSON lines", mend))
    if b"\0" in raw:
        at = raw.index(b"\0")
        where = name if at < _CHUNK else f"{name}:{_line(raw, at)}"
        raise TableError(_fault(where, "a binary file", "CSV or TSV text", "export it as CSV"))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        start = max(raw.rfind(mark, 0, error.start) for mark in (b"\n", b"\r")) + 1
        column = error.start - start + 1
        raise TableError(
            _fault(
                f"{name}:{_line(raw, error.start)}",
                f"byte 0x{raw[error.start]:02x} (the {column}th of the line) is not UTF-8",
                "UTF-8 text",
                "save the file as UTF-8",
                _NEWLINE.split(raw[start : start + 200].decode("latin-1"), maxsplit=1)[0],
            )
        ) from None


def _line(raw: bytes, at: int) -> int:
    """Number of the line of a byte, whichever system ended the lines."""
    before = raw[:at]
    return before.count(b"\n") + before.count(b"\r") - before.count(b"\r\n") + 1


# -------------------------------------------------------------------------------------------- CSV


def _csv(raw: bytes, delimiter: str, name: str, digest: str) -> Imported:
    """Split into cells, all text, with the line number of each row."""
    # newline="" keeps line breaks inside quotes and lets the reader count lines of all systems
    reader = csv.reader(
        io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8-sig", newline=""),
        delimiter=delimiter,
        skipinitialspace=True,
        strict=True,
    )
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
            _fault(f"{name}:1", "a header but no rows", "one line per run", mend, header)
        )
    return Imported(_frame(names, columns), np.array(rows), name, None, digest, (), delimiter)


def _frame(names: Sequence[str], columns: Sequence[Sequence[Any]]) -> pd.DataFrame:
    cells = {n: pd.Series(c, dtype=object) for n, c in zip(names, columns, strict=True)}
    return pd.DataFrame(cells)


def _flush(batch: list[list[str]], columns: list[list[str]]) -> None:
    for column, cells in zip(columns, zip(*batch, strict=True), strict=False):
        column.extend(cells)
    batch.clear()


def _delimiter(text: str, name: str) -> str:
    """The delimiter that splits the header into most fields."""
    header, *body = _NEWLINE.split(text.strip(), maxsplit=4)
    header = header.strip()
    counts = {}
    for delimiter in DELIMITERS:
        try:
            counts[delimiter] = len(next(csv.reader([header], delimiter=delimiter)))
        except (csv.Error, StopIteration):
            counts[delimiter] = 0
    best = max(counts, key=lambda d: counts[d])
    if counts[best] < 2 and len(header.split()) > 1 and not any(c in header for c in '"('):
        widths = {len(line.split()) for line in body[:3] if line.strip()}
        if widths == {len(header.split())}:
            found = "columns that spaces separate"
            expected = "commas, tabs, semicolons or | between columns"
            raise TableError(_fault(f"{name}:1", found, expected, "save it as CSV", header))
    return best


def _header(fields: Sequence[str], where: str, delimiter: str) -> list[str]:
    names = [field.strip() or f"column {i}" for i, field in enumerate(fields, start=1)]
    _unique(names, f"{where}:", delimiter.join(fields))
    return names


def _unique(names: Sequence[str], where: str, line: str) -> None:
    """Refuse names that cannot tell columns apart; a column's number follows `where`."""
    seen: set[str] = set()
    if len(names) > MAX_COLUMNS:
        found = f"{len(names)} columns"
        expected = f"at most {MAX_COLUMNS}"
        raise TableError(_fault(f"{where}{len(names)}", found, expected, "keep those you need"))
    for i, item in enumerate(names, start=1):
        if len(item) > MAX_NAME or not _encodable(item):
            found = f'the name "{clip(item)}"'
            expected = f"Unicode text of at most {MAX_NAME} characters"
            raise TableError(_fault(f"{where}{i}", found, expected, "rename the column"))
        if item in seen:
            found, mend = f'two columns are called "{clip(item)}"', "rename one of them"
            place = f"{where}{i}"
            raise TableError(Fault("SC108", place, found, "one name a column", mend, line, item))
        seen.add(item)


def _encodable(text: str) -> bool:
    """Whether a text can be written again: JSON may escape half of a pair of surrogates."""
    return text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)


def _ragged(fields: Sequence[str], width: int, where: str, delimiter: str) -> Fault:
    mend = "quote fields that contain the delimiter"
    if delimiter == "," and len(fields) > width:
        mend += "; decimal commas need another delimiter than ,"
    line = clip(delimiter.join(fields), 200)
    return _fault(where, f"{len(fields)} fields", f"{width}, as in the header", mend, line)


def _unreadable(error: csv.Error, where: str, raw: bytes, line: int) -> Fault:
    reason = str(error).split(" - ")[0]
    lines = io.TextIOWrapper(io.BytesIO(raw), "utf-8-sig", newline="")
    shown = next(itertools.islice(lines, line - 1, None), "")[:200].rstrip("\r\n")
    said = {
        "unexpected end of data": "a quote is opened and never closed",
        "line contains NUL": "a NUL character",
    }
    found = said.get(reason, reason)
    if "field larger" in reason:
        found = "a field of more than 128 KiB; is a quote never closed?"
    return _fault(where, found, "CSV text", 'close each quote; write "" for a quote inside', shown)


# ------------------------------------------------------------------------------------------- JSON


def _json(text: str, name: str) -> list[tuple[int, Any]]:
    """Return the entries of a JSON document that is, or has, a list of objects or columns."""
    found = _loads(text, name, 1)
    if isinstance(found, dict):
        lists = {k: v for k, v in found.items() if isinstance(v, list)}
        of_runs = [k for k, v in lists.items() if v and all(isinstance(e, dict) for e in v)]
        if len(of_runs) == 1:
            found = lists[of_runs[0]]
        elif len(of_runs) > 1:
            expected = "one list of runs"
            where = f"{name}: {', '.join(clip(k, 20) for k in of_runs[:6])}"
            raise TableError(_fault(where, f"{len(of_runs)} lists of objects", expected))
        elif lists and len(lists) == len(found):
            return _json_columns(lists, name)
        else:
            found = list(found.values()) if _of_dicts(found.values()) else [found]
    if not isinstance(found, list) or not _of_dicts(found):
        expected = "a list of objects, one a run"
        raise TableError(_fault(name, "JSON without a list of objects", expected))
    if not found:
        raise TableError(_fault(name, "a list without runs", "at least one run"))
    return list(enumerate(found, start=1))


def _of_dicts(values: Any) -> bool:
    return all(isinstance(value, dict) for value in values)


def _json_columns(lists: dict[str, list[Any]], name: str) -> list[tuple[int, Any]]:
    lengths = {k: len(v) for k, v in lists.items()}
    if len(set(lengths.values())) > 1:
        short = ", ".join(f"{clip(k, 20)}: {n}" for k, n in list(lengths.items())[:8])
        raise TableError(_fault(name, f"columns of different length ({short})", "one length"))
    keys = list(lists)
    rows = zip(*lists.values(), strict=True)
    entries = [dict(zip(keys, row, strict=True)) for row in rows]
    if not entries:
        raise TableError(_fault(name, "columns without rows", "at least one run"))
    return list(enumerate(entries, start=1))


def _json_lines(text: str, name: str) -> Iterator[tuple[int, Any]]:
    empty = True
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        entry = _loads(line, name, number)
        if not isinstance(entry, dict):
            expected = 'an object a line: {"N": 1e6, …}'
            raise TableError(_fault(f"{name}:{number}", "not an object", expected, "", line[:200]))
        empty = False
        yield number, entry
    if empty:
        raise TableError(_fault(name, "no rows", "an object a line"))


def _loads(text: str, name: str, line: int) -> Any:
    """Parse JSON; numbers stay text, so that one reader of numbers judges all formats."""
    try:
        return json.loads(
            text,
            parse_float=str,
            parse_int=str,
            parse_constant=str,
            object_pairs_hook=lambda pairs: _object(pairs, f"{name}:{line}"),
        )
    except json.JSONDecodeError as error:
        where = f"{name}:{line + error.lineno - 1}:{error.colno}"
        shown = (text.split("\n")[error.lineno - 1 : error.lineno] or [""])[0]
        cut = shown[max(0, error.colno - 40) : error.colno + 40]
        raise TableError(_fault(where, f"not JSON: {error.msg}", "JSON", "", cut)) from None
    except RecursionError:
        raise _too_deep(f"{name}:{line}") from None


def _object(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in pairs:
        if key in out:
            found = f'"{clip(key)}" stands twice in one object'
            raise TableError(Fault("SC108", where, found, "one value a name", "remove one of them"))
        out[key] = value
    return out


def flatten(entry: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested objects to names with slashes; lists become their JSON text."""
    return dict(_leaves(entry, prefix))


def _leaves(entry: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in entry.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}/")
        elif isinstance(value, list):
            yield f"{prefix}{key}", json.dumps(value)
        else:
            yield f"{prefix}{key}", "" if value is None else str(value)


def _records(entries: Sequence[tuple[int, Any]], name: str, digest: str) -> Imported:
    flat = [_flat(entry, f"{name}:{number}") for number, entry in entries]
    names = list(dict.fromkeys(key for row in flat for key in row))
    if not names:
        raise TableError(_fault(name, "objects without any name", "N, D, loss a run"))
    columns = [[row.get(key, "") for row in flat] for key in names]
    rows = np.array([number for number, _ in entries], dtype=np.int64)
    stripped = [key.strip() or f"column {i}" for i, key in enumerate(names, start=1)]
    _unique(stripped, f"{name}: column ", listed(stripped))
    return Imported(_frame(stripped, columns), rows, name, None, digest)


def _flat(entry: dict[str, Any], where: str) -> dict[str, Any]:
    """Flatten one run; no name twice, no depth and no cell beyond all measure."""
    try:
        row = _object(list(_leaves(entry, "")), where)
    except RecursionError:
        raise _too_deep(where) from None
    for key, cell in row.items():
        if len(cell) > MAX_CELL or not _encodable(cell):
            found = f'"{clip(cell, 30)}" in "{clip(key, 30)}"'
            expected = f"Unicode text of at most {MAX_CELL // 1024} KiB"
            raise TableError(_fault(where, found, expected, "leave it out"))
    return row


def _too_deep(where: str) -> TableError:
    return TableError(_fault(where, "nested too deeply", "one object a run", "flatten it"))


# ---------------------------------------------------------------------------------------- Parquet


def _parquet(raw: bytes, name: str, digest: str) -> Imported:
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtraError.of("pyarrow", "parquet", f"read {name}") from None
    try:
        file = pq.ParquetFile(io.BytesIO(raw))
        size = file.metadata.num_rows * file.metadata.num_columns
        cells = file.read().to_pandas() if size <= MAX_VALUES else None
    except Exception as error:  # of many kinds, where bytes or metadata are damaged
        reason = clip(str(error).split("\n")[0])
        found, mend = f"damaged Parquet: {reason}", "write it again"
        raise TableError(_fault(name, found, "a whole file", mend)) from error
    if cells is None:
        found, expected = f"{size:.3g} values", f"at most {MAX_VALUES:.0e}"
        raise TableError(_fault(name, found, expected, "keep one row a run"))
    if not len(cells):
        raise TableError(_fault(name, "no rows", "one row a run"))
    if not isinstance(cells.index, pd.RangeIndex):
        cells = cells.reset_index(names=[str(n) for n in cells.index.names])
    cells.columns = [str(column).strip() for column in cells.columns]
    _unique(list(cells.columns), f"{name}: column ", listed(cells.columns))
    cells = cells.reset_index(drop=True)
    for column in cells:
        if cells[column].dtype == object:
            cells[column] = pd.Series([_plain(cell) for cell in cells[column]], dtype=object)
    return Imported(cells, np.arange(1, len(cells) + 1), name, None, digest)


def _plain(cell: Any) -> Any:
    """A list or a struct as text; other cells as they are."""
    cell = cell.tolist() if isinstance(cell, np.ndarray) else cell
    return str(cell) if isinstance(cell, list | dict | tuple | set) else cell
