"""The interface of importers: what they are asked, and what they give back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.errors import Message, clip


@dataclass(frozen=True)
class Imported:
    """What stood in a source, under the source's own names, before any column is understood.

    Attributes
    ----------
    cells : DataFrame
        One row a run. Values are text (empty where missing) or numbers (NaN where missing);
        trackers give ``run`` (unique), ``status`` and, last, one column a setting and one a metric
        (its last value).
    rows : ndarray of int
        Line or position of each row in the source, for messages; shape (n,).
    name : str
        The source in messages.
    curves : DataFrame or None
        One row for each point of a run's curve: ``run``, ``step``, then metrics under the names
        that they have in `cells`, NaN where a metric was not logged at that step.
    sha256 : str or None
        Of the file, where the source is one file.
    messages : tuple of Message
        What the importer had to decide.
    delimiter : str
        What separates the cells of a line, to show lines as they stand.
    is_frame : bool
        Whether this is a frame in memory, whose columns have no place on a screen.
    """

    cells: pd.DataFrame
    rows: NDArray[np.int64]
    name: str
    curves: pd.DataFrame | None = None
    sha256: str | None = None
    messages: tuple[Message, ...] = ()
    delimiter: str = ","
    is_frame: bool = False

    def place(self, i: int, header: str) -> str:
        """Name the cell of row `i` (from 0) as an editor finds it: ``file:row:column``."""
        shown = f'column "{clip(header, 30)}"'
        if self.sha256 is None and "run" in self.cells and not self.is_frame:
            return f'{self.name}: run "{clip(str(self.cells["run"].iloc[i]), 40)}"  {shown}'
        if header not in self.cells or self.is_frame:
            return f"{self.name}:{int(self.rows[i])}  {shown}"
        column = list(self.cells.columns).index(header) + 1
        return f"{self.name}:{int(self.rows[i])}:{column}  {shown}"

    def line(self, i: int) -> str:
        """Row `i` (from 0) about as it stands in the source."""
        return self.delimiter.join(self._written(i))

    def offset(self, i: int, header: str) -> int:
        """Where in `line` the cell of a column begins; -1 if the source has no such column."""
        headers = list(self.cells.columns)
        if header not in headers:
            return -1
        before = self._written(i)[: headers.index(header)]
        return sum(len(cell) + len(self.delimiter) for cell in before)

    def _written(self, i: int) -> list[str]:
        row = self.cells.iloc[i]
        cells = ("" if gone else str(cell) for cell, gone in zip(row, row.isna(), strict=True))
        return [f'"{c}"' if self.delimiter in c else c for c in cells]


class Importer(Protocol):
    """What reads one kind of source.

    Others add theirs under the entry-point group ``scaling.importers``; the entry's object has
    these three members, a module with two functions and a name being enough.

    Attributes
    ----------
    name : str
        As ``kind`` or ``--from`` says it.
    """

    name: str

    def recognises(self, path: Path) -> bool:
        """Whether `path` is a source of this kind: quick, without errors or heavy imports."""
        ...

    def read(self, path: Path) -> Imported:
        """Read the source.

        Raises
        ------
        TableError
            SC101 or SC005 if it is damaged or holds no run.
        MissingExtraError
            If the library that reads it is not installed.
        """
        ...
