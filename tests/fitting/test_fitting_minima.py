"""Minimum finders on known surfaces: the bias of curves, and what their lack of bias costs.

On a budget with w = ln(N/N*) an additive law is E + R (β e^(-αw) + α e^(βw))/(α + β) (methods, 4).
"""

import numpy as np
import pandas as pd
import pytest

import scaling as sc

NOISE = 0.004
SYMMETRIC, ASYMMETRIC = (0.34, 0.28), (0.465, 0.155)
EPOCH = {"E": 1.81722, "A": 477.83, "B": 2143.4, "alpha": 0.347311, "beta": 0.367172}
SKEWED = {"E": 1.69, "A": 3500.0, "B": 40.0, "alpha": 0.465, "beta": 0.155}
LAW = sc.law("chinchilla")


def table(truth, budgets, half, count, rng=None):
    """Return runs about the optimum of each budget, from 1/half to half times as large."""
    parts = []
    for budget in budgets:
        best = float(LAW.frontier.size(truth, budget))
        size = best * np.geomspace(1 / half, half, count)
        x = {"N": size, "D": budget / 6 / size}
        loss = LAW.loss(truth, x)
        if rng is not None:
            loss = loss * np.exp(NOISE * rng.standard_normal(count))
        parts.append(pd.DataFrame({**x, "C": budget, "budget": budget, "loss": loss}))
    return pd.concat(parts, ignore_index=True)


def missed(frame, truth, minimum, **options):
    """Return ln(N found / N*) of each budget."""
    found = sc.isoflop(frame, minimum=minimum, bootstrap=0, **options).minima
    best = LAW.frontier.size(truth, np.array([m.budget for m in found]))
    return np.log([m.N for m in found]) - np.log(best)


def unit(alpha, beta):
    return {"E": 1.7, "A": 400.0, "B": 400.0, "alpha": alpha, "beta": beta}


@pytest.mark.parametrize(
    ("exponents", "count", "errors"),
    [
        (SYMMETRIC, 15, (-0.0033, -0.0130, -0.0290, -0.0510)),
        (ASYMMETRIC, 15, (-0.0167, -0.0650, -0.139, -0.231)),
        (SYMMETRIC, 7, (-0.0037, -0.0148, -0.0331, -0.0580)),
    ],
)
def test_the_parabola_misses_as_published(exponents, count, errors):
    """D* of a parabola over ±2×, ±4×, ±8× and ±16×, to the printed digits."""
    truth = unit(*exponents)
    for half, error in zip((2, 4, 8, 16), errors, strict=True):
        shift = missed(table(truth, [1e19], half, count), truth, "parabola")
        digits = 5e-5 if abs(error) < 0.1 else 5e-4
        assert np.exp(-shift[0]) - 1 == pytest.approx(error, abs=1.1 * digits), half


@pytest.mark.parametrize(
    ("exponents", "errors"),
    [
        (SYMMETRIC, (-1e-5, -1.1e-4, -5.4e-4, -1.7e-3)),
        (ASYMMETRIC, (-4e-5, -7e-4, -3.5e-3, -1.1e-2)),
    ],
)
def test_the_quartic_misses_as_published(exponents, errors):
    """N* of a quartic, 15 points."""
    truth = unit(*exponents)
    for half, error in zip((2, 4, 8, 16), errors, strict=True):
        shift = missed(table(truth, [1e19], half, 15), truth, "quartic")
        assert np.exp(shift[0]) - 1 == pytest.approx(error, abs=0.06 * abs(error) + 5e-6), half


@pytest.mark.parametrize("exponents", [SYMMETRIC, ASYMMETRIC])
@pytest.mark.parametrize("budgets", [(1e19,), (1e18, 1e19, 1e20, 1e21)], ids=len)
@pytest.mark.parametrize("half", [2, 4, 8, 16])
def test_the_default_is_twenty_times_less_biased(exponents, budgets, half):
    truth = unit(*exponents)
    frame = table(truth, budgets, half, 7)
    default = np.abs(missed(frame, truth, "powers")).max()
    assert 20 * default < np.abs(missed(frame, truth, "parabola")).min()


def test_the_default_is_the_default():
    frame = table(EPOCH, (1e18, 1e19, 1e20), 8, 7)
    assert sc.isoflop(frame, bootstrap=0) == sc.isoflop(frame, minimum="powers", bootstrap=0)


@pytest.mark.parametrize(
    ("truth", "limit"), [(EPOCH, 1.5), (SKEWED, 1.0)], ids=["Epoch refit", "skewed exponents"]
)
@pytest.mark.parametrize(
    "budgets", [(1e17,), (1e19,), (1e17, 1e18, 1e19, 1e20)], ids=["small", "large", "four"]
)
def test_what_the_lack_of_bias_costs_under_noise(truth, limit, budgets):
    """RMSE of ln N* over 7 points, ±4×, 0.4% noise: at most 1.5 times the parabola's, and below it
    where exponents differ. Minima at edges are kept, so that both are judged on all studies."""
    squares = {"powers": [], "parabola": []}
    for k in range(60):
        frame = table(truth, budgets, 4, 7, np.random.default_rng([k, len(budgets)]))
        for minimum, kept in squares.items():
            kept.append(missed(frame, truth, minimum, edge="keep") ** 2)
    rmse = {minimum: np.sqrt(np.mean(kept)) for minimum, kept in squares.items()}
    assert rmse["powers"] <= limit * rmse["parabola"]


def test_a_departure_from_one_shape_is_followed():
    """Curves whose shape changes with the budget: pooling one shape alone would miss."""
    frames, best = [], {}
    for k, budget in enumerate(np.geomspace(1e17, 1e21, 8)):
        centre = np.log(1e7) + 0.5 * np.log(budget / 1e17)
        w = np.linspace(-1.8, 1.8, 9)
        skew = 0.10 * np.cos(k)
        loss = 3.0 * (1.0 + 0.02 * w**2 * np.exp(skew * w * np.abs(w)))
        frames.append(
            pd.DataFrame({"N": np.exp(centre + w), "D": budget / 6 / np.exp(centre + w),
                          "C": budget, "budget": budget, "loss": loss})
        )  # fmt: skip
        best[float(budget)] = centre
    minima = sc.isoflop(pd.concat(frames, ignore_index=True), bootstrap=0).minima
    errors = [abs(np.log(m.N) - best[m.budget]) for m in minima]
    assert max(errors) < 0.02


def test_far_runs_do_not_move_the_default():
    """A cliff far from the minimum is what small models do, not where the minimum lies."""
    frame = table(EPOCH, (1e18, 1e19, 1e20), 4, 9)
    cliff = table(EPOCH, (1e18, 1e19, 1e20), 200, 2)
    cliff["loss"] *= 1.8
    both = pd.concat([frame, cliff], ignore_index=True)
    assert np.abs(missed(both, EPOCH, "powers")).max() < 1e-3
    assert np.abs(missed(both, EPOCH, "parabola", edge="keep")).max() > 0.05
    kept = sc.isoflop(both, minimum="parabola", edge="keep", bootstrap=0)
    assert "SC424" in {m.code for m in kept.messages}
    refused = sc.isoflop(both, minimum="parabola", bootstrap=0)
    assert {m.why for m in refused.minima} == {"the fitted curve dips far below every run"}


def test_off_centre_grids_are_told():
    frame = pd.concat(
        [table(EPOCH, [c], 4, 9).assign(budget=c).query("N > 0") for c in (1e18, 1e19, 1e20)]
    )
    for budget in (1e18, 1e19, 1e20):
        best = float(LAW.frontier.size(EPOCH, budget))
        frame = frame[~((frame.budget == budget) & (best / 1.5 > frame.N))]
    found = sc.isoflop(frame, minimum="parabola", edge="keep", bootstrap=0)
    offsets = [m.offset for m in found.minima]
    assert all(0.3 < offset < 1.0 for offset in offsets)


def test_the_expected_bias_is_that_of_the_grid():
    """The bias told for the fitted surface is the one that noise-free runs would show."""
    frame = table(SKEWED, (1e18, 1e19, 1e20), 8, 7, np.random.default_rng(1))
    from scaling.fitting.analyse import Ways, analyse
    from scaling.fitting.options import Options
    from scaling.runs.read import from_frame

    found = analyse(
        from_frame(frame),
        approaches=("surface", "isoflop"),
        options=Options(bootstrap=50, delta="auto"),
        ways=Ways("parabola"),
    )
    (surface,) = found.fits
    isoflop = next(a for a in found.allocations if a.approach == "isoflop")
    clean = frame.assign(loss=LAW.loss(surface.params, frame))
    own = {name: surface.params[name] for name in LAW.names}
    expected = np.expm1(missed(clean, own, "parabola"))
    assert isoflop.bias["N"] == pytest.approx(expected, rel=1e-6)
    assert isoflop.bias["law"] == "chinchilla"
    assert "SC425" in {m.code for m in isoflop.messages}
    (row,) = found.agreement
    assert row["pair"] == ["surface", "isoflop"]
    assert row["bias"] == pytest.approx(isoflop.bias["a"])


@pytest.mark.parametrize("minimum", ["powers", "parabola"])
def test_bootstrap_intervals(minimum):
    frame = table(EPOCH, (1e18, 1e19, 1e20, 1e21), 4, 9, np.random.default_rng(3))
    found = sc.isoflop(frame, minimum=minimum, resample="bootstrap", bootstrap=60, interval=0.9)
    again = sc.isoflop(frame, minimum=minimum, resample="bootstrap", bootstrap=60, interval=0.9)
    noise = sc.isoflop(frame, minimum=minimum, bootstrap=60, interval=0.9)
    assert found.interval == again.interval
    assert "bootstrap of the runs" in found.interval["kind"]
    lo, hi = found.interval["a"]
    assert lo < found.a < hi
    width = np.diff(noise.interval["a"])[0]
    assert 0.4 * width < hi - lo < 2.5 * width


def test_the_pooled_interval_is_that_of_repeated_experiments():
    """Spread of a over fresh noise against the width that one table tells."""
    budgets = (1e17, 1e18, 1e19, 1e20, 1e21)
    values, widths = [], []
    for k in range(40):
        frame = table(EPOCH, budgets, 4, 7, np.random.default_rng([9, k]))
        values.append(sc.isoflop(frame, edge="keep", bootstrap=0).a)
        if k < 8:
            widths.append(np.diff(sc.isoflop(frame, edge="keep", bootstrap=200).interval["a"])[0])
    spread = np.diff(np.percentile(values, [2.5, 97.5]))[0]
    assert 0.6 < np.mean(widths) / spread < 1.6


def test_the_order_of_budgets_and_the_scale_of_the_loss_do_not_matter():
    frame = table(EPOCH, (1e18, 1e19, 1e20), 4, 9, np.random.default_rng(5))
    one = sc.isoflop(frame, bootstrap=0)
    two = sc.isoflop(
        frame.sample(frac=1, random_state=0).assign(loss=lambda x: 3 * x.loss), bootstrap=0
    )
    assert two.a == pytest.approx(one.a, abs=1e-6)
