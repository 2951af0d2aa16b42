"""Runs of a reference and of a treated group whose worth in data is known."""

import numpy as np
import pandas as pd

SIZES = (1e6, 4e6, 16e6, 64e6)
DATA = (1e5, 3e5, 1e6, 3e6, 1e7)
TRUTH = {"E": 1.7, "A": 60.0, "alpha": 0.34, "B": 410.0, "beta": 0.37}


def loss_of(n, d):
    t = TRUTH
    return t["E"] + t["A"] / n ** t["alpha"] + t["B"] / d ** t["beta"]


def treated_runs(
    worth, *, sizes=SIZES, data=DATA, noise=0.005, seed=0, seeds=1, shift=0.0,
    names=("none", "treated"),
):  # fmt: skip
    """Return a table in which a treated run at (N, D) has the reference's loss at worth(N, D)."""
    rng = np.random.default_rng(seed)
    rows = []
    for group in names:
        for n in sizes:
            for d in data:
                for s in range(seeds):
                    other = group != names[0]
                    loss = loss_of(n, worth(n, d) if other else d) + shift * other
                    rows.append((group, n, d, s, loss * np.exp(noise * rng.standard_normal())))
    return pd.DataFrame(rows, columns=["group", "N", "D", "seed", "loss"])


def times(m):
    """Return the worth of a constant multiplier."""
    return lambda n, d: m * d


def transferred(k, alpha, beta=0.0):
    """Return the worth of Hernandez' law."""
    return lambda n, d: d + k * d**alpha * n**beta
