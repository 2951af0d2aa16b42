"""Table and law to fit: the road that every estimate takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.errors import Fault, FitError, Message
from scaling.fitting import checks as judge
from scaling.fitting.allocation import allocates, best_size, local_exponents
from scaling.fitting.conduct import conduct_checks
from scaling.fitting.data import Data
from scaling.fitting.estimate import Estimate, estimate, profiles
from scaling.fitting.evidence import (
    holdout_check,
    log_residuals,
    monotone_checks,
    seed_checks,
    solution_checks,
)
from scaling.fitting.inputs import cost_for, data_of, holdout_rows, place, require, weights_of
from scaling.fitting.intervals import spread
from scaling.fitting.optima import Allocation
from scaling.fitting.options import Options, check_options
from scaling.fitting.parts import Check, Holdout, Interval, Objective
from scaling.fitting.prediction import Bands, cost_of, largest_compute
from scaling.fitting.result import Fit
from scaling.fitting.verdict import (
    covariance_of,
    frontier_exponents,
    interval_of,
    kind_of,
    verdict,
)
from scaling.laws import Law
from scaling.laws.cost import SIX_ND
from scaling.runs.table import RunsTable, clusters

Array = NDArray[np.float64]
Rows = NDArray[np.bool_]
ROUNDING = 1e-9
KNOWN = ("run", "group", "N", "D", "C", "loss", "budget", "seed", "status")
IF_SAID = ("N_embedding", "N_head", "N_body", "C_6nd", "D_unique", "epochs", "lr", "batch",
           "steps", "warmup", "schedule", "trunk")  # fmt: skip


def fit_group(table: RunsTable, law: Law, options: Options, group: str | None, member: Rows) -> Fit:
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
    held, train, data = prepare(table, law, options, group, member)
    weights = weights_of(table, options)[train]
    label, labels = clusters(table.frame.loc[train])
    found = estimate(data, weights, label, labels, options)
    profiled = profiles(found, weights, options) if options.profile else []
    fit = assemble(
        table,
        options,
        found,
        group=group,
        member=member,
        held=held,
        data=found.data,
        params=found.params,
        draws=found.columns(),
        weight=float(weights.sum()),
    )
    fit = replace(fit, profiles=tuple(profiled))
    return with_holdout(fit, table, held, train, options) if held.any() else fit


def prepare(
    table: RunsTable, law: Law, options: Options, group: str | None, member: Rows
) -> tuple[Rows, Rows, Data]:
    """Check what is asked of a group; return its held-out rows, its fitted rows and their arrays.

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
    return held, train, data


def assemble(
    table: RunsTable,
    options: Options,
    found: Estimate,
    *,
    group: str | None,
    member: Rows,
    held: Rows,
    data: Data,
    params: Mapping[str, float],
    draws: Mapping[str, Array],
    weight: float,
    notes: tuple[Message, ...] = (),
) -> Fit:
    """Put a fit together from an estimate and the arrays and parameters of its group.

    Parameters
    ----------
    table, options
    found : Estimate
    group, member, held
        Name, rows and held-out rows of the group.
    data : Data
        Arrays of the group under the law.
    params, draws : mapping
        Of the law's own parameters.
    weight : float
        Sum of the row weights behind the objective.
    notes : tuple of Message
        What else a reader must know.
    """
    law = data.law
    columns = {name: np.array([value]) for name, value in params.items()}
    r = data.residuals(data.internal(columns))[0][0]
    certificate = found.certificate
    if np.abs(r).max() < ROUNDING * max(1.0, float(np.abs(data.log_y).max())):
        r = np.zeros_like(r)  # rounding errors are no finding
    checks = [*judge.design_checks(data.x, len(data.free), data.n)]
    checks += judge.fit_checks(data.x, r, certificate["condition"], certificate["agreement"])
    checks += judge.noise_checks(data.x, r)
    checks += [found.rival] if found.rival else []
    narrow = not data.loss.squared and data.loss.delta < 0.5 * spread(r)
    if options.method == "wild" and narrow:
        text = "Wild intervals under a threshold far below the residuals cover too little."
        notes = (*notes, Message("SC423", text))
    interval, covariance, failed = None, {}, 0
    if found.draws is not None:
        failed = found.draws.failed
    cost = cost_for(table, table.used & member & ~held, options.cost)
    largest = float(cost.compute(data.x["N"], data.x["D"]).max()) if law.frontier else np.nan
    everything = {**params, **frontier_exponents(law, params, cost, largest)}
    if found.draws is not None and draws:
        factor = found.draws.factor
        kind = kind_of(options.method, found.cluster, factor)
        interval = interval_of(
            law,
            everything,
            draws,
            failed,
            options,
            kind,
            found.cluster,
            found.clusters,
            factor,
            frontier_exponents(law, draws, cost, largest),
        )
        covariance = covariance_of(data, data.internal(draws), factor)
    status, messages = verdict(
        data, certificate, found.objective, everything, interval, failed, checks, covariance
    )
    extra = _further(table.frame.loc[table.used & member & ~held], data, found, params, interval)
    checks += extra
    messages += judge.told(extra, messages)
    value = found.objective / weight if options.reduction == "mean" else found.objective
    delta = None if data.loss.squared else data.loss.delta
    return Fit(
        group=group,
        law=law,
        params=everything,
        objective=Objective(options.objective, delta, options.reduction, value),
        status=status,
        n=data.n,
        messages=(*notes, *messages),
        interval=interval,
        checks=tuple(checks),
        rows=rows_of(table, law, params, options.response or law.response, member, held),
        draws=draws,
        covariance=covariance,
        certificate=certificate,
        cost=cost.as_dict(),
        response=options.response or law.response,
    )


def _further(
    frame: pd.DataFrame,
    data: Data,
    found: Estimate,
    params: Mapping[str, float],
    interval: Interval | None,
) -> list[Check]:
    """Checks that limit what may be said, and do not decide the status."""
    failed = 0 if found.draws is None else found.draws.failed
    checks = solution_checks(data, found.certificate, params, interval, failed)
    logs = log_residuals(data, params)
    if logs is not None:
        checks += seed_checks(frame, data.law, data.y, logs, len(data.free))
    checks += monotone_checks(frame, data, params, logs)
    cluster = None if interval is None else found.cluster
    return [*checks, *conduct_checks(frame, data.law.variables, cluster)]


def surface_allocation(fit: Fit) -> Allocation | None:
    """Return the allocation that follows from a surface fit, or None if the law has none.

    Where a law's exponents change with compute they are those at the largest fitted compute.
    """
    if not allocates(fit.law) or set(fit.law.variables) != {"N", "D"}:
        return None
    blank = Allocation(
        fit.group, "surface", None, None, cost=fit.cost, method=fit.law.name, messages=fit.messages
    )
    if not fit.identified:
        return blank
    cost, largest = cost_of(fit), largest_compute(fit)
    own = {name: fit.params[name] for name in fit.law.names}
    u, v = best_size(fit.law, own, np.log([largest]), cost)
    if np.isnan(u[0]):
        text = f"The law {fit.law.name} has no optimum at the largest fitted compute."
        return replace(blank, messages=(*fit.messages, Message("SC430", text)))
    a, b = (float(x) for x in local_exponents(fit.law, own, largest, cost))
    interval = None
    if fit.interval is not None:
        bands = Bands(fit)
        ends = {}
        for k, (name, value) in enumerate((("a", a), ("b", b))):
            if name in fit.intervals:
                ends[name] = list(fit.intervals[name])
                continue
            drawn = np.asarray(local_exponents(fit.law, fit.draws, largest, cost)[k])
            lo, hi = bands.ends(bands.about(np.array(value), drawn), ())
            ends[name] = [float(lo), float(hi)]
        interval = {"level": fit.interval.level, "kind": fit.interval.kind, **ends}
    line = {
        "N": [float(u[0] - a * np.log(largest)), a],
        "D": [float(v[0] - b * np.log(largest)), b],
    }
    method = fit.law.name
    if fit.law.frontier is None or cost.formula != SIX_ND.formula:
        method += f", slopes at C = {largest:.3g}"
    return replace(blank, a=a, b=b, interval=interval, line=line, method=method, messages=())


def rows_of(
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
    said = [name for name in IF_SAID if name in frame and frame[name].notna().any()]
    for name in dict.fromkeys((*KNOWN, *law.variables, response, *said)):
        if name in frame:
            out[name] = [_cell(value) for value in frame[name].tolist()]
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


def with_holdout(fit: Fit, table: RunsTable, held: Rows, train: Rows, options: Options) -> Fit:
    """Score the held-out rows, and check that they are apart from the fit."""
    score = _score_holdout(fit, table, held, options)
    pairs = zip(fit.rows["residual"], fit.rows["used"], strict=True)
    own = np.array([r for r, used in pairs if used and r is not None])
    check = holdout_check(table.frame, held, train, score, float(np.sqrt((own**2).mean())))
    told = judge.told([check], fit.messages)
    return replace(fit, holdout=score, checks=(*fit.checks, check), messages=(*fit.messages, *told))


def _cell(value: Any) -> Any:
    """A value as JSON can say it; None for what is missing."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (str, bool, int, float)):
        return None if value != value else value
    return None if value is None or value is pd.NA or value is pd.NaT else str(value)


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
