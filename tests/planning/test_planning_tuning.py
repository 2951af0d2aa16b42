"""The tuning stage: optima, the law through them, what is refused, and the check."""

import json
import math
import random

import numpy as np
import pytest

from scaling.errors import ConfigError, PlanError
from scaling.planning import recipes
from scaling.planning.recipes import tuning
from scaling.planning.recipes.optima import find, trials_of
from scaling.planning.recipes.tuning import FACTORS, Cell, Tuned, cells, check_rate, settle

SIZES = (1e4, 3e4, 1e5)
NAME = "bytes-small@1"


def truth(N):
    """Return the best rate at a size."""
    return 0.006 * (N / 3e4) ** -0.4


def offered(N):
    """Return the rate that the factors multiply: not the best one."""
    return 0.0055 * (N / 3e4) ** -0.2


def trained(
    sizes=SIZES, factors=FACTORS, seeds=1, *, best=truth, base=offered, sd=0.0, shared=0.0,
    skew=0.0, curve=0.04, limit=math.inf, stage="tune", rng=None,
):  # fmt: skip
    """Runs whose ln loss is a parabola in ln lr about the best rate, with noise."""
    rng, rows = rng or np.random.default_rng(0), []
    for N in sizes:
        levels = shared * rng.standard_normal(seeds)
        for factor in factors:
            for seed in range(seeds):
                x = math.log(base(N) * factor / best(N))
                log_loss = math.log(4 - 0.1 * math.log(N)) + curve * x**2 + skew * x**3
                log_loss += levels[seed] + sd * rng.standard_normal()
                ok = x < limit
                rows.append(
                    {"N": N, "D": 20 * N, "lr": base(N) * factor, "seed": seed, "stage": stage,
                     "loss": math.exp(log_loss) if ok else None,
                     "status": "done" if ok else "diverged"}
                )  # fmt: skip
    return rows


# ---------------------------------------------------------------------------------------- cells


def test_cells_are_listed_by_stage_size_factor_and_seed():
    found = cells([3e4, 1e4, 1e5, 1e4], ratio=20, factors=[2, 1, 0.5], seeds=2, check=1e6)
    assert len(found) == 3 * 3 * 2 + 3 * 2
    assert found[0] == Cell(1e4, 2e5, 0.5, 0, "tune")
    assert found[-1] == Cell(1e6, 2e7, 2.0, 1, "check")
    keys = [(c.stage == "check", c.N, c.factor, c.seed) for c in found]
    assert keys == sorted(keys)
    assert {c.D for c in cells(SIZES, tokens=5e5)} == {5e5}
    assert len(cells(SIZES, ratio=20)) == 15


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({}, "SC012"),
        ({"ratio": 20, "tokens": 1e6}, "SC012"),
        ({"ratio": 20, "check": 1e5}, "SC012"),
        ({"ratio": 20, "sizes": [1e4, 1e5, 1e5]}, "SC217"),
        ({"ratio": 20, "factors": [1, 2]}, "SC217"),
        ({"ratio": 20, "check": 1e6, "check_factors": [1]}, "SC217"),
    ],
    ids=str,
)
def test_stages_that_cannot_settle_anything_are_refused(options, code):
    with pytest.raises((ConfigError, PlanError)) as caught:
        cells(options.pop("sizes", SIZES), **options)
    assert caught.value.code == code


# --------------------------------------------------------------------------------------- optima


def test_parabolas_without_noise_give_the_law_itself():
    found = settle(trained(), recipe=NAME)
    assert [o.lr for o in found.optima] == [float(f"{truth(N):.4g}") for N in SIZES]
    assert [o.curvature for o in found.optima] == pytest.approx([0.08] * 3, rel=1e-4)
    assert found.p == pytest.approx(-0.4, abs=1e-3)
    assert found.k == pytest.approx(0.006 * 3e4**0.4, rel=0.01)
    assert found.range == (1e4, 1e5)
    for optimum in found.optima:
        assert optimum.low < optimum.lr < optimum.high


def test_skewed_bowls_shift_the_best_rate_by_little():
    """Loss rises more steeply above the best rate; the window keeps what that does small."""
    found = settle(trained(skew=0.012), recipe=NAME)
    assert [o.lr for o in found.optima] == pytest.approx([truth(N) for N in SIZES], rel=0.1)


def test_what_seeds_share_is_no_noise():
    rng = np.random.default_rng(3)
    found = settle(trained(seeds=3, shared=0.05, sd=1e-6, rng=rng), recipe=NAME)
    assert [o.lr for o in found.optima] == pytest.approx([truth(N) for N in SIZES], rel=1e-3)
    assert all(o.se < 1e-3 for o in found.optima)


def test_standard_errors_are_the_spread_over_studies():
    """Curvature 0.16 in ln loss, noise 1%: linear enough for the delta method."""
    logs, errors = [], []
    for k in range(300):
        rng = np.random.default_rng([7, k])
        rows = trained(seeds=3, sd=0.01, curve=0.16, rng=rng)
        found = find(trials_of(rows), None)
        logs.append([math.log(o.lr) for o in found])
        errors.append([o.se for o in found])
    spread = np.std(logs, axis=0)
    assert np.sqrt(np.mean(np.square(errors), axis=0)) == pytest.approx(spread, rel=0.15)


def test_known_noise_serves_where_seeds_are_not_repeated():
    assert [o.se for o in settle(trained(), recipe=NAME).optima] == [None] * 3
    found = settle(trained(base=truth), recipe=NAME, noise=0.01)
    # best rate in the middle of three: se = noise/(2 h²c) * sqrt(2) h / 2 with h = ln 2
    expected = 0.01 / (2 * 0.04) / (math.sqrt(2) * math.log(2))
    assert [o.se for o in found.optima] == pytest.approx([expected] * 3, rel=1e-3)


def test_the_order_of_rows_and_other_rows_do_not_matter():
    rows = trained(seeds=2, sd=0.003)
    mixed = [*rows, *trained([1e6], stage="check"), {**rows[0], "status": "failed", "loss": None}]
    random.Random(4).shuffle(mixed)
    assert settle(mixed, recipe=NAME) == settle(rows, recipe=NAME)


# ----------------------------------------------------------------------------- edges, divergence


@pytest.mark.parametrize(("shift", "word"), [(6.0, "highest"), (1 / 6, "lowest")])
def test_an_optimum_at_an_edge_is_refused_with_the_run_that_would_help(shift, word):
    rows = trained(best=lambda N: truth(N) * (shift if N == 3e4 else 1.0))
    with pytest.raises(PlanError) as caught:
        settle(rows, recipe=NAME)
    assert [f.code for f in caught.value.faults] == ["SC215"]
    (fault,) = caught.value.faults
    assert word in fault.found
    assert fault.where == "N = 3e+04"
    factor = 8.0 if word == "highest" else 0.125
    assert f"lr = {offered(3e4) * factor:.3g}" in fault.mend
    assert "D = 6e+05, 1 run:" in fault.mend


def test_the_named_run_settles_it():
    def shifted(N):
        return truth(N) * (4.5 if N == 3e4 else 1.0)

    rows = trained(best=shifted)
    rows += trained([3e4], [8.0], best=shifted)
    found = settle(rows, recipe=NAME)
    assert found.optima[1].lr == pytest.approx(shifted(3e4), rel=1e-3)


def test_runs_that_diverged_are_too_high():
    """The best finished rate is the highest; the diverged one above it brackets the optimum."""
    rows = trained(best=lambda N: 2.2 * offered(N), limit=0.5)
    assert {r["status"] for r in rows} == {"done", "diverged"}
    found = settle(rows, recipe=NAME)
    for optimum in found.optima:
        assert optimum.diverged
        assert optimum.lr == pytest.approx(2.2 * offered(optimum.N), rel=0.01)
        assert optimum.high == pytest.approx(4 * offered(optimum.N), rel=1e-4)
    rows = [r for r in rows if r["status"] == "done"]
    with pytest.raises(PlanError) as caught:
        settle(rows, recipe=NAME)
    assert {f.code for f in caught.value.faults} == {"SC215"}


def test_a_rate_with_one_diverged_seed_is_too_high():
    rows = trained(seeds=2)
    worse = [r for r in rows if r["N"] == 1e5 and r["seed"] == 1 and r["lr"] > 3 * offered(1e5)]
    worse[0].update(loss=math.nan)
    (optimum,) = [o for o in settle(rows, recipe=NAME).optima if o.N == 1e5]
    assert (optimum.rates, optimum.runs) == (4, 8)


def test_too_little_to_settle():
    with pytest.raises(PlanError) as caught:
        settle(trained(SIZES[:2]), recipe=NAME)
    assert caught.value.code == "SC217"
    with pytest.raises(PlanError) as caught:
        settle(trained(limit=-0.2), recipe=NAME)
    assert "SC217" in {f.code for f in caught.value.faults}


def test_equal_losses_have_no_minimum_but_a_width():
    rows = [{**r, "loss": 3.0 if 0.4 < r["lr"] / offered(r["N"]) < 3 else 3.5} for r in trained()]
    with pytest.raises(PlanError):  # the lowest of equals is next to the edge, not at it
        settle([r for r in rows if r["loss"] == 3.0], recipe=NAME)
    found = settle(rows, recipe=NAME)
    for optimum in found.optima:
        assert optimum.low <= optimum.lr <= optimum.high


# ------------------------------------------------------------------------------------------- law


def test_the_law_is_weighted_least_squares_in_logs():
    """Numpy's polynomial fit with the same weights, and its unscaled covariance."""
    from scipy.stats import t

    found = settle(trained(seeds=2, sd=0.02, sizes=(1e4, 2e4, 5e4, 1e5)), recipe=NAME)
    u = np.log([o.N for o in found.optima])
    v = np.log([o.lr for o in found.optima])
    deviation = np.hypot([o.se for o in found.optima], tuning.PARABOLA)
    (p, level), covariance = np.polyfit(u, v, 1, w=1 / deviation, cov="unscaled")
    assert found.p == pytest.approx(p, rel=1e-5)
    assert math.log(found.k) == pytest.approx(level, rel=1e-5)
    chi2 = float((((v - level - p * u) / deviation) ** 2).sum())
    widen = max(1.0, chi2 / 2) ** 0.5
    assert found.se_p == pytest.approx(widen * covariance[0, 0] ** 0.5, rel=1e-4)
    rate, lo, hi = found.rate(1e6)
    x = np.array([math.log(1e6), 1.0])
    half = t.ppf(0.975, 4 * (2 * 3 - 2 - 2)) * widen * math.sqrt(x @ covariance @ x)
    expected = [rate * math.exp(-half), rate * math.exp(half)]
    assert [lo, hi] == pytest.approx(expected, rel=2e-3)


def test_intervals_hold_the_truth_as_often_as_they_say():
    held = 0
    for k in range(100):
        rng = np.random.default_rng([11, k])
        found = settle(trained(seeds=2, sd=0.012, rng=rng), recipe=NAME, level=0.9)
        held += found.p_interval[0] <= -0.4 <= found.p_interval[1]
    assert 0.83 <= held / 100 <= 0.97


def test_without_errors_the_scatter_of_the_optima_counts():
    from scipy.stats import linregress, t

    def bent(N):
        return truth(N) * (1.3 if N == 3e4 else 1.0)

    found = settle(trained(best=bent), recipe=NAME)
    line = linregress(np.log(SIZES), np.log([o.lr for o in found.optima]))
    half = t.ppf(0.975, 1) * line.stderr
    assert found.p == pytest.approx(line.slope, rel=1e-4)
    assert found.p_interval == pytest.approx((line.slope - half, line.slope + half), rel=1e-4)


def test_a_bounded_exponent_is_told():
    found = settle(trained(), recipe=NAME, power=(-0.3, 0.0))
    assert found.p == -0.3
    assert [m.code for m in found.messages] == ["SC404"]


# ----------------------------------------------------------------------------------------- check


@pytest.fixture
def tuned():
    return settle(trained(seeds=2, sd=0.002), recipe=NAME)


def checked(tuned, best):
    return check_rate(
        tuned,
        trained([2e5], tuning.CHECK_FACTORS, 2, best=best, base=lambda N: tuned.rate(N)[0],
                sd=0.001, stage="check"),
    )  # fmt: skip


def test_a_law_that_holds_passes_its_check(tuned):
    result = checked(tuned, truth)
    assert result.check.agrees
    assert result.check.found == pytest.approx(truth(2e5), rel=0.05)
    assert result.check.lo < result.check.predicted < result.check.hi
    assert result.messages == tuned.messages
    assert result.id == tuned.id


@pytest.mark.parametrize(("factor", "edge"), [(1.35, False), (0.74, False), (3.0, True)])
def test_a_law_that_does_not_hold_fails_it(tuned, factor, edge):
    result = checked(tuned, lambda N: tuned.rate(N)[0] * factor)
    assert not result.check.agrees
    assert (result.check.found is None) == edge
    (message,) = [m for m in result.messages if m.code == "SC216"]
    assert "N = 2e+05" in message.text
    assert check_rate(result, trained([2e5], (0.5, 1, 2), base=truth, stage="check")).messages == ()


def test_a_check_without_runs(tuned):
    for rows in (trained(), trained([1e6], [1, 2], stage="check"), trained(stage="check")):
        with pytest.raises(PlanError) as caught:
            check_rate(tuned, rows)
        assert caught.value.code == "SC217"


# ---------------------------------------------------------------------------------------- files


def test_a_settled_stage_survives_its_file(tuned):
    for one in (tuned, checked(tuned, truth), checked(tuned, lambda N: 9 * truth(N))):
        plain = json.loads(json.dumps(one.as_dict(), allow_nan=False))
        assert Tuned.from_dict(plain) == one
        assert plain["schema"] == "scaling/tuning@1"
        assert plain["id"] == one.id


@pytest.mark.parametrize(
    "change", [{"schema": "scaling/fit@1"}, {"optima": [{"N": 1}]}, {"p_interval": None}]
)
def test_another_file_is_refused(tuned, change):
    with pytest.raises(ConfigError) as caught:
        Tuned.from_dict({**tuned.as_dict(), **change})
    assert caught.value.code == "SC012"


def test_a_recipe_takes_the_law(tuned):
    recipe = recipes.get("bytes-small").with_tuning(tuned)
    assert recipe.name == f"bytes-small@1+tuned-{tuned.id}"
    N = np.array([1e4, 1e5, 9e5])
    settings = recipe.settings({"N": N, "D": 20 * N, "T": 32.0})
    assert settings.lr.tolist() == [tuned.rate(n)[0] for n in N]
    assert recipe.concerns(settings, {"N": N}) == []
    beyond = np.array([1.1e6, 9e2])
    settings = recipe.settings({"N": beyond, "D": 1e7, "T": 32.0})
    (message,) = recipe.concerns(settings, {"N": beyond})
    assert (message.code, message.text[:6]) == ("SC219", "2 of 2")
    assert any("rate tuned at 3 sizes" in line for line in recipe.rules())


def test_a_law_of_another_recipe_is_refused(tuned):
    for other in (recipes.get("mup-2022"), recipes.get("bytes-small", {"beta2": 0.95})):
        with pytest.raises(ConfigError, match="tuned for bytes-small@1"):
            other.with_tuning(tuned)


def test_widths_of_a_coordinate_check():
    assert tuning.coordinate_widths(32) == (16, 32, 64, 128, 256)
    assert tuning.coordinate_widths(8) == (4, 8, 16, 32, 64)
