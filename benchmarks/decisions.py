"""Do decisions come out: unbiased minima, N* far beyond the runs, small multipliers, in seconds?

Minima are those of 7 points a budget; studies are isoFLOP designs of 5 budgets x 7 sizes over ±4×
with 0.4% noise (N* at ten times the largest budget) and two recipes on 4 budgets x 7 sizes whose
paired noise is 0.3%.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import multiprocessing
import statistics
import time
from functools import partial
from pathlib import Path

import common
import numpy as np
import pandas as pd
from coverage import standard_error

import scaling as sc

LAW = sc.law("chinchilla")
EPOCH = {"E": 1.81722, "A": 477.83, "B": 2143.4, "alpha": 0.347311, "beta": 0.367172}
SKEWED = {"E": 1.69, "A": 3500.0, "B": 40.0, "alpha": 0.465, "beta": 0.155}
NOISE, PAIRED, SHARED = 0.004, 0.003, 0.002
MULTIPLIER = 1.05
CURVES = ("parabola", "cubic", "quartic", "spline", "powers")
PROCESSES = 2


def runs(truth, budgets, half, rng=None, count=7):
    """Return runs about the optimum of each budget."""
    n, c = common.isoflop_sizes(truth, np.asarray(budgets), count, np.log10(half))
    d = c / (6.0 * n)
    loss = common.loss_of(truth, n, d)
    if rng is not None:
        loss = loss * np.exp(NOISE * rng.standard_normal(len(n)))
    return pd.DataFrame({"N": n, "D": d, "C": c, "budget": c, "loss": loss})


def missed(frame, truth, minimum):
    found = sc.isoflop(frame, minimum=minimum, edge="keep", bootstrap=0).minima
    best = common.best_size(truth, np.array([m.budget for m in found]))
    return np.log([m.N for m in found]) - np.log(best)


# ---------------------------------------------------------------------------------------- minima


def bias_rows():
    rows = []
    for name, exponents in (("(.34, .28)", (0.34, 0.28)), ("(.465, .155)", (0.465, 0.155))):
        truth = {"E": 1.7, "A": 400.0, "B": 400.0}
        truth |= dict(zip(("alpha", "beta"), exponents, strict=True))
        for minimum in CURVES:
            cells = [
                f"{100 * np.expm1(missed(runs(truth, [1e19], half), truth, minimum)[0]):+.4f}%"
                for half in (2, 4, 8, 16)
            ]
            rows.append((name, minimum, *cells))
    return rows


def noise_rows(studies):
    rows = []
    for name, truth in (("Epoch refit", EPOCH), ("(.465, .155)", SKEWED)):
        for label, budgets in (
            ("1e17", [1e17]), ("1e19", [1e19]), ("four, 1e17 to 1e20", np.geomspace(1e17, 1e20, 4)),
        ):  # fmt: skip
            squares = {minimum: [] for minimum in CURVES}
            for k in range(studies):
                frame = runs(truth, budgets, 4, np.random.default_rng([k, len(budgets)]))
                for minimum, kept in squares.items():
                    kept.append(missed(frame, truth, minimum) ** 2)
            rmse = {m: float(np.sqrt(np.mean(kept))) for m, kept in squares.items()}
            cells = [f"{rmse[m] / rmse['parabola']:.2f}" for m in CURVES]
            rows.append((name, label, f"{rmse['parabola']:.4f}", *cells))
    return rows


# ------------------------------------------------------------------------------------ N* far out


def far_study(index, draws):
    """Whether 90% intervals of N*(10 x the largest budget) hold the truth, by way."""
    budgets = np.geomspace(1e17, 1e19, 5)
    frame = runs(EPOCH, budgets, 4, np.random.default_rng([7, index]))
    target = 10.0 * budgets[-1]
    truth = float(common.best_size(EPOCH, target))
    out = {}
    for delta in ("auto", 1e-3):
        fit = sc.fit(frame, "chinchilla", delta=delta, bootstrap=draws, seed=index)
        if fit.identified:
            best = fit.optimal(C=target, interval=0.9).iloc[0]
            out[f"surface, delta {delta}"] = (best.N_lo, best.N_hi, truth)
    found = sc.isoflop(frame, bootstrap=draws, seed=index)
    levels, slopes = np.asarray(found.draws["N"])
    ends = np.exp(np.percentile(levels + slopes * np.log(target), [5, 95]))
    out["isoflop, powers"] = (*ends, truth)
    return out


def far_rows(results):
    rows = []
    for way in sorted({way for result in results for way in result}):
        ends = np.array([result[way] for result in results if way in result])
        covered = (ends[:, 0] <= ends[:, 2]) & (ends[:, 2] <= ends[:, 1])
        share, n = float(covered.mean()), len(ends)
        width = float(np.log10(ends[:, 1] / ends[:, 0]).mean())
        error = standard_error(share, n)
        rows.append((way, n, f"{100 * share:.1f}% ± {100 * error:.1f}", f"{width:.3f}"))
    return rows


# --------------------------------------------------------------------------------------- recipes


def recipe_study(index, multiplier):
    """Coverage of the multiplier at the middle and at each scale, and whether it is detected."""
    rng = np.random.default_rng([11, index])
    frame = runs(EPOCH, np.geomspace(1e17, 1e19, 4), 4)
    gamma = EPOCH["alpha"] * EPOCH["beta"] / (EPOCH["alpha"] + EPOCH["beta"])
    better = EPOCH["E"] + (frame.loss - EPOCH["E"]) * multiplier**-gamma
    common_noise = SHARED * rng.standard_normal(len(frame))
    parts = []
    for group, loss in (("A", frame.loss), ("B", better)):
        own = PAIRED / np.sqrt(2.0) * rng.standard_normal(len(frame))
        parts.append(frame.assign(loss=loss * np.exp(common_noise + own), group=group))
    fits = sc.fit(pd.concat(parts), "chinchilla", delta="auto", bootstrap=100, seed=index)
    found = sc.compare(fits)
    offset, exponent = found.tests
    truth = np.log(multiplier)
    scales = [
        r["interval"]["multiplier"][0] <= multiplier <= r["interval"]["multiplier"][1]
        for r in found.rows
    ]
    inside = offset["interval"][0] <= truth <= offset["interval"][1]
    return inside, offset["p"] < 0.05, exponent["p"] < 0.05, *scales


def recipe_rows(pool, studies):
    rows = []
    for multiplier in (1.0, MULTIPLIER, 1.5):
        work = partial(recipe_study, multiplier=multiplier)
        found = np.array(list(pool.imap(work, range(studies), chunksize=4)), dtype=float)
        rows.append((f"{multiplier:g}", *(f"{100 * x:.1f}%" for x in found.mean(axis=0))))
    return rows


# ----------------------------------------------------------------------------------- sensitivity


def panel_seconds():
    """Seconds of the sensitivity panel on Epoch's 245 rows, three times; None without the data."""
    from scaling.fitting.analyse import analyse
    from scaling.fitting.options import Options
    from scaling.fitting.sensitivity import panel
    from scaling.runs.read import read_table

    folder = os.environ.get("SCALING_DATA_DIR")
    if not folder:
        return None
    table = read_table(Path(folder) / "chinchilla_epoch2024" / "svg_extracted_data.csv")
    options = Options(bootstrap=0)
    (fit,) = analyse(table, options=options).fits
    seconds, count = [], 0
    for _ in range(3):
        began = time.perf_counter()
        columns, _ = panel(table, fit, options, np.ones(len(table), dtype=bool))
        seconds.append(time.perf_counter() - began)
        count = len(columns["a"])
    return count, seconds


def main():
    parser = common.options(__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--draws", type=int, default=300)
    args = parser.parse_args()
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        work = partial(far_study, draws=args.draws)
        far = far_rows(list(pool.imap(work, range(args.studies), chunksize=4)))
        recipes = recipe_rows(pool, args.studies)
    measured = panel_seconds()
    panel_text = "Sensitivity panel: not timed, SCALING_DATA_DIR is not set."
    if measured is not None:
        count, seconds = measured
        panel_text = (
            f"Sensitivity panel on 245 rows: {count} refits in {statistics.median(seconds):.2f} s "
            f"(median of {len(seconds)}, one process)."
        )
    blocks = [
        "N* of noise-free curves, 7 points, by half-width:",
        common.table(("exponents", "curve", "±2×", "±4×", "±8×", "±16×"), bias_rows(), text=2),
        f"RMSE of ln N* over {args.studies} studies, 0.4% noise, ±4×: the parabola's, then each "
        "curve's over it:",
        common.table(("truth", "budgets", "parabola", *CURVES), noise_rows(args.studies), text=2),
        "Coverage by 90% intervals of N* at ten times the largest budget, and their width in "
        "decades:",
        common.table(("way", "studies", "coverage", "width"), far, text=1),
        f"Two recipes, {args.studies} studies a row: coverage of the multiplier by 95% intervals "
        "in the middle, detection, false alarms of the exponent, coverage at each budget:",
        common.table(
            ("multiplier", "covered", "offset p<.05", "exponent p<.05", "C1", "C2", "C3", "C4"),
            recipes,
            text=1,
        ),
        panel_text,
    ]
    title = "Decisions: minima, allocation, comparison"
    common.publish("decisions", title, blocks, write=args.write)


if __name__ == "__main__":
    main()
