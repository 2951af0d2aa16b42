"""Reference and treated runs under one law: the multiplier, its constancy, and the law of D_T.

Both groups are fitted afresh in every replicate; clusters are drawn within each group.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import Message
from scaling.fitting.effective_cells import Cells, Reference
from scaling.fitting.effective_curve import (
    INDICATOR,
    MOST,
    Runs,
    distinct,
    multiplied,
    transferred,
)
from scaling.fitting.effective_text import many
from scaling.fitting.estimate import Estimate, estimate
from scaling.fitting.options import Options
from scaling.laws import Law

Array = NDArray[np.float64]
FEWEST_FOR_SLOPES = 3  # amounts of data, or sizes, for a slope
FEWEST_CELLS = 4  # for the law of D_T
MOST_TRANSFER = float(np.log(1e3))  # of D_T over the largest data of all
TOO_WIDE = 2.0  # of the interval of an exponent of D_T


def joint(reference: Reference, treated: Runs, law: Law, options: Options) -> Estimate:
    """Fit `law` to the runs of the reference and of a treated group together."""
    own = reference.runs
    both = own.with_more(treated)
    mark = np.concatenate([np.zeros(len(own)), np.ones(len(treated))])
    _, labels = np.unique(both.labels, return_inverse=True)
    labels = labels.ravel().astype(np.int64)
    strata = mark.astype(np.int64)
    shared = set(labels[strata == 0]) & set(labels[strata == 1])
    marks = {INDICATOR: mark, "x": centred(both.D, treated.D), "w": centred(both.N, treated.N)}
    more = {name: values for name, values in marks.items() if name in law.variables}
    data = reference.curve.data(both, reference.found.data.loss, law, **more)
    return estimate(
        data, both.weights, reference.found.cluster, labels, options, None if shared else strata
    )


def centred(values: Array, about: Array) -> Array:
    """Return logs about the mean log of the treated runs."""
    return np.asarray(np.log(values) - np.log(about).mean())


def _factor(found: Estimate, treated: Runs) -> float:
    """Small-sample factor; a group of few clusters is spread for them and not for all."""
    if found.draws is None:
        return 1.0
    own, every = len(np.unique(treated.labels)), found.clusters
    if min(own, every) < 2:
        return found.draws.factor
    return float(found.draws.factor * np.sqrt(own / (own - 1) * (every - 1) / every))


def _ends(value: float, draws: Array, factor: float, level: float) -> list[float]:
    tail = 50.0 * (1.0 - level)
    spread = value + factor * (draws - value)
    return [float(e) for e in np.percentile(spread, [tail, 100.0 - tail])]


def multiplier(
    reference: Reference, treated: Runs, start: float, options: Options
) -> tuple[dict[str, Any], list[Message]]:
    """Estimate m of ``L(N, D) = L_ref(N, m D)``, and test whether one m suffices."""
    near = reference.found.params
    found = joint(reference, treated, multiplied(reference.curve, near, start, ()), options)
    value, columns = found.params["mu"], found.columns()
    interval = None
    if columns:
        ends = _ends(value, columns["mu"], _factor(found, treated), options.interval)
        interval = [float(np.exp(e)) for e in ends]
    out: dict[str, Any] = {"m": float(np.exp(value)), "interval": interval}
    messages = []
    if abs(value) > 0.999 * MOST:
        text = f"The multiplier lies on its bound of {np.exp(MOST):.0f} times: it is a bound only."
        messages.append(Message("SC442", text))
    slopes = tuple(
        name
        for name, values in (("x", treated.D), ("w", treated.N))
        if len(distinct(values)) >= (FEWEST_FOR_SLOPES if name == "x" else 2)
    )
    out |= {"slopes": {}, "p": None, "constant": None}
    if slopes and columns and len(treated) > len(slopes) + 1:
        law = multiplied(reference.curve, near, value, slopes)
        out |= _slopes(joint(reference, treated, law, options), treated, slopes, options.interval)
    return out, messages


def _slopes(
    found: Estimate, treated: Runs, slopes: tuple[str, ...], level: float
) -> dict[str, Any]:
    """Test the slopes of ln m: Wald's F by the covariance of the draws, and each one's interval.

    One m suffices where F does not refuse it and no slope's interval, at a level that counts them,
    leaves 0 out.
    """
    from scipy.special import fdtrc

    columns, factor = found.columns(), _factor(found, treated)
    names = [f"mu_{s}" for s in slopes]
    values = np.array([found.params[name] for name in names])
    drawn = np.array([columns[name] for name in names]).reshape(len(names), -1)
    told = {
        {"x": "D", "w": "N"}[s]: {"slope": float(v), "interval": _ends(v, d, factor, level)}
        for s, v, d in zip(slopes, values, drawn, strict=True)
    }
    # Draws may have long tails on one side, which a covariance makes too much of.
    strict = 1.0 - (1.0 - level) / len(names)
    ends = [_ends(v, d, factor, strict) for v, d in zip(values, drawn, strict=True)]
    leans = any(low > 0.0 or high < 0.0 for low, high in ends)
    freedom = found.clusters - len(found.data.free)
    if drawn.shape[1] < 20 or freedom < 1:
        return {"slopes": told}
    covariance = np.atleast_2d(np.cov(drawn))
    square = float(values @ np.linalg.pinv(covariance) @ values) / len(names)
    p = float(fdtrc(len(names), freedom, square))
    return {"slopes": told, "p": p, "constant": bool(p >= 1.0 - level and not leans)}


def transfer(
    reference: Reference, treated: Runs, cells: Cells, verdict: str, options: Options
) -> tuple[dict[str, Any], list[Message]]:
    """Fit ``D_T = k D_F**alpha N**beta`` where it can be, else say why not."""
    blank: dict[str, Any] = {"fitted": False, "k": None, "alpha": None, "beta": None}
    blank |= {"intervals": {}, "why": _unfit(reference, cells, verdict)}
    if blank["why"]:
        text = f"The power law of transferred data was not fitted: {blank['why']}."
        return blank, [Message("SC444", text, "info" if verdict == "hurts" else "warning")]
    sized = len(distinct(treated.N)) >= 2
    with np.errstate(over="ignore"):
        moved = cells.D * np.expm1(np.clip(cells.log_ratio, None, MOST_TRANSFER))
    start = float(np.log(np.median(moved[moved > 0])))
    largest = float(np.log(max(reference.runs.D.max(), treated.D.max())))
    limits = (float(np.log(treated.D.min())) - MOST, largest + MOST_TRANSFER)
    law = transferred(reference.curve, reference.found.params, start, sized, limits)
    found = joint(reference, treated, law, options)
    return _read_transfer(found, treated, sized, options.interval)


def _unfit(reference: Reference, cells: Cells, verdict: str) -> str:
    """Why the power law in D_T is not fitted; empty where it is."""
    n, amounts = len(cells.D), len(distinct(cells.D))
    below = sum(hi is not None and hi < 0.0 for _, hi in reference.ends(cells.draws))
    if verdict == "hurts":
        return "D_T is negative, as the treatment costs data, and no power law is negative"
    if below:
        return f"D_T is negative beyond its interval in {below} of {n} cells"
    if verdict == "no evidence":
        return "D_T cannot be told from 0"
    if (cells.log_ratio > 0).sum() <= n / 2:
        return "D_T is not above 0 in most cells"
    if np.isinf(cells.log_ratio).sum() > n / 2:
        return "D_T is unbounded in most cells"
    if n < FEWEST_CELLS or amounts < FEWEST_FOR_SLOPES:
        return (
            f"{many(n, 'cell')} at {many(amounts, 'amount')} of data, where {FEWEST_CELLS} at "
            f"{FEWEST_FOR_SLOPES} are the least"
        )
    return ""


def _read_transfer(
    found: Estimate, treated: Runs, sized: bool, level: float
) -> tuple[dict[str, Any], list[Message]]:
    """Turn the centred parameters into k, alpha, beta; k is of uncentred logs."""
    centre = {"a": float(np.log(treated.D).mean()), "b": float(np.log(treated.N).mean())}
    names = {"a": "alpha"} | ({"b": "beta"} if sized else {})

    def columns(p: dict[str, Any]) -> dict[str, Any]:
        level_ = p["kappa"] - sum(p[name] * centre[name] for name in names)
        return {"ln k": level_} | {told: p[name] for name, told in names.items()}

    best, drawn = columns(dict(found.params)), columns(dict(found.columns()) or found.params)
    intervals: dict[str, list[float]] = {}
    messages = []
    if found.columns():
        factor = _factor(found, treated)
        for name, value in best.items():
            intervals[name] = _ends(value, np.asarray(drawn[name]), factor, level)
        intervals["k"] = [float(np.exp(e)) for e in intervals.pop("ln k")]
        for name in names.values():
            lo, hi = intervals[name]
            if hi - lo > TOO_WIDE:
                text = f"The exponent {name} of transferred data is not pinned down: "
                messages.append(Message("SC446", f"{text}{lo:.2f} to {hi:.2f}."))
    if not sized:
        text = "One size: the exponent of N in transferred data is not identified, and k holds it."
        messages.append(Message("SC444", text, "info"))
    if found.certificate["at_bound"]:
        text = "The law of transferred data lies on a bound: " + ", ".join(
            found.certificate["at_bound"]
        )
        messages.append(Message("SC446", text + "."))
    out = {"fitted": True, "why": "", "k": float(np.exp(best["ln k"])), "beta": None}
    out |= {name: float(best[name]) for name in names.values()}
    return out | {"intervals": intervals}, messages
