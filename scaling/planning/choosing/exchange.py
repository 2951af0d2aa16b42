"""Search for a choice of runs: greedy starts, then swaps until none helps.

What a candidate would add is a rank-one update of each truth's information, so that all of them
are scored at once (Fedorov 1972). Scores are rounded before they are compared and ties go to the
first, so that the last bit of a logarithm decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.planning.choosing.candidates import Problem, Table

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
DIGITS = 9  # decimals of a score that count
GAIN = 1e-7  # of mean ln variance, that a swap must bring
PASSES = 200
TOLLS, DEARER = 12, 1.1  # tolls that are tried, each the factor above the last
LOOSE = 1.0 + 1e-12  # rounding of sums of costs


@dataclass(frozen=True)
class Limits:
    """What a choice may be.

    Attributes
    ----------
    budget : float
        Most that it may cost.
    most : int
        Most runs.
    distinct : int
        Fewest distinct N, and D, where the candidates allow it.
    repeats : int, optional
        Most runs of one candidate; as many as help if None.
    """

    budget: float
    most: int
    distinct: int = 0
    repeats: int | None = None


class Search:
    """Moves in the space of replicate counts, shape (m,)."""

    def __init__(self, problem: Problem, limits: Limits) -> None:
        self.problem, self.cells, self.limits = problem, problem.cells, limits
        self.affordable = self.cells.cost <= limits.budget * LOOSE
        self.least = [
            min(limits.distinct, limits.most, len(np.unique(level[self.affordable])))
            for level in self.cells.levels
        ]

    # ------------------------------------------------------------------------------- criterion

    def value(self, counts: Ints) -> float:
        """Return the mean of ln variance."""
        total = 0.0
        for table, weight in zip(self.problem.tables, self.problem.weights, strict=True):
            cov = np.linalg.inv(information(table, self.problem, counts))
            g = table.decisions
            total += float(weight @ np.log(np.einsum("qp,pr,qr->q", g, cov, g)))
        return total

    def with_one_more(self, counts: Ints, without: int | None = None) -> Array:
        """Return the criterion after one more replicate of each candidate, shape (m,).

        `without` is a candidate of which one replicate is taken away before.
        """
        left = counts
        if without is not None:
            left = counts.copy()
            left[without] -= 1
        total = np.zeros(len(self.cells))
        for table, weight in zip(self.problem.tables, self.problem.weights, strict=True):
            cov = np.linalg.inv(information(table, self.problem, left))
            rows, g = conditional_rows(table, self.problem, left), table.decisions
            moved = rows @ cov
            leverage = 1.0 + np.einsum("mp,mp->m", moved, rows)
            now = np.einsum("qp,pr,qr->q", g, cov, g)
            after = now - (moved @ g.T) ** 2 / leverage[:, None]
            total += np.log(np.maximum(after, 1e-300)) @ weight
        return total

    # ------------------------------------------------------------------------------------ moves

    def greedy(self, power: float, counts: Ints | None = None) -> Ints:
        """Add the candidate that lowers the criterion most per cost**power, while one fits."""
        counts = np.zeros(len(self.cells), dtype=np.int64) if counts is None else counts.copy()
        for _ in range(self.limits.most - int(counts.sum())):
            more = self.cells.more(counts)
            fits = self.cells.spent(counts) + more <= self.limits.budget * LOOSE
            fits &= self._open(counts)
            if not fits.any():
                break
            drop = self.value(counts) - self.with_one_more(counts)
            score = drop / np.maximum(more / self.cells.cost.min(), 1e-9) ** power
            largest = max(float(np.abs(score).max()), 1e-300)
            counts[_first_best(-score / largest, fits)] += 1
        return counts

    def exchange(self, counts: Ints, toll: float = 0.0) -> Ints:
        """Swap one run for another, or add one, until nothing helps.

        With a toll the budget may be passed, and ``toll * cost / budget`` is added to the
        criterion instead.
        """
        counts = self._spread(counts) if toll == 0.0 else counts
        best = self._charged(counts, toll)
        for _ in range(PASSES):
            before = best
            for out in (None, *np.flatnonzero(counts)):
                if out is not None and counts[out] == 0:
                    continue
                scores, fits = self._options(counts, out, toll)
                if not fits.any():
                    continue
                into = _first_best(scores, fits)
                if scores[into] < best - GAIN:
                    counts = _moved(counts, out, into)
                    best = self._charged(counts, toll)
            if best > before - GAIN:
                break
        return counts

    def tolled(self, counts: Ints, toll: float) -> Ints:
        """Exchange under the lowest toll, from `toll` up, whose end keeps the budget.

        Swaps at a fixed cost get stuck where several runs would have to change at once to spend
        what one saves; a toll in place of the budget leads past that.
        """
        for _ in range(TOLLS):
            counts = self.exchange(counts, toll)
            if self.cells.spent(counts) <= self.limits.budget * LOOSE:
                break
            toll *= DEARER
        while self.cells.spent(counts) > self.limits.budget * LOOSE:
            chosen = np.flatnonzero(counts)
            counts = _moved(counts, int(chosen[np.argmax(self.cells.cost[chosen])]), None)
        return counts

    def _open(self, counts: Ints) -> Bools:
        """Candidates that may be repeated once more."""
        if self.limits.repeats is None:
            return np.ones(len(counts), dtype=bool)
        return np.asarray(counts < self.limits.repeats)

    def _charged(self, counts: Ints, toll: float) -> float:
        return self.value(counts) + toll * self.cells.spent(counts) / self.limits.budget

    def _options(self, counts: Ints, out: int | None, toll: float = 0.0) -> tuple[Array, Bools]:
        """Criterion after each swap, and which swaps are allowed."""
        left = counts.copy()
        if out is not None:
            left[out] -= 1
        spent = self.cells.spent(left) + self.cells.more(left)
        fits = self.affordable if toll else spent <= self.limits.budget * LOOSE
        fits = fits & (left.sum() < self.limits.most) & self._open(left)
        for level, least in zip(self.cells.levels, self.least, strict=True):
            here = len(np.unique(level[counts > 0]))
            there = np.unique(level[left > 0])
            after = len(there) + ~np.isin(level, there)
            fits &= after >= min(here, least)
        if not fits.any():
            return np.zeros(len(fits)), fits
        return self.with_one_more(counts, out) + toll * spent / self.limits.budget, fits

    def _spread(self, counts: Ints) -> Ints:
        """Swap until there are as many distinct N and D as are asked for."""
        counts = counts.copy()
        for level, least in zip(self.cells.levels, self.least, strict=True):
            while (have := len(np.unique(level[counts > 0]))) < least:
                best: tuple[float, int | None, int] | None = None
                for out in (None, *np.flatnonzero(counts)):
                    scores, fits = self._options(counts, out)
                    kept = level[_moved(counts, out, None) > 0]
                    fits &= len(np.unique(kept)) + ~np.isin(level, kept) > have
                    if not fits.any():
                        continue
                    into = _first_best(scores, fits)
                    score = float(np.round(scores[into], DIGITS))
                    if best is None or score < best[0]:
                        best = score, out, into
                if best is None:
                    break
                counts = _moved(counts, best[1], best[2])
        return counts


def _moved(counts: Ints, out: int | None, into: int | None) -> Ints:
    counts = counts.copy()
    if out is not None:
        counts[out] -= 1
    if into is not None:
        counts[into] += 1
    return counts


def _first_best(scores: Array, allowed: Bools) -> int:
    """Index of the lowest rounded score among those allowed."""
    return int(np.argmin(np.where(allowed, np.round(scores, DIGITS), np.inf)))


# ----------------------------------------------------------------------------------- information


def information(table: Table, problem: Problem, counts: Ints) -> Array:
    """Return the information of a choice and of what was there before, shape (p, p)."""
    shared = table.truth.noise.trunk**2
    if not problem.trunks or shared == 0.0:
        chosen = np.flatnonzero(counts)
        rows = table.alone[chosen]
        return np.asarray(table.base + rows.T @ (rows * counts[chosen, None]))
    rows = table.alone * np.sqrt(counts)[:, None]
    if problem.cells.trunk is not None:
        rows = rows[problem.cells.trunk < 0]
    total = table.base + rows.T @ rows
    for members in problem.cells.copies(counts):
        rows, weight = table.rows[members], 1.0 / table.own[members]
        mean = weight @ rows
        total += rows.T @ (rows * weight[:, None])
        total -= np.outer(mean, mean) * (shared / (1.0 + shared * weight.sum()))
    return np.asarray(total)


def conditional_rows(table: Table, problem: Problem, counts: Ints) -> Array:
    """Return what one more replicate of each candidate tells beyond a choice, shape (m, p).

    Given the other branches of its copy of a trunk, a branch's noise is partly known: its row and
    variance are those of the innovation.
    """
    shared = table.truth.noise.trunk**2
    if not problem.trunks or shared == 0.0:
        return table.alone
    out = np.array(table.alone)
    for into, there in problem.cells.openings(counts):
        weight = 1.0 / table.own[there]
        left = shared / (1.0 + shared * weight.sum())
        rows = table.rows[into] - left * (weight @ table.rows[there])
        out[into] = rows / np.sqrt(table.own[into] + left)[:, None]
    return out
