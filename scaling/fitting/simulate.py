"""What a fit of a design would say: studies drawn from a truth and fitted by the engine.

The same law, objective and solver as a fit of real runs, with losses drawn anew for each study.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.data import Data
from scaling.fitting.estimate import ROBUST
from scaling.fitting.intervals import STARTS, small_sample_factor
from scaling.fitting.objectives import make
from scaling.fitting.seeds import Seeds
from scaling.fitting.solve import refine
from scaling.laws import Law

Array = NDArray[np.float64]
TOLERANCE = 1e-9  # predicted relative decrease of the objective at which a study is done


@dataclass(frozen=True)
class Noise:
    """Noise of ln loss.

    Attributes
    ----------
    row : ndarray
        Standard deviation of what each run has alone, shape (n,).
    trunk : float
        Standard deviation of what the runs of a trunk share.
    labels : ndarray of int
        Trunk of each run, from 0.
    """

    row: Array
    trunk: float
    labels: NDArray[np.int64]

    def draw(self, studies: int, seed: int) -> Array:
        """Draw errors of shape (studies, n); study k has its own stream (seed, k)."""
        n = len(self.row)
        out = np.empty((studies, n))
        for k in range(studies):
            rng = np.random.default_rng([seed, k])
            out[k] = self.row * rng.standard_normal(n)
            if self.trunk:
                out[k] += self.trunk * rng.standard_normal(int(self.labels.max()) + 1)[self.labels]
        return out


@dataclass(frozen=True)
class Simulated:
    """Estimates of every simulated study.

    Attributes
    ----------
    law : Law
        That was fitted.
    columns : mapping
        Estimate of each parameter, shape (k,), of the studies that converged.
    studies : int
        How many were drawn.
    factor : float
        Small-sample factor by which an interval is wider than the spread says.
    """

    law: Law
    columns: Mapping[str, Array]
    studies: int
    factor: float

    @property
    def failed(self) -> int:
        """Studies whose fit did not converge."""
        return self.studies - len(next(iter(self.columns.values())))


def simulate(
    law: Law,
    x: Mapping[str, Array],
    log_loss: Array,
    errors: Array,
    clusters: int,
    *,
    objective: str = "log-huber",
    delta: float | str = 1e-3,
    level: float = 0.95,
) -> Simulated:
    """Fit `law` to studies whose losses are a truth's with errors.

    Parameters
    ----------
    law : Law
        To be fitted; it need not be the truth's.
    x : mapping
        The law's variables, shape (n,).
    log_loss : ndarray
        ln loss without noise, shape (n,).
    errors : ndarray
        Of ln loss, shape (studies, n).
    clusters : int
        Independent runs or trunks, for the small-sample factor.
    objective, delta
        As in a fit; ``auto`` takes the threshold from the errors' spread.
    level : float
        Of the interval that the small-sample factor is for.
    """
    if delta == "auto":
        delta = ROBUST * float(np.median(np.abs(errors))) or 1e-3
    loss = make(objective, float(delta))
    studies, n = errors.shape
    data = Data(law, x, np.exp(log_loss), loss, {}, {})
    ones = np.ones(n)
    ways = Seeds(data, ones)
    shift = errors if loss.logs else np.exp(log_loss) * np.expm1(errors)
    starts = ways.best(ones[None, :], STARTS)[0]
    exact = refine(data, starts, ones[None, :], per=len(starts))
    warm = exact.z[int(exact.objective.argmin())]
    each = np.concatenate([starts[: STARTS - 1], warm[None, :]])
    per = len(each)
    solution = refine(
        data,
        np.tile(each, (studies, 1)),
        np.broadcast_to(ones, (studies, n)),
        per=per,
        shift=shift,
        tolerance=TOLERANCE,
    )
    value = np.where(solution.converged, solution.objective, np.inf).reshape(studies, per)
    pick = value.argmin(axis=1)
    good = np.isfinite(value[np.arange(studies), pick])
    z = solution.z.reshape(studies, per, -1)[np.arange(studies), pick][good]
    factor = small_sample_factor(clusters, len(data.free), level)
    return Simulated(law, data.params(z), studies, factor)
