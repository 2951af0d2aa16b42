"""Runs of two groups at the same N and D, and what tells the groups' losses apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import Fault, Message, QuestionError
from scaling.fitting.result import Fit
from scaling.laws.cost import rounded

Array = NDArray[np.float64]
SAME = np.log(1.02)  # of N and of D, within which two runs share a cell


@dataclass(frozen=True)
class Pairs:
    """Runs of two groups at the same N and D, averaged over repeats, shape (n,).

    Attributes
    ----------
    N, D : ndarray
    one, two : ndarray
        ln loss of the first and the second group.
    alone : tuple of (int, int)
        Cells of each group that the other lacks.
    by : str
        What a pair shares.
    """

    N: Array
    D: Array
    one: Array
    two: Array
    alone: tuple[int, int]
    by: str


def pairs_of(one: Fit, two: Fit) -> Pairs:
    """Pair the fitted runs of two groups by N and D, and by seed where both name seeds.

    Raises
    ------
    QuestionError
        SC433 if a group has no N and D.
    """
    for fit in (one, two):
        if not {"N", "D", fit.response} <= set(fit.fitted):
            expected = "N, D and a loss in both"
            raise QuestionError(Fault("SC433", name_of(fit), "has no N and D to pair by", expected))
    columns = [_columns(fit) for fit in (one, two)]
    seeds = all(c["seed"] is not None for c in columns)
    cells = [_cells(c, seeds) for c in columns]
    left, right = _matches(*cells)
    n, d = (np.exp(0.5 * (cells[0][k][left] + cells[1][k][right])) for k in ("u", "v"))
    alone = (len(cells[0]["u"]) - len(left), len(cells[1]["u"]) - len(right))
    by = "N, D and seed" if seeds else "N and D"
    return Pairs(n, d, cells[0]["y"][left], cells[1]["y"][right], alone, by)


def _columns(fit: Fit) -> dict[str, Any]:
    used = np.asarray(fit.rows["used"], dtype=bool)
    seeds = fit.rows.get("seed")
    known = seeds is not None and all(s is not None for s in np.asarray(seeds, object)[used])
    return {
        "u": np.log(fit.fitted["N"]),
        "v": np.log(fit.fitted["D"]),
        "y": np.log(np.asarray(fit.rows[fit.response], dtype=np.float64)[used]),
        "seed": np.asarray(seeds, dtype=np.float64)[used] if known else None,
    }


def _cells(columns: dict[str, Any], seeds: bool) -> dict[str, Array]:
    """Average the runs of one cell."""
    u, v = columns["u"], columns["v"]
    seed = columns["seed"] if seeds else np.zeros(len(u))
    keys = np.stack([np.round(u / SAME), np.round(v / SAME), seed], axis=1)
    _, index, count = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    index = index.ravel()
    means = {k: np.bincount(index, weights=columns[k]) / count for k in ("u", "v", "y")}
    return means | {"seed": np.bincount(index, weights=seed) / count}


def _matches(
    one: dict[str, Array], two: dict[str, Array]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the cells that are each other's nearest and near enough."""
    gap = np.maximum(np.abs(one["u"][:, None] - two["u"]), np.abs(one["v"][:, None] - two["v"]))
    gap = np.where(one["seed"][:, None] == two["seed"], gap, np.inf)
    near = gap.argmin(axis=1)
    back = gap.argmin(axis=0)
    mine = np.arange(len(near))
    good = (back[near] == mine) & (gap[mine, near] <= SAME)
    return mine[good].astype(np.int64), near[good].astype(np.int64)


def name_of(fit: Fit) -> str:
    """Return what to call the runs of a fit: their group, else their file."""
    table = str(fit.table.get("file") or "table")
    return f"group {fit.group}" if fit.group is not None else table


def unlike(one: Fit, two: Fit, names: tuple[str, str]) -> list[Message]:
    """Say what keeps two groups from being compared number by number, as far as tables state it."""
    out = []
    both = f"{names[0]} and {names[1]}"
    units = [unit_of(fit, fit.response) for fit in (one, two)]
    if one.response != two.response:
        text = f"{both} have other responses: {one.response} and {two.response}."
        out.append(Message("SC433", text, "error"))
    elif all(units) and units[0] != units[1]:
        text = f"The losses of {both} have other units: {units[0]} and {units[1]}."
        out.append(Message("SC433", text, "error"))
    costs = [_meaning(fit) for fit in (one, two)]
    if costs[0] != costs[1]:
        text = (
            f"C is {costs[0]} in {names[0]} and {costs[1]} in {names[1]}: equal numbers are not "
            "equal compute."
        )
        out.append(Message("SC433", text))
    counted = [str(fit.table.get("convention") or "") for fit in (one, two)]
    if all(counted) and counted[0] != counted[1]:
        text = f"N counts {counted[0]} in {names[0]}, and {counted[1]} in {names[1]}."
        out.append(Message("SC433", text))
    return out


def _meaning(fit: Fit) -> str:
    """What C means; a cost read off a table has a formula of its own in each."""
    if fit.cost.get("name") == "table":
        return "that of the table"
    return str(rounded(fit.cost["formula"]))


def unit_of(fit: Fit, column: str) -> str:
    """Return the unit of a column as the table states it; empty where it does not."""
    return str(((fit.table.get("columns") or {}).get(column) or {}).get("unit") or "")
