"""Speed of a fit on the 240 Chinchilla points of Epoch AI, against the published procedure.

The published procedure (Hoffmann et al. 2022, app. D.3) is L-BFGS from 4,500 starts with
finite-difference gradients. Everything is timed in turns in one process on one thread. Every
objective in the tables is computed here, from the parameters that a fitter returned.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import itertools
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import common
import numpy as np
import pandas as pd
import peers
from scipy.optimize import minimize

import scaling as sc
from scaling.fitting import intervals

DELTA = 1e-3
ROUNDS = 15
SLOW_ROUNDS = 3
GRID = {
    "a": np.arange(0.0, 26.0, 5.0),
    "b": np.arange(0.0, 26.0, 5.0),
    "e": np.arange(-1.0, 1.1, 0.5),
    "alpha": np.arange(0.0, 2.1, 0.5),
    "beta": np.arange(0.0, 2.1, 0.5),
}
GROWTH = ((240, 0), (1_000, 0), (10_000, 0), (100_000, 0), (240, 50), (240, 100), (240, 200))
CHILD_SECONDS = 300


# ------------------------------------------------------------------------------------- objectives


def log_law(theta, u, v):
    """Log of the law at ln N = `u` and ln D = `v` for theta = (a, b, e, alpha, beta)."""
    a, b, e, alpha, beta = theta
    return np.logaddexp(np.logaddexp(a - alpha * u, b - beta * v), e)


def huber(r):
    """Sum of Huber's function with threshold `DELTA`."""
    size = np.abs(r)
    inner = np.minimum(size, DELTA)
    return float((inner * (size - 0.5 * inner)).sum())


def published(theta, u, v, y):
    """Objective of the published procedure."""
    return huber(log_law(theta, u, v) - y)


def published_with_gradient(theta, u, v, y):
    """The same with its gradient: the terms' shares of the loss times the clipped residuals."""
    a, b, e, alpha, beta = theta
    first, second = a - alpha * u, b - beta * v
    total = np.logaddexp(np.logaddexp(first, second), e)
    slope = np.clip(total - y, -DELTA, DELTA)
    of_n, of_d = slope * np.exp(first - total), slope * np.exp(second - total)
    of_e = (slope * np.exp(e - total)).sum()
    return huber(total - y), np.array([of_n.sum(), of_d.sum(), of_e, -(of_n @ u), -(of_d @ v)])


def score(params, frame, minimises="log-huber"):
    """Value of an objective at the parameters of any fitter."""
    n, d, loss = (frame[name].to_numpy() for name in ("N", "D", "loss"))
    predicted = common.loss_of(params, n, d)
    if minimises.startswith("mse"):
        return float(((predicted - loss) ** 2).sum())
    return huber(predicted - loss if minimises == "huber" else np.log(predicted) - np.log(loss))


# -------------------------------------------------------------------------------------- entrants


@dataclass
class Entrant:
    """A fitter in the race.

    Attributes
    ----------
    name : str
    minimises : str
        Objective, by which it is compared like for like.
    call : callable or None
        Returns parameters and a word on success; None if not installed.
    rounds : int or None
        How often it is timed at most; None for as often as the references.
    seconds : list of float
    """

    name: str
    minimises: str
    call: Callable | None
    rounds: int | None = None
    seconds: list[float] = field(default_factory=list)
    params: dict[str, float] = field(default_factory=dict)
    success: str = "not installed"

    def run(self):
        began = time.perf_counter()
        self.params, self.success = self.call()
        self.seconds.append(time.perf_counter() - began)

    @property
    def median(self):
        return statistics.median(self.seconds)


@dataclass
class Starts:
    """The published procedure from some of its starts.

    Attributes
    ----------
    name : str
    gradient : bool
        Whether the gradient is analytic.
    seconds, values : list of float
        Of each start.
    said : int
        Starts that SciPy called a success.
    """

    name: str
    gradient: bool
    seconds: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    said: int = 0

    def run(self, starts, points):
        function = published_with_gradient if self.gradient else published
        for start in starts:
            began = time.perf_counter()
            found = minimize(function, start, args=points, jac=self.gradient, method="L-BFGS-B")
            self.seconds.append(time.perf_counter() - began)
            self.values.append(published(found.x, *points))
            self.said += bool(found.success)

    @property
    def whole(self):
        return statistics.fmean(self.seconds) * len(every_start())


def every_start():
    """All starts of the published procedure, shape (4500, 5)."""
    return np.array(list(itertools.product(*GRID.values())))


def ours(frame, objective="log-huber", draws=0):
    fit = sc.fit(frame, "chinchilla", objective=objective, delta=DELTA, bootstrap=draws)
    kept = "" if fit.interval is None else f", {fit.interval.draws:,} draws kept"
    return dict(fit.params), fit.status + kept


def entrants(frame, which, draws):
    """Ours and the peers, those that are not installed included."""
    found = [
        Entrant("ours", "log-huber", partial(ours, frame)),
        Entrant("ours", "huber", partial(ours, frame, "huber")),
        Entrant("ours", "mse", partial(ours, frame, "mse")),
        Entrant(
            "ours", f"log-huber, {draws:,} draws", partial(ours, frame, draws=draws), SLOW_ROUNDS
        ),
    ]
    if which == "none":
        return found
    found.append(
        Entrant("ours", "mse, 1,000 draws", partial(ours, frame, "mse", 1000), SLOW_ROUNDS)
    )
    for method in ("grid", "scipy"):
        for name in ("mse", "huber"):
            call = partial(peers.vpnls, frame, method, name == "huber")
            found.append(_peer("vpnls", f" {method}", name, call))
    call = partial(peers.chinchilla, frame)
    found.append(_peer("chinchilla", ", 243 starts", "log-huber", call, 1))
    if which == "all":
        call = partial(peers.chinchilla, frame, 1e4)
        found.append(_peer("chinchilla", ", loss x 1e4", "log-huber", call, 1))
    found.append(_peer("simple-scaling-laws", "", "mse", partial(peers.simple, frame)))
    call = partial(peers.simple, frame, 1000)
    found.append(_peer("simple-scaling-laws", "", "mse, 1,000 draws", call, SLOW_ROUNDS))
    return found


def _peer(package, suffix, minimises, call, rounds=None):
    known = peers.version(package)
    return Entrant(package + suffix, minimises, call if known else None, rounds)


def race(frame, starts, fitters, rounds):
    """Time everything in turns, after one unmeasured fit of ours.

    Returns
    -------
    list of Starts
        Finite differences, then the analytic gradient.
    """
    points = tuple(np.log(frame[name].to_numpy(copy=True)) for name in ("N", "D", "loss"))
    references = [
        Starts("reference: finite differences", False),
        Starts("reference: analytic gradient", True),
    ]
    ours(frame)
    for k, block in enumerate(np.array_split(starts, rounds)):
        for reference in references:
            reference.run(block, points)
        for entrant in fitters:
            if entrant.call is not None and (entrant.rounds is None or k < entrant.rounds):
                entrant.run()
    return references


# ---------------------------------------------------------------------------------------- tables


def number(value):
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def against_reference(frame, references, fitters):
    """Table of every fitter with the log-Huber objective where it stopped."""
    first = references[0].whole
    rows = []
    for r in references:
        said = f"{r.said}/{len(r.values)} starts"
        label = f"{r.name}, {len(every_start()):,} starts"
        rows.append(
            (label, number(r.whole), f"{min(r.values):.7e}", said, f"{first / r.whole:.3g}")
        )
    for e in fitters:
        label = f"{e.name}: {e.minimises}"
        if e.call is None:
            rows.append((label, "-", "-", e.success, "-"))
            continue
        # A bootstrap is not the reference's job; the note gives its cost in reference starts.
        ratio = "-" if "draws" in e.minimises else number(first / e.median)
        value = f"{score(e.params, frame):.7e}"
        rows.append((label, number(e.median), value, e.success, ratio))
    header = ("fitter: what it minimises", "seconds", "log-Huber", "success", "x faster")
    return common.table(header, rows)


def like_for_like(frame, fitters):
    """Table of those that minimise the same function, each against ours."""
    rows = []
    for minimises in dict.fromkeys(e.minimises for e in fitters):
        group = [e for e in fitters if e.minimises == minimises and e.call is not None]
        if len(group) < 2:
            continue
        values = [score(e.params, frame, minimises) for e in group]
        for e, value in zip(group, values, strict=True):
            above = f"{value / min(values) - 1:.1e}"
            ratio = number(e.median / group[0].median)
            rows.append((minimises, e.name, number(e.median), f"{value:.7e}", above, ratio))
    header = ("minimises", "fitter", "seconds", "its objective", "above lowest", "x ours")
    return common.table(header, rows, text=2) if rows else ""


def notes(frame, references, fitters, args):
    """What the table cannot say in a cell."""
    lines = []
    ours_value = score(fitters[0].params, frame)
    for r in references:
        near = sum(value < 1.001 * ours_value for value in r.values)
        lines.append(
            f"{r.name}: {1e3 * statistics.fmean(r.seconds):.1f} ms a start over "
            f"{len(r.values):,} starts, of which {near} end within .1% of our objective."
        )
    lines.append(
        f"Seconds of a reference are the mean start times {len(every_start()):,}; its objective "
        "is that of the best start run."
    )
    whole = next(e for e in fitters if e.minimises.startswith("log-huber, "))
    extra = whole.median - fitters[0].median
    cost = extra / statistics.fmean(references[0].seconds)
    each = getattr(intervals, "STARTS", "an unstated number of")
    lines.append(
        f"{args.draws:,} bootstrap replicates take {extra:.2f} s beyond the fit, {each} starts a "
        f"replicate: the time of {cost:.0f} reference starts."
    )
    lines.append(
        f"Other seconds are medians of {args.rounds} runs in turns with the references; of "
        f"{min(SLOW_ROUNDS, args.rounds)} for bootstraps and 1 for chinchilla, whose time includes "
        "the figure it draws."
    )
    return common.bullets(lines)


# ---------------------------------------------------------------------------------------- growth


def synthetic(rows):
    """Runs of the published law with .5% noise."""
    rng = np.random.default_rng(rows)
    n = np.exp(rng.uniform(np.log(4e7), np.log(1.6e10), rows))
    d = np.exp(rng.uniform(np.log(4e8), np.log(3e11), rows))
    loss = common.loss_of(common.BESIROGLU, n, d) * np.exp(rng.normal(0, 5e-3, rows))
    return pd.DataFrame({"N": n, "D": d, "loss": loss})


def child(rows, draws):
    """Fit in this process and print seconds and peak memory [MB] as JSON."""
    ours(synthetic(60))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    frame, times = synthetic(rows), []
    for _ in range(3 if rows <= 10_000 else 1):
        began = time.perf_counter()
        ours(frame, draws=draws)
        times.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": statistics.median(times), "before": before, "peak": peak}))


def growth():
    """Table of time and memory against rows and replicates, one process a size."""
    rows = []
    for n, draws in GROWTH:
        command = [sys.executable, __file__, "--child", str(n), str(draws)]
        try:
            text = subprocess.run(
                command, check=True, capture_output=True, text=True, timeout=CHILD_SECONDS
            ).stdout
        except subprocess.TimeoutExpired:
            rows.append((f"{n:,}", draws, f"over {CHILD_SECONDS}", "-", "-", "-"))
            continue
        found = json.loads(text)
        each = 1e6 * found["seconds"] / n
        more = found["peak"] - found["before"]
        rows.append(
            (
                f"{n:,}",
                draws,
                number(found["seconds"]),
                number(each),
                f"{found['peak']:.0f}",
                f"{more:.0f}",
            )
        )
    header = ("rows", "replicates", "seconds", "µs a row", "peak MB", "MB above a fit of 60 rows")
    return common.table(header, rows)


# ------------------------------------------------------------------------------------------ main


def read_points():
    """Return the 240 points of Epoch AI that the published refit used."""
    root = os.environ.get("SCALING_DATA_DIR")
    if not root:
        sys.exit("error: SCALING_DATA_DIR is not set: it names the folder of published data")
    path = Path(root) / "chinchilla_epoch2024" / "svg_extracted_data.csv"
    if not path.exists():
        sys.exit("error: SCALING_DATA_DIR has no chinchilla_epoch2024/svg_extracted_data.csv")
    frame = sc.read(path, where="loss < 3.446")[["N", "D", "C", "loss"]]
    if len(frame) != 240:
        sys.exit(f"error: {len(frame)} points were read, not 240")
    return frame


def arguments():
    parser = common.options(__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=150, help="starts of the reference, of 4500")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--draws", type=int, default=4000, help="bootstrap replicates")
    parser.add_argument("--seed", type=int, default=0, help="which starts are taken")
    parser.add_argument(
        "--peers",
        choices=("none", "quick", "all"),
        default="quick",
        help="all also runs chinchilla with a scaled loss (half a minute)",
    )
    parser.add_argument(
        "--growth",
        nargs="?",
        const="also",
        choices=("also", "only"),
        help="time and memory by size, also or only",
    )
    parser.add_argument("--child", type=int, nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def speed(args):
    """Blocks of the speed tables."""
    frame = read_points()
    rng = np.random.default_rng(args.seed)
    starts = every_start()
    if args.starts < len(starts):
        starts = starts[rng.choice(len(starts), args.starts, replace=False)]
    fitters = entrants(frame, args.peers, args.draws)
    references = race(frame, starts, fitters, args.rounds)
    blocks = [
        against_reference(frame, references, fitters),
        notes(frame, references, fitters, args),
    ]
    same = like_for_like(frame, fitters)
    told = (
        "Like for like; simple-scaling-laws draws wild bootstraps of residuals, ours re-draws runs:"
    )
    return [*blocks, told, same] if same else blocks


def main():
    args = arguments()
    if args.child:
        child(*args.child)
        return
    blocks = [] if args.growth == "only" else speed(args)
    if args.growth:
        blocks += ["Growth, synthetic runs of the published law with .5% noise:", growth()]
    extra = peers.installed() if args.peers != "none" else ()
    title = "Speed of a fit: 240 Chinchilla points"
    publish = {"write": args.write, "extra": extra}
    common.publish("bench_fit", title, blocks, **publish)


if __name__ == "__main__":
    main()
