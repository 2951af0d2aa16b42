"""Counts of the recommender with tables of users and items and a dense tower; D counts examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scaling.count.family import Counts, OfExamples
from scaling.count.rules import Core, Rule, Settings, named
from scaling.options import Option

MAX_WIDTH = 4096


def _widths(settings: Settings) -> range:
    step = int(settings["width_step"])
    return range(step, MAX_WIDTH + 1, step)


def _core(dial: int, settings: Settings) -> Core:
    hidden = max(1, int(dial * float(settings["hidden_ratio"]) + 0.5))
    return {"layers": int(settings["layers"]), "width": dial, "hidden": hidden}


WIDTH = Rule(
    "width",
    "The dial is the width of the tables, from 1 to 4096; the number of hidden layers is fixed, "
    "and their width is in a fixed ratio to that of the tables.",
    "He et al. 2017 (the tower, and the product of user and item)",
    2017,
    ("layers", "hidden_ratio", "width_step"),
    _widths,
    _core,
)
RULES: dict[str, Rule] = named(WIDTH)

OPTIONS = (
    Option("users", "integer", None, "number of users", high=10**10),
    Option("items", "integer", None, "number of items", high=10**10),
    Option("layers", "integer", 2, "hidden layers of the tower", high=10_000),
    Option("hidden_ratio", "number", 2, "width of the tower over that of the tables",
           low=0.01, high=1000),
    Option("width_step", "integer", 1, "widths are multiples of this", high=4096),
)  # fmt: skip


@dataclass(frozen=True)
class RecommenderShape:
    """Integer shape of a recommender.

    Attributes
    ----------
    users, items : int
        Rows of the two tables.
    layers, width, hidden : int
        Hidden layers of the tower, width of the tables, width of the tower.
    """

    users: int
    items: int
    layers: int
    width: int
    hidden: int


class Recommender(OfExamples):
    """The recommender: a tower over the user's vector, the item's, and their product.

    The tables are looked up, not multiplied: they stand in `Counts.embedding`, and N is the tower.
    """

    name = "recommender"
    rules = RULES
    own_options = OPTIONS

    def shape(self, dial: int, options: Mapping[str, Any]) -> dict[str, int]:
        """Return the shape at a value of the dial; its keys are those of `RecommenderShape`."""
        settings = self.settings(options)
        return {
            "users": settings["users"],
            "items": settings["items"],
            **self.rules[settings["rule"]].core(dial, settings),
        }

    def counts(self, shape: Mapping[str, int]) -> Counts:
        """Count a shape; the formulas stand in ``docs/reference/counting.md``."""
        s = RecommenderShape(**shape)
        matrices = 3 * s.width * s.hidden + (s.layers - 1) * s.hidden**2
        groups = {
            "users": s.users * s.width,
            "items": s.items * s.width,
            "dense": matrices + s.layers * s.hidden,
            "head": s.hidden + 1,
        }
        return Counts(
            body=groups["dense"],
            head=groups["head"],
            embedding=groups["users"] + groups["items"],
            forward=2.0 * (matrices + s.hidden),
            groups=groups,
            attention=0.0,
            attended=0.0,
            spared=0.0,  # what the first layer reads is learned
        )


RECOMMENDER = Recommender()
