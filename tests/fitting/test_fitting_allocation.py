"""Allocation: where laws are lowest along a budget, against independent minimisation."""

import dataclasses

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

import scaling as sc
from scaling.fitting.allocation import (
    amount_for,
    best_size,
    least_cost,
    local_exponents,
    lowest_along,
    slope_along,
    with_unique_data,
)
from scaling.laws import LAWS
from scaling.laws.cost import SIX_ND, Cost
from tests.truths import TRUTHS

TWO = [n for n, law in LAWS.items() if set(law.variables) == {"N", "D"} and law.response == "loss"]
WIDER = {
    "data-constrained": {"D_unique": 1e10},
    "moe-krajewski": {"granularity": 4.0},
    "moe-abnar": {"sparsity": 0.8},
    "moe-ludziejewski": {"experts": 8.0},
    "precision": {"P_w": 4.0, "P_a": 8.0, "P_kv": 8.0},
    "precision-post": {"P_post": 6.0},
}
COSTS = [
    SIX_ND,
    Cost("attention", "6*N*D + 3000*N**0.66*D"),
    Cost("serving", "6*N*D + 2*N*1e11"),
    Cost("power", "9*N**1.05*D**0.98"),
]
BUDGETS = np.array([1e18, 1e20, 1e22])


def loss_along(law, params, compute, cost, held):
    """Return the loss as a function of ln N, its own way of finding D."""

    def value(u):
        v = float(cost.log_tokens(np.array(u), np.array(np.log(compute))))
        if not np.isfinite(v):
            return 1e6
        return float(law.loss(params, {**held, "N": np.exp(u), "D": np.exp(v)}))

    return value


def test_the_two_variable_laws_are_known():
    assert sorted(TWO) == [
        "broken-data", "chinchilla", "coupled", "farseer", "kaplan", "nested-q", "no-floor",
        "over-training",
    ]  # fmt: skip


@pytest.mark.parametrize("cost", COSTS, ids=lambda c: c.name)
@pytest.mark.parametrize("name", [*TWO, *WIDER])
def test_the_optimum_is_stationary_and_lowest(name, cost):
    """Gradient along the budget zero to 1e-10, loss equal to a numerical optimiser's to 1e-12."""
    law, params, held = LAWS[name], TRUTHS[name][1], WIDER.get(name, {})
    if "D_unique" in held:
        law, held = with_unique_data(law, held["D_unique"]), {}
    u, v = best_size(law, params, np.log(BUDGETS), cost, held)
    assert cost.compute(np.exp(u), np.exp(v)) == pytest.approx(BUDGETS, rel=1e-12)
    loss, gradient = slope_along(law, params, u, v, cost, held)
    for i, compute in enumerate(BUDGETS):
        value = loss_along(law, params, compute, cost, held)
        found = minimize_scalar(
            value, bounds=(u[i] - 3, u[i] + 3), method="bounded", options={"xatol": 1e-10}
        )
        assert loss[i] <= found.fun * (1 + 1e-12)
        assert loss[i] == pytest.approx(found.fun, rel=1e-12)
    if name != "data-constrained":  # its optimum may lie on a kink, where data begin to repeat
        assert np.abs(gradient / loss).max() < 1e-10


@pytest.mark.parametrize("name", [n for n in TWO if LAWS[n].frontier is not None])
def test_closed_forms_are_what_the_search_finds(name):
    law, params = LAWS[name], TRUTHS[name][1]
    blind = dataclasses.replace(law, frontier=None)
    for one, two in zip(
        best_size(law, params, np.log(BUDGETS)), best_size(blind, params, np.log(BUDGETS)),
        strict=True,
    ):  # fmt: skip
        assert np.abs(one - two).max() < 1e-12
    assert local_exponents(blind, params, 1e20, SIX_ND) == pytest.approx(
        local_exponents(law, params, 1e20, SIX_ND), abs=1e-10
    )


@pytest.mark.parametrize("cost", COSTS, ids=lambda c: c.name)
@pytest.mark.parametrize("name", TWO)
def test_the_least_cost_inverts_the_lowest_loss(name, cost):
    law, params = LAWS[name], TRUTHS[name][1]
    u, v = best_size(law, params, np.log(BUDGETS), cost)
    loss = law.loss(params, {"N": np.exp(u), "D": np.exp(v)})
    log_c, u2, v2 = least_cost(law, params, np.log(loss), cost)
    assert log_c == pytest.approx(np.log(BUDGETS), abs=1e-8)
    # Along a flat bottom size and data are known less sharply than the cost.
    assert u2 == pytest.approx(u, abs=1e-6)
    assert v2 == pytest.approx(v, abs=1e-6)


@pytest.mark.parametrize("name", ["chinchilla", "farseer", "coupled"])
def test_draws_are_solved_as_one(name):
    law, params = LAWS[name], TRUTHS[name][1]
    rng = np.random.default_rng(0)
    columns = {k: v * np.exp(0.01 * rng.standard_normal((5, 1))) for k, v in params.items()}
    cost = COSTS[2]
    u, v = best_size(law, columns, np.log(BUDGETS), cost)
    assert u.shape == v.shape == (5, 3)
    for k in range(5):
        own = {name: float(column[k, 0]) for name, column in columns.items()}
        one = best_size(law, own, np.log(BUDGETS), cost)
        assert u[k] == pytest.approx(one[0], abs=1e-10)
        assert v[k] == pytest.approx(one[1], abs=1e-10)


@pytest.mark.parametrize("asked", ["N", "D"])
def test_what_a_loss_needs(asked):
    law, params = LAWS["chinchilla"], TRUTHS["chinchilla"][1]
    known = {"N": "D", "D": "N"}[asked]
    given = np.log([1e10, 1e11])
    goal = np.log(2.4)
    found = amount_for(law, params, np.full(2, goal), asked, given, {})
    data = {asked: np.exp(found), known: np.exp(given)}
    assert np.log(law.loss(params, data)) == pytest.approx(goal, abs=1e-12)
    never = amount_for(law, params, np.log([1.6]), asked, np.log([1e10]), {})
    assert np.isnan(never).all()


def test_no_minimum_is_no_number():
    """A law that rises with data has no optimum along a budget."""
    worse = sc.Law(
        name="worse",
        formula="E + A/N**alpha",
        parameters=LAWS["power-N"].parameters,
        variables=("N",),
        reference="test",
    )
    falling = dataclasses.replace(
        LAWS["chinchilla"], frontier=None, formula="E + A/N**alpha + B*D**beta"
    )
    u, _ = best_size(falling, TRUTHS["chinchilla"][1], np.log([1e20]))
    assert np.isnan(u).all()
    assert worse.frontier is None


def test_a_line_that_is_not_a_budget():
    """Data that fall faster than one over size move the optimum as the closed form says."""
    law, params = LAWS["chinchilla"], TRUTHS["chinchilla"][1]
    level, slope = 50.0, -1.3
    u = lowest_along(law, params, level, slope)
    a, b = params["alpha"], params["beta"]
    # d/du of A e^(-a u) + B e^(-b (level + slope u))
    exact = np.log(a * params["A"] / (-slope * b * params["B"])) + b * level
    assert u == pytest.approx(exact / (a - slope * b), abs=1e-9)


@pytest.mark.parametrize("cap", [1e9, 1e10])
def test_a_cap_on_data_spends_the_rest_on_size(cap):
    law, params = LAWS["chinchilla"], TRUTHS["chinchilla"][1]
    u, v = best_size(law, params, np.log(BUDGETS), most_data=cap)
    free_u, free_v = best_size(law, params, np.log(BUDGETS))
    over = np.exp(free_v) > cap
    assert over.any()
    assert np.exp(v[over]) == pytest.approx(np.full(over.sum(), cap))
    assert SIX_ND.compute(np.exp(u), np.exp(v)) == pytest.approx(BUDGETS, rel=1e-9)
    assert u[~over] == pytest.approx(free_u[~over])
