"""Token windows in an order that is a pure function of (seed, window), on the device or beside it.

A window is a run of T + 1 tokens; windows do not overlap. Batch t of a run holds windows number
t B to (t + 1) B of an endless stream, which is one permutation of all windows after another, so
no loader has a state, a shorter run sees a prefix of what a longer one sees, and neither the number
of workers nor the size of a pass can change what a step sees.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scaling.runs.files import canonical_json
from scaling.runs.manifest import load
from scaling.training.tasks.base import host_to

RESIDENT = 0.25  # share of the free device memory that data may take


class Corpus:
    """The tokens of one data set for one context.

    Parameters
    ----------
    data : mapping
        Manifest.
    context : int
        T.
    sequences : int
        Validation sequences at most.
    device : torch.device
    resident : bool, optional
        Whether all training tokens lie on the device; by their size if None. Else a batch is
        gathered on the host, in pinned memory, and copied while the device computes.
    """

    def __init__(
        self,
        data: Mapping[str, Any],
        context: int,
        sequences: int,
        device: torch.device,
        *,
        resident: bool | None = None,
    ) -> None:
        train, held_out = load(data)
        self.context, self.device = context, device
        self.windows = (len(train) - 1) // context
        tokens = torch.from_numpy(train.copy())
        if resident is None:
            resident = _fits(tokens, device)
        self.resident = resident
        self.train = tokens.to(device) if resident else tokens
        self.offsets = torch.arange(context + 1, device=self.train.device)
        self.validation = self._fixed(torch.from_numpy(held_out.copy()), sequences).to(device)

    def _fixed(self, tokens: Tensor, sequences: int) -> Tensor:
        """Validation windows (S, T + 1) at one stride over the held-out part."""
        last = len(tokens) - self.context - 1
        sequences = min(sequences, last // self.context)
        starts = torch.arange(sequences) * (last // sequences)
        return tokens[starts[:, None] + torch.arange(self.context + 1)]

    def gather(self, windows: NDArray[np.int64]) -> Tensor:
        """Tokens of these windows, shape (..., T + 1), int64, on the device."""
        starts = torch.from_numpy(windows * self.context).to(self.train.device)
        found = self.train[starts[..., None] + self.offsets]
        if not self.resident:
            found = host_to(self.device, found)
        return found.long()


def _fits(tokens: Tensor, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return tokens.nbytes <= RESIDENT * free


@lru_cache(maxsize=2)
def _kept(data: str, context: int, sequences: int, device: torch.device) -> Corpus:
    return Corpus(json.loads(data), context, sequences, device)


def corpus_of(point: Mapping[str, Any], device: torch.device) -> Corpus:
    """Return the corpus of a point; the next point of a process finds it where it is."""
    context, sequences = int(point["shape"]["context"]), int(point["evaluation"]["sequences"])
    data = {name: value for name, value in point["data"].items() if name != "unique"}
    return _kept(canonical_json(data), context, sequences, device)
