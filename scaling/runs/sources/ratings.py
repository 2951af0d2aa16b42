"""A world of users and items whose clicks or ratings have a lowest loss that is known exactly.

User u, who is shown item i at time t in [0, 1), has the score ::

    s = base + b_u + c_i + sum_j g_j x_uj(t) y_ij,    g_j = strength j^-spectrum / norm

with biases and factors that are normal, and norm such that the g_j^2 sum to strength^2. A click
has the probability 1/(1 + e^-s); a rating is s plus normal noise. Users and items are drawn
independently of each other and of the score, the one of rank r with a weight of r^-popularity.
Under drift, x_uj(t) = cos(drift t) x_uj + sin(drift t) x'_uj: tastes at t and t' have the
correlation cos(drift (t - t')), and their distribution stays the same.

The latent factors are those of matrix factorisation (Koren, Bell and Volinsky 2009, eq. 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.options import Option
from scaling.runs.sources.base import Arrays, Made

Reals = NDArray[np.float64]
MOST_RATINGS = 10**9
CHUNK = 2**16  # ratings whose factors are gathered at once
GRID = 1024.0  # ratings are multiples of 1/1024, so that rounding is the same on all machines


class World:
    """Users and items that were drawn."""

    name = "ratings"
    kind = "ratings"
    options = (
        Option("users", "integer", 2000, "users", low=2),
        Option("items", "integer", 1000, "items", low=2),
        Option("rank", "integer", 32, "latent factors", high=4096),
        Option("spectrum", "number", 1.0, "factor j is worth j^-spectrum", low=0, high=10),
        Option("strength", "number", 1.5, "standard deviation of what the factors say",
               low=0, high=100),
        Option("bias", "number", 0.5, "standard deviation of a user's and an item's bias",
               low=0, high=100),
        Option("base", "number", -1.0, "score without biases and factors", low=-100, high=100),
        Option("user_popularity", "number", 0.5, "a user of rank r has weight r^-this",
               low=0, high=10),
        Option("item_popularity", "number", 0.8, "an item of rank r has weight r^-this",
               low=0, high=10),
        Option("feedback", "choice", "clicks", "what is observed", choices=("clicks", "ratings")),
        Option("noise", "number", 0.5, "standard deviation of a rating about the score",
               low=0, high=100),
        Option("drift", "number", 0.0, "turn of tastes over all of time [radians]",
               low=0, high=100),
        Option("seed", "integer", 0, "seed of all that is drawn", low=0, high=2**32),
        Option("ratings", "integer", 2_000_000, "clicks or ratings to train on",
               low=20, high=MOST_RATINGS),
        Option("validation_ratings", "integer", 50_000, "those after them, held out",
               low=2, high=MOST_RATINGS),
    )  # fmt: skip

    def make(self, options: Mapping[str, Any], where: Path | None) -> Made:
        """Draw all in the order of time; the last are held out."""
        del where
        train, total = options["ratings"], options["ratings"] + options["validation_ratings"]
        shown = _shown(options, total)
        scores = truth(options, *shown)
        rng = np.random.default_rng([options["seed"], 3])
        clicks = options["feedback"] == "clicks"
        if clicks:
            observed = (rng.random(total) < probability(scores)).astype(np.float32)
        else:
            noisy = scores + options["noise"] * rng.standard_normal(total)
            observed = (np.round(noisy * GRID) / GRID).astype(np.float32)
        columns = dict(zip(("users", "items", "times"), shown, strict=True))
        columns["ratings"] = observed
        parts: list[Arrays] = [
            {name: column[piece] for name, column in columns.items()}
            for piece in (slice(0, train), slice(train, total))
        ]
        floor = lowest_loss(options, scores[train:])
        facts = {name: options[name] for name in ("users", "items")}
        said = _said(options, floor, parts)
        return Made(parts[0], parts[1], train, total - train, 0, said, floor, facts)


@dataclass(frozen=True)
class _Drawn:
    """Biases and factors: shapes (users,), (items,), (2, users, rank), (items, rank)."""

    user_bias: Reals
    item_bias: Reals
    tastes: Reals
    traits: Reals


def _drawn(options: Mapping[str, Any]) -> _Drawn:
    rng = np.random.default_rng([options["seed"], 1])
    users, items, rank = (options[name] for name in ("users", "items", "rank"))
    gains = np.arange(1, rank + 1) ** -float(options["spectrum"])
    gains *= options["strength"] / np.sqrt((gains**2).sum())
    return _Drawn(
        options["bias"] * rng.standard_normal(users),
        options["bias"] * rng.standard_normal(items),
        gains * rng.standard_normal((2, users, rank)),
        rng.standard_normal((items, rank)),
    )


def _shown(
    options: Mapping[str, Any], total: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], Reals]:
    """Users, items and times, in the order of time; each of shape (total,)."""
    rng = np.random.default_rng([options["seed"], 2])
    drawn = []
    for kind in ("user", "item"):
        weights = np.arange(1, options[f"{kind}s"] + 1) ** -float(options[f"{kind}_popularity"])
        edges = weights.cumsum() / weights.sum()
        ids = np.searchsorted(edges, rng.random(total), side="right")
        drawn.append(np.minimum(ids, len(weights) - 1).astype(np.int64))
    return drawn[0], drawn[1], np.sort(rng.random(total))


def truth(
    options: Mapping[str, Any], users: NDArray[np.int64], items: NDArray[np.int64], times: Reals
) -> Reals:
    """Score of each user, item and time: the log odds of a click, or the expected rating.

    Parameters
    ----------
    options : mapping
        All options of the source.
    users, items, times : ndarray, shape (n,)

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    world = _drawn(options)
    scores = options["base"] + world.user_bias[users] + world.item_bias[items]
    for start in range(0, len(users), CHUNK):
        piece = slice(start, start + CHUNK)
        u, traits = users[piece], world.traits[items[piece]]
        tastes = world.tastes[0][u]
        if options["drift"]:
            angle = options["drift"] * times[piece, None]
            tastes = np.cos(angle) * tastes + np.sin(angle) * world.tastes[1][u]
        scores[piece] += (tastes * traits).sum(axis=1)
    return np.asarray(scores)


def probability(scores: Reals) -> Reals:
    """Probability of a click at these log odds, same shape."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -scores)))


def lowest_loss(options: Mapping[str, Any], scores: Reals) -> float:
    """Lowest expected loss on examples with these scores.

    For clicks the mean of the binary entropies of the true probabilities [nats per example], which
    is exact: the expectation is over the clicks alone, given who is shown what and when. For
    ratings the variance of the noise [squared units of a rating]; rounding to 1/1024 adds 8e-8.
    A loss that was measured lies about it by the scatter of the held-out examples.
    """
    if options["feedback"] == "ratings":
        return float(options["noise"]) ** 2
    p = probability(scores)
    return float(np.mean(p * np.logaddexp(0.0, -scores) + (1 - p) * np.logaddexp(0.0, scores)))


def _said(options: Mapping[str, Any], floor: float, parts: list[Arrays]) -> str:
    users, items = options["users"], options["items"]
    seen = np.isin(parts[1]["users"], parts[0]["users"])
    seen &= np.isin(parts[1]["items"], parts[0]["items"])
    unit = "nats" if options["feedback"] == "clicks" else "squared error"
    drift = "; tastes drift, and a model that is not told the time cannot reach it"
    return (
        f"{options['feedback']} of {users} users on {items} items from {options['rank']} factors; "
        f"lowest loss {floor:.5f} ({unit}){drift * (options['drift'] > 0)}; "
        f"{int((~seen).sum())} held-out examples of users or items unknown in training"
    )


RATINGS = World()
