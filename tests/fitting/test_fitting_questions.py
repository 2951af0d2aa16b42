"""Questions of compute, against closed forms, scipy and brute force, and their intervals."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq, minimize_scalar

import scaling as sc
from scaling.fitting.questions import at

BUDGETS = np.array([1e18, 1e20, 3e21, 1e24])
SERVED = 1e12
POWERS = "5*N**1.1*D**.9"


@pytest.fixture(scope="module")
def fit(runs, hoffmann):
    """Return a surface fit with 40 replicates."""
    frame = runs("chinchilla", hoffmann, noise=0.003)
    return sc.fit(frame, "chinchilla", bootstrap=40, interval=0.9)


def additive(p, n, d):
    return p["E"] + p["A"] / n ** p["alpha"] + p["B"] / d ** p["beta"]


def repeated(p, n, d, unique):
    """Muennighoff et al. 2023, eqs. 5 to 7, where runs may read less than all unique data."""
    g = (p["alpha"] * p["A"] / (p["beta"] * p["B"])) ** (1 / (p["alpha"] + p["beta"]))
    data = np.minimum(d, unique)
    size = np.minimum(n, g * (data * g) ** (p["beta"] / p["alpha"]))
    n = size + size * p["R_N"] * (1 - np.exp(-(n / size - 1) / p["R_N"]))
    d = data + data * p["R_D"] * (1 - np.exp(-(d / data - 1) / p["R_D"]))
    return additive(p, n, d)


def gamma(p):
    return p["alpha"] * p["beta"] / (p["alpha"] + p["beta"])


# ------------------------------------------------------------------------- the cheapest way


@pytest.mark.parametrize(
    "more",
    [{}, {"inference_tokens": SERVED}, {"cost": POWERS}, {"unique_data": 1e12}],
    ids=["6ND", "inference", "powers", "cap"],
)
def test_cheapest_inverts_optimal(fit, more):
    best = fit.optimal(C=BUDGETS, **more)
    found = fit.cheapest(loss=best.loss, **more)
    for name in "CND":
        assert found[name].to_numpy() == pytest.approx(best[name].to_numpy(), rel=1e-9), name
    again = fit.optimal(C=found.C, **more)
    assert again.loss.to_numpy() == pytest.approx(best.loss.to_numpy(), rel=1e-9)
    assert found.factor.to_numpy() == pytest.approx(best.factor.to_numpy(), rel=1e-9)


@pytest.mark.parametrize("law", ["kaplan", "coupled", "nested-q", "over-training"])
def test_cheapest_inverts_optimal_for_other_laws(plain, law):
    fit = plain(law)
    best = fit.optimal(C=[1e18, 1e21])
    found = fit.cheapest(loss=best.loss)
    assert found.C.to_numpy() == pytest.approx([1e18, 1e21], rel=1e-9)
    assert fit.optimal(C=found.C).loss.to_numpy() == pytest.approx(best.loss.to_numpy(), rel=1e-9)


def test_cheapest_is_the_closed_form(fit):
    """L = E + r (C/6)^-gamma solved for C."""
    p, loss = fit.params, np.array([3.5, 2.3, 1.9])
    g = (p["alpha"] * p["A"] / (p["beta"] * p["B"])) ** (1 / (p["alpha"] + p["beta"]))
    r = p["A"] * g ** -p["alpha"] + p["B"] * g ** p["beta"]
    compute = 6 * ((loss - p["E"]) / r) ** (-1 / gamma(p))
    found = fit.cheapest(loss=loss)
    assert found.C.to_numpy() == pytest.approx(compute, rel=1e-9)
    assert found.N.to_numpy() == pytest.approx(g * (compute / 6) ** p["a"], rel=1e-9)
    assert found.D.to_numpy() == pytest.approx((compute / 6) ** p["b"] / g, rel=1e-9)


@pytest.mark.parametrize("loss", [3.0, 2.2])
def test_nothing_is_cheaper_with_inference(fit, loss):
    """The cost along the line of equal loss, minimised by scipy."""
    p = fit.params

    def cost(u):
        n = np.exp(u)
        d = (p["B"] / (loss - p["E"] - p["A"] * n ** -p["alpha"])) ** (1 / p["beta"])
        return np.log(6 * n * d + 2 * n * SERVED)

    least = (p["A"] / (loss - p["E"])) ** (1 / p["alpha"])  # below it no data are enough
    bounds = np.log([least * 1.0001, least * 1e4])
    best = minimize_scalar(cost, bounds=bounds, method="bounded", options={"xatol": 1e-11})
    row = fit.cheapest(loss=loss, inference_tokens=SERVED).iloc[0]
    assert pytest.approx(np.exp(best.fun), rel=1e-9) == row.C
    assert pytest.approx(np.exp(best.x), rel=1e-5) == row.N


def test_inference_moves_the_optimum_as_sardana_says(fit):
    """First order: alpha A N^-alpha / (beta B D^-beta) = 1 + D_inf/(3 D)."""
    p = fit.params
    best = fit.optimal(C=BUDGETS, inference_tokens=SERVED)
    cheapest = fit.cheapest(loss=[3.0, 2.2, 1.9], inference_tokens=SERVED)
    for table in (best, cheapest):
        n, d = table.N.to_numpy(), table.D.to_numpy()
        ratio = p["alpha"] * p["A"] * n ** -p["alpha"] / (p["beta"] * p["B"] * d ** -p["beta"])
        assert ratio == pytest.approx(1 + SERVED / (3 * d), rel=1e-8)
        assert table.C.to_numpy() == pytest.approx(6 * n * d + 2 * n * SERVED, rel=1e-12)
        assert table.C_train.to_numpy() == pytest.approx(6 * n * d, rel=1e-12)
        assert table.factor.to_numpy() == pytest.approx(6 * n * d / 3e22, rel=1e-12)
    assert (best.N < fit.optimal(C=BUDGETS).N).all()
    none = fit.optimal(C=BUDGETS, inference_tokens=0)
    pd.testing.assert_frame_equal(none, fit.optimal(C=BUDGETS))


def test_a_power_cost_has_its_own_exponents(fit, runs, hoffmann):
    """Lagrange: alpha A N^-alpha/p = beta B D^-beta/q, so a = beta/(p beta + q alpha)."""
    p, q, values = 1.1, 0.9, fit.params
    table = fit.optimal(C=BUDGETS, cost=POWERS)
    n, d = table.N.to_numpy(), table.D.to_numpy()
    alpha, beta = values["alpha"], values["beta"]
    assert 5 * n**p * d**q == pytest.approx(BUDGETS, rel=1e-12)
    left = alpha * values["A"] * n**-alpha / p
    assert left == pytest.approx(beta * values["B"] * d**-beta / q, rel=1e-8)
    slopes = [np.diff(np.log(x)) / np.diff(np.log(BUDGETS)) for x in (n, d)]
    assert slopes[0] == pytest.approx([beta / (p * beta + q * alpha)] * 3, rel=1e-8)
    assert slopes[1] == pytest.approx([alpha / (p * beta + q * alpha)] * 3, rel=1e-8)
    frame = runs("chinchilla", hoffmann, noise=0.003)
    own = sc.fit(frame, "chinchilla", bootstrap=0, cost=POWERS)
    assert own.params["a"] == pytest.approx(beta / (p * beta + q * alpha), rel=1e-7)
    mine = own.optimal(C=BUDGETS)[["N", "D", "loss", "factor"]].to_numpy()[:, :3]
    assert mine == pytest.approx(table[["N", "D", "loss"]].to_numpy(), rel=1e-8)


# ----------------------------------------------------------------------- amounts and prices


def test_what_is_needed_is_the_closed_form(fit):
    p, n, d = fit.params, np.array([1e9, 7e9]), np.array([1e11, 2e12])
    loss = np.array([2.3, 2.15])
    data = (p["B"] / (loss - p["E"] - p["A"] * n ** -p["alpha"])) ** (1 / p["beta"])
    table = fit.needed(loss=loss, N=n)
    assert table.D.to_numpy() == pytest.approx(data, rel=1e-9)
    assert table.C.to_numpy() == pytest.approx(6 * n * data, rel=1e-9)
    size = (p["A"] / (loss - p["E"] - p["B"] * d ** -p["beta"])) ** (1 / p["alpha"])
    table = fit.needed(loss=loss, D=d)
    assert table.N.to_numpy() == pytest.approx(size, rel=1e-9)
    assert fit.needed(loss=[2.3, 2.4], N=1e9).N.tolist() == [1e9, 1e9]


@pytest.mark.parametrize("compute", [1e18, 1e23])
def test_the_price_is_the_closed_form_at_every_compute(fit, compute):
    p, off = fit.params, np.array([0.1, 0.5, 1.0, 2.0, 30.0])
    alpha, beta = p["alpha"], p["beta"]
    table = fit.price(C=compute, off=off)
    share = (beta * off**-alpha + alpha * off**beta) / (alpha + beta)
    assert table.compute_factor.to_numpy() == pytest.approx(share ** (1 / gamma(p)), rel=1e-9)
    best = fit.optimal(C=compute).iloc[0]
    assert table.N.to_numpy() == pytest.approx(off * best.N, rel=1e-12)
    assert table.D.to_numpy() == pytest.approx(best.D / off, rel=1e-12)
    excess = additive(p, off * best.N, best.D / off) - best.loss
    assert table.excess.to_numpy() == pytest.approx(excess, abs=1e-12)
    assert table.loss.to_numpy() - table.excess.to_numpy() == pytest.approx(best.loss, rel=1e-12)


@pytest.mark.parametrize("compute", [1e18, 1e21, 1e23])
def test_what_was_asked_is_said_back(fit, compute):
    """To the last digit, so that rows can be joined by it."""
    assert fit.optimal(C=compute).C.tolist() == [compute]
    assert at(fit, C=compute, N=1e9).C.tolist() == [compute]
    assert fit.price(C=compute, off=[1, 2]).C.tolist() == [compute] * 2


def test_the_third_of_compute_size_and_data_follows(fit):
    one, two, three = (at(fit, **k) for k in ({"C": 6e20, "N": 1e9}, {"C": 6e20, "D": 1e11},
                                              {"N": 1e9, "D": 1e11}))  # fmt: skip
    for table in (one, two, three):
        assert table[["C", "N", "D"]].iloc[0].tolist() == pytest.approx([6e20, 1e9, 1e11])
        assert table.loss[0] == pytest.approx(additive(fit.params, 1e9, 1e11), rel=1e-12)
    other = at(fit, C=6e20, N=1e9, cost="6*N*D + 2*N*5e10").iloc[0]
    assert pytest.approx((6e20 / 1e9 - 1e11) / 6, rel=1e-12) == other.D


# ------------------------------------------------------------------------------ unique data


@pytest.mark.parametrize("served", [0.0, SERVED])
def test_the_cap_holds_data_and_spends_the_rest_on_size(fit, served):
    cap = 3e11
    free = fit.optimal(C=BUDGETS, inference_tokens=served)
    table = fit.optimal(C=BUDGETS, unique_data=cap, inference_tokens=served)
    over = (free.D > cap).to_numpy()
    assert table.capped.tolist() == over.tolist()
    assert 0 < over.sum() < len(over)
    assert table.N[~over].tolist() == free.N[~over].tolist()
    assert table.D[over].tolist() == pytest.approx([cap] * over.sum(), rel=1e-12)
    rest = BUDGETS[over] / (6 * cap + 2 * served)
    assert table.N[over].to_numpy() == pytest.approx(rest, rel=1e-9)
    assert (table.loss[over] > free.loss[over]).all()
    assert table.loss[over].to_numpy() == pytest.approx(additive(fit.params, rest, cap), rel=1e-9)


def test_the_cheapest_way_under_a_cap(fit):
    p, cap, loss = fit.params, 1e11, 2.15
    row = fit.cheapest(loss=loss, unique_data=cap).iloc[0]
    left = loss - p["E"] - p["B"] * cap ** -p["beta"]
    assert pytest.approx(cap, rel=1e-12) == row.D
    assert pytest.approx((p["A"] / left) ** (1 / p["alpha"]), rel=1e-9) == row.N
    assert row.C > fit.cheapest(loss=loss).C[0]


@pytest.mark.parametrize(
    ("compute", "unique"), [(1e19, 1e9), (1e20, 1e9), (1e21, 1e10), (1e22, 3e10)]
)
def test_repeated_data_against_brute_force(repeats, compute, unique):
    table = repeats.optimal(C=compute, unique_data=unique)
    row = table.iloc[0]
    grid = np.linspace(np.log(1e7), np.log(1e11), 400_001)
    losses = repeated(repeats.params, np.exp(grid), compute / 6 / np.exp(grid), unique)
    assert row.loss == pytest.approx(losses.min(), rel=1e-10)
    assert np.log(row.N) == pytest.approx(grid[losses.argmin()], abs=1e-4)
    assert row.D > unique
    pd.testing.assert_frame_equal(table, repeats.optimal(C=compute, D_unique=unique))
    back = repeats.cheapest(loss=row.loss, unique_data=unique).iloc[0]
    assert pytest.approx(compute, rel=1e-7) == back.C
    price = repeats.price(C=compute, off=[0.5, 2], D_unique=unique)
    for off, excess in zip((0.5, 2), price.excess, strict=True):
        loss = repeated(repeats.params, off * row.N, row.D / off, unique)
        assert excess == pytest.approx(loss - row.loss, abs=1e-12)


def test_more_unique_data_than_are_read_are_no_constraint(repeats):
    """Muennighoff's U_D is min(D, D_unique): without repeats the law is the additive one."""
    p = repeats.params
    g = (p["alpha"] * p["A"] / (p["beta"] * p["B"])) ** (1 / (p["alpha"] + p["beta"]))
    size = g * (1e20 / 6) ** (p["beta"] / (p["alpha"] + p["beta"]))
    loss = additive(p, size, 1e20 / 6 / size)
    assert at(repeats, N=size, D=1e20 / 6 / size, unique_data=1e12).loss[0] == pytest.approx(loss)
    assert repeats.cheapest(loss=loss, unique_data=1e12).C[0] == pytest.approx(1e20, rel=1e-6)
    assert repeats.optimal(C=1e20, unique_data=1e12).N[0] == pytest.approx(size, rel=1e-6)


# -------------------------------------------------------------------------------- intervals

ASKED = {
    "optimal": (lambda f, **k: f.optimal(C=1e22, **k), {"N": "N_", "D": "D_", "ratio": "ratio_",
                                                        "loss": ""}),
    "inference": (lambda f, **k: f.optimal(C=1e22, inference_tokens=1e12, **k), {"N": "N_"}),
    "cheapest": (lambda f, **k: f.cheapest(loss=2.1, **k), {"C": "C_", "N": "N_", "D": "D_"}),
    "data": (lambda f, **k: f.needed(loss=2.3, N=2e9, **k), {"D": "D_", "C": "C_"}),
    "size": (lambda f, **k: f.needed(loss=2.3, D=1e11, **k), {"N": "N_", "C": "C_"}),
    "price": (lambda f, **k: f.price(C=1e22, off=3, **k),
              {"excess": "excess_", "compute_factor": "compute_factor_", "loss": ""}),
}  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_intervals_hold_the_estimate_and_nest(fit, name):
    ask, columns = ASKED[name]
    tables = [ask(fit, interval=level).iloc[0] for level in (0.5, 0.9, 0.99)]
    for estimate, stem in columns.items():
        lows, highs = ([t[f"{stem}{end}"] for t in tables] for end in ("lo", "hi"))
        assert lows[2] < lows[1] < lows[0] < highs[0] < highs[1] < highs[2], estimate
        assert lows[1] < tables[1][estimate] < highs[1], estimate
    pd.testing.assert_series_equal(ask(fit).iloc[0], tables[1])


def test_the_interval_of_the_cheapest_is_that_of_each_draws_own(fit):
    def least(p):
        def lowest(log_c):
            size = lambda u: additive(p, np.exp(u), np.exp(log_c - u) / 6)  # noqa: E731
            bounds = (0.5 * log_c - 8, 0.5 * log_c + 4)
            return minimize_scalar(size, bounds=bounds, method="bounded",
                                   options={"xatol": 1e-9}).fun - 2.1  # fmt: skip

        return np.exp(brentq(lowest, np.log(1e18), np.log(1e26), xtol=1e-10))

    draws = [dict(zip(fit.draws, v, strict=True)) for v in zip(*fit.draws.values(), strict=True)]
    best, each = least(fit.params), np.array([least(p) for p in draws])
    ends = np.percentile(best * (each / best) ** fit.interval.factor, [5, 95])
    row = fit.cheapest(loss=2.1).iloc[0]
    assert (row.C, row.C_lo, row.C_hi) == pytest.approx((best, *ends), rel=1e-6)


def test_draws_that_never_reach_the_loss_leave_no_upper_bound(fit):
    loss = fit.params["E"] * 1.0002
    never = np.mean(fit.draws["E"] >= loss)
    assert 0.05 < never < 0.9
    row = fit.cheapest(loss=loss).iloc[0]
    assert np.isfinite(row[["C", "N", "D", "C_lo", "N_lo", "D_lo"]].to_numpy(float)).all()
    assert (row.C_hi, row.N_hi, row.D_hi) == (np.inf,) * 3
    p, n = fit.params, 1e9
    floor = p["E"] + p["A"] * n ** -p["alpha"]
    row = fit.needed(loss=floor * 1.00001, N=n).iloc[0]
    assert np.isfinite([row.D, row.C, row.D_lo]).all()
    assert (row.D_hi, row.C_hi) == (np.inf, np.inf)


def test_without_replicates_there_are_no_bounds(plain):
    fit = plain("chinchilla")
    for ask, _ in ASKED.values():
        table = ask(fit)
        assert table.filter(regex="lo$|hi$").isna().all(axis=None)
        assert np.isfinite(table.drop(columns=table.filter(regex="lo$|hi$").columns)).all(axis=None)
