"""Which runs to add to those that are planned or finished, and what each would bring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import Message
from scaling.laws.cost import SIX_ND, Cost
from scaling.planning.choosing.candidates import Candidates
from scaling.planning.choosing.choice import candidates
from scaling.planning.choosing.information import NAMES, Runs, pooled, precisions
from scaling.planning.choosing.optimal import gains, optimal
from scaling.planning.choosing.prior import Prior
from scaling.planning.plan import Plan
from scaling.planning.planner import Planner
from scaling.planning.sections import Box

Array = NDArray[np.float64]
SCHEMA = "scaling/suggest@1"
LEVELS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # of what the runs so far cost
WIDER = 2.0  # how far beyond the runs an addition may lie, in N, in D and in C
GRID = 40  # levels of N and of D where no family says which sizes there are
NOTHING = 1e-3  # share of the variance that is not worth a line
UNUSUAL = 4.0  # how far beyond the ratios D/N of the runs an addition may lie


@dataclass(frozen=True)
class Addition:
    """One more run, several times with other seeds perhaps.

    Attributes
    ----------
    N, D : float
        [count].
    C : float
        Training compute of one run [FLOP].
    runs : int
    reduction : float or None
        Share of the decision's variance that it takes away by itself; None in a set whose members
        act together.
    """

    N: float
    D: float
    C: float
    runs: int
    reduction: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the machine-readable form."""
        share = None if self.reduction is None else float(f"{self.reduction:.4g}")
        return {"N": self.N, "D": self.D, "C": self.C, "runs": self.runs, "reduction": share}


@dataclass(frozen=True)
class Suggestions:
    """What to add, and what it changes.

    Attributes
    ----------
    belief : str
        What the suggestions follow from.
    target : float
        C of the decision [FLOP].
    before, after : mapping
        Standard errors of ``a``, ``ln N*`` and ``ln loss`` at the target, without the additions
        and with all of `chosen`; infinite where the runs do not determine them.
    spent, cost : float
        Compute of the runs so far and of `chosen` [FLOP].
    chosen : tuple of Addition
        The best set within a budget, if one was given.
    menu : tuple of Addition
        The best single run at each level of cost.
    messages : tuple of Message
    budget : float or None
        Compute that `chosen` may cost [FLOP]; None without one.
    """

    belief: str
    target: float
    before: Mapping[str, float]
    after: Mapping[str, float]
    spent: float
    cost: float
    chosen: tuple[Addition, ...]
    menu: tuple[Addition, ...]
    messages: tuple[Message, ...] = ()
    budget: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the machine-readable form; what is not determined is null."""

        def errors(se: Mapping[str, float]) -> dict[str, float | None]:
            return {k: float(f"{v:.4g}") if np.isfinite(v) else None for k, v in se.items()}

        return {
            "schema": SCHEMA,
            "belief": self.belief,
            "target": self.target,
            "spent": self.spent,
            "cost": self.cost,
            "se": {"before": errors(self.before), "after": errors(self.after)},
            "chosen": [a.as_dict() for a in self.chosen],
            "menu": [a.as_dict() for a in self.menu],
            "messages": [m.as_dict() for m in self.messages],
        }

    def as_toml(self) -> str:
        """The chosen runs as a key of the ``[design]`` of a study."""
        rows = [f"[{a.N:.9g}, {a.D:.9g}, {a.runs}]" for a in self.chosen]
        return "extra = [\n" + "".join(f"  {row},\n" for row in rows) + "]"


def additions(
    prior: Prior,
    runs: Runs,
    found: Candidates,
    *,
    target: float,
    spent: float,
    decision: str = "all",
    budget: float | None = None,
    most: int = 8,
    cost: Cost = SIX_ND,
) -> Suggestions:
    """Choose additions to runs.

    Parameters
    ----------
    prior : Prior
        A prior, or the posterior that the runs gave.
    runs : Runs
        Planned or finished.
    found : Candidates
        With their cost in FLOP.
    target : float
        C of the decision [FLOP].
    spent : float
        Compute of `runs` [FLOP].
    decision : {"all", "size", "loss", "exponent"}
    budget : float, optional
        Compute of the additions [FLOP]; without it only the menu is made.
    most : int
        Most runs to add.
    cost : Cost
        What C counts at the target.

    Raises
    ------
    PlanError
        SC211 to SC213 if the runs and candidates cannot tell of the decision.
    """
    wanted = "decision" if decision == "all" else decision
    before = _rounded(pooled(prior, precisions(prior, runs, target, cost)))
    chosen: tuple[Addition, ...] = ()
    after, paid = before, 0.0
    if budget is not None:
        best = optimal(
            prior, found, budget=budget, target=target, decision=wanted, most=most, distinct=0,
            given=runs, cost=cost,
        )  # fmt: skip
        after, paid = _rounded(pooled(prior, best.predicted)), best.cost
        pairs = zip(best.indices, best.replicates, strict=True)
        chosen = tuple(_addition(found, i, n, None) for i, n in pairs)
    menu = _menu(prior, runs, found, target, wanted, spent, cost)
    return Suggestions(prior.name, target, before, after, spent, paid, chosen, menu, budget=budget)


def _rounded(se: Mapping[str, float]) -> dict[str, float]:
    return {name: se[name] for name in NAMES}


def _addition(found: Candidates, i: int, runs: int, reduction: float | None) -> Addition:
    return Addition(float(found.N[i]), float(found.D[i]), float(found.cost[i]), runs, reduction)


def _menu(
    prior: Prior,
    runs: Runs,
    found: Candidates,
    target: float,
    decision: str,
    spent: float,
    cost: Cost,
) -> tuple[Addition, ...]:
    """The best single run that costs no more than each share of what was spent."""
    gain = gains(prior, runs, found, target=target, decision=decision, cost=cost)
    score = np.round(gain.reduction, 9)
    out: list[Addition] = []
    for level in LEVELS:
        within = np.flatnonzero(found.cost <= level * spent)
        if not len(within):
            continue
        i = int(within[np.argmax(score[within])])
        share = float(score[i])
        if share >= NOTHING and (not out or share > 1.05 * (out[-1].reduction or 0.0)):
            out.append(_addition(found, i, 1, share))
    return tuple(out)


# -------------------------------------------------------------------------------------- candidates


def around(planner: Planner, runs: Runs) -> Candidates:
    """Runs of the study's own models, in and a little beyond the range of those there are."""
    size, data = _amounts(runs)
    box = Box(N=_wide(size), D=_wide(data), C=_wide(planner.sizes.flops_at(size) * data))
    laid = candidates(planner.asked, box, np.array(_wide(size)))
    laid, _ = planner.pricing.without_too_large(laid)
    there = set(zip(size.tolist(), data.tolist(), strict=True))  # a seed of its own is not planned
    new = [pair not in there for pair in zip(laid.N.tolist(), laid.D.tolist(), strict=True)]
    good = _usual(laid.N, laid.D.astype(np.float64), size, data) & np.array(new)
    found = laid.taken(np.flatnonzero(good))
    return Candidates(found.N, found.D.astype(np.float64), found.C)


def anywhere(runs: Runs, cost: Cost = SIX_ND) -> Candidates:
    """Runs of any size, for tables of which no family is known."""
    size, data = _amounts(runs)
    n, d = (x.ravel() for x in np.meshgrid(_grid(size), _grid(data), indexing="ij"))
    low, high = _wide(cost.compute(size, data))
    price = cost.compute(n, d)
    inside = (price >= low) & (price <= high) & _usual(n, d, size, data)
    return Candidates(n[inside], d[inside], price[inside])


def _amounts(runs: Runs) -> tuple[Array, Array]:
    return np.asarray(runs.N, dtype=np.float64), np.asarray(runs.D, dtype=np.float64)


def _grid(values: Array) -> Array:
    """Levels to three digits, so that they can be said."""
    low, high = _wide(values)
    return np.unique([float(f"{x:.3g}") for x in np.geomspace(low, high, GRID)])


def _wide(values: Array) -> list[float]:
    return [float(values.min()) / WIDER, float(values.max()) * WIDER]


def _usual(n: Array, d: Array, size: Array, data: Array) -> NDArray[np.bool_]:
    """Whether D/N is near the ratios that were run: far from them no law was ever checked."""
    ratio, own = d / n, data / size
    return np.asarray((ratio >= own.min() / UNUSUAL) & (ratio <= own.max() * UNUSUAL))


# ------------------------------------------------------------------------------------ for plans


def for_plan(planner: Planner, plan: Plan, target: float) -> tuple[Addition, ...]:
    """The best single additions to a plan, by cost, under its prior.

    Raises
    ------
    PlanError
        SC211 to SC213 if the plan cannot tell of the decision.
    """
    assert plan.prior is not None
    trunk = np.unique([p.trunk for p in plan], return_inverse=True)[1]
    size, data = (np.array([getattr(p, k) for p in plan], dtype=np.float64) for k in ("N", "D"))
    runs = Runs(size, data, None, trunk)
    spent = float(sum(p.C for p in plan))
    found = around(planner, runs)
    design = plan.study.design
    decision = design.decision if design is not None and design.kind == "optimal" else "all"
    made = additions(
        plan.prior, runs, found, target=target, spent=spent, decision=decision, cost=plan.cost
    )
    return made.menu
