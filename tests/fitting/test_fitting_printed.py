"""Figures that were printed: each quantity against the fit itself, and what cannot be meant."""

import json
from dataclasses import replace

import numpy as np
import pytest

from scaling.errors import ConfigError
from scaling.fitting.analyse import Ways, analyse, combine
from scaling.fitting.options import Options
from scaling.fitting.printed import Printed, compare_with_printed
from scaling.fitting.stored import load
from scaling.fitting.summary import summarise_printed
from scaling.runs.read import read_table

NEAR = {"source": "A paper (2020), table 1", "relative": 1e-9}
AT = {"N": 3e9, "D": 2e11}


@pytest.fixture(scope="module")
def parts(tmp_path_factory, runs, hoffmann):
    """Return two fits of 36 runs: levels held out, and logs by two groups with isoFLOP minima."""
    frame = runs("chinchilla", hoffmann, noise=0.003)
    frame["C"] = 6 * frame.N * frame.D
    frame["run"] = [f"r{i}" for i in range(len(frame))]
    path = tmp_path_factory.mktemp("printed") / "runs.csv"
    frame.to_csv(path, index=False)
    held = analyse(
        read_table(path),
        options=Options("mse", bootstrap=40, holdout="C > 1e22"),
    )
    budgets = np.repeat(np.geomspace(1e18, 1e21, 4), 14)
    sizes = budgets**0.5 * 0.1 * np.tile(np.geomspace(0.25, 4, 14), 4)
    x = {"N": sizes, "D": budgets / 6 / sizes}
    frame = runs("chinchilla", hoffmann, x, noise=0.001)
    frame["budget"] = budgets
    frame["half"] = np.where(np.arange(len(frame)) % 2, "odd", "even")
    frame.to_csv(path.with_name("isoflop.csv"), index=False)
    halves = analyse(
        read_table(path.with_name("isoflop.csv")),
        approaches=["surface", "isoflop"],
        group="half",
        options=Options(bootstrap=40),
        ways=Ways("parabola", edge="keep"),
    )
    return [("held", held), (None, halves)]


@pytest.fixture
def found(parts):
    def find(quantity, value=1.0, **more):
        (row,) = compare_with_printed(parts, [Printed(quantity, value, **{**NEAR, **more})])
        return row

    return find


def of_held(parts):
    return parts[0][1].fits[0]


@pytest.mark.parametrize("name", ["E", "A", "alpha", "beta", "a", "b"])
def test_parameters_with_their_errors_and_intervals(parts, found, name):
    fit = of_held(parts)
    assert found(name, fit="held")["found"] == fit.params[name]
    assert found(name, fit="held", statistic="se")["found"] == fit.interval.se[name]
    ends = [found(name, fit="held", statistic=s)["found"] for s in ("lo", "hi")]
    assert ends == list(fit.intervals[name])


def test_scores_of_the_fitted_and_the_held_out_rows(parts, found):
    fit = of_held(parts)
    used = np.array(fit.rows["used"])
    y, p = (np.array(fit.rows[k])[used] for k in ("loss", "predicted"))
    assert 0 < used.sum() < 36
    expected = {
        "n": used.sum(),
        "objective": fit.objective.value,
        "rmse_log": np.sqrt(np.mean((np.log(p) - np.log(y)) ** 2)),
        "r2": 1 - np.sum((y - p) ** 2) / (np.var(y) * len(y)),
        "r2_log": 1 - np.sum(np.log(y / p) ** 2) / (np.var(np.log(y)) * len(y)),
        "holdout_rmse_log": fit.holdout.rmse_log,
        "holdout_bias_log": fit.holdout.bias_log,
    }
    for name, value in expected.items():
        assert found(name, fit="held")["found"] == pytest.approx(value, rel=1e-12), name
    assert expected["r2"] != pytest.approx(expected["r2_log"], rel=1e-6)


def test_answers_of_a_fit(parts, found):
    fit = of_held(parts)
    here = fit.predict(**AT).iloc[0]
    best = fit.optimal(C=1e23).iloc[0]
    at = {"at": {"C": 1e23}, "fit": "held"}
    assert found("loss", at=AT, fit="held")["found"] == here["loss"]
    assert found("loss", at=AT, fit="held", statistic="hi")["found"] == here["hi"]
    assert found("loss", **at)["found"] == best["loss"]
    assert found("N", **at)["found"] == best["N"]
    assert found("D", statistic="lo", **at)["found"] == best["D_lo"]
    assert found("D/N", **at)["found"] == pytest.approx(best["D"] / best["N"], rel=1e-12)


def test_error_of_a_run_that_was_held_out(parts, found):
    fit = of_held(parts)
    assert not fit.rows["used"][35]
    observed = fit.rows["loss"][35]
    error = abs(fit.rows["predicted"][35] / observed - 1)
    assert found("error", run="r35", fit="held")["found"] == pytest.approx(error, rel=1e-9)
    there = fit.predict(N=fit.rows["N"][35], D=1e9)["loss"][0]
    moved = found("error", run="r35", at={"D": 1e9}, fit="held")["found"]
    assert moved == pytest.approx(abs(there / observed - 1), rel=1e-9)


def test_fits_are_chosen_by_group_objective_and_law_and_averaged(parts, found):
    even, odd = (parts[1][1][name, "chinchilla"].params["alpha"] for name in ("even", "odd"))
    assert even != odd
    assert found("alpha", group="odd")["found"] == odd
    assert found("alpha", objective="mse")["found"] == of_held(parts).params["alpha"]
    mean = found("alpha", objective="log-huber", law="chinchilla", mean=True)
    assert mean["found"] == pytest.approx((even + odd) / 2, rel=1e-15)
    assert mean["quantity"] == "mean alpha"


def test_allocations(parts, found):
    line = next(a for a in parts[1][1].allocations if a.approach == "isoflop" and a.group == "odd")
    chosen = {"approach": "isoflop", "group": "odd"}
    assert found("a", **chosen)["found"] == line.a
    assert found("b", statistic="hi", **chosen)["found"] == line.interval["b"][1]
    level, slope = line.line["N"]
    expected = np.exp(level + slope * np.log(1e21))
    assert found("N", at={"C": 1e21}, **chosen)["found"] == pytest.approx(expected, rel=1e-12)
    ratio = found("D", at={"C": 1e21}, **chosen)["found"] / expected
    assert found("D/N", at={"C": 1e21}, **chosen)["found"] == pytest.approx(ratio, rel=1e-12)
    level, slope = line.line["loss"]
    assert found("loss_exponent", **chosen)["found"] == slope
    assert found("loss_factor", **chosen)["found"] == pytest.approx(np.exp(level), rel=1e-12)


@pytest.mark.parametrize(
    ("off", "agrees"), [(0.99, True), (-0.99, True), (1.01, False), (-1.01, False), (10, False)]
)
@pytest.mark.parametrize("kind", ["tolerance", "relative"])
def test_a_figure_agrees_within_its_tolerance_either_way(parts, found, off, agrees, kind):
    value = of_held(parts).params["alpha"]
    printed = value + off * 0.01
    allowed = {"relative": None, kind: 0.01 if kind == "tolerance" else 0.01 / printed}
    row = found("alpha", printed, fit="held", **allowed)
    assert row["agrees"] is agrees
    assert row["tolerance"] == pytest.approx(0.01, rel=1e-12)


def test_what_no_fit_answers_disagrees_and_says_why(parts):
    bare = replace(of_held(parts), interval=None, holdout=None, status="not-identified")
    alone = [(None, replace(parts[0][1], fits=(bare,)))]
    asked = [
        Printed("alpha", 0.3, statistic="se", **NEAR),
        Printed("holdout_rmse_log", 0.1, **NEAR),
        Printed("N", 1e9, at={"C": 1e21}, **NEAR),
        Printed("a", 0.5, approach="surface", **NEAR),
    ]
    rows = compare_with_printed(alone, asked)
    assert [row["found"] is None for row in rows] == [True, True, True, False]
    assert not any(row["agrees"] for row in rows)
    assert ["no replicates" in rows[0]["why"], "no rows" in rows[1]["why"]] == [True, True]
    assert "not-identified" in rows[2]["why"]
    text = summarise_printed(rows)
    assert text.startswith("figures that were printed: 0 of 4 agree")
    assert text.count("none") == 3


@pytest.mark.parametrize(
    ("asked", "found_text", "expected"),
    [
        ({"quantity": "gamma", "fit": "held"}, "nothing that this fit has", "alpha"),
        ({"quantity": "alpha"}, "3 fits", "fit, law, group"),
        ({"quantity": "alpha", "group": "none"}, 'no fit for "none"', "group"),
        ({"quantity": "alpha", "fit": "held", "approach": "envelope"}, "no fit", "approach"),
        ({"quantity": "N", "fit": "held"}, "at no C", "at = { C"),
        ({"quantity": "loss", "fit": "held", "at": {"N": 1e9}}, "at", "N, D"),
        ({"quantity": "objective", "fit": "held", "statistic": "se"}, "no interval", "no stat"),
        ({"quantity": "error", "fit": "held", "run": "none"}, "stands 0 times", "one run"),
        ({"quantity": "E", "approach": "isoflop", "group": "odd"}, "an allocation has", "loss_f"),
    ],
)
def test_what_cannot_be_meant_is_refused(found, asked, found_text, expected):
    with pytest.raises(ConfigError) as caught:
        found(**asked)
    (fault,) = caught.value.faults
    assert fault.code == "SC012"
    assert fault.where == f"[[printed]] 1 {asked['quantity']}"
    assert found_text in fault.found
    assert expected in fault.expected


def test_rows_are_kept_in_fit_json_and_printed(parts, tmp_path):
    fits = combine([part for _, part in parts])
    asked = [Printed("E", 1.7, "Somebody (2021)", tolerance=1.0, fit="held", note="rounded"),
             Printed("E", 9.0, "Somebody (2021)", tolerance=1.0, fit="held")]  # fmt: skip
    rows = compare_with_printed(parts, asked)
    replace(fits, provenance={**fits.provenance, "printed": rows}).save(tmp_path / "fit.json")
    assert load(tmp_path / "fit.json").provenance["printed"] == json.loads(json.dumps(rows))
    assert [row["agrees"] for row in rows] == [True, False]
    assert rows[0]["note"] == "rounded"
    lines = summarise_printed(rows).splitlines()
    assert sum("Somebody (2021)" in line for line in lines) == 1
    assert [line.startswith("  ! ") for line in lines[-2:]] == [False, True]
    assert max(map(len, lines)) <= 80
