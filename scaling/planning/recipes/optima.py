"""The best learning rate at each size of a tuning stage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import Fault

Array = NDArray[np.float64]
WINDOW = np.log(2.5)  # runs within this of the best rate make the parabola, and its neighbours
LEAST_RATES = 3


def rounded(x: Any, digits: int = 6) -> float:
    """Round to significant digits, so that results do not depend on the machine."""
    return float(f"{float(x):.{digits}g}")


@dataclass(frozen=True)
class Optimum:
    """The best rate at a size.

    Attributes
    ----------
    N, D : float
    lr : float
        Where the parabola is lowest, four significant digits.
    se : float or None
        Standard error of ln lr; None where nothing tells the noise of a run.
    low, high : float
        Rates that bracket it.
    curvature : float
        Of ln loss in ln lr: ``ln loss = least + curvature/2 (ln lr - ln best)²``.
    rates, runs : int
        Finished rates and runs.
    diverged : bool
        Whether it is bracketed from above by a run that diverged.
    freedom : int
        Degrees of freedom that tell the noise, of all sizes; 0 where it was given or is not known.
    """

    N: float
    D: float
    lr: float
    se: float | None
    low: float
    high: float
    curvature: float
    rates: int
    runs: int
    diverged: bool
    freedom: int = 0


@dataclass(frozen=True)
class Trials:
    """The runs of one size.

    Attributes
    ----------
    N, D : float
    rate, loss, seed : ndarray
        ln lr, ln loss and seed of each finished run at a rate of which no run diverged.
    too_high : ndarray
        ln lr of rates at which a run diverged.
    """

    N: float
    D: float
    rate: Array
    loss: Array
    seed: NDArray[np.int64]
    too_high: Array

    @property
    def rates(self) -> Array:
        """Finished rates in ln lr, ascending."""
        return np.unique(self.rate)

    @property
    def means(self) -> Array:
        """Mean ln loss at each of `rates`, without what seeds share."""
        shared = {s: self.loss[self.seed == s].mean() for s in np.unique(self.seed)}
        balanced = len(self.rate) == len(self.rates) * len(shared)
        loss = self.loss - (0.0 if balanced else np.array([shared[s] for s in self.seed]))
        return np.round([loss[self.rate == rate].mean() for rate in self.rates], 10)

    @property
    def best(self) -> int:
        """Index of the best of `rates`; the lower of equals."""
        return int(np.argmin(self.means))

    @property
    def best_rate(self) -> float:
        """The rate of the best mean."""
        return float(np.exp(self.rates[self.best]))

    @property
    def above(self) -> float | None:
        """Lowest ln lr above the best at which a run diverged."""
        higher = self.too_high[self.too_high > self.rates[self.best]]
        return float(higher.min()) if len(higher) else None

    def excess(self, rate: float) -> float:
        """How far the run nearest to `rate` lies above the best, in ln loss."""
        nearest = int(np.argmin(np.round(np.abs(self.rates - np.log(rate)), 6)))
        return float(self.means[nearest] - self.means[self.best])

    def fault(self) -> Fault | None:
        """What keeps these runs from bracketing an optimum, and the run that would help."""
        where = f"N = {self.N:.4g}"
        count = len(self.rates)
        if count < LEAST_RATES:
            found, expected = f"{count} finished rates", f"at least {LEAST_RATES}"
            return Fault("SC217", where, found, expected, "train more rates at this size")
        low = self.best == 0
        if not low and (self.best < count - 1 or self.above is not None):
            return None
        edge, inside = (self.rates[0], self.rates[1]) if low else self.rates[[-1, -2]]
        further = float(np.exp(2.0 * edge - inside))
        factor = float(np.exp(edge - inside))
        found = f"the best of {count} rates is the {'lowest' if low else 'highest'}, "
        found += f"{np.exp(edge):.3g}"
        seeds = len(np.unique(self.seed))
        mend = f"also train lr = {further:.3g} ({factor:.3g} times that edge) at N = {self.N:.4g}, "
        mend += f"D = {self.D:.4g}, {seeds} run{'s' if seeds > 1 else ''}: the cheapest addition"
        return Fault("SC215", where, found, "a best rate between two others", mend)


def trials_of(rows: Iterable[Mapping[str, Any]]) -> list[Trials]:
    """Group runs by size, smallest first; runs that neither finished nor diverged do not count."""
    sizes: dict[float, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row.get("status", "done") in ("done", "diverged"):
            sizes.setdefault(float(row["N"]), []).append(row)
    return [_trials(size, sizes[size]) for size in sorted(sizes)]


def _trials(size: float, rows: Sequence[Mapping[str, Any]]) -> Trials:
    ordered = sorted(rows, key=lambda r: (float(r["lr"]), int(r.get("seed", 0))))
    rate = np.log([float(row["lr"]) for row in ordered])
    loss = np.array([_loss(row) for row in ordered])
    seed = np.array([int(row.get("seed", 0)) for row in ordered], dtype=np.int64)
    too_high = np.unique(rate[np.isnan(loss)])
    good = ~np.isin(rate, too_high)
    length = max(float(row["D"]) for row in ordered)
    return Trials(size, length, rate[good], np.log(loss[good]), seed[good], too_high)


def _loss(row: Mapping[str, Any]) -> float:
    """Loss of a finished run; NaN where it diverged."""
    value = row.get("loss")
    loss = np.nan if value is None or row.get("status", "done") != "done" else float(value)
    return loss if 0.0 < loss < np.inf else np.nan


@dataclass(frozen=True)
class _Parabola:
    """``ln loss = seed effect + b x + c x²`` with x = ln lr over the best rate tried."""

    b: float
    c: float
    inverse: Array  # of X'X, for (b, c)
    square: float  # residual sum of squares
    freedom: int


def _parabola(trial: Trials) -> _Parabola:
    """Least squares near the best rate; by its neighbours alone where more runs make no bowl."""
    best = trial.rates[trial.best]
    apart = np.round(np.abs(trial.rates - best), 9)
    beside = {max(0, trial.best - 1), trial.best, min(len(trial.rates) - 1, trial.best + 1)}
    if len(beside) < LEAST_RATES:  # a diverged run is the neighbour above
        beside |= {trial.best - 2}
    near = {i for i, distance in enumerate(apart) if distance <= WINDOW}
    found = _least_squares(trial, sorted(beside | near))
    return found if found.c > 0 or near <= beside else _least_squares(trial, sorted(beside))


def _least_squares(trial: Trials, chosen: list[int]) -> _Parabola:
    inside = np.isin(trial.rate, trial.rates[chosen])
    x = trial.rate[inside] - trial.rates[trial.best]
    y, seed = trial.loss[inside], trial.seed[inside]
    seeds = np.unique(seed)
    design = np.column_stack([*((seed == s).astype(np.float64) for s in seeds), x, x**2])
    beta, *_ = np.linalg.lstsq(design, y, rcond=None)
    left = y - design @ beta
    inverse = np.linalg.pinv(design.T @ design)[-2:, -2:]
    return _Parabola(
        float(beta[-2]), float(beta[-1]), inverse, float(left @ left), len(y) - design.shape[1]
    )


def find(trials: Sequence[Trials], noise: float | None) -> tuple[Optimum, ...]:
    """Locate the best rate at each size.

    Parameters
    ----------
    trials : sequence of Trials
        None of which has a `Trials.fault`.
    noise : float or None
        Standard deviation of ln loss between runs; None to pool what the parabolas leave over.
    """
    bowls = [_parabola(trial) for trial in trials]
    freedom = sum(bowl.freedom for bowl in bowls) if noise is None else 0
    if freedom > 0:
        noise = float(np.sqrt(sum(bowl.square for bowl in bowls) / freedom))
    return tuple(_optimum(t, bowl, noise, freedom) for t, bowl in zip(trials, bowls, strict=True))


def _optimum(trial: Trials, bowl: _Parabola, noise: float | None, freedom: int) -> Optimum:
    i, rates = trial.best, trial.rates
    by_divergence = i == len(rates) - 1
    low = rates[i - 1]
    high = trial.above if by_divergence else rates[i + 1]
    assert high is not None
    vertex, variance = 0.0, np.nan
    if bowl.c > 0:
        vertex = -bowl.b / (2.0 * bowl.c)
        slope = np.array([-0.5 / bowl.c, bowl.b / (2.0 * bowl.c**2)])
        variance = float(slope @ bowl.inverse @ slope)
    inside = low - rates[i] < vertex < high - rates[i]
    se = None if noise is None else noise * float(np.sqrt(variance))
    if bowl.c <= 0 or not inside:  # anywhere between its neighbours
        vertex = float(np.clip(vertex, low - rates[i], high - rates[i])) if bowl.c > 0 else 0.0
        se = float(high - low) / np.sqrt(12.0)
    elif by_divergence and se is not None:
        se = float(np.hypot(se, (high - rates[i]) / np.sqrt(12.0)))
    return Optimum(
        N=trial.N,
        D=trial.D,
        lr=rounded(np.exp(rates[i] + vertex), 4),
        se=None if se is None else rounded(se),
        low=rounded(np.exp(low)),
        high=rounded(np.exp(high)),
        curvature=rounded(2.0 * bowl.c),
        rates=len(rates),
        runs=len(trial.rate),
        diverged=by_divergence,
        freedom=freedom,
    )
