"""All finders in the order of how much what they look for may move."""

from __future__ import annotations

import numpy as np

from scaling.errors import Message
from scaling.runs.findings import kinds, losses, rows, units
from scaling.runs.findings.view import View
from scaling.runs.table import RunsTable

FINDERS = (
    units.missing_roles,
    units.compute_against_6nd,
    units.magnitudes,
    units.gaps,
    units.swapped,
    losses.too_little,
    losses.levels,
    losses.rising,
    kinds.conventions,
    kinds.scales_of_loss,
    kinds.without_group,
    rows.one_ratio,
    rows.curve_like,
    rows.copies,
    rows.summaries,
    rows.marked,
    losses.far_from_neighbours,
)


def find(table: RunsTable, group: str | None = None) -> list[Message]:
    """Return everything that the reader should look at.

    Parameters
    ----------
    table : RunsTable
        Checked, with the rows that enter fits marked as used.
    group : str, optional
        Column by which fits will be split.
    """
    if not table.used.any():
        return [Message("SC120", "No row enters a fit: all are left out.")]
    view = View(table, group)
    with np.errstate(all="ignore"):  # values beyond all measure are findings, not warnings
        found: list[Message] = []
        for finder in FINDERS:
            mixed = any(m.code == "SC136" and m.severity == "warning" for m in found)
            if finder is losses.far_from_neighbours and mixed:
                continue  # neighbours of another kind are none
            found += finder(view)
        return found
