"""From a table to the fit `auto`: members, weights, and what they say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault, FitError
from scaling.fitting import checks as judge
from scaling.fitting.allocation import allocates, local_exponents
from scaling.fitting.auto.candidates import FUTURES, curve_candidates, surface_candidates
from scaling.fitting.auto.explain import explained
from scaling.fitting.auto.members import Member, inverse_of, members_of
from scaling.fitting.auto.mixture import Mixture, Part, mixture
from scaling.fitting.auto.noise import FOR_CURVES, FOR_SURFACES
from scaling.fitting.auto.notes import noted
from scaling.fitting.auto.points import Points, in_logs
from scaling.fitting.auto.weights import DOUBT, reach, weigh, widening
from scaling.fitting.conduct import conduct_checks
from scaling.fitting.evidence import monotone_checks, seed_checks
from scaling.fitting.inputs import column_of, cost_for, holdout_rows, place, weights_of
from scaling.fitting.options import Options
from scaling.fitting.parts import Check, Interval, Objective
from scaling.fitting.result import Fit
from scaling.laws import PROCEDURES
from scaling.laws.cost import Cost
from scaling.runs.table import RunsTable

Array = NDArray[np.float64]
Rows = NDArray[np.bool_]

NAME = "auto"
FEWEST = 6  # points at different scales
LIGHT = 0.01  # share of the draws below which a member is left out
MOST_PARTS = 12
KIND = "draws of weighted laws, widened by the errors of rolling origins"


def is_auto(law: object) -> TypeGuard[str]:
    """Whether a law that was asked for is the procedure."""
    return isinstance(law, str) and law in PROCEDURES


def forecast(
    x: Mapping[str, Array],
    y: Array,
    *,
    cost: Cost | None = None,
    weights: Array | None = None,
    name: str = NAME,
    response: str = "loss",
) -> tuple[Mixture, dict[str, Any]]:
    """Weigh laws by what they forecast.

    Parameters
    ----------
    x : mapping of str to ndarray
        One variable, or N and D, shape (n,), positive.
    y : ndarray
        Response, positive.
    cost : Cost, optional
        What compute is; needed with N and D.
    weights : ndarray, optional
        Of the rows.
    name, response : str
        For the result.

    Returns
    -------
    mixture : Mixture
    found : dict
        ``origins`` with what would have been forecast from each, ``evidence`` of all points,
        ``reach`` in ln of the scale, ``futures`` (weight and a mixture of each), ``future_of`` each
        law.

    Raises
    ------
    FitError
        SC401 if there are fewer than six points at different scales, SC103 for values that are not
        numbers above 0.
    """
    for known, values in {**x, response: y}.items():
        if not (np.isfinite(values) & (np.asarray(values) > 0)).all():
            found_in = f"{np.asarray(values).min():g}"
            raise FitError(Fault("SC103", f"law {name}, {known}", found_in, "numbers above 0"))
    scale = next(iter(x.values())) if cost is None else cost.compute(x["N"], x["D"])
    points = Points.of(x, y, np.asarray(scale, dtype=np.float64), weights)
    origins = points.origins()
    if len(origins) < 2 or points.n < FEWEST:
        wanted = f"{FEWEST} or more at different {'compute' if cost else next(iter(x))}"
        mend = "add runs, or name one law: --law power-D"
        span = float(np.exp(points.along[-1] - points.along[0])) if points.n else 1.0
        there = f"{points.n} points over a factor {span:.4g}"
        raise FitError(Fault("SC401", f"law {name}", there, wanted, mend))
    if cost is None:
        candidates, departures = curve_candidates(next(iter(x))), FOR_CURVES
    else:
        candidates, departures = surface_candidates(), FOR_SURFACES
    members = members_of(points, candidates, departures, origins)
    weight = weigh(members, points, origins, len(origins) - 1)
    wide = widening(members, points, origins)

    def made(chosen: Sequence[int]) -> Mixture:
        return mixture(name, response, _parts(members, weight, chosen), points, cost, *wide)

    futures = {}
    for future in FUTURES:
        own = [i for i, m in enumerate(members) if m.candidate.future == future]
        total = float(weight[own].sum()) if own else 0.0
        if total > LIGHT:
            futures[future] = (total, made(own))
    found = {
        "origins": _nested(members, points, origins),
        "evidence": max(m.evidence[-1] for m in members),
        "reach": reach(points, origins),
        "futures": futures,
        "future_of": {c.law.name: c.future for c in candidates},
    }
    return made(range(len(members))), found


def _parts(members: Sequence[Member], weight: Array, chosen: Sequence[int]) -> list[Part]:
    """The heavy ones among some members, heaviest first, with weights that add to 1."""
    own = np.array(chosen, dtype=int)
    share = (weight[own] / weight[own].max()) ** DOUBT
    share /= share.sum()
    order = np.argsort(-share, kind="stable")[:MOST_PARTS]
    order = order[share[order] >= LIGHT]
    kept, share = own[order], share[order] / share[order].sum()
    total = weight[kept] / weight[kept].sum()
    out = []
    for i, w, s in zip(kept, total, share, strict=True):
        m = members[i]
        z = m.modes.z[-1:]
        params = {name: float(v[0]) for name, v in m.data.params(z).items()}
        covariance, variance = inverse_of(m.modes.precision[-1]), float(m.modes.variance[-1])
        out.append(
            Part(m.candidate.law, params, covariance, variance, m.departure, float(w), float(s))
        )
    return out


def _nested(
    members: Sequence[Member], points: Points, origins: Sequence[int]
) -> list[dict[str, Any]]:
    """What would have been forecast from each origin, by weights from what lay below it."""
    out = []
    for k, cut in enumerate(origins[:-1]):
        error = weigh(members, points, origins, k) @ np.stack([m.error[k] for m in members])
        start = points.along[cut - 1]
        out.append(
            {
                "cut": float(np.exp(start)),
                "train": int(cut),
                "test": int(points.n - cut),
                "factor": float(np.exp(points.along[-1] - start)),
                "rmse_log": float(np.sqrt((error**2).mean())),
                "bias_log": float(error.mean()),
                "errors": [float(f"{e:.6g}") for e in error],
                "losses": [float(f"{v:.6g}") for v in points.y[cut:]],
                "test_factor": [float(f"{v:.6g}") for v in np.exp(points.along[cut:] - start)],
            }
        )
    return out


# ------------------------------------------------------------------------------------------ tables


def fit_auto(table: RunsTable, name: str, options: Options, group: str | None, member: Rows) -> Fit:
    """Fit `auto` to the rows of one group; see `scaling.fitting.fit.fit_group`.

    Raises
    ------
    ConfigError
        SC004 for options that mean nothing here, SC105 if a variable is missing.
    FitError
        SC401 if there are too few points.
    """
    from scaling.fitting.fit import rows_of, with_holdout

    refuse_options(options)
    used = table.used & member
    held = holdout_rows(table, options.holdout) & used
    train = used & ~held
    variables = _variables(table, name, train, group)
    response = options.response or "loss"
    if response not in table.frame:
        raise ConfigError(Fault("SC105", place(table, group), f"no column for {response}"))
    x = {v: column_of(table, v, train, positive=True) for v in variables}
    y = column_of(table, response, train, positive=True)
    cost = cost_for(table, train, options.cost)
    surface, weights = len(variables) > 1, weights_of(table, options)[train]
    law, found = forecast(
        x,
        y,
        cost=cost if surface else None,
        weights=weights,
        name=name,
        response=response,
    )
    draws = law.draw(options.bootstrap, options.seed) if options.bootstrap else {}
    params, interval = _exponents(law, draws, options, cost, x, len(y))
    checks = _checks(table.frame.loc[train], law, x, y, "row" if draws else None)
    messages, said = explained(law, found)
    messages += noted(x, y, weights, law.points, response)
    fit = Fit(
        group=group,
        law=law,
        params=params,
        objective=Objective("log-evidence", None, "sum", -float(found["evidence"])),
        status="converged",
        n=len(y),
        messages=tuple(judge.told(checks, messages) + messages),
        interval=interval,
        checks=tuple(checks),
        rows=rows_of(table, law, params, response, member, held),
        draws=draws,
        certificate={"free": list(law.parts[0].params), "at_bound": [], "auto": said},
        cost=cost.as_dict(),
        response=response,
        backtest={},
    )
    return with_holdout(fit, table, held, train, options) if held.any() else fit


def _checks(
    frame: pd.DataFrame, law: Mixture, x: Mapping[str, Array], y: Array, cluster: str | None
) -> list[Check]:
    """What the runs and their residuals can bear; none of it decides the status."""
    data, free = in_logs(law, x, y), len(law.parts[0].params)
    residual = np.log(law.loss({}, x)) - np.log(y)
    checks = [*judge.design_checks(x, free, len(y)), *judge.noise_checks(x, residual)]
    checks += seed_checks(frame, law, y, residual, free)
    checks += monotone_checks(frame, data, {}, residual)
    checks += conduct_checks(frame, law.variables, cluster)
    others = [v for v in ("N", "D") if v in frame and v not in law.variables]
    if law.variables != ("C",):
        for name in others:
            amounts = frame[name].dropna()
            levels = amounts.nunique()
            if levels > 1:
                found = (
                    f"{levels} values of {name} over a factor {amounts.max() / amounts.min():.3g}"
                )
                wanted = f"one {name} on a curve in {law.variables[0]}"
                checks.append(Check(f"{name} beside the curve", "warn", found, "SC451", wanted))
    return checks


def refuse_options(options: Options) -> None:
    """Refuse options that belong to the fit of one law.

    Raises
    ------
    ConfigError
        SC004, a fault an option.
    """
    plain = Options()
    given = {
        "--objective": options.objective != plain.objective,
        "--delta": options.delta != plain.delta,
        "--reduction": options.reduction != plain.reduction,
        "--fix": bool(options.fixed),
        "--bound": bool(options.bounds),
        "--interval-method": options.method != plain.method,
        "--profile": bool(options.profile),
        "--share": bool(options.share),
    }
    found, mend = "auto weighs several laws", "leave it out, or name the law: --law chinchilla"
    faults = [
        Fault("SC004", option, found, "the fit of one law", mend)
        for option, there in given.items()
        if there
    ]
    if faults:
        raise ConfigError(faults)


def _variables(table: RunsTable, name: str, train: Rows, group: str | None) -> tuple[str, ...]:
    """Which columns are extrapolated over: those named, or N and D where both vary, or the one."""
    frame = table.frame.loc[train]
    if name != NAME:
        variable = name.removeprefix(f"{NAME}-")
        if variable not in frame:
            raise ConfigError(Fault("SC105", place(table, group), f"no column for {variable}"))
        return (variable,)
    levels = {v: int(frame[v].nunique()) for v in ("N", "D", "C") if v in frame}
    if min(levels.get("N", 0), levels.get("D", 0)) > 1:
        x = {v: column_of(table, v, train, positive=True) for v in ("N", "D")}
        if judge.ray_span(x) <= judge.MIN_RATIO_SPAN and "C" in levels:
            return ("C",)  # runs along a ray are a curve
        few, many = sorted(("N", "D"), key=lambda v: levels[v])
        if levels[few] > 2:
            return ("N", "D")
        found = f"{levels[few]} values of {few} and {levels[many]} of {many}"
        wanted = f"three values or more of {few}, or one"
        mend = f"--law auto-{many} --group COLUMN for a curve of each {few}; or --where"
        raise FitError(Fault("SC401", place(table, group), found, wanted, mend))
    if not levels:
        mend = "name it with --map"
        raise ConfigError(
            Fault("SC105", place(table, group), "has none of N, D, C", "at least one", mend)
        )
    best = max(("D", "N", "C"), key=lambda v: levels.get(v, 0))
    if levels.get(best, 0) < FEWEST:
        wanted = f"{FEWEST} values or more of N, D or C"
        found = ", ".join(f"{k} {v}" for k, v in levels.items())
        found = f"distinct values: {found}" if train.any() else "0 runs"
        mend = "add runs at other scales, or name one law: --law power-D"
        raise FitError(Fault("SC401", place(table, group), found, wanted, mend))
    return (best,)


def _exponents(
    law: Mixture,
    draws: Mapping[str, Array],
    options: Options,
    cost: Cost,
    x: Mapping[str, Array],
    rows: int,
) -> tuple[dict[str, float], Interval | None]:
    """A and b at the largest compute, where there is an allocation, with their intervals."""
    params: dict[str, float] = {}
    bounds, errors = {}, {}
    if allocates(law):
        largest = float(np.asarray(cost.compute(x["N"], x["D"])).max())
        a, b = local_exponents(law, {}, largest, cost)
        if np.isfinite(a):
            params = {"a": float(a), "b": float(b)}
            tail = 50.0 * (1.0 - options.interval)
            drawn = local_exponents(law, draws, largest, cost) if draws else ((), ())
            for key, values in zip(("a", "b"), drawn, strict=True):
                good = np.asarray(values)[np.isfinite(values)]
                if len(good):
                    lo, hi = np.percentile(good, [tail, 100.0 - tail])
                    bounds[key], errors[key] = (float(lo), float(hi)), float(good.std())
                elif draws:
                    bounds[key], errors[key] = (np.nan, np.nan), np.nan
    if not draws:
        return params, None
    count = len(next(iter(draws.values())))
    return params, Interval(options.interval, KIND, count, 0, "row", rows, bounds, errors)
