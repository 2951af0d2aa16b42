"""Reading a table of runs: anybody's CSV, or a frame in memory, into the checked runs table."""

from __future__ import annotations

import hashlib
import io
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from scaling.errors import Fault, Message, TableError, clip
from scaling.runs.check import check_values
from scaling.runs.detect import resolve_columns
from scaling.runs.table import RunsTable


def read_table(
    source: str | Path,
    *,
    maps: Mapping[str, str] | None = None,
    convention: str | None = None,
    where: str | None = None,
    needs_loss: bool = True,
    curves: bool = False,
) -> RunsTable:
    """Read and check a file of runs.

    Parameters
    ----------
    source : str or Path
        CSV or TSV file, or ``"-"`` for standard input.
    maps : mapping, optional
        Expression of each canonical column that detection should not choose, for example
        ``{"N": 'source["Model Size"] * 1e9'}``.
    convention : str, optional
        What N counts, in the reader's words.
    where : str, optional
        Condition on rows; the others are kept but left out of fits.
    needs_loss : bool
        Whether a table without a loss is a fault; laws of something else need none.
    curves : bool
        Whether a run may have several rows, one for each point of its curve.

    Returns
    -------
    RunsTable

    Raises
    ------
    TableError
        All faults of the table at once, each with file, row and column.
    ConfigError
        If `maps` or `where` cannot be used.
    """
    raw, name = _read_bytes(source)
    text = _decode(raw, name)
    cells, rows = _parse(text, name)
    return _finish(
        cells,
        rows,
        name=name,
        sha256=hashlib.sha256(raw).hexdigest(),
        maps=maps,
        convention=convention,
        where=where,
        needs_loss=needs_loss,
        curves=curves,
    )


def from_frame(
    frame: pd.DataFrame,
    *,
    maps: Mapping[str, str] | None = None,
    convention: str | None = None,
    where: str | None = None,
    needs_loss: bool = True,
    curves: bool = False,
) -> RunsTable:
    """Check a frame in memory; the same rules and the same errors as for a file."""
    if not len(frame):
        raise TableError(Fault("SC101", "frame", "has no rows", "at least one run"))
    cells = frame.reset_index(drop=True)
    cells.columns = [str(name) for name in cells.columns]
    rows = np.arange(len(cells), dtype=np.int64)
    return _finish(
        cells,
        rows,
        name="frame",
        sha256=None,
        maps=maps,
        convention=convention,
        where=where,
        needs_loss=needs_loss,
        curves=curves,
    )


def _finish(
    cells: pd.DataFrame,
    rows: np.ndarray,
    *,
    name: str,
    sha256: str | None,
    maps: Mapping[str, str] | None,
    convention: str | None,
    where: str | None,
    needs_loss: bool,
    curves: bool,
) -> RunsTable:
    resolved = resolve_columns(cells, rows, name, maps or {})
    table = check_values(resolved, rows, name, convention, needs_loss, curves, where)
    if sha256 is not None:
        from dataclasses import replace

        table = replace(table, file=name, sha256=sha256)
    return table


def _read_bytes(source: str | Path) -> tuple[bytes, str]:
    if str(source) == "-":
        return sys.stdin.buffer.read(), "stdin"
    path = Path(source)
    try:
        return path.read_bytes(), path.name
    except OSError as error:
        raise TableError(
            Fault("SC005", str(source), f"cannot be read: {error.strerror}", "a CSV file of runs")
        ) from error


def _decode(raw: bytes, name: str) -> str:
    if not raw.strip():
        raise TableError(
            Fault(
                "SC101",
                name,
                "the file is empty",
                "a header line and one line per run",
                "write at least N, D, loss and one row",
            )
        )
    if b"\0" in raw[:65536]:
        raise TableError(
            Fault("SC101", name, "a binary file", "CSV or TSV text", "export it as CSV")
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise TableError(
            Fault(
                "SC101",
                f"{name}:{line}",
                f"byte 0x{raw[error.start]:02x} is not UTF-8",
                "UTF-8 text",
                "save the file as UTF-8",
            )
        ) from None


def _parse(text: str, name: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Split into cells, all text, with the line number of each row."""
    header = text.split("\n", 1)[0].rstrip("\r")
    delimiter = max(",\t;", key=header.count)
    faults = _ragged_rows(text, delimiter, name)
    if faults:
        raise TableError(faults)
    cells = pd.read_csv(
        io.StringIO(text),
        sep=delimiter,
        dtype=str,
        keep_default_na=False,
        header=None,
        skip_blank_lines=False,
        skipinitialspace=True,
        index_col=False,
    )
    names = [str(item).strip() for item in cells.iloc[0]]
    duplicated = sorted({item for item in names if names.count(item) > 1})
    if duplicated:
        raise TableError(
            Fault(
                "SC108",
                f"{name}:1",
                f'two columns are called "{clip(duplicated[0])}"',
                "one name a column",
                "rename one of them",
                excerpt=header,
            )
        )
    body = cells.iloc[1:].reset_index(drop=True)
    body.columns = names
    rows = np.arange(2, len(body) + 2, dtype=np.int64)
    blank = (body.fillna("") == "").all(axis=1).to_numpy()
    body, rows = body.loc[~blank].reset_index(drop=True), rows[~blank]
    if not len(body):
        raise TableError(
            Fault(
                "SC101",
                f"{name}:1",
                "a header but no rows",
                "one line per run",
                "add the runs below the header",
                header,
            )
        )
    return body, rows


def _ragged_rows(text: str, delimiter: str, name: str) -> list[Fault]:
    """Rows whose number of fields differs from the header's."""
    import csv

    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    faults: list[Fault] = []
    try:
        width = len(next(reader))
        for fields in reader:
            if fields and len(fields) != width:
                faults.append(
                    Fault(
                        "SC101",
                        f"{name}:{reader.line_num}",
                        f"{len(fields)} fields",
                        f"{width}, as in the header",
                        "quote fields that contain the delimiter",
                        delimiter.join(fields),
                    )
                )
    except csv.Error as error:
        reason = clip(str(error).split(" - ")[0])
        mend = "save the file as CSV with one line a row"
        faults.append(Fault("SC101", f"{name}:{reader.line_num}", reason, "CSV text", mend))
    return faults


def describe(table: RunsTable) -> list[str]:
    """Say in a few lines how the table was read."""
    lines = [f"{table.file or 'frame'}: {len(table)} rows, {int(table.used.sum())} used"]
    for role, reading in table.columns.items():
        shown = role in ("N", "D", "C", "loss", "budget", "group", "D_unique")
        if shown and table.frame[role].notna().any():
            extra = f"  {table.convention}" if role == "N" else ""
            unit = f"  [{reading.unit}]" if reading.unit else ""
            lines.append(f"  {role:<{8 if len(role) > 6 else 6}} {reading.source}{unit}{extra}")
    reasons: dict[tuple[str, str], list[int]] = {}
    for item in table.dropped:
        reasons.setdefault((item.code, item.why), []).append(item.row)
    for (code, why), rows in reasons.items():
        lines.append(f"  left out: {len(rows)} rows ({_ranges(rows)}), {why}  [{code}]")
    return lines


def _ranges(rows: list[int], limit: int = 6) -> str:
    """Write row numbers compactly: ``2-6, 9``."""
    runs: list[list[int]] = []
    for row in sorted(rows):
        if runs and row == runs[-1][1] + 1:
            runs[-1][1] = row
        else:
            runs.append([row, row])
    text = [str(p) if p == q else f"{p}-{q}" for p, q in runs[:limit]]
    return ", ".join(text) + (", …" if len(runs) > limit else "")


def note(code: str, text: str) -> Message:
    """Build an information message about how a table was read."""
    return Message(code, re.sub(r"\s+", " ", text), "info")
