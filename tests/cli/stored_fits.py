"""Small fits of known runs, as the texts of fit.json."""

from dataclasses import replace
from functools import cache, partial

import numpy as np
import pandas as pd

from scaling.fitting.analyse import analyse, combine
from scaling.fitting.options import Options
from scaling.laws import get
from scaling.runs.read import from_frame
from tests.truths import TRUTHS

LAW = get("chinchilla")
TRUTH = dict(LAW.published[0].params)
GAMMA = TRUTH["alpha"] * TRUTH["beta"] / (TRUTH["alpha"] + TRUTH["beta"])


def table(m=1.0, name="A", seed=0, noise=0.002):
    """36 runs of a recipe worth m."""
    x = {"N": np.repeat(np.geomspace(1e7, 1e10, 6), 6), "D": np.tile(np.geomspace(1e9, 5e11, 6), 6)}
    loss = TRUTH["E"] + (LAW.loss(TRUTH, x) - TRUTH["E"]) * m**-GAMMA
    eps = noise * np.random.default_rng(seed).standard_normal(36)
    return pd.DataFrame(x).assign(loss=loss * np.exp(eps), recipe=name)


def isoflop():
    """Five budgets of nine sizes."""
    budget = np.repeat([1e17, 1e18, 1e19, 1e20, 1e21], 9)
    size = LAW.frontier.size(TRUTH, budget) * np.tile(np.geomspace(0.25, 4, 9), 5)
    x = {"N": size, "D": budget / 6 / size}
    eps = 1e-3 * np.random.default_rng(3).standard_normal(45)
    return pd.DataFrame(x).assign(C=budget, budget=budget, loss=LAW.loss(TRUTH, x) * np.exp(eps))


def ray():
    size = 1e7 * 2.0 ** np.arange(12)
    loss = 1.7 + 400 / size**0.34 + 0.001 * (np.arange(12) * 7 % 5)
    return pd.DataFrame({"N": size, "D": 20 * size, "loss": loss})


def of_law(name):
    design, truth = TRUTHS[name]
    return pd.DataFrame(design).assign(loss=get(name).loss(truth, design))


def fitted(frame, *laws, file="fit.csv", **more):
    options = Options(bootstrap=30)
    runs = replace(from_frame(frame), file=file)
    return analyse(runs, laws=laws, options=options, command=f"scaling fit {file}", **more)


MADE = {
    "fit": lambda: fitted(table(), "chinchilla"),
    "laws": lambda: fitted(table(), "chinchilla", "kaplan"),
    "better": lambda: fitted(table(1.3, seed=1), "chinchilla", file="better.csv"),
    "two": lambda: fitted(pd.concat([table(), table(1.3, "B", 1)]), "chinchilla", group="recipe"),
    "iso": lambda: fitted(isoflop(), approaches=["isoflop"]),
    "both": lambda: fitted(isoflop(), "chinchilla", approaches=["surface", "isoflop"]),
    "ray": lambda: fitted(ray(), "chinchilla"),
    "mixed": lambda: combine([fitted(ray(), "chinchilla"), fitted(table(), "chinchilla")]),
    **{name: partial(lambda x: fitted(of_law(x), x), name)
       for name in ("data-constrained", "power-D", "moe-clark")},
}  # fmt: skip


@cache
def text_of(name):
    """Return the fit.json of that name."""
    return MADE[name]().to_json()
