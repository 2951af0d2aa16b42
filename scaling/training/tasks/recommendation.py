"""Recommendation: clicks or ratings of users on items, trained on the past, measured on the later.

An example is a pair of user and item with what was observed. The data are in the order of time and
the last are held out; within the training period examples come shuffled, or in the order of time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from scaling import count
from scaling.runs.files import canonical_json
from scaling.runs.labels import base_of, labels_of
from scaling.runs.manifest import arrays
from scaling.training.models.registry import build
from scaling.training.tasks.base import Batch, Point, Task, seed_of
from scaling.training.tasks.order import Stream
from scaling.training.tasks.text import full

NEGATIVES, HELD_OUT = 7, 11  # streams of random numbers, apart from that of the order
AT_ONCE = 16_384
KEPT = 4  # sets of data that stay in memory


@dataclass(frozen=True)
class Pairs:
    """Examples on the device.

    Attributes
    ----------
    users, items : Tensor
        Row numbers, int64, shape (n,).
    labels : Tensor
        1 for a positive and 0 for others, or the rating; float32, shape (n,).
    """

    users: Tensor
    items: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def taken(self, which: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return some examples as a batch."""
        return self.users[which], self.items[which], self.labels[which]


@dataclass(frozen=True)
class Period:
    """The data of a point.

    Attributes
    ----------
    train, held_out : Pairs
        The held-out part with its negatives, which are the same for every point.
    pool : ndarray of int64
        Items that negatives are drawn from: each that occurs in training once, or as often as it
        does.
    base : float
        Mean label that training sees: a share of positives, or a mean rating.
    """

    train: Pairs
    held_out: Pairs
    pool: NDArray[np.int64]
    base: float


class Recommendation(Task):
    """Clicks (nats per example) or ratings (squared error) for one point.

    Options
    -------
    target : {"implicit", "rating"}
        Binary cross-entropy on whether, or squared error on how much.
    positive : float
        Ratings from which on an example is a positive.
    negatives : int
        k: every example of a batch has, with the probability k/(k + 1), its item replaced by one
        that is drawn, and is then a negative. Each held-out example has k of its own. 0 if the data
        hold both, as clicks do.
    drawn : {"uniform", "popular"}
        Whether negatives are drawn from all items that occur in training, or as often as they do.
    order : {"shuffled", "time"}
        Of the training period; in the order of time a shorter run ends earlier.
    """

    at_once = AT_ONCE

    @property
    def loss_unit(self) -> str:  # type: ignore[override]
        """Unit of the loss."""
        return "nats per example" if self.implicit else "squared error"

    def __init__(self, point: Point, device: torch.device, folder: Path | None = None) -> None:
        super().__init__(point, device, folder)
        self.implicit = self.options["target"] == "implicit"
        self.negatives = int(self.options["negatives"]) if self.implicit else 0
        self.size, self.seed = int(point["sequences"]), seed_of(point, "data")
        most = int(point["evaluation"]["sequences"])
        self.period = _kept(
            canonical_json(point["data"]), canonical_json(self.options), most, device
        )
        self.rows = len(self.period.train)
        self.shift = _logit(self.period.base) if self.implicit else self.period.base
        self.order = Stream(self.seed, self.rows, point["data"].get("unique"))

    # --------------------------------------------------------------------------------------- data

    def numbers(self, step: int) -> NDArray[np.int64]:
        """Training examples of one step (0-based), shape (sequences,)."""
        first = step * self.size
        if self.options["order"] == "time":
            return np.arange(first, first + self.size) % self.order.windows
        return self.order(first, self.size)

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """Users, items and labels of a step, each of shape (sequences / ranks,)."""
        which = _share(self.numbers(step), rank, ranks).to(self.device)
        users, items, labels = self.period.train.taken(which)
        if not self.negatives:
            return users, items, labels
        # drawn for the whole step, so that the share of a process is the same whoever draws it
        rng = np.random.default_rng([self.seed, NEGATIVES, step])
        replaced = rng.random(self.size) < self.negatives / (self.negatives + 1)
        others = self.period.pool[rng.integers(len(self.period.pool), size=self.size)]
        mask = _share(replaced, rank, ranks).to(self.device)
        drawn = _share(others, rank, ranks).to(self.device)
        return users, torch.where(mask, drawn, items), labels.masked_fill(mask, 0.0)

    @property
    def checks(self) -> int:
        """Held-out examples, negatives included."""
        return len(self.period.held_out)

    def validation(self, which: Tensor) -> Batch:
        """Held-out examples by their number."""
        return self.period.held_out.taken(which.to(self.device))

    @property
    def ceiling(self) -> float:
        """Loss of the prediction that is the same for every pair."""
        labels = self.period.held_out.labels
        if not self.implicit:
            return float((labels.double() - self.period.base).square().mean())
        return float(_binary(torch.full_like(labels, self.shift), labels).double().mean())

    # ------------------------------------------------------------------------------- model and loss

    def build(self) -> nn.Module:
        """Build the tables and the tower of the point's shape."""
        names = {"embedding_sd": "scale", "dropout": "dropout"}
        start = {own: self.start[name] for name, own in names.items() if name in self.start}
        return build(str(self.point["family"]), self.point["shape"], **start)

    def predicted(self, model: nn.Module, batch: Batch) -> Tensor:
        """Log odds of a positive, or the rating, shape (B,); zero from the model is the base."""
        out = full(model(batch[0], batch[1]))
        return out + self.shift

    def each(self, model: nn.Module, batch: Batch) -> Tensor:
        """Loss of each example, shape (B,)."""
        return self._losses(self.predicted(model, batch), batch[2])

    def _losses(self, out: Tensor, labels: Tensor) -> Tensor:
        labels = labels.to(out.dtype)
        return _binary(out, labels) if self.implicit else (out - labels).square()

    def examine(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Loss, prediction and label of each example."""
        out = self.predicted(model, batch)
        return {"loss": self._losses(out, batch[2]), "predicted": out, "label": batch[2]}

    def metrics(self, seen: Mapping[str, Tensor]) -> dict[str, Any]:
        """Figures beside the loss; see docs/reference/data.md."""
        forward = count.get(str(self.point["family"])).counts(self.point["shape"]).forward
        cost = {"gflop_per_example": forward / 1e9}
        loss, labels = float(seen["loss"].mean()), seen["label"]
        if not self.implicit:
            spread = float(labels.var(correction=0))
            left = loss / spread if spread > 0 else math.nan
            return {"rmse": math.sqrt(loss), "variance_left": left, **cost}
        rate = float(labels.mean())
        return {
            "normalised_entropy": loss / entropy(rate) if 0 < rate < 1 else math.nan,
            "auc": auc(seen["predicted"], labels),
            "base_rate": rate,
            "calibration": float(seen["predicted"].sigmoid().mean()) / rate if rate else math.nan,
            **cost,
        }


def entropy(rate: float) -> float:
    """Entropy of a yes or no of this probability [nats]."""
    return -rate * math.log(rate) - (1.0 - rate) * math.log1p(-rate)


def auc(scores: Tensor, labels: Tensor) -> float:
    """Probability that a positive has a higher score than a negative; ties count as half.

    Parameters
    ----------
    scores, labels : Tensor
        Shape (n,); labels are 0 or 1.

    Returns
    -------
    float
        From the sum of the positives' ranks (Mann and Whitney 1947); NaN without both labels.
    """
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return math.nan
    _, inverse, counts = torch.unique(scores, return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    ranks = (last - (counts.double() - 1) / 2)[inverse]  # the mean rank of those alike
    total = float(ranks[labels > 0].sum())
    return (total - positives * (positives + 1) / 2) / (positives * negatives)


def _binary(out: Tensor, labels: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(out, labels, reduction="none")


def _logit(rate: float) -> float:
    return math.log(rate) - math.log1p(-rate)


def _share(values: NDArray[Any], rank: int, ranks: int) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values.reshape(ranks, -1)[rank]))


# ------------------------------------------------------------------------------------------- data


@lru_cache(maxsize=KEPT)
def _kept(data: str, options: str, most: int, device: torch.device) -> Period:
    return period(json.loads(data), json.loads(options), most, device)


def period(
    data: Mapping[str, Any], options: Mapping[str, Any], most: int, device: torch.device
) -> Period:
    """Lay the data of a point on its device.

    Parameters
    ----------
    data : mapping
        Manifest.
    options : mapping
        Of the task.
    most : int
        Held-out examples at most, negatives included; they lie evenly over the held-out time.
    device : torch.device

    Raises
    ------
    ConfigError
        SC012 if all examples are positives, or none is.
    """
    train, held_out = arrays(data)
    negatives = int(options["negatives"]) if options["target"] == "implicit" else 0
    pool = np.unique(train["items"]) if options["drawn"] == "uniform" else train["items"]
    labels = labels_of(train["ratings"], options)
    base = base_of(labels, options)
    rows = len(held_out["users"])
    count = max(1, min(rows, most // (negatives + 1)))
    which = np.arange(count) * rows // count
    users, items = (held_out[name][which] for name in ("users", "items"))
    answers = labels_of(held_out["ratings"][which], options)
    if negatives:
        rng = np.random.default_rng([0, HELD_OUT])  # of no point: all are measured on the same
        others = pool[rng.integers(len(pool), size=count * negatives)]
        users = np.concatenate([users, np.repeat(users, negatives)])
        items = np.concatenate([items, others])
        answers = np.concatenate([answers, np.zeros(count * negatives, dtype=np.float32)])
    first = _pairs(train["users"], train["items"], labels, device)
    return Period(first, _pairs(users, items, answers, device), pool, base)


def _pairs(
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    labels: NDArray[np.float32],
    device: torch.device,
) -> Pairs:
    return Pairs(*(torch.from_numpy(part.copy()).to(device) for part in (users, items, labels)))
