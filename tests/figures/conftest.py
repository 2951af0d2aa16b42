"""What the figures of other people's studies are held against (handbook, data chapter).

The data stay under SCALING_DATA_DIR and are checked by checksum. Accepted are objective values and
predictions; parameters only where the chapter states a tolerance. What an objective is worth at a
point is computed here afresh, without the engine.
"""

import numpy as np
import pandas as pd
import pytest

import scaling as sc


@pytest.fixture(scope="session")
def runs(shared_file):
    """Return a function that reads a file as the product does: columns N, D, C and loss."""
    return lambda name: sc.read(shared_file(name))


@pytest.fixture(scope="session")
def cells(shared_file):
    """Return a function that reads a file that is no table of runs, or has several losses."""
    return lambda name: pd.read_csv(shared_file(name))


def residuals(law, params, frame, *, logs):
    """Prediction minus observation, in logs or in levels."""
    law = sc.law(law) if isinstance(law, str) else law
    predicted, observed = law.loss(params, frame), frame["loss"].to_numpy()
    return np.log(predicted / observed) if logs else predicted - observed


@pytest.fixture(scope="session")
def huber():
    """Return the sum of Huber's function over the rows, written down afresh."""

    def total(law, params, frame, *, delta=1e-3, logs=True):
        size = np.abs(residuals(law, params, frame, logs=logs))
        return float(np.where(size <= delta, size**2 / 2, delta * (size - delta / 2)).sum())

    return total


@pytest.fixture(scope="session")
def r_squared():
    """Return the share of the variance of the loss that a law explains."""

    def share(law, params, frame):
        rest = residuals(law, params, frame, logs=False)
        spread = frame["loss"].to_numpy() - frame["loss"].mean()
        return float(1.0 - (rest**2).sum() / (spread**2).sum())

    return share
