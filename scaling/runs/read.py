"""Reading runs from anywhere, a file, a tracker or a frame, into the checked runs table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scaling.errors import ConfigError, Fault, Message, TableError, clip, wrapped
from scaling.runs.check import check_values
from scaling.runs.columns import COLUMNS, OF_A_RUN
from scaling.runs.curves import points_of
from scaling.runs.detect import ASKED, resolve_columns
from scaling.runs.findings.view import REMARK
from scaling.runs.importers.base import Imported
from scaling.runs.importers.registry import open_source
from scaling.runs.numbers import POINT, Dialect, row_ranges
from scaling.runs.table import Dropped, Reading, RunsTable

ATTRS = "scaling"
_SHOWN = ("N", "D", "C", "loss", "budget", "group", "D_unique", "run", "seed", "steps")
_SHOWN_IF_RENAMED = ("epochs", "batch", "lr", "status")


@dataclass(frozen=True)
class How:
    """How a source is to be read.

    Attributes
    ----------
    maps : mapping
        Expression of each canonical column that detection should not choose, for example
        ``{"N": 'source["Model Size"] * 1e9'}``.
    convention : str or None
        What N counts, in the reader's words.
    where : str or None
        Condition on rows; the others are kept but left out of fits.
    needs_loss : bool
        Whether a table without a loss is a fault; laws of something else need none.
    curves : bool
        Whether a run may have several rows, one for each point of its curve.
    final : bool
        Whether only the last row of each run enters fits.
    dialect : Dialect
        How numbers are written.
    kind : str or None
        Format of the file, or name of the importer; by its content if None.
    melt : tuple of str or None
        Two columns: headers that are numbers become the first, their cells the second.
    group : str or None
        Column by which fits will be split, so that findings look within it.
    trusted : bool
        Whether canonical names are known to say what they mean, as in a frame that was read.
    """

    maps: Mapping[str, str] = field(default_factory=dict)
    convention: str | None = None
    where: str | None = None
    needs_loss: bool = True
    curves: bool = False
    final: bool = False
    dialect: Dialect = POINT
    kind: str | None = None
    melt: tuple[str, str] | None = None
    group: str | None = None
    trusted: bool = False


def read_table(
    source: str | Path,
    *,
    maps: Mapping[str, str] | None = None,
    convention: str | None = None,
    where: str | None = None,
    needs_loss: bool = True,
    curves: bool = False,
    final: bool = False,
    dialect: Dialect = POINT,
    kind: str | None = None,
    melt: tuple[str, str] | None = None,
    group: str | None = None,
) -> RunsTable:
    """Read and check runs.

    Parameters
    ----------
    source : str or Path
        CSV, TSV, JSON, JSON lines or Parquet; ``"-"`` for standard input; or what an importer
        recognises: a tracker's folder or database, a study's folder.
    maps, convention, where, needs_loss, curves, final, dialect, kind, melt, group
        See `How`.

    Returns
    -------
    RunsTable

    Raises
    ------
    TableError
        All faults of the table at once, each with file, row and column.
    AmbiguousColumns
        A TableError: SC110, several columns could play one role.
    ConfigError
        If `maps` or `where` cannot be used.
    """
    how = How(maps or {}, convention, where, needs_loss, curves, final, dialect, kind, melt, group)
    return checked(open_source(source, kind), how)


def checked(found: Imported, how: How) -> RunsTable:
    """Understand and check what was found in a source."""
    if how.melt is not None:
        found = melted(found, *how.melt)
    if how.curves and found.curves is not None:
        found = points_of(found)
    needed = ASKED if how.needs_loss else tuple(role for role in ASKED if role != "loss")
    resolved = resolve_columns(found, how.maps, how.dialect, needed, how.trusted)
    table = check_values(
        resolved, how.convention, how.needs_loss, how.curves, how.where, how.final, how.group
    )
    return replace(table, file=found.name, sha256=found.sha256)


def melted(found: Imported, x: str, y: str) -> Imported:
    """Turn a wide table into a long one: a row for each cell under a header that is a number.

    Raises
    ------
    ConfigError
        SC004 if no header is a number, or a column of that name exists.
    """
    cells = found.cells
    wide = [header for header in cells.columns if _number(header) is not None]
    if not wide:
        expected = "columns whose names are numbers, such as 200, 400, 800"
        raise ConfigError(Fault("SC004", "--melt", f"{found.name} has none", expected))
    for name in (x, y):
        if name in cells:
            raise ConfigError(Fault("SC004", "--melt", f'"{name}" is a column', "a new name"))
    kept = [header for header in cells.columns if header not in wide]
    repeat = np.repeat(np.arange(len(cells)), len(wide))
    long = cells[kept].iloc[repeat].reset_index(drop=True)
    long[x] = pd.Series(np.tile(np.array(wide, dtype=object), len(cells)), dtype=object)
    values = cells[wide].to_numpy(dtype=object).reshape(-1)
    long[y] = pd.Series(values, dtype=object)
    text = f"Wide table: {len(wide)} columns became {x}, their cells {y}."
    message = Message("SC121", text, "info")
    return replace(found, cells=long, rows=found.rows[repeat], messages=(*found.messages, message))


def _number(header: str) -> float | None:
    try:
        return float(header)
    except ValueError:
        return None


# ------------------------------------------------------------------------------------------ frames


def from_frame(
    frame: pd.DataFrame,
    *,
    convention: str | None = None,
    where: str | None = None,
    needs_loss: bool = True,
    curves: bool = False,
    group: str | None = None,
) -> RunsTable:
    """Check a frame in memory; the same rules and the same errors as for a file.

    A frame that `scaling.read` gave keeps how its columns were read; if it was not changed since,
    also the name and the checksum of its file, and the rows that were left out.
    """
    if not len(frame):
        raise TableError(Fault("SC101", "frame", "has no rows", "at least one run"))
    cells = frame.reset_index(drop=True)
    cells.columns = [str(name) for name in cells.columns]
    repeated = cells.columns[cells.columns.duplicated()]
    if len(repeated):
        found = f'two columns are called "{clip(repeated[0])}"'
        raise TableError(Fault("SC108", "frame", found, "one name a column", "rename one of them"))
    for header in (h for h in cells.columns if pd.api.types.is_object_dtype(cells[h])):
        if Decimal in set(map(type, cells[header])):  # some of which cannot be compared
            exact = [str(cell) if isinstance(cell, Decimal) else cell for cell in cells[header]]
            cells[header] = pd.Series(exact, dtype=object)
    origin = _origin(frame)
    whole = origin is not None and origin["digest"] == digest_of(frame)
    rows = np.arange(len(cells), dtype=np.int64)
    name = "frame"
    if origin is not None:
        name = str(origin["file"]) if whole else f"frame (of {origin['file']}, changed)"
        rows = _expanded(origin["lines"]) if whole else rows
    read = origin is not None
    how = How({}, convention, where, needs_loss, curves, group=group, trusted=read)
    table = checked(Imported(cells, rows, name, is_frame=True), how)
    if origin is None:
        return replace(table, file=None)
    return _remembering(table, origin, whole)


def _origin(frame: pd.DataFrame) -> dict[str, Any] | None:
    """What `frame_of` noted, if anything; other programs may use the same key."""
    origin = frame.attrs.get(ATTRS)
    needed = {"file", "sha256", "convention", "columns", "messages", "dropped", "lines", "digest"}
    return origin if isinstance(origin, dict) and needed <= set(origin) else None


def frame_of(table: RunsTable) -> pd.DataFrame:
    """Return the usable rows of a table as a frame that remembers how it was read."""
    frame = table.fit_frame.copy()
    frame.attrs[ATTRS] = {
        "file": table.file,
        "sha256": table.sha256,
        "convention": table.convention,
        "columns": {name: reading.as_dict() for name, reading in table.columns.items()},
        "messages": [m.as_dict() for m in table.messages],
        "dropped": [vars(item) for item in table.dropped[:10_000]],
        "lines": _ranges(table.fit_rows),
        "digest": digest_of(frame),
    }
    return frame


def digest_of(frame: pd.DataFrame) -> str:
    """Fingerprint of all columns and rows, in their order; what no text can say is left out."""
    import hashlib

    plain = frame.copy(deep=False)
    for header in plain.columns:
        mixed = pd.api.types.is_object_dtype(plain[header])
        if mixed and set(map(type, plain[header])) - {str, type(None)}:  # what cannot be hashed
            plain[header] = plain[header].map(str)
    hashes = pd.util.hash_pandas_object(plain, index=False).to_numpy()
    names = json.dumps([str(c) for c in plain.columns])
    return hashlib.sha256(names.encode() + hashes.tobytes()).hexdigest()


# What was told of how a source was read; findings about its rows are made anew.
_OF_READING = ("SC110", "SC111", "SC112", "SC114", "SC121", "SC126", "SC127", "SC140", "SC141",
               "SC142", "SC143", "SC144")  # fmt: skip


def _remembering(table: RunsTable, origin: dict[str, Any], whole: bool) -> RunsTable:
    """Put back how the columns of a frame were read, and of which file it is if unchanged."""
    columns = {
        name: Reading(item["source"], item["unit"], item["scale"])
        for name, item in origin["columns"].items()
        if name in table.columns
    }
    earlier = [Message.from_dict(item) for item in origin["messages"]]
    earlier = [m for m in earlier if m.code in _OF_READING]
    fresh = [m for m in table.messages if m.code not in _OF_READING]
    named = table.convention.endswith("not stated") or table.convention == "no N"
    changed = replace(
        table,
        columns={**table.columns, **columns},
        messages=(*earlier, *fresh),
        convention=origin["convention"] if named else table.convention,
    )
    if not whole:
        return replace(changed, sha256=None)
    before = tuple(Dropped(**item) for item in origin["dropped"])
    return replace(
        changed, file=origin["file"], sha256=origin["sha256"], dropped=(*before, *table.dropped)
    )


def _ranges(rows: np.ndarray) -> list[list[int]]:
    """Rows as ``[first, last]`` pairs, which JSON and `DataFrame.attrs` can hold."""
    breaks = np.flatnonzero(np.diff(rows) != 1)
    starts = np.concatenate([[0], breaks + 1]) if len(rows) else np.array([], dtype=np.int64)
    ends = np.concatenate([breaks, [len(rows) - 1]]) if len(rows) else starts
    return [[int(rows[p]), int(rows[q])] for p, q in zip(starts, ends, strict=True)]


def _expanded(ranges: list[list[int]]) -> np.ndarray:
    return np.concatenate([np.arange(p, q + 1, dtype=np.int64) for p, q in ranges])


# ------------------------------------------------------------------------------------------- words


def describe(table: RunsTable) -> list[str]:
    """Say in a few lines how the table was read."""
    total = f"{len(table)} row{'' if len(table) == 1 else 's'}"
    lines = [f"{table.file or 'frame'}: {total}, {int(table.used.sum())} used"]
    for role, reading in table.columns.items():
        renamed = role in _SHOWN_IF_RENAMED and reading.header != role
        if (role in _SHOWN or renamed) and table.frame[role].notna().any():
            scale = f" × {reading.scale:g}" if reading.scale != 1.0 else ""
            extra = f"  {table.convention}" if role == "N" else ""
            unit = f"  [{reading.unit}]" if reading.unit else ""
            width = 8 if len(role) > 6 else 6
            text = f"  {role:<{width}} {clip(reading.source, 60)}{scale}{unit}{extra}"
            lines += wrapped(text, " " * 9)
    taken = {reading.header for reading in table.columns.values()}
    rest = [
        clip(str(name), 24)
        for name in table.frame
        if name not in (*COLUMNS, *OF_A_RUN, REMARK) and name not in taken
    ]
    if rest:
        more = f" and {len(rest) - 6} more" if len(rest) > 6 else ""
        lines += wrapped(f"  no role: {', '.join(rest[:6])}{more}", "    ")
    reasons: dict[tuple[str, str], list[int]] = {}
    for item in table.dropped:
        reasons.setdefault((item.code, item.why), []).append(item.row)
    for (code, why), rows in reasons.items():
        count = f"{len(rows)} row{'' if len(rows) == 1 else 's'}"
        lines += wrapped(f"  left out: {count} ({row_ranges(rows)}), {why}  [{code}]", "    ")
    return lines
