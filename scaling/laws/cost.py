"""What a training run costs: a formula of N and D, and D for given N and C."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault
from scaling.expressions import Expression, parse
from scaling.laws.formula import arithmetic_only

Array = NDArray[np.float64]
STEPS = 80
PROBE = (1e8, 1e10)


@dataclass(frozen=True)
class Cost:
    """Compute of a run [FLOP] as a formula of N and D.

    Attributes
    ----------
    name : str
    formula : str
        Whitelisted expression of N and D that rises with both.
    """

    name: str
    formula: str

    @cached_property
    def expression(self) -> Expression:
        """The checked formula.

        Raises
        ------
        ConfigError
            SC020 if it reads other names or is no arithmetic; SC004 if it is not positive and
            rising with N and D.
        """
        found = parse(self.formula, where="--cost", names=("N", "D"))
        arithmetic_only(found.tree, self.formula, "--cost")
        slopes = found.value_and_gradient({"N": PROBE[0], "D": PROBE[1]}, ("N", "D"), {})[1]
        rising = all(np.all(np.asarray(slopes.get(v, 0.0)) > 0) for v in ("N", "D"))
        ends = [found.value({"N": n, "D": d}) for n, d in (PROBE, (1.0, 1.0))]
        if not rising or not all(value > 0 for value in ends):
            expected = "a cost above 0 that rises with N and with D, such as 6*N*D"
            raise ConfigError(Fault("SC004", "--cost", self.formula, expected))
        return found

    def compute(self, N: Any, D: Any) -> Array:
        """Return C [FLOP]."""
        return np.asarray(self.expression.value({"N": N, "D": D}), dtype=np.float64)

    def log_slopes(self, u: Array, v: Array) -> tuple[Array, Array, Array]:
        """Return ln C and its derivatives by ln N = `u` and ln D = `v`."""
        n, d = np.exp(u), np.exp(v)
        value, slope = self.expression.value_and_gradient({"N": n, "D": d}, ("N", "D"), {})
        value = np.asarray(value)
        return np.log(value), n * slope["N"] / value, d * slope["D"] / value

    def log_tokens(self, u: Array, log_c: Array) -> Array:
        """Return ln D at which a model of ln N = `u` costs ln C; NaN where none is left for data.

        Newton's method on ln C, which rises with ln D with a slope of at most the power of D.
        """
        u, log_c = np.broadcast_arrays(np.asarray(u, float), np.asarray(log_c, float))
        if self.formula == SIX_ND.formula:
            return np.asarray(log_c - np.log(6.0) - u)
        with np.errstate(all="ignore"):
            if self._linear_in_data:
                rest = np.exp(log_c) - self.compute(np.exp(u), 0.0)
                each = self._by_data(np.exp(u), 1.0)
                return np.asarray(np.where(rest > 0, np.log(rest) - np.log(each), np.nan))
            v = log_c - u - np.log(6.0)
            for _ in range(STEPS):
                value, _, slope = self.log_slopes(u, v)
                step = np.clip((log_c - value) / slope, -20.0, 20.0)
                v = v + np.nan_to_num(step)
                if not np.any(np.abs(step) > 4e-16 * np.abs(v)):
                    break
            value = self.log_slopes(u, v)[0]
        return np.where(np.abs(value - log_c) < 1e-9, v, np.nan)

    def _by_data(self, n: Any, d: Any) -> Array:
        """Derivative of C by D."""
        slope = self.expression.value_and_gradient({"N": n, "D": d}, ("D",), {})[1]["D"]
        return np.asarray(slope, dtype=np.float64)

    @cached_property
    def _linear_in_data(self) -> bool:
        """Whether C is ``p(N) + q(N) D``, so that D follows without iteration."""
        if not np.isfinite(self.compute(PROBE[0], 0.0)):
            return False
        near, far = (float(self._by_data(PROBE[0], d)) for d in (1.0, PROBE[1]))
        return abs(near - far) <= 1e-13 * far

    def log_size(self, v: Array, log_c: Array) -> Array:
        """Return ln N at which data of ln D = `v` cost ln C, by bisection; NaN where none does."""
        v, log_c = np.broadcast_arrays(np.asarray(v, float), np.asarray(log_c, float))
        low, high = np.zeros(log_c.shape), np.maximum(log_c, 0.0)
        with np.errstate(all="ignore"):
            for _ in range(STEPS):
                mid = 0.5 * (low + high)
                above = np.log(self.compute(np.exp(mid), np.exp(v))) > log_c
                low, high = np.where(above, low, mid), np.where(above, mid, high)
            u = 0.5 * (low + high)
            missed = np.abs(np.log(self.compute(np.exp(u), np.exp(v))) - log_c)
        return np.where(missed < 1e-9, u, np.nan)

    def as_dict(self) -> dict[str, str]:
        """Return the form in which results store a cost."""
        return {"name": self.name, "formula": self.formula}

    @classmethod
    def from_dict(cls, data: Mapping[str, str]) -> Cost:
        """Inverse of `as_dict`."""
        return cls(str(data["name"]), str(data["formula"]))


def rounded(formula: str) -> str:
    """Return a formula with four digits a number, for people; results keep all of them."""
    return re.sub(r"\d+\.\d{4,}", lambda found: f"{float(found[0]):.4g}", formula)


SIX_ND = Cost("6nd", "6*N*D")


def power_cost(N: Array, D: Array, C: Array) -> tuple[Cost, float]:
    """Fit ``k N^p D^q`` to what runs cost; return it and its largest error in ln C.

    Where the data hardly spread in a direction, its power stays 1.
    """
    u, v, w = np.log(N), np.log(D), np.log(C)
    x = np.stack([np.ones_like(u), u - u.mean(), v - v.mean()], axis=1)
    target = w - u - v
    coefficients = np.linalg.lstsq(x, target, rcond=1e-6)[0]
    p, q = 1.0 + coefficients[1], 1.0 + coefficients[2]
    level = coefficients[0] - coefficients[1] * u.mean() - coefficients[2] * v.mean()
    error = float(np.abs(target - x @ coefficients).max())
    return Cost("table", f"{np.exp(level):.17g}*N**{p:.17g}*D**{q:.17g}"), error
