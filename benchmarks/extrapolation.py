"""How well does `auto` forecast runs that were not made, and do its intervals hold?

`simulated` and `surfaces` draw studies from laws of the catalogue; `language`, `flan`, `llama` and
`chinchilla` are published runs whose largest are hidden (SCALING_DATA_DIR); `speed` times fits.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import multiprocessing
import time
from functools import partial
from pathlib import Path

import common
import numpy as np
import pandas as pd

import scaling as sc
from scaling.errors import ScalingError

LEVEL = 0.90
PROCESSES = 2
NOISE = 0.005
FACTORS = (2.0, 10.0, 100.0)
AROUND = 3  # observations at each factor, within 10%
PLAIN = {"objective": "log-mse", "backtest": False}

# --------------------------------------------------------------------------------------- simulated

LAWS = ("m1-D", "power-D", "m3-D", "m4-D", "shifted-D", "rectified", "bnsl1-D")
SETS = {  # points, decades that they span, where a law's bends lie as shares of them
    "rich": "100 points over 4 decades, bends inside",
    "sparse": "10 to 30 points over 1.5 to 3 decades, bends up to the end and beyond",
}


def truth(rng, name, first, decades, spread):
    """Parameters of a law of D for data that begin at `first` and span `decades`.

    `spread` widens the region in which bends lie.
    """
    slope, small = rng.uniform(0.15, 0.6), rng.uniform(0.04, 0.4)
    floor, height = rng.uniform(0.3, 1.2), rng.uniform(0.5, 3.0)

    def inside(low, high):
        return first * 10 ** (decades * rng.uniform(low, high + spread))

    if name == "m1-D":
        return {"B": height * first**small, "beta": small}
    if name == "power-D":
        return {"E": floor, "B": height * first**slope, "beta": slope}
    if name == "m3-D":
        g = 1.0 / inside(0.45, 0.8)
        return {"g": g, "c": small, "B": height / (1.0 / first + g) ** small}
    if name == "m4-D":
        alpha, middle = rng.uniform(0.3, 1.5), inside(-0.1, 0.3)
        scale = (height / 2.0) ** (1.0 - alpha) * middle**slope
        return {"E": floor, "E_0": floor + height, "alpha": alpha, "B": scale, "c": slope}
    if name == "shifted-D":
        at = inside(-0.1, 0.35)
        return {"E": floor, "D_0": at, "beta": slope, "B": height * (first + at) ** slope}
    if name == "rectified":
        beta, at = rng.uniform(0.3, 0.8), inside(0.0, 0.35)
        return {"E": floor, "D_l": at**beta, "beta": beta, "B": height * (first**beta + at**beta)}
    at, c0 = inside(0.25, 0.65), rng.uniform(0.02, 0.25)
    more = {"c1": rng.uniform(-0.6 * c0, 0.3), "d1": at, "f1": rng.uniform(0.1, 0.6)}
    return {"a": floor * (rng.random() < 0.7), "b": height * first**c0, "c0": c0, **more}


def curve(name, kind, index):
    """Draw a curve, and where it goes on: D, noisy loss, then D, loss and noisy loss beyond."""
    rng = np.random.default_rng([index, LAWS.index(name), list(SETS).index(kind)])
    decades = 4.0 if kind == "rich" else rng.uniform(1.5, 3.0)
    n = 100 if kind == "rich" else int(rng.integers(10, 31))
    first = 10 ** rng.uniform(5.0, 8.0)
    params = truth(rng, name, first, decades, 0.0 if kind == "rich" else 0.3)
    d = first * 10 ** np.linspace(0.0, decades, n)
    around = np.linspace(0.9, 1.1, AROUND)
    ahead = d[-1] * (np.array(FACTORS)[:, None] * around).ravel()
    law = sc.law(name)
    exact = law.loss(params, {"D": ahead})
    seen, unseen = (np.exp(NOISE * rng.standard_normal(m)) for m in (n, len(ahead)))
    return d, law.loss(params, {"D": d}) * seen, ahead, exact, exact * unseen


def forecast(d, loss, law, ahead, bootstrap=300, **more):
    """Fit a law and forecast: the loss, and a 90% interval of a run."""
    frame = pd.DataFrame({"D": d, "loss": loss})
    fit = sc.fit(frame, law=law, bootstrap=bootstrap, **more)
    table = fit.predict(D=ahead, interval=LEVEL)
    return [table[name].to_numpy() for name in ("loss", "run_lo", "run_hi")]


def one(kind, job):
    """Errors of ln loss, hits and widths of `auto` and of the true law, at each point ahead."""
    name, index = job
    d, loss, ahead, exact, noisy = curve(name, kind, index)
    out = {}
    for law, more in (("auto", {"backtest": False}), (name, PLAIN)):
        try:
            at, lo, hi = forecast(d, loss, law, ahead, **more)
        except (ScalingError, FloatingPointError):
            return name, None  # the true law cannot be fitted: nothing to compare with
        hit = (lo <= noisy) & (noisy <= hi)
        out["auto" if law == "auto" else "own"] = (np.log(at / exact), hit, np.log(hi / lo))
    return name, out


def simulated(count):
    """Coverage and error by factor, and error by law, over simulated curves."""
    blocks = []
    for kind, meaning in SETS.items():
        jobs = [(name, index) for name in LAWS for index in range(count)]
        with multiprocessing.Pool(PROCESSES) as pool:
            found = pool.map(partial(one, kind), jobs, chunksize=4)
        good = [(name, out) for name, out in found if out is not None]
        blocks.append(f"## {kind}: {meaning} ({len(good)} of {len(found)} curves)")
        blocks.append(_by_factor([out for _, out in good]))
        blocks.append(_by_law(good))
    return blocks


def _by_factor(found):
    rows = []
    for k, factor in enumerate(FACTORS):
        here = slice(k * AROUND, (k + 1) * AROUND)
        row = [f"{factor:g}x"]
        for who in ("auto", "own"):
            hits = np.concatenate([out[who][1][here] for out in found])
            widths = np.concatenate([out[who][2][here] for out in found])
            errors = np.concatenate([out[who][0][here] for out in found])
            row += [f"{hits.mean():.1%}", f"{widths.mean():.2%}", f"{_rms(errors):.2%}"]
        rows.append(row)
    header = ["factor", "auto: 90% hold", "width", "error", "true law: 90% hold", "width", "error"]
    return common.table(header, rows)


def _by_law(found):
    rows, ratios = [], []
    for name in LAWS:
        own, auto = (
            np.array([_rms(out[who][0]) for n, out in found if n == name])
            for who in ("own", "auto")
        )
        hits = np.concatenate([out["auto"][1] for n, out in found if n == name])
        ratios.append(auto.mean() / own.mean())
        row = [name, f"{auto.mean():.2%}", f"{own.mean():.2%}", f"{ratios[-1]:.2f}"]
        rows.append([*row, f"{(auto > own).mean():.0%}", f"{hits.mean():.1%}"])
    everything = [np.mean([_rms(out[who][0]) for _, out in found]) for who in ("auto", "own")]
    ratio = f"{everything[0] / everything[1]:.2f}"
    rows.append(["all curves", f"{everything[0]:.2%}", f"{everything[1]:.2%}", ratio, "", ""])
    rows.append(["mean of the laws", "", "", f"{np.mean(ratios):.2f}", "", ""])
    header = ["truth", "error of auto", "of its own law", "ratio", "auto loses", "90% hold"]
    return common.table(header, rows)


def _rms(values):
    return float(np.sqrt((np.asarray(values) ** 2).mean()))


# ------------------------------------------------------------------------------ simulated surfaces

BUDGETS, SIZES, SPREAD = np.geomspace(1e18, 1e20, 7), 7, 0.7
SURFACE_NOISE = 0.004
TRUTHS = {
    "additive": ("chinchilla", common.BESIROGLU),
    "coupled": (
        "coupled",
        {"E": 1.7, "A": 2e3, "B": 4e5, "alpha": 0.55, "beta": 0.65, "k": 0.5},
    ),
}


def surface_study(truth, index):
    """Fit isoFLOP runs, forecast the best run of 10 and 100 times the compute."""
    name, params = TRUTHS[truth]
    law, rng = sc.law(name), np.random.default_rng([7, list(TRUTHS).index(truth), index])
    n, c = common.isoflop_sizes(common.BESIROGLU, BUDGETS, SIZES, SPREAD)
    d = c / (6.0 * n)
    loss = law.loss(params, {"N": n, "D": d}) * np.exp(SURFACE_NOISE * rng.standard_normal(len(n)))
    frame = pd.DataFrame({"N": n, "D": d, "loss": loss})
    goals = BUDGETS[-1] * np.array([10.0, 100.0])
    best = law.frontier.size(params, goals)
    exact = law.loss(params, {"N": best, "D": goals / (6.0 * best)})
    out = {}
    for who in ("auto", name):
        more = {"backtest": False} if who == "auto" else PLAIN
        fit = sc.fit(frame, law=who, bootstrap=300, **more)
        table = fit.predict(N=best, D=goals / (6.0 * best), interval=LEVEL)
        at = fit.optimal(C=goals, interval=LEVEL)
        holds = (table["lo"] <= exact) & (exact <= table["hi"])
        sizes = (at["N_lo"] <= best) & (best <= at["N_hi"])
        errors = np.log(table["loss"] / exact), np.log(at["N"] / best)
        out["auto" if who == "auto" else "own"] = (holds, sizes, *errors)
    return out


def surfaces(count):
    """Error and coverage of the loss and of N* far out, over simulated isoFLOP studies."""
    rows = []
    for truth in TRUTHS:
        with multiprocessing.Pool(PROCESSES) as pool:
            found = pool.map(partial(surface_study, truth), range(count))
        for who in ("auto", "own"):
            for k, factor in enumerate((10, 100)):
                holds, sizes, loss, size = (
                    np.array([np.asarray(out[who][j])[k] for out in found]) for j in range(4)
                )
                row = [truth, who, f"{factor}x", f"{holds.mean():.0%}", f"{_rms(loss):.2%}"]
                rows.append([*row, f"{sizes.mean():.0%}", f"{_rms(size):.2f}"])
    header = ["truth", "fit", "factor", "90% hold loss", "error", "90% hold N*", "error of ln N*"]
    return [common.table(header, rows, text=2)]


# ---------------------------------------------------------------------------------- published runs


def _read(path, **how):
    folder = os.environ.get("SCALING_DATA_DIR")
    if not folder:
        raise SystemExit("set SCALING_DATA_DIR to the folder of published data")
    return pd.read_csv(Path(folder) / path, **how)


def _late(d):
    """The later half of the points, in logs of D."""
    u = np.log(d)
    return u >= (u.min() + u.max()) / 2.0


LANGUAGE = {"M1": "m1-D", "M2": "power-D", "M4": "m4-D", "late M2": "power-D"}
LIMITS = {"NMT": 0.0107, "LM": 0.00072, "BB": 0.0083}


def language_curve(item):
    """Score the plain fits and `auto` on one curve of the language benchmark."""
    (domain, model, task), part = item
    part = part.drop_duplicates(["Seen Examples", "Loss", "Training"])
    train, test = part[part.Training == 1], part[part.Training == 0]
    d, loss = (train[c].to_numpy() for c in ("Seen Examples", "Loss"))
    ahead, seen = (test[c].to_numpy() for c in ("Seen Examples", "Loss"))
    out = {}
    for name, law in {**LANGUAGE, "auto": "auto"}.items():
        keep = _late(d) if name == "late M2" else np.ones(len(d), dtype=bool)
        more = {"backtest": False} if name == "auto" else PLAIN
        fit = sc.fit(
            pd.DataFrame({"D": d[keep], "loss": loss[keep]}), law=law, bootstrap=300, **more
        )
        table = fit.predict(D=ahead, interval=LEVEL)
        lo, hi = table["run_lo"].to_numpy(), table["run_hi"].to_numpy()
        error = _rms(np.log(table["loss"].to_numpy() / seen))
        out[name] = (
            error,
            float(((lo <= seen) & (seen <= hi)).mean()),
            float(np.log(hi / lo).mean()),
        )
        if name == "auto":
            heavy = ", ".join(f"{m['law']} {m['weight']:.0%}" for m in fit.members[:2])
    factor = ahead.max() / d.max()
    return domain, f"{model} {task}" if domain == "BB" else model, factor, out, heavy


def language():
    """The language benchmark of Alabdulmohsin et al. (2022)."""
    frame = _read("alabdulmohsin2022_language/benchmark.lang.csv")
    items = [(key, part) for key, part in frame.groupby(["Domain", "Model", "Task"], sort=False)]
    with multiprocessing.Pool(PROCESSES) as pool:
        found = pool.map(language_curve, items)
    names = [*LANGUAGE, "auto"]
    rows, means = [], []
    for domain, model, factor, out, heavy in found:
        cells = [f"{out[n][0]:.5f}" for n in names]
        wide = [f"{out['auto'][1]:.0%}", f"{out['auto'][2]:.2%}"]
        rows.append([f"{domain} {model}", f"{factor:.2g}x", *cells, *wide, heavy])
    for domain, limit in LIMITS.items():
        own = [out for d, _, _, out, _ in found if d == domain]
        error = {n: np.mean([out[n][0] for out in own]) for n in names}
        best = min((n for n in LANGUAGE), key=error.get)
        hindsight = np.mean([min(out[n][0] for n in LANGUAGE) for out in own])
        row = [domain, *(f"{error[n]:.5f}" for n in names), f"{hindsight:.5f}", f"{limit:g}"]
        for who in ("auto", best):
            row += [f"{np.mean([out[who][1] for out in own]):.0%}"]
            row += [f"{np.mean([out[who][2] for out in own]):.2%}"]
        means.append([*row, best])
    header = ["domain", *names, "best, hindsight", "wanted", "auto: 90% hold", "width"]
    header += ["best: 90% hold", "width", "best single"]
    each = ["curve", "factor", *names, "90% hold", "width", "carried by"]
    return [common.table(header, means), common.table(each, rows)]


def flan():
    """Fine-tuning on FLAN (Lin et al. 2024): 12 sizes of data, the two largest hidden."""
    frame = _read("finetune_flan_lin2024/flan.csv")
    sizes = np.array(sorted(int(c) for c in frame.columns if c.isdigit() and int(c) >= 200))
    laws = {"rectified": "rectified", "power law": "power-D", "M4": "m4-D", "auto": "auto"}
    errors = {name: [] for name in laws}
    hold, width = [], []
    for _, row in frame.iterrows():
        loss = np.array([float(row[str(d)]) for d in sizes])
        for name, law in laws.items():
            more = {"backtest": False} if name == "auto" else PLAIN
            table = pd.DataFrame({"D": sizes[:-2].astype(float), "loss": loss[:-2]})
            fit = sc.fit(table, law=law, bootstrap=300 if name == "auto" else 0, **more)
            ahead = fit.predict(D=sizes[-2:].astype(float), interval=LEVEL)
            errors[name].append(_rms(np.log(ahead["loss"].to_numpy() / loss[-2:])))
            if name == "auto":
                lo, hi = ahead["run_lo"].to_numpy(), ahead["run_hi"].to_numpy()
                hold.append(((lo <= loss[-2:]) & (loss[-2:] <= hi)).mean())
                width.append(np.log(hi / lo).mean())
    best = np.min([errors[n] for n in laws if n != "auto"], axis=0)
    rows = [
        [name, f"{np.mean(e):.4f}", f"{np.median(e):.4f}", f"{(np.array(e) <= best).mean():.0%}"]
        for name, e in errors.items()
    ]
    note = f"90% intervals of auto hold {np.mean(hold):.0%}, mean width {np.mean(width):.1%}."
    return [common.table(["law", "mean error", "median", "best on"], rows), note]


SURFACES = ("chinchilla", "coupled", "over-training", "no-floor", "broken-data", "auto")


def surface(frame, cut, laws=SURFACES):
    """Fit below `cut` in C, forecast above it: error, hold, width and seconds of each law."""
    low = frame.C.to_numpy() < cut
    below, above = frame[low], frame[~low]
    out = {}
    for law in laws:
        more = {"backtest": False} if law == "auto" else PLAIN
        start = time.perf_counter()
        try:
            fit = sc.fit(below[["N", "D", "loss"]], law=law, bootstrap=300, **more)
            table = fit.predict(N=above.N.to_numpy(), D=above.D.to_numpy(), interval=LEVEL)
        except ScalingError:
            continue
        seen = above.loss.to_numpy()
        lo, hi = table["run_lo"].to_numpy(), table["run_hi"].to_numpy()
        error = _rms(np.log(table["loss"].to_numpy() / seen))
        hold = float(((lo <= seen) & (seen <= hi)).mean())
        out[law] = (error, hold, float(np.log(hi / lo).mean()), time.perf_counter() - start)
    return out, len(below), len(above)


def llama():
    """Llama 3's isoFLOP runs: fit below the two top budgets, forecast them."""
    frame = _read("isoflop_llama3_scalefit/isoflops.csv")
    blocks = []
    for name in ("llama_3__raw_loss", "llama_3__exp_loss"):
        own = frame[frame.experiment == name]
        own = own.rename(columns={"params": "N", "tokens": "D", "budget": "C"})
        cut = sorted(own.C.unique())[-2]
        out, below, above = surface(own, cut)
        rows = [[law, f"{e:.5f}", f"{h:.0%}", f"{w:.2%}"] for law, (e, h, w, _) in out.items()]
        title = (
            f"{name}: {below} runs fitted, {above} forecast, up to {own.C.max() / cut:.3g}x more"
        )
        blocks += [title, common.table(["law", "error of ln loss", "90% hold", "width"], rows)]
    return blocks


def chinchilla():
    """Chinchilla's runs: fit below each compute, forecast all above it."""
    data = _read("chinchilla_epoch2024/svg_extracted_data.csv")
    frame = pd.DataFrame(
        {"N": data["Model Size"], "C": data["Training FLOP"], "loss": data["loss"]}
    )
    frame["D"] = frame.C / (6.0 * frame.N)
    frame = frame[frame.loss < np.sort(frame.loss)[-5]]
    rows = []
    for cut in (6e19, 1e20, 3e20, 6e20, 1e21):
        out, below, above = surface(frame, cut)
        cells = [f"{out[law][0]:.5f}" if law in out else "none" for law in SURFACES]
        hold = f"{out['auto'][1]:.0%}", f"{out['auto'][2]:.2%}"
        rows.append(
            [f"{cut:.0e}", f"{below} / {above}", f"{frame.C.max() / cut:.3g}x", *cells, *hold]
        )
    header = ["fitted below", "runs", "factor", *SURFACES, "90% hold", "width"]
    return [common.table(header, rows)]


def speed():
    """Seconds of a fit with 1,000 draws: a curve of 100 points, a surface of 250 runs."""
    rng = np.random.default_rng(0)
    d, loss, *_ = curve("m4-D", "rich", 0)
    n, size = (10 ** rng.uniform(*ends, 250) for ends in ((7, 9.5), (8.5, 11)))
    law = common.loss_of(common.BESIROGLU, n, size) * np.exp(0.004 * rng.standard_normal(250))
    frames = {
        "curve of 100 points": pd.DataFrame({"D": d, "loss": loss}),
        "surface of 250 runs": pd.DataFrame({"N": n, "D": size, "loss": law}),
    }
    rows = []
    for name, frame in frames.items():
        times = []
        for _ in range(5):
            start = time.perf_counter()
            sc.fit(frame, law="auto")
            times.append(time.perf_counter() - start)
        rows.append([name, f"{np.median(times):.2f}", f"{max(times):.2f}"])
    return [common.table(["fit", "median s", "slowest s"], rows)]


PARTS = {
    "simulated": "Simulated curves",
    "surfaces": "Simulated surfaces",
    "language": "The language benchmark",
    "flan": "Fine-tuning on FLAN",
    "llama": "Llama 3",
    "chinchilla": "Chinchilla's runs",
    "speed": "Speed",
}


def main():
    parser = common.options(__doc__)
    parser.add_argument("part", choices=[*PARTS, "all"], help="what to measure")
    parser.add_argument("--curves", type=int, default=40, help="simulated studies of each law")
    args = parser.parse_args()
    for part in PARTS if args.part == "all" else (args.part,):
        simulates = part in ("simulated", "surfaces")
        blocks = globals()[part](*((args.curves,) if simulates else ()))
        title = f"Extrapolation by `auto`: {PARTS[part]}"
        common.publish(f"extrapolation_{part}", title, blocks, write=args.write)


if __name__ == "__main__":
    main()
