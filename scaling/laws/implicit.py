"""A law that is an equation to be solved: the sigmoidal curve M4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.laws.law import Law
from scaling.laws.pieces import exponent, offset, positive, scale
from scaling.laws.starts import FLOORS, TINY, grid

Array = NDArray[np.float64]
NEWTON_STEPS = 60


@dataclass(frozen=True)
class SigmoidalLaw(Law):
    """M4: ``(y - E)/(E_0 - y)**alpha = B/x**c``, a power law that begins at E_0.

    With ``y = E + (E_0 - E) sigmoid(t)`` the equation is monotone in t and either convex or
    concave, so that Newton's method converges from anywhere; derivatives follow from the implicit
    function theorem.
    """

    @classmethod
    def of(cls, variable: str) -> SigmoidalLaw:
        """Make the law in `variable`."""
        return cls(
            name=f"m4-{variable}",
            title=f"Sigmoidal power law in {variable} (M4)",
            formula=f"(loss - E)/(E_0 - loss)**alpha = B/{variable}**c",
            parameters=(
                offset(),
                positive("E_0", "loss before any learning [unit of the loss]", (1.0,)),
                exponent("alpha", "the distance from E_0"),
                scale("B", "coefficient"),
                exponent("c", variable),
            ),
            variables=(variable,),
            reference="Alabdulmohsin et al. (2022), Revisiting Neural Scaling Laws, eq. 4 (M4)",
            candidates=_candidates,
        )

    def check_formula(self) -> None:
        """An equation is not a formula; its pieces are in the methods."""

    def loss(self, params: Mapping[str, Any], data: Mapping[str, Any]) -> Array:
        """Evaluate the law [unit of the loss]; see `Law.loss`."""
        log_x = np.log(np.asarray(data[self.variables[0]], dtype=np.float64))
        with np.errstate(all="ignore"):
            p = {name: np.asarray(params[name], dtype=np.float64) for name in self.names}
            share = _sigmoid(_root(p, log_x))
            return np.asarray(p["E"] + (p["E_0"] - p["E"]) * share)

    def value_and_gradient(
        self,
        params: Mapping[str, Any],
        x: Mapping[str, Array],  # noqa: ARG002
        logs: Mapping[str, Array],
        wrt: Sequence[str],
    ) -> tuple[Any, Mapping[str, Any]]:
        """Evaluate with derivatives; see `Law.value_and_gradient`."""
        with np.errstate(all="ignore"):
            p, log_x = params, logs[self.variables[0]]
            t = _root(p, log_x)
            share, width = _sigmoid(t), p["E_0"] - p["E"]
            slope = 1.0 - share + p["alpha"] * share
            along = width * share * (1.0 - share) / slope  # -dy/dF
            gap = (1.0 - p["alpha"]) / width
            gradient = {
                "E": 1.0 - share + along * gap,
                "E_0": share - along * gap,
                "alpha": along * (np.log(width) - np.logaddexp(0.0, t)),
                "B": along / p["B"],
                "c": -along * log_x,
            }
            return p["E"] + width * share, {name: gradient[name] for name in wrt}


def _sigmoid(t: Array) -> Array:
    return np.asarray(np.exp(-np.logaddexp(0.0, -t)))


def _root(p: Mapping[str, Any], log_x: Array) -> Array:
    """Solve (1-α) ln W - softplus(-t) + α softplus(t) = ln B - c ln x for t."""
    alpha = p["alpha"]
    target = np.log(p["B"]) - p["c"] * log_x - (1.0 - alpha) * np.log(p["E_0"] - p["E"])
    t = np.where(target < 0, target, target / alpha)
    for _ in range(NEWTON_STEPS):
        share = _sigmoid(t)
        value = -np.logaddexp(0.0, -t) + alpha * np.logaddexp(0.0, t) - target
        step = value / (1.0 - share + alpha * share)
        t = t - step
        if not np.any(np.abs(step) > 1e-14 * (1.0 + np.abs(t))):
            break
    return np.asarray(t)


def _candidates(x: Mapping[str, Array], y: Array) -> dict[str, Array]:
    """For given E, E_0 and alpha the equation is a line in logs."""
    (values,) = x.values()
    floor, top, alpha = grid(FLOORS, (1.005, 1.05, 1.3, 3.0, 10.0), (0.2, 0.5, 1.0, 1.6, 2.5))
    floor, top = floor * y.min(), top * y.max()
    left = np.log(np.maximum(y - floor[:, None], TINY)) - alpha[:, None] * np.log(top[:, None] - y)
    u = np.log(values)
    centred = u - u.mean()
    slope = (left * centred).sum(axis=1) / (centred @ centred)
    level = left.mean(axis=1) - slope * u.mean()
    return {"E": floor, "E_0": top, "alpha": alpha, "B": np.exp(level), "c": -slope}
