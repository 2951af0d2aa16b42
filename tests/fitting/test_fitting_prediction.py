"""Decisions: the optimum against numerical minimisation, intervals, extrapolation, the hull."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.spatial import Delaunay

import scaling as sc
from scaling.errors import QuestionError
from scaling.fitting.fit import surface_allocation
from scaling.fitting.prediction import inside_hull

BUDGETS = np.array([1e17, 1e19, 3e21, 1e24])


@pytest.fixture(scope="module")
def fit(runs, hoffmann):
    """Return a surface fit with 30 replicates."""
    frame = runs("chinchilla", hoffmann, noise=0.003)
    return sc.fit(frame, "chinchilla", bootstrap=30, interval=0.9)


def best_size(law, params, compute):
    """Minimise the law along 6ND = C."""

    def loss(u):
        n = np.exp(u)
        return float(law.loss({**params, "E": 0.0}, {"N": n, "D": compute / (6 * n)}))

    guess = np.log(np.sqrt(compute / 120))
    options = {"xatol": 1e-10}
    return np.exp(
        minimize_scalar(loss, bounds=(guess - 8, guess + 8), method="bounded", options=options).x
    )


@pytest.mark.parametrize("compute", BUDGETS)
def test_the_optimum_minimises_the_law_at_its_compute(fit, compute):
    row = fit.optimal(C=compute).iloc[0]
    assert row.N == pytest.approx(best_size(fit.law, fit.params, compute), rel=1e-5)
    assert 6 * row.N * row.D == pytest.approx(compute, rel=1e-12)
    assert row.C == compute
    assert row.loss == pytest.approx(float(fit.law.loss(fit.params, {"N": row.N, "D": row.D})))
    for factor in (0.9, 1.1):
        other = {"N": row.N * factor, "D": row.D / factor}
        assert fit.law.loss(fit.params, other) > row.loss


def test_the_closed_form(fit):
    """G = (αA/(βB))^(1/(α+β)), N* = G (C/6)^a, D* = (C/6)^b / G (methods, 2.1)."""
    p = fit.params
    g = (p["alpha"] * p["A"] / (p["beta"] * p["B"])) ** (1 / (p["alpha"] + p["beta"]))
    table = fit.optimal(C=BUDGETS)
    assert table.N.to_numpy() == pytest.approx(g * (BUDGETS / 6) ** p["a"], rel=1e-10)
    assert table.D.to_numpy() == pytest.approx((BUDGETS / 6) ** p["b"] / g, rel=1e-10)
    gamma = p["alpha"] * p["beta"] / (p["alpha"] + p["beta"])
    r = (p["A"] * g ** -p["alpha"] + p["B"] * g ** p["beta"]) * (BUDGETS / 6) ** -gamma
    assert table.loss.to_numpy() == pytest.approx(p["E"] + r, rel=1e-10)
    assert p["a"] + p["b"] == pytest.approx(1, rel=1e-14)


def test_intervals_of_the_optimum_are_percentiles_of_each_replicates_own(fit):
    """Every replicate is minimised anew; nothing is read off the exponents' intervals."""
    draws = [
        dict(zip(fit.draws, values, strict=True))
        for values in zip(*fit.draws.values(), strict=True)
    ]
    row = fit.optimal(C=1e22).iloc[0]
    sizes = np.array([best_size(fit.law, p, 1e22) for p in draws])
    data = 1e22 / (6 * sizes)
    losses = [
        float(fit.law.loss(p, {"N": n, "D": d})) for p, n, d in zip(draws, sizes, data, strict=True)
    ]
    for name, values in (("N_", sizes), ("D_", data), ("", np.array(losses))):
        best = row[{"": "loss"}.get(name, name[:1])]
        lo, hi = np.percentile(best * (values / best) ** fit.interval.factor, [5, 95])
        assert (row[f"{name}lo"], row[f"{name}hi"]) == pytest.approx((lo, hi), rel=1e-4), name


def test_predictions_are_the_law_and_its_replicates(fit):
    table = fit.predict(N=[1e8, 1e9], D=2e10)
    assert table.columns.tolist() == [
        "N", "D", "loss", "lo", "hi", "factor", "inside_hull", "run_lo", "run_hi"
    ]  # fmt: skip
    x = {"N": np.array([1e8, 1e9]), "D": np.array([2e10, 2e10])}
    assert table.loss.to_numpy() == pytest.approx(fit.law.loss(fit.params, x))
    curves = fit.law.loss({k: v[:, None] for k, v in fit.draws.items()}, x)
    best = table.loss.to_numpy()
    curves = best * (curves / best) ** fit.interval.factor  # spread in logs, each by itself
    assert table.lo.to_numpy() == pytest.approx(np.percentile(curves, 5, axis=0))
    assert table.hi.to_numpy() == pytest.approx(np.percentile(curves, 95, axis=0))


def test_levels(fit):
    narrow, own, wide = (fit.optimal(C=1e23, interval=level) for level in (0.5, None, 0.99))
    for name in ("N_", "D_", ""):
        low, high = f"{name}lo", f"{name}hi"
        assert wide[low][0] < own[low][0] < narrow[low][0] < narrow[high][0]
        assert narrow[high][0] < own[high][0] < wide[high][0]
    assert own.equals(fit.optimal(C=1e23, interval=0.9))


def test_uncertainty_grows_with_extrapolation(fit):
    table = fit.optimal(C=np.geomspace(1e22, 1e28, 4))
    widths = np.log(table.N_hi / table.N_lo)
    assert (np.diff(widths) > 0).all()


def test_without_replicates_there_are_no_bounds(runs, hoffmann):
    fit = sc.fit(runs("chinchilla", hoffmann), "chinchilla", bootstrap=0)
    for table in (fit.predict(N=1e8, D=1e10), fit.optimal(C=1e20)):
        assert table.filter(regex="lo$|hi$").isna().all(axis=None)
        assert np.isfinite(table.loss).all()


def test_extrapolation_is_labelled(fit):
    largest = 6 * 1e10 * 5e11
    table = fit.predict(N=[1e9, 1e10, 1e11, 1e9], D=[1e10, 5e11, 5e11, 1e14])
    factors = 6 * table.N * table.D / largest
    assert table.factor.to_numpy() == pytest.approx(factors)
    assert table.inside_hull.tolist() == [True, True, False, False]
    best = fit.optimal(C=[largest / 100, largest * 1000])
    assert best.factor.tolist() == pytest.approx([0.01, 1000])
    assert best.inside_hull.tolist() == [True, False]


def test_inside_the_ranges_is_not_inside_the_hull(runs, hoffmann):
    """Small N with little D and large N with much D do not make large N with little D known."""
    n = np.geomspace(1e7, 1e10, 12)
    d = np.concatenate([20 * n * f for f in (0.3, 1.0, 3.0)])
    x = {"N": np.tile(n, 3), "D": d}
    fit = sc.fit(runs("chinchilla", hoffmann, x, noise=1e-4), "chinchilla", bootstrap=0)
    table = fit.predict(N=[9e9, 3e8], D=[4e8, 6e9])
    assert (table.factor < 1).all()
    assert table.inside_hull.tolist() == [False, True]


def test_laws_of_one_variable_extrapolate_in_it(runs):
    fit = sc.fit(runs("power-D", {"E": 2.0, "B": 900.0, "beta": 0.4}), "power-D", bootstrap=0)
    table = fit.predict(D=[1e10, 5e12])
    assert table.factor.tolist() == pytest.approx([0.02, 10])
    assert table.inside_hull.tolist() == [None, None]
    fit = sc.fit(runs("power-C", {"E": 1.1, "K": 2e3, "gamma": 0.16}), "power-C", bootstrap=0)
    assert fit.predict(C=1e24).factor.tolist() == pytest.approx([100])


def test_what_is_missing_is_said(fit, runs):
    with pytest.raises(QuestionError) as caught:
        fit.predict(N=1e9)
    assert (caught.value.code, "needs D" in str(caught.value)) == ("SC430", True)
    power = sc.fit(runs("power-D", {"E": 2.0, "B": 900.0, "beta": 0.4}), "power-D", bootstrap=0)
    with pytest.raises(QuestionError) as caught:
        power.optimal(C=1e20)
    assert caught.value.code == "SC430"
    assert "--data" in str(caught.value)


def test_the_allocation_is_the_line_of_the_optimum(fit):
    allocation = surface_allocation(fit)
    assert (allocation.a, allocation.b) == (fit.params["a"], fit.params["b"])
    table = fit.optimal(C=BUDGETS)
    for name in "ND":
        intercept, slope = allocation.line[name]
        line = np.exp(intercept + slope * np.log(BUDGETS))
        assert line == pytest.approx(table[name].to_numpy(), rel=1e-10)
    assert allocation.interval["level"] == 0.9
    assert allocation.interval["kind"] == fit.interval.kind
    assert tuple(allocation.interval["a"]) == fit.intervals["a"]
    assert allocation.cost == {"name": "6nd", "formula": "6*N*D"}


@pytest.mark.parametrize("seed", range(4))
def test_the_hull_is_that_of_scipy(seed):
    rng = np.random.default_rng(seed)
    cloud = rng.standard_normal((25, 2))
    x, y = rng.uniform(-3, 3, (2, 200))
    expected = Delaunay(cloud).find_simplex(np.column_stack([x, y])) >= 0
    assert (inside_hull(cloud, x, y) == expected).all()
    assert inside_hull(cloud, cloud[:, 0], cloud[:, 1]).all()


@pytest.mark.parametrize(
    "cloud",
    [[[0, 0]], [[0, 0], [1, 1]], [[0, 0], [1, 1], [2, 2]], [[0, 0], [0, 0], [0, 0]]],
    ids=["point", "pair", "line", "copies"],
)
def test_a_flat_hull_holds_nothing(cloud):
    cloud = np.array(cloud, dtype=float)
    inside = inside_hull(cloud, np.array([0.5, 1.0]), np.array([0.5, 0.0]))
    assert inside.tolist() == [False, False]
