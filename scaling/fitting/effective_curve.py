"""The curve of a reference in data, how it is turned round, and the laws that join a treated group.

With one size the curve is a power law with a floor, ``E + B/D**beta``. With two or three sizes an
additive surface would have more parameters of N than sizes, so each size has its own floor, and,
where it has `ENOUGH_DATA` amounts of data, its own coefficient too; the exponent is shared. From
four sizes on it is the additive surface.

References
----------
Hernandez et al. (2021), Scaling Laws for Transfer, secs. 2 and 3: effective data are read off the
curve of training from scratch. Here the law of what was transferred is fitted to losses, jointly
with that curve, so that the noise of a loss enters where it arises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.data import Data
from scaling.fitting.objectives import Loss
from scaling.laws import Law, Parameter
from scaling.laws.pieces import coefficient, exponent, offset, scale, shape

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Kind = Literal["one size", "curve by size", "floor by size", "additive"]

SAME = np.log(1.02)  # of N and of D, within which runs share a size or a cell
FEW_SIZES = 3
ENOUGH_DATA = 4  # amounts of data of each size, for a coefficient of its own
MOST = float(np.log(1e4))  # of ln of a multiplier
NEAR = (0.7, 1.0, 1.4)  # multiples of the reference's own exponents to start from
INDICATOR = "treated"


@dataclass(frozen=True)
class Runs:
    """Runs of one group as arrays of shape (n,).

    Attributes
    ----------
    N : ndarray
        Parameters, those of one size made equal; 1 where the table has no N.
    D, y, weights : ndarray
        Data, response, and row weight.
    labels : ndarray of int
        Cluster of each run.
    """

    N: Array
    D: Array
    y: Array
    weights: Array
    labels: Ints

    def __len__(self) -> int:
        return len(self.y)

    def at(self, keep: NDArray[np.bool_]) -> Runs:
        """Return the runs that a mask keeps."""
        return Runs(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))

    def with_more(self, other: Runs) -> Runs:
        """Return these runs and those of another group."""
        names = self.__dataclass_fields__
        return Runs(*(np.concatenate([getattr(self, n), getattr(other, n)]) for n in names))

    def columns(self) -> dict[str, list[float]]:
        """Return what a figure draws."""
        return {"N": self.N.tolist(), "D": self.D.tolist(), "y": self.y.tolist()}


def distinct(values: Array) -> Array:
    """Geometric means of the values that lie within 2% of each other, rising."""
    rising = np.sort(values)
    steps = np.diff(np.log(rising), prepend=np.log(rising[:1]))
    parts = np.split(rising, np.flatnonzero(steps > SAME))
    means = [p[0] if p[0] == p[-1] else np.exp(np.log(p).mean()) for p in parts if len(p)]
    return np.array(means, dtype=np.float64)


def nearest(values: Array, levels: Array) -> tuple[Ints, NDArray[np.bool_]]:
    """Index of each value's nearest level, and whether it lies within 2% of it."""
    gap = np.abs(np.log(values)[:, None] - np.log(levels))
    index = gap.argmin(axis=1).astype(np.int64)
    return index, gap[np.arange(len(values)), index] <= SAME


@dataclass(frozen=True)
class Curve:
    """What the loss of the reference is, as a function of data, at its sizes.

    Attributes
    ----------
    kind : {"one size", "curve by size", "floor by size", "additive"}
    sizes : ndarray
        Sizes of the reference [parameters], rising.
    """

    kind: Kind
    sizes: Array

    @classmethod
    def of(cls, runs: Runs) -> Curve:
        """Choose the curve that the runs of a reference can bear."""
        sizes = distinct(runs.N)
        if len(sizes) == 1:
            return cls("one size", sizes)
        if len(sizes) > FEW_SIZES:
            return cls("additive", sizes)
        index = nearest(runs.N, sizes)[0]
        amounts = [len(distinct(runs.D[index == j])) for j in range(len(sizes))]
        enough = min(amounts) >= ENOUGH_DATA
        return cls("curve by size" if enough else "floor by size", sizes)

    @property
    def title(self) -> str:
        """Name of the curve in prose."""
        return {
            "one size": "power law in D with a floor",
            "curve by size": "power law in D with a floor and a coefficient for each size",
            "floor by size": "power law in D with a floor for each size",
            "additive": "additive surface in N and D",
        }[self.kind]

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the arrays that the floor and the coefficient read."""
        if self.kind == "additive":
            return ("N",)
        return tuple(f"S_{j}" for j in self._numbers) if self.kind != "one size" else ()

    @property
    def _numbers(self) -> range:
        return range(1, len(self.sizes) + 1)

    def _sum(self, name: str) -> str:
        return "(" + " + ".join(f"{name}_{j}*S_{j}" for j in self._numbers) + ")"

    def formula(self, data: str = "D") -> str:
        """Return the law's formula with `data` in the place of D."""
        floor = {"one size": "E", "additive": "E + A/N**alpha"}.get(self.kind) or self._sum("E")
        top = self._sum("B") if self.kind == "curve by size" else "B"
        return f"{floor} + {top}/({data})**beta"

    def parameters(self, near: Mapping[str, float] | None = None) -> tuple[Parameter, ...]:
        """Parameters; exponents are searched about `near` where it is given."""
        own = self.kind == "curve by size"
        out = [offset(f"E_{j}") for j in self._numbers] if "size" in self.kind else []
        if self.kind == "one size":
            out = [offset()]
        elif self.kind == "additive":
            out = [offset(), coefficient("A", "N")]
        out += [scale(f"B_{j}", "coefficient") for j in self._numbers] if own else []
        out += [] if own else [coefficient("B", "D")]
        names = ("alpha", "beta") if self.kind == "additive" else ("beta",)
        for name in names:
            variable = "N" if name == "alpha" else "D"
            starts = tuple(k * near[name] for k in NEAR) if near else None
            out.append(exponent(name, variable, starts) if starts else exponent(name, variable))
        return tuple(out)

    def law(
        self,
        data: str = "D",
        more: tuple[Parameter, ...] = (),
        variables: tuple[str, ...] = (),
        near: Mapping[str, float] | None = None,
    ) -> Law:
        """Return the law, with what `data` reads beside it."""
        return Law(
            name="effective-data",
            formula=self.formula(data),
            parameters=(*self.parameters(near), *more),
            variables=("D", *self.variables, *variables),
            reference="Hernandez et al. (2021), Scaling Laws for Transfer",
        )

    def columns(self, n: Array) -> dict[str, Array]:
        """Return the arrays that the floor and the coefficient read, at sizes `n`."""
        if self.kind == "additive":
            return {"N": n}
        index = nearest(n, self.sizes)[0]
        return {v: (index == j).astype(np.float64) for j, v in enumerate(self.variables)}

    def data(self, runs: Runs, loss: Loss, law: Law, **more: Array) -> Data:
        """Return the arrays of a fit."""
        return Data(law, {"D": runs.D, **self.columns(runs.N), **more}, runs.y, loss, {}, {})

    def floor(self, params: Mapping[str, Any], n: Array) -> Array:
        """Loss with unbounded data; parameters of shape (k, 1) broadcast against `n`."""
        if self.kind == "one size":
            return np.asarray(params["E"] + 0.0 * n)
        if self.kind == "additive":
            return np.asarray(params["E"] + params["A"] / n ** params["alpha"])
        return self._by_size(params, "E", n)

    def top(self, params: Mapping[str, Any], n: Array) -> Array:
        """Coefficient of the term in D."""
        if self.kind == "curve by size":
            return self._by_size(params, "B", n)
        return np.asarray(params["B"] + 0.0 * n)

    def _by_size(self, params: Mapping[str, Any], name: str, n: Array) -> Array:
        marks = self.columns(n)
        parts = [params[f"{name}_{j}"] * marks[f"S_{j}"] for j in self._numbers]
        return np.asarray(sum(parts))

    def loss(self, params: Mapping[str, Any], n: Array, d: Array) -> Array:
        """Loss of the reference at `n` and `d`."""
        return np.asarray(self.floor(params, n) + self.top(params, n) / d ** params["beta"])

    def data_for(self, params: Mapping[str, Any], n: Array, y: Array) -> Array:
        """Data at which the reference has the loss `y`; infinite below its floor."""
        with np.errstate(all="ignore"):
            gap = y - self.floor(params, n)
            d = (self.top(params, n) / gap) ** (1.0 / params["beta"])
        return np.asarray(np.where(gap > 0, d, np.inf), dtype=np.float64)


def multiplied(
    curve: Curve, near: Mapping[str, float], start: float, slopes: tuple[str, ...]
) -> Law:
    """Return the reference's law with D times m in the treated group.

    ``ln m = mu``, plus a slope in each of `slopes`: ``x`` is ln D and ``w`` is ln N about their
    means over the treated runs.
    """
    starts = sorted({0.0, start, start - 0.5, start + 0.5})
    more = [shape("mu", "ln of the multiplier", *starts, low=-MOST, high=MOST)]
    more += [shape(f"mu_{s}", f"slope of ln m in {s}", 0.0, low=-20.0, high=20.0) for s in slopes]
    text = "".join(f" + mu_{s}*{s}" for s in slopes)
    data = f"D*exp({INDICATOR}*(mu{text}))"
    return curve.law(data, tuple(more), (INDICATOR, *slopes), near)


def transferred(
    curve: Curve, near: Mapping[str, float], start: float, sized: bool, limits: tuple[float, float]
) -> Law:
    """Return the reference's law with ``k D**alpha N**beta`` added to D in the treated group.

    In centred logs: ``D_T = exp(kappa + a x + b w)``; x and w as in `multiplied`.
    """
    starts = [start + s for s in (-1.5, 0.0, 1.5)]
    more = [shape("kappa", "ln D_T at the centre", *starts, low=limits[0], high=limits[1])]
    more.append(shape("a", "exponent of D_F", 0.0, 0.3, 1.0, low=-5.0, high=5.0))
    if sized:
        more.append(shape("b", "exponent of N", 0.0, 0.5, low=-5.0, high=5.0))
    data = f"D + {INDICATOR}*exp(kappa + a*x{' + b*w' if sized else ''})"
    return curve.law(data, tuple(more), (INDICATOR, "x", *(["w"] if sized else [])), near)
