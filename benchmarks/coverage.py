"""Coverage of nominal 95% intervals of alpha, beta, a and N* over simulated studies.

Truth is the law of Besiroglu et al. (2024). The designs are 35 runs on 5 budgets with even noise,
the same with noise that grows as runs get smaller, and 105 rows in 21 trunks that share noise.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import math
import multiprocessing
import time
from functools import partial

import common
import numpy as np
import pandas as pd

import scaling as sc
from scaling.errors import ScalingError

TRUTH = common.BESIROGLU
BUDGETS = np.geomspace(1e16, 1e18, 5)
TARGET = 10.0 * BUDGETS[-1]
SIZES, DECADES = 7, 0.7
SIGMA = 0.004  # standard deviation of log loss
SIGMA_ROW = 0.001  # of what the rows of a trunk do not share
GROWTH = -0.2  # exponent of the noise in C: 2.5 times as much at a hundredth of the compute
SEEDS = 3
LEVEL = 0.95
PROCESSES = 2
DESIGNS = ("iid", "heteroscedastic", "trunks")
QUANTITIES = ("alpha", "beta", "a", "N*")


# --------------------------------------------------------------------------------------- studies


def isoflop_study(rng, growth):
    """35 runs with log noise of SD ``SIGMA (C / C_max)**growth``."""
    n, c = common.isoflop_sizes(TRUTH, BUDGETS, SIZES, DECADES)
    d = c / (6.0 * n)
    noise = SIGMA * (c / c.max()) ** growth * rng.standard_normal(len(n))
    return pd.DataFrame({"N": n, "D": d, "loss": common.loss_of(TRUTH, n, d) * np.exp(noise)})


def trunk_study(rng):
    """7 sizes x 5 lengths x 3 seeds; the lengths of one size and seed share their noise.

    The grid reaches from the optimum of the smallest budget to that of the largest.
    """
    ends = common.best_size(TRUTH, BUDGETS[[0, -1]])
    sizes = np.geomspace(*ends, SIZES)
    lengths = np.geomspace(*(BUDGETS[[0, -1]] / (6.0 * ends)), len(BUDGETS))
    n, d, seed = (x.ravel() for x in np.meshgrid(sizes, lengths, np.arange(SEEDS), indexing="ij"))
    trunk = np.searchsorted(sizes, n) * SEEDS + seed
    noise = SIGMA * rng.standard_normal(SIZES * SEEDS)[trunk]
    noise += SIGMA_ROW * rng.standard_normal(len(n))
    loss = common.loss_of(TRUTH, n, d) * np.exp(noise)
    names = [f"trunk {k}" for k in trunk]
    return pd.DataFrame({"N": n, "D": d, "loss": loss, "seed": seed, "trunk": names})


def study(design, index):
    """Draw study number `index` of a design; every study has a stream of its own."""
    rng = np.random.default_rng([95, DESIGNS.index(design), index])
    if design == "trunks":
        return trunk_study(rng)
    return isoflop_study(rng, GROWTH if design == "heteroscedastic" else 0.0)


def truths():
    alpha, beta = TRUTH["alpha"], TRUTH["beta"]
    values = (alpha, beta, beta / (alpha + beta), float(common.best_size(TRUTH, TARGET)))
    return dict(zip(QUANTITIES, values, strict=True))


def judge(index, design, objective, delta, draws):
    """Fit one study.

    Returns
    -------
    dict
        ``status``, the resampled unit, and ``intervals`` of each quantity; without intervals
        where there are none.
    """
    try:
        fit = sc.fit(
            study(design, index),
            "chinchilla",
            objective=objective,
            delta=delta,
            bootstrap=draws,
            interval=LEVEL,
            seed=index,
        )
    except ScalingError as error:
        return {"status": f"error {error}".splitlines()[0][:60]}
    out = {"status": fit.status, "intervals": {}}
    if fit.interval is not None:
        best = fit.optimal(C=TARGET).iloc[0]
        found = {name: tuple(fit.intervals[name]) for name in ("alpha", "beta", "a")}
        out["intervals"] = found | {"N*": (float(best["N_lo"]), float(best["N_hi"]))}
        out["unit"] = fit.interval.cluster
    return out


# ---------------------------------------------------------------------------------------- tables


def standard_error(share, n):
    """Standard error of a share after Agresti and Coull (1998), which is not 0 at 0 or 1."""
    shrunk = (share * n + 2.0) / (n + 4.0)
    return math.sqrt(shrunk * (1.0 - shrunk) / (n + 4.0))


def rows_of(design, results):
    """Rows of the table for one design; only identified fits with intervals are counted."""
    usable = [r for r in results if r["status"] in ("converged", "at-bound") and r["intervals"]]
    lost = f"{100 * (1 - len(usable) / len(results)):.1f}%"
    unit = usable[0]["unit"] if usable else "-"
    rows = []
    for name, truth in truths().items():
        ends = np.array([r["intervals"][name] for r in usable]).reshape(-1, 2)
        if not len(ends):
            rows.append((design, unit, name, "-", "-", "-", "-", lost))
            continue
        above, below = (ends[:, 1] < truth).mean(), (ends[:, 0] > truth).mean()
        covered = 1.0 - above - below
        error = standard_error(covered, len(ends))
        low, high = np.log10(ends.T) if name == "N*" else ends.T
        rows.append(
            (
                design,
                unit,
                name,
                f"{100 * covered:.1f}% ± {100 * error:.1f}",
                f"{100 * below:.1f}%",
                f"{100 * above:.1f}%",
                f"{(high - low).mean():.4f}",
                lost,
            )
        )
    return rows


def notes(args, delta, seconds, odd):
    chosen = f"{args.objective}, delta {delta}" if "huber" in args.objective else args.objective
    if args.delta == "auto" and delta != "auto":
        chosen += " (auto is not available yet)"
    lines = [
        f"{args.studies} studies a design, {args.draws} bootstrap draws each, objective {chosen}; "
        f"{seconds:.0f} s in {PROCESSES} processes.",
        "Coverage is of the true value by 95% intervals, ± its Monte Carlo standard error (Agresti "
        "and Coull). Below: the truth lies below the interval; above: above it.",
        "Width is the mean; of N* (at 10 times the largest compute) in decades.",
        "Not identified: share of studies without an identified fit and its intervals; they are "
        "not counted in the other columns.",
    ]
    return common.bullets(lines + [f"{text}: {count} studies" for text, count in odd.items()])


# ------------------------------------------------------------------------------------------ main


def parse_delta(text):
    return text if text == "auto" else float(text)


def usable_delta(objective, delta):
    """Return `delta`, or 1e-3 where an automatic one is refused."""
    if delta != "auto":
        return delta
    try:
        sc.fit(study("iid", 0), "chinchilla", objective=objective, delta=delta, bootstrap=0)
    except (ScalingError, TypeError, ValueError):
        return 1e-3
    return delta


def run(design, args, delta, pool):
    work = partial(judge, design=design, objective=args.objective, delta=delta, draws=args.draws)
    return list(pool.imap(work, range(args.studies), chunksize=4))


def arguments():
    parser = common.options(__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--design", choices=(*DESIGNS, "all"), default="all")
    parser.add_argument("--objective", default="log-huber")
    parser.add_argument("--delta", type=parse_delta, default="auto")
    return parser.parse_args()


def main():
    args = arguments()
    delta = usable_delta(args.objective, args.delta)
    designs = DESIGNS if args.design == "all" else (args.design,)
    rows, odd, began = [], {}, time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        for design in designs:
            results = run(design, args, delta, pool)
            rows += rows_of(design, results)
            for status in (r["status"] for r in results):
                if status != "converged":
                    odd[f"{design}, {status}"] = odd.get(f"{design}, {status}", 0) + 1
    header = ("design", "unit", "of", "coverage", "below", "above", "width", "not identified")
    blocks = [
        common.table(header, rows, text=3),
        notes(args, delta, time.perf_counter() - began, odd),
    ]
    common.publish("coverage", "Coverage of 95% intervals", blocks, write=args.write)


if __name__ == "__main__":
    main()
