"""What a classifier does, on the whole and for each class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


def class_metrics(point: Mapping[str, Any], seen: Mapping[str, Tensor]) -> dict[str, Any]:
    """Accuracy, error with its standard error, and a report of each class.

    Parameters
    ----------
    point : mapping
        Its shape says how many classes there are; its data may name them.
    seen : mapping
        ``label`` and ``predicted``, integers of shape (n,).

    Returns
    -------
    dict
        ``accuracy``, ``error``, ``error_se`` (binomial), and ``classes`` as `report` gives it.
    """
    labels, predicted = seen["label"].numpy(), seen["predicted"].numpy()
    wrong = float((labels != predicted).mean())
    classes, names = int(point["shape"]["classes"]), point["data"].get("names", ())
    return {
        "accuracy": 1.0 - wrong,
        "error": wrong,
        "error_se": math.sqrt(wrong * (1.0 - wrong) / len(labels)),
        "classes": report(labels, predicted, classes, names),
    }


def report(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int, names: Any = ()
) -> list[dict[str, Any]]:
    """Precision, recall, F1 and support of each class.

    Parameters
    ----------
    labels, predicted : ndarray of int64
        Shape (n,).
    classes : int
    names : sequence of str
        Of the classes; may be empty.

    Returns
    -------
    list of dict
        ``class, name, precision, recall, f1, support``; None where there is nothing to divide by.
    """
    matrix = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    right, support, called = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    return [
        {
            "class": k,
            "name": names[k] if k < len(names) else str(k),
            "precision": _share(right[k], called[k]),
            "recall": _share(right[k], support[k]),
            "f1": _share(2 * right[k], called[k] + support[k]),
            "support": int(support[k]),
        }
        for k in range(classes)
    ]


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None
