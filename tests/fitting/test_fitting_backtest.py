"""Laws ranked by what they were not shown, the likelihood beside it, and what papers printed."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import scaling as sc
from scaling.laws.literature import LITERATURE

LAWS = ["kaplan", "over-training", "chinchilla"]


@pytest.fixture(scope="module")
def frame(runs, hoffmann):
    """Return runs of the additive law with next to no noise."""
    return runs("chinchilla", hoffmann, noise=1e-5)


@pytest.fixture(scope="module")
def noisy(runs, hoffmann):
    """Return runs with 1% noise."""
    return runs("chinchilla", hoffmann, noise=0.01)


@pytest.fixture(scope="module")
def ranked(frame):
    """Return the comparison of three laws by least squares of logs."""
    return sc.compare(sc.fit(frame, LAWS, objective="log-mse", bootstrap=0))


def told(found, code):
    return [m.text for m in found.messages if m.code == code]


def test_the_true_law_is_first_and_the_one_without_a_floor_last(ranked):
    assert [r["law"] for r in ranked.laws] == ["chinchilla", "over-training", "kaplan"]
    assert [r["backtest"]["rank"] for r in ranked.laws] == [1, 2, 3]
    errors = [r["backtest"]["rmse_log"] for r in ranked.laws]
    assert errors[0] < 1e-4 < 1e-3 < errors[1] < errors[2]
    assert [r["k"] for r in ranked.laws] == [5, 4, 4]
    assert ranked.laws[2]["backtest"]["bias_log"] < -0.01  # without a floor it falls too low
    assert (ranked.rows, ranked.tests) == ((), ())
    # Of the comparison itself nothing is told; what limits a fit is told with its name.
    assert all(m.text.startswith("table, ") for m in ranked.messages)
    assert not [m for m in ranked.messages if m.text.startswith("table, chinchilla")]


def test_origins_roll_over_compute_and_never_see_what_they_predict(ranked, frame):
    """One origin, fitted and scored here by hand."""
    compute = (6 * frame.N * frame.D).to_numpy()
    for row in ranked.laws:
        origins = row["backtest"]["origins"]
        assert row["backtest"]["along"] == "C"
        cuts = [o["cut"] for o in origins]
        assert cuts == sorted(set(cuts))
        assert 2 <= len(cuts) <= 5
        for o in origins:
            assert o["train"] == (compute <= o["cut"] * (1 + 1e-9)).sum()
            assert o["train"] + o["test"] == len(frame)
            assert o["test"] > 0
            assert o["factor"] == pytest.approx(compute.max() / o["cut"])
        assert row["backtest"]["rmse_log"] == pytest.approx(
            np.mean([o["rmse_log"] for o in origins])
        )
        assert row["backtest"]["bias_log"] == pytest.approx(
            np.mean([o["bias_log"] for o in origins])
        )
        o = origins[1]
        below = compute <= o["cut"] * (1 + 1e-9)
        made = sc.fit(frame[below], row["law"], objective="log-mse", bootstrap=0)
        rest = frame[~below]
        error = np.log(made.predict(N=rest.N, D=rest.D).loss.to_numpy() / rest.loss.to_numpy())
        assert o["rmse_log"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-3)
        assert o["bias_log"] == pytest.approx(error.mean(), rel=1e-3, abs=1e-8)


def criteria(log_likelihood, k, n):
    """AICc and BIC with the noise as a parameter."""
    aic = -2 * log_likelihood + 2 * k
    return aic + 2 * k * (k + 1) / (n - k - 1), -2 * log_likelihood + k * np.log(n)


def test_criteria_are_of_the_likelihood_of_the_loss_itself(noisy):
    """The normal and the log-normal density of scipy, so that logs and levels compare."""
    y = noisy.loss.to_numpy()
    logs, levels = (sc.fit(noisy, "chinchilla", objective=o, bootstrap=0)
                    for o in ("log-mse", "mse"))  # fmt: skip
    found = sc.compare([logs, levels])
    rows = {r["aicc"]: r for r in found.laws}
    curves = [f.predict(N=noisy.N, D=noisy.D).loss.to_numpy() for f in (logs, levels)]
    spread = np.sqrt(np.mean(np.log(y / curves[0]) ** 2))
    of_logs = stats.lognorm.logpdf(y, spread, scale=curves[0]).sum()
    spread = np.sqrt(np.mean((y - curves[1]) ** 2))
    of_levels = stats.norm.logpdf(y, curves[1], spread).sum()
    expected = [criteria(value, 6, 36) for value in (of_logs, of_levels)]
    assert sorted(rows) == pytest.approx(sorted(a for a, _ in expected), abs=1e-6)
    assert sorted(r["bic"] for r in rows.values()) == pytest.approx(
        sorted(b for _, b in expected), abs=1e-6
    )
    assert abs(of_logs - of_levels) < 10  # without the Jacobian they would be 36 mean ln y apart
    assert abs(np.log(y).sum()) > 25


def test_criteria_tell_laws_apart(ranked):
    assert [r["aicc"] for r in ranked.laws] == sorted(r["aicc"] for r in ranked.laws)
    assert [r["bic"] for r in ranked.laws] == sorted(r["bic"] for r in ranked.laws)


def test_a_robust_objective_is_no_likelihood(frame):
    found = sc.compare(sc.fit(frame, LAWS, objective="log-huber", bootstrap=0))
    assert [r["law"] for r in found.laws] == ["chinchilla", "over-training", "kaplan"]
    assert {(r["aicc"], r["bic"]) for r in found.laws} == {(None, None)}
    (text,) = told(found, "SC435")
    assert "log-huber is not a likelihood" in text
    assert "log-mse" in text
    stored = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert [r["aicc"] for r in stored["laws"]] == [None] * 3


def test_laws_that_predict_equally_well_are_not_told_apart(noisy):
    twice = sc.fit(noisy, ["chinchilla", "kaplan"], formula="E + A/N**alpha + B/D**beta",
                   objective="log-mse", bootstrap=0)  # fmt: skip
    found = sc.compare(twice)
    errors = [r["backtest"]["rmse_log"] for r in found.laws]
    assert errors[1] == pytest.approx(errors[0], rel=1e-3)
    assert errors[2] > 1.1 * errors[0]
    (text,) = told(found, "SC435")
    assert "chinchilla" in text
    assert "E + A/N**alpha + B/D**beta" in text
    assert "kaplan" not in text
    assert told(sc.compare([twice.fits[0], twice.fits[1]]), "SC435") == []


def test_too_few_levels_are_not_ranked(runs, hoffmann):
    budget, off = np.repeat([1e18, 1e20], 6), np.tile(np.geomspace(0.2, 5, 6), 2)
    size = sc.law("chinchilla").frontier.size(hoffmann, budget) * off
    few = runs("chinchilla", hoffmann, {"N": size, "D": budget / 6 / size}, noise=1e-3)
    found = sc.compare(sc.fit(few, ["chinchilla", "kaplan"], objective="log-mse", bootstrap=0))
    assert [r["backtest"]["rank"] for r in found.laws] == [None, None]
    assert [r["backtest"]["origins"] for r in found.laws] == [[], []]
    assert "not ranked" in told(found, "SC435")[0]
    json.dumps(found.as_dict(), allow_nan=False)


def test_laws_of_one_variable_roll_over_it(runs):
    frame = runs("power-D", {"E": 2.0, "B": 900.0, "beta": 0.4}, noise=1e-5)
    found = sc.compare(sc.fit(frame, ["m1-D", "power-D"], objective="log-mse", bootstrap=0))
    assert [r["law"] for r in found.laws] == ["power-D", "m1-D"]
    assert {r["backtest"]["along"] for r in found.laws} == {"D"}


def test_held_parameters_stay_held(frame, hoffmann):
    fixed = {"E": hoffmann["E"] + 0.1}
    one = sc.fit(frame, "chinchilla", objective="log-mse", bootstrap=0)
    two = sc.fit(frame, "chinchilla", objective="log-mse", bootstrap=0, fixed=fixed)
    found = sc.compare([two, one])
    assert [r["k"] for r in found.laws] == [5, 4]
    good, bad = (r["backtest"]["rmse_log"] for r in found.laws)
    assert bad > 30 * good


def test_groups_are_ranked_each_by_itself(frame, runs):
    other = runs("kaplan", sc.law("kaplan").published[0].params, noise=1e-5)
    both = pd.concat([frame.assign(g="x"), other.assign(g="y")])
    found = sc.compare(sc.fit(both, ["kaplan", "chinchilla"], group="g", objective="log-mse",
                              bootstrap=0))  # fmt: skip
    best = {r["group"]: r["law"] for r in found.laws if r["backtest"]["rank"] == 1}
    assert best == {"x": "chinchilla", "y": "kaplan"}
    assert len(found.laws) == 4


def test_the_frame_of_laws(ranked):
    flat = json.loads(ranked.to_frame().to_json(orient="records", double_precision=15))
    stored = json.loads(json.dumps(ranked.as_dict(), allow_nan=False))["laws"]
    for row, full in zip(flat, stored, strict=True):
        assert (row["law"], row["k"], row["n"]) == (full["law"], full["k"], full["n"])
        assert row["rank"] == full["backtest"]["rank"]
        assert row["rmse_log"] == pytest.approx(full["backtest"]["rmse_log"], rel=1e-9)
        assert (row["aicc"], row["bic"]) == pytest.approx((full["aicc"], full["bic"]), rel=1e-9)


# ------------------------------------------------------------------------------- literature


def test_what_papers_printed_stands_beside_the_fit_with_its_convention(noisy):
    fit = sc.fit(noisy, "chinchilla", bootstrap=30, convention="without embeddings")
    found = sc.compare(fit)
    assert (found.laws, found.rows) == ((), ())
    assert {r["source"] for r in found.literature} == {
        i.source for i in LITERATURE if set(i.values) & {"a", "b", "E", "alpha", "beta"}
    }
    for row in found.literature:
        (item,) = [i for i in LITERATURE if i.source == row["source"]]
        assert row["published"] == item.values[row["quantity"]]
        assert row["value"] == fit.params[row["quantity"]]
        assert row["interval"] == list(fit.intervals[row["quantity"]])
        assert row["convention"] == item.convention != ""
        assert "without embeddings" in row["own_convention"]
        assert "6*N*D" in row["own_convention"]
        printed = item.intervals.get(row["quantity"])
        assert row["published_interval"] == list(printed or (None, None))
        if printed:
            assert row["kind"] != ""
    (third,) = [r for r in found.literature if "approach 3" in r["source"]
                and "refit" not in r["source"] and r["quantity"] == "a"]  # fmt: skip
    assert (third["published"], third["published_interval"]) == (0.46, [0.454, 0.455])
    assert "80%" in third["kind"]
    json.dumps(found.as_dict(), allow_nan=False)


def test_a_fit_that_is_not_identified_stands_beside_nothing():
    size = 1e7 * 2.0 ** np.arange(12)
    loss = 1.7 + 400 / size**0.34 + 0.001 * (np.arange(12) * 7 % 5)
    ray = pd.DataFrame({"N": size, "D": 20 * size, "loss": loss})
    fit = sc.fit(ray, "chinchilla", bootstrap=0)
    assert fit.status == "not-identified"
    assert sc.compare(fit).literature == ()


def test_every_printed_interval_holds_its_source_and_kind():
    assert len({i.source for i in LITERATURE}) == len(LITERATURE) >= 8
    for item in LITERATURE:
        assert item.convention
        assert set(item.intervals) <= set(item.values)
        assert bool(item.kind) == bool(item.intervals)
        for low, high in item.intervals.values():
            assert low < high
