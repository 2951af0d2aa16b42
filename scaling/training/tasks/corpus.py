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

from scaling.errors import Fault, TrainingError
from scaling.runs.files import canonical_json
from scaling.runs.manifest import load
from scaling.training.tasks.base import host_to

RESIDENT = 0.25  # share of the free device memory that data may take
MEMORY = 2**31  # most bytes that a process on a CPU copies; larger files stay memory-mapped


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
        gathered from where they are (files are memory-mapped) on the host, in pinned memory, and
        copied while the device computes.
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
        if resident is None:
            resident = _fits(train, device)
        self.resident = resident
        self.vocabulary = int(data.get("vocabulary", 0))
        self.mapped = None if resident else train
        self.train = torch.zeros(0)
        if resident:
            whole = train[:]
            _refuse_beyond(whole, None, self.vocabulary)
            self.train = _tensor(whole).to(device)
        self.mask = MASKS.get(train.dtype.str.lstrip("<"))
        self.validation = self._fixed(held_out, sequences).to(device)

    def _fixed(self, tokens: NDArray[Any], sequences: int) -> Tensor:
        """Validation windows (S, T + 1) at one stride over the held-out part, int64."""
        last = len(tokens) - self.context - 1
        sequences = min(sequences, last // self.context)
        starts = np.arange(sequences) * (last // sequences)
        found = tokens[starts[:, None] + np.arange(self.context + 1)]
        return torch.from_numpy(found.astype(np.int64))

    def gather(self, windows: NDArray[np.int64]) -> Tensor:
        """Tokens of these windows, shape (..., T + 1), int64, on the device."""
        if self.mapped is not None:
            places = (windows * self.context)[..., None] + np.arange(self.context + 1)
            own = self.mapped[places]
            _refuse_beyond(own, places, self.vocabulary)
            return host_to(self.device, torch.from_numpy(own.astype(np.int64)))
        starts = torch.from_numpy(windows * self.context).to(self.train.device)
        offsets = torch.arange(self.context + 1, device=self.train.device)
        found = self.train[starts[..., None] + offsets].long()
        return found if self.mask is None else found & self.mask


# Unsigned types that few operations know: they lie on the device as signed ones of their width.
MASKS = {"u2": 2**16 - 1, "u4": 2**32 - 1}


def _refuse_beyond(tokens: NDArray[Any], places: NDArray[np.int64] | None, vocabulary: int) -> None:
    """Refuse ids that the source did not see: of large files it looks at a part.

    Raises
    ------
    TrainingError
        SC331 with the place in the stream and the value.
    """
    if not vocabulary or not tokens.size or tokens.max() < vocabulary:
        return
    first = int((tokens >= vocabulary).argmax())
    place = first if places is None else int(places.flat[first])
    found, expected = f"token {place} is {int(tokens.flat[first])}", f"ids below {vocabulary}"
    mend = "raise vocabulary in [data] options, or name the right format"
    raise TrainingError(Fault("SC331", "the training tokens", found, expected, mend))


def _tensor(tokens: NDArray[Any]) -> Tensor:
    """Copy tokens, in the bits that they have."""
    kind = tokens.dtype.str.lstrip("<|")
    signed = tokens.view(kind.replace("u", "i")) if kind in MASKS else tokens
    return torch.from_numpy(np.array(signed))


def _fits(tokens: NDArray[Any], device: torch.device) -> bool:
    """Whether tokens may lie on the device; in memory all may but those of large files."""
    if device.type != "cuda":
        return tokens.nbytes <= MEMORY
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
