"""Where a point starts from: the weights that another point has left."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scaling.errors import Fault, TrainingError
from scaling.runs.files import write_atomic_by
from scaling.runs.records import PRETRAIN, PointFiles

WEIGHTS = "weights.pt"


def save_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Keep the weights of a finished point, whole or not at all."""
    write_atomic_by(path, lambda file: torch.save(dict(weights), file))


def start_of(point: Mapping[str, Any], folder: Path | None) -> dict[str, Tensor] | None:
    """Weights that a point starts from, by name; None if it starts afresh.

    Raises
    ------
    TrainingError
        SC320 if they are not there.
    """
    source = point["init"].get("from")
    if source is None:
        return None
    path = None if folder is None else PointFiles.of(folder / PRETRAIN, source).folder / WEIGHTS
    try:
        if path is None:
            raise FileNotFoundError(2, "there is no sweep folder")
        found: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        said = getattr(error, "strerror", None) or str(error).strip().splitlines()[0]
        where, found_text = f"point {point['id']}", f"weights of point {source}: {said}"
        mend = "run the pretraining stage: scaling sweep run, or scaling study, in the same -o"
        raise TrainingError(
            Fault("SC320", where, found_text, "weights.pt of that point", mend)
        ) from error
    return found


def load_start(model: nn.Module, point: Mapping[str, Any], folder: Path | None) -> None:
    """Put the weights that a point starts from into its model, by name and shape.

    What only one of the two has, such as the head of another task, stays as the seed made it.

    Raises
    ------
    TrainingError
        SC320 if they are not there, or none of them fits.
    """
    weights = start_of(point, folder)
    if weights is None:
        return
    own = model.state_dict()
    fits = {k: v for k, v in weights.items() if k in own and own[k].shape == v.shape}
    if not fits:
        found = f"no weight of point {point['init']['from']} has the name and shape of one here"
        raise TrainingError(Fault("SC320", f"point {point['id']}", found, "a model alike"))
    model.load_state_dict(fits, strict=False)
