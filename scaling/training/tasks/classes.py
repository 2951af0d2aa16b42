"""What a classifier does for each class."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def class_report(labels: Tensor, found: Tensor, classes: int) -> dict[str, Any]:
    """Accuracy, error and a report of each class.

    Parameters
    ----------
    labels, found : Tensor
        True and predicted classes, shape (n,), integers below `classes`.
    classes : int

    Returns
    -------
    dict
        ``accuracy`` and ``error`` = 1 - accuracy, and ``classes``: for each class its number,
        precision (right among those predicted), recall (right among those that are), F1 (their
        harmonic mean) and support (how many there are). What would be 0/0 is None; F1 is 0
        where a class exists or was predicted, and never rightly.
    """
    table = torch.bincount(labels * classes + found, minlength=classes**2)
    table = table.view(classes, classes).double()  # rows are what is, columns what was predicted
    right, support, predicted = table.diagonal(), table.sum(dim=1), table.sum(dim=0)
    rows = []
    for number in range(classes):
        hit, real, said = float(right[number]), float(support[number]), float(predicted[number])
        rows.append(
            {
                "class": number,
                "precision": hit / said if said else None,
                "recall": hit / real if real else None,
                "f1": 2 * hit / (said + real) if said + real else None,
                "support": int(real),
            }
        )
    accuracy = float(right.sum() / len(labels))
    return {"accuracy": accuracy, "error": 1.0 - accuracy, "classes": rows}
