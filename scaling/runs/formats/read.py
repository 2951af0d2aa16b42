"""Files of runs to cells: CSV, TSV, JSON, JSON lines and Parquet; nothing is understood yet."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import BinaryIO

from scaling.errors import Fault, TableError, clip
from scaling.runs.formats.columnar import read_parquet
from scaling.runs.formats.common import MAX_LINE, fault
from scaling.runs.formats.delimited import read_delimited
from scaling.runs.formats.documents import read_json, read_json_lines
from scaling.runs.importers.base import Imported

FORMATS = ("csv", "json", "jsonl", "parquet")
MAX_BYTES = 1024**3
MAX_JSON = 256 * 1024**2  # JSON may stand on one line
BOM = b"\xef\xbb\xbf"
_CHUNK = 65536
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
        return read_parquet(raw, name, digest)
    while raw.startswith(BOM):  # some exports write the mark twice
        raw = raw.removeprefix(BOM)
    text = _decode(raw, name)
    if kind == "json":
        return read_json(text, name, digest)
    if kind == "jsonl":
        return read_json_lines(text, name, digest)
    return read_delimited(raw, text, name, digest)


# ------------------------------------------------------------------------------------------ bytes


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
            raise TableError(fault(where, found, "one line a run", "save it as CSV"))
        lines += newlines
        if size > MAX_BYTES:
            found = f"more than {MAX_BYTES // 1024**3} GiB"
            raise TableError(fault(name, found, "a table of runs", "keep one row a run"))
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
        raise TableError(fault(name, "the file is empty", "a header line and a line a run", mend))
    for magic, (found, mend) in _BINARY.items():
        if raw.startswith(magic):
            raise TableError(fault(name, found, "text: CSV, TSV, JSON or JSON lines", mend))
    if b"\0" in raw:
        at = raw.index(b"\0")
        where = name if at < _CHUNK else f"{name}:{_line(raw, at)}"
        raise TableError(fault(where, "a binary file", "CSV or TSV text", "export it as CSV"))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        start = max(raw.rfind(mark, 0, error.start) for mark in (b"\n", b"\r")) + 1
        column = error.start - start + 1
        raise TableError(
            fault(
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
