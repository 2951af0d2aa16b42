"""Whether intervals of decisions hold the truth: many simulated studies, few of them in each run.

A share of n studies is held to the nominal level by its binomial error; the slow tests use 300.
"""

import numpy as np
import pandas as pd
import pytest

import scaling as sc

LAW = sc.law("chinchilla")
TRUTH = {"E": 1.81722, "A": 477.83, "B": 2143.4, "alpha": 0.347311, "beta": 0.367172}
GAMMA = TRUTH["alpha"] * TRUTH["beta"] / (TRUTH["alpha"] + TRUTH["beta"])
FEW, MANY = 40, 300


def design(budgets):
    """Return noise-free runs: 7 sizes over ±4× at each budget."""
    parts = []
    for budget in budgets:
        n = float(LAW.frontier.size(TRUTH, budget)) * np.geomspace(0.25, 4, 7)
        x = {"N": n, "D": budget / 6 / n}
        parts.append(pd.DataFrame({**x, "C": budget, "budget": budget, "loss": LAW.loss(TRUTH, x)}))
    return pd.concat(parts, ignore_index=True)


FIVE, FOUR = design(np.geomspace(1e17, 1e19, 5)), design(np.geomspace(1e17, 1e19, 4))
TARGET = 10 * FIVE.budget.max()
BEST = float(LAW.frontier.size(TRUTH, TARGET))


def surface(frame, seed, delta="auto"):
    fit = sc.fit(frame, "chinchilla", delta=delta, bootstrap=200, seed=seed)
    best = fit.optimal(C=TARGET, interval=0.9)
    return best.N_lo[0], best.N_hi[0]


def narrow(frame, seed):
    """The default threshold, far below the residuals."""
    return surface(frame, seed, delta=1e-3)


def isoflop(frame, seed):
    found = sc.isoflop(frame, bootstrap=200, seed=seed)
    levels, slopes = np.asarray(found.draws["N"])
    return np.exp(np.percentile(levels + slopes * np.log(TARGET), [5, 95]))


def share_covered(way, studies):
    """Share of studies whose 90% interval of N* at ten times the largest budget holds it."""
    hits = []
    for k in range(studies):
        noise = 0.004 * np.random.default_rng([7, k]).standard_normal(len(FIVE))
        lo, hi = way(FIVE.assign(loss=FIVE.loss * np.exp(noise)), k)
        hits.append(lo <= BEST <= hi)
    return np.mean(hits)


@pytest.mark.parametrize("way", [surface, narrow, isoflop])
def test_few_studies_hold_the_best_size(way):
    assert share_covered(way, FEW) >= 0.8


@pytest.mark.slow
@pytest.mark.parametrize("way", [surface, narrow, isoflop])
def test_ninety_percent_hold_the_best_size(way):
    assert 0.86 <= share_covered(way, MANY) <= 0.94


def recipes(multiplier, seed):
    """Two groups on one grid; 0.3% paired noise, and 0.2% that a pair shares."""
    rng = np.random.default_rng([11, seed])
    better = TRUTH["E"] + (FOUR.loss - TRUTH["E"]) * multiplier**-GAMMA
    shared = 0.002 * rng.standard_normal(len(FOUR))
    parts = []
    for group, loss in (("A", FOUR.loss), ("B", better)):
        own = 0.003 / np.sqrt(2) * rng.standard_normal(len(FOUR))
        parts.append(FOUR.assign(loss=loss * np.exp(shared + own), group=group))
    return pd.concat(parts, ignore_index=True)


def judged(multiplier, studies):
    """Shares of studies that cover the multiplier in the middle, and that tell it from 1."""
    hits = []
    for k in range(studies):
        fits = sc.fit(recipes(multiplier, k), "chinchilla", delta="auto", bootstrap=50, seed=k)
        offset = sc.compare(fits).tests[0]
        lo, hi = offset["interval"]
        hits.append((lo <= np.log(multiplier) <= hi, offset["p"] < 0.05))
    return np.mean(hits, axis=0)


def test_few_studies_tell_a_small_multiplier():
    covered, told = judged(1.05, 25)
    assert covered >= 0.8
    assert told >= 0.8


@pytest.mark.slow
def test_a_multiplier_is_covered_at_its_level_and_told():
    covered, told = judged(1.05, MANY)
    assert 0.92 <= covered <= 0.98
    assert told >= 0.8


@pytest.mark.slow
def test_equal_recipes_are_rarely_told_apart():
    covered, told = judged(1.0, MANY)
    assert 0.92 <= covered <= 0.98
    assert told <= 0.08
