"""Endless streams of examples whose order is a pure function of a seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Stream:
    """The endless stream of examples (windows, images, …) of one seed: each epoch a permutation.

    Parameters
    ----------
    seed : int
    windows : int
        Examples there are.
    unique : int, optional
        How many of them a run may see; they are the first that a run on all of them sees.
    """

    def __init__(self, seed: int, windows: int, unique: int | None = None) -> None:
        self.seed, self.every = seed, windows
        self.windows = windows if unique is None else min(windows, unique)
        self._epoch = -1
        self._order: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def __call__(self, first: int, count: int) -> NDArray[np.int64]:
        """Examples number `first` … of the stream, shape (count,)."""
        out = np.empty(count, dtype=np.int64)
        filled = 0
        while filled < count:
            epoch, position = divmod(first + filled, self.windows)
            if epoch != self._epoch:
                self._epoch, self._order = epoch, self._permutation(epoch)
            part = self._order[position : position + count - filled]
            out[filled : filled + len(part)] = part
            filled += len(part)
        return out

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        if self.windows == self.every:
            return np.random.default_rng([self.seed, epoch]).permutation(self.every)
        chosen = np.random.default_rng([self.seed, 0]).permutation(self.every)[: self.windows]
        if epoch == 0:
            return chosen
        return chosen[np.random.default_rng([self.seed, epoch]).permutation(self.windows)]
