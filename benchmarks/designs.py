"""How much compute a design needs for a given standard error of a and of ln N*(1e19).

The baseline is 35 runs: 5 budgets from 1e16 to 1e18 x 7 sizes over ±4x about the optimum, 0.4%
noise. Every other design has at most 35 runs inside the baseline's own ranges of N, D and C.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time

import common
import numpy as np

from scaling.fitting.data import Data
from scaling.fitting.estimate import estimate
from scaling.fitting.objectives import make
from scaling.fitting.options import Options
from scaling.laws import get
from scaling.planning.choosing.candidates import Candidates
from scaling.planning.choosing.information import Runs, precision
from scaling.planning.choosing.optimal import bound_of, optimal
from scaling.planning.choosing.prior import (
    Noise,
    about_center,
    explicit,
    language_models,
    published,
)

SIGMA, MOST = 0.004, 35
BUDGETS = np.geomspace(1e16, 1e18, 5)
SIZES, SPAN = 7, 4.0
TARGET, CENTER = 1e19, 1e17
BOTH = {"exponent": 1.0, "size": 1.0}
QUANTITIES = {"a": "exponent", "ln N*": "size"}
GRID = 48
FRACTIONS = (1 / 8, 1 / 5, 1 / 3, 1 / 2, 1.0)
OTHERS = (1 / 8, 1 / 3, 1.0)
FINE = np.geomspace(1 / 14, 1.0, 14)
RESAMPLES = 400
GROWTH = 0.2  # 2.5 times as much noise at a hundredth of the compute
# Of no paper: inner exponents .7 and .6 under a power .45, the optimum at D/N near 170 at 1e18.
COUPLED = {"E": 1.5, "A": 2e4, "B": 9e4, "alpha": 0.7, "beta": 0.6, "k": 0.45}
TRUTHS = {
    "Chinchilla": published("hoffmann-2022"),
    "Epoch refit": published("besiroglu-2024"),
    "coupled, k free": explicit("coupled", COUPLED),
}


# --------------------------------------------------------------------------------------- designs


class Setting:
    """A truth, the baseline about its optimum, and the candidates inside the baseline's box."""

    def __init__(self, prior):
        self.prior, self.truth = prior, prior.truths[0]
        self.exponent = float(prior.exponents(CENTER)[0])
        self.baseline = self.isoflop(BUDGETS[-1])
        n, d = self.baseline
        self.total = float((6.0 * n * d).sum())
        self.low, self.high = (n.min(), d.min()), (n.max(), d.max())
        axes = [np.geomspace(lo, hi, GRID) for lo, hi in zip(self.low, self.high, strict=True)]
        n, d = (x.ravel() for x in np.meshgrid(*axes, indexing="ij"))
        c = 6.0 * n * d
        inside = self._inside(n, d)
        self.cells = Candidates(n[inside], d[inside], c[inside])
        size = float(prior.optimum(np.array([CENTER]))[0][0, 0])
        self.centred = about_center(size, CENTER, self.exponent)

    def _inside(self, n, d):
        c = 6.0 * n * d
        return (c >= BUDGETS[0] * (1 - 1e-9)) & (c <= BUDGETS[-1] * (1 + 1e-9))

    def best(self, compute):
        n, d, _ = self.prior.optimum(np.atleast_1d(compute))
        return n[0], d[0]

    def isoflop(self, top):
        budgets = np.geomspace(BUDGETS[0], top, len(BUDGETS))
        n = self.best(budgets)[0][:, None] * SPAN ** np.linspace(-1.0, 1.0, SIZES)
        return n.ravel(), (budgets[:, None] / 6.0 / n).ravel()

    def l_shape(self, top):
        """Two arms from the optimum of `top`, one over N and one over D, to the edge of the box."""
        n, d = (float(v[0]) for v in self.best(top))
        few = max(n / (top / BUDGETS[0]), self.low[0]), max(d / (top / BUDGETS[0]), self.low[1])
        arm_n, arm_d = np.geomspace(few[0], n, 18), np.geomspace(few[1], d, 18)[:-1]
        return np.r_[arm_n, np.full(17, n)], np.r_[np.full(18, d), arm_d]

    def factorial(self, top):
        """7 x 5, from the cheapest allowed run up to the optimum of `top`."""
        n, d = (float(v[0]) for v in self.best(top))
        ratio = np.sqrt(top / BUDGETS[0])
        grid = np.meshgrid(np.geomspace(n / ratio, n, 7), np.geomspace(d / ratio, d, 5))
        return tuple(x.ravel() for x in grid)

    def sobol(self, top):
        from scipy.stats import qmc

        unit = qmc.Sobol(2, scramble=False).random(4096)
        low, high = np.log(self.low), np.log(self.high)
        n, d = np.exp(low + unit * (high - low)).T
        keep = np.flatnonzero(self._inside(n, d) & (6.0 * n * d <= top))[:MOST]
        return n[keep], d[keep]

    def at(self, maker, fraction):
        """Design whose largest compute makes it cost a fraction of the baseline, if it can."""
        low, high = BUDGETS[0] * 1.01, BUDGETS[-1]
        for _ in range(40):
            mid = np.sqrt(low * high)
            n, d = maker(mid)
            if (6.0 * n * d).sum() > fraction * self.total * (1 + 1e-9):
                high = mid
            else:
                low = mid
        return maker(high)

    def optimal(self, fraction, prior=None):
        found = optimal(
            prior or self.centred,
            self.cells,
            budget=fraction * self.total,
            target=TARGET,
            decision=BOTH,
            most=MOST,
        )
        runs = found.runs(self.cells)
        times = runs.replicates.astype(int)
        return np.repeat(runs.N, times), np.repeat(runs.D, times)

    def predicted(self, n, d):
        se = precision(self.truth, Runs(n, d), TARGET).se
        return np.array([se[q] for q in QUANTITIES])

    def limit(self, fraction):
        return np.array(
            [
                bound_of(
                    self.prior,
                    self.cells,
                    budget=fraction * self.total,
                    target=TARGET,
                    decision=decision,
                    most=MOST,
                )
                for decision in QUANTITIES.values()
            ]
        )


# ------------------------------------------------------------------------------------ simulation


def simulate(setting, n, d, studies, objective, stream):
    """Estimates of a and ln N* of simulated studies, shape (studies, 2)."""
    law, params = setting.truth.law, setting.truth.params
    clean = law.loss(params, {"N": n, "D": d})
    delta = None if objective.endswith("mse") else "auto"
    options = Options(objective=objective, delta=delta, bootstrap=0)
    labels, even = np.arange(len(n)), np.ones(len(n))
    out = np.empty((studies, 2))
    for k in range(studies):
        rng = np.random.default_rng([61, stream, k])
        loss = clean * np.exp(SIGMA * rng.standard_normal(len(n)))
        data = Data(law, {"N": n, "D": d}, loss, make(objective, None), {}, {})
        found = estimate(data, even, "row", labels, options).params
        size = law.frontier.size(found, TARGET)
        out[k] = law.frontier.exponents(found)[0], np.log(size)
    return out


def spread(estimates):
    """A third of the distance of the quantiles that lie 1.5 SD to each side of a normal's mean."""
    low, high = np.percentile(estimates, [6.6807, 93.3193], axis=0)
    return (high - low) / 3.0


def crossing(fractions, errors, goal):
    """Fraction at which a parabola of ln error in ln fraction meets the goal."""
    x, y = np.log(fractions), np.log(errors) - np.log(goal)
    grid = np.linspace(np.log(1 / 30), 0.0, 3001)
    curve = np.polynomial.Polynomial.fit(x, y, 2)(grid)
    below = np.flatnonzero(curve <= 0)
    return float(np.exp(grid[below[0]])) if len(below) else np.nan


def needed(curves, baseline, rng=None):
    """Fraction of the baseline's compute that reaches its standard errors, by simulation."""

    def draw(values):
        return values if rng is None else values[rng.integers(0, len(values), len(values))]

    goal = spread(draw(baseline))
    errors = np.array([spread(draw(values)) for values in curves])
    return np.array([crossing(FRACTIONS, errors[:, j], goal[j]) for j in range(len(QUANTITIES))])


def reach(fractions, errors, goal):
    """Fraction at which a falling curve first is at the goal, by interpolation in logs."""
    ok = np.flatnonzero(errors <= goal)
    if not len(ok) or ok[0] == 0:
        return np.nan if not len(ok) else fractions[0]
    pair = slice(ok[0] - 1, ok[0] + 1)
    x, y = np.log(fractions[pair]), np.log(errors[pair])
    return float(np.exp(np.interp(-np.log(goal), -y, x)))


# ---------------------------------------------------------------------------------------- tables


def measure(name, setting, args, stream):
    """Everything about one truth: rows of the curve, and what the optimal design needs."""
    goal = setting.predicted(*setting.baseline)
    base = simulate(setting, *setting.baseline, 2 * args.studies, args.objective, stream)
    makers = {
        "isoFLOP": setting.isoflop,
        "L-shape": setting.l_shape,
        "factorial 7x5": setting.factorial,
        "Sobol": setting.sobol,
    }
    rows = [curve_row(name, setting, "baseline", setting.baseline, goal, base)]
    for label, maker in makers.items():
        seen = set()
        for fraction in OTHERS[: -1 if label == "isoFLOP" else None]:
            stream += 1
            n, d = setting.at(maker, fraction)
            if (cost := round(float((n * d).sum()))) in seen:
                continue
            seen.add(cost)
            found = simulate(setting, n, d, args.studies, args.objective, stream)
            rows.append(curve_row(name, setting, label, (n, d), goal, found))
    curves = []
    for fraction in FRACTIONS:
        stream += 1
        n, d = setting.optimal(fraction)
        curves.append(simulate(setting, n, d, args.studies, args.objective, stream))
        rows.append(curve_row(name, setting, "optimal", (n, d), goal, curves[-1]))
    limits = np.array([setting.limit(fraction) for fraction in FINE])
    for fraction in FRACTIONS:
        best = setting.limit(fraction)
        rows.append((name, "limit", "", f"{fraction:.3f}", *cells(best, None, goal)))
    planned = np.array([setting.predicted(*setting.optimal(f)) for f in FINE])
    return rows, curves, base, goal, planned, limits


def cells(predicted, simulated, goal):
    out = []
    for j in range(len(QUANTITIES)):
        out.append(f"{predicted[j]:.4f}")
        out.append("" if simulated is None else f"{simulated[j]:.4f}")
        out.append(f"{predicted[j] / goal[j]:.2f}")
    return out


def curve_row(name, setting, label, design, goal, estimates):
    n, d = design
    share = float((6.0 * n * d).sum()) / setting.total
    se = setting.predicted(n, d)
    return (name, label, len(n), f"{share:.3f}", *cells(se, spread(estimates), goal))


def need_rows(measured):
    rows, means = [], []
    for name, (_, curves, base, goal, planned, limits) in measured.items():
        found = needed(curves, base)
        rng = np.random.default_rng(5)
        again = np.array([needed(curves, base, rng) for _ in range(RESAMPLES)])
        for j, quantity in enumerate(QUANTITIES):
            theory = reach(FINE, planned[:, j], goal[j])
            best = reach(FINE, limits[:, j], goal[j])
            sd = float(np.nanstd(again[:, j]))
            se = spread(base)[j]
            means.append((quantity, found[j], sd, theory, best))
            rows.append(
                (name, quantity, f"{se:.4f}", f"{goal[j]:.4f}", f"{found[j]:.3f} ± {sd:.3f}",
                 f"{theory:.3f}", f"{best:.3f}")
            )  # fmt: skip
    for quantity in QUANTITIES:
        own = np.array([m[1:] for m in means if m[0] == quantity], dtype=float)
        error = np.sqrt((own[:, 1] ** 2).sum()) / len(own)
        mean = own.mean(axis=0)
        rows.append(
            ("average", quantity, "", "", f"{mean[0]:.3f} ± {error:.3f}", f"{mean[2]:.3f}",
             f"{mean[3]:.3f}")
        )  # fmt: skip
    return rows


def knowledge_rows(settings):
    """Predicted errors of optimal designs for a third of the compute, by what they know."""
    rows = []
    for name, setting in settings.items():
        goal = setting.predicted(*setting.baseline)
        for label, prior in (
            ("the optimum N*(C), as the baseline does", setting.centred),
            ("the default prior for language models", language_models()),
            ("the truth", setting.prior),
        ):
            ratio = setting.predicted(*setting.optimal(1 / 3, prior)) / goal
            rows.append((name, label, *(f"{r:.2f}" for r in ratio)))
        ratio = setting.limit(1 / 3) / goal
        rows.append((name, "limit of each alone", *(f"{r:.2f}" for r in ratio)))
    return rows


def unlike_fit_rows(settings):
    """Predicted errors where the coupled law is fitted to every truth."""
    rows = []
    for name, setting in settings.items():
        law = get("coupled")
        truth = setting.prior.fitted_by(law).truths[0]
        prior = setting.centred.fitted_by(law)
        designs = {"baseline": setting.baseline, "optimal, a third": setting.optimal(1 / 3, prior)}
        for label, (n, d) in designs.items():
            se = precision(truth, Runs(n, d), TARGET).se
            rows.append((name, label, f"{se['a']:.4f}", f"{se['ln N*']:.4f}", f"{se['k']:.3f}"))
    return rows


def noise_rows(settings):
    """Predicted errors of optimal designs for a third, over the baseline's, where noise grows."""
    rows = []
    growing = Noise(SIGMA, GROWTH, BUDGETS[-1])
    for name, setting in settings.items():
        truth = setting.prior.with_noise(growing).truths[0]

        def errors(design, truth=truth):
            se = precision(truth, Runs(*design), TARGET).se
            return np.array([se[q] for q in QUANTITIES])

        goal = errors(setting.baseline)
        for label, prior in (
            ("even noise, wrongly", setting.centred),
            ("the noise", setting.centred.with_noise(growing)),
        ):
            ratio = errors(setting.optimal(1 / 3, prior)) / goal
            rows.append((name, label, *(f"{r:.2f}" for r in ratio)))
    return rows


def bias_rows(setting):
    """Errors of the additive law fitted to the coupled truth without noise."""
    law, truth = get("chinchilla"), setting.truth
    size = float(np.log(setting.prior.optimum(np.array([TARGET]))[0][0, 0]))
    rows = []
    for label, (n, d) in (
        ("baseline", setting.baseline),
        ("optimal, a third", setting.optimal(1 / 3)),
    ):
        data = Data(law, {"N": n, "D": d}, truth.law.loss(truth.params, {"N": n, "D": d}),
                    make("log-mse", None), {}, {})  # fmt: skip
        options = Options(objective="log-mse", delta=None, bootstrap=0)
        found = estimate(data, np.ones(len(n)), "row", np.arange(len(n)), options)
        a = law.frontier.exponents(found.params)[0] - float(setting.prior.exponents(TARGET)[0])
        off = float(np.log(law.frontier.size(found.params, TARGET))) - size
        misfit = np.sqrt(found.objective / len(n))
        rows.append((label, f"{a:+.4f}", f"{off:+.3f}", f"{misfit:.4f}"))
    return rows


def main():
    parser = common.options(__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--objective", choices=("log-mse", "log-huber"), default="log-mse")
    args = parser.parse_args()
    began = time.perf_counter()
    settings = {name: Setting(prior) for name, prior in TRUTHS.items()}
    measured = {
        name: measure(name, setting, args, 100 * i)
        for i, (name, setting) in enumerate(settings.items())
    }
    seconds = time.perf_counter() - began
    quantities = ("se(a)", "simulated", "ratio", "se(ln N*)", "simulated", "ratio")
    blocks = [
        "Compute at which the optimal design reaches the baseline's standard error, as a fraction "
        "of\nthe baseline's 1.02e19 FLOP:",
        common.table(
            ("truth", "of", "baseline se", "predicted", "fraction", "predicted", "limit"),
            need_rows(measured),
            text=2,
        ),
        common.bullets(notes(args, seconds)),
        "Error against compute; ratios are to the baseline's predicted error:",
        common.table(
            ("truth", "design", "runs", "compute", *quantities),
            [row for found in measured.values() for row in found[0]],
            text=2,
        ),
        "What a design must know: predicted errors of a and ln N* at a third of the compute, over "
        "the\nbaseline's:",
        common.table(("truth", "known", "a", "ln N*"), knowledge_rows(settings), text=2),
        "The coupled law fitted to every truth, predicted; a design for a and ln N* tells little "
        "of k:",
        common.table(
            ("truth", "design", "se(a)", "se(ln N*)", "se(k)"), unlike_fit_rows(settings), text=2
        ),
    ]
    blocks += [
        f"Noise that is .004 at 1e18 and grows as C^-{GROWTH:g} to smaller runs; predicted errors "
        "at a third of\nthe compute, over the baseline's:",
        common.table(("truth", "design knows", "a", "ln N*"), noise_rows(settings), text=2),
        "The additive law fitted to the coupled truth without noise: errors, and the root mean "
        "square of\nthe residuals of ln loss, which must stand out of the noise for the coupling "
        "to show:",
        common.table(
            ("design", "a", "ln N*", "rms"), bias_rows(settings["coupled, k free"]), text=1
        ),
    ]
    common.publish("designs", "Error against compute, by design", blocks, write=args.write)


def notes(args, seconds):
    return [
        f"{args.studies} simulated studies a design ({2 * args.studies} of the baseline), each "
        f"fitted by the truth's own law (the coupled one with k free), objective {args.objective}; "
        f"{seconds:.0f} s in one process. A simulated error is a third of the distance "
        "between the quantiles at ∓1.5 SD; ± is from resampling the studies.",
        f"The fraction is where a parabola through the {len(FRACTIONS)} simulated errors of the "
        "optimal design, in logs, meets the simulated error of the baseline; the predicted one is "
        "by Fisher information on a fine grid of budgets. One design serves both quantities.",
        "The optimal design knows what the baseline knows: N* at 1e17, the exponent a along which "
        "the baseline lays its sizes, and the noise. The loss is assumed: additive and coupled "
        "with k .6 and .35, exponents from an assumed gamma of .17; none is the truth.",
        "Limit: for the truth itself and one quantity, no choice of at most 35 runs in the box, "
        "not even in fractions of runs, has a smaller standard error; certified to .3% of ln "
        "variance.",
        "Predictions are to first order: where they and the simulation differ, as for the L-shape "
        "with k free, the runs hardly determine the law.",
        "L-shape, factorial and Sobol designs end at a largest C that sets their cost; where they "
        "cannot cost as much as the baseline the largest they can is shown.",
    ]


if __name__ == "__main__":
    main()
