"""Tables in a layout that is known by its columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scaling.errors import Fault, TableError, listed
from scaling.runs.formats.read import read_cells
from scaling.runs.importers.base import Imported


def read_layout(path: Path, columns: Sequence[str]) -> Imported:
    """Read a table that must have certain columns.

    Raises
    ------
    TableError
        SC105 if it lacks one.
    """
    found = read_cells(path)
    missing = [column for column in columns if column not in found.cells]
    if missing:
        expected = f"the columns {', '.join(columns)}"
        mend = f"leave --from out; this table has {listed(map(str, found.cells))}"
        where = f"{found.name}:1"
        raise TableError(Fault("SC105", where, f"no column {missing[0]}", expected, mend))
    return found
