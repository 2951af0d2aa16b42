"""Runs that follow a known law, with or without noise."""

import numpy as np
import pandas as pd
import pytest

import scaling as sc
from scaling.laws import get
from tests.truths import TRUTHS


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


@pytest.fixture(scope="session")
def repeats(runs):
    """Return a fit of the law of repeated data."""
    design, truth = TRUTHS["data-constrained"]
    frame = runs("data-constrained", truth, design, noise=0.001)
    return sc.fit(frame, "data-constrained", bootstrap=20)


@pytest.fixture(scope="session")
def plain():
    """Return a function that fits a law without replicates."""

    def make(law):
        design, truth = TRUTHS[law]
        response = sc.law(law).response
        frame = pd.DataFrame(design).assign(**{response: sc.law(law).loss(truth, design)})
        return sc.fit(frame, law, bootstrap=0)

    return make
