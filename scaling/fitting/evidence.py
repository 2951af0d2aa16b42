"""Checks of the solution and of what it says: optimum, replicates, noise, direction, hold-out.

References
----------
Draper and Smith (1998), ch. 2, lack of fit against pure error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.fitting.data import Data
from scaling.fitting.parts import Check, Holdout, Interval
from scaling.laws import Law

Array = NDArray[np.float64]
Verdict = Literal["pass", "warn", "fail"]
BEST = 3  # starts that must agree
SAME_OBJECTIVE = 1e-6  # relative: far below what moves a parameter by a standard error
SMALL_DECREMENT = 1e-9  # relative decrease that a Newton step still foresees
AT_NODE = 1e-7  # relative distance from a starting value: an optimiser that never moved
CONVERGED = 0.99  # share of replicates
MAX_FLOOR_WIDTH = 0.5  # width of E's interval over the lowest loss: beyond it E is hardly known
SEED_FREEDOM = 4  # fewest degrees of freedom of a seed SD worth comparing with
MISSPECIFIED, OVERFIT = 3.0, 1.0 / 3.0  # residual SD over seed SD
CHANCE = 0.01
SCALES = ("N", "D", "C")
STEP = 1.01  # factor by which a variable is moved to see whether the law falls
PARTS_SPAN = 8.0  # of C, below which parts of the range are no scales of their own
NOISE_SDS, MOST_NOISE = 3.0, 0.02  # a law that fits badly must not excuse the runs
HOLDOUT_FACTOR = 3.0  # held-out error over the error within the fit
HOLDOUT_FLOOR = 0.01  # in logs; below 1% an extrapolation is good enough whatever the fit's own


def solution_checks(
    data: Data,
    certificate: Mapping[str, Any],
    params: Mapping[str, float],
    interval: Interval | None,
    failed: int,
) -> list[Check]:
    """Judge the optimum, and the replicates about it.

    Parameters
    ----------
    data : Data
    certificate : mapping
        See `scaling.fitting.verdict.certify`.
    params : mapping
        Estimates.
    interval : Interval or None
    failed : int
        Replicates that did not converge.
    """
    found = _objectives(certificate) + _gradient(certificate)
    found += _bounds(data, certificate, params)
    kept = 0 if interval is None else interval.draws
    if kept + failed:
        share = kept / (kept + failed)
        text = f"{kept} of {kept + failed} replicates ({share:.1%})"
        good = share >= CONVERGED
        verdict: Verdict = "pass" if good else "warn" if kept else "fail"
        wanted = f"{CONVERGED:.0%} or more"
        code = None if good else "SC409"
        found.append(Check("replicates converge", verdict, text, code, wanted))
    if interval is not None and "E" in data.free and "E" in interval.params:
        found.append(_floor(interval, float(data.y.min())))
    return found


def _objectives(certificate: Mapping[str, Any]) -> list[Check]:
    excess = certificate.get("objectives", [])
    if len(excess) < BEST:
        return []
    good = excess[BEST - 1] <= SAME_OBJECTIVE
    text = f"the best {BEST} lie within {excess[BEST - 1]:.1e} of each other, "
    text += f"the best {len(excess)} within {excess[-1]:.1e}"
    wanted = f"the best {BEST} within {SAME_OBJECTIVE:.0e}, relative"
    code = None if good else "SC407"
    return [Check("objectives of the starts", "pass" if good else "warn", text, code, wanted)]


def _gradient(certificate: Mapping[str, Any]) -> list[Check]:
    if not certificate.get("objectives"):  # of an objective that is rounding, no share is left
        return []
    left = float(certificate["decrement"])
    good = abs(left) <= SMALL_DECREMENT
    text = f"scaled gradient {abs(certificate['gradient']):.1e}; a further step would lower the "
    text += f"objective by {abs(left):.1e} of itself"
    wanted = f"{SMALL_DECREMENT:.0e} or less"
    return [Check("gradient", "pass" if good else "warn", text, _code(good, "SC408"), wanted)]


def _bounds(data: Data, certificate: Mapping[str, Any], params: Mapping[str, float]) -> list[Check]:
    on_bound = list(certificate["at_bound"])
    text = ", ".join(f"{name} = {params[name]:.4g}" for name in on_bound) or "none on its bound"
    code, verdict = ("SC404", "warn") if on_bound else (None, "pass")
    wanted = "every parameter inside its bounds"
    found = [Check("parameters at bounds", verdict, text, code, wanted)]  # type: ignore[arg-type]
    searched = [
        p
        for p in map(data.law.parameter, data.free)
        if not p.enters_linearly and p.name not in on_bound
    ]
    if not searched or not certificate.get("objectives"):  # exact data may lie on a node
        return found
    stuck = [p.name for p in searched if _at_node(params[p.name], p.grid(data.x))]
    text = ", ".join(f"{name} = {params[name]:.4g}" for name in stuck) or "all moved"
    code, verdict = ("SC426", "warn") if stuck else (None, "pass")
    wanted = "no parameter left where its search began"
    found.append(Check("starting values", verdict, text, code, wanted))  # type: ignore[arg-type]
    return found


def _at_node(value: float, nodes: tuple[float, ...]) -> bool:
    return any(abs(value - node) <= AT_NODE * max(abs(node), AT_NODE) for node in nodes)


def _floor(interval: Interval, lowest: float) -> Check:
    lo, hi = interval.params["E"]
    width = (hi - lo) / lowest
    reaches = lo <= 1e-6 * lowest or hi >= lowest
    good = not reaches and width <= MAX_FLOOR_WIDTH
    text = f"{lo:.4g} to {hi:.4g}, {width:.0%} of the lowest loss, {lowest:.4g}"
    wanted = f"above 0, below every loss, as wide as {MAX_FLOOR_WIDTH:.0%} of the lowest or less"
    return Check("interval of E", "pass" if good else "warn", text, _code(good, "SC411"), wanted)


def _code(good: bool, code: str) -> str | None:
    return None if good else code


def log_residuals(data: Data, params: Mapping[str, float]) -> Array | None:
    """Log prediction minus log observation; None where either has no logarithm."""
    predicted = np.broadcast_to(data.law.loss(params, data.x), data.y.shape)
    if not ((predicted > 0).all() and (data.y > 0).all()):
        return None
    out: Array = np.log(predicted) - np.log(data.y)
    return out


def seed_checks(frame: pd.DataFrame, law: Law, y: Array, r: Array, parameters: int) -> list[Check]:
    """Compare the residuals with the spread of runs that differ by their seed alone.

    Parameters
    ----------
    frame : DataFrame
        Fitted rows.
    law : Law
    y : ndarray
        Response of the rows, positive.
    r : ndarray
        Log residuals.
    parameters : int
        How many were fitted.
    """
    from scipy.special import fdtrc

    if "seed" not in frame or len(y) <= parameters:
        return []
    same = [c for c in (*SCALES, *law.variables, "D_unique", "batch", "lr") if c in frame]
    cells = frame.groupby(list(dict.fromkeys(same)), dropna=False)["seed"]
    size, index = cells.transform("size").to_numpy(), cells.ngroup().to_numpy()
    repeated = (size > 1) & (cells.transform("nunique").to_numpy() == size)
    if not repeated.any():
        return []
    counts = np.bincount(index[repeated])
    freedom = int((counts[counts > 0] - 1).sum())
    logs = np.log(y[repeated])
    means = np.bincount(index[repeated], weights=logs) / np.maximum(counts, 1)
    pure = float(((logs - means[index[repeated]]) ** 2).sum()) / max(freedom, 1)
    if freedom < SEED_FREEDOM or pure <= 0:
        return []
    share = 1.0 - parameters / len(y)  # of the noise that the residuals keep
    there = float((r[repeated] ** 2).mean()) / share
    everywhere = float((r**2).mean()) / share
    ratio, over = np.sqrt(there / pure), np.sqrt(everywhere / pure)
    chance = float(fdtrc(repeated.sum(), freedom, there / pure))
    bad = (ratio > MISSPECIFIED and chance < CHANCE) or over < OVERFIT
    sizes = (f"{100 * np.sqrt(square):.2g}%" for square in (everywhere, there, pure))
    text = "residual SD {}, {} where seeds repeat; seed SD {}".format(*sizes)
    text += f" ({freedom} degrees of freedom)"
    wanted = f"a ratio between {OVERFIT:.2g} (overfit) and {MISSPECIFIED:g} (the law misses "
    wanted += "structure)"
    code = _code(not bad, "SC427")
    return [Check("residuals against seeds", "warn" if bad else "pass", text, code, wanted)]


def monotone_checks(
    frame: pd.DataFrame, data: Data, params: Mapping[str, float], r: Array | None
) -> list[Check]:
    """Whether the law falls with its resources over the runs, and the best loss with compute."""
    if data.law.response != "loss":
        return []
    found = []
    names = [v for v in data.law.variables if v in SCALES]
    if names:
        base = np.broadcast_to(data.law.loss(params, data.x), data.y.shape)
        rising = []
        for name in names:
            more = data.law.loss(params, {**data.x, name: data.x[name] * STEP})
            count = int((more > base * (1.0 + 1e-9)).sum())
            rising += [f"{name} at {count} of {data.n} runs"] if count else []
        text = f"rises with {', '.join(rising)}" if rising else f"falls with {', '.join(names)}"
        wanted = "a loss that falls with " + " and ".join(names) + " at every run"
        code = _code(not rising, "SC428")
        verdict: Verdict = "warn" if rising else "pass"
        found.append(Check("law is monotone", verdict, text, code, wanted))
    best = _best_by_scale(frame, data.y)
    if best is not None:
        noise = 0.0 if r is None else min(1.4826 * float(np.median(np.abs(r))), MOST_NOISE)
        rise = float(np.diff(np.log(best)).max())
        bad = rise > NOISE_SDS * noise + 1e-9
        what = {2: "half", 3: "third"}[len(best)]
        text = f"best loss by {what} of the range of ln C: " + ", ".join(f"{x:.4g}" for x in best)
        wanted = "a lower best loss at more compute"
        code = _code(not bad, "SC428")
        found.append(Check("loss falls with C", "warn" if bad else "pass", text, code, wanted))
    return found


def _best_by_scale(frame: pd.DataFrame, y: Array) -> Array | None:
    """Lowest loss in each third of the range of ln C, or half where a third is empty."""
    if "C" in frame:
        compute = frame["C"].to_numpy(dtype=np.float64, na_value=np.nan)
    elif {"N", "D"} <= set(frame):
        compute = 6.0 * (frame["N"] * frame["D"]).to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        return None
    if not (compute > 0).all() or not (y > 0).all():
        return None
    if compute.max() < PARTS_SPAN * compute.min():
        return None
    place = np.log(compute / compute.min()) / np.log(compute.max() / compute.min())
    for parts in (3, 2):
        part = np.minimum((parts * place).astype(np.int64), parts - 1)
        if len(set(part.tolist())) == parts:
            return np.array([float(y[part == k].min()) for k in range(parts)])
    return None


def holdout_check(
    frame: pd.DataFrame,
    held: NDArray[np.bool_],
    train: NDArray[np.bool_],
    score: Holdout,
    own: float,
) -> Check:
    """Judge the error on held-out rows, and whether they are apart from the fitted ones.

    Parameters
    ----------
    frame : DataFrame
        Every row of the table.
    held, train : ndarray of bool
        Held-out and fitted rows.
    score : Holdout
    own : float
        Root mean square of the log residuals of the fitted rows.
    """
    shared = []
    for name in ("run", "trunk"):
        if name in frame:
            both = set(frame.loc[held, name].dropna()) & set(frame.loc[train, name].dropna())
            shared += [f"{len(both)} of their {name}s"] if both else []
    far = score.rmse_log > max(HOLDOUT_FACTOR * own, HOLDOUT_FLOOR)
    text = f"{score.n} runs were kept out; their error is {score.rmse_log:.2%}, "
    text += f"that of the fitted runs {own:.2%}"
    text += f"; {' and '.join(shared)} also have runs in the fit" if shared else ""
    bad = far or bool(shared)
    wanted = f"no trunk in common with the fit; an error below {HOLDOUT_FACTOR:g} times its own, "
    wanted += f"or below {HOLDOUT_FLOOR:.0%}"
    return Check("hold-out", "warn" if bad else "pass", text, _code(not bad, "SC429"), wanted)
