"""The columns of the runs table: type, unit and meaning."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "count", "amount"]


@dataclass(frozen=True)
class Column:
    """One column of the runs table.

    Attributes
    ----------
    name : str
        Canonical name.
    kind : {"text", "count", "amount"}
        ``count`` and ``amount`` are numbers; both must be finite, and positive where `positive`.
    unit : str
        Unit of the values.
    meaning : str
        One sentence.
    positive : bool
        Whether zero and negative values are faults.
    """

    name: str
    kind: Kind
    unit: str
    meaning: str
    positive: bool = False


COLUMNS: dict[str, Column] = {
    column.name: column
    for column in (
        Column("run", "text", "", "identifier of the run"),
        Column("group", "text", "", "recipe, data set or task that laws are compared by"),
        Column("budget", "amount", "FLOP", "planned compute of an isoFLOP point", True),
        Column(
            "N",
            "count",
            "parameters",
            "parameters of the model, in the table's convention",
            True,
        ),
        Column(
            "D",
            "count",
            "tokens or examples",
            "training tokens or examples seen",
            True,
        ),
        Column(
            "C",
            "amount",
            "FLOP",
            "training compute",
            True,
        ),
        Column(
            "loss",
            "amount",
            "nats per token",
            "validation loss",
            True,
        ),
        Column("N_embedding", "count", "parameters", "input embeddings, looked up not multiplied"),
        Column("N_head", "count", "parameters", "output head; a tied head counts here"),
        Column("N_body", "count", "parameters", "everything else"),
        Column("C_6nd", "amount", "FLOP", "6 N D", True),
        Column(
            "D_unique",
            "count",
            "tokens or examples",
            "distinct data available",
            True,
        ),
        Column("epochs", "amount", "passes", "D / D_unique where data repeat", True),
        Column("seed", "count", "", "seed of initialisation and data order"),
        Column("trunk", "text", "", "hash that runs sharing noise have in common"),
        Column("status", "text", "", "done, diverged, failed or too-big"),
        Column("batch", "count", "tokens", "tokens or examples per optimiser step", True),
        Column("lr", "amount", "", "peak learning rate", True),
        Column("steps", "count", "steps", "optimiser steps", True),
        Column("loss_se", "amount", "nats per token", "standard error of loss over sequences"),
        Column("convention", "text", "", "what N counts, where the table says so"),
        Column("loss_unit", "text", "", "unit of the losses, where it is not nats per token"),
        Column("train_loss", "amount", "nats per token", "smoothed training loss at the end"),
        Column("C_spent", "amount", "FLOP", "compute that the run took itself, beside its trunk"),
    )
}

# of our own tables; elsewhere they count other things, so they play no role
OF_A_RUN = ("warmup", "schedule")
OF_TRAINING = ", of training"  # after the unit of losses that are not held out
STATUSES = ("done", "diverged", "failed", "too-big")


def normalise(header: str) -> str:
    """Return `header` in lower case with letters and digits only, for alias look-up."""
    return re.sub(r"[^a-z0-9]", "", header.lower())
