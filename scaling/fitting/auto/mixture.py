"""Weighted laws as one law, so that whatever is asked of a fit can be asked of `auto` too.

Its estimate is the weighted mean of the members' forecasts of ln y. A draw is one member with
parameters moved, to first order, and with a departure from it, both widened with the distance
beyond the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.auto.noise import Departure
from scaling.fitting.auto.points import Points, in_logs
from scaling.laws import LAWS, Law
from scaling.laws.cost import Cost

Array = NDArray[np.float64]
PART, OWN, RUN = "part", "departure", "run"  # of a draw: member, how far off it, noise of a run
LARGEST = 700.0  # ln y of draws that have left the numbers of a computer
SHOWN = 0.005  # weight below which a law is not named
COARSE = 96  # sizes along a budget that are looked at first
AROUND, SIZE_STEP = 8.0, 0.05  # in ln N, about the lowest of them
LINE_STEP, COST_STEP = 0.1, 0.2  # in ln C
SLOPE_STEP = 1e-4  # of ln x, for derivatives by the variables


@dataclass(frozen=True)
class Part:
    """A member: a law with a departure, its most probable parameters and how sure they are.

    Attributes
    ----------
    law : Law
    params : mapping of str to float
    covariance : ndarray
        Of the parameters in the solver's coordinates, shape (p, p).
    variance : float
        Of a run's own noise in ln y.
    departure : Departure
    weight : float
        In the estimate.
    share : float
        Of the draws: like `weight`, but less sure of itself.
    """

    law: Law
    params: Mapping[str, float]
    covariance: Array
    variance: float
    departure: Departure
    weight: float
    share: float

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "law": self.law.name,
            "params": dict(self.params),
            "covariance": self.covariance.tolist(),
            "variance": self.variance,
            "departure": asdict(self.departure),
            "weight": self.weight,
            "share": self.share,
        }

    @classmethod
    def from_dict(cls, item: Mapping[str, Any]) -> Part:
        """Inverse of `as_dict`."""
        return cls(
            LAWS[item["law"]],
            item["params"],
            np.array(item["covariance"], dtype=np.float64),
            item["variance"],
            Departure(**item["departure"]),
            item["weight"],
            item["share"],
        )


class _Ready:
    """A part with what its points say of a departure worked out."""

    def __init__(self, part: Part, points: Points) -> None:
        self.part, self.where = part, points.where
        data = in_logs(part.law, points.x, points.y)
        self.z = data.internal({name: np.array([v]) for name, v in part.params.items()})
        self.residual, self.jacobian = (a[0] for a in data.residuals(self.z))
        departure = part.departure
        if departure.size:
            own = departure.own(points.along, float(points.along[-1]), points.count)
            matrix = departure.shared(self.where, self.where) + np.diag(own)
            self.inverse = np.linalg.inv(matrix)

    def level(self, x: Mapping[str, Array]) -> Array:
        """Return ln y, shape (m,)."""
        with np.errstate(all="ignore"):
            log_y: Array = np.log(self.part.law.loss(self.part.params, x))
        if self.part.departure.size:
            log_y = log_y - self._gain(x)[0] @ self.residual
        return log_y

    def _gain(self, x: Mapping[str, Array]) -> tuple[Array, Array]:
        """What residuals add to a forecast, shape (m, n), and what points share with it."""
        where = np.log(np.stack(list(x.values()), axis=1))
        shared = self.part.departure.shared(where, self.where)
        return shared @ self.inverse, shared

    def forecast(self, x: Mapping[str, Array]) -> tuple[Array, Array, Array]:
        """Ln y, shape (m,), its slopes by the parameters, (p, m), and SD of the departure, (m,)."""
        one = np.ones(len(next(iter(x.values()))))
        with np.errstate(all="ignore"):
            log_y, slope = (a[0] for a in in_logs(self.part.law, x, one).residuals(self.z))
        departure = self.part.departure
        if not departure.size:
            return log_y, slope, np.zeros(len(one))
        gain, shared = self._gain(x)
        left = np.maximum(departure.size**2 - (gain * shared).sum(axis=1), 0.0)
        log_y = log_y - gain @ self.residual
        return log_y, slope - self.jacobian @ gain.T, np.sqrt(self.part.variance * left)


@dataclass(frozen=True)
class Mixture(Law):
    """The law `auto`: several laws, weighted.

    Attributes
    ----------
    parts : tuple of Part
        Heaviest first; weights, and shares, add to 1.
    points : Points
        What they were fitted to.
    scale : Cost or None
        What compute is, for laws of N and D; None for a curve, whose scale is its variable.
    distance, widening : tuple of float
        By what the spread of draws within a part is multiplied at these distances in ln of the
        scale beyond the data; the last holds further out.
    """

    parts: tuple[Part, ...] = ()
    points: Points = field(default=None, repr=False)  # type: ignore[assignment]
    scale: Cost | None = None
    distance: tuple[float, ...] = (0.0,)
    widening: tuple[float, ...] = (1.0,)

    def check_formula(self) -> None:
        """The members have formulas; the mixture is a list of them."""

    @cached_property
    def _ready(self) -> list[_Ready]:
        return [_Ready(part, self.points) for part in self.parts]

    @property
    def expression(self) -> Any:
        """Itself: it has a value and slopes."""
        return self

    def beyond(self, x: Mapping[str, Array]) -> Array:
        """How far rows lie beyond the data, in ln of the scale; 0 inside."""
        if self.scale is None:
            along = np.log(x[self.variables[0]])
        else:
            along = np.log(self.scale.compute(x["N"], x["D"]))
        distance: Array = np.maximum(along - self.points.along[-1], 0.0)
        return distance

    def loss(self, params: Mapping[str, Any], data: Mapping[str, Any]) -> Array:
        """Evaluate the mixture, or draws of it, in the unit of its response; see `Law.loss`."""
        given = [np.asarray(data[v], dtype=np.float64) for v in self.variables]
        shape = np.broadcast_shapes(*(np.shape(v) for v in given))
        if PART not in params:
            x = {
                v: np.broadcast_to(g, shape).ravel()
                for v, g in zip(self.variables, given, strict=True)
            }
            total = sum(r.part.weight * r.level(x) for r in self._ready)
            return np.asarray(np.exp(total)).reshape(shape)
        drawn = np.asarray(params[PART])
        part, whole = drawn.reshape(-1).astype(int), np.broadcast_shapes(shape, drawn.shape)
        rows = {
            v: np.broadcast_to(g, whole).reshape(len(part), -1)
            for v, g in zip(self.variables, given, strict=True)
        }
        same = len(shape) < len(whole) or shape[0] == 1
        out = np.empty(next(iter(rows.values())).shape)
        for k, ready in enumerate(self._ready):
            mine = np.flatnonzero(part == k)
            if len(mine):
                x = {v: r[mine[:1]] if same else r[mine] for v, r in rows.items()}
                out[mine] = self._drawn(ready, params, mine, x)
        return np.exp(np.clip(out, -LARGEST, LARGEST)).reshape(whole)

    def _drawn(
        self,
        ready: _Ready,
        params: Mapping[str, Any],
        mine: NDArray[np.int64],
        x: Mapping[str, Array],
    ) -> Array:
        """Ln y of the draws that are of one part; `x` has one row for all of them, or one each."""
        shape = next(iter(x.values())).shape
        flat = {v: values.ravel() for v, values in x.items()}
        log_y, slope, own = ready.forecast(flat)
        moved = np.stack([np.asarray(params[f"d{j}"]).reshape(-1)[mine] for j in range(len(slope))])
        off = np.asarray(params[OWN]).reshape(-1)[mine]
        slope = slope.reshape(-1, *shape)
        total: Array = np.einsum(
            "pk,pkm->km", moved, np.broadcast_to(slope, (len(slope), len(mine), shape[1]))
        )
        total = total + off[:, None] * own.reshape(shape)
        wide = np.interp(self.beyond(flat), self.distance, self.widening).reshape(shape)
        return log_y.reshape(shape) + wide * total

    def value(self, env: Mapping[str, Any]) -> Array:
        """Evaluate like an expression: parameters and variables in one mapping."""
        return self.loss(env, env)

    def value_and_gradient(  # type: ignore[override]
        self,
        params: Mapping[str, Any],
        wrt: Sequence[str],
        logs: Mapping[str, Array],  # noqa: ARG002
    ) -> tuple[Array, Mapping[str, Array]]:
        """Evaluate like an expression, with slopes by variables from central differences."""
        gradient = {}
        for name in wrt:
            at = np.asarray(params[name], dtype=np.float64)
            up, down = (
                self.loss(params, {**params, name: at * np.exp(step)})
                for step in (SLOPE_STEP, -SLOPE_STEP)
            )
            gradient[name] = (up - down) / (2.0 * SLOPE_STEP) / at
        return self.loss(params, params), gradient

    def drawn_sizes(self, params: Mapping[str, Any], log_c: Array, cost: Cost) -> Array | None:
        """Find ln N* of draws on a table of sizes that they share; see `Law.drawn_sizes`.

        Draws are linear in their columns, so that a table of all of them is one product. Between
        sizes a parabola leads to 1e-3 in ln N; budgets of each draw's own are read off lines that
        are close enough for a straight line between them.
        """
        if PART not in params or not np.isfinite(log_c).all():
            return None
        if np.ndim(params[PART]) == 0:
            columns = {name: np.full((1, 1), value) for name, value in params.items()}
            found = self.drawn_sizes(columns, log_c, cost)
            return None if found is None else found[0]
        rows = np.asarray(params[PART]).shape[0]
        own = np.broadcast_to(log_c, (rows, log_c.shape[-1]))
        shared = log_c.ndim == 1 or bool((own == own[:1]).all())
        if shared:
            return self._table(params, own[0], cost)[0]
        low, high = float(np.nanmin(own)), float(np.nanmax(own))
        lines = np.linspace(low, high, max(2, int(np.ceil((high - low) / LINE_STEP)) + 1))
        sizes = self._table(params, lines, cost)[0]
        each = zip(own, sizes, strict=True)
        return np.stack([np.interp(mine, lines, size) for mine, size in each])

    def drawn_costs(
        self, params: Mapping[str, Any], log_loss: Array, cost: Cost
    ) -> tuple[Array, Array] | None:
        """Find ln C and ln N of losses that draws reach, on the same table; NaN out of its reach.

        The table goes from a thousandth of the smallest compute of the points to 1e10 times the
        largest.
        """
        if PART not in params:
            return None
        if np.ndim(params[PART]) == 0:
            columns = {name: np.full((1, 1), value) for name, value in params.items()}
            found = self.drawn_costs(columns, log_loss, cost)
            return None if found is None else (found[0][0], found[1][0])
        first, last = self.points.along[[0, -1]] + np.log([1e-3, 1e10])
        lines = np.arange(first, last, COST_STEP)
        sizes, lowest = self._table(params, lines, cost)
        lowest = np.minimum.accumulate(np.where(np.isfinite(lowest), lowest, np.inf), axis=1)
        own = np.broadcast_to(log_loss, (len(sizes), log_loss.shape[-1]))
        log_c, u = np.empty(own.shape), np.empty(own.shape)
        for k, (goal, values) in enumerate(zip(own, lowest, strict=True)):
            known = np.isfinite(values)
            if not known.any():  # this draw has no optimum anywhere
                log_c[k] = u[k] = np.nan
                continue
            log_c[k] = np.interp(-goal, -values[known], lines[known], left=np.nan, right=np.nan)
            u[k] = np.interp(log_c[k], lines, sizes[k])
        return log_c, u

    def _table(self, params: Mapping[str, Any], log_c: Array, cost: Cost) -> tuple[Array, Array]:
        """Find ln N* of every draw at budgets, and ln y there, shapes (k, m)."""
        rows = np.asarray(params[PART]).shape[0]
        out, lowest = np.empty((2, rows, len(log_c)))
        for j, line in enumerate(log_c):
            coarse = np.linspace(0.0, line, COARSE + 2)[1:-1]
            at = self._lines(coarse, line, cost)
            middle = coarse[np.nanargmin(np.where(np.isfinite(at), at, np.inf))]
            fine = middle + np.arange(-AROUND, AROUND + SIZE_STEP, SIZE_STEP)
            values = self._lines(fine, line, cost, params)
            out[:, j], lowest[:, j] = _lowest(fine, values)
        return out, lowest

    def _lines(
        self, u: Array, log_c: float, cost: Cost, params: Mapping[str, Any] | None = None
    ) -> Array:
        """Evaluate ln y at sizes along a budget: the estimate, shape (g,), or draws, (k, g)."""
        with np.errstate(all="ignore"):
            x = {"N": np.exp(u), "D": np.exp(cost.log_tokens(u, np.full(len(u), log_c)))}
            good = np.isfinite(x["D"]) & (x["D"] > 1.0)
            x["D"] = np.where(good, x["D"], 1.0)
            found = np.log(self.loss(params or {}, {v: x[v] for v in self.variables}))
        lines: Array = np.where(good, found, np.inf)
        return lines

    def draw(self, count: int, seed: int) -> dict[str, Array]:
        """Draw members with parameters: ``part, departure, run, d0, d1, …``, shape (count,)."""
        rng = np.random.default_rng([seed, count])
        shares = np.array([p.share for p in self.parts])
        part = np.sort(rng.choice(len(shares), count, p=shares / shares.sum()))
        most = max(len(p.covariance) for p in self.parts)
        moved, off = rng.standard_normal((count, most)), rng.standard_normal(count)
        freedom = np.array(
            [
                max(3.0, self.points.n + self.points.spare.sum() - len(p.covariance))
                for p in self.parts
            ]
        )[part]
        tail = np.sqrt(freedom / rng.chisquare(freedom))
        for k, p in enumerate(self.parts):
            mine, size = part == k, len(p.covariance)
            values, vectors = np.linalg.eigh(p.covariance)
            root = vectors * np.sqrt(np.maximum(values, 0.0))
            moved[mine, :size] = moved[mine, :size] @ root.T
            moved[mine, size:] = 0.0
        noise = np.sqrt([p.variance for p in self.parts])[part] * rng.standard_normal(count)
        columns = {PART: part.astype(np.float64), OWN: off * tail, RUN: noise * tail}
        return columns | {f"d{j}": moved[:, j] * tail for j in range(most)}

    def declaration(self) -> dict[str, Any]:
        """Return what `from_declaration` needs; see `Law.declaration`."""
        return super().declaration() | {"mixture": self._content()}

    def _content(self) -> dict[str, Any]:
        return {
            "parts": [p.as_dict() for p in self.parts],
            "points": {
                "x": {k: v.tolist() for k, v in self.points.x.items()},
                "y": self.points.y.tolist(),
                "count": self.points.count.tolist(),
                "along": self.points.along.tolist(),
                "scatter": self.points.scatter.tolist(),
                "spare": self.points.spare.tolist(),
            },
            "scale": None if self.scale is None else self.scale.as_dict(),
            "distance": list(self.distance),
            "widening": list(self.widening),
        }

    @classmethod
    def from_declaration(cls, name: str, declared: Mapping[str, Any]) -> Mixture:
        """Inverse of `declaration`."""
        item = declared["mixture"]
        p = item["points"]
        points = Points(
            {k: np.array(v) for k, v in p["x"].items()},
            np.array(p["y"]),
            np.array(p["count"]),
            np.array(p["along"]),
            np.array(p["scatter"]),
            np.array(p["spare"]),
        )
        parts = tuple(Part.from_dict(part) for part in item["parts"])
        scale = None if item["scale"] is None else Cost.from_dict(item["scale"])
        wide = (tuple(item["distance"]), tuple(item["widening"]))
        return mixture(name, declared["response"], parts, points, scale, *wide)


def _lowest(u: Array, values: Array) -> tuple[Array, Array]:
    """Where rows on an even grid are lowest, and how low, by a parabola; NaN at an end."""
    values = np.where(np.isfinite(values), values, np.inf)
    k = values.argmin(axis=1)
    inner = np.clip(k, 1, len(u) - 2)
    left, middle, right = (values[np.arange(len(values)), inner + i] for i in (-1, 0, 1))
    with np.errstate(all="ignore"):
        shift = np.nan_to_num(0.5 * (left - right) / (left - 2.0 * middle + right))
        low = middle - 0.25 * (left - right) * shift
    inside = k == inner
    at = np.where(inside, u[inner] + shift * (u[1] - u[0]), np.nan)
    return at, np.where(inside, low, np.nan)


def mixture(
    name: str,
    response: str,
    parts: Sequence[Part],
    points: Points,
    scale: Cost | None,
    distance: tuple[float, ...],
    widening: tuple[float, ...],
) -> Mixture:
    """Make the mixture of some parts."""
    weights: dict[str, float] = {}
    for part in parts:
        weights[part.law.name] = weights.get(part.law.name, 0.0) + part.weight
    heavy = sorted(weights.items(), key=lambda item: -item[1])
    formula = "weighted mean of ln: " + ", ".join(
        f"{w:.2f} {law}" for law, w in heavy if w >= SHOWN
    )
    return Mixture(
        name=name,
        formula=formula,
        parameters=(),
        variables=tuple(points.x),
        reference="weights by rolling-origin forecasts; docs/explanation/extrapolation.md",
        title="Several laws, weighted by what they forecast",
        response=response,
        parts=tuple(parts),
        points=points,
        scale=scale,
        distance=distance,
        widening=widening,
    )
