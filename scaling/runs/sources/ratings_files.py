"""Files of ratings in the three formats of MovieLens, told apart by their first line.

Each line is a rating: user, item, rating, time in seconds. ``u.data`` (100K) divides them by tabs,
``ratings.dat`` (1M, 10M) by ``::``, ``ratings.csv`` (20M, 25M, 32M) by commas, under a header.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault, clip, listed

FILES = ("u.data", "ratings.dat", "ratings.csv")  # looked for in a folder, in this order
COLUMNS = ("user", "item", "rating", "time")
SPELLINGS = {
    "user": ("userid", "user_id", "user"),
    "item": ("movieid", "itemid", "movie_id", "item_id", "movie", "item"),
    "rating": ("rating", "score"),
    "time": ("timestamp", "time"),
}
FETCH = "unpack one of the MovieLens archives, and name its ratings file or its folder"
MOST_ID = 2**62


@dataclass(frozen=True)
class Ratings:
    """Ratings as they stand in a file.

    Attributes
    ----------
    users, items : ndarray of int64, shape (n,)
        Ids of the file, not negative.
    ratings : ndarray of float32, shape (n,)
    times : ndarray of float64, shape (n,)
        Seconds.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    ratings: NDArray[np.float32]
    times: NDArray[np.float64]

    def taken(self, rows: NDArray[Any]) -> Ratings:
        """Return some of the rows, by number or by a mask."""
        return Ratings(self.users[rows], self.items[rows], self.ratings[rows], self.times[rows])


@dataclass(frozen=True)
class Layout:
    """How the lines of a file are divided.

    Attributes
    ----------
    separator : str
    places : tuple of int
        Where user, item, rating and time stand in a line.
    header : bool
        Whether the first line names them.
    """

    separator: str
    places: tuple[int, ...]
    header: bool


def found_in(where: Path | None) -> Path:
    """Return the ratings file that a path names, or that lies in the folder it names.

    Raises
    ------
    ConfigError
        SC330 if there is none.
    """
    if where is None:
        raise ConfigError(Fault("SC330", "[data] path", "names nothing", "a path", FETCH))
    if where.is_file():
        return where
    if not where.is_dir():
        raise ConfigError(Fault("SC330", str(where), "does not exist", "a file or folder", FETCH))
    for name in FILES:
        if (where / name).is_file():
            return where / name
    found = "holds no ratings file"
    raise ConfigError(Fault("SC330", str(where), found, listed(FILES), FETCH))


def read_ratings(path: Path, low: float, high: float) -> Ratings:
    """Read a file of ratings.

    Parameters
    ----------
    path : Path
    low, high : float
        Least and greatest rating there may be.

    Raises
    ------
    ConfigError
        SC330 for a file that is not in one of the formats, or has a line that is not, with that
        line; SC331 for a rating outside the range.
    """
    try:
        with path.open("rb") as file:
            first = file.readline(4096).decode("utf-8", "replace").strip()
    except OSError as error:
        found = f"cannot be read: {error.strerror or error}"
        raise ConfigError(Fault("SC330", str(path), found, "a file", FETCH)) from None
    layout = _layout(path, first)
    try:
        ratings = _parsed(path, layout)
        bad = _wrong(ratings, low, high)
    except (ValueError, OverflowError) as error:  # which line, the parser says badly or not at all
        bad, message = True, clip(str(error), 200)
    else:
        message = "a number that cannot be used"
    if bad:
        fault = _first_fault(path, layout, low, high)
        raise ConfigError(fault or Fault("SC330", str(path), message, _format(layout)))
    return ratings


def _layout(path: Path, first: str) -> Layout:
    """Tell the format by the first line."""
    if not first:
        raise ConfigError(Fault("SC330", str(path), "is empty", "a rating a line", FETCH))
    separators = [s for s in ("::", "\t", ",") if s in first]
    if not separators:
        expected = "user, item, rating and time, divided by tabs, :: or commas"
        fault = Fault("SC330", f"{path}:1", "is not a rating", expected, FETCH, _shown(first))
        raise ConfigError(fault)
    separator = separators[0]
    names = [cell.strip().strip('"').lower() for cell in first.split(separator)]
    if any(_number(name) is not None for name in names):
        if len(names) == len(COLUMNS):
            return Layout(separator, (0, 1, 2, 3), False)
        missing = " (no time?)" if len(names) == len(COLUMNS) - 1 else ""
        found = f"has {len(names)} columns{missing}"
        expected = "user, item, rating, time: the split is by time"
        raise ConfigError(Fault("SC330", f"{path}:1", found, expected, excerpt=_shown(first)))
    return Layout(separator, _named(path, first, names), True)


def _named(path: Path, first: str, names: Sequence[str]) -> tuple[int, ...]:
    places = []
    for column in COLUMNS:
        at = [names.index(name) for name in SPELLINGS[column] if name in names]
        if not at:
            expected = listed(SPELLINGS[column])
            found = f"the header has no column for the {column}"
            mend = "the split is by time: a file without it cannot be used" * (column == "time")
            fault = Fault("SC330", f"{path}:1", found, expected, mend, _shown(first))
            raise ConfigError(fault)
        places.append(at[0])
    return tuple(places)


def _format(layout: Layout) -> str:
    word = {"\t": "tabs", ",": "commas", "::": "::"}[layout.separator]
    names = [COLUMNS[layout.places.index(at)] for at in sorted(layout.places)]
    return f"{', '.join(names)}, divided by {word}; whole ids that are not negative"


def _parsed(path: Path, layout: Layout) -> Ratings:
    """Read all lines at once."""
    content: Path | io.BytesIO = path
    separator = layout.separator
    if separator == "::":  # the fast parser knows separators of one character only
        content, separator = io.BytesIO(path.read_bytes().replace(b"::", b":")), ":"
    kinds = dict(zip(layout.places, ("int64", "int64", "float64", "float64"), strict=True))
    table = pd.read_csv(
        content, sep=separator, header=None, skiprows=int(layout.header),
        usecols=sorted(layout.places), dtype=kinds, encoding_errors="replace",
    )  # fmt: skip
    columns = [table[place].to_numpy() for place in layout.places]
    return Ratings(columns[0], columns[1], columns[2].astype(np.float32), columns[3])


def _wrong(ratings: Ratings, low: float, high: float) -> bool:
    """Whether any value cannot be used; NaN is none that can."""
    inside = (ratings.ratings >= low) & (ratings.ratings <= high) & np.isfinite(ratings.times)
    inside &= (ratings.users >= 0) & (ratings.items >= 0)
    return not bool(inside.all())


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            yield number, line.decode("utf-8", "replace").rstrip("\r\n")


def _first_fault(path: Path, layout: Layout, low: float, high: float) -> Fault | None:
    """Find the first line that cannot be used; slow, and so only after something is known wrong."""
    for number, line in _lines(path):
        if (number == 1 and layout.header) or not line.strip():
            continue
        fault = _fault(line, layout, low, high)
        if fault is not None:
            code, found, expected, mark = fault
            place = f"{path}:{number}"
            return Fault(code, place, found, expected, excerpt=_shown(line), mark=mark)
    return None


def _fault(line: str, layout: Layout, low: float, high: float) -> tuple[str, str, str, str] | None:
    """Code, what is wrong, what was expected and where, of one line."""
    cells = line.split(layout.separator)
    if len(cells) <= max(layout.places):
        return "SC330", f"has {len(cells)} columns", _format(layout), ""
    texts = {column: cells[at] for column, at in zip(COLUMNS, layout.places, strict=True)}
    for column in ("user", "item"):
        text = texts[column].strip()
        if not (text.lstrip("+-").isdecimal() and text.isascii() and abs(int(text)) < MOST_ID):
            return "SC330", f"the {column} is no whole number", _format(layout), texts[column]
        if int(text) < 0:
            return "SC330", f"the id of the {column} is negative", _format(layout), texts[column]
    for column in ("rating", "time"):
        value = _number(texts[column])
        if value is None or not math.isfinite(value):
            return "SC330", f"the {column} is no number", _format(layout), texts[column]
    if not low <= np.float32(texts["rating"]) <= high:
        expected = f"from {low:g} to {high:g}, as options lowest and highest say"
        return "SC331", f"a rating of {clip(texts['rating'])}", expected, texts["rating"]
    if len(cells) > 4 and not layout.header:
        return "SC330", f"has {len(cells)} columns", _format(layout), ""
    return None


def _shown(line: str) -> str:
    return clip(line.replace("\t", "  "), 200)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
