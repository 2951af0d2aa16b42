"""IsoFLOP minima: those of synthetic curves are found, those at edges are refused."""

import numpy as np
import pandas as pd
import pytest

import scaling as sc
from scaling.errors import ConfigError, TableError
from scaling.fitting.analyse import analyse
from scaling.fitting.options import Options
from scaling.runs.read import from_frame

BUDGETS = np.array([1e17, 1e18, 1e19, 1e20, 1e21])
SHIFTS = np.log(4.0) * np.linspace(-1, 1, 9)
A, SCALE = 0.47, 3e-1  # N* = SCALE C^A


def bowls(budgets=BUDGETS, shifts=SHIFTS, noise=0.0, seed=0, bend=0.02, skew=0.0, centre=0.0):
    """Return runs whose loss is a polynomial of ln N at each budget, lowest at N*."""
    rng = np.random.default_rng(seed)
    parts = []
    for budget in budgets:
        best = np.log(SCALE) + A * np.log(budget)
        w = shifts + centre
        size = np.exp(best + w)
        loss = 3.0 * (budget / 1e17) ** -0.03 * (1.0 + bend * w**2 + skew * bend * w**3)
        loss = loss * np.exp(noise * rng.standard_normal(len(w)))
        parts.append(
            pd.DataFrame({"N": size, "D": budget / 6 / size, "C": budget, "budget": budget,
                          "loss": loss})
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def codes(allocation):
    return {m.code for m in allocation.messages}


@pytest.mark.parametrize("minimum", ["parabola", "cubic", "quartic"])
def test_minima_of_parabolas_are_found(minimum):
    found = sc.isoflop(bowls(), minimum=minimum, bootstrap=0)
    assert [m.budget for m in found.minima] == BUDGETS.tolist()
    for m in found.minima:
        assert m.bracketed
        assert m.why is None
        assert pytest.approx(SCALE * m.budget**A, rel=1e-6) == m.N
        assert pytest.approx(m.budget / 6 / m.N, rel=1e-6) == m.D
        depth = 3.0 * (m.budget / 1e17) ** -0.03
        assert m.loss == pytest.approx(depth, rel=1e-9)
    assert found.a == pytest.approx(A, rel=1e-6)
    assert found.b == pytest.approx(1 - A, rel=1e-6)
    assert found.line["N"] == pytest.approx([np.log(SCALE), A], rel=1e-5)
    assert found.approach == "isoflop"
    assert minimum in found.method


def test_minima_by_spline_are_close():
    found = sc.isoflop(bowls(), minimum="spline", bootstrap=0)
    assert found.a == pytest.approx(A, abs=0.002)
    for m in found.minima:
        assert pytest.approx(SCALE * m.budget**A, rel=0.02) == m.N


def test_skewed_curves_bias_a_parabola_and_not_a_cubic():
    frame = bowls(skew=0.25)
    ratio = {}
    for minimum in ("parabola", "cubic", "quartic"):
        (m, *_) = sc.isoflop(frame, minimum=minimum, bootstrap=0).minima
        ratio[minimum] = abs(np.log(m.N / (SCALE * m.budget**A)))
    assert ratio["parabola"] > 0.1
    assert ratio["cubic"] < 1e-5
    assert ratio["quartic"] < 1e-5


def test_bias_on_the_surface(runs, hoffmann):
    """±4×, 15 points, exponents .34 and .28: D* of a parabola −1.30%, quartic N* −.011%
    (methods, 4, for parabolas of the loss itself, so the logarithm leaves a small difference)."""
    law = sc.law("chinchilla")
    p = hoffmann | {"alpha": 0.34, "beta": 0.28}
    budgets = np.array([1e18, 1e19, 1e20])
    best = law.frontier.size(p, budgets)
    size = np.concatenate([b * np.exp(np.log(4) * np.linspace(-1, 1, 15)) for b in best])
    compute = np.repeat(budgets, 15)
    x = {"N": size, "D": compute / 6 / size}
    frame = runs(law, p, x).assign(budget=compute)
    errors = {}
    for minimum in ("parabola", "quartic"):
        minima = sc.isoflop(frame, minimum=minimum, bootstrap=0).minima
        errors[minimum] = np.array([m.N / n - 1 for m, n in zip(minima, best, strict=True)])
    assert errors["parabola"] == pytest.approx([0.013] * 3, abs=0.01)
    assert np.abs(errors["quartic"]).max() < 5e-4


def test_minima_outside_the_sizes_are_refused():
    frame = bowls(centre=2.0)
    found = sc.isoflop(frame, bootstrap=0)
    for m in found.minima:
        assert (m.N, m.D, m.loss, m.bracketed) == (None, None, None, False)
        assert "edge" in m.why
    assert (found.a, found.b, found.interval) == (None, None, None)
    assert {"SC406", "SC417"} <= codes(found)
    assert found.line == {}


def test_only_the_bracketed_minima_make_the_line():
    good, bad = bowls(BUDGETS[:4]), bowls(BUDGETS[4:], centre=-2.0)
    found = sc.isoflop(pd.concat([good, bad], ignore_index=True), bootstrap=0)
    assert [m.bracketed for m in found.minima] == [True] * 4 + [False]
    assert found.a == pytest.approx(A, rel=1e-6)
    (message,) = [m for m in found.messages if m.code == "SC406"]
    assert "1e+21" in message.text
    assert "1e+20" not in message.text


def test_edges_may_be_kept_and_are_still_flagged():
    found = sc.isoflop(bowls(centre=2.0), edge="keep", bootstrap=0)
    assert not any(m.bracketed for m in found.minima)
    assert all(m.N is not None and "edge" in m.why for m in found.minima)
    assert found.a is not None
    assert "SC406" in codes(found)


def test_curves_that_bend_downwards_are_refused():
    found = sc.isoflop(bowls(bend=-0.02), bootstrap=0)
    assert not any(m.bracketed for m in found.minima)
    assert found.a is None


def test_one_noisy_edge_run_does_not_make_a_minimum():
    """The lowest run is at the edge though the curve has its minimum inside: not bracketed."""
    frame = bowls(BUDGETS[:1])
    frame.loc[0, "loss"] *= 0.9
    (m,) = sc.isoflop(frame, minimum="parabola", bootstrap=0).minima
    assert not m.bracketed


@pytest.mark.parametrize(
    ("minimum", "needed"), [("parabola", 3), ("cubic", 4), ("quartic", 5), ("spline", 5)]
)
def test_sizes_that_a_curve_needs(minimum, needed):
    def found(count):
        shifts = np.linspace(-1, 1, count) + (0.01 if count % 2 else 0.0)
        return sc.isoflop(bowls(shifts=shifts), minimum=minimum, bootstrap=0)

    assert all(m.bracketed for m in found(needed).minima)
    for m in found(needed - 1).minima:
        assert m.why == f"only {needed - 1} sizes"
        assert not m.bracketed


def test_repeated_sizes_count_once():
    twice = pd.concat([bowls(seed=k, noise=0.001) for k in (1, 2)], ignore_index=True)
    found = sc.isoflop(twice, bootstrap=0)
    assert all(m.bracketed for m in found.minima)
    assert found.a == pytest.approx(A, abs=0.03)
    few = bowls(shifts=SHIFTS[[0, 4]])
    again = sc.isoflop(pd.concat([few, few], ignore_index=True), bootstrap=0)
    assert {m.why for m in again.minima} == {"only 2 sizes"}


def test_two_budgets_give_no_exponent():
    found = sc.isoflop(bowls(BUDGETS[:2]), bootstrap=0)
    assert all(m.bracketed for m in found.minima)
    assert found.a is None
    assert "SC417" in codes(found)


def test_budgets_are_found_where_none_are_planned():
    frame = bowls()
    jitter = np.random.default_rng(0).uniform(0.98, 1.02, len(frame))
    loose = frame.drop(columns="budget").assign(C=frame.C * jitter, D=frame.D * jitter)
    found = sc.isoflop(loose, bootstrap=0)
    assert [m.budget for m in found.minima] == pytest.approx(BUDGETS.tolist(), rel=0.02)
    assert found.a == pytest.approx(A, abs=0.01)
    (message,) = [m for m in found.messages if m.code == "SC115"]
    assert "5 budgets" in message.text
    assert "SC115" not in codes(sc.isoflop(frame, bootstrap=0))


def test_a_planned_budget_is_believed():
    """Rows of one budget stay together though their C is spread as wide as the gaps."""
    frame = bowls(BUDGETS[:3] * [1, 0.3, 0.09])
    frame["C"] = frame.C * np.tile([0.8, 1.25, 1.0], 9)
    assert len(sc.isoflop(frame, bootstrap=0).minima) == 3


def test_the_order_of_rows_and_the_units_do_not_matter():
    frame = bowls(noise=0.002)
    one = sc.isoflop(frame, bootstrap=0)
    two = sc.isoflop(frame.sample(frac=1.0, random_state=0), bootstrap=0)
    other = sc.isoflop(frame.assign(N=frame.N * 1e-6, loss=frame.loss * 2), bootstrap=0)
    assert (two.a, two.b) == pytest.approx((one.a, one.b), rel=1e-9)
    assert (other.a, other.b) == pytest.approx((one.a, one.b), rel=1e-6)
    for m, scaled in zip(one.minima, other.minima, strict=True):
        assert scaled.N == pytest.approx(1e-6 * m.N, rel=1e-6)
        assert scaled.loss == pytest.approx(2 * m.loss)


# --------------------------------------------------------------------------------------- intervals


@pytest.fixture(scope="module")
def noisy():
    """Return minima of noisy bowls with 60 replicates."""
    return sc.isoflop(bowls(noise=0.002, seed=4), minimum="parabola", bootstrap=60, interval=0.9)


def test_the_interval_says_what_it_is(noisy):
    i = noisy.interval
    assert i["level"] == 0.9
    assert "noise injection" in i["kind"]
    assert i["draws"] + i["failed"] == 60
    for name, value in (("a", noisy.a), ("b", noisy.b)):
        lo, hi = i[name]
        assert lo < value < hi
    assert i["a"][0] < A < i["a"][1]
    assert float(i["kind"].split("SD ")[1].split("%")[0]) == pytest.approx(0.2, abs=0.06)


def test_the_width_is_that_of_repeated_experiments(noisy):
    """The spread of a over fresh noise is what the interval estimates."""
    values = [
        sc.isoflop(bowls(noise=0.002, seed=100 + k), minimum="parabola", bootstrap=0).a
        for k in range(40)
    ]
    width = np.diff(np.percentile(values, [5, 95]))[0]
    lo, hi = noisy.interval["a"]
    assert 0.5 < (hi - lo) / width < 2


def test_the_seed_decides():
    frame = bowls(noise=0.002)
    one, two, other = (sc.isoflop(frame, bootstrap=30, seed=s).interval for s in (1, 1, 2))
    assert one == two
    assert one["a"] != other["a"]


def test_too_few_runs_for_noise_are_told():
    found = sc.isoflop(bowls(shifts=SHIFTS[[0, 3, 5, 8]]), minimum="cubic", bootstrap=30)
    assert found.a == pytest.approx(A, rel=1e-6)
    assert found.interval is None
    assert "SC416" in codes(found)


def test_few_replicates_are_not_called_lost():
    """Ten replicates that all kept their minima may be too few, but they were not lost."""
    found = sc.isoflop(bowls(noise=1e-4), minimum="parabola", bootstrap=10)
    assert "SC409" not in codes(found)


def test_without_replicates_there_is_no_interval():
    found = sc.isoflop(bowls(noise=0.001), bootstrap=0)
    assert found.interval is None
    assert found.a is not None


# ------------------------------------------------------------------------- refusals, held-out runs


def test_held_out_budgets_do_not_enter():
    """A hold-out is for testing: no approach may have seen it."""
    options = Options(bootstrap=0, holdout="budget > 5e20")
    table = from_frame(bowls(noise=0.001))
    (found,) = analyse(table, approaches=("isoflop",), options=options).allocations
    assert [m.budget for m in found.minima] == BUDGETS[:-1].tolist()


@pytest.mark.parametrize("options", [{"minimum": "circle"}, {"edge": "drop"}], ids=str)
def test_options_that_cannot_be_meant(options):
    with pytest.raises(ConfigError) as caught:
        sc.isoflop(bowls(), **options)
    assert caught.value.code == "SC004"


def test_a_table_without_sizes():
    with pytest.raises(TableError) as caught:
        sc.isoflop(bowls().drop(columns=["N", "D"]), bootstrap=0)
    assert caught.value.code == "SC105"
