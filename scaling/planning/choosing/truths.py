"""Weighted laws that may be true, the noise of runs under them, and the law that will be fitted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scaling.errors import Fault, Message, PlanError
from scaling.fitting.allocation import allocates, best_size, local_exponents
from scaling.laws import Law
from scaling.laws.cost import SIX_ND, Cost

Array = NDArray[np.float64]
SAME = 1e-9  # relative difference of two laws that are one
PROBES = {"N": np.geomspace(1e5, 1e11, 5), "D": np.geomspace(1e12, 1e6, 5)}


@dataclass(frozen=True)
class Noise:
    """Standard deviation of ln loss from seeds, data order and evaluation.

    Attributes
    ----------
    sd : float
        Of a run at `compute` [ln loss].
    growth : float
        It grows as ``(C/compute)**-growth`` towards smaller runs, C = 6ND.
    compute : float
        Where it is `sd` [FLOP].
    trunk : float
        Standard deviation of what the runs of one trunk share, beside it [ln loss].
    """

    sd: float = 0.004
    growth: float = 0.0
    compute: float = 1e18
    trunk: float = 0.0

    def __post_init__(self) -> None:
        numbers = (self.sd, self.growth, self.compute, self.trunk)
        sound = all(np.isfinite(v) for v in numbers) and self.sd > 0 and self.compute > 0
        if not sound or self.trunk < 0:
            found = f"sd {self.sd:g}, growth {self.growth:g}, trunk {self.trunk:g}"
            raise PlanError(Fault("SC210", "noise", found, "sd above 0, trunk 0 or more"))

    def own(self, N: Array, D: Array) -> Array:
        """Return the standard deviation of what a run shares with no other."""
        if self.growth == 0.0:
            return np.full(np.shape(N), self.sd)
        return np.asarray(self.sd * (6.0 * N * D / self.compute) ** -self.growth)

    def total(self, N: Array, D: Array) -> Array:
        """Return the standard deviation of a run on its own."""
        return np.asarray(np.hypot(self.own(N, D), self.trunk))


@dataclass(frozen=True)
class Truth:
    """One law that may be true, and the law that will be fitted to its runs.

    Attributes
    ----------
    law : Law
        Of the loss, of N and D alone.
    params : mapping
        Value of every parameter.
    source : str
        Where the values are from.
    weight : float
        Above 0; the weights of a prior add up to 1.
    noise : Noise
    fitted : Law, optional
        Law that will be fitted, of which `law` is a case; `law` itself if None.
    """

    law: Law
    params: Mapping[str, float]
    source: str
    weight: float = 1.0
    noise: Noise = Noise()
    fitted: Law | None = None

    def __post_init__(self) -> None:
        where = f"prior, {self.source}"
        if not allocates(self.law) or set(self.law.variables) != {"N", "D"}:
            found, expected = f"law {self.law.name}", "a law of the loss, of N and D alone"
            raise PlanError(Fault("SC210", where, found, expected))
        if set(self.params) != set(self.law.names):
            found = ", ".join(sorted(set(self.law.names) ^ set(self.params)))
            expected = f"exactly the parameters {', '.join(self.law.names)}"
            raise PlanError(Fault("SC210", where, f"missing or unknown: {found}", expected))
        for p in self.law.parameters:
            if not p.low <= self.params[p.name] <= p.high:
                found, expected = f"{p.name} = {self.params[p.name]:g}", f"{p.low:g} to {p.high:g}"
                raise PlanError(Fault("SC210", where, found, expected))
        if not (np.isfinite(self.weight) and self.weight > 0):
            raise PlanError(Fault("SC210", where, f"weight {self.weight:g}", "above 0"))
        self.lifted()

    @property
    def model(self) -> Law:
        """The law that will be fitted."""
        return self.fitted or self.law

    def lifted(self) -> dict[str, float]:
        """Return the parameters of the law to be fitted at which it is the truth.

        Raises
        ------
        PlanError
            SC210 if the truth is no case of that law.
        """
        own = {name: float(self.params[name]) for name in self.law.names}
        if self.fitted is None or self.fitted.formula == self.law.formula:
            return own
        defaults = {"k": 1.0, "q": 1.0, "beta": own.get("alpha", 1.0), "E": 0.0}
        names = self.fitted.names
        found = {n: own.get(n, defaults.get(n, 1.0)) for n in names}
        if set(own) <= set(names) and set(self.fitted.variables) == {"N", "D"}:
            here, there = self.law.loss(own, PROBES), self.fitted.loss(found, PROBES)
            if np.allclose(here, there, rtol=SAME, atol=0.0):
                return found
        what = f"{self.law.name} is no case of {self.fitted.name}"
        mend = "fit the law itself, or one that holds it (coupled holds chinchilla)"
        raise PlanError(Fault("SC210", f"prior, {self.source}", what, mend=mend))


@dataclass(frozen=True)
class Prior:
    """Weighted truths.

    Attributes
    ----------
    truths : tuple of Truth
        Their weights add up to 1.
    name : str
        For headings and plans.
    assumed : bool
        Whether parameters were made up where only the optimum was given.
    """

    truths: tuple[Truth, ...]
    name: str
    assumed: bool = False

    def __post_init__(self) -> None:
        if not self.truths:
            raise PlanError(Fault("SC210", f"prior {self.name}", "no law", "at least one"))
        total = sum(t.weight for t in self.truths)
        scaled = tuple(replace(t, weight=t.weight / total) for t in self.truths)
        object.__setattr__(self, "truths", scaled)

    @property
    def weights(self) -> Array:
        """Weights of the truths, shape (t,)."""
        return np.array([t.weight for t in self.truths])

    def with_noise(self, noise: Noise) -> Prior:
        """Return the same laws with other noise."""
        return replace(self, truths=tuple(replace(t, noise=noise) for t in self.truths))

    def fitted_by(self, law: Law | None) -> Prior:
        """Return the same truths, to be fitted by one law, or each by its own if None.

        Raises
        ------
        PlanError
            SC210 if a truth is no case of it.
        """
        return replace(self, truths=tuple(replace(t, fitted=law) for t in self.truths))

    def shifted(self, factors: Iterable[float]) -> Prior:
        """Return each truth with its N*(C) multiplied by each factor, in the truth's place.

        ``L(N/f, D f)`` has f times the optimal N at every C, and the same loss there, under
        C = 6ND; so ``A`` becomes ``A f^alpha`` and ``B`` becomes ``B f^-beta``.

        Raises
        ------
        PlanError
            SC210 for a law without those four, or a factor that is not above 0.
        """
        factors = tuple(factors)
        out = []
        for truth in self.truths:
            p = dict(truth.params)
            if not {"A", "alpha", "B", "beta"} <= set(p) or not all(f > 0 for f in factors):
                found = f"{truth.law.name} by {', '.join(f'{f:g}' for f in factors)}"
                expected = "a law with A, alpha, B and beta, and factors above 0"
                raise PlanError(Fault("SC210", f"prior, {truth.source}", found, expected))
            for f in factors:
                moved = {"A": p["A"] * f ** p["alpha"], "B": p["B"] * f ** -p["beta"]}
                source = truth.source if f == 1.0 else f"{truth.source}, N* x {f:g}"
                out.append(replace(truth, params=p | moved, source=source))
        return replace(self, truths=tuple(out))

    def optimum(self, compute: Array, cost: Cost = SIX_ND) -> tuple[Array, Array, Array]:
        """Return N*, D* and the loss there under each truth.

        Parameters
        ----------
        compute : ndarray
            C [FLOP], shape (m,).
        cost : Cost

        Returns
        -------
        N, D, loss : ndarray
            Shape (t, m); NaN where a truth has no optimum.
        """
        log_c = np.log(np.atleast_1d(np.asarray(compute, dtype=np.float64)))
        sizes, data, losses = [], [], []
        for truth in self.truths:
            u, v = best_size(truth.law, truth.params, log_c, cost)
            sizes.append(np.exp(u))
            data.append(np.exp(v))
            losses.append(truth.law.loss(truth.params, {"N": sizes[-1], "D": data[-1]}))
        return np.stack(sizes), np.stack(data), np.stack(losses)

    def exponents(self, compute: float, cost: Cost = SIX_ND) -> Array:
        """Return a = d ln N*/d ln C at `compute` [FLOP] under each truth, shape (t,)."""
        found = [local_exponents(t.law, t.params, compute, cost)[0] for t in self.truths]
        return np.array(found, dtype=np.float64)

    def messages(self) -> tuple[Message, ...]:
        """Return what must be said wherever the prior was used."""
        if not self.assumed:
            return ()
        text = f"The prior {self.name} assumes a loss; only its optimum was given."
        return (Message("SC214", text, "info"),)
