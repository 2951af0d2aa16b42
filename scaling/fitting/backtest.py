"""Laws judged by what they were never shown: rolling origins over compute, then the likelihood.

A law is fitted to the runs up to some compute and scored on all larger ones, from several origins.
AICc and BIC follow where the objective is a likelihood, so for least squares only.

References
----------
Tashman (2000), rolling origins; Hurvich and Tsai (1989), AICc; Schwarz (1978), BIC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import Message, ScalingError
from scaling.fitting.auto.build import forecast
from scaling.fitting.data import Data
from scaling.fitting.estimate import estimate
from scaling.fitting.objectives import make
from scaling.fitting.options import Options
from scaling.fitting.prediction import cost_of
from scaling.fitting.result import Fit, objective_label
from scaling.runs.table import thinned

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
ORIGINS = 5
LEVELS_TO_FIT = 3  # distinct levels of compute below the first origin
SHARE_TO_FIT = 0.4  # of the rows
CLOSE = 1.1  # ratio of errors within which laws are not told apart
SHOWN = 150  # held-out rows of a law that are kept one by one, over all origins
DIGITS = 6  # of what is kept of them


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
        means over the origins), ``aicc, bic, status``; best first. Each origin has ``cut, train,
        test, factor, rmse_log, bias_log`` and, of held-out rows thinned evenly over compute,
        ``errors`` (ln predicted loss less ln observed), ``losses`` (observed) and ``test_factor``
        (the row's own compute over the cut). Rows count alike, whatever weights the fits had.
    messages : list of Message
    """
    known = _known(fits) if origins == ORIGINS else None
    if known is not None:
        return known, _messages(known, fits, [o["cut"] for o in known[0]["backtest"]["origins"]])
    columns = _columns(fits)
    along, where = _along(fits, columns)
    if len(fits) == 1 and fits[0].members:  # what `auto` forecast from its own origins is known
        scored = [fits[0].certificate["auto"]["origins"]]
    else:
        cuts = _cuts(where, max(len(_free(f)) for f in fits), origins)
        scored = [_scores(fit, columns, where, cuts) for fit in fits]
    cuts = [origin["cut"] for origin in scored[0]]
    rows = [_row(fit, along, own) for fit, own in zip(fits, scored, strict=True)]
    rows.sort(key=_error)
    for rank, row in enumerate(rows, start=1):
        row["backtest"]["rank"] = rank if row["backtest"]["rmse_log"] is not None else None
        row["among"] = [other["law"] for other in rows]
    return rows, _messages(rows, fits, cuts)


def score(fits: Sequence[Fit]) -> tuple[list[dict[str, Any]], list[Message]]:
    """Rows and messages of what can be scored among the fits of a group.

    Laws that are not identified are left out, and so is a group with too few levels of compute. Of
    one law only what it cannot do is told; that an objective has no likelihood never is.
    """
    good = [fit for fit in fits if fit.identified]
    try:
        rows, told = compare_laws(good) if good else ([], [])
    except (ScalingError, ArithmeticError, np.linalg.LinAlgError):
        return [], []  # what is said beside a fit never fails it
    if not any(row["backtest"]["origins"] for row in rows):
        return [], []
    if len(good) == 1 and rows[0]["backtest"]["rmse_log"] is None:
        text = f"{good[0].law.name} could not be fitted at every origin of the hold-out test."
        return rows, [Message("SC435", text, "info")]
    about = [] if len(good) == 1 else [m for m in told if m.text != _no_likelihood(good)]
    return rows, about


def _known(fits: Sequence[Fit]) -> list[dict[str, Any]] | None:
    """Rows that the fits carry, best first, if they were scored together and with no others."""
    rows = [{k: v for k, v in fit.backtest.items() if k != "messages"} for fit in fits]
    names = sorted(fit.law.name for fit in fits)
    if not all(row and sorted(row["among"]) == names for row in rows):
        return None
    cuts = [[origin["cut"] for origin in row["backtest"]["origins"]] for row in rows]
    if any(own != cuts[0] for own in cuts):
        return None
    return sorted(rows, key=_error)


def _error(row: Mapping[str, Any]) -> tuple[bool, float]:
    error = row["backtest"]["rmse_log"]
    return error is None, error or 0.0


def _free(fit: Fit) -> Sequence[str]:
    return list(fit.certificate.get("free", fit.law.names))


def _columns(fits: Sequence[Fit]) -> dict[str, Array]:
    """Return the fitted rows as arrays: N, D and C where they are whole, and what the laws need."""
    used = np.asarray(fits[0].rows["used"], dtype=bool)
    out: dict[str, Array] = {}
    for fit in fits:
        for name in ("N", "D", "C", *fit.law.variables, fit.response):
            if name in fit.rows and name not in out:
                values = np.array(fit.rows[name], dtype=np.float64)[used]  # None becomes NaN
                out |= {name: values} if np.isfinite(values).all() else {}
    return out


def _along(fits: Sequence[Fit], columns: Mapping[str, Array]) -> tuple[str, Array]:
    """Return what origins roll over: compute, or the one variable where there is none."""
    only = fits[0].law.variables
    if len(fits) == 1 and fits[0].members and len(only) == 1:
        return only[0], columns[only[0]]
    if {"N", "D"} <= set(columns):
        return "C", cost_of(fits[0]).compute(columns["N"], columns["D"])
    name = "C" if "C" in columns else fits[0].law.variables[0]
    return name, columns[name]


def _cuts(where: Array, parameters: int, most: int) -> list[float]:
    """Largest values that are fitted at each origin, from the smallest."""
    if not (where > 0).all():  # shares, say: no scale along which there are larger runs
        return []
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


def _row(fit: Fit, along: str, scored: Sequence[dict[str, Any]]) -> dict[str, Any]:
    good = [s for s in scored if s["rmse_log"] is not None]
    whole = bool(good) and len(good) == len(scored)
    k = len(_free(fit)) + 1  # and the noise
    aicc, bic = _criteria(fit, k)
    return {
        "group": fit.group,
        "law": fit.law.name,
        "objective": objective_label(fit),
        "k": len(_free(fit)),
        "n": fit.n,
        "status": fit.status,
        "backtest": {
            "along": along,
            "origins": [dict(origin) for origin in scored],
            "rmse_log": float(np.mean([s["rmse_log"] for s in good])) if whole else None,
            "bias_log": float(np.mean([s["bias_log"] for s in good])) if whole else None,
        },
        "aicc": aicc,
        "bic": bic,
    }


Forecast = Callable[[Mapping[str, Array]], Array]


def _scores(
    fit: Fit, columns: Mapping[str, Array], where: Array, cuts: Sequence[float]
) -> list[dict[str, Any]]:
    """Fit below every cut and score beyond it."""
    x, y = {name: columns[name] for name in fit.law.variables}, columns[fit.response]
    most = SHOWN // max(1, len(cuts))
    fitted = _weighted(fit, x, y) if fit.members else _single(fit, x, y)
    return [_origin(fitted, x, y, where, cut, most) for cut in cuts]


def _single(fit: Fit, x: Mapping[str, Array], y: Array) -> Callable[[Rows], Forecast]:
    """How the law of a fit is fitted to some of the rows."""
    o = fit.objective
    fixed = {name: fit.params[name] for name in fit.law.names if name not in _free(fit)}
    loss = make(o.name, o.delta if o.delta is not None else 1e-3)
    data = Data(fit.law, x, y, loss, fixed, {})

    def below(rows: Rows) -> Forecast:
        own, ones = data.gathered(rows), np.ones(len(rows))
        made = estimate(own, ones, "row", np.arange(len(rows)), Options(bootstrap=0))
        return lambda ahead: data.law.loss(made.params, ahead)

    return below


def _weighted(fit: Fit, x: Mapping[str, Array], y: Array) -> Callable[[Rows], Forecast]:
    """How the laws of `auto` are weighed on some of the rows."""
    cost = cost_of(fit) if len(x) > 1 else None

    def below(rows: Rows) -> Forecast:
        law, _ = forecast({k: v[rows] for k, v in x.items()}, y[rows], cost=cost)
        return lambda ahead: law.loss({}, ahead)

    return below


def _origin(
    fitted: Callable[[Rows], Forecast],
    x: Mapping[str, Array],
    y: Array,
    where: Array,
    cut: float,
    most: int,
) -> dict[str, Any]:
    """Fit up to `cut` and score on what lies above; keep at most so many rows of it."""
    below = where <= cut * (1.0 + 1e-12)
    out: dict[str, Any] = {
        "cut": cut,
        "train": int(below.sum()),
        "test": int((~below).sum()),
        "factor": float(where.max() / cut),
        "rmse_log": None,
        "bias_log": None,
        "errors": [],
        "losses": [],
        "test_factor": [],
    }
    try:
        ahead = fitted(np.flatnonzero(below))
    except (ScalingError, np.linalg.LinAlgError):
        return out
    observed = y[~below]
    with np.errstate(all="ignore"):
        predicted = ahead({name: values[~below] for name, values in x.items()})
        error = np.log(predicted) - np.log(observed)
    if np.isfinite(error).all():
        out["rmse_log"] = float(np.sqrt((error**2).mean()))
        out["bias_log"] = float(error.mean())
        shown = thinned(np.argsort(where[~below], kind="stable"), most)
        out["errors"] = _short(error[shown])
        out["losses"] = _short(observed[shown])
        out["test_factor"] = _short(where[~below][shown] / cut)
    return out


def _short(values: Array) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in values]


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


def _no_likelihood(fits: Sequence[Fit]) -> str:
    name = fits[0].objective.name
    return f"No AICc or BIC: {name} is not a likelihood (--objective log-mse is)."


def _messages(
    rows: Sequence[dict[str, Any]], fits: Sequence[Fit], cuts: Sequence[float]
) -> list[Message]:
    out = []
    if not cuts:
        text = "Too few levels of compute for a rolling origin: laws are not ranked."
        out.append(Message("SC435", text))
    if all(row["aicc"] is None for row in rows):
        out.append(Message("SC435", _no_likelihood(fits), "info"))
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
