"""The runs table: checked rows, how each column was read, and what was left out."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.errors import Message

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Reading:
    """How one canonical column was obtained.

    Attributes
    ----------
    source : str
        Header it came from, or the expression it was derived by.
    unit : str
        Unit of the values in the table.
    scale : float
        Factor that the source was multiplied by.
    header : str or None
        The source's header where one column was taken; None for expressions and what is derived.
    transform : {"", "ln"}
        What was done to the cells before they were scaled.
    convention : str
        What N counts, where the header says so.
    """

    source: str
    unit: str
    scale: float = 1.0
    header: str | None = None
    transform: str = ""
    convention: str = ""

    def as_dict(self) -> dict[str, str | float]:
        """Return the JSON form of ``table.columns``."""
        return {"source": self.source, "unit": self.unit, "scale": self.scale}


@dataclass(frozen=True)
class Dropped:
    """A row that does not enter fits, and why.

    Attributes
    ----------
    row : int
        Line of the file (the header is 1), or position in a frame (from 0).
    code : str
        Message code.
    why : str
        The reason in a few words.
    """

    row: int
    code: str
    why: str


@dataclass(frozen=True)
class RunsTable:
    """Runs with known columns. Frames in here are never mutated.

    Attributes
    ----------
    frame : DataFrame
        All rows, canonical names; the source's own columns keep their names behind them.
    rows : ndarray of int
        Line or position of each row, for messages.
    columns : mapping of str to Reading
        How each canonical column was obtained.
    used : ndarray of bool
        Rows that may enter fits.
    dropped : tuple of Dropped
        Rows that may not, with reasons.
    messages : tuple of Message
        What the reader must know.
    convention : str
        What N counts.
    file, sha256 : str or None
        Origin; None for a frame in memory.
    """

    frame: pd.DataFrame
    rows: NDArray[np.int64]
    columns: Mapping[str, Reading]
    used: NDArray[np.bool_]
    dropped: tuple[Dropped, ...] = ()
    messages: tuple[Message, ...] = ()
    convention: str = "not stated"
    file: str | None = None
    sha256: str | None = None
    source: Mapping[str, NDArray[Any]] = field(default_factory=dict, repr=False)

    @property
    def fit_frame(self) -> pd.DataFrame:
        """The rows that enter fits."""
        return self.frame.loc[self.used]

    @property
    def fit_rows(self) -> NDArray[np.int64]:
        """Line or position of each row of `fit_frame`."""
        return self.rows[self.used]

    def __len__(self) -> int:
        return len(self.frame)

    def leave_out(self, keep: NDArray[np.bool_], code: str, why: str) -> RunsTable:
        """Return the table with the used rows outside `keep` dropped for the reason given."""
        out = self.used & ~keep
        if not out.any():
            return self
        more = tuple(Dropped(int(row), code, why) for row in self.rows[out])
        return replace(self, used=self.used & keep, dropped=self.dropped + more)

    def as_dict(self) -> dict[str, Any]:
        """Return the ``table`` block of machine-readable output."""
        return {
            "file": self.file,
            "sha256": self.sha256,
            "rows": max(len(self), int(self.used.sum()) + len(self.dropped)),
            "used": int(self.used.sum()),
            "convention": self.convention,
            "columns": {name: reading.as_dict() for name, reading in self.columns.items()},
            "dropped": [vars(item) for item in self.dropped],
        }

    def column(self, name: str) -> NDArray[Any] | None:
        """Values of a column by its canonical name or by its name in the source; shape (n,)."""
        for canonical, reading in self.columns.items():
            if reading.header == name and name not in self.frame:
                return self.frame[canonical].to_numpy()
        if name in self.frame:
            return self.frame[name].to_numpy()
        return self.source.get(name)

    def environment(self) -> Mapping[str, Any]:
        """Values of every name that an expression over this table may use."""
        return environment(self.frame, self.source)


def environment(frame: pd.DataFrame, source: Mapping[str, NDArray[Any]]) -> Mapping[str, Any]:
    """Names of an expression: columns of the frame, then those of the source, and ``source``."""
    own: dict[str, Any] = {str(name): frame[name].to_numpy() for name in frame}
    # a ChainMap only reads its further maps
    return ChainMap(own | {"source": source}, source)  # type: ignore[arg-type]


def clusters(frame: pd.DataFrame) -> tuple[str, NDArray[np.int64]]:
    """Resolve the units that a bootstrap resamples.

    Rows that share a trunk share noise, so the trunk is the unit where it repeats; otherwise each
    row is its own.

    Returns
    -------
    name : str
        ``"trunk"`` or ``"row"``.
    labels : ndarray of int
        Cluster of each row, from 0.
    """
    if "trunk" in frame and frame["trunk"].notna().all() and frame["trunk"].duplicated().any():
        return "trunk", pd.factorize(frame["trunk"])[0].astype(np.int64)
    return "row", np.arange(len(frame), dtype=np.int64)


def curves_of(frame: pd.DataFrame) -> NDArray[np.int64]:
    """Which run each row is a point of, from 0; a row without a run's name is one by itself."""
    if "run" not in frame:
        return np.arange(len(frame), dtype=np.int64)
    names = frame["run"].astype("object").where(frame["run"].notna(), None)
    keys = [("", i) if name is None else (str(name), -1) for i, name in enumerate(names)]
    return pd.factorize(pd.Index(keys, tupleize_cols=False))[0].astype(np.int64)


def thinned(order: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Take at most so many members, evenly, with the first and the last."""
    if len(order) <= most:
        return order
    return order[np.unique(np.linspace(0, len(order) - 1, max(1, most)).round().astype(np.int64))]


def finished(table: RunsTable) -> RunsTable:
    """Leave out the points that a run passed before its last, so that each run counts once."""
    curve = curves_of(table.frame)
    if len(np.unique(curve)) == len(curve):
        return table
    order = next((c for c in ("D", "C", "steps") if c in table.frame), None)
    if order is None:
        return table
    reached = np.where(table.used, table.frame[order].to_numpy(dtype=np.float64), -np.inf)
    last = pd.Series(reached).groupby(curve).transform("max").to_numpy()
    return table.leave_out(reached == last, "SC120", "a point in mid-run")
