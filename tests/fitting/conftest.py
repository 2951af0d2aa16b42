"""Runs that follow a known law, with or without noise."""

import numpy as np
import pandas as pd
import pytest

from scaling.laws import get


@pytest.fixture(scope="session")
def runs():
    """Return a function that draws runs of a law on a grid, or at given N, D, C."""

    def make(law, truth, x=None, *, noise=0.0, seed=0):
        law = get(law) if isinstance(law, str) else law
        if x is None:
            sizes, data = np.geomspace(1e7, 1e10, 6), np.geomspace(1e9, 5e11, 6)
            columns = {
                "N": np.repeat(sizes, 6),
                "D": np.tile(data, 6),
                "C": np.geomspace(1e16, 1e22, 36),
            }
            x = {name: columns[name] for name in law.variables}
        frame = pd.DataFrame(x)
        sigma = noise * np.random.default_rng(seed).standard_normal(len(frame))
        return frame.assign(loss=law.loss(truth, x) * np.exp(sigma))

    return make


@pytest.fixture(scope="session")
def hoffmann():
    """Return the unrounded parameters of approach 3."""
    return dict(get("chinchilla").published[0].params)
