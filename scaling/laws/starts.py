"""Start rules: candidates for laws that no small grid of exponents finds.

Each rule turns the law into one that is linear in what remains, on a grid of the rest, so that a
handful of least-squares problems gives parameters from which the solver can descend.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Columns = Mapping[str, Array]

INNER = tuple(float(v) for v in np.geomspace(0.05, 2.0, 8))
POWERS = (0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5)
FLOORS = (0.0, 0.4, 0.7, 0.9, 0.97)
TINY = 1e-30


def grid(*axes: Sequence[float] | Array) -> list[Array]:
    """All combinations of the axes, as one array an axis."""
    return list(np.array(list(itertools.product(*axes)), dtype=np.float64).T)


def solve(columns: Sequence[Array], target: Array, weight: Array) -> Array:
    """Weighted least squares at every node; negative coefficients become tiny ones.

    Parameters
    ----------
    columns : sequence of ndarray
        Each of shape (g, n).
    target, weight : ndarray
        Shape (g, n).

    Returns
    -------
    ndarray
        Coefficients, shape (g, m).
    """
    design = np.stack(columns, axis=1) * weight[:, None, :]
    norms = np.sqrt((design**2).sum(axis=2, keepdims=True)) + TINY
    design = design / norms
    gram = design @ design.transpose(0, 2, 1) + 1e-10 * np.eye(design.shape[1])
    moment = design @ (target * weight)[:, :, None]
    return np.asarray(np.maximum(np.linalg.solve(gram, moment)[:, :, 0] / norms[:, :, 0], TINY))


def peel(y: Array, floor: Array, power: Array) -> tuple[Array, Array]:
    """Undo ``y = floor + inner**power``: the inner values and the weight of their errors.

    The weight makes an error of the inner value count as the error of ln y that it causes.
    """
    with np.errstate(all="ignore"):
        inner = np.maximum(y - floor[:, None], TINY) ** (1.0 / power[:, None])
        slope = power[:, None] * inner ** (power[:, None] - 1.0)
    weight = np.where(np.isfinite(slope), slope, 0.0) / y
    return inner, weight


def coupled(x: Columns, y: Array) -> dict[str, Array]:
    """Candidates of ``E + (A/N**alpha + B/D**beta)**k``."""
    floor, power, alpha, beta = grid(FLOORS, POWERS, INNER, INNER)
    floor = floor * y.min()
    inner, weight = peel(y, floor, power)
    columns = [x["N"] ** -alpha[:, None], x["D"] ** -beta[:, None]]
    found = solve(columns, inner, weight)
    return {
        "E": floor,
        "A": found[:, 0],
        "B": found[:, 1],
        "alpha": alpha,
        "beta": beta,
        "k": power,
    }


def nested(x: Columns, y: Array) -> dict[str, Array]:
    """Candidates of the coupled law in outer exponents: A = A'^q, alpha = q alpha'."""
    c = coupled(x, y)
    q = c.pop("k")
    outer = {name: c[name] ** q for name in ("A", "B")}
    return {"E": c["E"], **outer, "alpha": c["alpha"] * q, "beta": c["beta"] * q, "q": q}


def kaplan(x: Columns, y: Array) -> dict[str, Array]:
    """Candidates of ``((N_c/N)**(alpha_N/alpha_D) + D_c/D)**alpha_D``."""
    power, inner_exponent = grid(np.geomspace(0.03, 1.0, 12), np.geomspace(0.1, 3.0, 12))
    inner, weight = peel(y, np.zeros(len(power)), power)
    columns = [x["N"] ** -inner_exponent[:, None], np.broadcast_to(1.0 / x["D"], inner.shape)]
    found = solve(columns, inner, weight)
    size = np.exp(np.log(found[:, 0]) / inner_exponent)
    return {"N_c": size, "D_c": found[:, 1], "alpha_N": power * inner_exponent, "alpha_D": power}


def streams(x: Columns, y: Array) -> dict[str, Array]:
    """Candidates of ``E + (A/(N*(1 + k*log(streams))))**alpha``: linear in E and A**alpha."""
    alpha, k = grid(np.geomspace(0.04, 1.6, 16), np.geomspace(0.02, 2.0, 8))
    column = (x["N"] * (1.0 + k[:, None] * np.log(x["streams"]))) ** -alpha[:, None]
    floor, scale = solve([np.ones_like(column), column], _wide(y, column), 1.0 / _wide(y, column)).T
    return {"E": floor, "A": np.exp(np.log(scale) / alpha), "alpha": alpha, "k": k}


def vanilla(x: Columns, y: Array) -> dict[str, Array]:
    """Candidates of ``(1/(B*D**beta) + E)**alpha``: its 1/alpha-th power is linear in 1/B and E."""
    alpha, beta = grid(np.geomspace(0.02, 4.0, 24), np.geomspace(0.02, 2.0, 16))
    inner, weight = peel(y, np.zeros(len(alpha)), alpha)
    columns = [np.broadcast_to(x["D"], inner.shape) ** -beta[:, None], np.ones_like(inner)]
    found = solve(columns, inner, weight)
    return {"B": 1.0 / found[:, 0], "E": found[:, 1], "alpha": alpha, "beta": beta}


def repeated(x: Columns, y: Array) -> dict[str, Array]:
    """Candidates of the data-constrained law: the additive law in the data that still count."""
    unique = x["D_unique"]
    repeats = np.maximum(x["D"] / unique - 1.0, 0.0)
    out: dict[str, list[float]] = {n: [] for n in ("E", "A", "B", "alpha", "beta", "R_D", "R_N")}
    alpha, beta = grid(np.geomspace(0.05, 1.2, 8), np.geomspace(0.05, 1.2, 8))
    for data_decay in (1.0, 4.0, 16.0, 64.0, 256.0):
        effective = unique + unique * data_decay * -np.expm1(-repeats / data_decay)
        columns = [
            np.ones((len(alpha), len(y))),
            x["N"] ** -alpha[:, None],
            effective ** -beta[:, None],
        ]
        found = solve(columns, _wide(y, columns[0]), 1.0 / _wide(y, columns[0]))
        fitted = np.einsum("gm,gmn->gn", found, np.stack(columns, axis=1))
        order = np.argsort(((fitted / y - 1.0) ** 2).sum(axis=1))[:4]
        for g, size_decay in itertools.product(order, (1.0, 4.0, 16.0, 64.0)):
            values = (*found[g], alpha[g], beta[g], data_decay, size_decay)
            for name, value in zip(out, values, strict=True):
                out[name].append(float(value))
    return {name: np.array(values) for name, values in out.items()}


def routed(x: Columns, y: Array) -> dict[str, Array]:
    """Candidates of Clark's law: ln loss is linear in four terms once the saturation is given."""
    few, many = grid(np.geomspace(0.3, 20.0, 8), np.geomspace(50.0, 5000.0, 8))
    found = []
    for start, top in zip(few, many, strict=True):
        inverse = 1.0 / (x["experts"] - 1.0 + 1.0 / (1.0 / start - 1.0 / top)) + 1.0 / top
        u, v = np.log(x["N"]), -np.log(inverse)
        design = np.column_stack([u, v, u * v, np.ones_like(u)])
        found.append(np.linalg.lstsq(design, np.log(y), rcond=None)[0])
    a, b, c, d = np.array(found).T
    return {"a_N": a, "b_E": b, "c_NE": c, "d": d, "E_start": few, "E_max": many}


def coverage(x: Columns, y: Array) -> dict[str, Array]:
    """Candidates of ``exp(-a*samples**(-b))``: ln(-ln y) is a line in ln samples."""
    inside = np.clip(y, 1e-9, 1.0 - 1e-9)
    line = np.polynomial.polynomial.polyfit(np.log(x["samples"]), np.log(-np.log(inside)), 1)
    return {"a": np.exp(line[:1]), "b": np.maximum(-line[1:], 1e-3)}


def broken(variable: str, breaks: int) -> Callable[[Columns, Array], dict[str, Array]]:
    """Make the rule of a smoothly broken power law with `breaks` breaks.

    Breaks start inside the range of the variable, in order, at a few sharpnesses and slopes; the
    floor and the coefficient follow by least squares.
    """

    def rule(x: Columns, y: Array) -> dict[str, Array]:
        rng = np.random.default_rng(0)
        u = np.log(x[variable])
        g = 600
        positions = np.sort(rng.uniform(u.min(), u.max(), (g, breaks)), axis=1)
        slopes = rng.uniform(-0.6, 0.9, (g, breaks + 1))
        sharpness = np.exp(rng.uniform(np.log(0.08), np.log(1.2), (g, breaks)))
        column = np.exp(-slopes[:, :1] * (u - u.mean()))
        for i in range(breaks):
            bend = np.logaddexp(0.0, (u - positions[:, i : i + 1]) / sharpness[:, i : i + 1])
            column = column * np.exp(-slopes[:, i + 1 : i + 2] * sharpness[:, i : i + 1] * bend)
        wide = _wide(y, column)
        floor, scale = solve([np.ones_like(column), column], wide, 1.0 / wide).T
        out = {"a": floor, "b": scale * np.exp(slopes[:, 0] * u.mean()), "c0": slopes[:, 0]}
        for i in range(breaks):
            out[f"c{i + 1}"] = slopes[:, i + 1]
            out[f"d{i + 1}"] = np.exp(positions[:, i])
            out[f"f{i + 1}"] = sharpness[:, i]
        return out

    return rule


def farseer(x: Columns, y: Array) -> dict[str, Array]:
    """Candidates of Farseer: a power law in D at each size, then a curve of each coefficient in N.

    Needs three sizes with four amounts of data each; otherwise the candidates are poor.
    """
    sizes = [n for n in np.unique(x["N"]) if (x["N"] == n).sum() >= 4]
    slopes = np.geomspace(0.02, 2.0, 80)
    rows = []
    for n in sizes:
        at = x["N"] == n
        column = x["D"][at] ** -slopes[:, None]
        wide = _wide(y[at], column)
        found = solve([np.ones_like(column), column], wide, 1.0 / wide)
        fitted = found[:, :1] + found[:, 1:] * column
        best = int((((fitted / wide) - 1.0) ** 2).sum(axis=1).argmin())
        rows.append([n, *np.log(found[best]), np.log(slopes[best])])
    names = (("a3", "b3", "gamma"), ("a2", "b2", "beta"), ("a1", "b1", "alpha"))
    if len(rows) < 3:
        fallback = {"a3": 1.0, "b3": 0.0, "gamma": -0.1, "a2": 10.0, "b2": 0.0, "beta": 0.05}
        fallback |= {"a1": -1.0, "b1": -1.0, "alpha": 0.05}
        return {name: np.array([value]) for name, value in fallback.items()}
    table = np.array(rows)
    picks = [_power_curve(table[:, 0], table[:, j]) for j in (1, 2, 3)]
    out: dict[str, list[float]] = {name: [] for triple in names for name in triple}
    for chosen in itertools.product(*picks):
        for triple, values in zip(names, chosen, strict=True):
            for name, value in zip(triple, values, strict=True):
                out[name].append(value)
    return {name: np.array(values) for name, values in out.items()}


def _power_curve(n: Array, v: Array) -> list[tuple[float, float, float]]:
    """The best three of ``v = a n**g + b`` on a grid of g of both signs."""
    found = []
    for g in np.concatenate([-np.geomspace(0.01, 1.0, 25), np.geomspace(0.01, 0.6, 25)]):
        column = n**g
        design = np.column_stack([column, np.ones_like(column)])
        values, *_ = np.linalg.lstsq(design / np.linalg.norm(design, axis=0), v, rcond=None)
        values = values / np.linalg.norm(design, axis=0)
        error = float(((design @ values - v) ** 2).sum())
        found.append((error, (float(values[0]), float(values[1]), float(g))))
    found.sort()
    return [item[1] for item in found[:3]]


def _wide(y: Array, like: Array) -> Array:
    return np.broadcast_to(y, like.shape)
