"""Optimal designs: the runs that tell most of a decision for what they cost.

Among candidate runs those are chosen that minimise the prior's mean of ln variance of the decision
(a, ln N* or ln loss at the target), within a budget and a number of runs. With a coupled law among
the truths a choice does not lean on additivity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.errors import Fault, PlanError
from scaling.laws.cost import SIX_ND, Cost
from scaling.planning.choosing.candidates import Candidates, problem, quantity_weights
from scaling.planning.choosing.exchange import GAIN, Limits, Search
from scaling.planning.choosing.information import NAMES, Precision, Runs, precisions
from scaling.planning.choosing.limit import Limit, limit
from scaling.planning.choosing.truths import Prior

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
POWERS = (0.0, 0.3, 0.6, 1.0)  # of the cost, by which greedy starts divide
REFINED = 2  # starts that are improved by swaps
DISTINCT = 4
TOLLS = (0.2, 0.4, 0.8)  # of ln variance for the whole budget, from which searches go up
MOST = 35


@dataclass(frozen=True)
class Optimal:
    """A choice of runs.

    Attributes
    ----------
    indices : tuple of int
        Chosen candidates, in order.
    replicates : tuple of int
        Runs of each.
    cost : float
        Of all of them, in the unit of the candidates.
    predicted : tuple of Precision
        Standard errors under each truth of the prior.
    criterion : float
        Mean ln variance of the decision.
    efficiency : float or None
        Lowest variance that any choice could have, even in fractions of runs, over this one's, as
        a geometric mean over truths and quantities; None where trunks are shared.
    """

    indices: tuple[int, ...]
    replicates: tuple[int, ...]
    cost: float
    predicted: tuple[Precision, ...]
    criterion: float
    efficiency: float | None

    @property
    def identified(self) -> bool:
        """Whether every law of the prior is determined."""
        return all(p.identified for p in self.predicted)

    def runs(self, cells: Candidates) -> Runs:
        """Return the chosen runs."""
        index = np.array(self.indices, dtype=np.int64)
        trunk = None if cells.trunk is None else cells.trunk[index]
        return Runs(cells.N[index], cells.D[index], np.array(self.replicates, float), trunk)


def optimal(
    prior: Prior,
    cells: Candidates,
    *,
    budget: float,
    target: float,
    decision: str | Mapping[str, float] = "decision",
    most: int = MOST,
    distinct: int = DISTINCT,
    repeats: int | None = None,
    cost: Cost = SIX_ND,
    given: Runs | None = None,
) -> Optimal:
    """Choose runs.

    Parameters
    ----------
    prior : Prior
        Its weights, its noise, and the law that will be fitted under each truth.
    cells : Candidates
        Candidates; each may be chosen several times, with other seeds.
    budget : float
        Most that the choice may cost, in the unit of the candidates.
    target : float
        C of the decision [FLOP].
    decision : str or mapping
        ``exponent``, ``size``, ``loss``, ``decision`` (all three alike), or their weights.
    most : int
        Most runs.
    distinct : int
        Fewest N, and fewest D, a factor of 2 apart or more, so that lack of fit shows.
    repeats : int, optional
        Most runs of one candidate: a neighbour tells almost as much, and shows lack of fit too.
    cost : Cost
        What C means at the target.
    given : Runs, optional
        Runs that exist already; the choice is made beside them.

    Returns
    -------
    Optimal

    Raises
    ------
    PlanError
        SC211 if a truth has no optimum at the target; SC212 if no candidate fits the budget; SC213
        if the choice cannot determine the decision.
    """
    check_limits(cells, budget, most, distinct)
    task = problem(prior, cells, target, decision, cost, given)
    search = Search(task, Limits(budget, most, distinct, repeats))
    bound = limit(task, budget, float(most))
    counts = _best_choice(search, bound)
    chosen = np.flatnonzero(counts)
    every = _together(cells, counts, given)
    predicted = precisions(prior, every, target, cost)
    value = search.value(counts)
    _check_seen(prior, predicted, decision, most)
    return Optimal(
        indices=tuple(int(i) for i in chosen),
        replicates=tuple(int(n) for n in counts[chosen]),
        cost=cells.spent(counts),
        predicted=predicted,
        criterion=value,
        efficiency=None if bound is None else float(np.exp(min(0.0, bound.value - value))),
    )


def bound_of(
    prior: Prior,
    cells: Candidates,
    *,
    budget: float,
    target: float,
    decision: str | Mapping[str, float] = "decision",
    most: float = MOST,
    cost: Cost = SIX_ND,
) -> float:
    """Return the standard error that no choice of runs can beat.

    Of several truths or quantities it is the geometric mean. Parameters are those of `optimal`;
    with one truth and one quantity, this is the limit of what design can do.

    Raises
    ------
    PlanError
        SC212 if no candidate fits the budget, or trunks are shared.
    """
    check_limits(cells, budget, 1, 0)
    found = limit(problem(prior, cells, target, decision, cost), budget, most)
    if found is None:
        raise PlanError(Fault("SC212", "candidates", "share trunks", "runs of their own"))
    return float(np.exp(0.5 * found.value))


def _best_choice(search: Search, bound: Limit | None) -> Ints:
    """Greedy starts and the whole part of the fractions; the best are improved by swaps."""
    starts = [search.greedy(power) for power in POWERS]
    if bound is not None:
        whole = np.floor(bound.replicates + 1e-9).astype(np.int64)
        if search.limits.repeats is not None:
            whole = np.minimum(whole, search.limits.repeats)
        starts.append(search.greedy(POWERS[1], whole))
        starts.append(search.greedy(POWERS[-1], whole))
    values = np.round([search.value(start) for start in starts], 9)
    ends = [search.exchange(starts[k]) for k in np.argsort(values, kind="stable")[:REFINED]]
    best = ends[int(np.argmin(np.round([search.value(end) for end in ends], 9)))]
    for toll in TOLLS:
        other = search.exchange(search.tolled(best, toll))
        if search.value(other) < search.value(best) - GAIN:
            best = other
    return best


def check_limits(cells: Candidates, budget: float, most: int, distinct: int) -> None:
    """Refuse a budget or a number of runs that allows nothing.

    Raises
    ------
    PlanError
        SC212.
    """
    least = float(cells.cost.min())
    if not budget >= least:
        mend = f"far more than {least:.4g}, which pays for one run: the cheapest candidate"
        raise PlanError(Fault("SC212", "budget", f"{budget:.4g} pays for no candidate", mend=mend))
    if most < 1 or distinct < 0:
        found = f"at most {most} runs, {distinct} distinct sizes"
        raise PlanError(Fault("SC212", "limits", found, "at least 1 run, 0 or more distinct"))


def _check_seen(
    prior: Prior,
    predicted: tuple[Precision, ...],
    decision: str | Mapping[str, float],
    most: int,
) -> None:
    """Refuse a choice from which the decision does not follow."""
    for j in np.flatnonzero(quantity_weights(decision)):
        for truth, found in zip(prior.truths, predicted, strict=True):
            if not np.isfinite(found.se[NAMES[j]]):
                what = f"no choice of at most {most} runs within the budget determines {NAMES[j]}"
                mend = "raise the budget, allow more runs, or fit a law with fewer parameters"
                raise PlanError(Fault("SC213", f"prior, {truth.source}", what, mend=mend))


def _together(cells: Candidates, counts: Ints, given: Runs | None) -> Runs:
    """The chosen runs beside those that exist, whose trunks are other ones."""
    chosen = np.flatnonzero(counts)
    count = counts[chosen].astype(np.float64)
    trunk = None if cells.trunk is None else cells.trunk[chosen]
    if given is None:
        return Runs(cells.N[chosen], cells.D[chosen], count, trunk)
    had = np.ones(len(given.N)) if given.replicates is None else np.asarray(given.replicates)
    if trunk is not None or given.trunk is not None:
        old = np.full(len(given.N), -1) if given.trunk is None else np.asarray(given.trunk)
        new = np.full(len(chosen), -1) if trunk is None else trunk
        trunk = np.concatenate([old, np.where(new < 0, -1, new + old.max(initial=0) + 1)])
    return Runs(
        np.concatenate([np.asarray(given.N, float), cells.N[chosen]]),
        np.concatenate([np.asarray(given.D, float), cells.D[chosen]]),
        np.concatenate([had, count]),
        trunk,
    )


# ----------------------------------------------------------------------------------------- gains


@dataclass(frozen=True)
class Gains:
    """What one more run would bring.

    Attributes
    ----------
    reduction : ndarray
        Share of the decision's variance that a run of each candidate would take away, as a
        geometric mean over truths and quantities, shape (m,).
    per_cost : ndarray
        Decrease of ln variance per unit of cost, shape (m,).
    order : ndarray of int
        Candidates by `per_cost`, best first.
    """

    reduction: Array
    per_cost: Array
    order: Ints


def gains(
    prior: Prior,
    runs: Runs,
    cells: Candidates,
    *,
    target: float,
    decision: str | Mapping[str, float] = "decision",
    cost: Cost = SIX_ND,
) -> Gains:
    """Score candidates as additions to runs that exist.

    Parameters
    ----------
    prior : Prior
        Draws of a fit to the runs (`scaling.planning.choosing.prior.posterior`), or a prior.
    runs : Runs
    cells : Candidates
        Candidates, each as a run of its own.
    target, decision, cost
        See `optimal`.

    Raises
    ------
    PlanError
        SC211 if a truth has no optimum at the target; SC213 if neither runs nor candidates tell of
        the decision.
    """
    alone = Candidates(cells.N, cells.D, cells.cost)
    task = problem(prior, alone, target, decision, cost, runs)
    search = Search(task, Limits(float(cells.cost.max()), 1))
    nothing = np.zeros(len(cells), dtype=np.int64)
    drop = np.maximum(search.value(nothing) - search.with_one_more(nothing), 0.0)
    per_cost = drop / cells.cost
    order = np.argsort(-np.round(per_cost / max(per_cost.max(), 1e-300), 9), kind="stable")
    return Gains(-np.expm1(-drop), per_cost, order)
