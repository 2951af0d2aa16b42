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
from scaling.fitting.auto.build import is_auto
from scaling.fitting.bowls import Bowl, curve_of, lowest
from scaling.fitting.simulate import Noise, Simulated, simulate
from scaling.laws import Law
from scaling.laws.cost import SIX_ND, Cost
from scaling.planning.choosing.prior import Prior, Truth
from scaling.planning.plan import Plan
from scaling.planning.sections_fit import FitSection

Array = NDArray[np.float64]
STUDIES = 500
FEW_TRUTHS, MOST_TRUTHS = 4, 12  # laws up to which all studies are drawn, and most of all
FAR = 100.0  # times the largest run, beyond which the law itself is in doubt
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
        What is believed of it; the weights add up to 1.
    fitted : str
        Law that is fitted.
    studies, failed : int
        Simulated, and of those without a usable fit.
    held_by : str or None
        Another law that the study fits, whose intervals hold what this one's miss.
    expected : mapping of str to Expected
        Of ``a``, ``N`` and ``loss`` at the target; none where more than half of the fits fail.
    """

    source: str
    weight: float
    fitted: str
    studies: int
    failed: int
    expected: Mapping[str, Expected]
    held_by: str | None = None

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
        Of the intervals.
    factor : float
        The target over the compute of the largest run: how far N* and the loss are extrapolated.
    cost : Cost
        What C counts.
    noise : float
        Standard deviation of ln loss of a typical run.
    outlooks : tuple of Outlook
    brackets : mapping of float to float
        Chance that the minimum of each budget lies inside its sizes.
    messages : tuple of Message
    """

    target: float
    level: float
    factor: float
    cost: Cost
    noise: float
    outlooks: tuple[Outlook, ...]
    brackets: Mapping[float, float]
    messages: tuple[Message, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the machine-readable form."""
        return {
            "target": self.target,
            "level": self.level,
            "factor": float(f"{self.factor:.4g}"),
            "cost": {"name": self.cost.name, "formula": self.cost.formula},
            "noise": float(f"{self.noise:.4g}"),
            "laws": [
                {
                    "source": o.source,
                    "weight": float(f"{o.weight:.6g}"),
                    "fitted": o.fitted,
                    "studies": o.studies,
                    "failed": o.failed,
                    "held_by": o.held_by,
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
    """Say what a plan will tell, by simulating studies of it; nothing is trained.

    Losses of the plan's own points are drawn under each law that may be true and fitted with the
    study's law, which says what interval the real study may expect.

    Parameters
    ----------
    plan : Plan
        With a prior: ``[prior]``, or the ``center`` of its design.
    target : float, optional
        C of the decision [FLOP]; the study's target, else ten times the largest run.
    studies : int
        Drawn under each truth; half as many where there are more than four, of at most twelve.
    seed : int
        Of the draws.

    Returns
    -------
    Preflight
        Its ``outlooks`` hold the expected interval of a, N* and the loss, law by law.

    Raises
    ------
    PlanError
        SC241 if the plan has no prior or no law of N and D is to be fitted.

    Examples
    --------
    >>> study = {
    ...     "schema": 1,
    ...     "data": {"source": "stdlib"},
    ...     "model": {"family": "decoder", "context": 32},
    ...     "design": {"kind": "grid", "params": [4e3, 8e3, 2e4], "data": [2e5, 4e5, 8e5]},
    ...     "prior": {"laws": [{"published": "besiroglu-2024"}]},
    ... }
    >>> found = sc.preflight(sc.plan(study), studies=20)
    >>> sorted(found.outlooks[0].expected)
    ['N', 'a', 'loss']
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
    fits = _fits(plan.study.fit)
    size, data = (np.array([getattr(p, k) for p in plan], dtype=np.float64) for k in ("N", "D"))
    labels = np.unique([p.trunk for p in plan], return_inverse=True)[1]
    largest = float(plan.cost.compute(size, data).max())
    if target is None:
        target = plan.study.study.target_flops or float(f"{10.0 * largest:.4g}")
    prior = _fewer(plan.prior)
    each = studies if len(prior.truths) <= FEW_TRUTHS else studies // 2
    asked = _Asked(size, data, labels, target, plan.cost, prior.assumed)
    outlooks, chances = [], []
    for i, truth in enumerate(prior.truths):
        noise = Noise(truth.noise.own(size, data), truth.noise.trunk, labels)
        errors = noise.draw(each, seed + i)
        log_loss = np.log(truth.law.loss(truth.params, {"N": size, "D": data}))
        first, *others = fits
        outlook = _outlook(truth, *first, asked, log_loss, errors)
        for law, section in others if outlook.missed else []:
            other = _outlook(truth, law, section, asked, log_loss, errors)
            if other.expected and not other.missed:
                outlook = replace(outlook, held_by=law.name)
        outlooks.append(outlook)
        losses = np.exp(log_loss[:, None] + errors.T)
        chances.append(_brackets(plan, size, data, losses, first[1].minimum))
    brackets = {b: float(sum(w * c[b] for w, c in zip(prior.weights, chances, strict=True)))
                for b in chances[0]}  # fmt: skip
    typical = float(np.median(prior.truths[0].noise.total(size, data)))
    found = Preflight(
        target,
        fits[0][1].interval,
        target / largest,
        plan.cost,
        typical,
        tuple(outlooks),
        brackets,
        (),
    )
    messages = _messages(found)
    kept, there = len(prior.truths), len(plan.prior.truths)
    if kept < there:
        text = f"Simulated under {kept} of the {there} laws of the prior, spread over them."
        messages.append(Message("SC249", text, "info"))
    return replace(found, messages=tuple(messages))


@dataclass(frozen=True)
class _Asked:
    """What every simulated study of a plan shares."""

    size: Array
    data: Array
    labels: NDArray[np.int64]
    target: float
    cost: Cost
    assumed: bool


def _fewer(prior: Prior) -> Prior:
    """A prior of at most `MOST_TRUTHS` laws, spread over those there are."""
    count = len(prior.truths)
    if count <= MOST_TRUTHS:
        return prior
    kept = [prior.truths[(i * count) // MOST_TRUTHS] for i in range(MOST_TRUTHS)]
    return replace(prior, truths=tuple(kept))


def _fits(sections: Sequence[FitSection]) -> list[tuple[Law, FitSection]]:
    """The laws that the study fits, each with its section, in order; procedures are left out.

    Raises
    ------
    PlanError
        SC241 if there is none, or the first one does not say how to divide compute.
    """
    named = [
        (laws.get(name), section)
        for section in sections
        for name in section.laws or ["chinchilla"]
        if not is_auto(name)
    ]
    able = [allocates(law) and set(law.variables) == {"N", "D"} for law, _ in named]
    if not able or not able[0]:
        found = f"the study fits {named[0][0].name if named else 'auto alone'}"
        mend = "" if named else 'name a law beside it: law = ["auto", "chinchilla"]'
        expected = "a law of the loss, of N and D alone"
        raise PlanError(Fault("SC241", "pre-flight", found, expected, mend))
    first = named[0][0].name
    others = [
        one for one, good in zip(named[1:], able[1:], strict=True) if good and one[0].name != first
    ]
    return [named[0], *others]


def _outlook(
    truth: Truth, fitted: Law, section: FitSection, asked: _Asked, log_loss: Array, errors: Array
) -> Outlook:
    """Fit studies of one truth with one law."""
    size, data = asked.size, asked.data
    none = Outlook(truth.source, truth.weight, fitted.name, len(errors), len(errors), {})
    different = len(np.unique(np.stack([size, data]), axis=1).T)
    if different < len(fitted.names) or len(size) <= len(fitted.names):  # no such fit is made
        return none
    found = simulate(
        fitted,
        {"N": size, "D": data},
        log_loss,
        errors,
        int(asked.labels.max()) + 1,
        objective=section.objective,
        delta=section.delta,
        level=section.interval,
    )
    columns = decisions(fitted, found.columns, asked.target, asked.cost)
    good = np.all([np.isfinite(v) for v in columns.values()], axis=0)
    failed = found.studies - int(good.sum())
    if failed > found.studies // 2:
        return replace(none, failed=failed)
    own = {name: np.array([float(truth.params[name])]) for name in truth.law.names}
    real = decisions(truth.law, own, asked.target, asked.cost)
    names = QUANTITIES[:-1] if asked.assumed else QUANTITIES  # a centre says nothing of the loss
    expected = {
        name: _expected(float(real[name][0]), columns[name][good], found, section.interval)
        for name in names
    }
    return replace(none, failed=failed, expected=expected)


def decisions(
    law: Law, columns: Mapping[str, Array], target: float, cost: Cost = SIX_ND
) -> dict[str, Array]:
    """Return a, N* and the loss at a target for parameters of shape (k,)."""
    u, v = best_size(law, {k: c[:, None] for k, c in columns.items()}, np.log([target]), cost)
    with np.errstate(all="ignore"):  # N* of parameters that decide nothing lies beyond any number
        size, data = np.exp(u[:, 0]), np.exp(v[:, 0])
        loss = np.asarray(law.loss(columns, {"N": size, "D": data}))
    exponent = np.broadcast_to(local_exponents(law, columns, target, cost)[0], size.shape)
    return {"a": exponent, "N": size, "loss": loss}


def _expected(truth: float, estimates: Array, found: Simulated, level: float) -> Expected:
    """Centre and interval of estimates; N* and losses are spread in the logarithm."""
    tail = 50.0 * (1.0 - level)
    low, middle, high = np.percentile(estimates, [tail, 50.0, 100.0 - tail])
    if truth > 0 and low > 0:
        ends = [middle * (end / middle) ** found.factor for end in (low, high)]
    else:
        ends = [middle + (end - middle) * found.factor for end in (low, high)]
    return Expected(truth, float(middle), float(ends[0]), float(ends[1]))


def _brackets(
    plan: Plan, size: Array, data: Array, losses: Array, minimum: str
) -> dict[float, float]:
    """Share of the studies in which the minimum of each budget lies inside its sizes."""
    curve = CURVE if minimum == "powers" else minimum  # powers are pooled over budgets: too slow
    budgets = np.array([np.nan if p.budget is None else p.budget for p in plan])
    out = {}
    for budget in np.unique(budgets[np.isfinite(budgets)]):
        rows = np.flatnonzero(budgets == budget)
        rows = rows[np.argsort(size[rows], kind="stable")]
        u, v = np.log(size[rows]), np.log(data[rows])
        if len(np.unique(u)) < LEAST_SIZES:
            continue
        bowl = Bowl(float(budget), u, v, losses[rows, 0], np.arange(len(rows)))
        found = lowest(curve_of(bowl, curve), bowl, losses[rows])
        out[float(budget)] = float((found.inside & found.bends).mean())
    return out


def _messages(found: Preflight) -> list[Message]:
    out = []
    lost = [o for o in found.outlooks if o.failed > UNSURE * o.studies]
    if lost:
        worst = max(lost, key=lambda o: o.failed / o.studies)
        share = worst.failed / worst.studies
        text = f"In {share:.0%} of the studies under {worst.source} no N* follows from the fit."
        out.append(Message("SC242", text, mend="a wider or longer plan; see the additions"))
    missed = [o for o in found.outlooks if o.missed and o.held_by is None]
    if missed:
        share, last = sum(o.weight for o in missed), missed[-1]
        text = (
            f"If {last.source} is true, the intervals of {last.fitted} miss "
            f"{', '.join(last.missed)}; such laws have {share:.0%} of the belief."
        )
        mend = 'a second [[fit]] with law = "coupled", which holds the additive law'
        out.append(Message("SC244", text, mend=mend))
    risky = {b: p for b, p in found.brackets.items() if p < 1.0 - UNSURE}
    if risky:
        listed = ", ".join(f"{b:.3g} ({p:.0%})" for b, p in list(risky.items())[:6])
        out.append(Message("SC231", f"A minimum may lie outside its sizes at {listed}."))
    if found.factor > FAR:
        text = (
            f"The target is {found.factor:.3g} times the largest run: these intervals hold if the "
            "law does that far, which no run of the plan can show."
        )
        out.append(Message("SC248", text))
    return out
