"""The draws of a mixture by law, for those who ask what each law would have: planning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.auto.mixture import PART, Mixture, Part
from scaling.fitting.auto.points import in_logs
from scaling.laws import Law

Array = NDArray[np.float64]


def by_law(
    law: Mixture, draws: Mapping[str, Array]
) -> Iterator[tuple[Law, dict[str, Array], Array]]:
    """Yield each member with parameters that were drawn for it.

    Departures and the widening beyond the data belong to forecasts and are left out. Without draws
    the most probable parameters are given.

    Parameters
    ----------
    law : Mixture
    draws : mapping of str to ndarray
        As a fit holds them; may be empty.

    Yields
    ------
    law : Law
    params : dict of str to ndarray
        Shape (k,).
    weight : ndarray
        Shape (k,); all of them add to 1.
    """
    for k, part in enumerate(law.parts):
        if PART not in draws:
            yield (
                part.law,
                _at(part, law, np.zeros((1, len(part.covariance)))),
                np.array([part.weight]),
            )
            continue
        mine = np.flatnonzero(np.asarray(draws[PART]) == k)
        if len(mine):
            columns = [np.asarray(draws[f"d{j}"])[mine] for j in range(len(part.covariance))]
            weight = np.full(len(mine), 1.0 / len(draws[PART]))
            yield part.law, _at(part, law, np.stack(columns, axis=1)), weight


def _at(part: Part, law: Mixture, moved: Array) -> dict[str, Array]:
    """Parameters of a part with its solver's coordinates moved, shape (k, p)."""
    data = in_logs(part.law, law.points.x, law.points.y)
    centre = data.internal({name: np.array([v]) for name, v in part.params.items()})
    with np.errstate(over="ignore"):
        return {name: np.asarray(v) for name, v in data.params(centre + moved).items()}
