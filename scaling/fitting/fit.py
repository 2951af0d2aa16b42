"""Table and law to fit: the road that every estimate takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault, FitError, Message, TableError, clip
from scaling.fitting import checks as judge
from scaling.fitting import objectives
from scaling.fitting.data import Data
from scaling.fitting.intervals import METHODS, draw
from scaling.fitting.result import Allocation, Check, Fit, Holdout, Interval, Objective, Status
from scaling.fitting.seeds import Seeds
from scaling.fitting.solve import MAX_ITERATIONS, Solution, refine
from scaling.laws import Law
from scaling.runs.table import RunsTable, clusters

Array = NDArray[np.float64]
STARTS, MANY_STARTS = 8, 32
SAME = 1e-9  # relative difference of objectives that counts as the same optimum
MAX_RELATIVE_WIDTH = 2.0
TOO_CORRELATED = 0.99
ROBUST = 1.345 * 1.4826
SMALLEST_DELTA = 1e-12


@dataclass(frozen=True)
class Options:
    """How to fit; the defaults are those of the command line.

    Attributes
    ----------
    objective, delta, reduction : str, float, str
        See `scaling.fitting.objectives`.
    bootstrap : int
        Replicates; 0 for none.
    interval : float
        Level.
    seed : int
    fixed : mapping
        Parameters held at a value.
    bounds : mapping
        Bounds that replace the law's.
    holdout : str or None
        Condition on rows that are predicted, not fitted.
    weights : str or None
        Expression of row weights.
    noise : str or None
        Expression of each row's standard deviation, in the objective's scale; rows count by its
        inverse square.
    method : {"pairs", "wild", "delta"}
        How intervals are made; see `scaling.fitting.intervals`.
    response : str or None
        Column that the law gives; the law's own if None.
    """

    objective: str = "log-huber"
    delta: float | str | None = 1e-3
    reduction: str = "sum"
    bootstrap: int = 1000
    interval: float = 0.95
    seed: int = 0
    fixed: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    holdout: str | None = None
    weights: str | None = None
    noise: str | None = None
    method: str = "pairs"
    response: str | None = None


def check_options(options: Options, law: Law) -> None:
    """Refuse options that cannot be meant.

    Raises
    ------
    ConfigError
        SC004.
    """
    faults = []
    if options.reduction not in objectives.REDUCTIONS:
        faults.append(Fault("SC004", "--reduction", f'"{options.reduction}"', "sum or mean"))
    if options.method not in METHODS:
        known = "one of " + ", ".join(METHODS)
        faults.append(Fault("SC004", "--interval-method", f'"{options.method}"', known))
    if options.bootstrap < 0:
        faults.append(Fault("SC004", "--bootstrap", str(options.bootstrap), "0 or more"))
    if not 0 < options.interval < 1:
        faults.append(Fault("SC004", "--interval", str(options.interval), "between 0 and 1"))
    for option, names in (("--fix", options.fixed), ("--bound", options.bounds)):
        for name in names:
            if name not in law.names:
                known = ", ".join(law.names)
                faults.append(Fault("SC004", option, f'law {law.name} has no "{name}"', known))
    for name, value in options.fixed.items():
        if name in law.names:
            low, high = law.parameter(name).low, law.parameter(name).high
            if not low <= value <= high:
                expected = f"from {low:g} to {high:g}"
                faults.append(Fault("SC004", f"--fix {name}", f"{value:g}", expected))
    for name, (low, high) in options.bounds.items():
        if not low < high:
            faults.append(Fault("SC004", f"--bound {name}", f"{low}:{high}", "LOW:HIGH"))
    if faults:
        raise ConfigError(faults)


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
    _require(table, law, options.response, group)
    used = table.used & member
    held = holdout_rows(table, options.holdout) & used
    train = used & ~held
    data = _data(table, law, options, train)
    if data.n <= len(data.free):
        expected = f"more than the {len(data.free)} free parameters of {law.name}"
        mend = "add runs, or fit a law with fewer parameters"
        raise FitError(Fault("SC401", _place(table, group), f"{data.n} runs", expected, mend))
    weights = _weights(table, options)[train]
    data, solution = _solve(data, weights, options)
    best = _best(solution)
    params = {k: float(v[best]) for k, v in data.params(solution.z).items()}
    label, labels = clusters(table.frame.loc[train])
    certificate = _certificate(data, solution, best, weights)
    found = [*judge.design_checks(data.x, len(data.free), data.n)]
    r = data.residuals(solution.z[best : best + 1])[0][0]
    found += judge.fit_checks(data.x, r, certificate["condition"], certificate["agreement"])
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
            kind = _kind(options.method, label, made.factor)
            interval = _interval(law, draws, failed, options, kind, label, count)
            interval = replace(interval, factor=made.factor)
            covariance = _covariance(data, made.z)
    params = params | _exponents(law, params)
    status, messages = _verdict(
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


def groups(table: RunsTable, column: str | None) -> list[tuple[str | None, NDArray[np.bool_]]]:
    """Split the table into groups; one nameless group if there is no such column.

    Raises
    ------
    ConfigError
        SC105 if `column` is not in the table.
    """
    everything = np.ones(len(table), dtype=bool)
    if column is None:
        if "group" not in table.frame or table.frame["group"].nunique() < 2:
            named = "group" in table.frame
            only = set(table.frame["group"].dropna().astype(str)) if named else set()
            return [(only.pop() if len(only) == 1 else None, everything)]
        column = "group"
    if column not in table.frame:
        raise ConfigError(
            Fault(
                "SC105",
                "--group",
                f'no column "{column}"',
                "one of " + ", ".join(map(str, table.frame)),
            )
        )
    values = table.frame[column].astype(str).to_numpy()
    return [(name, values == name) for name in sorted(set(values))]


# ---------------------------------------------------------------------------------------- pieces


def _place(table: RunsTable, group: str | None) -> str:
    return (table.file or "frame") + (f" group {group}" if group else "")


def _require(table: RunsTable, law: Law, response: str | None, group: str | None) -> None:
    needed = (*law.variables, response or law.response)
    missing = [v for v in needed if v not in table.frame]
    if missing:
        raise TableError(
            Fault(
                "SC105",
                _place(table, group),
                f"no column for {missing[0]}",
                f"law {law.name} needs " + ", ".join(needed),
                f"--map {missing[0]}='source[\"…\"]'",
            )
        )


def _data(table: RunsTable, law: Law, options: Options, rows: NDArray[np.bool_]) -> Data:
    x = {v: _column(table, v, rows) for v in law.variables}
    loss = objectives.make(options.objective, _given_delta(options.delta))
    y = _column(table, options.response or law.response, rows)
    if loss.logs and not (y > 0).all():
        at = int(table.rows[rows][np.flatnonzero(~(y > 0))[0]])
        raise TableError(
            Fault(
                "SC103",
                f'{table.file or "frame"}:{at}  column "{options.response or law.response}"',
                f"{y[y <= 0][0]:g} has no logarithm",
                f"positive values for the objective {options.objective}",
                "--objective huber or mse, which compare levels",
            )
        )
    return Data(law, x, y, loss, dict(options.fixed), dict(options.bounds))


def _column(table: RunsTable, name: str, rows: NDArray[np.bool_]) -> Array:
    """Return a column of the fitted rows as numbers.

    Raises
    ------
    TableError
        SC102 if it holds text, SC103 if a value is missing or infinite.
    """
    values = table.frame[name]
    try:
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)[rows]
    except (TypeError, ValueError):
        text = clip(str(values.iloc[0]))
        where = f'{table.file or "frame"}  column "{name}"'
        raise TableError(Fault("SC102", where, f'"{text}" is not a number', "numbers")) from None
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        where = f'{table.file or "frame"}:{int(table.rows[rows][bad[0]])}  column "{name}"'
        found = f"{numbers[bad[0]]}".replace("nan", "empty")
        mend = 'fill it in, or leave the row out with --where'
        raise TableError(Fault("SC103", where, found, "a finite number", mend))
    return np.ascontiguousarray(numbers)


def _given_delta(delta: float | str | None) -> float | None:
    """Return a threshold that was given; None for ``auto``, which the residuals decide.

    Raises
    ------
    ConfigError
        SC004 for any other text.
    """
    if isinstance(delta, str):
        if delta != "auto":
            expected = "a number above 0, such as 1e-3, or auto"
            raise ConfigError(Fault("SC004", "--delta", f'"{clip(delta)}"', expected))
        return None
    return delta


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


def _condition_rows(table: RunsTable, text: str | None, option: str) -> NDArray[np.bool_]:
    from scaling.expressions import parse

    if text is None:
        return np.zeros(len(table), dtype=bool)
    found = np.asarray(parse(text, where=option).value(table.environment()))
    if found.dtype != np.bool_ or found.shape != (len(table),):
        raise ConfigError(Fault("SC020", option, text, "a comparison such as C > 1e20"))
    return found


def holdout_rows(table: RunsTable, text: str | None) -> NDArray[np.bool_]:
    """Return which rows a condition holds out; none without a condition."""
    return _condition_rows(table, text, "--holdout")


def _weights(table: RunsTable, options: Options) -> Array:
    """Weights of rows: those given, times the inverse square of the noise that is known."""
    weights = _amounts(table, options.weights, "--weights")
    noise = _amounts(table, options.noise, "--noise")
    used = noise[table.used]
    if not (used > 0).all():
        raise ConfigError(Fault("SC004", "--noise", clip(options.noise or ""), "values above 0"))
    typical = float(np.exp(np.log(used).mean())) if len(used) else 1.0
    with np.errstate(all="ignore"):
        return weights * (typical / noise) ** 2


def _amounts(table: RunsTable, text: str | None, option: str) -> Array:
    """Evaluate an expression to one finite amount a row; ones without it."""
    from scaling.expressions import parse

    if text is None:
        return np.ones(len(table))
    value = np.asarray(parse(text, where=option).value(table.environment()))
    if value.dtype.kind not in "fiub":
        raise ConfigError(Fault("SC020", option, f"{clip(text)} is text", "an amount a row"))
    amounts = np.broadcast_to(value.astype(np.float64), (len(table),)).copy()
    used = amounts[table.used]
    if not (np.isfinite(used) & (used >= 0)).all() or not used.any():
        expected = "finite values, 0 or more, not all 0"
        raise ConfigError(Fault("SC004", option, clip(text), expected))
    return amounts


def _best(solution: Solution) -> int:
    """Index of the lowest objective; among equals, of one that converged."""
    lowest = solution.objective.min()
    equal = _same(solution.objective, lowest)
    return int(np.argmax(equal * (1 + solution.converged)))


def _same(objective: Array, lowest: float) -> NDArray[np.bool_]:
    return np.abs(objective - lowest) <= SAME * max(abs(lowest), 1e-300) + 1e-18


def _start_count(data: Data) -> int:
    """More starts where the grid of non-linear parameters cannot be dense."""
    count = sum(not data.law.parameter(p).enters_linearly for p in data.free)
    return STARTS if count <= 2 else MANY_STARTS


def _certificate(data: Data, solution: Solution, best: int, weights: Array) -> dict[str, Any]:
    value = solution.objective[best]
    same = _same(solution.objective, value)
    _, jacobian = data.residuals(solution.z[best : best + 1])
    shape = np.array([not data.law.parameter(p).enters_linearly for p in data.free], dtype=bool)
    condition = _condition(jacobian[0] * np.sqrt(weights), shape, float(weights.sum()))
    at_bound = [p for p, hit in zip(data.free, solution.at_bound[best], strict=True) if hit]
    return {
        "starts": len(solution.objective),
        "agreement": float(same.mean()),
        "decrement": float(solution.decrement[best]),
        "converged": bool(solution.converged[best]),
        "iterations": int(solution.iterations[best]),
        "condition": condition,
        "at_bound": at_bound,
    }


def _condition(jacobian: Array, shape: NDArray[np.bool_], weight: float) -> float:
    """Reciprocal condition of the curvature that does not depend on the units of the variables.

    The coefficients are judged by the angles between their columns. The exponents are judged by
    what they change beyond the reach of all coefficients (Golub and Pereyra 1973, variable
    projection): another unit of N adds a multiple of a coefficient's column to an exponent's,
    which that projection removes.

    Parameters
    ----------
    jacobian : ndarray
        Weighted derivatives of the residuals, shape (p, n).
    shape : ndarray of bool
        Which parameters are exponents, shape (p,).
    weight : float
        Sum of the weights.
    """
    columns = jacobian[~shape]
    norms = np.sqrt((columns**2).sum(axis=1))
    columns = columns / np.where(norms > 0, norms, 1.0)[:, None]
    ratios = [1.0]
    beyond = jacobian[shape] / np.sqrt(weight)
    if len(columns):
        _, values, basis = np.linalg.svd(columns, full_matrices=False)
        ratios.append(float(values[-1] / values[0]))
        beyond = beyond - (beyond @ basis.T) @ basis
    if len(beyond):
        ratios.append(float(np.linalg.svd(beyond, compute_uv=False)[-1]))
    return min(ratios) ** 2


def _exponents(law: Law, params: Mapping[str, Any]) -> dict[str, Any]:
    if law.frontier is None:
        return {}
    a, b = law.frontier.exponents(params)
    return {"a": a, "b": b}


def _kind(method: str, cluster: str, factor: float) -> str:
    """Name the kind of an interval in full."""
    unit = "" if cluster == "row" else f" by {cluster}"
    name = {
        "pairs": "pairs bootstrap" if cluster == "row" else f"cluster bootstrap{unit}",
        "wild": f"wild bootstrap{unit}, Webb weights",
        "delta": f"sandwich covariance{unit}, normal draws",
    }[method]
    return f"{name}, percentile, small-sample factor {factor:.2f}"


def _interval(
    law: Law,
    draws: Mapping[str, Array],
    failed: int,
    options: Options,
    kind: str,
    cluster: str,
    count: int,
) -> Interval:
    everything = {**draws, **_exponents(law, draws)}
    tail = 50.0 * (1.0 - options.interval)
    bounds, errors = {}, {}
    for name, values in everything.items():
        lo, hi = np.percentile(values, [tail, 100.0 - tail])
        bounds[name] = (float(lo), float(hi))
        errors[name] = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    kept = len(next(iter(draws.values())))
    return Interval(options.interval, kind, kept, failed, cluster, count, bounds, errors)


def _covariance(data: Data, z: Array) -> dict[str, Any]:
    """Covariance over the draws, and the independent directions it is made of.

    ``axes`` are in the coordinates of the solver (logarithms of positive parameters): each is a
    combination of parameters that varies independently of the others, with its standard deviation.
    """
    names = list(data.free)
    if len(names) < 2 or len(z) < 3:
        return {}
    columns = data.params(z)
    matrix = np.cov(np.stack([columns[name] for name in names]))
    values, vectors = np.linalg.eigh(np.cov(z.T))
    labels = [f"ln {n}" if log else n for n, log in zip(names, data.in_log, strict=True)]
    axes = [
        {"sd": float(np.sqrt(max(value, 0.0))), "loadings": dict(zip(labels, map(float, v), strict=True))}
        for value, v in zip(values, vectors.T, strict=True)
    ]
    return {"names": names, "matrix": matrix.tolist(), "axes": axes}


def _verdict(
    data: Data,
    solution: Solution,
    best: int,
    params: Mapping[str, float],
    interval: Interval | None,
    failed: int,
    found: list[Check],
    covariance: Mapping[str, Any],
    lowest: float,
) -> tuple[Status, list[Message]]:
    """Status of the fit and everything a reader must be told."""
    messages = [
        Message(c.code, f"{c.name}: {c.found}.")
        for c in found
        if c.verdict != "pass" and c.code is not None
    ]
    if interval is None and failed:
        text = f"All {failed} bootstrap replicates failed: no intervals."
        messages.append(Message("SC409", text))
    elif interval is None:
        messages.append(Message("SC416", "No intervals: the fit was made without bootstrap."))
    else:
        messages += judge.interval_messages(interval, params, lowest)
        messages += _correlations(covariance)
    names = [p for p, hit in zip(data.free, solution.at_bound[best], strict=True) if hit]
    if names:
        text = ", ".join(f"{name} = {params[name]:.4g}" for name in names)
        messages.append(Message("SC404", f"On its bound: {text}."))
    if not np.isfinite(solution.objective[best]):
        return "failed", [*messages, Message("SC408", "No start gave a finite objective.", "error")]
    failures = [c for c in found if c.verdict == "fail"]
    wide = None if interval is None else judge.widest_exponent(interval, params)
    if failures or (wide is not None and wide[1] > MAX_RELATIVE_WIDTH):
        why = (
            failures[0].found
            if failures
            else (f"the interval of {wide[0]} is {wide[1]:.1f} times its value" if wide else "")
        )
        text = f"The runs do not determine this law: {why}."
        return "not-identified", [*messages, Message("SC405", text, "error")]
    if not solution.converged[best]:
        text = "The optimiser stopped before its gradient vanished."
        return "max-iterations", [*messages, Message("SC408", text)]
    return ("at-bound" if names else "converged"), messages


def _correlations(covariance: Mapping[str, Any]) -> list[Message]:
    if not covariance:
        return []
    names, matrix = covariance["names"], np.asarray(covariance["matrix"])
    sd = np.sqrt(np.diag(matrix))
    with np.errstate(all="ignore"):
        correlation = matrix / np.outer(sd, sd)
    out = []
    for i, p in enumerate(names):
        for j in range(i + 1, len(names)):
            if abs(correlation[i, j]) > TOO_CORRELATED:
                text = f"{p} and {names[j]} correlate {correlation[i, j]:+.3f}: quote predictions, "
                out.append(Message("SC415", text + f"not {p}.", "info"))
    return out


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
