"""Two recipes on the same grid: how much compute one is worth in terms of the other, at each scale.

The multiplier m(C) says that recipe B at C does as well as recipe A at m(C) C. A run of B at (N, D)
is then a run of A at (N m^a, D m^b), with a, b the exponents of A's best allocation, and the
difference of a pair that shares (N, D) is known without the surface's own error. ln m is a line in
ln C: its level at the middle of the grid is the offset, its slope the difference in exponent. A
quadratic in ln N over its best at that compute takes up gains that differ along a budget (better
use of data, say), so that m is that of the best sizes.

References
----------
Paired differences remove what a pair shares; MacKinnon and White (1985), leverage in the sandwich
covariance; Fieller (1954), the interval of a ratio, here of where curves cross.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import Fault, Message, QuestionError
from scaling.fitting.allocation import allocates, best_size, least_cost, local_exponents
from scaling.fitting.pairing import Pairs, name_of, pairs_of, unlike
from scaling.fitting.prediction import Bands, Params, cost_of
from scaling.fitting.result import Fit, plain
from scaling.fitting.setting import amounts
from scaling.fitting.spread import spread_about

Array = NDArray[np.float64]
ENOUGH_PAIRS = 6
STEPS = 30
MOST_SCALES, FEWER_SCALES = 7, 5
CURVE_POINTS = 41
BEYOND = 10.0  # how far above the grid a crossing is still told
PAIRS_ALONG = 14  # fewer do not tell what differs along a budget
ALONG = np.log(1.5)  # spread of sizes along a budget from which gains may differ along it
OTHER_LOSS = 0.3  # of ln loss: more than a recipe makes
NEAR = np.log(1e3)  # how far beyond that it is still kept
SHUFFLE = 7  # seed of the order in which draws of weighted laws meet


@dataclass(frozen=True)
class Recipes:
    """The comparison of two recipes.

    Attributes
    ----------
    pair : tuple of str
        Names; the multiplier is of the second in terms of the first.
    pairing : mapping
        ``kind`` (paired, unpaired, or none where losses have other units), ``by, n, alone`` and
        the ``law`` of the reference.
    rows : tuple of mapping
        One a scale, as in `Comparison.rows`.
    tests : tuple of mapping
        ``quantity`` (offset, exponent), ``estimate, interval, p``.
    crossing : mapping or None
        ``C, interval, inside`` where the curves cross.
    messages : tuple of Message
    curve : mapping
        Columns of a fine grid of compute, for drawing: ``C``, and ``multiplier`` and
        ``difference``, each with its ``_lo`` and ``_hi``.
    span : (float, float)
        Compute between which both groups have runs [FLOP]; beyond it all is extrapolation.
    """

    pair: tuple[str, str]
    pairing: dict[str, Any]
    rows: tuple[dict[str, Any], ...]
    tests: tuple[dict[str, Any], ...]
    crossing: dict[str, Any] | None
    messages: tuple[Message, ...]
    curve: Mapping[str, list[float]] = field(default_factory=dict, repr=False)
    span: tuple[float, float] = (np.nan, np.nan)

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads back."""
        messages = [m.as_dict() for m in self.messages]
        found: dict[str, Any] = plain(vars(self) | {"messages": messages})
        return found

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipes:
        """Inverse of `as_dict`, after JSON too."""
        return cls(
            (data["pair"][0], data["pair"][1]),
            data["pairing"],
            tuple(data["rows"]),
            tuple(data["tests"]),
            data["crossing"],
            tuple(Message.from_dict(m) for m in data["messages"]),
            {k: [np.nan if x is None else x for x in v] for k, v in data["curve"].items()},
            (data["span"][0], data["span"][1]),
        )


def compare_recipes(
    one: Fit,
    two: Fit,
    *,
    names: tuple[str, str] | None = None,
    level: float = 0.95,
    at: Sequence[float] = (),
) -> Recipes:
    """Compare recipe `two` with recipe `one`.

    Parameters
    ----------
    one, two : Fit
        Fits of one law of N and D to the two groups; the first is the reference.
    names : tuple of str, optional
        What to call them.
    level : float
    at : sequence of float
        Compute beside that of the grid [FLOP, in the reference's meaning of C].

    Raises
    ------
    QuestionError
        SC430 for a reference that is not identified or divides no compute; SC433 if nothing is in
        common.
    """
    names = names or (name_of(one), name_of(two))
    if not one.identified or not allocates(one.law) or set(one.law.variables) != {"N", "D"}:
        found = f"law {one.law.name}, status {one.status}"
        expected = "an identified fit of a law of N and D as the reference"
        mend = (
            "name another by --reference; groups that differ in data alone: scaling fit --effective"
        )
        raise QuestionError(Fault("SC430", names[0], found, expected, mend))
    pairs = pairs_of(one, two)
    told = tuple(unlike(one, two, names))
    if any(message.severity == "error" for message in told):  # no difference means anything
        alone = list(pairs.alone)
        pairing = {"kind": "none", "by": pairs.by, "n": len(pairs.N), "alone": alone}
        pairing["law"] = one.law.name
        return Recipes(names, pairing, (), (), None, told)
    if len(pairs.N) >= ENOUGH_PAIRS:
        made = _paired(one, pairs, names, level, at)
        return replace(made, messages=(*told, *made.messages))
    if not two.identified or set(two.law.variables) != {"N", "D"}:
        found = f"{len(pairs.N)} common cells, and {names[1]} has no identified surface"
        expected = f"{ENOUGH_PAIRS} cells of equal N and D, or two identified surfaces"
        mend = "train both recipes on one grid, or compare what each predicts: scaling predict"
        raise QuestionError(Fault("SC433", " and ".join(names), found, expected, mend))
    made = _unpaired(one, two, pairs, names, level, at)
    return replace(made, messages=(*told, *made.messages))


@dataclass(frozen=True)
class _Line:
    """``ln m = level + slope x + v w + q w²``, with the covariance.

    x is ln C about its mean over the pairs, w is ln N over the best N at that compute.
    """

    coefficients: Array
    covariance: Array
    centre: float
    freedom: int

    def at(self, log_c: Array) -> tuple[Array, Array]:
        """Return ln m of the best sizes and its standard error."""
        best = 0.0 * log_c
        x = np.stack([best + 1.0, log_c - self.centre, best, best], axis=-1)
        variance = np.einsum("...i,ij,...j->...", x, self.covariance, x)
        return x @ self.coefficients, np.sqrt(np.maximum(variance, 0.0))

    def quantile(self, level: float) -> float:
        """Student's t of a level."""
        from scipy.special import stdtrit

        return float(stdtrit(self.freedom, 0.5 * (1.0 + level)))


def _estimate(one: Fit, pairs: Pairs) -> _Line:
    """Least squares of the paired differences, with the sandwich and the reference's own error."""
    own = {name: one.params[name] for name in one.law.names}
    best, x, centre = _least_squares(one, own, pairs)
    slopes, left = _slopes(one, own, pairs, best, x)
    inverse = np.linalg.pinv(slopes.T @ slopes, rcond=1e-12, hermitian=True)
    leverage = np.einsum("ni,ij,nj->n", slopes, inverse, slopes)
    scores = slopes * (left / np.sqrt(1.0 - np.minimum(leverage, 0.9)))[:, None]  # HC2
    covariance = inverse @ (scores.T @ scores) @ inverse
    if one.draws:
        every = max(1, len(next(iter(one.draws.values()))) // 100)
        drawn = [
            _least_squares(one, {k: float(v[i]) for k, v in one.draws.items()}, pairs)[0]
            for i in range(0, len(next(iter(one.draws.values()))), every)
        ]
        if len(drawn) > 2:
            covariance = covariance + np.cov(np.array(drawn).T)
    return _Line(best, covariance, centre, len(pairs.N) - int(np.linalg.matrix_rank(slopes)))


def _least_squares(one: Fit, params: dict[str, float], pairs: Pairs) -> tuple[Array, Array, float]:
    """Gauss-Newton for the line of ln m; the model is nearly linear in it."""
    log_c = np.log(cost_of(one).compute(pairs.N, pairs.D))
    centre = float(log_c.mean())
    beside = np.log(pairs.N) - best_size(one.law, params, log_c, cost_of(one))[0]
    w = np.nan_to_num(beside)
    x = np.stack([np.ones_like(w), log_c - centre, w, w**2], axis=1)
    own = w - x[:, :2] @ np.linalg.lstsq(x[:, :2], w, rcond=None)[0]
    if len(w) < PAIRS_ALONG or np.ptp(own) < ALONG:
        x[:, 2:] = 0.0
    found = np.zeros(4)
    for _ in range(STEPS):
        slopes, left = _slopes(one, params, pairs, found, x)
        step = np.linalg.lstsq(slopes, left, rcond=None)[0]
        step = np.clip(step, -2.0, 2.0)
        found = found + step
        if np.abs(step).max() < 1e-10:
            break
    return found, x, centre


def _slopes(
    one: Fit, params: dict[str, float], pairs: Pairs, line: Array, x: Array
) -> tuple[Array, Array]:
    """Derivatives of the modelled difference by the line, and what the difference leaves over."""
    compute = float(np.exp(np.log(cost_of(one).compute(pairs.N, pairs.D)).mean()))
    a, b = local_exponents(one.law, params, compute, cost_of(one))
    shift = x @ line
    n, d = pairs.N * np.exp(a * shift), pairs.D * np.exp(b * shift)
    value, slope = one.law.expression.value_and_gradient({**params, "N": n, "D": d}, ("N", "D"), {})
    gain = -(a * n * slope["N"] + b * d * slope["D"]) / value  # of -ln loss by ln m
    modelled = np.log(one.law.loss(params, {"N": pairs.N, "D": pairs.D})) - np.log(value)
    return x * np.asarray(gain)[:, None], (pairs.one - pairs.two) - modelled


@dataclass(frozen=True)
class _Along:
    """A comparison along compute: each quantity of shape (n,), its interval of shape (n, 2)."""

    scales: Array
    difference: Array
    spread: Array
    log_m: Array
    ends: Array

    def columns(self) -> dict[str, list[float]]:
        """Return the `Recipes.curve`."""
        ends = np.exp(self.ends)
        found = {
            "C": self.scales,
            "multiplier": np.exp(self.log_m),
            "multiplier_lo": ends[:, 0],
            "multiplier_hi": ends[:, 1],
            "difference": self.difference,
            "difference_lo": self.spread[:, 0],
            "difference_hi": self.spread[:, 1],
        }
        return {name: values.tolist() for name, values in found.items()}


def _paired(
    one: Fit, pairs: Pairs, names: tuple[str, str], level: float, at: Sequence[float]
) -> Recipes:
    from scipy.special import stdtr

    line = _estimate(one, pairs)
    quantile = line.quantile(level)
    compute = cost_of(one).compute(pairs.N, pairs.D)
    span = (float(compute.min()), float(compute.max()))

    def along(scales: Array) -> _Along:
        log_m, error = line.at(np.log(scales))
        ends = np.stack([log_m - quantile * error, log_m + quantile * error], axis=1)
        base = _frontier(one, one.params, np.log(scales))
        moved = [_frontier(one, one.params, np.log(scales) + x) for x in (log_m, *ends.T[::-1])]
        difference, *parts = (loss - base for loss in moved)
        return _Along(scales, difference, np.stack(parts, axis=1), log_m, ends)

    pairing = {
        "kind": "paired",
        "by": pairs.by,
        "n": len(pairs.N),
        "alone": list(pairs.alone),
        "law": one.law.name,
    }
    rows = _rows(names, along(_scales(compute, at)), level, pairing, span[1])
    tests = []
    for k, quantity in enumerate(("offset", "exponent")):
        estimate = float(line.coefficients[k])
        se = float(np.sqrt(line.covariance[k, k]))
        t = estimate / se if se > 0 else np.inf * np.sign(estimate)
        tests.append(
            {
                "pair": list(names),
                "quantity": quantity,
                "estimate": estimate,
                "interval": [estimate - quantile * se, estimate + quantile * se],
                "level": level,
                "p": float(2.0 * stdtr(line.freedom, -abs(t))),
                "at": float(np.exp(line.centre)),
            }
        )
    crossing = _crossing(line, quantile, compute)
    messages = _pairing_messages(names, pairs)
    if crossing is not None and crossing["inside"]:
        messages.append(_crossing_message(names, crossing))
    curve = along(_grid(span, at)).columns()
    return Recipes(
        names, pairing, tuple(rows), tuple(tests), crossing, tuple(messages), curve, span
    )


def _unpaired(
    one: Fit, two: Fit, pairs: Pairs, names: tuple[str, str], level: float, at: Sequence[float]
) -> Recipes:
    """Compare two surfaces, whose draws are independent."""
    both = [cost_of(f).compute(f.fitted["N"], f.fitted["D"]) for f in (one, two)]
    compute = np.concatenate(both)
    span = (float(max(c.min() for c in both)), float(min(c.max() for c in both)))
    found = _surfaces(one, two, _scales(compute, at), level)
    difference, scales = found.difference, found.scales
    pairing = {
        "kind": "unpaired",
        "by": "",
        "n": len(pairs.N),
        "alone": list(pairs.alone),
        "law": one.law.name,
    }
    rows = _rows(names, found, level, pairing, span[1])
    text = (
        f"{names[0]} and {names[1]} share {len(pairs.N)} cells of N and D, too few to pair: their "
        "surfaces are compared, with the error of both."
    )
    messages = [Message("SC433", text)]
    crossing = None
    signs = np.sign(difference)
    if signs.min() < 0 < signs.max():
        k = int(np.flatnonzero(np.diff(signs))[0])
        where = float(np.sqrt(scales[k] * scales[k + 1]))
        crossing = {"C": where, "interval": [None, None], "inside": True}
        messages.append(_crossing_message(names, crossing))
    curve = _surfaces(one, two, _grid((compute.min(), compute.max()), at), level).columns()
    return Recipes(names, pairing, tuple(rows), (), crossing, tuple(messages), curve, span)


def _surfaces(one: Fit, two: Fit, scales: Array, level: float) -> _Along:
    """Compare the best of two surfaces at each compute, with the error of both."""
    log_c = np.log(scales)

    def both(p: Params, q: Params) -> tuple[Array, Array]:
        """Difference of the lowest losses, and ln m."""
        lowest = [_frontier(f, x, log_c) for f, x in ((one, p), (two, q))]
        reached = least_cost(one.law, p, np.log(lowest[1]), cost_of(one))[0]
        return lowest[1] - lowest[0], reached - log_c

    difference, log_m = both(one.params, two.params)
    spread = np.full((len(scales), 2), np.nan)
    ends = np.full((len(scales), 2), np.nan)
    count = min(len(next(iter(f.draws.values()), ())) for f in (one, two))
    if count:
        columns = [_columns(f, count, k) for k, f in enumerate((one, two))]
        gap, drawn = both(columns[0], columns[1])
        bands = [Bands(fit, level) for fit in (one, two)]
        wide = max(bands, key=lambda band: band.factor)
        gap = spread_about(difference, gap, wide.factor, log=False)
        drawn = spread_about(log_m, drawn, wide.factor, log=False)
        spread = np.stack(wide.ends(gap, scales.shape), axis=1)
        ends = np.stack(wide.ends(drawn, scales.shape), axis=1)
    return _Along(scales, difference, spread, log_m, ends)


def _columns(fit: Fit, count: int, side: int) -> Params:
    """As many draws, of shape (k, 1); those of `auto` come law by law, and are shuffled."""
    index = np.arange(count)
    if fit.members:
        every = len(next(iter(fit.draws.values())))
        index = np.random.default_rng([SHUFFLE, side]).permutation(every)[:count]
    return {name: np.asarray(v)[index, None] for name, v in fit.draws.items()}


def _frontier(fit: Fit, params: Params, log_c: Array) -> Array:
    """Lowest loss at each ln C."""
    own = params if fit.members else {name: params[name] for name in fit.law.names}
    u, v = best_size(fit.law, own, log_c, cost_of(fit))
    with np.errstate(all="ignore"):  # of a draw whose optimum lies beyond any number
        return fit.law.loss(own, {"N": np.exp(u), "D": np.exp(v)})


def _scales(compute: Array, at: Sequence[float]) -> Array:
    """Distinct compute of the cells, at most seven of them, and what was asked for."""
    _, index, count = np.unique(
        np.round(np.log(compute), 2), return_inverse=True, return_counts=True
    )
    levels = np.exp(np.bincount(index.ravel(), weights=np.log(compute)) / count)
    levels[0], levels[-1] = compute.min(), compute.max()
    if len(levels) > MOST_SCALES:
        levels = np.geomspace(levels[0], levels[-1], FEWER_SCALES)
    asked = amounts("--at", at).tolist() if len(at) else []
    return np.array(sorted({*levels.tolist(), *asked}))


def _grid(span: tuple[float, float], at: Sequence[float]) -> Array:
    """Compute at which curves are drawn: the runs', and up to where a crossing is still told."""
    return np.geomspace(span[0], max(span[1] * BEYOND, *at, 0.0), CURVE_POINTS)


def _rows(
    names: tuple[str, str],
    found: _Along,
    level: float,
    pairing: dict[str, Any],
    largest: float,
) -> list[dict[str, Any]]:
    return [
        {
            "pair": list(names),
            "C": float(c),
            "difference": float(found.difference[i]),
            "multiplier": float(np.exp(found.log_m[i])),
            "interval": {
                "level": level,
                "difference": [float(x) for x in found.spread[i]],
                "multiplier": [float(x) for x in np.exp(found.ends[i])],
            },
            "pairing": pairing,
            "extrapolation": {"factor": float(c / largest)},
        }
        for i, c in enumerate(found.scales)
    ]


def _crossing(line: _Line, quantile: float, compute: Array) -> dict[str, Any] | None:
    """Where ln m is 0, with Fieller's interval; None far from the grid."""
    level, slope = line.coefficients[:2]
    low, high = float(np.log(compute.min())), float(np.log(compute.max() * BEYOND))
    where = -level / slope if slope != 0 else np.inf
    if not low - NEAR <= line.centre + where <= high + NEAR:
        return None
    v = line.covariance
    quadratic = slope**2 - quantile**2 * v[1, 1]
    linear = level * slope - quantile**2 * v[0, 1]
    constant = level**2 - quantile**2 * v[0, 0]
    ends: list[float | None] = [None, None]
    root = linear**2 - quadratic * constant
    if -1e-9 * linear**2 <= root < 0:  # rounding, where there is no noise
        root = 0.0
    if quadratic > 0 and root >= 0:  # the slope differs from 0: a bounded interval
        ends = [
            _safe_exp(line.centre + (-linear + sign * np.sqrt(root)) / quadratic)
            for sign in (-1.0, 1.0)
        ]
    return {
        "C": _safe_exp(line.centre + where),
        "interval": ends,
        "inside": bool(low <= line.centre + where <= high and quadratic > 0),
    }


def _safe_exp(x: float) -> float:
    """Exponential, bounded to what a float holds."""
    return float(np.exp(np.clip(x, -700.0, 700.0)))


def _crossing_message(names: tuple[str, str], crossing: dict[str, Any]) -> Message:
    lo, hi = crossing["interval"]
    known = f" ({lo:.3g} to {hi:.3g})" if lo is not None else ""
    text = (
        f"{names[0]} and {names[1]} cross near C = {crossing['C']:.3g}{known}: which is better "
        "depends on the scale."
    )
    return Message("SC436", text)


def _pairing_messages(names: tuple[str, str], pairs: Pairs) -> list[Message]:
    text = f"{len(pairs.N)} pairs by {pairs.by}"
    left = [f"{n} of {name}" for n, name in zip(pairs.alone, names, strict=True) if n]
    if left:
        text += f"; {' and '.join(left)} had no partner and were left out"
    out = [Message("SC433", text + ".", "info")]
    gap = np.abs(pairs.one - pairs.two)
    if float(np.median(gap)) > OTHER_LOSS:
        text = (
            f"The losses of {names[0]} and {names[1]} differ by a factor "
            f"{np.exp(np.median(gap)):.3g}: are they the same loss on the same data?"
        )
        out.append(Message("SC433", text))
    if not gap.any():
        out.append(Message("SC433", f"The losses of {names[0]} and {names[1]} are identical."))
    return out
