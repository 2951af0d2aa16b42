"""From a wanted number of parameters to the shape of a family that comes nearest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling.count.family import Family


@dataclass(frozen=True, eq=False)
class Sizes:
    """All sizes of a family under its options, in order of growing N.

    Attributes
    ----------
    dials : tuple of int
    N : int64 array, read-only
        Parameters of each, strictly growing.
    """

    dials: tuple[int, ...]
    N: NDArray[np.int64]


@dataclass(frozen=True)
class Size:
    """One realisable size: its N, the dial and the shape."""

    N: int
    dial: int
    shape: Mapping[str, int]


def sizes(family: Family, options: Mapping[str, Any]) -> Sizes:
    """Return every size of a family; counted once for each set of options.

    Raises
    ------
    ConfigError
        SC011 or SC012 for options that the family does not take.
    """
    family.dial(options)  # checks the options, of which the cache takes only good ones
    return _sizes(family, tuple(sorted(options.items())))


@lru_cache(maxsize=64)
def _sizes(family: Family, items: tuple[tuple[str, Any], ...]) -> Sizes:
    options = dict(items)
    dials = tuple(family.dial(options))
    counted = [family.counts(family.shape(dial, options)).N for dial in dials]
    # Options such as shared heads may make a wider model smaller: the order is that of N.
    found, first = np.unique(np.array(counted, dtype=np.int64), return_index=True)
    found.flags.writeable = False
    return Sizes(tuple(dials[i] for i in first), found)


def solve(
    family: Family,
    targets: ArrayLike,
    options: Mapping[str, Any],
    tolerance: float | None = None,
) -> NDArray[np.int64]:
    """Find the size nearest to each target, in the logarithm or within a tolerance.

    Parameters
    ----------
    family : Family
    targets : array of float, shape (...)
        Wanted N [count].
    options : mapping
        Of the family.
    tolerance : float, optional
        Take the size that is off by the smallest fraction of the target, and refuse it if that is
        more than this. Without it, take the nearest in the logarithm, and refuse targets beyond
        the ends of the dial by more than half a step.

    Returns
    -------
    int64 array, shape (...)
        Indices into the dial; -1 where the target is refused, or is no positive number. Half way
        between two sizes it is the smaller one.
    """
    wanted = np.asarray(targets, dtype=np.float64)
    found = sizes(family, options).N.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        above = np.clip(np.searchsorted(found, wanted), 0, len(found) - 1)
        below = np.maximum(above - 1, 0)
        lower, upper = found[below], found[above]
        if tolerance is None:
            nearest = np.where(wanted / lower <= upper / wanted, below, above)
            first, last = _ends(found)
            good = (first <= wanted) & (wanted <= last)
        else:
            nearest = np.where(wanted - lower <= upper - wanted, below, above)
            good = np.abs(found[nearest] / wanted - 1) <= tolerance
    return np.where(good & (wanted > 0), nearest, -1).astype(np.int64)


def _ends(found: NDArray[np.float64]) -> tuple[float, float]:
    """Half a step beyond the first and the last size; a single size has no step."""
    if len(found) == 1:
        return float(found[0]), float(found[0])
    first = found[0] * (found[0] / found[1]) ** 0.5
    last = found[-1] * (found[-1] / found[-2]) ** 0.5
    return float(first), float(last)


def solve_dial(family: Family, target: float, options: Mapping[str, Any]) -> int | None:
    """Return the dial whose N is nearest to `target`, or None; `solve` for one target."""
    index = int(solve(family, target, options))
    return None if index < 0 else sizes(family, options).dials[index]


def nearest(family: Family, target: float, options: Mapping[str, Any]) -> tuple[Size, ...]:
    """Return the realisable sizes next to `target`, the smaller one first.

    Returns
    -------
    tuple of Size
        The largest N up to `target` and the smallest above it; one of them alone beyond an end.
    """
    table = sizes(family, options)
    above = int(np.searchsorted(table.N, target, side="right"))
    around = [i for i in (above - 1, above) if 0 <= i < len(table.dials)]
    return tuple(
        Size(int(table.N[i]), table.dials[i], family.shape(table.dials[i], options)) for i in around
    )
