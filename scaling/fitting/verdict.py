"""What a solution is worth: its certificate, its intervals, and what must be said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import Message
from scaling.fitting import checks as judge
from scaling.fitting.allocation import local_exponents
from scaling.fitting.data import Data
from scaling.fitting.options import Options
from scaling.fitting.parts import Check, Interval
from scaling.fitting.result import Status
from scaling.fitting.solve import Solution
from scaling.fitting.spread import spread_about
from scaling.laws import Law
from scaling.laws.cost import Cost

Array = NDArray[np.float64]
SAME = 1e-9  # relative difference of objectives that counts as the same optimum
MAX_RELATIVE_WIDTH = 2.0
TOO_CORRELATED = 0.99
RIVAL_SHARE, RIVAL_DISTANCE = 0.01, 0.4
ROUNDING_OBJECTIVE = 1e-20
TOP = 10  # starts whose objectives are kept


def certify(data: Data, solution: Solution, best: int, weights: Array) -> dict[str, Any]:
    """Say how the optimum was found: starts, agreement, gradient, conditioning, bounds.

    ``decrement`` is the decrease of the objective that a Newton step still foresees, relative to
    it; ``gradient`` the largest derivative by a parameter in units in which the curvature is 1.
    """
    value = solution.objective[best]
    same = _same(solution.objective, value)
    _, jacobian = data.residuals(solution.z[best : best + 1])
    shape = np.array([not data.law.parameter(p).enters_linearly for p in data.free], dtype=bool)
    condition = _condition(jacobian[0] * np.sqrt(weights), shape, float(weights.sum()))
    at_bound = [p for p, hit in zip(data.free, solution.at_bound[best], strict=True) if hit]
    return {
        "free": list(data.free),
        "starts": len(solution.objective),
        "agreement": float(same.mean()),
        "objectives": _excess(solution.objective, value, data.n),
        "decrement": float(solution.decrement[best]),
        "gradient": float(np.sqrt(2.0 * max(solution.decrement[best], 0.0) * max(value, 0.0))),
        "converged": bool(solution.converged[best]),
        "iterations": int(solution.iterations[best]),
        "condition": condition,
        "at_bound": at_bound,
    }


def _excess(objective: Array, value: float, n: int) -> list[float]:
    """How far the best ten starts end above the best, relative to it; empty if it is rounding."""
    if not np.isfinite(value) or value <= ROUNDING_OBJECTIVE * n:
        return []
    best = np.sort(objective[np.isfinite(objective)])[:TOP]
    return [float(max(x / value - 1.0, 0.0)) for x in best]


def rival(data: Data, solution: Solution, best: int) -> Check | None:
    """Say where else a start ended at nearly the best objective, if anywhere."""
    value = solution.objective[best]
    if value <= ROUNDING_OBJECTIVE * data.n:
        return None
    close = solution.converged & (solution.objective <= (1.0 + RIVAL_SHARE) * value)
    distance = np.abs(solution.z - solution.z[best])
    far = close & (distance > RIVAL_DISTANCE * np.where(data.in_log, 1.0, 0.5)).any(axis=1)
    if not far.any():
        return None
    other = int(np.flatnonzero(far)[solution.objective[far].argmin()])
    columns = data.params(solution.z[[best, other]])
    name = data.free[int(distance[other].argmax())]
    here, there = sorted(np.abs(columns[name]))
    more = max(solution.objective[other] / value - 1.0, 0.0)  # its like may end a rounding lower
    found = f"{name} differs by a factor {there / max(here, 1e-300):.3g} at {more:.2%} more cost"
    wanted = f"no other parameters within {RIVAL_SHARE:.0%} of the best objective"
    return Check("rival optimum", "warn", found, "SC419", wanted)


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


def covariance_of(data: Data, z: Array, factor: float) -> dict[str, Any]:
    """Covariance over the draws, and the independent directions it is made of.

    ``axes`` are in the coordinates of the solver (logarithms of positive parameters): each is a
    combination of parameters that varies independently of the others, with its standard deviation.
    """
    names = list(data.free)
    if len(names) < 2 or len(z) < 3:
        return {}
    columns = data.params(z)
    matrix = factor**2 * np.cov(np.stack([columns[name] for name in names]))
    values, vectors = np.linalg.eigh(factor**2 * np.cov(z.T))
    labels = [f"ln {n}" if log else n for n, log in zip(names, data.in_log, strict=True)]
    axes = [
        {
            "sd": float(np.sqrt(max(value, 0.0))),
            "loadings": dict(zip(labels, map(float, v), strict=True)),
        }
        for value, v in zip(values, vectors.T, strict=True)
    ]
    return {"names": names, "matrix": matrix.tolist(), "axes": axes}


def verdict(
    data: Data,
    certificate: Mapping[str, Any],
    objective: float,
    params: Mapping[str, float],
    interval: Interval | None,
    failed: int,
    found: list[Check],
    covariance: Mapping[str, Any],
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
        shapes = [p for p in data.free if data.law.parameter(p).role == "shape"]
        messages += judge.interval_messages(interval, params, float(data.y.min()), shapes)
        messages += _correlations(covariance)
    names = certificate["at_bound"]
    if names:
        text = ", ".join(f"{name} = {params[name]:.4g}" for name in names)
        messages.append(Message("SC404", f"On its bound: {text}."))
    if not np.isfinite(objective):
        return "failed", [*messages, Message("SC408", "No start gave a finite objective.", "error")]
    failures = [c for c in found if c.verdict == "fail"]
    wide = None if interval is None else judge.widest_exponent(interval, params)
    if failures or (wide is not None and wide[1] > MAX_RELATIVE_WIDTH):
        why = (
            f"{failures[0].name}, {failures[0].found}"
            if failures
            else (f"the interval of {wide[0]} is {wide[1]:.1f} times its value" if wide else "")
        )
        text = f"The runs do not determine this law: {why}."
        mend = _way_on(data.law, data.x, [c.name for c in failures])
        return "not-identified", [*messages, Message("SC405", text, "error", mend=mend)]
    if not certificate["converged"]:
        text = "The optimiser stopped before its gradient vanished."
        return "max-iterations", [*messages, Message("SC408", text)]
    return ("at-bound" if names else "converged"), messages


def _way_on(law: Law, x: Mapping[str, Array], failures: Sequence[str]) -> str:
    """Say what would be identified: other runs, or a law of what does vary."""
    wanting = [name for name in judge.SCALES if f"spread of {name}" in failures]
    if not wanting and "range of D/N" in failures:
        wanting = ["D/N"]
    if not wanting:
        scales = " and ".join(name for name in x if name in judge.SCALES)
        wider = f"widen the range of {scales}" if scales else "add runs"
        return f"{wider}, or hold a parameter: --fix NAME=VALUE"
    way = f"add runs at other {' and '.join(wanting)}"
    if law.response != "loss" or set(x) != {"N", "D"} or len(wanting) > 1:
        return way
    (name,) = wanting
    if name != "D/N" and np.ptp(x[name]) > 0:  # a law without it would lay its few values together
        return way
    other = {"N": "D", "D": "N", "D/N": "C"}[name]
    return f"{way}, or fit a law of {other} alone: --law power-{other}"


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


def kind_of(method: str, cluster: str, factor: float) -> str:
    """Name the kind of an interval in full."""
    unit = "" if cluster == "row" else f" by {cluster}"
    name = {
        "pairs": "pairs bootstrap" if cluster == "row" else f"cluster bootstrap{unit}",
        "wild": f"wild bootstrap{unit}, Webb weights",
        "delta": f"sandwich covariance{unit}, normal draws",
    }[method]
    return f"{name}, percentile, small-sample factor {factor:.2f}"


def interval_of(
    law: Law,
    params: Mapping[str, float],
    draws: Mapping[str, Array],
    failed: int,
    options: Options,
    kind: str,
    cluster: str,
    count: int,
    factor: float,
    exponents: Mapping[str, Any],
) -> Interval:
    """Read percentiles off the draws of parameters and of the frontier's exponents."""
    everything = {**draws, **exponents}
    logs = {p.name for p in law.parameters if p.in_log}
    tail = 50.0 * (1.0 - options.interval)
    bounds, errors = {}, {}
    for name, drawn in everything.items():
        values = spread_about(params[name], drawn, factor, log=name in logs)
        if name in draws:
            values = np.clip(values, law.parameter(name).low, law.parameter(name).high)
        lo, hi = np.percentile(values, [tail, 100.0 - tail])
        bounds[name] = (float(lo), float(hi))
        varies = len(values) > 1 and float(np.ptp(values)) > 0
        errors[name] = float(values.std(ddof=1)) if varies else 0.0 if len(values) > 1 else np.nan
    kept = len(next(iter(draws.values())))
    return Interval(options.interval, kind, kept, failed, cluster, count, bounds, errors, factor)


def frontier_exponents(
    law: Law, params: Mapping[str, Any], cost: Cost, compute: float
) -> dict[str, Any]:
    """Return ``a`` and ``b`` of the compute-optimal allocation, where the law has a frontier."""
    if law.frontier is None:
        return {}
    a, b = local_exponents(law, {name: params[name] for name in law.names}, compute, cost)
    return {"a": a, "b": b}


def best_of(solution: Solution) -> int:
    """Index of the lowest objective; among equals, of one that converged."""
    lowest = solution.objective.min()
    equal = _same(solution.objective, lowest)
    return int(np.argmax(equal * (1 + solution.converged)))


def _same(objective: Array, lowest: float) -> NDArray[np.bool_]:
    return np.abs(objective - lowest) <= SAME * max(abs(lowest), 1e-300) + 1e-18
