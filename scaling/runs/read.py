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
from scaling.runs.columns import COLUMNS
from scaling.runs.detect import ASKED, resolve_columns
from scaling.runs.findings.view import REMARK
from scaling.runs.importers.base import Imported
from scaling.runs.importers.registry import open_source
from scaling.runs.numbers import POINT, Dialect, row_ranges
from scaling.runs.table import Reading, RunsTable

ATTRS = "scaling"
_SHOWN = ("N", "D", "C", "loss", "budget", "group", "D_unique", "run", "seed", "steps")


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
        return _curves(found, how)
    needed = ASKED if how.needs_loss else tuple(role for role in ASKED if role != "loss")
    resolved = resolve_columns(found, how.maps, how.dialect, needed)
    table = check_values(
        resolved, how.convention, how.needs_loss, how.curves, how.where, how.final, how.group
    )
    return replace(table, file=found.name, sha256=found.sha256)


def _curves(found: Imported, how: How) -> RunsTable:
    """Read the curves that a source keeps beside its runs: the points that have a loss."""
    from scaling.runs.write import curve_frame

    final = replace(how, curves=False, where=None, needs_loss=False)
    points = curve_frame(checked(found, final), found)
    if points is None or "loss" not in points:
        return checked(replace(found, curves=None), how)
    points = points.loc[points["loss"].notna()].reset_index(drop=True)
    rows = np.arange(1, len(points) + 1)
    return checked(replace(found, cells=points, rows=rows, curves=None), replace(how, maps={}))


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
    maps: Mapping[str, str] | None = None,
    convention: str | None = None,
    where: str | None = None,
    needs_loss: bool = True,
    curves: bool = False,
    final: bool = False,
    group: str | None = None,
) -> RunsTable:
    """Check a frame in memory; the same rules and the same errors as for a file.

    A frame that `scaling.read` gave and that was not changed since keeps the name and the
    checksum of its file, how its columns were read, and what was told.
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
    origin = frame.attrs.get(ATTRS)
    whole = isinstance(origin, dict) and origin.get("digest") == digest_of(frame)
    rows = np.arange(len(cells), dtype=np.int64)
    name = "frame"
    if isinstance(origin, dict):
        name = str(origin.get("file")) if whole else f"frame (of {origin.get('file')}, changed)"
        if whole:
            rows = _expanded(origin["lines"])
    how = How(maps or {}, convention, where, needs_loss, curves, final, group=group)
    table = checked(Imported(cells, rows, name), how)
    table = table if isinstance(origin, dict) else replace(table, file=None)
    return _remembering(table, origin) if whole and isinstance(origin, dict) else table


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
    """Fingerprint of the values of the known columns, in their order."""
    import hashlib

    known = frame[[c for c in frame.columns if c in COLUMNS]]
    hashes = pd.util.hash_pandas_object(known, index=False).to_numpy()
    names = json.dumps([str(c) for c in known.columns])
    return hashlib.sha256(names.encode() + hashes.tobytes()).hexdigest()


def _remembering(table: RunsTable, origin: dict[str, Any]) -> RunsTable:
    columns = {
        name: Reading(item["source"], item["unit"], item["scale"])
        for name, item in origin["columns"].items()
        if name in table.columns
    }
    earlier = [Message.from_dict(item) for item in origin["messages"]]
    told = {m.code for m in earlier}
    fresh = [m for m in table.messages if m.code not in told and m.code != "SC114"]
    stated = table.convention if table.convention.endswith("not stated") else None
    return replace(
        table,
        columns={**table.columns, **columns},
        messages=(*earlier, *fresh),
        convention=origin["convention"] if stated else table.convention,
        file=origin["file"],
        sha256=origin["sha256"],
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
        if role in _SHOWN and table.frame[role].notna().any():
            scale = f" × {reading.scale:g}" if reading.scale != 1.0 else ""
            extra = f"  {table.convention}" if role == "N" else ""
            unit = f"  [{reading.unit}]" if reading.unit else ""
            width = 8 if len(role) > 6 else 6
            text = f"  {role:<{width}} {clip(reading.source, 60)}{scale}{unit}{extra}"
            lines += wrapped(text, " " * 9)
    read = " ".join(reading.source for reading in table.columns.values())
    rest = [
        clip(str(name), 24)
        for name in table.frame
        if name not in (*COLUMNS, REMARK) and str(name) not in read
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
