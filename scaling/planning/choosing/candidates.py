"""Runs that may be made, what a choice of them costs, and what each would tell.

A problem holds, for each truth of a prior, the sensitivities of every candidate in coordinates in
which the candidates' mean information is the unit matrix; so no threshold depends on units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scaling.errors import Fault, PlanError
from scaling.laws.cost import SIX_ND, Cost
from scaling.planning.choosing.information import (
    INSIDE,
    QUANTITIES,
    UNSEEN,
    Runs,
    decision_gradients,
    sensitivities,
    whitened,
)
from scaling.planning.choosing.truths import Prior, Truth

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
DECISIONS: Mapping[str, Mapping[str, float]] = {
    "exponent": {"exponent": 1.0},
    "size": {"size": 1.0},
    "loss": {"loss": 1.0},
    "decision": {"exponent": 1.0, "size": 1.0, "loss": 1.0},
}
RIDGE = 1e-6  # information that is assumed, in units of a mean candidate; holds the start regular
APART = 2.0  # N or D that differ by less than this factor do not count as distinct


@dataclass(frozen=True)
class Candidates:
    """Candidates.

    Attributes
    ----------
    N, D : ndarray
        Parameters and tokens [count], shape (m,).
    cost : ndarray
        Cost of each as a run of its own [FLOP, seconds, or any one unit], shape (m,).
    trunk : ndarray of int, optional
        Candidates with equal numbers are branches of one trunk, shape (m,); below 0: of none.
    shared : ndarray, optional
        Part of the cost that lies on the trunk, shape (m,): of the branches that are chosen the
        longest part is paid once.
    """

    N: Array
    D: Array
    cost: Array
    trunk: Ints | None = None
    shared: Array | None = None

    def __post_init__(self) -> None:
        arrays = [self.N, self.D, self.cost, self.trunk, self.shared]
        lengths = {len(v) for v in arrays if v is not None}
        if len(lengths) > 1 or not len(self.N):
            found = f"lengths {sorted(lengths)}"
            raise PlanError(Fault("SC212", "candidates", found, "equal, at least 1"))
        if (self.trunk is None) != (self.shared is None):
            raise PlanError(Fault("SC212", "candidates", "a trunk or its cost alone", "both"))
        numbers = np.stack([self.N, self.D, self.cost])
        good = (np.isfinite(numbers) & (numbers > 0)).all(axis=0)
        if self.shared is not None:
            good &= (self.shared >= 0) & (self.shared <= self.cost)
        if not good.all():
            i = int(np.flatnonzero(~good)[0])
            found = f"N {self.N[i]:g}, D {self.D[i]:g}, cost {self.cost[i]:g}"
            expected = "numbers above 0; what a trunk shares no more than the cost"
            raise PlanError(Fault("SC212", f"candidates, number {i + 1}", found, expected))

    def __len__(self) -> int:
        return len(self.N)

    @cached_property
    def levels(self) -> tuple[Ints, Ints]:
        """Which step of `APART` above the smallest each N and each D is on."""
        steps = [np.log(v / v.min()) / np.log(APART) for v in (self.N, self.D)]
        lows, highs = (np.floor(s + 1e-9).astype(np.int64) for s in steps)
        return lows, highs

    def spent(self, counts: Ints) -> float:
        """Return the cost of a choice; replicate k of a branch is on copy k of its trunk."""
        total = float(counts @ self.cost)
        for members in self.copies(counts):
            assert self.shared is not None
            parts = self.shared[members]
            total += float(parts.max() - parts.sum())
        return total

    def more(self, counts: Ints) -> Array:
        """Return what one more replicate of each candidate would cost, shape (m,)."""
        out = np.array(self.cost, dtype=np.float64)
        for into, there in self.openings(counts):
            assert self.shared is not None
            out[into] -= np.minimum(self.shared[there].max(), self.shared[into])
        return out

    def copies(self, counts: Ints) -> list[Ints]:
        """Return the chosen branches of each copy of each trunk."""
        return [
            chosen[counts[chosen] > copy]
            for group in self._touched(counts)
            for chosen in [group[counts[group] > 0]]
            for copy in range(int(counts[chosen].max()))
        ]

    def openings(self, counts: Ints) -> list[tuple[Ints, Ints]]:
        """Return which candidates' next replicates would join a copy, and who is there already."""
        out = []
        for group in self._touched(counts):
            for copy in range(int(counts[group].max())):
                into = group[counts[group] == copy]
                if len(into):
                    out.append((into, group[counts[group] > copy]))
        return out

    def _touched(self, counts: Ints) -> list[Ints]:
        """Members of each trunk of which anything is chosen."""
        if self.trunk is None:
            return []
        used = np.unique(self.trunk[counts > 0])
        return [self._groups[int(t)] for t in used if t >= 0]

    @cached_property
    def _groups(self) -> dict[int, Ints]:
        """Members of each trunk."""
        assert self.trunk is not None
        known = np.unique(self.trunk[self.trunk >= 0])
        return {int(t): np.flatnonzero(self.trunk == t) for t in known}


@dataclass(frozen=True)
class Table:
    """Candidates under one truth.

    Attributes
    ----------
    truth : Truth
    rows : ndarray
        Sensitivities, shape (m, p).
    own, total : ndarray
        Variance of ln loss of a run, without and with what its trunk shares, shape (m,).
    decisions : ndarray
        Gradients of the quantities that count, shape (q, p).
    base : ndarray
        Information before anything is chosen, shape (p, p).
    """

    truth: Truth
    rows: Array
    own: Array
    total: Array
    decisions: Array
    base: Array

    @cached_property
    def alone(self) -> Array:
        """Rows over their noise, of runs on their own."""
        return np.asarray(self.rows / np.sqrt(self.total)[:, None])


@dataclass(frozen=True)
class Problem:
    """What is minimised: the mean of ln variance over truths and quantities.

    Attributes
    ----------
    cells : Candidates
    tables : tuple of Table
    weights : ndarray
        Of truths and quantities, shape (t, q); they add up to 1.
    """

    cells: Candidates
    tables: tuple[Table, ...]
    weights: Array

    @cached_property
    def trunks(self) -> bool:
        """Whether rows share noise or cost."""
        return self.cells.trunk is not None


def quantity_weights(decision: str | Mapping[str, float]) -> Array:
    """Return the weights of `QUANTITIES`, shape (3,), which add up to 1.

    Raises
    ------
    PlanError
        SC212 if the decision is unknown.
    """
    given = DECISIONS.get(decision) if isinstance(decision, str) else decision
    known = given is not None and set(given) <= set(QUANTITIES)
    values = np.array([given.get(q, 0.0) for q in QUANTITIES]) if given and known else np.zeros(3)
    if not known or not np.isfinite(values).all() or (values < 0).any() or values.sum() == 0:
        expected = f"one of {', '.join(DECISIONS)}, or weights of {', '.join(QUANTITIES)}"
        raise PlanError(Fault("SC212", "decision", str(decision), expected))
    return np.asarray(values / values.sum())


def problem(
    prior: Prior,
    cells: Candidates,
    target: float,
    decision: str | Mapping[str, float] = "decision",
    cost: Cost = SIX_ND,
    given: Runs | None = None,
) -> Problem:
    """Set up the choice of runs.

    Parameters
    ----------
    prior : Prior
    cells : Candidates
    target : float
        C of the decision [FLOP].
    decision : str or mapping
        One of `DECISIONS`, or weights of `QUANTITIES`.
    cost : Cost
        What C means at the target.
    given : Runs, optional
        Runs that exist already.

    Raises
    ------
    PlanError
        SC211 if a truth has no optimum at the target; SC213 if all candidates together say nothing
        of the decision.
    """
    share = quantity_weights(decision)
    gradients = decision_gradients(prior.truths, target, cost)
    # what a law fixes, as one exponent for N and D fixes a at 1/2, is known without runs
    open_ = [all(np.any(own[j]) for own in gradients) for j in range(len(share))]
    share = share * open_ if np.any(share * open_) else share
    share /= share.sum()
    used = np.flatnonzero(share)
    tables = tuple(
        _table(truth, cells, own[used], [QUANTITIES[j] for j in used], given)
        for truth, own in zip(prior.truths, gradients, strict=True)
    )
    return Problem(cells, tables, prior.weights[:, None] * share[None, used])


def _table(
    truth: Truth, cells: Candidates, decisions: Array, names: list[str], given: Runs | None
) -> Table:
    noise = truth.noise
    own = noise.own(cells.N, cells.D) ** 2
    total = own + noise.trunk**2
    rows = sensitivities(truth, cells.N, cells.D)
    before = np.zeros((0, rows.shape[1])) if given is None else whitened(truth, given)
    seen = np.concatenate([rows / np.sqrt(total)[:, None], before])
    scale = np.sqrt((seen**2).mean(axis=0))
    scale[scale == 0] = 1.0
    triangle = np.linalg.qr(seen / scale, mode="r")
    _, values, basis = np.linalg.svd(triangle, full_matrices=False)
    kept = values > UNSEEN * values[0]
    basis, values = basis[kept], values[kept]
    asked = decisions / scale
    hidden = np.linalg.norm(asked - (asked @ basis.T) @ basis, axis=1)
    lost = hidden > INSIDE * np.linalg.norm(asked, axis=1)
    if lost.any():
        what = f"no candidate tells of the {names[int(np.flatnonzero(lost)[0])]}"
        mend = "let N and D vary apart from each other, or fit a law with fewer parameters"
        raise PlanError(Fault("SC213", f"prior, {truth.source}", what, mend=mend))
    turn = basis.T / scale[:, None] / values * np.sqrt(len(seen))
    before = before @ turn
    base = before.T @ before + RIDGE * np.eye(len(values))
    return Table(truth, rows @ turn, own, total, decisions @ turn, base)
