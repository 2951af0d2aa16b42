"""Table and law to fit: the road that every estimate takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.errors import Fault, FitError
from scaling.fitting import checks as judge
from scaling.fitting.data import Data
from scaling.fitting.inputs import data_of, holdout_rows, place, require, weights_of
from scaling.fitting.intervals import draw
from scaling.fitting.options import Options, check_options
from scaling.fitting.result import Allocation, Fit, Holdout, Objective
from scaling.fitting.seeds import Seeds
from scaling.fitting.solve import MAX_ITERATIONS, Solution, refine
from scaling.fitting.verdict import (
    best_of,
    certify,
    covariance_of,
    frontier_exponents,
    interval_of,
    kind_of,
    rival,
    verdict,
)
from scaling.laws import Law
from scaling.runs.table import RunsTable, clusters

Array = NDArray[np.float64]
STARTS, MANY_STARTS = 8, 32
ROBUST = 1.345 * 1.4826
SMALLEST_DELTA = 1e-12


def fit_group(
    table: RunsTable, law: Law, options: Options, group: str | None, member: NDArray[np.bool_]
) -> Fit:
    """Fit `law` to the rows of one group.

    Parameters
    ----------
    table : RunsTable
    law : Law
    options : Options
    group : str or None
        Name for the result.
    member : ndarray of bool
        Rows of the group.

    Raises
    ------
    TableError
        SC105 if a variable is missing.
    FitError
        SC401 if there are not more points than parameters.
    """
    check_options(options, law)
    require(table, law, options.response, group)
    used = table.used & member
    held = holdout_rows(table, options.holdout) & used
    train = used & ~held
    data = data_of(table, law, options, train)
    if data.n <= len(data.free):
        expected = f"more than the {len(data.free)} free parameters of {law.name}"
        mend = "add runs, or fit a law with fewer parameters"
        raise FitError(Fault("SC401", place(table, group), f"{data.n} runs", expected, mend))
    weights = weights_of(table, options)[train]
    data, solution = _solve(data, weights, options)
    best = best_of(solution)
    params = {k: float(v[best]) for k, v in data.params(solution.z).items()}
    label, labels = clusters(table.frame.loc[train])
    certificate = certify(data, solution, best, weights)
    found = [*judge.design_checks(data.x, len(data.free), data.n)]
    r = data.residuals(solution.z[best : best + 1])[0][0]
    found += judge.fit_checks(data.x, r, certificate["condition"], certificate["agreement"])
    found += judge.noise_checks(data.x, r)
    other = rival(data, solution, best)
    found += [other] if other else []
    interval, draws, covariance, failed = None, {}, {}, 0
    if options.bootstrap and np.isfinite(solution.objective[best]):
        made = draw(
            data,
            weights,
            solution.z[best],
            labels,
            method=options.method,
            draws=options.bootstrap,
            seed=options.seed,
            level=options.interval,
        )
        draws, failed = data.params(made.z), made.failed
        if failed < options.bootstrap:
            count = int(labels.max()) + 1
            kind = kind_of(options.method, label, made.factor)
            interval = interval_of(law, draws, failed, options, kind, label, count)
            interval = replace(interval, factor=made.factor)
            covariance = covariance_of(data, made.z)
    params = params | frontier_exponents(law, params)
    status, messages = verdict(
        data, solution, best, params, interval, failed, found, covariance, float(data.y.min())
    )
    value = float(solution.objective[best])
    value = value / float(weights.sum()) if options.reduction == "mean" else value
    delta = None if data.loss.squared else data.loss.delta
    fit = Fit(
        group=group,
        law=law,
        params=params,
        objective=Objective(options.objective, delta, options.reduction, value),
        status=status,
        n=data.n,
        messages=tuple(messages),
        interval=interval,
        checks=tuple(found),
        rows=_rows(table, law, params, options.response or law.response, member, held),
        draws=draws,
        covariance=covariance,
        certificate=certificate,
    )
    return replace(fit, holdout=_score_holdout(fit, table, held, options)) if held.any() else fit


def surface_allocation(fit: Fit) -> Allocation | None:
    """Return the allocation that follows from a surface fit, or None if the law has none."""
    if fit.law.frontier is None:
        return None
    if not fit.identified:
        return Allocation(
            fit.group, "surface", None, None, method=fit.law.name, messages=fit.messages
        )
    interval = None
    if fit.interval is not None:
        bounds = {name: list(fit.interval.params[name]) for name in ("a", "b")}
        interval = {"level": fit.interval.level, "kind": fit.interval.kind, **bounds}
    one = float(np.asarray(fit.law.frontier.size(fit.params, 1.0)))
    a, b = fit.params["a"], fit.params["b"]
    line = {"N": [float(np.log(one)), a], "D": [float(-np.log(6.0 * one)), b]}
    return Allocation(fit.group, "surface", a, b, interval, line=line, method=fit.law.name)


def _solve(data: Data, weights: Array, options: Options) -> tuple[Data, Solution]:
    """Solve the fit of all rows; ``auto`` sets the threshold from the residuals, twice.

    Huber's 1.345 times the residuals' scale keeps 95% of least squares' precision under normal
    noise (Huber and Ronchetti 2009, sec. 7.7).
    """
    auto = options.delta == "auto" and not data.loss.squared
    if auto:
        data = replace(data, loss=replace(data.loss, delta=1e3))
    ways = Seeds(data, weights)
    starts = ways.best(weights[None, :], _start_count(data))[0]
    # Laws of many parameters have long curved valleys.
    limit = MAX_ITERATIONS * (1 if len(data.free) <= 6 else 10)
    solution = refine(data, starts, weights[None, :], per=len(starts), max_iterations=limit)
    for _ in range(2 if auto else 0):
        best = solution.z[int(solution.objective.argmin())]
        residual = data.residuals(best[None, :])[0][0]
        scale = ROBUST * float(np.median(np.abs(residual)))
        data = replace(data, loss=replace(data.loss, delta=max(scale, SMALLEST_DELTA)))
        starts = np.concatenate([best[None, :], starts[1:]])
        solution = refine(data, starts, weights[None, :], per=len(starts))
    return data, solution


def _start_count(data: Data) -> int:
    """More starts where the grid of non-linear parameters cannot be dense."""
    count = sum(not data.law.parameter(p).enters_linearly for p in data.free)
    return STARTS if count <= 2 else MANY_STARTS


def _rows(
    table: RunsTable,
    law: Law,
    params: Mapping[str, float],
    response: str,
    member: NDArray[np.bool_],
    held: NDArray[np.bool_],
) -> dict[str, list[Any]]:
    """Every row of the group in columns, with what the fit says of it."""
    frame = table.frame.loc[member]
    why = {item.row: item.why for item in table.dropped}
    out: dict[str, list[Any]] = {"row": [int(r) for r in table.rows[member]]}
    known = ("run", "group", "N", "D", "C", "loss", "budget", "seed", "status")
    for name in dict.fromkeys((*known, *law.variables, response)):
        if name in frame:
            out[name] = [None if pd.isna(v) else v for v in frame[name].tolist()]
    out["used"] = [bool(v) for v in (table.used & ~held)[member]]
    out["held_out"] = [bool(v) for v in held[member]]
    out["why"] = [why.get(row) for row in out["row"]]
    with np.errstate(all="ignore"):
        x = {v: frame[v].to_numpy(dtype=np.float64, na_value=np.nan) for v in law.variables}
        predicted = np.broadcast_to(law.loss(params, x), (len(frame),))
        residual = np.log(frame[response].to_numpy(dtype=np.float64)) - np.log(predicted)
    out["predicted"] = [float(v) if np.isfinite(v) else None for v in predicted]
    out["residual"] = [float(v) if np.isfinite(v) else None for v in residual]
    return out


def _score_holdout(
    fit: Fit, table: RunsTable, held: NDArray[np.bool_], options: Options
) -> Holdout:
    frame = table.frame.loc[held]
    x: dict[str, Any] = {v: frame[v].to_numpy(dtype=np.float64) for v in fit.law.variables}
    table_out = fit.predict(**x)
    loss = frame[options.response or fit.law.response].to_numpy(dtype=np.float64)
    error = np.log(table_out["loss"].to_numpy()) - np.log(loss)
    inside = (table_out["run_lo"] <= loss) & (loss <= table_out["run_hi"])
    return Holdout(
        where=options.holdout or "",
        n=int(held.sum()),
        rmse_log=float(np.sqrt((error**2).mean())),
        bias_log=float(error.mean()),
        coverage=float(inside.mean()) if fit.draws else None,
        factor=float(table_out["factor"].max()),
    )
