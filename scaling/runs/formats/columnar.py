"""Parquet, where pyarrow is installed."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd

from scaling.errors import MissingExtraError, TableError, clip, listed
from scaling.runs.formats.common import fault, unique
from scaling.runs.importers.base import Imported

MAX_VALUES = 10**8  # a small file may say one value a billion times


def read_parquet(raw: bytes, name: str, digest: str) -> Imported:
    """Read the cells of a Parquet file.

    Raises
    ------
    TableError
        SC101 if it is damaged or too large, SC108 for repeated names.
    MissingExtraError
        SC001 without pyarrow.
    """
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
        raise TableError(fault(name, found, "a whole file", mend)) from error
    if cells is None:
        found, expected = f"{size:.3g} values", f"at most {MAX_VALUES:.0e}"
        raise TableError(fault(name, found, expected, "keep one row a run"))
    if not len(cells):
        raise TableError(fault(name, "no rows", "one row a run"))
    if not isinstance(cells.index, pd.RangeIndex):
        cells = cells.reset_index(names=[str(n) for n in cells.index.names])
    cells.columns = [str(column).strip() for column in cells.columns]
    unique(list(cells.columns), f"{name}: column ", listed(cells.columns))
    cells = cells.reset_index(drop=True)
    for column in cells:
        if cells[column].dtype == object:
            cells[column] = pd.Series([_plain(cell) for cell in cells[column]], dtype=object)
    return Imported(cells, np.arange(1, len(cells) + 1), name, None, digest)


def _plain(cell: Any) -> Any:
    """A list or a struct as text; other cells as they are."""
    cell = cell.tolist() if isinstance(cell, np.ndarray) else cell
    return str(cell) if isinstance(cell, list | dict | tuple | set) else cell
