"""Statuses and messages: each fault of a design is told, with its code, and costs the headline."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import scaling as sc
from scaling.errors import FitError, TableError
from scaling.fitting import checks, intervals
from scaling.fitting.fit import surface_allocation


def grid(sizes, data):
    return {"N": np.repeat(sizes, len(data)), "D": np.tile(data, len(sizes))}


def ladder(power, factor=20.0):
    sizes = np.geomspace(1e7, 1e10, 20)
    return {"N": sizes, "D": factor * 1e8 * (sizes / 1e8) ** power}


SIZES, DATA = np.geomspace(1e7, 1e10, 6), np.geomspace(1e9, 5e11, 6)


def codes(fit):
    return {m.code for m in fit.messages}


@pytest.fixture(scope="module")
def good(runs, hoffmann):
    """Return a fit of a wide grid with 40 replicates."""
    return sc.fit(runs("chinchilla", hoffmann, noise=0.002), "chinchilla", bootstrap=40)


def test_a_good_design_passes(good):
    assert good.status == "converged"
    assert good.identified
    assert {c.verdict for c in good.checks} == {"pass"}
    assert not [m for m in good.messages if m.severity == "error"]
    assert good.certificate["agreement"] >= 0.5
    assert good.certificate["decrement"] < 1e-12


@pytest.mark.parametrize("n", [1, 3, 5])
def test_too_few_points_are_refused(runs, hoffmann, n):
    frame = runs("chinchilla", hoffmann).iloc[::6].head(n)
    with pytest.raises(FitError) as caught:
        sc.fit(frame, "chinchilla", bootstrap=0)
    assert caught.value.code == "SC401"
    assert caught.value.exit_code == 4
    assert f"{n} runs" in str(caught.value)


def test_fixed_parameters_do_not_need_points(runs, hoffmann):
    frame = runs("chinchilla", hoffmann).iloc[[0, 7, 14, 21, 28]]
    held = {"E": hoffmann["E"], "alpha": hoffmann["alpha"]}
    fit = sc.fit(frame, "chinchilla", fixed=held, bootstrap=0)
    assert dict(fit.params) == pytest.approx(hoffmann | {k: fit.params[k] for k in "ab"}, rel=1e-6)


def test_few_points_are_told(runs, hoffmann):
    frame = runs("chinchilla", hoffmann, grid(SIZES[::2], DATA[::2]), noise=0.002)
    fit = sc.fit(frame, "chinchilla", bootstrap=0)
    assert "SC401" in codes(fit)
    assert next(c for c in fit.checks if c.code == "SC401").verdict == "warn"


@pytest.mark.parametrize("bootstrap", [0, 20])
@pytest.mark.parametrize("power", [1.0, 0.8, 1.2])
def test_one_ray_is_not_identified(runs, hoffmann, power, bootstrap):
    frame = runs("chinchilla", hoffmann, ladder(power), noise=0.002)
    fit = sc.fit(frame, "chinchilla", bootstrap=bootstrap)
    assert fit.status == "not-identified"
    assert not fit.identified
    assert {"SC402", "SC405"} <= codes(fit)
    (message,) = [m for m in fit.messages if m.severity == "error"]
    assert message.code == "SC405"
    assert message.mend.endswith("--law power-C")
    assert [c.verdict for c in fit.checks if c.name == "range of D/N"] == ["fail"]


def test_noise_does_not_hide_a_ray(runs, hoffmann):
    """Rounding of D leaves the ray by a few per cent, which identifies nothing."""
    x = ladder(1.0)
    x["D"] = x["D"] * np.random.default_rng(0).uniform(0.95, 1.05, 20)
    fit = sc.fit(runs("chinchilla", hoffmann, x, noise=0.002), "chinchilla", bootstrap=0)
    assert fit.status == "not-identified"


@pytest.mark.parametrize(
    ("x", "name", "way"),
    [
        (grid(SIZES[[0, 5]], np.geomspace(1e9, 5e11, 12)), "N", "at other N"),
        (grid(SIZES[[0, 2, 5]], DATA), "N", "at other N"),
        (grid(np.geomspace(1e7, 1e10, 12), DATA[[1, 4]]), "D", "at other D"),
        (grid(np.geomspace(1e7, 1e10, 12), DATA[[2]]), "D", "--law power-N"),
        (grid(SIZES[[2]], np.geomspace(1e9, 5e11, 12)), "N", "--law power-D"),
    ],
    ids=["2 sizes", "3 sizes", "2 amounts", "1 amount", "1 size"],
)
def test_too_few_values_of_a_variable(runs, hoffmann, x, name, way):
    fit = sc.fit(runs("chinchilla", hoffmann, x, noise=0.001), "chinchilla", bootstrap=10)
    assert fit.status == "not-identified"
    assert {"SC403", "SC405"} <= codes(fit)
    assert [m.mend.endswith(way) for m in fit.messages if m.severity == "error"] == [True]
    assert [c.verdict for c in fit.checks if c.name == f"spread of {name}"] == ["fail"]


@pytest.mark.parametrize(
    ("law", "columns", "way"),
    [
        ("lr-step", ladder(1.0), "add runs at other D/N"),
        ("data-constrained", {**ladder(1.0), "D_unique": ladder(1.0)["D"] / 4},
         "add runs at other D/N"),
        ("chinchilla", {"N": np.full(20, 1e8), "D": np.full(20, 2e9)}, "add runs at other N and D"),
        ("power-D", {"D": np.full(20, 2e9)}, "add runs at other D"),
    ],
    ids=["another response", "another variable", "one point", "one variable"],
)  # fmt: skip
def test_no_simpler_law_is_named_where_none_is_meant(law, columns, way):
    response = np.linspace(3.0, 2.0, 20) * np.exp(0.01 * np.sin(np.arange(20)))
    table = pd.DataFrame({**columns, sc.law(law).response: response})
    fit = sc.fit(table, law, bootstrap=0)
    assert fit.status == "not-identified"
    assert [m.mend for m in fit.messages if m.severity == "error"] == [way]


def test_few_sizes_over_a_short_range_only_warn(runs, hoffmann):
    x = grid(np.geomspace(1e8, 5e8, 4), DATA)
    fit = sc.fit(runs("chinchilla", hoffmann, x, noise=1e-4), "chinchilla", bootstrap=20)
    assert fit.identified
    assert "SC403" in codes(fit)


@pytest.mark.parametrize(
    ("power", "span"), [(1.0, 1.0), (0.5, 1.0), (2.0, 1.0)], ids=["ray", "slow", "fast"]
)
def test_a_path_has_no_span(power, span):
    x = ladder(power)
    assert checks.ray_span(x) == pytest.approx(span, rel=1e-6)
    assert checks.ray_span({k: v * 1e-6 for k, v in x.items()}) == pytest.approx(span, rel=1e-6)


def test_the_span_of_isoflops_is_that_of_their_ratios():
    """At one compute the ratio D/N runs over the square of the range of N."""
    budgets = np.geomspace(1e16, 1e22, 5)
    n = np.concatenate([np.sqrt(c / 120) * np.array([0.25, 0.5, 1, 2, 4]) for c in budgets])
    d = np.repeat(budgets, 5) / 6 / n
    assert checks.ray_span({"N": n, "D": d}) == pytest.approx(256, rel=1e-6)
    assert checks.ray_span({"N": n[:5], "D": d[:5]}) == pytest.approx(1, rel=1e-6)


def test_a_wide_interval_of_an_exponent_takes_the_headline(runs, hoffmann):
    """An exponent between a tenth and a hundred times its estimate is not known."""
    x = grid(np.geomspace(1e8, 4e8, 5), np.geomspace(1e10, 4e10, 5))
    fit = sc.fit(runs("chinchilla", hoffmann, x, noise=0.05), "chinchilla", bootstrap=40)
    width = {
        name: (fit.intervals[name][1] - fit.intervals[name][0]) / fit.params[name]
        for name in ("alpha", "beta", "a")
    }
    name = max(width, key=width.get)
    assert width[name] > 20
    assert fit.status == "not-identified"
    (message,) = [m for m in fit.messages if m.severity == "error"]
    assert message.code == "SC405"
    assert f"interval of {name}" in message.text
    assert message.mend == "widen the range of N and D, or hold a parameter: --fix NAME=VALUE"


def test_without_bootstrap_no_intervals_are_told(runs, hoffmann):
    assert "SC416" in codes(sc.fit(runs("chinchilla", hoffmann), "chinchilla", bootstrap=0))


def test_few_clusters_are_told(runs):
    truth = {"E": 2.0, "B": 900.0, "beta": 0.4}
    frame = runs("power-D", truth, {"D": np.geomspace(1e7, 1e10, 11)}, noise=0.001)
    assert "SC412" in codes(sc.fit(frame, bootstrap=10))
    more = runs("power-D", truth, {"D": np.geomspace(1e7, 1e10, 12)}, noise=0.001)
    assert "SC412" not in codes(sc.fit(more, bootstrap=10))


def test_an_irreducible_loss_that_is_not_seen_is_told(runs):
    """The loss still falls as a power: E may be anything down to 0."""
    truth = {"E": 0.0, "B": 30.0, "beta": 0.1}
    frame = runs("power-D", truth, {"D": np.geomspace(1e7, 1e9, 14)}, noise=0.002)
    fit = sc.fit(frame, bootstrap=60)
    (message,) = [m for m in fit.messages if m.code == "SC411"]
    assert "E" in message.text


def test_correlated_parameters_are_told(good):
    found = [m for m in good.messages if m.code == "SC415"]
    assert any("A and alpha" in m.text for m in found)
    assert {m.severity for m in found} == {"info"}


def test_structure_that_the_law_misses_is_told(runs, hoffmann):
    frame = runs("chinchilla", hoffmann, noise=1e-3)
    fit = sc.fit(frame, "chinchilla", fixed={"beta": 0.6}, bootstrap=0)
    found = [m for m in fit.messages if m.code == "SC414"]
    assert any("against D" in m.text for m in found)


@pytest.mark.parametrize(("agreement", "verdict"), [(0.2, "warn"), (0.25, "pass"), (1.0, "pass")])
def test_starts_that_disagree_are_told(agreement, verdict):
    x = {"N": np.geomspace(1, 10, 9)}
    (check,) = [
        c for c in checks.fit_checks(x, np.zeros(9), 1.0, agreement) if c.name == "starts agree"
    ]
    assert check.verdict == verdict
    assert check.code == ("SC407" if verdict == "warn" else None)


def test_lost_replicates_are_told(good):
    lost = replace(good.interval, draws=95, failed=5)
    found = checks.interval_messages(lost, good.params, 2.0)
    assert [m.text for m in found if m.code == "SC409"] == ["5 of 100 bootstrap replicates failed."]
    few = replace(good.interval, draws=999, failed=1)
    assert "SC409" not in [m.code for m in checks.interval_messages(few, good.params, 2.0)]


def test_a_fit_of_which_every_replicate_fails_is_a_result(runs, hoffmann, monkeypatch):
    """As on exact runs on a ray; it must be told and not raised."""
    refine = intervals.refine

    def lose(*args, **options):
        found = refine(*args, **options)
        return replace(found, converged=np.zeros_like(found.converged))

    monkeypatch.setattr(intervals, "refine", lose)
    fit = sc.fit(runs("chinchilla", hoffmann, noise=0.002), "chinchilla", bootstrap=5)
    assert "SC409" in codes(fit)
    assert fit.intervals == {}
    assert fit.summary()


def test_a_fit_without_identification_gives_no_allocation(runs, hoffmann):
    fit = sc.fit(runs("chinchilla", hoffmann, ladder(1.0)), "chinchilla", bootstrap=0)
    allocation = surface_allocation(fit)
    assert (allocation.a, allocation.b, allocation.interval) == (None, None, None)
    assert allocation.line == {}
    assert "SC405" in {m.code for m in allocation.messages}


def test_what_the_law_needs_and_the_table_lacks(runs, hoffmann):
    frame = runs("chinchilla", hoffmann).drop(columns="D")
    with pytest.raises(TableError) as caught:
        sc.fit(frame, "chinchilla", bootstrap=0)
    assert caught.value.code == "SC105"


def test_hold_out_rows_are_predicted_and_not_fitted(runs, hoffmann):
    frame = runs("chinchilla", hoffmann, noise=0.002, seed=2)
    largest = float(np.sort(frame.N * frame.D)[-6])
    where = f"N*D >= {largest!r}"
    fit = sc.fit(frame, "chinchilla", holdout=where, bootstrap=30)
    other = sc.fit(frame[frame.N * frame.D < largest], "chinchilla", bootstrap=30)
    assert dict(fit.params) == dict(other.params)
    assert (fit.n, fit.holdout.n, fit.holdout.where) == (30, 6, where)
    held = frame[frame.N * frame.D >= largest]
    error = np.log(fit.law.loss(fit.params, held)) - np.log(held.loss)
    assert fit.holdout.rmse_log == pytest.approx(np.sqrt((error**2).mean()))
    assert fit.holdout.bias_log == pytest.approx(error.mean())
    assert fit.holdout.factor == pytest.approx(
        (held.N * held.D).max() / (frame.N * frame.D)[frame.N * frame.D < largest].max()
    )
    assert 0 <= fit.holdout.coverage <= 1
    assert sum(fit.rows["held_out"]) == 6
    assert sum(fit.rows["used"]) == 30
    assert not any(u and h for u, h in zip(fit.rows["used"], fit.rows["held_out"], strict=True))


def test_groups_are_fitted_apart(runs, hoffmann):
    one, two = (
        runs("chinchilla", hoffmann | {"E": e}, noise=0.001, seed=k).assign(recipe=name)
        for k, (name, e) in enumerate((("b", 1.2), ("a", 2.1)))
    )
    both = pd.concat([one, two], ignore_index=True)
    fits = sc.fit(both, "chinchilla", group="recipe", bootstrap=0)
    assert list(fits) == [("a", "chinchilla"), ("b", "chinchilla")]
    assert fits["b", "chinchilla"].params["E"] == pytest.approx(1.2, abs=0.05)
    assert fits["a", "chinchilla"].params["E"] == pytest.approx(2.1, abs=0.05)
    alone = sc.fit(one, "chinchilla", group="recipe", bootstrap=0)
    assert dict(alone.params) == dict(fits["b", "chinchilla"].params)


def test_the_rows_of_a_fit_say_everything(good, runs, hoffmann):
    frame = runs("chinchilla", hoffmann, noise=0.002)
    rows = good.rows
    assert {len(v) for v in rows.values()} == {36}
    assert rows["loss"] == frame.loss.tolist()
    predicted = good.law.loss(good.params, frame)
    assert rows["predicted"] == pytest.approx(predicted)
    assert rows["residual"] == pytest.approx(np.log(frame.loss / predicted))
    assert all(rows["used"])
