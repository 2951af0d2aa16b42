"""Treated runs by themselves: the rectified law of fine-tuning beside a power law with a floor.

References
----------
Lin et al. (2024), Selecting Large Language Model to Fine-tune via Rectified Scaling Law, eq. 4.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import FitError
from scaling.fitting.effective_curve import distinct, nearest
from scaling.fitting.fit import fit_group
from scaling.fitting.options import Options
from scaling.fitting.result import Fit
from scaling.laws import get
from scaling.runs.table import RunsTable

Rows = NDArray[np.bool_]
OWN_LAWS = ("power-D", "rectified")


def fitted_alone(
    table: RunsTable, options: Options, name: str, member: Rows
) -> tuple[dict[str, Any], ...]:
    """Fit the rectified law, and a power law with a floor, to each size of a treated group."""
    used = table.used & member
    sizes: list[tuple[float | None, Rows]] = [(None, member)]
    if "N" in table.frame:
        values = table.frame["N"].to_numpy(dtype=np.float64, na_value=np.nan)
        levels = distinct(values[used])
        index = np.full(len(values), -1)
        index[used] = nearest(values[used], levels)[0]
        sizes = [(float(n), member & (index == j)) for j, n in enumerate(levels)]
    out = []
    for size, rows in sizes:
        for law in OWN_LAWS:
            row: dict[str, Any] = {"law": law, "N": size, "n": int((used & rows).sum())}
            try:
                fit = fit_group(table, get(law), options, name, rows)
            except FitError as error:
                fault = error.faults[0]
                why = f"{fault.found}; needed are {fault.expected}"
                out.append(row | _alone(None) | {"why": why})
                continue
            out.append(row | _alone(fit) | {"n": fit.n})
    return tuple(out)


def _alone(fit: Fit | None) -> dict[str, Any]:
    if fit is None:
        return {"status": "not fitted", "params": {}, "intervals": {}, "rmse_log": None, "why": ""}
    used = [r for r, u in zip(fit.rows["residual"], fit.rows["used"], strict=True) if u]
    why = next((m.text for m in fit.messages if m.severity == "error"), "")
    return {
        "status": fit.status,
        "params": dict(fit.params),
        "intervals": {k: list(v) for k, v in fit.intervals.items()},
        "rmse_log": float(np.sqrt(np.mean(np.square(used)))),
        "why": why,
    }
