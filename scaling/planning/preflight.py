"""What a plan will tell, before anything is spent: studies drawn from the prior, fitted as planned.

Losses of the plan's own points are drawn under each law that may be true, with the noise of runs,
and fitted by the engine with the study's law and objective. What the estimates do over such studies
is what the interval of the real one will be like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling import laws
from scaling.errors import Fault, Message, PlanError
from scaling.fitting.allocation import allocates, best_size, local_exponents
from scaling.fitting.bowls import Bowl, curve_of, lowest
from scaling.fitting.simulate import Noise, Simulated, simulate
from scaling.laws import Law
from scaling.laws.cost import SIX_ND
from scaling.planning.choosing.prior import Truth
from scaling.planning.plan import Plan
from scaling.planning.sections import FitSection

Array = NDArray[np.float64]
STUDIES = 500
FEWEST = 50  # studies of one truth, where there are many truths
LEAST_SIZES = 4  # of a budget, through which a curve with one minimum can be laid
CURVE = "cubic"
UNSURE = 0.05  # share of studies without a usable fit that is warned of
QUANTITIES = ("a", "N", "loss")


@dataclass(frozen=True)
class Expected:
    """One quantity over simulated studies.

    Attributes
    ----------
    truth : float
        Its value under the law that is true.
    median, low, high : float
        Of the estimate, and the interval that a study may expect about it.
    """

    truth: float
    median: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """Return the machine-readable form."""
        names = ("truth", "median", "low", "high")
        return {name: float(f"{getattr(self, name):.6g}") for name in names}


@dataclass(frozen=True)
class Outlook:
    """What the plan tells if one law is true.

    Attributes
    ----------
    source : str
        Which law.
    weight : float
    fitted : str
        Law that is fitted.
    studies, failed : int
        Simulated, and of those without a usable fit.
    expected : mapping of str to Expected
        Of ``a``, ``N`` and ``loss`` at the target; none where more than half of the fits fail.
    """

    source: str
    weight: float
    fitted: str
    studies: int
    failed: int
    expected: Mapping[str, Expected]

    @property
    def missed(self) -> tuple[str, ...]:
        """Quantities whose interval does not hold what is true."""
        return tuple(k for k, e in self.expected.items() if not e.low <= e.truth <= e.high)


@dataclass(frozen=True)
class Preflight:
    """The outlook of a plan.

    Attributes
    ----------
    target : float
        C at which N* and the loss are wanted [FLOP].
    level : float
    noise : float
        Standard deviation of ln loss of a typical run.
    outlooks : tuple of Outlook
    brackets : mapping of float to float
        Chance that the minimum of each budget lies inside its sizes.
    messages : tuple of Message
    """

    target: float
    level: float
    noise: float
    outlooks: tuple[Outlook, ...]
    brackets: Mapping[float, float]
    messages: tuple[Message, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the machine-readable form."""
        return {
            "target": self.target,
            "level": self.level,
            "noise": float(f"{self.noise:.4g}"),
            "laws": [
                {
                    "source": o.source,
                    "weight": float(f"{o.weight:.6g}"),
                    "fitted": o.fitted,
                    "studies": o.studies,
                    "failed": o.failed,
                    "expected": {k: v.as_dict() for k, v in o.expected.items()},
                }
                for o in self.outlooks
            ],
            "brackets": [
                {"budget": b, "chance": float(f"{p:.4g}")} for b, p in self.brackets.items()
            ],
        }


def preflight(
    plan: Plan, *, target: float | None = None, studies: int = STUDIES, seed: int = 0
) -> Preflight:
    """Simulate a plan.

    Parameters
    ----------
    plan : Plan
        With a prior.
    target : float, optional
        C of the decision [FLOP]; the study's target, else ten times the largest run.
    studies : int
        Drawn under each truth; fewer each where there are many.
    seed : int

    Raises
    ------
    PlanError
        SC241 if the plan has no prior or no law of N and D is to be fitted.
    """
    if plan.prior is None:
        raise PlanError(
            Fault(
                "SC241",
                "pre-flight",
                "nothing is believed of the law",
                "a [prior], or [design] center",
                '[prior] laws = [{published = "besiroglu-2024"}]',
            )
        )
    section = plan.study.fit[0]
    fitted = _law(section)
    size, data = (np.array([getattr(p, k) for p in plan], dtype=np.float64) for k in ("N", "D"))
    labels = np.unique([p.trunk for p in plan], return_inverse=True)[1]
    if target is None:
        target = plan.study.study.target_flops or 10.0 * max(p.C for p in plan)
    prior = plan.prior
    each = max(FEWEST, studies // max(1, len(prior.truths) // 4))
    outlooks, chances = [], []
    for i, truth in enumerate(prior.truths):
        noise = Noise(truth.noise.own(size, data), truth.noise.trunk, labels)
        errors = noise.draw(each, seed + i)
        log_loss = np.log(truth.law.loss(truth.params, {"N": size, "D": data}))
        outlooks.append(
            _outlook(truth, fitted, size, data, log_loss, errors, labels, target, section)
        )
        chances.append(_brackets(plan, size, data, np.exp(log_loss[:, None] + errors.T)))
    budgets = list(chances[0])
    brackets = {b: float(sum(w * c[b] for w, c in zip(prior.weights, chances, strict=True)))
                for b in budgets}  # fmt: skip
    if prior.assumed:  # a centre says nothing of the loss
        outlooks = [replace(o, expected=_without_loss(o.expected)) for o in outlooks]
    typical = float(np.median(prior.truths[0].noise.total(size, data)))
    messages = tuple(_messages(outlooks, brackets))
    return Preflight(target, section.interval, typical, tuple(outlooks), brackets, messages)


def _law(section: FitSection) -> Law:
    """The law that the study fits.

    Raises
    ------
    PlanError
        SC241 if it does not say how to divide compute.
    """
    law = laws.get(section.law or "chinchilla")
    if not allocates(law) or set(law.variables) != {"N", "D"}:
        found = f"the study fits {law.name}"
        raise PlanError(Fault("SC241", "pre-flight", found, "a law of the loss, of N and D alone"))
    return law


def _outlook(
    truth: Truth,
    fitted: Law,
    size: Array,
    data: Array,
    log_loss: Array,
    errors: Array,
    labels: NDArray[np.int64],
    target: float,
    section: FitSection,
) -> Outlook:
    different = len(np.unique(np.stack([size, data]), axis=1).T)
    if different < len(fitted.names) or len(size) <= len(fitted.names):  # no such fit is made
        studies = len(errors)
        return Outlook(truth.source, truth.weight, fitted.name, studies, studies, {})
    found = simulate(
        fitted,
        {"N": size, "D": data},
        log_loss,
        errors,
        int(labels.max()) + 1,
        objective=section.objective,
        delta=section.delta,
        level=section.interval,
    )
    columns = decisions(fitted, found.columns, target)
    good = np.all([np.isfinite(v) for v in columns.values()], axis=0)
    failed = found.studies - int(good.sum())
    expected = {}
    if failed <= found.studies // 2:
        own = {name: np.array([float(truth.params[name])]) for name in truth.law.names}
        real = decisions(truth.law, own, target)
        expected = {
            name: _expected(float(real[name][0]), columns[name][good], found, section.interval)
            for name in QUANTITIES
        }
    return Outlook(truth.source, truth.weight, fitted.name, found.studies, failed, expected)


def decisions(law: Law, columns: Mapping[str, Array], target: float) -> dict[str, Array]:
    """Return a, N* and the loss at a target for parameters of shape (k,), under C = 6ND."""
    u, v = best_size(law, {k: c[:, None] for k, c in columns.items()}, np.log([target]))
    size, data = np.exp(u[:, 0]), np.exp(v[:, 0])
    exponent = np.broadcast_to(local_exponents(law, columns, target, SIX_ND)[0], size.shape)
    return {"a": exponent, "N": size, "loss": np.asarray(law.loss(columns, {"N": size, "D": data}))}


def _without_loss(expected: Mapping[str, Expected]) -> dict[str, Expected]:
    return {name: value for name, value in expected.items() if name != "loss"}


def _expected(truth: float, estimates: Array, found: Simulated, level: float) -> Expected:
    """Centre and interval of estimates; N* and losses are spread in the logarithm."""
    tail = 50.0 * (1.0 - level)
    low, middle, high = np.percentile(estimates, [tail, 50.0, 100.0 - tail])
    if truth > 0 and low > 0:
        ends = [middle * (end / middle) ** found.factor for end in (low, high)]
    else:
        ends = [middle + (end - middle) * found.factor for end in (low, high)]
    return Expected(truth, float(middle), float(ends[0]), float(ends[1]))


def _brackets(plan: Plan, size: Array, data: Array, losses: Array) -> dict[float, float]:
    """Share of the studies in which the minimum of each budget lies inside its sizes."""
    budgets = np.array([np.nan if p.budget is None else p.budget for p in plan])
    out = {}
    for budget in np.unique(budgets[np.isfinite(budgets)]):
        rows = np.flatnonzero(budgets == budget)
        rows = rows[np.argsort(size[rows], kind="stable")]
        u, v = np.log(size[rows]), np.log(data[rows])
        if len(np.unique(u)) < LEAST_SIZES:
            continue
        bowl = Bowl(float(budget), u, v, losses[rows, 0], np.arange(len(rows)))
        found = lowest(curve_of(bowl, CURVE), bowl, losses[rows])
        out[float(budget)] = float((found.inside & found.bends).mean())
    return out


def _others(missed: Sequence[Outlook]) -> str:
    return f" (or {len(missed) - 1} laws like it)" if len(missed) > 1 else ""


def _messages(outlooks: Sequence[Outlook], brackets: Mapping[float, float]) -> list[Message]:
    found = []
    lost = [o for o in outlooks if o.failed > UNSURE * o.studies]
    if lost:
        worst = max(lost, key=lambda o: o.failed / o.studies)
        share = worst.failed / worst.studies
        text = f"In {share:.0%} of the studies under {worst.source} no N* follows from the fit."
        found.append(Message("SC242", text, mend="a wider or longer plan; see the additions"))
    missed = [o for o in outlooks if o.missed]
    if missed:
        share = sum(o.weight for o in missed)
        worst = missed[-1]
        text = (
            f"If {worst.source} is true{_others(missed)}, the intervals of {worst.fitted} miss "
            f"{', '.join(worst.missed)}; such laws have {share:.0%} of the belief."
        )
        mend = 'a second [[fit]] with law = "coupled", which holds the additive law'
        found.append(Message("SC244", text, mend=mend))
    risky = {b: p for b, p in brackets.items() if p < 1.0 - UNSURE}
    if risky:
        listed = ", ".join(f"{b:.3g} ({p:.0%})" for b, p in list(risky.items())[:6])
        found.append(Message("SC231", f"A minimum may lie outside its sizes at {listed}."))
    return found
