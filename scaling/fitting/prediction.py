"""From a fit to decisions: loss at a size and amount of data, best allocation at a compute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.errors import Fault, FitError
from scaling.fitting.spread import spread_about

if TYPE_CHECKING:
    from scaling.fitting.result import Fit

Array = NDArray[np.float64]
TOKENS_OF_C = 6.0


def predict(fit: Fit, *, level: float | None = None, **x: Any) -> pd.DataFrame:
    """Predict the mean of runs, and a single new run.

    Parameters
    ----------
    fit : Fit
    level : float, optional
        Level of the intervals; the fit's own if None.
    **x : float or array_like
        The law's variables, such as N (parameters), D (tokens), C (FLOP). They broadcast.

    Returns
    -------
    DataFrame
        The inputs, ``loss`` (the law's response), ``lo``, ``hi`` (percentiles of the curve over the
        draws), ``run_lo``, ``run_hi`` (the same for one new run: a draw of the curve and of the
        residuals), ``factor`` (compute over the largest fitted compute) and ``inside_hull``. Bounds
        are NaN without draws.

    Raises
    ------
    FitError
        SC105 if a variable of the law is missing.
    """
    given = {k: np.atleast_1d(np.asarray(v, float)) for k, v in x.items() if v is not None}
    missing = [v for v in fit.law.variables if v not in given]
    if missing:
        raise FitError(
            Fault(
                "SC105",
                f"law {fit.law.name}",
                f"needs {missing[0]}",
                "values of " + ", ".join(fit.law.variables),
            )
        )
    shape = np.broadcast_shapes(*(v.shape for v in given.values()))
    data = {k: np.broadcast_to(v, shape) for k, v in given.items()}
    loss = fit.law.loss(fit.params, data)
    chosen = _level(fit, level)
    draws = _about(fit, loss, _draw_losses(fit, data))
    lo, hi = _band(draws, chosen, shape)
    run_lo, run_hi = _band(_new_runs(fit, draws), chosen, shape)
    compute = data.get(
        "C", TOKENS_OF_C * data["N"] * data["D"] if {"N", "D"} <= set(data) else None
    )
    columns: dict[str, Any] = {**data, "loss": loss, "lo": lo, "hi": hi}
    columns |= _extrapolation(fit, data, compute, shape)
    columns |= {"run_lo": run_lo, "run_hi": run_hi}
    return pd.DataFrame(columns)


def _new_runs(fit: Fit, draws: Array) -> Array:
    """Add to every draw of the curve the residual of a run, spread for the degrees of freedom.

    Residuals are in the objective's scale, logs or levels. They are not centred: a robust curve
    need not be the mean. They are taken in a fixed random order, so that the same fit gives the
    same interval.
    """
    if not len(draws):
        return draws
    used = np.asarray(fit.rows["used"], dtype=bool)
    logs = fit.objective.name.startswith("log-") or fit.objective.name == "asymmetric"
    if logs:
        residual = np.asarray(fit.rows["residual"], dtype=np.float64)[used]
    else:
        seen, curve = (
            np.asarray(fit.rows[n], dtype=np.float64) for n in (fit.response, "predicted")
        )
        residual = (seen - curve)[used]
    left = max(1, len(residual) - len(fit.certificate.get("free", fit.law.names)))
    residual = np.sqrt(len(residual) / left) * residual
    picked = np.random.default_rng(0).choice(residual, size=len(draws))
    picked = picked.reshape(-1, *(1,) * (draws.ndim - 1))
    return draws * np.exp(picked) if logs else draws + picked


def optimal(fit: Fit, *, C: Any, level: float | None = None) -> pd.DataFrame:
    """Compute-optimal N and D under C = 6ND, with the loss there.

    Parameters
    ----------
    fit : Fit
        Of a law with a frontier.
    C : float or array_like
        Compute [FLOP, 6ND].
    level : float, optional
        Level of the intervals; the fit's own if None.

    Returns
    -------
    DataFrame
        ``C, N, N_lo, N_hi, D, D_lo, D_hi, loss, lo, hi, factor, inside_hull``; bounds are NaN
        without bootstrap.

    Raises
    ------
    FitError
        SC405 if the law has no frontier.
    """
    frontier = fit.law.frontier
    if frontier is None:
        raise FitError(
            Fault(
                "SC405",
                f"law {fit.law.name}",
                "has no compute-optimal allocation",
                "a law of both N and D, such as chinchilla",
            )
        )
    compute = np.atleast_1d(np.asarray(C, dtype=np.float64))
    size = np.asarray(frontier.size(fit.params, compute))
    tokens = compute / (TOKENS_OF_C * size)
    chosen = _level(fit, level)
    columns: dict[str, Any] = {"C": compute, "N": size}
    draws = {k: v[:, None] for k, v in fit.draws.items()}
    if draws:
        sizes = np.asarray(frontier.size(draws, compute[None, :]))
        data_draws = compute[None, :] / (TOKENS_OF_C * sizes)
        losses = fit.law.loss(draws, {"N": sizes, "D": data_draws})
        best = fit.law.loss(fit.params, {"N": size, "D": tokens})
        sizes, data_draws = _about(fit, size, sizes), _about(fit, tokens, data_draws)
        losses = _about(fit, best, losses)
    else:
        sizes = data_draws = losses = np.zeros((0, len(compute)))
    columns["N_lo"], columns["N_hi"] = _band(sizes, chosen, compute.shape)
    columns["D"] = tokens
    columns["D_lo"], columns["D_hi"] = _band(data_draws, chosen, compute.shape)
    columns["loss"] = fit.law.loss(fit.params, {"N": size, "D": tokens})
    columns["lo"], columns["hi"] = _band(losses, chosen, compute.shape)
    point = {"N": size, "D": tokens}
    columns |= _extrapolation(fit, point, compute, compute.shape)
    return pd.DataFrame(columns)


def _level(fit: Fit, level: float | None) -> float:
    if level is not None:
        return level
    return fit.interval.level if fit.interval else 0.95


def _draw_losses(fit: Fit, data: Mapping[str, Array]) -> Array:
    if not fit.draws:
        return np.zeros((0, *next(iter(data.values())).shape))
    draws = {k: v[:, None] for k, v in fit.draws.items()}
    return fit.law.loss(draws, {k: v[None, :] for k, v in data.items()})


def _about(fit: Fit, estimate: Array, draws: Array) -> Array:
    """Spread draws of a quantity by the fit's small-sample factor."""
    factor = fit.interval.factor if fit.interval else 1.0
    positive = bool((np.asarray(estimate) > 0).all() and (draws > 0).all())
    return spread_about(estimate, draws, factor, log=positive)


def _band(draws: Array, level: float, shape: tuple[int, ...]) -> tuple[Array, Array]:
    if not len(draws):
        empty = np.full(shape, np.nan)
        return empty, empty
    tail = 50.0 * (1.0 - level)
    lo, hi = np.percentile(draws, [tail, 100.0 - tail], axis=0)
    return lo, hi


def _extrapolation(
    fit: Fit, data: Mapping[str, Array], C: Array | None, shape: tuple[int, ...]
) -> dict[str, Any]:
    """How far beyond the fitted runs a point lies, in compute, and whether in their hull."""
    fitted = fit.fitted
    N, D = data.get("N"), data.get("D")
    unknown = np.full(shape, None, dtype=object)
    if {"N", "D"} <= set(fitted):
        largest = float((TOKENS_OF_C * fitted["N"] * fitted["D"]).max())
    else:
        largest = float(fitted["C"].max()) if "C" in fitted else np.nan
    if C is None:
        variable = fit.law.variables[0]
        factor = data[variable] / fitted[variable].max()
    else:
        factor = C / largest
    if N is None or D is None or not {"N", "D"} <= set(fitted):
        return {"factor": factor, "inside_hull": unknown}
    cloud = np.column_stack([np.log(fitted["N"]), np.log(fitted["D"])])
    return {"factor": factor, "inside_hull": inside_hull(cloud, np.log(N), np.log(D))}


def inside_hull(cloud: Array, x: Array, y: Array) -> NDArray[np.bool_]:
    """Tell which points (x, y) lie in the convex hull of `cloud`, shape (n, 2).

    Three points are inside the hull if they lie left of every edge (Andrew's monotone chain).
    """
    points = np.unique(cloud, axis=0)
    if len(points) < 3:
        return np.zeros(np.shape(x), dtype=bool)

    def half(ordered: Array) -> list[Array]:
        chain: list[Array] = []
        for p in ordered:
            while len(chain) >= 2 and _turn(chain[-2], chain[-1], p) <= 1e-12:
                chain.pop()
            chain.append(p)
        return chain[:-1]

    hull = np.array(half(points) + half(points[::-1]))
    if len(hull) < 3:
        return np.zeros(np.shape(x), dtype=bool)
    inside = np.ones(np.shape(x), dtype=bool)
    for p, q in zip(hull, np.roll(hull, -1, axis=0), strict=True):
        inside &= (q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0]) >= -1e-9
    return inside


def _turn(p: Array, q: Array, r: Array) -> float:
    return float((q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]))
