"""Wild and sandwich intervals against loops and formulas written afresh; single new runs."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import least_squares
from scipy.stats import norm, t

import scaling as sc
from scaling.errors import ConfigError
from scaling.fitting import objectives
from scaling.fitting.data import Data
from scaling.fitting.intervals import (
    METHODS,
    narrow_factor,
    sandwich,
    small_sample_factor,
    webb,
)
from scaling.laws import get

POWER = {"E": 2.0, "B": 900.0, "beta": 0.4}
NAMES = ("E", "B", "beta")
SIX_POINTS = np.sqrt([0.5, 1.0, 1.5])
SIX_POINTS = np.concatenate([-SIX_POINTS, SIX_POINTS])


def x_of(rows):
    return {"D": np.geomspace(1e7, 1e10, rows)}


def se(fit):
    return np.array([fit.interval.se[name] for name in NAMES])


def codes(fit):
    return {m.code for m in fit.messages}


@pytest.fixture(scope="module")
def frame(runs):
    """Return 16 noisy runs of a power law of D."""
    return runs("power-D", POWER, x_of(16), noise=0.003, seed=1)


@pytest.fixture(scope="module")
def sixty(runs):
    """Return 60 runs with independent noise of one size."""
    return runs("power-D", POWER, x_of(60), noise=0.003, seed=5)


@pytest.fixture(scope="module")
def trunks(runs):
    """Return 32 runs, each two neighbours from one trunk."""
    frame = runs("power-D", POWER, x_of(32), noise=0.003, seed=2)
    return frame.assign(trunk=[f"t{i // 2}" for i in range(32)])


# ------------------------------------------------------------------------------------ multipliers


def test_the_multipliers_are_webbs_six_points():
    """Mean 0, variance 1, third moment 0, each point as likely as any other."""
    found = webb(np.arange(50), 0, 800, seed=3).ravel()
    values, counts = np.unique(found, return_counts=True)
    assert values == pytest.approx(np.sort(SIX_POINTS), rel=1e-15)
    assert counts / len(found) == pytest.approx(np.full(6, 1 / 6), abs=0.01)
    assert SIX_POINTS.mean() == pytest.approx(0, abs=1e-15)
    assert (SIX_POINTS**2).mean() == pytest.approx(1, rel=1e-15)
    assert found.mean() == pytest.approx(0, abs=0.02)
    assert found.var() == pytest.approx(1, abs=0.02)


def test_rows_of_a_cluster_share_a_multiplier():
    labels = np.array([0, 1, 0, 2, 2, 2, 1])
    found = webb(labels, 0, 200, seed=0)
    assert found.shape == (200, 7)
    for k in range(3):
        part = found[:, labels == k]
        assert (part == part[:, :1]).all()
    assert (found[:, 0] != found[:, 1]).any()


def test_each_replicate_has_its_own_stream_of_multipliers():
    labels = np.arange(9)
    assert (webb(labels, 0, 20, 3)[3:5] == webb(labels, 3, 5, 3)).all()
    assert (webb(labels, 0, 5, 3) != webb(labels, 0, 5, 4)).any()
    assert len(np.unique(webb(labels, 0, 300, 1), axis=0)) == 300


# ----------------------------------------------------------------------------------- wild bootstrap


def scipy_power(D, log_y, root_weight=1.0):
    """Least squares in logs of a power law of D: E, B, beta."""

    def residual(z):
        return root_weight * (np.log(z[0] + np.exp(z[1] - z[2] * np.log(D))) - log_y)

    found = least_squares(
        residual, [POWER["E"], np.log(POWER["B"]), POWER["beta"]], xtol=1e-15, ftol=1e-15,
        gtol=1e-15, bounds=([0, -60, 1e-3], [np.inf, 60, 5]), x_scale=[1, 1, 0.1],
    )  # fmt: skip
    return [found.x[0], np.exp(found.x[1]), found.x[2]]


@pytest.mark.parametrize("clustered", [False, True], ids=["rows", "trunks"])
def test_wild_replicates_equal_a_naive_loop(frame, trunks, clustered):
    """y* = exp(ln f + m (ln y - ln f)/√(1 - h)), the rows kept, every replicate fitted afresh."""
    table = trunks if clustered else frame
    labels = np.arange(len(table)) // (2 if clustered else 1)
    fit = sc.fit(
        table, "power-D", objective="log-mse", method="wild", bootstrap=40, interval=0.8, seed=11
    )
    D, log_y = table.D.to_numpy(), np.log(table.loss.to_numpy())
    log_f = np.log(fit.law.loss(fit.params, {"D": D}))
    J = gradients(fit.params, D)
    h = np.bincount(labels, weights=np.einsum("np,pq,nq->n", J, np.linalg.inv(J.T @ J), J))[labels]
    residual = (log_y - log_f) / np.sqrt(1 - h)
    oracle = np.array([scipy_power(D, log_f + m * residual) for m in webb(labels, 0, 40, 11)])
    assert fit.interval.failed == 0
    assert fit.interval.clusters == 16
    for name, values in zip(NAMES, oracle.T, strict=True):
        assert fit.draws[name] == pytest.approx(values, rel=1e-5), name
        best, factor = fit.params[name], fit.interval.factor
        spread = values if factor == 1 else best + factor * (fit.draws[name] - best)
        if name == "B":
            spread = best * (fit.draws[name] / best) ** factor
        lo, hi = np.percentile(spread, [10, 90])
        assert fit.intervals[name] == pytest.approx((lo, hi), rel=1e-12)


def test_the_wild_bootstrap_says_what_it_is(frame, trunks):
    rows = sc.fit(frame, "power-D", method="wild", bootstrap=12).interval
    assert rows.kind == (
        f"wild bootstrap, Webb weights, percentile, small-sample factor {rows.factor:.2f}"
    )
    by_trunk = sc.fit(trunks, "power-D", method="wild", bootstrap=12).interval
    assert by_trunk.kind.startswith("wild bootstrap by trunk, Webb weights")
    assert (by_trunk.cluster, by_trunk.clusters) == ("trunk", 16)


def test_wild_widths_are_close_to_those_of_pairs(sixty):
    pairs, wild = (
        sc.fit(sixty, "power-D", objective="log-mse", method=m, bootstrap=500)
        for m in ("pairs", "wild")
    )
    assert dict(pairs.params) == dict(wild.params)
    assert se(wild) == pytest.approx(se(pairs), rel=0.35)


def test_wild_intervals_of_the_asymmetric_objective_are_about_the_fit_or_refused(sixty):
    """Runs lie above this curve; flipped residuals would lie on both sides of it."""
    try:
        fit = sc.fit(sixty, "power-D", objective="asymmetric", method="wild", bootstrap=200)
    except ConfigError:
        return
    table = fit.predict(D=[1e8, 1e9])
    assert ((table.lo < table.loss) & (table.loss < table.hi)).all()


# ----------------------------------------------------------------------------------------- sandwich


def power_data(table, objective="log-mse", delta=1e-3):
    x = {"D": table.D.to_numpy()}
    return Data(get("power-D"), x, table.loss.to_numpy(), objectives.make(objective, delta), {}, {})


def gradients(params, D):
    """Derivatives of ln(E + B/D^beta) by E, ln B and beta, shape (n, 3)."""
    term = params["B"] * D ** -params["beta"]
    f = params["E"] + term
    return np.stack([1 / f, term / f, -np.log(D) * term / f], axis=1)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("size", [1, 4], ids=["rows", "clusters"])
def test_the_sandwich_is_whites(sixty, weighted, size):
    """H⁻¹ (Σ_c g_c g_cᵀ) H⁻¹ with the gradient g_c of each cluster."""
    fit = sc.fit(sixty, "power-D", objective="log-mse", bootstrap=0)
    D, labels = sixty.D.to_numpy(), np.arange(60) // size
    weights = np.linspace(0.5, 2.0, 60) if weighted else np.ones(60)
    J = gradients(fit.params, D)
    r = np.log(fit.law.loss(fit.params, {"D": D})) - np.log(sixty.loss.to_numpy())
    meat = np.zeros((3, 3))
    for c in np.unique(labels):
        g = sum(weights[i] * r[i] * J[i] for i in np.flatnonzero(labels == c))
        meat += np.outer(g, g)
    bread = np.linalg.inv(J.T @ (weights[:, None] * J))
    best = np.array([fit.params["E"], np.log(fit.params["B"]), fit.params["beta"]])
    found = sandwich(power_data(sixty), weights, best, labels)
    assert found == pytest.approx(bread @ meat @ bread, rel=1e-6)
    assert found == pytest.approx(found.T, rel=1e-9)


def test_normal_draws_have_the_sandwich_as_their_covariance(sixty):
    fit = sc.fit(sixty, "power-D", objective="log-mse", method="delta", bootstrap=20_000)
    best = np.array([fit.params["E"], np.log(fit.params["B"]), fit.params["beta"]])
    expected = sandwich(power_data(sixty), np.ones(60), best, np.arange(60), leverage=1.0)
    logs = np.stack([fit.draws["E"], np.log(fit.draws["B"]), fit.draws["beta"]])
    assert np.cov(logs) == pytest.approx(expected, rel=0.05)
    assert logs.mean(axis=1) == pytest.approx(best, abs=4e-2 * logs.std(axis=1).max())
    lo, hi = fit.intervals["beta"]
    half = fit.interval.factor * norm.ppf(0.975) * np.sqrt(expected[2, 2])
    assert (hi - lo) / 2 == pytest.approx(half, rel=0.03)


@pytest.mark.parametrize("objective", ["log-mse", "log-huber"])
def test_sandwich_widths_are_close_to_those_of_pairs(sixty, objective):
    options = {"objective": objective, "delta": 0.004, "bootstrap": 500}
    pairs, delta = (sc.fit(sixty, "power-D", method=m, **options) for m in ("pairs", "delta"))
    assert dict(pairs.params) == dict(delta.params)
    assert se(delta) == pytest.approx(se(pairs), rel=0.35)
    assert delta.interval.failed == 0
    assert delta.interval.kind.startswith("sandwich covariance, normal draws, percentile")


@pytest.mark.parametrize("method", METHODS)
def test_copies_within_a_trunk_do_not_narrow_intervals(sixty, method):
    """Copies of a row are no news; as rows of their own three more would halve the interval."""
    one = sixty.assign(trunk=[f"t{i}" for i in range(60)])
    options = {"objective": "log-mse", "method": method, "bootstrap": 60}
    single = sc.fit(one, "power-D", **options)
    copied = sc.fit(pd.concat([one] * 4, ignore_index=True), "power-D", **options)
    assert copied.interval.clusters == single.interval.clusters == 60
    for name in NAMES:
        assert copied.intervals[name] == pytest.approx(single.intervals[name], rel=1e-4), name
    rows = pd.concat([sixty] * 4, ignore_index=True)
    naive = sc.fit(rows, "power-D", **options)
    assert se(naive) == pytest.approx(se(single) / 2, rel=0.35)


def test_the_sandwich_of_the_asymmetric_objective(sixty):
    """With a threshold beyond all residuals the loss is c r²/2, with c = 10 above and 1 below."""
    fit = sc.fit(sixty, "power-D", objective="asymmetric", delta=1.0, bootstrap=0)
    D = sixty.D.to_numpy()
    J = gradients(fit.params, D)
    r = np.log(fit.law.loss(fit.params, {"D": D})) - np.log(sixty.loss.to_numpy())
    charge = np.where(r > 0, 10.0, 1.0)
    bread = np.linalg.inv(J.T @ (charge[:, None] * J))
    scores = (charge * r)[:, None] * J
    best = np.array([fit.params["E"], np.log(fit.params["B"]), fit.params["beta"]])
    found = sandwich(power_data(sixty, "asymmetric", 1.0), np.ones(60), best, np.arange(60))
    assert found == pytest.approx(bread @ (scores.T @ scores) @ bread, rel=1e-6)


def test_the_sandwich_does_not_depend_on_the_unit_of_a_variable():
    """A coefficient of 1e-10 beside a level of 3: the same runs with N in billions agree."""
    N = np.geomspace(1e8, 1e10, 30)
    loss = 3 - 1e-10 * N + 0.01 * np.random.default_rng(0).standard_normal(30)
    options = {"objective": "log-mse", "method": "delta", "bootstrap": 400}
    counts, billions = (
        sc.fit(pd.DataFrame({"N": n, "loss": loss}), formula="E + k*N", **options)
        for n in (N, N / 1e9)
    )
    assert counts.params["k"] * 1e9 == pytest.approx(billions.params["k"], rel=1e-6)
    assert counts.interval.se["k"] * 1e9 == pytest.approx(billions.interval.se["k"], rel=0.15)
    assert counts.interval.se["E"] == pytest.approx(billions.interval.se["E"], rel=0.15)


# --------------------------------------------------------------------------------- few clusters


@pytest.mark.parametrize(("clusters", "parameters"), [(6, 5), (12, 5), (36, 5), (200, 3)])
@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_the_small_sample_factor(clusters, parameters, level):
    """√(G/(G-1)) for the clusters, Student's t over the normal for their spread."""
    left, upper = clusters - parameters, (1 + level) / 2
    expected = np.sqrt(clusters / (clusters - 1)) * t.ppf(upper, left) / norm.ppf(upper)
    assert small_sample_factor(clusters, parameters, level) == pytest.approx(expected, rel=1e-10)
    assert expected > 1


def test_the_factor_falls_to_one():
    found = [small_sample_factor(count, 3, 0.95) for count in (4, 6, 10, 30, 100, 10_000, 10**6)]
    assert found == sorted(found, reverse=True)
    assert found[-1] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("clusters", [1, 2, 3])
def test_the_factor_is_one_where_clusters_do_not_exceed_parameters(clusters):
    assert small_sample_factor(clusters, 3, 0.95) == 1.0


def test_only_free_parameters_count_for_the_factor(frame):
    fit = sc.fit(frame, "power-D", fixed={"E": 2.0}, delta="auto", bootstrap=10)
    assert fit.interval.factor == pytest.approx(small_sample_factor(16, 2, 0.95), rel=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_few_clusters_are_told(frame, method):
    few = frame.iloc[:11]
    fit = sc.fit(few, "power-D", method=method, bootstrap=10)
    (message,) = [m for m in fit.messages if m.code == "SC412"]
    assert "11 independent clusters (row)" in message.text
    assert "SC412" not in codes(sc.fit(frame, "power-D", method=method, bootstrap=10))


def test_many_rows_of_few_trunks_are_few_clusters(trunks):
    table = trunks.assign(trunk=[f"t{i % 4}" for i in range(32)])
    fit = sc.fit(table, "power-D", method="delta", bootstrap=10)
    (message,) = [m for m in fit.messages if m.code == "SC412"]
    assert "4 independent clusters (trunk)" in message.text


def test_an_unknown_method_is_refused(frame):
    with pytest.raises(ConfigError) as caught:
        sc.fit(frame, "power-D", method="jackknife", bootstrap=10)
    (fault,) = caught.value.faults
    assert fault.code == "SC004"
    assert '"jackknife"' in fault.found
    assert all(m in fault.expected for m in METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_a_law_with_every_parameter_held_has_intervals_of_no_width(frame, method):
    fit = sc.fit(frame, "power-D", fixed=POWER, method=method, bootstrap=5)
    assert {name: tuple(v) for name, v in fit.intervals.items()} == {
        name: (value, value) for name, value in POWER.items()
    }


# ------------------------------------------------------------------------------ chunks and threads


def drawn(table, method, objective):
    fit = sc.fit(
        table, "chinchilla", objective=objective, method=method, bootstrap=24, seed=7, delta=0.003
    )
    return np.stack([fit.draws[name] for name in fit.law.names])


@pytest.fixture(scope="module")
def surface(runs, hoffmann):
    """Return 36 noisy runs of the additive law."""
    return runs("chinchilla", hoffmann, noise=0.004, seed=3)


CASES = [("pairs", "log-huber"), ("pairs", "log-mse"), ("wild", "log-huber"), ("delta", "log-mse")]
every_case = pytest.mark.parametrize(("method", "objective"), CASES)


@every_case
def test_draws_do_not_depend_on_chunks(surface, monkeypatch, method, objective):
    whole = drawn(surface, method, objective)
    monkeypatch.setattr("scaling.fitting.intervals.CHUNK", 7)
    monkeypatch.setattr("scaling.fitting.solve.CHUNK_ELEMENTS", 500)
    assert drawn(surface, method, objective) == pytest.approx(whole, rel=1e-9)


def unequal_trunks(runs):
    """Return 400 runs, 300 of them from one trunk, the others each from their own."""
    order = np.random.default_rng(0).permutation(400)
    frame = runs("power-D", POWER, x_of(400), noise=0.003)
    return frame.assign(trunk=[f"t{0 if i < 300 else i}" for i in order])


@pytest.mark.parametrize(
    ("objective", "trunks"),
    [
        ("log-mse", False),
        ("log-huber", False),
        ("log-mse", True),
        ("log-huber", True),
    ],
)
def test_draws_of_many_rows_do_not_depend_on_chunks(runs, monkeypatch, objective, trunks):
    """Where rows that are not drawn are left out, a replicate still stands alone."""
    table = unequal_trunks(runs)
    table = table if trunks else table.drop(columns="trunk")
    found = []
    for chunk in (1000, 7, 1):
        monkeypatch.setattr("scaling.fitting.intervals.CHUNK", chunk)
        fit = sc.fit(table, "power-D", objective=objective, bootstrap=40, seed=3)
        found.append(np.stack([fit.draws[name] for name in NAMES]))
    assert found[1] == pytest.approx(found[0], rel=1e-9)
    assert found[2] == pytest.approx(found[0], rel=1e-9)


@pytest.mark.parametrize("clustered", [False, True], ids=["rows", "trunks"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_pairs_of_many_rows_equal_a_naive_loop(runs, clustered, weighted):
    """Trunks of many sizes, and rows of no weight; two fifths of the rows are not drawn."""
    frame = runs("power-D", POWER, x_of(200), noise=0.003, seed=6)
    labels = np.floor(np.sqrt(np.arange(200) * 20)).astype(int) if clustered else np.arange(200)
    labels = np.unique(labels, return_inverse=True)[1]
    table = frame.assign(w=np.arange(200) % 4 if weighted else 1.0)
    if clustered:
        table["trunk"] = [f"t{i}" for i in labels]
    fit = sc.fit(table, "power-D", objective="log-mse", bootstrap=15, seed=4, weights="w")
    D, log_y = table.D.to_numpy(), np.log(table.loss.to_numpy())
    clusters = labels.max() + 1
    assert fit.interval.clusters == clusters
    for k in range(15):
        picks = np.random.default_rng([4, k]).integers(0, clusters, clusters)
        drawn = np.bincount(picks, minlength=clusters)[labels]
        values = scipy_power(D, log_y, np.sqrt(drawn * table.w.to_numpy()))
        for name, value in zip(NAMES, values, strict=True):
            assert fit.draws[name][k] == pytest.approx(value, rel=1e-5), (name, k)


@every_case
def test_draws_do_not_depend_on_threads(surface, monkeypatch, method, objective):
    found = []
    monkeypatch.setattr("scaling.fitting.solve.CHUNK_ELEMENTS", 500)
    for count in (1, 5, None):
        monkeypatch.setattr(
            "scaling.fitting.solve.os", SimpleNamespace(cpu_count=lambda count=count: count)
        )
        found.append(drawn(surface, method, objective))
    assert (found[0] == found[1]).all()
    assert (found[0] == found[2]).all()


# ------------------------------------------------------------------------------------- a single run


@pytest.mark.parametrize("method", METHODS)
def test_a_new_run_is_less_certain_than_the_curve(sixty, method):
    fit = sc.fit(sixty, "power-D", objective="log-mse", method=method, bootstrap=300)
    table = fit.predict(D=np.geomspace(1e7, 1e12, 30))
    assert (table.run_lo < table.lo).all()
    assert (table.lo < table.loss).all()
    assert (table.loss < table.hi).all()
    assert (table.hi < table.run_hi).all()


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_fresh_runs_fall_in_their_interval_as_often_as_it_says(runs, level):
    """The curve's own interval covers far fewer."""
    train = runs("power-D", POWER, x_of(150), noise=0.01, seed=8)
    fit = sc.fit(train, "power-D", objective="log-mse", method="delta", bootstrap=2000)
    fresh = runs("power-D", POWER, {"D": np.tile(np.geomspace(1e7, 1e10, 40), 100)}, noise=0.01)
    table = fit.predict(D=fresh.D.to_numpy(), interval=level)
    loss = fresh.loss.to_numpy()
    inside = ((table.run_lo <= loss) & (loss <= table.run_hi)).mean()
    assert inside == pytest.approx(level, abs=0.06)
    assert ((table.lo <= loss) & (loss <= table.hi)).mean() < inside - 0.2


@pytest.mark.parametrize("objective", ["log-huber", "asymmetric"])
def test_fresh_runs_fall_in_the_interval_of_a_curve_that_is_no_mean(runs, objective):
    """Noise with a long tail above: the default objective's curve is a median, below the mean."""

    def skewed(x, seed):
        exact = runs("power-D", POWER, x)
        noise = np.random.default_rng(seed).exponential(0.02, len(exact))
        return exact.assign(loss=exact.loss * np.exp(noise))

    fit = sc.fit(skewed(x_of(150), 8), "power-D", objective=objective, bootstrap=500)
    fresh = skewed({"D": np.tile(np.geomspace(1e7, 1e10, 40), 100)}, 9)
    table = fit.predict(D=fresh.D.to_numpy(), interval=0.8)
    loss = fresh.loss.to_numpy()
    assert ((table.run_lo <= loss) & (loss <= table.run_hi)).mean() == pytest.approx(0.8, abs=0.06)


def test_the_same_fit_predicts_the_same_runs(frame):
    fit = sc.fit(frame, "power-D", bootstrap=20)
    one, two = (fit.predict(D=[1e8, 1e11]) for _ in range(2))
    pd.testing.assert_frame_equal(one, two)


def test_a_fit_without_draws_has_no_bounds(frame):
    row = sc.fit(frame, "power-D", bootstrap=0).predict(D=1e9).iloc[0]
    assert row[["lo", "hi", "run_lo", "run_hi"]].isna().all()


def test_a_held_parameter_costs_no_freedom(runs):
    """A power law whose offset is held at 0 is the power law without one."""
    table = runs("m1-D", {"B": 40.0, "beta": 0.15}, x_of(8), noise=0.003, seed=1)
    held = sc.fit(table, "power-D", objective="log-mse", fixed={"E": 0.0}, bootstrap=50)
    without = sc.fit(table, "m1-D", objective="log-mse", bootstrap=50)
    one, two = (fit.predict(D=[1e8, 1e11]) for fit in (held, without))
    for name in ("loss", "lo", "hi", "run_lo", "run_hi"):
        assert one[name].to_numpy() == pytest.approx(two[name].to_numpy(), rel=1e-6), name


def test_runs_of_a_negative_response_are_predicted():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"D": np.geomspace(1e7, 1e10, 20)})
    table["score"] = -9 + 0.2 * np.log(table.D) + 0.01 * rng.standard_normal(20)
    assert (table.score < 0).all()
    fit = sc.fit(table, formula="k*log(D) - c", objective="mse", response="score", bootstrap=40)
    row = fit.predict(D=1e9).iloc[0]
    assert row.run_lo < row.lo < row.loss < row.hi < row.run_hi


# ------------------------------------------------------------------------------- covariance


@pytest.mark.parametrize("method", METHODS)
def test_axes_are_the_independent_directions_of_the_draws(surface, method):
    fit = sc.fit(surface, "chinchilla", method=method, objective="log-mse", bootstrap=80)
    axes = fit.covariance["axes"]
    labels = ["E", "ln A", "ln B", "alpha", "beta"]
    assert [list(axis["loadings"]) for axis in axes] == [labels] * 5
    loadings = np.array([list(axis["loadings"].values()) for axis in axes])
    assert loadings @ loadings.T == pytest.approx(np.eye(5), abs=1e-10)
    z = np.stack([np.log(v) if k in "AB" else v for k, v in fit.draws.items()])
    covariance = fit.interval.factor**2 * np.cov(z)
    variances = np.array([axis["sd"] for axis in axes]) ** 2
    assert variances.sum() == pytest.approx(np.trace(covariance), rel=1e-9)
    rotated = loadings @ covariance @ loadings.T
    assert rotated == pytest.approx(np.diag(variances), abs=1e-9 * variances.max())


def test_the_matrix_is_that_of_the_draws(frame):
    fit = sc.fit(frame, "power-D", fixed={"E": 2.0}, bootstrap=30)
    assert fit.covariance["names"] == ["B", "beta"]
    expected = fit.interval.factor**2 * np.cov(np.stack([fit.draws["B"], fit.draws["beta"]]))
    assert np.array(fit.covariance["matrix"]) == pytest.approx(expected, rel=1e-12)


# -------------------------------------------------------------------------------- narrow thresholds


def test_draws_are_drawn_in_under_a_narrow_threshold_alone(runs, hoffmann):
    """By what resampling counts adds to a nearly absolute loss; other losses are left alone."""
    frame = runs("chinchilla", hoffmann, noise=0.004)
    plain = small_sample_factor(36, 5, 0.95)
    for options, drawn_in in (
        ({"delta": 1e-4}, True),
        ({"delta": "auto"}, False),
        ({"objective": "log-mse"}, False),
        ({"delta": 1e-4, "method": "delta"}, False),
    ):
        fit = sc.fit(frame, "chinchilla", bootstrap=30, **options)
        expected = plain / (1 + 1.4 * 5 / 36) if drawn_in else plain
        assert fit.interval.factor == pytest.approx(expected, rel=1e-12), options


def test_the_narrow_factor_goes_with_the_runs_and_the_residuals():
    def factor(n, clusters=None, delta=1e-9):
        return narrow_factor(np.linspace(-1, 1, n), delta, clusters or n, 5)

    found = [factor(n) for n in (25, 35, 70, 140, 10_000)]
    assert found == sorted(found)
    assert found[0] == pytest.approx(1 / (1 + 7 / 25))
    assert found[-1] > 0.999
    assert factor(105, 21) == pytest.approx(1 / (1 + 7 / np.sqrt(105 * 21)))
    by_threshold = [factor(100, delta=d) for d in (1e-9, 0.1, 0.3, 0.4, 0.48, 0.6)]
    assert by_threshold == sorted(by_threshold)
    assert by_threshold[0] == by_threshold[1] < by_threshold[2] < by_threshold[-1] == 1.0


def test_another_level_keeps_what_the_threshold_asks(runs, hoffmann):
    from scaling.fitting.prediction import Bands

    frame = runs("chinchilla", hoffmann, noise=0.004)
    fit = sc.fit(frame, "chinchilla", delta=1e-4, bootstrap=30)
    expected = small_sample_factor(36, 5, 0.8) / (1 + 1.4 * 5 / 36)
    assert Bands(fit, 0.8).factor == pytest.approx(expected, rel=1e-12)
