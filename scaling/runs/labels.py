"""What a rating says to a task: whether, or how much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault


def labels_of(ratings: NDArray[np.float32], options: Mapping[str, Any]) -> NDArray[np.float32]:
    """Labels of ratings, same shape.

    Parameters
    ----------
    ratings : ndarray of float32
    options : mapping
        Of the task `recommendation`.

    Returns
    -------
    ndarray of float32
        The ratings, or 1 from ``positive`` on and 0 below where the target is ``implicit``.
    """
    if options["target"] == "rating":
        return ratings
    return (ratings >= float(options["positive"])).astype(np.float32)


def base_of(labels: NDArray[np.float32], options: Mapping[str, Any]) -> float:
    """Mean label that training sees: a share of positives, negatives included, or a mean rating.

    Raises
    ------
    ConfigError
        SC012 if all examples are positives, or none is: nothing could be learned.
    """
    mean = float(labels.mean(dtype=np.float64))
    if options["target"] == "rating":
        return mean
    base = mean / (int(options["negatives"]) + 1)
    if 0.0 < base < 1.0:
        return base
    if base:
        found, mend = "every example is a positive", "negatives = 1 or more, or a higher positive"
    else:
        found, mend = "no example is a positive", f"positive below {options['positive']:g}"
    raise ConfigError(Fault("SC012", "[task]", found, "positives and negatives", mend))
