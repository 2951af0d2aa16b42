"""Whether the intervals that a pre-flight expects are those that studies then report.

For each design and truth, studies are drawn from the truth and fitted as a user would, bootstrap
and all; the median width of their intervals is set against the width that the pre-flight of the
plan expected. The studies' seeds are not those of the pre-flight.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import multiprocessing
import time
from functools import partial

import common
import numpy as np
import pandas as pd

import scaling as sc
from scaling.errors import ScalingError

TARGET, LEVEL, SIGMA = 1e19, 0.95, 0.004
TRUTHS = ("hoffmann-2022", "besiroglu-2024")
DESIGNS = {
    "isoFLOP 5 x 7": {
        "kind": "isoflop",
        "budgets": [1e16, 3.16e16, 1e17, 3.16e17, 1e18],
        "sizes": 7,
        "span": 4.0,
    },
    "optimal": {
        "kind": "optimal",
        "budget_flops": 3.3e18,
        "count": 35,
        "box": {"C": [1e16, 1e18]},
    },
    "grid 6 x 6, 2 seeds": {
        "kind": "grid",
        "params": [4e6, 1e7, 2.5e7, 6e7, 1.5e8, 4e8],
        "data": [1e8, 2.5e8, 6e8, 1.5e9, 4e9, 1e10],
        "seeds": 2,
    },
}
OBJECTIVES = {"default": {}, "delta auto": {"delta": "auto"}}
PROCESSES = 2
QUANTITIES = ("a", "N", "loss")


def plan_of(design, truth, fit):
    return sc.plan(
        {
            "schema": 1,
            "study": {"target_flops": TARGET},
            "data": {"source": "external"},
            "model": {"context": 1024, "rule": "aspect", "options": {"head_width": 64}},
            "design": DESIGNS[design],
            "prior": {"laws": [{"published": truth}], "noise": SIGMA},
            "recipe": {"name": "porian-2024"},
            "fit": [{"law": "chinchilla", "interval": LEVEL, **fit}],
        }
    )


def judge(index, size, data, log_loss, fit, draws):
    """Interval widths of one study: of a in itself, of N* and the loss in the logarithm."""
    rng = np.random.default_rng([15, index])
    loss = np.exp(log_loss + SIGMA * rng.standard_normal(len(size)))
    frame = pd.DataFrame({"N": size, "D": data, "loss": loss})
    try:
        found = sc.fit(frame, "chinchilla", bootstrap=draws, interval=LEVEL, seed=index, **fit)
        best = found.optimal(C=TARGET).iloc[0]
    except ScalingError:
        return None
    low, high = found.intervals["a"]
    return (
        high - low,
        np.log(best["N_hi"] / best["N_lo"]),
        np.log(best["hi"] / best["lo"]),
    )


def widths(expected):
    a, n, loss = (expected[k] for k in QUANTITIES)
    return a.high - a.low, np.log(n.high / n.low), np.log(loss.high / loss.low)


def rows_of(design, truth, objective, args, pool):
    fit = OBJECTIVES[objective]
    plan = plan_of(design, truth, fit)
    began = time.perf_counter()
    outlook = sc.preflight(plan).outlooks[0]
    seconds = time.perf_counter() - began
    size, data = (np.array([getattr(p, k) for p in plan], float) for k in ("N", "D"))
    own = plan.prior.truths[0]
    log_loss = np.log(own.law.loss(own.params, {"N": size, "D": data}))
    work = partial(judge, size=size, data=data, log_loss=log_loss, fit=fit, draws=args.draws)
    results = [r for r in pool.imap(work, range(args.studies), chunksize=4) if r is not None]
    medians = np.median(np.array(results), axis=0)
    rows = []
    for name, expected, seen in zip(QUANTITIES, widths(outlook.expected), medians, strict=True):
        ratio = f"{expected / seen:.2f}"
        cells = (f"{expected:.4f}", f"{seen:.4f}", ratio, f"{args.studies - len(results)}")
        rows.append((design, truth, objective, name, *cells))
    return rows, seconds


def main():
    parser = common.options(__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--draws", type=int, default=400)
    args = parser.parse_args()
    rows, times, began = [], [], time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        for design in DESIGNS:
            for truth in TRUTHS:
                for objective in OBJECTIVES:
                    more, seconds = rows_of(design, truth, objective, args, pool)
                    rows += more
                    times.append(seconds)
    spent = time.perf_counter() - began
    ratios = [float(row[6]) for row in rows]
    header = ("design", "truth", "objective", "of", "expected", "seen", "ratio", "lost")
    notes = common.bullets(
        [
            f"{args.studies} studies each, {args.draws} bootstrap draws, {spent:.0f} s in "
            f"{PROCESSES} processes; pre-flights took {min(times):.1f} to {max(times):.1f} s.",
            "Width of the 95% interval: what the pre-flight expected, and the studies' median; of "
            "N* and the loss at 1e19 FLOP in the logarithm.",
            f"Ratios lie between {min(ratios):.2f} and {max(ratios):.2f} (aim: 0.85 to 1.15).",
            "Lost: studies without an identified fit.",
        ]
    )
    title = "Expected and reported intervals"
    blocks = [common.table(header, rows, text=4), notes]
    common.publish("preflight", title, blocks, write=args.write)


if __name__ == "__main__":
    main()
