"""The source's own columns, for conditions and for what has no role."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.runs.detect import UNREAD
from scaling.runs.numbers import Dialect, numbers_or_none, texts_of


class LazyColumns(Mapping[str, NDArray[Any]]):
    """The source's own columns, as numbers where every filled cell is one; made when asked for."""

    def __init__(self, cells: pd.DataFrame, dialect: Dialect) -> None:
        self._cells, self._dialect = cells, dialect
        self._made: dict[str, NDArray[Any]] = {}

    def __getitem__(self, header: str) -> NDArray[Any]:
        if header not in self._cells:
            header = header.removeprefix(UNREAD)
        if header not in self._made:
            if header not in self._cells:
                raise KeyError(header)
            self._made[header] = self._best(header)
        return self._made[header]

    def __iter__(self) -> Iterator[str]:
        return iter(map(str, self._cells.columns))

    def __len__(self) -> int:
        return self._cells.shape[1]

    def _best(self, header: str) -> NDArray[Any]:
        values = self._cells[header]
        if pd.api.types.is_bool_dtype(values):
            cells = values.astype(object)
            return cells.where(cells.notna(), None).to_numpy()
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_complex_dtype(values):
            return values.to_numpy(dtype=np.float64, na_value=np.nan)
        numbers = numbers_or_none(values, self._dialect)
        if numbers is None:
            return np.array([t or None for t in texts_of(values)], dtype=object)
        spelled = np.isinf(numbers)
        if spelled.any():  # a written NaN or infinity of a column that has no role
            written = [t.lower().lstrip("+-") for t in texts_of(values)]
            numbers[[t == "nan" for t in written]] = np.nan
        return numbers
