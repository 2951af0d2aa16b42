"""Curves that a source keeps beside its runs, as a table with a row for each point."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.errors import Message
from scaling.runs.importers.base import Imported
from scaling.runs.names import guesses

_OF_A_RUN = frozenset({"N", "D_unique", "seed", "group", "status", "budget"})
_COUNTED = frozenset({"D", "C"})


def points_of(found: Imported) -> Imported:
    """Give each point of the curves what belongs to its run as a whole.

    Settings are repeated in each point, and so is a size that was logged but once. Counts that run
    along, such as tokens, are filled in at the steps at which other metrics were logged: linear in
    steps from 0 at step 0 over the values that are known to the last of them.

    Parameters
    ----------
    found : Imported
        With curves; its runs are named in ``run``.
    """
    assert found.curves is not None
    points = found.curves.reset_index(drop=True)
    constant = [c for c in map(str, points) if _roles(c) & _OF_A_RUN]
    points = points.drop(columns=constant)
    settings = found.cells.drop_duplicates("run").set_index("run")
    last = points["step"] == points.groupby("run", sort=False)["step"].transform("max")
    for header in map(str, settings):
        of_run = points["run"].map(settings[header])
        if header in points or _roles(header) & {"steps", "loss"}:
            continue
        counted = bool(_roles(header) & _COUNTED)  # only its end is known
        points[header] = (of_run.where(last) if counted else of_run).to_numpy()
    for header in map(str, points):
        if _roles(header) & _COUNTED:
            points[header] = _filled(points, header)
    rows = np.arange(1, len(points) + 1, dtype=np.int64)
    text = "Counts such as tokens are linear in steps between the values that are known."
    messages = (*found.messages, Message("SC143", text, "info"))
    return replace(found, cells=points, rows=rows, curves=None, sha256=None, messages=messages)


def _roles(header: str) -> set[str]:
    return {guess.role for guess in guesses(header)} | {header}


def _filled(points: pd.DataFrame, header: str) -> NDArray[np.float64]:
    values = pd.to_numeric(points[header], errors="coerce").to_numpy(dtype=np.float64).copy()
    steps = points["step"].to_numpy(dtype=np.float64)
    for at in points.groupby("run", sort=False).indices.values():
        known = at[np.isfinite(values[at])]
        known = known[np.argsort(steps[known], kind="stable")]
        along = (
            np.concatenate([[0.0], steps[known]])
            if len(known) and steps[known[0]] > 0
            else steps[known]
        )
        count = np.concatenate([[0.0], values[known]]) if len(along) > len(known) else values[known]
        if len(along) < 2 or (np.diff(count) < 0).any():
            continue
        gaps = at[~np.isfinite(values[at])]
        inside = gaps[(steps[gaps] >= along[0]) & (steps[gaps] < along[-1])]
        values[inside] = np.interp(steps[inside], along, count)
    return values
