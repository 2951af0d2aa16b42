"""From a fit to numbers with intervals: the loss of runs, of a single new run, and how far out.

Every quantity is computed for the estimate and for every draw of the parameters; its interval is
read off the draws, spread about the estimate by the fit's small-sample factor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault, QuestionError
from scaling.fitting.intervals import small_sample_factor
from scaling.fitting.options import check_level
from scaling.fitting.spread import spread_about
from scaling.laws.cost import SIX_ND, Cost

if TYPE_CHECKING:
    from scaling.fitting.result import Fit

Array = NDArray[np.float64]
Params = Mapping[str, Any]


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
        draws), ``factor`` (compute over the largest fitted compute), ``inside_hull``, and
        ``run_lo``, ``run_hi`` (the interval of one new run: a draw of the curve and of the
        residuals). Bounds are NaN without draws.

    Raises
    ------
    QuestionError
        SC430 if a variable of the law is missing.
    ConfigError
        SC004 for values that are not finite, and for N, D or C that are not positive.
    """
    given = {k: np.atleast_1d(np.asarray(v, float)) for k, v in x.items() if v is not None}
    missing = [v for v in fit.law.variables if v not in given]
    if missing:
        found = f"needs {missing[0]}"
        needed = "values of " + ", ".join(fit.law.variables)
        raise QuestionError(Fault("SC430", f"law {fit.law.name}", found, needed))
    for name, values in given.items():
        least = 0.0 if name in ("N", "D", "C", "D_unique") else -np.inf
        if not (np.isfinite(values) & (values > least)).all():
            expected = "finite numbers above 0" if least == 0.0 else "finite numbers"
            raise ConfigError(Fault("SC004", name, f"{values.min():g}", expected))
    shape = np.broadcast_shapes(*(v.shape for v in given.values()))
    data = {k: np.broadcast_to(v, shape) for k, v in given.items()}
    bands = Bands(fit, level)
    loss, draws = bands.of(lambda p: fit.law.loss(p, data))
    columns: dict[str, Any] = {**data, "loss": loss}
    columns["lo"], columns["hi"] = bands.ends(draws, shape)
    columns |= extrapolation(fit, data, shape)
    columns["run_lo"], columns["run_hi"] = bands.ends(bands.of_new_runs(draws), shape)
    return pd.DataFrame(columns)


@dataclass(frozen=True)
class Bands:
    """Intervals of what follows from a fit's parameters.

    Attributes
    ----------
    fit : Fit
    asked : float or None
        Level; the fit's own if None.
    """

    fit: Fit
    asked: float | None = None

    @cached_property
    def level(self) -> float:
        """Level of the intervals.

        Raises
        ------
        ConfigError
            SC004 if it is not between 0 and 1.
        """
        if self.asked is not None:
            return check_level(self.asked)
        return self.fit.interval.level if self.fit.interval else 0.95

    @cached_property
    def factor(self) -> float:
        """Small-sample factor at this level."""
        interval = self.fit.interval
        if interval is None or interval.factor == 1.0 or self.level == interval.level:
            return interval.factor if interval else 1.0
        free = len(self.fit.certificate.get("free", self.fit.law.names))
        now, then = (
            small_sample_factor(interval.clusters, free, level)
            for level in (self.level, interval.level)
        )
        return interval.factor * now / then

    def of(self, quantity: Callable[[Params], Any]) -> tuple[Array, Array]:
        """Return a quantity of the parameters, shape (m,), and its spread draws, (draws, m).

        `quantity` takes a mapping of numbers, or of columns of shape (draws, 1).
        """
        estimate = np.asarray(quantity(self.fit.params), dtype=np.float64)
        if not self.fit.draws:
            return estimate, np.zeros((0, *estimate.shape))
        columns = {k: v[:, None] for k, v in self.fit.draws.items()}
        return estimate, self.about(estimate, np.asarray(quantity(columns), dtype=np.float64))

    def about(self, estimate: Array, draws: Array) -> Array:
        """Spread draws of a quantity by the small-sample factor: positive ones in logs."""
        with np.errstate(invalid="ignore"):
            log = bool((estimate > 0).all() and not (draws <= 0).any())
        return spread_about(estimate, draws, self.factor, log=log)

    def ends(self, draws: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
        """Percentiles over the draws; NaN without any, infinite where the draws are."""
        if not len(draws):
            empty = np.full(shape, np.nan)
            return empty, empty
        tail = 50.0 * (1.0 - self.level)
        kept = np.where(np.isnan(draws), np.inf, draws)
        with np.errstate(invalid="ignore"):
            # between infinite neighbours an interpolated percentile would be undefined
            lo = np.percentile(kept, tail, axis=0, method="lower")
            hi = np.percentile(kept, 100.0 - tail, axis=0, method="higher")
            inner = np.percentile(kept, [tail, 100.0 - tail], axis=0)
        lo, hi = (np.where(np.isfinite(p), p, q) for p, q in zip(inner, (lo, hi), strict=True))
        return lo, hi

    def of_new_runs(self, draws: Array) -> Array:
        """Add to every draw of the curve the residual of a run, spread for the degrees of freedom.

        Residuals are in the objective's scale, logs or levels. They are not centred: a robust curve
        need not be the mean. They are taken in a fixed random order, so that the same fit gives the
        same interval.
        """
        fit = self.fit
        if not len(draws):
            return draws
        if fit.members:  # each draw knows the noise of its own law, at the end of the runs
            own = np.asarray(fit.draws["run"]).reshape(-1, *(1,) * (draws.ndim - 1))
            return draws * np.exp(own)
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


def cost_of(fit: Fit) -> Cost:
    """Return the cost that a fit's a, b, allocations and factors are about."""
    return Cost.from_dict(fit.cost) if fit.cost.get("formula") else SIX_ND


def largest_compute(fit: Fit) -> float:
    """Return the largest compute of the fitted runs in the fit's meaning of C; NaN if unknown."""
    fitted = fit.fitted
    if {"N", "D"} <= set(fitted):
        return float(cost_of(fit).compute(fitted["N"], fitted["D"]).max())
    return float(fitted["C"].max()) if "C" in fitted else np.nan


def extrapolation(fit: Fit, data: Mapping[str, Array], shape: tuple[int, ...]) -> dict[str, Any]:
    """How far beyond the fitted runs points lie, in compute, and whether in their hull.

    Returns
    -------
    dict
        ``factor``: compute over the largest fitted one, or where there is no compute the first
        variable over its largest value. ``inside_hull``: of the runs in (ln N, ln D); None where
        either is unknown.
    """
    fitted = fit.fitted
    unknown = np.full(shape, None, dtype=object)
    if {"N", "D"} <= set(data):
        compute = cost_of(fit).compute(data["N"], data["D"])
    elif "C" in data:
        compute = data["C"]
    else:
        variable = fit.law.variables[0]
        factor = data[variable] / fitted[variable].max()
        if variable == "loss":  # a better loss is further out
            lowest = fitted[variable].min()
            factor = np.where(data[variable] < lowest, lowest / data[variable], factor)
        return {"factor": factor, "inside_hull": unknown}
    factor = compute / largest_compute(fit)
    if not {"N", "D"} <= set(data) or not {"N", "D"} <= set(fitted):
        return {"factor": factor, "inside_hull": unknown}
    cloud = np.column_stack([np.log(fitted["N"]), np.log(fitted["D"])])
    inside = inside_hull(cloud, np.log(data["N"]), np.log(data["D"]))
    return {"factor": factor, "inside_hull": inside}


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
