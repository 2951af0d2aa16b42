"""What a pre-flight expects is what studies then say: against fits of simulated tables."""

import numpy as np
import pandas as pd
import pytest

import scaling as sc
from scaling.planning.choosing.prior import coupled_like, published
from scaling.planning.preflight import decisions, preflight
from tests.planning.studies import TOKENS, fault_of, planned

TARGET = 1e20
SIGMA = 0.004
LM = {
    "data": {"source": "external"},
    "model": {"context": 1024, "rule": "aspect"},
    "recipe": {"name": "porian-2024"},
    "study": {"target_flops": TARGET},
}
PRIOR = {"laws": [{"published": "besiroglu-2024"}], "noise": SIGMA}
ISOFLOP = {"kind": "isoflop", "budgets": [1e17, 3e17, 1e18], "sizes": 6, "span": 4.0}
GRID = {"kind": "grid", "params": [1e7, 3e7, 1e8, 3e8], "data": [3e8, 1e9, 3e9, 1e10]}


def plan_of(design, prior=PRIOR, **sections):
    return planned(design, TOKENS, **{**LM, "prior": prior, **sections})


def amounts(plan):
    return tuple(np.array([getattr(p, k) for p in plan], float) for k in "ND")


@pytest.mark.parametrize("design", [ISOFLOP, GRID], ids=["isoflop", "grid"])
def test_expected_intervals_are_those_of_independent_studies(design):
    """Sixty tables with other seeds, each fitted by `sc.fit`.

    A standard deviation of 60 is known to 1/sqrt(118) = 9%, and that of 500 behind the expected
    interval to about 6% (of a 95% range): 11% together, so three of them are a third. Means differ
    by no more than four standard errors, 0.55 standard deviations.
    """
    plan = plan_of(design)
    size, data = amounts(plan)
    outlook = preflight(plan).outlooks[0]
    truth = plan.prior.truths[0]
    exact = truth.law.loss(truth.params, {"N": size, "D": data})
    rows = []
    for k in range(60):
        noise = SIGMA * np.random.default_rng([99, k]).standard_normal(len(size))
        frame = pd.DataFrame({"N": size, "D": data, "loss": exact * np.exp(noise)})
        fit = sc.fit(frame, "chinchilla", bootstrap=0)
        best = fit.optimal(C=TARGET).iloc[0]
        p = fit.params
        rows.append((p["beta"] / (p["alpha"] + p["beta"]), np.log(best["N"]), np.log(best["loss"])))
    seen = np.array(rows)
    factor = factor_of(plan)
    for column, name in enumerate(("a", "N", "loss")):
        e = outlook.expected[name]
        ends = np.array([e.low, e.median, e.high])
        low, middle, high = ends if name == "a" else np.log(ends)
        sd = (high - low) / factor / (2 * 1.96)
        spread = seen[:, column].std(ddof=1)
        assert sd / spread == pytest.approx(1.0, abs=0.34)
        assert abs(seen[:, column].mean() - middle) < 0.55 * spread
        assert e.low < e.truth < e.high


def factor_of(plan):
    from scaling.fitting.intervals import small_sample_factor

    return small_sample_factor(len({p.trunk for p in plan}), 5, 0.95)


def test_truths_are_those_of_the_law():
    e = preflight(plan_of(ISOFLOP), studies=50).outlooks[0].expected
    p = published("besiroglu-2024").truths[0].params
    a = p["beta"] / (p["alpha"] + p["beta"])
    g = (p["alpha"] * p["A"] / p["beta"] / p["B"]) ** (1 / (p["alpha"] + p["beta"]))
    size = g * (TARGET / 6) ** a  # Hoffmann et al. (2022), equation 4
    data = TARGET / 6 / size
    assert e["a"].truth == pytest.approx(a, rel=1e-9)
    assert e["N"].truth == pytest.approx(size, rel=1e-6)
    loss = p["E"] + p["A"] / size ** p["alpha"] + p["B"] / data ** p["beta"]
    assert e["loss"].truth == pytest.approx(loss, rel=1e-6)


def test_less_noise_makes_narrower_intervals_in_proportion():
    """Estimates are linear in small noise, up to what the threshold of the objective does."""
    fit = [{"law": "chinchilla", "objective": "log-mse"}]
    wide, narrow = (
        preflight(plan_of(GRID, {**PRIOR, "noise": sd}, fit=fit)).outlooks[0].expected["a"]
        for sd in (0.001, 0.0005)
    )
    assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(2.0, rel=0.03)


def test_the_level_and_the_objective_are_those_of_the_fit():
    fit = {"law": "chinchilla", "objective": "log-mse"}
    wide, narrow = (
        preflight(plan_of(GRID, fit=[{**fit, "interval": level}])) for level in (0.95, 0.5)
    )
    assert (wide.level, narrow.level) == (0.95, 0.5)
    one, two = (f.outlooks[0].expected["a"] for f in (wide, narrow))
    assert two.low > one.low
    assert two.high < one.high
    huber = preflight(plan_of(GRID, fit=[{"law": "chinchilla", "delta": 1e-4}]))
    assert huber.outlooks[0].expected["a"].low < one.low  # less efficient for normal noise


def test_the_same_seed_gives_the_same_and_another_gives_another():
    plan = plan_of(ISOFLOP)
    assert preflight(plan, studies=60) == preflight(plan, studies=60)
    assert preflight(plan, studies=60, seed=1) != preflight(plan, studies=60)


def test_a_coupled_truth_is_missed_by_the_additive_law_and_found_by_its_own():
    """On a grid far from the optimum the two laws differ by more than the noise."""
    truth = coupled_like(published("besiroglu-2024").truths[0], 0.35)
    prior = {"laws": [{"law": "coupled", "params": dict(truth.params)}], "noise": 0.0005}
    outlook = preflight(plan_of(GRID, prior)).outlooks[0]
    assert outlook.fitted == "chinchilla"
    assert outlook.missed
    found = preflight(plan_of(GRID, prior))
    (message,) = (m for m in found.messages if m.code == "SC244")
    assert all(name in message.text for name in outlook.missed)
    own = preflight(plan_of(GRID, prior, fit=[{"law": "coupled"}])).outlooks[0]
    assert own.fitted == "coupled"
    assert own.missed == ()


def test_a_centred_grid_brackets_its_minima_and_one_beside_them_does_not():
    optimum = float(published("besiroglu-2024").optimum(np.array([1e18]))[0][0, 0])
    around = [optimum * f for f in (1 / 16, 0.25, 0.5, 1.0, 2.0, 4.0, 16.0)]
    centred = preflight(plan_of({"kind": "isoflop", "budgets": [1e18], "sizes": around}))
    ((budget, chance),) = centred.brackets.items()
    assert budget == 1e18
    assert chance > 0.99
    beside = [optimum * f for f in (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4)]
    off = preflight(plan_of({"kind": "isoflop", "budgets": [1e18], "sizes": beside}))
    assert off.brackets[1e18] < 0.01
    (message,) = (m for m in off.messages if m.code == "SC231")
    assert "1e+18 (0%)" in message.text


def test_brackets_are_the_share_of_studies_and_need_four_sizes():
    """Between the two: noise larger than the bowl is deep makes it a matter of chance."""
    noisy = preflight(plan_of(ISOFLOP, {**PRIOR, "noise": 0.2}))
    assert all(0.1 < p < 0.9 for p in noisy.brackets.values())
    few = preflight(plan_of({**ISOFLOP, "sizes": 3}))
    assert few.brackets == {}
    assert preflight(plan_of(GRID), studies=50).brackets == {}


@pytest.mark.parametrize(
    "design",
    [
        {"kind": "points", "points": [[1e7, 1e9], [1e8, 1e9], [1e7, 1e10]]},
        {"kind": "points", "points": [[1e7, 1e9, 5], [1e8, 1e9, 5], [1e7, 1e10, 5]]},
        {"kind": "points", "points": [[n, 1e9] for n in (1e7, 3e7, 1e8, 2e8, 3e8)]},
        {"kind": "ratio", "params": [1e7, 2e7, 4e7, 8e7, 1.6e8, 3e8], "ratio": 20.0},
    ],
    ids=["few", "few with seeds", "as many as parameters", "one ratio"],
)
def test_a_plan_that_cannot_identify_the_law_says_so(design):
    found = preflight(plan_of(design))
    outlook = found.outlooks[0]
    assert outlook.expected == {}
    assert outlook.failed > outlook.studies / 2
    assert "SC242" in [m.code for m in found.messages]


def test_of_a_centre_the_loss_is_not_told():
    center = {"N": 3e7, "C": 3e17}
    found = preflight(planned({**ISOFLOP, "center": center}, TOKENS, **LM), studies=50)
    assert len(found.outlooks) == 3
    assert all(set(o.expected) == {"a", "N"} for o in found.outlooks)
    assert found.noise == 0.004  # of the recipe


def test_the_target_is_what_is_asked_else_the_studys_else_ten_times_the_largest():
    plan = plan_of(ISOFLOP)
    assert preflight(plan, target=1e21, studies=50).target == 1e21
    assert preflight(plan, studies=50).target == TARGET
    bare = plan_of(ISOFLOP, study={})
    assert preflight(bare, studies=50).target == pytest.approx(
        10.0 * max(p.C_6nd for p in bare), rel=1e-3
    )


def test_a_plan_without_a_belief_or_of_a_law_without_an_optimum_has_no_pre_flight():
    assert fault_of(preflight, planned(GRID, TOKENS, **LM)).code == "SC241"
    fault = fault_of(preflight, plan_of(GRID, fit=[{"law": "power-N"}]))
    assert fault.code == "SC241"
    assert "power-N" in fault.found


def test_decisions_by_a_closed_form():
    columns = {"E": np.array([1.7, 1.5]), "A": np.array([400.0, 300.0]),
               "B": np.array([410.0, 500.0]), "alpha": np.array([0.34, 0.4]),
               "beta": np.array([0.28, 0.3])}  # fmt: skip
    found = decisions(sc.law("chinchilla"), columns, 1e21)
    a = columns["beta"] / (columns["alpha"] + columns["beta"])
    inner = columns["alpha"] * columns["A"] / (columns["beta"] * columns["B"])
    size = inner ** (1 / (columns["alpha"] + columns["beta"])) * (1e21 / 6) ** a
    np.testing.assert_allclose(found["a"], a, rtol=1e-9)
    np.testing.assert_allclose(found["N"], size, rtol=1e-6)


def test_parameters_that_decide_nothing_give_no_finite_size():
    columns = {"E": 1.7, "A": 1.0, "B": 1e3, "alpha": 1e-3, "beta": 1e-3}
    found = decisions(sc.law("chinchilla"), {k: np.array([v]) for k, v in columns.items()}, 1e21)
    assert found["N"][0] == 0
    columns |= {"A": 1e3, "B": 1.0}
    found = decisions(sc.law("chinchilla"), {k: np.array([v]) for k, v in columns.items()}, 1e21)
    assert found["N"][0] == np.inf


def test_many_truths_share_the_studies():
    found = sc.preflight(plan_of(ISOFLOP, {"noise": SIGMA}), studies=400)  # nine laws
    assert {o.studies for o in found.outlooks} == {200}
    assert sum(o.weight for o in found.outlooks) == pytest.approx(1.0)


def test_of_many_laws_twelve_are_simulated_and_the_plan_says_so():
    laws = [{"law": "chinchilla", "params": {"E": 1.6 + 0.02 * i, "A": 400.0, "B": 410.0,
             "alpha": 0.34, "beta": 0.28}} for i in range(15)]  # fmt: skip
    found = sc.preflight(plan_of(ISOFLOP, {"noise": SIGMA, "laws": laws}), studies=20)
    assert len(found.outlooks) == 12
    assert sum(o.weight for o in found.outlooks) == pytest.approx(1.0)
    (text,) = (m.text for m in found.messages if m.code == "SC249")
    assert "12 of the 15 laws" in text
