"""Checked arrays of one fit, in the solver's own coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.objectives import Loss
from scaling.laws import Law

Array = NDArray[np.float64]
TINY = 1e-300


@dataclass(frozen=True)
class Data:
    """Arrays of one fit.

    Attributes
    ----------
    law : Law
    x : mapping of str to ndarray
        Variables of the law, shape (n,), finite; (k, n) where every start has its own rows.
    y : ndarray
        Response, shaped like `x`; positive where the objective takes logs.
    loss : Loss
        Objective.
    fixed : mapping of str to float
        Parameters held at a value.
    bounds : mapping of str to (float, float)
        Bounds that replace the law's.
    """

    law: Law
    x: Mapping[str, Array]
    y: Array
    loss: Loss
    fixed: Mapping[str, float]
    bounds: Mapping[str, tuple[float, float]]

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.y.shape[-1])

    @cached_property
    def logs(self) -> dict[str, Array]:
        """Natural logarithms of the variables that are positive."""
        return {name: np.log(v) for name, v in self.x.items() if (v > 0).all()}

    @cached_property
    def log_y(self) -> Array:
        """Natural logarithm of the response, where the objective takes it."""
        return np.log(self.y) if self.loss.logs else self.y

    def gathered(self, index: NDArray[np.int64]) -> Data:
        """Return the data of some rows, shape (m,), or of each start's own, shape (k, m)."""
        return self._sliced(index)

    def kept(self, starts: NDArray[np.bool_]) -> Data:
        """Return the data of the starts that go on, where each has its own rows."""
        return self._sliced(starts) if self.y.ndim == 2 else self

    def _sliced(self, index: NDArray[Any]) -> Data:
        x = {name: values[index] for name, values in self.x.items()}
        out = replace(self, x=x, y=self.y[index])
        # Logarithms are sliced like the rest rather than taken again.
        out.__dict__["logs"] = {name: values[index] for name, values in self.logs.items()}
        out.__dict__["log_y"] = self.log_y[index]
        return out

    @cached_property
    def free(self) -> tuple[str, ...]:
        """Names of the parameters that are estimated."""
        return tuple(name for name in self.law.names if name not in self.fixed)

    @cached_property
    def in_log(self) -> NDArray[np.bool_]:
        """Which free parameters are refined in their logarithm."""
        return np.array([self.law.parameter(p).in_log for p in self.free], dtype=bool)

    @cached_property
    def exponents(self) -> NDArray[np.bool_]:
        """Which free parameters are exponents."""
        roles = [self.law.parameter(p).role == "exponent" for p in self.free]
        return np.array(roles, dtype=bool)

    def limits_of(self, name: str) -> tuple[float, float]:
        """Bounds of a parameter."""
        parameter = self.law.parameter(name)
        return self.bounds.get(name, (parameter.low, parameter.high))

    @cached_property
    def limits(self) -> tuple[Array, Array]:
        """Bounds of the free parameters in internal coordinates."""
        pairs = np.array([self.limits_of(name) for name in self.free]).reshape(-1, 2)
        with np.errstate(all="ignore"):
            logs = np.log(np.maximum(pairs, TINY))
        low, high = np.where(self.in_log[:, None], logs, pairs).T
        return low, high

    def params(self, z: Array) -> dict[str, Array]:
        """Turn internal coordinates, shape (k, p), into named columns of shape (k,)."""
        out = {name: np.full(len(z), value) for name, value in self.fixed.items()}
        for j, name in enumerate(self.free):
            out[name] = np.exp(z[:, j]) if self.in_log[j] else z[:, j]
        return {name: out[name] for name in self.law.names}

    def internal(self, params: Mapping[str, Array]) -> Array:
        """Turn named columns into internal coordinates, inside the bounds."""
        columns = [
            np.log(np.maximum(params[name], TINY)) if log else params[name]
            for name, log in zip(self.free, self.in_log, strict=True)
        ]
        z: Array = np.stack(columns, axis=1) if columns else np.zeros((1, 0))
        low, high = self.limits
        return np.minimum(np.maximum(np.nan_to_num(z), low), high)

    def residuals(self, z: Array) -> tuple[Array, Array]:
        """Residuals, shape (k, n), and their Jacobian, shape (k, p, n)."""
        params = {name: value[:, None] for name, value in self.params(z).items()}
        jacobian = np.empty((len(z), len(self.free), self.n))
        with np.errstate(all="ignore"):
            value, slopes = self.law.value_and_gradient(params, self.x, self.logs, self.free)
            factor = 1.0 / value if self.loss.logs else 1.0
            for j, name in enumerate(self.free):
                chain = factor * params[name] if self.in_log[j] else factor
                np.multiply(slopes[name], chain, out=jacobian[:, j])
            r = np.log(value) - self.log_y if self.loss.logs else value - self.y
        return r if r.shape == (len(z), self.n) else np.array(
            np.broadcast_to(r, (len(z), self.n))
        ), jacobian
