"""What a table does not say itself: the third of N, D and C, and what N counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.errors import Message, clip
from scaling.runs.columns import COLUMNS
from scaling.runs.table import Reading

TOKENS_OF_C = 6.0
BODY_AND_HEAD = "N = body + head; C = 3 x forward matrix products"


def derive(
    frame: pd.DataFrame, columns: dict[str, Reading]
) -> tuple[pd.DataFrame, dict[str, Reading], list[Message]]:
    """Fill in the third of N, D, C under C = 6ND, and say so."""
    with np.errstate(all="ignore"):
        return _derived(frame, columns)


def _derived(
    frame: pd.DataFrame, columns: dict[str, Reading]
) -> tuple[pd.DataFrame, dict[str, Reading], list[Message]]:
    messages: list[Message] = []
    derived: dict[str, tuple[NDArray[Any], str]] = {}
    if "budget" in frame and "C" not in frame:
        budget, source = frame["budget"].to_numpy(dtype=np.float64), "budget"
        if np.isnan(budget).any() and {"N", "D"} <= set(frame):
            rule = TOKENS_OF_C * frame["N"].to_numpy() * frame["D"].to_numpy()
            budget, source = np.where(np.isnan(budget), rule, budget), "budget, else 6 N D"
        derived["C"] = (budget, source)
    has_c = "C" in frame or "C" in derived
    if "N" in frame and "D" not in frame and has_c:
        compute = derived["C"][0] if "C" in derived else frame["C"].to_numpy()
        derived["D"] = (compute / (TOKENS_OF_C * frame["N"].to_numpy()), "C/(6 N)")
        messages.append(
            Message(
                "SC111",
                "D was imputed as C/(6N), so errors in N enter D with the opposite sign.",
                "warning",
            )
        )
    elif {"N", "D"} <= set(frame) and not has_c:
        derived["C"] = (TOKENS_OF_C * frame["N"].to_numpy() * frame["D"].to_numpy(), "6 N D")
        messages.append(Message("SC112", "C was derived as 6ND.", "info"))
    for role, (values, source) in derived.items():
        frame = frame.assign(**{role: values})
        columns[role] = Reading(f"= {source}", COLUMNS[role].unit)
    order = [c for c in COLUMNS if c in frame]
    frame = frame[order + [c for c in frame if c not in COLUMNS]]
    return frame, {c: columns[c] for c in order if c in columns}, messages


def overflow(
    frame: pd.DataFrame, readings: Mapping[str, Reading], kept: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Used rows whose derived C or D is no finite number above 0."""
    bad = np.zeros(len(frame), dtype=bool)
    for column in ("C", "D"):
        if column in readings and readings[column].source.startswith("="):
            values = frame[column].to_numpy(dtype=np.float64)
            bad |= kept & (np.isinf(values) | (values == 0))
    return bad


def only(frame: pd.DataFrame, column: str) -> str | None:
    """The one text of a column that says the same in every row."""
    found = set(frame[column]) if column in frame else set()
    only = found.pop() if len(found) == 1 else None
    return None if only is None or only != only else clip(str(only), 120)


def own_convention(frame: pd.DataFrame) -> str | None:
    """Recognise the convention of this package's own tables."""
    if {"N", "N_body", "N_head"} <= set(frame):
        parts = frame["N_body"] + frame["N_head"]
        known = frame["N"].notna() & parts.notna()
        if known.any() and np.allclose(frame["N"][known], parts[known]):
            return BODY_AND_HEAD
    return None


def named_convention(readings: Mapping[str, Reading]) -> str | None:
    """What the name of N's column says that it counts."""
    reading = readings.get("N")
    if reading is None or not reading.convention:
        return None
    said = {
        "total": "all parameters",
        "active": "active parameters",
        "without embeddings": "parameters without embeddings",
        "with embeddings": "parameters, embeddings included",
    }[reading.convention]
    return f'N = {said}, by the name "{clip(reading.source, 40)}"'
