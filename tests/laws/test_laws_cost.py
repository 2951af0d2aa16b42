"""What a run costs: C, D and N follow from each other; costs that are none are refused."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from scaling.errors import ConfigError
from scaling.laws.cost import SIX_ND, Cost, power_cost

COSTS = {
    "6ND": "6*N*D",
    "with inference": "6*N*D + 2*N*1e12",
    "powers": "5*N**1.1*D**.9",
    "attention": "6*N*D + 12*N**.5*D**1.1",
    "two terms": "6*N*D + 1e3*N**2",
}
VALUES = {
    "6ND": lambda n, d: 6 * n * d,
    "with inference": lambda n, d: 6 * n * d + 2 * n * 1e12,
    "powers": lambda n, d: 5 * n**1.1 * d**0.9,
    "attention": lambda n, d: 6 * n * d + 12 * n**0.5 * d**1.1,
    "two terms": lambda n, d: 6 * n * d + 1e3 * n**2,
}


def sample(count=300, seed=0):
    """Return sizes and data over all that is trained, apart from any ratio."""
    rng = np.random.default_rng(seed)
    return np.exp(rng.uniform(np.log(1e6), np.log(1e13), count)), np.exp(
        rng.uniform(np.log(1e8), np.log(1e15), count)
    )


@pytest.mark.parametrize("name", COSTS)
def test_compute_is_the_formula(name):
    n, d = sample()
    assert Cost(name, COSTS[name]).compute(n, d) == pytest.approx(VALUES[name](n, d), rel=1e-14)


@pytest.mark.parametrize("name", COSTS)
def test_data_and_size_invert_compute(name):
    cost = Cost(name, COSTS[name])
    n, d = sample()
    u, v = np.log(n), np.log(d)
    log_c = np.log(VALUES[name](n, d))
    found, size = cost.log_tokens(u, log_c), cost.log_size(v, log_c)
    assert np.log(VALUES[name](n, np.exp(found))) == pytest.approx(log_c, abs=1e-12)
    assert np.log(VALUES[name](np.exp(size), d)) == pytest.approx(log_c, abs=1e-12)
    assert size == pytest.approx(u, abs=1e-11)
    share = cost.log_slopes(u, v)[2]  # of the cost, that rises with D
    assert np.abs((found - v) * share).max() < 1e-12


@pytest.mark.parametrize("name", COSTS)
def test_slopes_are_those_of_the_logarithm(name):
    cost = Cost(name, COSTS[name])
    for n, d in zip(*sample(20), strict=True):
        at = np.log([n, d])
        value, by_n, by_d = cost.log_slopes(*at)
        expected = approx_fprime(at, lambda x: np.log(VALUES[name](*np.exp(x))), 1e-6)
        assert value == pytest.approx(np.log(VALUES[name](n, d)), rel=1e-14)
        assert [by_n, by_d] == pytest.approx(expected, abs=1e-5)


def test_where_nothing_is_left_there_is_no_answer():
    cost = Cost("with inference", COSTS["with inference"])
    log_c = np.log([1.9e21, 2.1e21])
    found = cost.log_tokens(np.full(2, np.log(1e9)), log_c)
    assert np.isnan(found[0])
    assert np.exp(found[1]) == pytest.approx(0.1e21 / 6e9, rel=1e-9)
    assert np.isnan(SIX_ND.log_size(np.log(1e30), np.log(1e20)))


def test_shapes_broadcast():
    cost = Cost("powers", COSTS["powers"])
    u, log_c = np.log(np.geomspace(1e7, 1e10, 4))[:, None], np.log([1e18, 1e20, 1e22])
    assert cost.log_tokens(u, log_c).shape == (4, 3)
    assert SIX_ND.log_tokens(u, log_c).shape == (4, 3)
    assert cost.log_size(u, log_c).shape == (4, 3)
    assert cost.log_tokens(u[0, 0], log_c[0]).shape == ()
    assert cost.log_tokens(u, log_c)[1, 2] == cost.log_tokens(u[1, 0], log_c[2])


def test_newton_and_the_closed_form_of_6nd_agree():
    n, d = sample()
    log_c = np.log(6 * n * d)
    slow = Cost("6nd", "6*D*N")  # the same, but not known to be
    assert slow.log_tokens(np.log(n), log_c) == pytest.approx(np.log(d), abs=1e-12)
    assert SIX_ND.log_tokens(np.log(n), log_c) == pytest.approx(np.log(d), abs=1e-12)


@pytest.mark.parametrize(
    ("formula", "code"),
    [
        ("6*N*X", "SC020"),
        ("6*N*D*C", "SC020"),
        ('source["N"]*D', "SC020"),
        ("__import__('os')", "SC020"),
        ("6*N*", "SC020"),
        ("", "SC020"),
        ("6*D", "SC004"),
        ("6*N", "SC004"),
        ("6", "SC004"),
        ("6*N/D", "SC004"),
        ("6*D/N", "SC004"),
        ("-6*N*D", "SC004"),
        ("1e30/(N*D)", "SC004"),
    ],
)
def test_what_is_no_cost_is_refused(formula, code):
    with pytest.raises(ConfigError) as caught:
        _ = Cost("given", formula).expression
    assert caught.value.code == code
    assert "--cost" in str(caught.value)


@pytest.mark.parametrize("formula", ["N < D", "(N > 0) and (D > 0)"])
def test_a_condition_is_no_cost(formula):
    with pytest.raises(ConfigError) as caught:
        _ = Cost("given", formula).expression
    assert caught.value.code in ("SC004", "SC020")


def test_a_cost_is_positive():
    """It rises with N and D, but nothing is paid back for training a model."""
    with pytest.raises(ConfigError) as caught:
        _ = Cost("given", "6*N*D - 1e30").expression
    assert caught.value.code == "SC004"


def test_a_cost_is_stored_and_found_again():
    cost = Cost("given", COSTS["powers"])
    assert Cost.from_dict(cost.as_dict()) == cost
    assert SIX_ND.as_dict() == {"name": "6nd", "formula": "6*N*D"}


@pytest.mark.parametrize(("k", "p", "q"), [(6.0, 1.0, 1.0), (3.7, 1.07, 0.96), (0.02, 0.8, 1.3)])
def test_a_power_cost_is_recovered(k, p, q):
    n, d = sample(40)
    cost, error = power_cost(n, d, k * n**p * d**q)
    assert error < 1e-12
    base = cost.compute(1.0, 1.0)
    assert base == pytest.approx(k, rel=1e-11)
    assert np.log(cost.compute(np.e, 1.0) / base) == pytest.approx(p, rel=1e-11)
    assert np.log(cost.compute(1.0, np.e) / base) == pytest.approx(q, rel=1e-11)
    assert cost.name == "table"
    _ = cost.expression  # rises with both


def test_the_error_of_a_power_cost_is_the_largest_in_ln_c():
    n, d = sample(60, seed=1)
    off = 0.03 * np.random.default_rng(2).standard_normal(60)
    compute = 6 * n * d * np.exp(off)
    cost, error = power_cost(n, d, compute)
    assert error == pytest.approx(np.abs(np.log(compute / cost.compute(n, d))).max(), rel=1e-9)
    x = np.stack([np.ones(60), np.log(n), np.log(d)], axis=1)
    best = np.linalg.lstsq(x, np.log(compute), rcond=None)[0]
    assert np.log(cost.compute(n, d)) == pytest.approx(x @ best, abs=1e-10)


def test_powers_that_the_runs_do_not_tell_stay_one():
    n, _ = sample(30)
    cost, error = power_cost(n, np.full(30, 1e10), 4 * n**1.2 * 1e10)
    assert error < 1e-12
    slopes = [np.log(cost.compute(*x) / cost.compute(1.0, 1.0)) for x in ((np.e, 1.0), (1.0, np.e))]
    assert slopes == pytest.approx([1.2, 1.0], rel=1e-11)
    cost, error = power_cost(n, 20 * n, 3.7 * n**1.07 * (20 * n) ** 0.96)  # one ratio: the sum only
    assert error < 1e-12
    slopes = [np.log(cost.compute(*x) / cost.compute(1.0, 1.0)) for x in ((np.e, 1.0), (1.0, np.e))]
    assert sum(slopes) == pytest.approx(2.03, rel=1e-11)
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-9)
