"""Ratings in the formats of MovieLens (Harper and Konstan 2015), split by time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault, counted
from scaling.options import Option
from scaling.runs.sources.base import PATH, Arrays, Made
from scaling.runs.sources.ratings_files import Ratings, found_in, read_ratings

FEWEST, FEWEST_HELD_OUT = 20, 2  # ratings without which nothing can be trained or measured


class MovieLens:
    """Ratings from a file."""

    name = "movielens"
    kind = "ratings"
    options = (
        Option(PATH, "text", None, "a ratings file in a MovieLens format, or its folder"),
        Option("validation_share", "number", 0.1, "latest share, held out", low=1e-4, high=0.9),
        Option(
            "unknown", "choice", "drop",
            "held-out ratings of users or items that training lacks: left out, or kept as unknown",
            choices=("drop", "keep"),
        ),
        Option("least", "integer", 1, "training ratings below which a user or item is unknown"),
        Option("lowest", "number", 0.0, "least rating there may be", low=-1e6, high=1e6),
        Option("highest", "number", 5.0, "greatest rating there may be", low=-1e6, high=1e6),
    )  # fmt: skip

    def make(self, options: Mapping[str, Any], where: Path | None) -> Made:
        """Read the file, split it by time and number its users and items."""
        path = found_in(where)
        low, high = options["lowest"], options["highest"]
        if low > high:
            raise ConfigError(
                Fault("SC012", "[data] options lowest", f"{low:g}", f"at most highest = {high:g}")
            )
        every = _in_time(read_ratings(path, low, high))
        kept = every.taken(_latest_of_pairs(every))
        cut = split_time(kept.times, options["validation_share"])
        if cut is None:
            raise _too_few(path, len(kept.times), 0)
        late = kept.times >= cut
        train, held_out = kept.taken(~late), kept.taken(late)
        world = _numbered(train, held_out, options["least"], options["unknown"] == "keep")
        if len(world.train.users) < FEWEST or len(world.held_out.users) < FEWEST_HELD_OUT:
            raise _too_few(path, len(world.train.users), len(world.held_out.users))
        repeated = len(every.times) - len(kept.times)
        detail = f"{path.name}, {world.detail}; {counted(repeated, 'earlier rating')} of the "
        detail += f"same user and item left out; held out from time {cut:.15g} on"
        parts = _arrays(world.train), _arrays(world.held_out)
        sizes = len(world.train.users), len(world.held_out.users)
        facts = {"users": world.users, "items": world.items}
        return Made(*parts, *sizes, 0, detail, facts=facts)


@dataclass(frozen=True)
class _World:
    """Both parts with ids from 0, and how many of each there are."""

    train: Ratings
    held_out: Ratings
    users: int
    items: int
    detail: str


def _in_time(ratings: Ratings) -> Ratings:
    """In the order of time; the order of the file decides nothing."""
    return ratings.taken(np.lexsort((ratings.ratings, ratings.items, ratings.users, ratings.times)))


def _latest_of_pairs(ratings: Ratings) -> NDArray[np.int64]:
    """Rows, in order, that are the last of their user and item."""
    users = np.unique(ratings.users, return_inverse=True)[1]
    ids, items = np.unique(ratings.items, return_inverse=True)
    pairs = (users * len(ids) + items)[::-1]
    rows = len(pairs) - 1 - np.unique(pairs, return_index=True)[1]
    return np.sort(rows).astype(np.int64)


def split_time(times: NDArray[np.float64], share: float) -> float | None:
    """Time from which ratings are held out: all of that time or later, none before.

    Parameters
    ----------
    times : ndarray, shape (n,)
        In order.
    share : float
        Share to be held out; what is at the cut itself is held out too, so it may be more, and
        less where that would leave nothing to train on.

    Returns
    -------
    float or None
        None if all times are the same, or there are none.
    """
    if not len(times) or times[0] == times[-1]:
        return None
    at = min(max(int(len(times) * (1.0 - share)), 0), len(times) - 1)
    first_later = times[np.searchsorted(times, times[0], side="right")]
    return float(max(times[at], first_later))


def _numbered(train: Ratings, held_out: Ratings, least: int, keep: bool) -> _World:
    """Number users and items from 0; those that training lacks are left out or share one row."""
    lone = int((np.unique(train.users, return_counts=True)[1] == 1).sum())
    known = [_frequent(ids, least) for ids in (train.users, train.items)]
    rare = len(train.users)
    if not keep:
        both = np.isin(train.users, known[0]) & np.isin(train.items, known[1])
        train = train.taken(both)
        known = [np.unique(train.users), np.unique(train.items)]
    rare -= len(train.users)
    strangers = [
        ~np.isin(ids, there)
        for ids, there in zip((held_out.users, held_out.items), known, strict=True)
    ]
    strange = strangers[0] | strangers[1]
    if not keep:
        held_out = held_out.taken(~strange)
    users, items = (len(there) + keep for there in known)
    train, held_out = (
        Ratings(_index(p.users, known[0]), _index(p.items, known[1]), p.ratings, p.times)
        for p in (train, held_out)
    )
    fate = "kept as unknown" if keep else "left out"
    detail = f"{users} users ({counted(lone, 'user')} with one training rating) and "
    detail += f"{items} items; {int(strange.sum())} held-out ratings of users or items "
    detail += f"unknown in training ({int(strangers[0].sum())} and {int(strangers[1].sum())}) "
    detail += fate
    if rare:
        detail += f"; {rare} training ratings below least = {least} left out"
    return _World(train, held_out, users, items, detail)


def _frequent(ids: NDArray[np.int64], least: int) -> NDArray[np.int64]:
    found, counts = np.unique(ids, return_counts=True)
    return found[counts >= least]


def _index(ids: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of each id among those `known`; the next number for all others."""
    at = np.searchsorted(known, ids)
    there = at < len(known)
    there[there] = known[at[there]] == ids[there]
    return np.where(there, at, len(known)).astype(np.int64)


def _arrays(part: Ratings) -> Arrays:
    return {"users": part.users, "items": part.items, "ratings": part.ratings, "times": part.times}


def _too_few(path: Path, train: int, held_out: int) -> ConfigError:
    found = f"leaves {train} ratings for training and {held_out} to be held out"
    expected = f"at least {FEWEST} and {FEWEST_HELD_OUT}, at different times"
    mend = 'another validation_share, a smaller least, unknown = "keep", or more ratings'
    return ConfigError(Fault("SC330", str(path), found, expected, mend))


MOVIELENS = MovieLens()
