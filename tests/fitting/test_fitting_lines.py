"""Lines through optima: their loss has no floor, and its interval and factor know it."""

import numpy as np
import pandas as pd
import pytest

import scaling as sc
from scaling.fitting.analyse import analyse
from scaling.fitting.answers import Question, answers, select
from scaling.fitting.options import Options
from scaling.runs.read import from_frame

LAW = sc.law("chinchilla")
TRUTH = {"E": 1.81722, "A": 477.83, "B": 2143.4, "alpha": 0.347311, "beta": 0.367172}
BUDGETS = np.geomspace(1e18, 1e21, 7)


def best(compute):
    n = LAW.frontier.size(TRUTH, compute)
    return float(LAW.loss(TRUTH, {"N": n, "D": compute / 6 / n}))


@pytest.fixture(scope="module")
def fits():
    rng = np.random.default_rng(0)
    parts = []
    for budget in BUDGETS:
        n = float(LAW.frontier.size(TRUTH, budget)) * np.geomspace(0.2, 5, 9)
        x = {"N": n, "D": budget / 6 / n}
        loss = LAW.loss(TRUTH, x) * np.exp(0.003 * rng.standard_normal(9))
        parts.append(pd.DataFrame({**x, "C": budget, "budget": budget, "loss": loss}))
    table = from_frame(pd.concat(parts, ignore_index=True))
    ways = ("surface", "isoflop", "envelope")
    return analyse(table, approaches=ways, options=Options(bootstrap=100, delta="auto"))


@pytest.mark.parametrize("way", ["isoflop", "envelope"])
def test_the_interval_of_the_loss_knows_that_the_line_is_no_curve(fits, way):
    """Inside the runs it holds the truth, which a straight line in logs misses by 2%."""
    compute = (1e18, 3.16e19, 1e21)
    (found,), _ = answers(select(fits, [way], None), Question(C=compute))
    truth = np.array([best(c) for c in compute])
    missed = np.abs(found.frame["loss"] / truth - 1)
    assert missed.max() > 0.005
    assert (found.frame["lo"] <= truth).all()
    assert (truth <= found.frame["hi"]).all()
    assert (found.frame["lo"] < found.frame["loss"]).all()
    assert (found.frame["loss"] < found.frame["hi"]).all()


def test_beyond_the_optima_that_were_used_is_extrapolation(fits):
    (found,), told = answers(select(fits, ["isoflop"], None), Question(C=(1e22,)))
    assert found.frame["factor"][0] == pytest.approx(10.0)
    assert any("no floor" in m.text for m in told if m.code == "SC410")
    (inside,), told = answers(select(fits, ["isoflop"], None), Question(C=(1e20,)))
    assert inside.frame["factor"][0] == pytest.approx(0.1)
    assert not [m for m in told if m.code == "SC410"]


def test_other_questions_leave_lines_out_and_say_so(fits):
    found, told = answers(fits, Question(loss=(2.5,)))
    assert [a.law for a in found] == ["chinchilla"]
    assert any("isoflop and envelope" in m.text for m in told)


def test_runs_without_gaps_in_compute_form_no_budget():
    rng = np.random.default_rng(1)
    n = np.exp(rng.uniform(np.log(1e7), np.log(1e10), 200))
    c = np.exp(rng.uniform(np.log(1e18), np.log(1e21), 200))
    x = {"N": n, "D": c / 6 / n}
    found = sc.isoflop(pd.DataFrame({**x, "C": c, "loss": LAW.loss(TRUTH, x)}), bootstrap=0)
    assert all(m.N is None for m in found.minima)
    assert "form no budget" in " ".join(m.text for m in found.messages if m.code == "SC115")


def test_sizes_that_almost_coincide_are_one_for_the_spline():
    """Two runs whose sizes differ by a millionth: an interpolation would swing between them."""
    w = np.log(4.0) * np.linspace(-1, 1, 9)
    parts = []
    for budget in BUDGETS[:4]:
        n = float(LAW.frontier.size(TRUTH, budget)) * np.exp(w)
        n = np.append(n, n[3] * (1 + 1e-6))
        x = {"N": n, "D": budget / 6 / n}
        loss = LAW.loss(TRUTH, x)
        loss[-1] *= 1.002
        parts.append(pd.DataFrame({**x, "C": budget, "budget": budget, "loss": loss}))
    found = sc.isoflop(pd.concat(parts, ignore_index=True), minimum="spline", bootstrap=0)
    for m in found.minima:
        assert m.loss == pytest.approx(best(m.budget), rel=2e-3)
        assert np.log(m.N / float(LAW.frontier.size(TRUTH, m.budget))) == pytest.approx(0, abs=0.2)


def test_a_slope_under_a_cost_that_is_no_power_is_called_one():
    rng = np.random.default_rng(2)
    n, d = np.exp(rng.uniform(17, 22, 60)), np.exp(rng.uniform(21, 25, 60))
    loss = LAW.loss(TRUTH, {"N": n, "D": d}) * np.exp(0.002 * rng.standard_normal(60))
    fit = sc.fit(pd.DataFrame({"N": n, "D": d, "loss": loss}), "chinchilla", delta="auto",
                 cost="6*N*D + 2*N*1e11", bootstrap=40)  # fmt: skip
    assert "slope of N* at C =" in fit.summary()
    assert "N* ∝ C^a" not in fit.summary()
    assert str(fit) == fit.summary()
    largest = (6 * n * d + 2 * n * 1e11).max()
    two = fit.optimal(C=[largest * 0.99, largest * 1.01])
    slope = np.diff(np.log(two.N))[0] / np.diff(np.log(two.C))[0]
    assert fit.params["a"] == pytest.approx(slope, abs=1e-3)


@pytest.mark.parametrize("draws", [0, 40])
def test_the_convention_is_judged_by_an_interval_or_not_at_all(draws):
    """A table whose C is not 6ND gets both exponents; only with an interval is a verdict given."""
    rng = np.random.default_rng(3)
    n, d = np.exp(rng.uniform(17, 22, 60)), np.exp(rng.uniform(21, 25, 60))
    loss = LAW.loss(TRUTH, {"N": n, "D": d}) * np.exp(0.002 * rng.standard_normal(60))
    frame = pd.DataFrame({"N": n, "D": d, "C": 40.0 * n**0.9 * d, "loss": loss})
    fit = sc.fit(frame, "chinchilla", delta="auto", bootstrap=draws)
    (told,) = [m for m in fit.messages if m.code == "SC437"]
    assert "40*N**0.9*D**1" in told.text
    verdict = "its interval" in told.text
    assert verdict == bool(draws)
    if not draws:
        assert told.severity == "info"
        assert "neither is judged" in told.text
