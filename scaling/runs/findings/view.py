"""What finders look at, and the form of what they say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.errors import Message, Severity, clip, printable
from scaling.runs.numbers import row_ranges
from scaling.runs.table import RunsTable

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

MOST_ROWS = 1000  # listed with a finding
REMARK = "remark"  # the column in which findings about single rows are written


@dataclass(frozen=True)
class View:
    """A table under the eyes of the finders.

    Attributes
    ----------
    table : RunsTable
    group : str or None
        Column by which fits are split; the table's own ``group`` if None.
    """

    table: RunsTable
    group: str | None = None

    def numbers(self, column: str) -> Array:
        """Values of the used rows, NaN elsewhere and where they have no logarithm; shape (n,)."""
        frame = self.table.frame
        if column not in frame:
            return np.full(len(frame), np.nan)
        values = frame[column].to_numpy(dtype=np.float64)
        good = self.table.used & np.isfinite(values) & (values > 0)
        out: Array = np.where(good, values, np.nan)
        return out

    def own(self, column: str) -> bool:
        """Whether the source itself has the column, and it has values."""
        return (
            column in self.table.frame
            and not self.table.columns[column].source.startswith("=")
            and not bool(np.isnan(self.numbers(column)).all())
        )

    def labels(self) -> NDArray[np.int64]:
        """Group of each row, from 0; all 0 without a group."""
        if self.group is not None:
            values = self.table.column(self.group)
        else:
            values = self.table.column("group") if "group" in self.table.frame else None
        if values is None:
            return np.zeros(len(self.table), dtype=np.int64)
        return pd.factorize(pd.Series(values).astype(str))[0].astype(np.int64)

    def map(self, column: str, form: str) -> str:
        """Write the --map that changes how a column is read."""
        reading = self.table.columns[column]
        if reading.source == "= budget":
            reading = self.table.columns["budget"]
        header = reading.header or column
        inner = f'source["{printable(header)}"]'
        return f"--map '{column}={form.format(inner)}'"

    def say(
        self,
        code: str,
        text: str,
        rows: Mask | None = None,
        mend: str = "",
        severity: Severity = "warning",
    ) -> Message:
        """Form a message; `rows` is a mask of the table."""
        listed = () if rows is None else tuple(map(int, self.table.rows[rows][:MOST_ROWS]))
        shown = f" (row{'s' * (len(listed) > 1)} {row_ranges(listed)})" if listed else ""
        end = "?" if text.endswith("?") else "."
        return Message(code, text.rstrip("?") + shown + end, severity, listed, mend)


def quoted(name: str) -> str:
    """Write a column's name as an option takes it."""
    return name if name.isidentifier() else f'"{printable(name)}"'


def in_expression(name: str) -> str:
    """Write a column's name as an expression takes it."""
    return name if name.isidentifier() else f'source["{printable(name)}"]'


def few(values: list[str]) -> str:
    """The first four of some texts, and how many more there are."""
    shown = ", ".join(clip(value, 24) for value in values[:4])
    return shown + (f" and {len(values) - 4} more" if len(values) > 4 else "")


def distinct(cells: object) -> list[str]:
    """The different texts of an array of cells, missing ones left out."""
    series = pd.Series(cells)
    return sorted(map(str, series[series.notna()].unique()))
