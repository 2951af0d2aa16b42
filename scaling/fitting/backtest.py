"""Laws judged by what they were never shown: rolling origins over compute, then the likelihood.

A law is fitted to the runs up to some compute and scored on all larger ones, from several origins.
AICc and BIC follow where the objective is a likelihood, so for least squares only.

References
----------
Tashman (2000), rolling origins; Hurvich and Tsai (1989), AICc; Schwarz (1978), BIC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.errors import Message, ScalingError
from scaling.fitting.fit import fit_group
from scaling.fitting.options import Options
from scaling.fitting.prediction import cost_of
from scaling.fitting.result import Fit
from scaling.runs.read import from_frame
from scaling.runs.table import RunsTable

Array = NDArray[np.float64]
ORIGINS = 5
LEVELS_TO_FIT = 3  # distinct levels of compute below the first origin
SHARE_TO_FIT = 0.4  # of the rows
CLOSE = 1.1  # ratio of errors within which laws are not told apart


def compare_laws(
    fits: Sequence[Fit], origins: int = ORIGINS
) -> tuple[list[dict[str, Any]], list[Message]]:
    """Rank fits of several laws to the same rows.

    Parameters
    ----------
    fits : sequence of Fit
        Of one group and response.
    origins : int
        Most origins.

    Returns
    -------
    rows : list of dict
        ``group, law, objective, k, n, backtest`` (``along, origins, rmse_log, bias_log, rank``:
        means over the origins, which hold ``cut, train, test, factor, rmse_log, bias_log``),
        ``aicc, bic, status``; best first. Rows count alike, whatever weights the fits had.
    messages : list of Message
    """
    table = _table(fits)
    along, where = _along(fits, table)
    cuts = _cuts(where, max(len(_free(f)) for f in fits), origins)
    rows = [_row(fit, table, along, where, cuts) for fit in fits]
    rows.sort(key=lambda r: (r["backtest"]["rmse_log"] is None, r["backtest"]["rmse_log"] or 0.0))
    for rank, row in enumerate(rows, start=1):
        row["backtest"]["rank"] = rank if row["backtest"]["rmse_log"] is not None else None
    return rows, _messages(rows, fits, cuts)


def _free(fit: Fit) -> Sequence[str]:
    return list(fit.certificate.get("free", fit.law.names))


def _table(fits: Sequence[Fit]) -> RunsTable:
    """Return the fitted rows as a table, with every law's variables."""
    used = np.asarray(fits[0].rows["used"], dtype=bool)
    columns: dict[str, Any] = {}
    for fit in fits:
        for name, values in fit.rows.items():
            if name not in ("row", "used", "held_out", "why", "predicted", "residual", "status"):
                columns[name] = [v for v, keep in zip(values, used, strict=True) if keep]
    frame = pd.DataFrame(columns).dropna(axis=1, how="all")
    return from_frame(frame, needs_loss=fits[0].response == "loss")


def _along(fits: Sequence[Fit], table: RunsTable) -> tuple[str, Array]:
    """Return what origins roll over: compute, or the one variable where there is none."""
    frame = table.frame
    if {"N", "D"} <= set(frame):
        cost = cost_of(fits[0])
        return "C", cost.compute(frame["N"].to_numpy(float), frame["D"].to_numpy(float))
    name = "C" if "C" in frame else fits[0].law.variables[0]
    return name, frame[name].to_numpy(dtype=np.float64)


def _cuts(where: Array, parameters: int, most: int) -> list[float]:
    """Largest values that are fitted at each origin, from the smallest."""
    order = np.sort(where)
    levels = np.unique(order)
    close = np.log(levels[1:] / levels[:-1]) > 0.02
    levels = levels[np.append(close, True)]  # the last of each cluster
    fewest = max(2 * parameters, SHARE_TO_FIT * len(order))
    usable = [
        float(level)
        for i, level in enumerate(levels[:-1], start=1)
        if i >= LEVELS_TO_FIT and (order <= level).sum() >= fewest
    ]
    if len(usable) <= most:
        return usable
    picked = np.unique(np.linspace(0, len(usable) - 1, most).round().astype(int))
    return [usable[i] for i in picked]


def _row(
    fit: Fit, table: RunsTable, along: str, where: Array, cuts: Sequence[float]
) -> dict[str, Any]:
    o = fit.objective
    options = Options(
        o.name, o.delta if o.delta is not None else 1e-3, bootstrap=0, response=fit.response
    )
    fixed = [name for name in fit.law.names if name not in _free(fit)]
    options = replace(options, fixed={name: fit.params[name] for name in fixed})
    scored = [_origin(fit, table, options, where, cut) for cut in cuts]
    good = [s for s in scored if s["rmse_log"] is not None]
    whole = bool(good) and len(good) == len(scored)
    k = len(_free(fit)) + 1  # and the noise
    objective = o.name if o.delta is None else f"{o.name} delta {o.delta:g}"
    aicc, bic = _criteria(fit, k)
    return {
        "group": fit.group,
        "law": fit.law.name,
        "objective": objective,
        "k": len(_free(fit)),
        "n": fit.n,
        "status": fit.status,
        "backtest": {
            "along": along,
            "origins": scored,
            "rmse_log": float(np.mean([s["rmse_log"] for s in good])) if whole else None,
            "bias_log": float(np.mean([s["bias_log"] for s in good])) if whole else None,
        },
        "aicc": aicc,
        "bic": bic,
    }


def _origin(
    fit: Fit, table: RunsTable, options: Options, where: Array, cut: float
) -> dict[str, Any]:
    """Fit up to `cut` and score on what lies above."""
    below = where <= cut * (1.0 + 1e-12)
    out: dict[str, Any] = {
        "cut": cut,
        "train": int(below.sum()),
        "test": int((~below).sum()),
        "factor": float(where.max() / cut),
        "rmse_log": None,
        "bias_log": None,
    }
    try:
        made = fit_group(table, fit.law, options, fit.group, below)
    except ScalingError:
        return out
    frame = table.frame.loc[~below]
    own = {name: made.params[name] for name in fit.law.names}
    data = {v: frame[v].to_numpy(dtype=np.float64) for v in fit.law.variables}
    with np.errstate(all="ignore"):
        error = np.log(fit.law.loss(own, data)) - np.log(frame[fit.response].to_numpy(float))
    if np.isfinite(error).all():
        out["rmse_log"] = float(np.sqrt((error**2).mean()))
        out["bias_log"] = float(error.mean())
    return out


def _criteria(fit: Fit, k: int) -> tuple[float | None, float | None]:
    """AICc and BIC of a least-squares fit; None for other objectives, or with too few rows.

    For residuals of ln loss the likelihood of the loss itself has the Jacobian of the logarithm,
    so that fits of levels and of logs can be compared.
    """
    if fit.objective.name not in ("log-mse", "mse"):
        return None, None
    used = np.asarray(fit.rows["used"], dtype=bool)
    seen, curve = (
        np.asarray(fit.rows[name], dtype=np.float64)[used] for name in (fit.response, "predicted")
    )
    n = len(seen)
    logs = fit.objective.name == "log-mse"
    left = np.log(curve / seen) if logs else curve - seen
    square = float((left**2).mean())
    if n - k - 1 <= 0 or square <= 0:
        return None, None
    minus = n * (np.log(2.0 * np.pi * square) + 1.0)
    if logs:
        minus += 2.0 * float(np.log(seen).sum())
    return minus + 2.0 * k + 2.0 * k * (k + 1) / (n - k - 1), minus + k * float(np.log(n))


def _messages(
    rows: Sequence[dict[str, Any]], fits: Sequence[Fit], cuts: Sequence[float]
) -> list[Message]:
    out = []
    if not cuts:
        text = "Too few levels of compute for a rolling origin: laws are not ranked."
        out.append(Message("SC435", text))
    if all(row["aicc"] is None for row in rows):
        name = fits[0].objective.name
        text = f"No AICc or BIC: {name} is not a likelihood (--objective log-mse is)."
        out.append(Message("SC435", text, "info"))
    ranked = [row for row in rows if row["backtest"]["rmse_log"] is not None]
    if len(ranked) > 1:
        first, second = (row["backtest"]["rmse_log"] for row in ranked[:2])
        if second <= CLOSE * first:
            pair = [row["law"] for row in ranked[:2]]
            if pair[0] == pair[1]:
                pair = [f"{row['law']} ({row['objective']})" for row in ranked[:2]]
            text = (
                f"{pair[0]} and {pair[1]} predict about equally well: the runs "
                "do not choose between them."
            )
            out.append(Message("SC435", text, "info"))
    lost = [row["law"] for row in rows if row["backtest"]["rmse_log"] is None and cuts]
    if lost:
        text = f"Not scored at every origin, so not ranked: {', '.join(lost)}."
        out.append(Message("SC435", text))
    return out
