"""What a user may ask of a fit, option by option, and what inputs cannot be fitted."""

import numpy as np
import pandas as pd
import pytest

import scaling as sc
from scaling.errors import ConfigError, FitError, TableError
from scaling.fitting.objectives import OVER
from scaling.laws import get

POWER = {"E": 2.0, "B": 900.0, "beta": 0.4}
ROBUST = 1.345 * 1.4826


def x_of(rows):
    return {"D": np.geomspace(1e7, 1e10, rows)}


def codes(fit):
    return {m.code for m in fit.messages}


def refused(kind, *args, **options):
    """Return the faults of a fit that is refused."""
    with pytest.raises(kind) as caught:
        sc.fit(*args, **{"bootstrap": 0, **options})
    return caught.value.faults


def log_error(fit):
    """Log of the prediction minus log of the observation, of every fitted row."""
    return -np.array(fit.rows["residual"], dtype=float)[fit.rows["used"]]


@pytest.fixture(scope="module")
def frame(runs):
    """Return 40 noisy runs of a power law of D."""
    return runs("power-D", POWER, x_of(40), noise=0.003, seed=4)


@pytest.fixture(scope="module")
def outliers(frame):
    """Return the same runs, three of which ended 10% too high."""
    factor = np.where(np.isin(np.arange(40), [5, 11, 30]), 1.1, 1.0)
    return frame.assign(loss=frame.loss * factor)


# ------------------------------------------------------------------------------ delta="auto"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("noise", [1e-4, 0.003, 0.05])
def test_the_automatic_threshold_follows_the_residuals(runs, seed, noise):
    frame = runs("power-D", POWER, x_of(40), noise=noise, seed=seed)
    fit = sc.fit(frame, "power-D", delta="auto", bootstrap=0)
    expected = ROBUST * np.median(np.abs(log_error(fit)))
    assert fit.objective.delta == pytest.approx(expected, rel=0.1)
    assert fit.objective.delta == pytest.approx(1.345 * noise, rel=0.5)
    assert fit.status == "converged"


def test_the_automatic_threshold_follows_the_residuals_beside_outliers(outliers):
    fit = sc.fit(outliers, "power-D", delta="auto", bootstrap=0)
    expected = ROBUST * np.median(np.abs(log_error(fit)))
    assert fit.objective.delta == pytest.approx(expected, rel=0.1)


def test_the_automatic_threshold_is_in_the_objectives_scale(frame):
    """Levels are compared by huber, so its threshold is in the loss's unit."""
    fit = sc.fit(frame, "power-D", objective="huber", delta="auto", bootstrap=0)
    level = np.exp(log_error(fit)) * frame.loss - frame.loss
    assert fit.objective.delta == pytest.approx(ROBUST * np.median(np.abs(level)), rel=0.1)


def test_the_automatic_threshold_lies_between_least_squares_and_absolute_values(outliers):
    """Its sum of absolute residuals is; a few outliers bring it close to the lower end."""
    lad, auto, squares = (
        log_error(sc.fit(outliers, "power-D", delta=delta, bootstrap=0))
        for delta in (1e-8, "auto", 1e3)
    )
    sizes = [np.abs(r).sum() for r in (lad, auto, squares)]
    assert sizes == sorted(sizes)
    assert sizes[1] - sizes[0] < 0.1 * (sizes[2] - sizes[0])
    assert (squares**2).sum() < min((r**2).sum() for r in (lad, auto))


def test_outliers_move_least_squares_more(frame, outliers):
    clean = sc.fit(frame, "power-D", objective="log-mse", bootstrap=0)
    x = {"D": np.geomspace(1e7, 1e10, 50)}
    moved = {
        name: np.abs(np.log(fit.law.loss(fit.params, x) / clean.law.loss(clean.params, x))).max()
        for name, fit in {
            "auto": sc.fit(outliers, "power-D", delta="auto", bootstrap=0),
            "squares": sc.fit(outliers, "power-D", objective="log-mse", bootstrap=0),
        }.items()
    }
    assert moved["auto"] < 0.5 * moved["squares"]


def test_a_wide_threshold_is_least_squares(outliers):
    """Huber's function is half a square below its threshold."""
    wide = sc.fit(outliers, "power-D", delta=1e3, bootstrap=0)
    squares = sc.fit(outliers, "power-D", objective="log-mse", bootstrap=0)
    assert dict(wide.params) == pytest.approx(dict(squares.params), rel=1e-7)
    assert 2 * wide.objective.value == pytest.approx(squares.objective.value, rel=1e-9)


@pytest.mark.parametrize("objective", ["log-huber", "huber", "log-mse", "mse", "asymmetric"])
def test_exact_runs_are_fitted_with_an_automatic_threshold(runs, objective):
    frame = runs("power-D", POWER, x_of(20))
    fit = sc.fit(frame, "power-D", objective=objective, delta="auto", bootstrap=5)
    assert fit.identified
    assert {k: fit.params[k] for k in POWER} == pytest.approx(POWER, rel=1e-7)
    assert fit.objective.delta is None or 0 < fit.objective.delta < 1e-6


def test_rounding_errors_are_no_finding(runs):
    found = {}
    frame = runs("power-D", POWER, x_of(40))
    for objective in ("log-huber", "huber", "log-mse", "mse"):
        for delta in (1e-3, "auto"):
            fit = sc.fit(frame, "power-D", objective=objective, delta=delta, bootstrap=20)
            found[objective, delta] = codes(fit) & {"SC407", "SC414", "SC419", "SC420", "SC421"}
    assert not any(found.values()), found


@pytest.mark.parametrize("delta", ["robust", 0.0, -1e-3, np.nan, np.inf])
def test_a_threshold_that_is_none(frame, delta):
    (fault,) = refused(ConfigError, frame, "power-D", delta=delta)
    assert (fault.code, fault.where) == ("SC004", "--delta")
    assert "auto" in fault.expected


# ------------------------------------------------------------------------------- asymmetric


@pytest.mark.parametrize("delta", [1e-3, 0.01, 1.0])
def test_predicting_too_much_is_charged_ten_times(frame, delta):
    fit = sc.fit(frame, "power-D", objective="asymmetric", delta=delta, bootstrap=0)
    r = log_error(fit)
    size = np.abs(r)
    huber = np.where(size <= delta, r**2 / 2, delta * (size - delta / 2))
    value = (np.where(r > 0, 10.0, 1.0) * huber).sum()
    assert OVER == 10.0
    assert fit.objective.value == pytest.approx(value, rel=1e-9)
    assert (fit.objective.name, fit.objective.delta) == ("asymmetric", delta)
    assert fit.status == "converged"


def test_nothing_near_the_asymmetric_optimum_is_lower(frame):
    fit = sc.fit(frame, "power-D", objective="asymmetric", delta=0.002, bootstrap=0)
    log_y = np.log(frame.loss.to_numpy())
    rng = np.random.default_rng(0)
    for size in (1e-6, 1e-4, 1e-2):
        for _ in range(50):
            params = {k: fit.params[k] * np.exp(size * rng.standard_normal()) for k in POWER}
            r = np.log(fit.law.loss(params, frame)) - log_y
            inner = np.minimum(np.abs(r), 0.002)
            value = (np.where(r > 0, 10.0, 1.0) * inner * (np.abs(r) - inner / 2)).sum()
            assert value >= fit.objective.value * (1 - 1e-12)


def test_asymmetric_predictions_lie_mostly_below_the_runs(runs):
    """With a small threshold one run in eleven is left below the curve."""
    frame = runs("power-D", POWER, x_of(220), noise=0.01, seed=1)
    fit = sc.fit(frame, "power-D", objective="asymmetric", delta=1e-6, bootstrap=0)
    assert (log_error(fit) < 0).mean() == pytest.approx(10 / 11, abs=0.02)
    plain = sc.fit(frame, "power-D", delta=1e-6, bootstrap=0)
    assert (log_error(plain) < 0).mean() == pytest.approx(0.5, abs=0.02)


# -------------------------------------------------------------------------- noise and weights


@pytest.mark.parametrize("objective", ["log-mse", "log-huber", "mse", "asymmetric"])
def test_noise_is_a_weight_of_its_inverse_square(runs, objective):
    sd = 0.002 * (1 + np.arange(40) % 5)
    exact = runs("power-D", POWER, x_of(40))
    error = sd * np.random.default_rng(0).standard_normal(40)
    frame = exact.assign(loss=exact.loss * np.exp(error), sd=sd, w=1 / sd**2)
    plain, noisy, doubled, weighted = (
        sc.fit(frame, "power-D", objective=objective, bootstrap=0, **option)
        for option in ({}, {"noise": "sd"}, {"noise": "2*sd"}, {"weights": "w"})
    )
    assert dict(noisy.params) == pytest.approx(dict(weighted.params), rel=1e-6)
    assert dict(noisy.params) == pytest.approx(dict(doubled.params), rel=1e-6)
    assert dict(noisy.params) != pytest.approx(dict(plain.params), rel=1e-3)
    typical = np.exp(np.log(sd).mean())
    assert noisy.objective.value == pytest.approx(weighted.objective.value * typical**2, rel=1e-6)


def test_noise_multiplies_weights(frame):
    table = frame.assign(sd=np.linspace(1, 3, 40), w=np.arange(40) % 3)
    both = sc.fit(table, "power-D", weights="w", noise="sd", bootstrap=0)
    one = sc.fit(table, "power-D", weights="w/sd**2", bootstrap=0)
    assert dict(both.params) == pytest.approx(dict(one.params), rel=1e-6)


def test_equal_noise_changes_nothing(frame):
    one = sc.fit(frame, "power-D", bootstrap=8)
    two = sc.fit(frame, "power-D", noise="0.01", bootstrap=8)
    assert dict(two.params) == pytest.approx(dict(one.params), rel=1e-9)
    assert two.objective.value == pytest.approx(one.objective.value, rel=1e-9)


def test_known_noise_makes_a_better_estimate(runs):
    """Gauss and Markov: over many tables, the weighted estimate spreads less."""
    sd = np.where(np.arange(40) % 2, 0.001, 0.02)
    exact = runs("power-D", POWER, x_of(40))
    found = {"plain": [], "known": []}
    for seed in range(25):
        error = sd * np.random.default_rng(seed).standard_normal(40)
        frame = exact.assign(loss=exact.loss * np.exp(error), sd=sd)
        options = {"objective": "log-mse", "bootstrap": 0}
        found["plain"].append(sc.fit(frame, "power-D", **options).params["beta"])
        found["known"].append(sc.fit(frame, "power-D", noise="sd", **options).params["beta"])
    assert np.std(found["known"]) < 0.3 * np.std(found["plain"])


@pytest.mark.parametrize(
    ("noise", "code"),
    [
        ("0*D", "SC004"),
        ("-1", "SC004"),
        ("1e400", "SC004"),
        ("log(D - 1e7)", "SC004"),
        ("sd", "SC004"),
        ("nothing", "SC020"),
        ("kind", "SC020"),
        ("D +", "SC020"),
    ],
)
@pytest.mark.parametrize("option", ["noise", "weights"])
def test_amounts_that_cannot_weigh(frame, option, noise, code):
    table = frame.assign(kind="a", sd=np.where(np.arange(40) == 7, np.nan, 1.0))
    faults = refused(ConfigError, table, "power-D", **{option: noise})
    assert faults[0].code == code


def test_a_noise_of_zero_is_refused_where_a_weight_of_zero_is_not(frame):
    table = frame.assign(w=np.where(np.arange(40) == 7, 0.0, 1.0))
    (fault,) = refused(ConfigError, table, "power-D", noise="w")
    assert (fault.code, fault.where) == ("SC004", "--noise")
    fit = sc.fit(table, "power-D", weights="w", bootstrap=0)
    without = sc.fit(frame[table.w > 0], "power-D", bootstrap=0)
    assert dict(fit.params) == pytest.approx(dict(without.params), rel=1e-6)


def test_amounts_of_rows_that_are_left_out_do_not_matter(frame):
    table = frame.assign(sd=np.where(np.arange(40) < 3, np.nan, 1.0))
    fit = sc.fit(table, "power-D", noise="sd", where="D > 3e7", bootstrap=0)
    assert fit.n < 38


# --------------------------------------------------------------------------------- responses


def rates(noise=0.0):
    C = np.geomspace(1e17, 1e23, 15)
    error = noise * np.random.default_rng(0).standard_normal(15)
    return pd.DataFrame({"C": C, "lr": 0.3118 * C**-0.125 * np.exp(error)})


def test_a_law_of_another_response_needs_no_loss():
    fit = sc.fit(rates(), "lr-compute", bootstrap=0)
    assert fit.params["k"] == pytest.approx(0.3118, rel=1e-7)
    assert fit.params["a"] == pytest.approx(0.125, rel=1e-7)
    assert fit.status == "converged"
    assert fit.rows["lr"] == pytest.approx(rates().lr.tolist())
    assert fit.fitted["C"] == pytest.approx(rates().C.to_numpy())


def test_a_response_may_have_any_column():
    table = rates(0.02).rename(columns={"lr": "best rate"})
    fit = sc.fit(table, "lr-compute", response="best rate", bootstrap=20)
    same = sc.fit(rates(0.02), "lr-compute", bootstrap=20)
    assert dict(fit.params) == dict(same.params)
    assert fit.intervals == same.intervals
    assert fit.rows["best rate"] == pytest.approx(table["best rate"].tolist())
    row = fit.predict(C=1e24).iloc[0]
    assert row.run_lo < row.lo < row.loss < row.hi < row.run_hi


def test_a_response_beside_a_loss(frame):
    """The loss is a column like any other when another response is asked for."""
    table = frame.assign(score=5 + 3e3 / frame.D**0.5)
    fit = sc.fit(table, "power-D", response="score", bootstrap=0)
    assert {k: fit.params[k] for k in POWER} == pytest.approx(
        {"E": 5.0, "B": 3e3, "beta": 0.5}, rel=1e-6
    )


def test_a_hold_out_is_scored_on_the_response():
    table = rates(0.01)
    fit = sc.fit(table, "lr-compute", holdout="C > 1e22", bootstrap=30)
    held = table[table.C > 1e22]
    error = np.log(fit.law.loss(fit.params, held)) - np.log(held.lr)
    assert fit.holdout.rmse_log == pytest.approx(np.sqrt((error**2).mean()), rel=1e-9)


def test_a_law_asked_of_a_table_without_its_response():
    (fault,) = refused(TableError, rates().drop(columns="lr"), "lr-compute")
    assert fault.code == "SC105"
    assert fault.found == "no column for lr"
    assert "lr-compute needs C, lr" in fault.expected


@pytest.mark.parametrize(
    ("law", "columns", "missing"),
    [
        ("chinchilla", ["D"], "N"),
        ("power-C", ["D"], "C"),
        ("mixture-3", ["r_1"], "r_2"),
        ("transfer", ["N"], "D_F"),
    ],
)
def test_a_law_asked_of_a_table_without_its_variable(law, columns, missing):
    table = pd.DataFrame({name: np.linspace(0.1, 0.9, 12) for name in columns})
    (fault,) = refused(TableError, table.assign(**{get(law).response: 2.0}), law)
    assert fault.code == "SC105"
    assert fault.found == f"no column for {missing}"
    assert f"law {law} needs" in fault.expected


# -------------------------------------------------------------------- values that cannot be used


@pytest.mark.parametrize("value", [0.0, -1.5])
@pytest.mark.parametrize("objective", ["log-huber", "log-mse", "asymmetric"])
def test_a_response_without_a_logarithm_is_named(frame, objective, value):
    table = frame.rename(columns={"loss": "score"})
    table.loc[13, "score"] = value
    (fault,) = refused(TableError, table, "power-D", response="score", objective=objective)
    assert fault.code == "SC103"
    assert fault.where == 'frame:13  column "score"'
    assert f"{value:g}" in fault.found
    assert "mse" in fault.mend


def test_levels_may_be_negative(frame):
    table = frame.assign(score=np.log(frame.D) * 2 - 40)
    assert (table.score < 0).any()
    fit = sc.fit(table, formula="k*log(D) - c", response="score", objective="mse", bootstrap=0)
    assert dict(fit.params) == pytest.approx({"k": 2.0, "c": 40.0}, rel=1e-8)


def test_a_loss_that_is_not_positive_is_named_when_the_table_is_read(frame):
    table = frame.copy()
    table.loc[13, "loss"] = -2.0
    (fault,) = refused(TableError, table, "power-D", objective="mse")
    assert (fault.code, fault.where) == ("SC103", 'frame:13  column "loss"')


def shares():
    r = np.linspace(0.05, 0.95, 20)
    return pd.DataFrame({"r_1": r, "loss": 2 + 0.5 * np.exp(-r)})


@pytest.mark.parametrize(
    ("column", "law"), [("r_1", "mixture-2"), ("D", "power-D")], ids=["own", "known"]
)
@pytest.mark.parametrize(
    ("value", "word"), [(np.nan, "empty|nan"), (np.inf, "inf"), (-np.inf, "-inf")]
)
def test_a_variable_that_is_empty_or_infinite_is_named(column, law, value, word):
    table = shares().rename(columns={"r_1": column})
    table.loc[6, column] = value
    (fault,) = refused(TableError, table, law)
    assert (fault.code, fault.where) == ("SC103", f'frame:6  column "{column}"')
    assert any(w in fault.found for w in word.split("|"))


def test_rows_are_named_by_where_they_stand_in_the_table():
    """A row that is left out before the faulty one does not shift its number."""
    table = shares()
    table.loc[15, "r_1"] = np.nan
    (fault,) = refused(TableError, table, "mixture-2", where="r_1 > 0.3 or loss > 0")
    assert fault.where == 'frame:15  column "r_1"'
    table.loc[[2, 3], "r_1"] = np.nan
    table["status"] = ["failed" if i in (2, 3) else "done" for i in range(20)]
    (fault,) = refused(TableError, table, "mixture-2")
    assert fault.where == 'frame:15  column "r_1"'
    table.loc[15, "status"] = "failed"
    assert sc.fit(table, "mixture-2", bootstrap=0).n == 17


def test_text_in_a_known_column_is_named():
    table = shares().rename(columns={"r_1": "D"}).astype(object)
    table.loc[6, "D"] = "many"
    (fault,) = refused(TableError, table, "power-D")
    assert (fault.code, fault.where) == ("SC102", 'frame:6  column "D"')
    assert '"many"' in fault.found


def test_text_in_a_column_of_ones_own_is_named():
    table = shares().astype(object)
    table.loc[6, "r_1"] = "many"
    (fault,) = refused(TableError, table, "mixture-2")
    assert (fault.code, fault.where) == ("SC102", 'frame:6  column "r_1"')
    assert '"many"' in fault.found


def test_text_in_a_column_of_ones_own_is_refused():
    table = shares().astype(object)
    table.loc[6, "r_1"] = "many"
    (fault,) = refused(TableError, table, "mixture-2")
    assert fault.code == "SC102"
    assert 'column "r_1"' in fault.where


def test_text_in_a_response_is_refused():
    table = shares().rename(columns={"loss": "score"}).assign(score="good")
    (fault,) = refused(TableError, table, "mixture-2", response="score")
    assert fault.code == "SC102"
    assert 'column "score"' in fault.where
    assert '"good"' in fault.found


# --------------------------------------------------------------------- runs that say too little


NOISE = np.exp(0.003 * np.random.default_rng(0).standard_normal(20))
LONG = np.geomspace(1e9, 1e11, 20)
FLAT = {
    "one N": ("chinchilla", {"N": 1e8, "D": LONG}),
    "one N and D": ("chinchilla", {"N": 1e8, "D": np.full(20, 1e10)}),
    "one D": ("power-D", {"D": np.full(20, 1e10)}),
    "one C": ("lr-compute", {"C": np.full(20, 1e20)}),
    "one share": ("mixture-2", {"r_1": np.full(20, 0.3)}),
}


@pytest.mark.parametrize("case", FLAT)
@pytest.mark.parametrize("method", [None, "pairs", "wild", "delta"])
@pytest.mark.parametrize("noise", [NOISE, 1.0], ids=["noisy", "constant"])
def test_columns_that_are_all_equal_identify_nothing(case, method, noise):
    law, columns = FLAT[case]
    table = pd.DataFrame(columns).assign(**{get(law).response: 2.5 * noise})
    fit = sc.fit(table, law, method=method or "pairs", bootstrap=12 if method else 0)
    assert fit.status == "not-identified"
    assert not fit.identified
    assert {"SC403", "SC405"} <= codes(fit)
    (error,) = [m for m in fit.messages if m.severity == "error"]
    assert error.code == "SC405"
    assert "no headline numbers" in fit.summary()
    lines = [line for line in fit.summary().splitlines()[1:] if "correlate" not in line]
    assert [line for line in lines if line.split()[0] in fit.params] == []


def test_a_response_that_is_all_equal_identifies_no_exponent():
    table = pd.DataFrame({"D": LONG, "loss": 2.5})
    fit = sc.fit(table, "power-D", bootstrap=10)
    assert fit.status == "not-identified"
    assert "SC405" in codes(fit)


@pytest.mark.parametrize(("law", "free"), [("power-D", 3), ("chinchilla", 5), ("bnsl1-D", 6)])
def test_fewer_points_than_parameters_are_refused(law, free):
    table = pd.DataFrame({"N": LONG[::-1], "D": LONG, "loss": np.linspace(3, 2, 20)})
    for rows in (1, free):
        (fault,) = refused(FitError, table.iloc[:rows], law, bootstrap=10)
        assert fault.code == "SC401"
        assert f"{rows} runs" in fault.found
        assert f"{free} free parameters of {law}" in fault.expected
    assert sc.fit(table.iloc[: free + 1], law, bootstrap=5).n == free + 1


def test_held_parameters_need_no_points(runs):
    frame = runs("power-D", POWER, x_of(3))
    assert refused(FitError, frame, "power-D")[0].code == "SC401"
    fit = sc.fit(frame, "power-D", fixed={"E": 2.0}, bootstrap=0)
    assert fit.params["beta"] == pytest.approx(0.4, rel=1e-7)


def test_rows_that_are_held_out_or_left_out_are_no_points(frame):
    (fault,) = refused(FitError, frame, "power-D", holdout="D > 1.2e7")
    assert fault.code == "SC401"
    assert refused(FitError, frame, "power-D", where="D < 0")[0].found == "0 runs"


# --------------------------------------------------------------------- held and bounded parameters


RECTIFIED = {"E": 1.5, "B": 4e3, "D_l": 2e3, "beta": 0.45}
MIXTURE = {"c": 1.2, "k": 0.8, "t_1": -2.0}
DESIGNS = {
    "rectified": (RECTIFIED, {"D": np.geomspace(1e4, 1e10, 40)}),
    "mixture-2": (MIXTURE, {"r_1": np.linspace(0, 1, 30)}),
}
ROLES = [
    ("rectified", "E", "linear"),
    ("rectified", "B", "scale"),
    ("rectified", "D_l", "shape"),
    ("rectified", "beta", "exponent"),
    ("mixture-2", "c", "linear"),
    ("mixture-2", "k", "scale"),
    ("mixture-2", "t_1", "shape"),
]
every_role = pytest.mark.parametrize(("law", "name", "role"), ROLES)


def test_every_role_is_tried():
    found = [get(law).parameter(name) for law, name, _ in ROLES]
    assert [p.role for p in found] == [role for *_, role in ROLES]
    assert {p.role for p in found} == {"linear", "scale", "exponent", "shape"}
    assert {p.in_log for p in found if p.role == "shape"} == {True, False}


@every_role
def test_a_parameter_is_held_at_its_value(runs, law, name, role):
    truth, x = DESIGNS[law]
    fit = sc.fit(runs(law, truth, x), law, fixed={name: truth[name]}, bootstrap=6)
    assert fit.params[name] == truth[name]
    assert (fit.draws[name] == truth[name]).all()
    assert fit.intervals[name] == (truth[name], truth[name])
    assert name not in fit.covariance.get("names", [])
    assert fit.status == "converged"
    assert {k: fit.params[k] for k in truth} == pytest.approx(truth, rel=1e-5)


@every_role
def test_a_parameter_held_elsewhere_leaves_the_best_of_the_others(runs, law, name, role):
    """No draw of the others about the optimum is better; the free fit is better than it."""
    truth, x = DESIGNS[law]
    frame = runs(law, truth, x, noise=0.003)
    options = {"objective": "log-mse", "bootstrap": 0}
    free = sc.fit(frame, law, **options)
    value = free.params[name] * 1.05
    held = sc.fit(frame, law, fixed={name: value}, **options)
    assert held.params[name] == value
    assert held.objective.value > free.objective.value
    rng = np.random.default_rng(1)
    for _ in range(100):
        params = {k: held.params[k] * np.exp(1e-3 * rng.standard_normal()) for k in truth}
        params[name] = value
        r = np.log(held.law.loss(params, frame)) - np.log(frame.loss)
        assert (r**2).sum() >= held.objective.value * (1 - 1e-12)


def beyond(truth, name, side):
    """Bounds that leave the truth out, on either side of it."""
    value, size = truth[name], abs(truth[name])
    low, high = (0.1, 0.5) if side == "above" else (-0.5, -0.1)
    return value + low * size, value + high * size


@every_role
@pytest.mark.parametrize("side", ["above", "below"])
def test_a_parameter_ends_on_the_bound_that_is_nearest(runs, law, name, role, side):
    truth, x = DESIGNS[law]
    low, high = beyond(truth, name, side)
    fit = sc.fit(runs(law, truth, x, noise=1e-4), law, bounds={name: (low, high)}, bootstrap=8)
    nearest = low if side == "above" else high
    assert fit.params[name] == pytest.approx(nearest, rel=1e-9)
    assert fit.status in ("at-bound", "not-identified")
    assert fit.certificate["at_bound"] == [name]
    (message,) = [m for m in fit.messages if m.code == "SC404"]
    assert f"{name} = " in message.text
    slack = 1e-9 * abs(nearest)
    assert ((fit.draws[name] >= low - slack) & (fit.draws[name] <= high + slack)).all()


@every_role
def test_bounds_about_the_estimate_change_nothing(runs, law, name, role):
    truth, x = DESIGNS[law]
    frame = runs(law, truth, x, noise=1e-4)
    free = sc.fit(frame, law, bootstrap=0)
    value, size = free.params[name], abs(free.params[name])
    bounded = sc.fit(
        frame, law, bounds={name: (value - 0.2 * size, value + 0.2 * size)}, bootstrap=0
    )
    assert dict(bounded.params) == pytest.approx(dict(free.params), rel=1e-5)
    assert bounded.objective.value == pytest.approx(free.objective.value, rel=1e-7)
    assert bounded.status == free.status == "converged"


def test_bounds_may_be_wider_than_the_laws(runs):
    """The floor of a law is 0 or more, unless the user says otherwise."""
    truth = {"E": -0.3, "B": 30.0, "beta": 0.12}
    frame = runs("power-D", truth, x_of(30))
    inside = sc.fit(frame, "power-D", bootstrap=0)
    assert inside.params["E"] >= 0
    wider = sc.fit(frame, "power-D", bounds={"E": (-2.0, 2.0)}, bootstrap=0)
    assert {k: wider.params[k] for k in truth} == pytest.approx(truth, rel=1e-5)


def test_an_exponent_of_the_other_sign(runs):
    truth = {"E": 2.0, "B": 0.01, "beta": -0.1}
    frame = runs("power-D", truth, x_of(30))
    fit = sc.fit(frame, "power-D", bounds={"beta": (-1.0, -0.01)}, bootstrap=0)
    assert {k: fit.params[k] for k in truth} == pytest.approx(truth, rel=1e-4)


def test_bounds_and_held_parameters_together(runs):
    truth, x = DESIGNS["rectified"]
    frame = runs("rectified", truth, x)
    fit = sc.fit(
        frame, "rectified", fixed={"E": 1.5, "D_l": 2e3}, bounds={"beta": (0.4, 0.5)}, bootstrap=0
    )
    assert {k: fit.params[k] for k in truth} == pytest.approx(truth, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "where", "found"),
    [
        ({"fixed": {"gamma": 1.0}}, "--fix", '"gamma"'),
        ({"bounds": {"gamma": (0, 1)}}, "--bound", '"gamma"'),
        ({"fixed": {"beta": -1.0}}, "--fix beta", "-1"),
        ({"fixed": {"E": -1.0}}, "--fix E", "-1"),
        ({"fixed": {"B": np.nan}}, "--fix B", "nan"),
        ({"fixed": {"B": np.inf}}, "--fix B", "inf"),
        ({"bounds": {"beta": (1.0, 0.5)}}, "--bound beta", "1.0:0.5"),
        ({"bounds": {"beta": (0.5, 0.5)}}, "--bound beta", "0.5:0.5"),
        ({"bounds": {"beta": (np.nan, 0.5)}}, "--bound beta", "nan"),
        ({"objective": "huberr"}, "--objective", '"huberr"'),
        ({"reduction": "median"}, "--reduction", '"median"'),
        ({"bootstrap": -1}, "--bootstrap", "-1"),
        ({"interval": 1.0}, "--interval", "1.0"),
        ({"interval": 0.0}, "--interval", "0.0"),
    ],
)
def test_options_that_cannot_be_meant(frame, options, where, found):
    (fault,) = refused(ConfigError, frame, "power-D", **options)
    assert (fault.code, fault.where) == ("SC004", where)
    assert found in fault.found


def test_every_option_that_cannot_be_meant_is_named_at_once(frame):
    faults = refused(
        ConfigError, frame, "power-D", interval=2.0, method="x", fixed={"q": 1.0}, bootstrap=-2
    )
    assert {f.where for f in faults} == {"--interval", "--interval-method", "--fix", "--bootstrap"}
