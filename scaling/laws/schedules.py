"""Loss curves under a learning-rate schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling.laws.law import Law
from scaling.laws.pieces import exponent, offset, positive, scale

Array = NDArray[np.float64]
MULTI_POWER_STARTS = (0.2, 0.5, 0.9)


def annealing_areas(lr: ArrayLike, decay: float = 0.999) -> tuple[Array, Array]:
    """Areas of a schedule that the law ``annealing`` reads.

    Parameters
    ----------
    lr : array_like
        Learning rate of each step, shape (steps,).
    decay : float
        Memory of the annealing momentum.

    Returns
    -------
    S_1, S_2 : ndarray
        Forward area Σ η_i and annealing area Σ m_i with m_i = decay m_(i-1) + η_(i-1) - η_i, at
        each step, shape (steps,).

    References
    ----------
    Tissue et al. (2024), Scaling Law with Learning Rate Annealing, eqs. 1 and 2.
    """
    eta = np.asarray(lr, dtype=np.float64)
    momentum = np.zeros_like(eta)
    for i in range(1, len(eta)):
        momentum[i] = decay * momentum[i - 1] + eta[i - 1] - eta[i]
    return eta.cumsum(), momentum.cumsum()


@dataclass(frozen=True)
class MultiPowerLaw(Law):
    """Loss curve under any schedule: a power law of the area, less what each decay step gains.

    ``L_0 + A (S(t) + S_W)^-alpha - B Σ_k (η_(k-1) - η_k) (1 - (1 + C η_k^-gamma S_k(t))^-beta)``
    with S(t) the area of the rate up to step t, S_k(t) that from step k on, and S_W the area of
    the warm-up, which comes before the schedule.

    Attributes
    ----------
    schedules : tuple of ndarray
        Learning rates of each curve after warm-up, shape (steps,); rows name theirs by the column
        ``curve`` (0, 1, …) and their position by ``step`` (1 is the first).
    warmup_area : float
        S_W.

    References
    ----------
    Luo et al. (2025), A Multi-Power Law for Loss Curve Prediction, eqs. 1 to 3.
    """

    schedules: tuple[Array, ...] = field(default=(), compare=False)
    warmup_area: float = 0.0

    @classmethod
    def of(cls, *schedules: ArrayLike, warmup_area: float = 0.0) -> MultiPowerLaw:
        """Make the law of these schedules."""
        return cls(
            name="multi-power",
            title="Multi-power law of loss curves",
            formula="L_0 + A*(S + S_W)**(-alpha) - B*sum_k (lr_(k-1) - lr_k)"
            "*(1 - (1 + C*lr_k**(-gamma)*S_k)**(-beta))",
            parameters=(
                offset("L_0", "floor [unit of the loss]"),
                scale("A", "coefficient of the area"),
                scale("B", "worth of decay"),
                exponent("alpha", "the area", (0.1, 0.3, 0.6, 1.0)),
                exponent("beta", "a decay step's area", MULTI_POWER_STARTS),
                exponent("gamma", "the rate of a decay step", MULTI_POWER_STARTS),
                positive("C", "rate at which a decay step takes effect", (0.1, 1.0, 10.0)),
            ),
            variables=("curve", "step"),
            reference="Luo et al. (2025), A Multi-Power Law for Loss Curve Prediction, eqs. 1 to 3",
            schedules=tuple(np.asarray(s, dtype=np.float64) for s in schedules),
            warmup_area=warmup_area,
        )

    def check_formula(self) -> None:
        """A sum over a schedule is not a formula; its pieces are in the methods."""

    def loss(self, params: Mapping[str, Any], data: Mapping[str, Any]) -> Array:
        """Evaluate the law [unit of the loss]; see `Law.loss`."""
        x = {v: np.atleast_1d(np.asarray(data[v], dtype=np.float64)) for v in self.variables}
        columns = {n: np.atleast_2d(np.asarray(params[n], dtype=np.float64)) for n in self.names}
        value = np.asarray(self.value_and_gradient(columns, x, {}, ())[0])
        return value[0] if all(np.ndim(params[n]) == 0 for n in self.names) else value

    def value_and_gradient(
        self,
        params: Mapping[str, Any],
        x: Mapping[str, Array],
        logs: Mapping[str, Array],  # noqa: ARG002
        wrt: Sequence[str],
    ) -> tuple[Any, Mapping[str, Any]]:
        """Evaluate with derivatives; see `Law.value_and_gradient`."""
        columns = np.broadcast_arrays(*(np.atleast_2d(params[n]) for n in self.names))
        p = dict(zip(self.names, (c[:, :1] for c in columns), strict=True))
        shape = (len(columns[0]), np.broadcast(x["curve"], x["step"]).size)
        area = np.empty(shape[1])
        gain, by = np.zeros(shape), {n: np.zeros(shape) for n in ("beta", "gamma", "C")}
        for index, lr in enumerate(self.schedules):
            rows = np.flatnonzero(np.broadcast_to(x["curve"], shape[1]) == index)
            steps = np.broadcast_to(x["step"], shape[1])[rows].astype(int)
            total = np.concatenate([[0.0], lr.cumsum()])
            area[rows] = total[steps]
            self._decay(p, lr, total, steps, rows, gain, by)
        with np.errstate(all="ignore"):
            level = area + self.warmup_area
            term = p["A"] * level ** -p["alpha"]
            gradient = {
                "L_0": np.ones(shape),
                "A": term / p["A"],
                "alpha": -term * np.log(level),
                "B": -gain,
                **{name: -p["B"] * slope for name, slope in by.items()},
            }
            return p["L_0"] + term - p["B"] * gain, {name: gradient[name] for name in wrt}

    @staticmethod
    def _decay(
        p: Mapping[str, Array],
        lr: Array,
        total: Array,
        steps: NDArray[np.int64],
        rows: NDArray[np.int64],
        gain: Array,
        by: Mapping[str, Array],
    ) -> None:
        """Add what each change of the rate has gained by each row's step, start by start."""
        changed = np.flatnonzero((np.diff(lr) != 0) & (lr[1:] > 0)) + 1
        drop, rate = lr[changed - 1] - lr[changed], lr[changed]
        since = np.maximum(total[steps][:, None] - total[changed][None, :], 0.0)
        for j in range(len(gain)):
            beta, gamma, c = (float(p[n][j, 0]) for n in ("beta", "gamma", "C"))
            u = c * rate**-gamma * since
            left = (1.0 + u) ** -beta
            gain[j, rows] = (1.0 - left) @ drop
            inner = beta * left / (1.0 + u) * u
            by["beta"][j, rows] = (np.log1p(u) * left) @ drop
            by["gamma"][j, rows] = -inner @ (np.log(rate) * drop)
            by["C"][j, rows] = inner @ drop / c
