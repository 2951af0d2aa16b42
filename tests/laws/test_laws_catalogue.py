"""Every law of the catalogue against sympy, central differences and numerical minimisation."""

import math
import re

import numpy as np
import pytest
import sympy
from scipy.optimize import minimize_scalar
from truths import every_law as every

from scaling.errors import ConfigError
from scaling.laws import Law, Parameter, default_for, get

HOFFMANN, EPOCH = "Hoffmann", "Besiroglu"
CHINCHILLA_LAWS = [
    {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28},
    {"E": 0.0, "A": 3.0, "B": 1e6, "alpha": 0.07, "beta": 1.1},
    {"E": 1.8172, "A": 477.83, "B": 2143.42, "alpha": 0.347311, "beta": 0.367172},
]
ALL = list(every())
WRITTEN = [case for case in ALL if type(case[0]) is Law]
every_law = pytest.mark.parametrize("law", [c[0] for c in ALL], ids=lambda law: law.name)
every_truth = pytest.mark.parametrize(("law", "x", "truth"), ALL, ids=[c[0].name for c in ALL])
every_formula = pytest.mark.parametrize(
    ("law", "x", "truth"), WRITTEN, ids=[c[0].name for c in WRITTEN]
)
FUNCTIONS = {
    "minimum": sympy.Min,
    "maximum": sympy.Max,
    "softplus": lambda x: sympy.log(1 + sympy.exp(x)),
    "expm1": lambda x: sympy.exp(x) - 1,
}


def moved(truth, seed):
    """The true parameters, each moved a little."""
    rng = np.random.default_rng(seed)
    return {k: float(v * np.exp(0.05 * rng.standard_normal())) for k, v in truth.items()}


def rows_of(x, count, seed):
    """A few rows of a design."""
    picks = np.random.default_rng(seed).choice(len(next(iter(x.values()))), count, replace=False)
    return {k: np.asarray(v, dtype=float)[picks] for k, v in x.items()}


def oracle(law):
    """Return the formula in sympy, as a function at 30 digits."""
    symbols = {n: sympy.Symbol(n) for n in (*law.names, *law.variables)}
    formula = sympy.sympify(law.formula, locals=symbols | FUNCTIONS)

    def at(params, point, by=None):
        expression = formula if by is None else sympy.diff(formula, symbols[by])
        values = {symbols[k]: sympy.Float(v, 40) for k, v in {**params, **point}.items()}
        return float(expression.subs(values).evalf(30))

    return at


def logs_of(x):
    return {k: np.log(v) for k, v in x.items() if (v > 0).all()}


@every_formula
def test_values_and_derivatives_equal_the_oracle(law, x, truth):
    params, at = moved(truth, 1), oracle(law)
    data = rows_of(x, 2, 0)
    value, gradient = law.value_and_gradient(params, data, logs_of(data), law.names)
    loss = law.loss(params, data)
    for i in range(2):
        point = {v: float(values[i]) for v, values in data.items()}
        expected = at(params, point)
        assert loss[i] == pytest.approx(expected, rel=1e-11)
        assert np.broadcast_to(value, (2,))[i] == pytest.approx(expected, rel=1e-11)
        for name in law.names:
            slope = np.broadcast_to(gradient[name], (2,))[i]
            unit = abs(expected / params[name])
            assert slope == pytest.approx(at(params, point, name), rel=1e-9, abs=1e-11 * unit)


@every_truth
@pytest.mark.parametrize("seed", range(2))
def test_derivatives_equal_central_differences(law, x, truth, seed):
    params = moved(truth, seed)
    columns = {k: np.array([[v]]) for k, v in params.items()}
    data = {k: np.asarray(v, dtype=float) for k, v in x.items()}
    value, gradient = law.value_and_gradient(columns, data, logs_of(data), law.names)
    for name in law.names:
        h = 1e-5 * abs(params[name])
        up, down = (law.loss({**params, name: params[name] + s * h}, data) for s in (1, -1))
        numeric = (up - down) / (2 * h)
        scale = np.abs(value).max() / abs(params[name])
        assert np.abs(gradient[name] - numeric).max() <= 1e-6 * scale, name


@every_truth
def test_parameters_broadcast_against_data(law, x, truth):
    one, two = moved(truth, 1), moved(truth, 2)
    both = {k: np.array([[one[k]], [two[k]]]) for k in law.names}
    assert law.loss(both, x) == pytest.approx(
        np.stack([law.loss(one, x), law.loss(two, x)]), rel=1e-12
    )


@every_truth
def test_start_rules_give_numbers_for_every_parameter(law, x, truth):
    if law.candidates is None:
        return
    found = law.candidates(
        {k: np.asarray(v, dtype=float) for k, v in x.items()}, law.loss(truth, x)
    )
    assert set(found) == set(law.names)
    assert len({len(v) for v in found.values()}) == 1
    assert all(np.isfinite(v).all() for v in found.values())


@every_law
def test_declarations_are_complete(law):
    assert law.name == "multi-power" or get(law.name) is law
    assert re.search(r"\((19|20)\d\d\)", law.reference)
    assert law.title
    for p in law.parameters:
        assert p.low < p.high
        assert p.meaning
        assert bool(p.starts) == (not p.enters_linearly)
        assert callable(p.starts) or all(p.low <= s <= p.high for s in p.starts)


@every_law
def test_published_values_are_complete(law):
    for item in law.published:
        assert set(item.params) == set(law.names)
        assert re.search(r"(19|20)\d\d", item.source)
        assert item.convention
        for p in law.parameters:
            assert p.low <= item.params[p.name] <= p.high
    if law.name == "chinchilla":
        assert len(law.published) >= 2


# -------------------------------------------------------------------------------- published values


def published(word):
    (found,) = [p for p in get("chinchilla").published if word in p.source]
    return found.params


def test_hoffmann_is_stored_unrounded():
    """The paper's source gives logarithms of E, A and B (methods, 2.1)."""
    params = published(HOFFMANN)
    logs = {k: math.log(params[k]) for k in "EAB"}
    assert logs == pytest.approx({"E": 0.5267228, "A": 6.0073404, "B": 6.0179186}, abs=1e-12)
    assert (params["alpha"], params["beta"]) == (0.33917084, 0.2849083)


def test_epoch_is_stored_as_printed():
    expected = {"E": 1.81686, "A": 482.00572, "B": 2085.4342, "alpha": 0.34781, "beta": 0.36585}
    assert published(EPOCH) == expected


@pytest.mark.parametrize(
    ("params", "a", "ratio"),
    [
        (published(HOFFMANN), 0.4565, 58.9),
        (published(EPOCH), 0.513, 18.4),
        (CHINCHILLA_LAWS[0], 0.4516, 92.6),
        (CHINCHILLA_LAWS[2], 0.5139, 17.9),
    ],
    ids=["hoffmann", "epoch", "hoffmann printed", "optimum"],
)
def test_tokens_per_parameter_of_published_laws(params, a, ratio):
    """Ratios D*/N* at 5.76e23 FLOP as recomputed from the papers (methods, 2.1)."""
    frontier, compute = get("chinchilla").frontier, 5.76e23
    size = frontier.size(params, compute)
    assert frontier.exponents(params)[0] == pytest.approx(a, abs=6e-4)
    assert compute / 6 / size**2 == pytest.approx(ratio, rel=5e-3)


@pytest.mark.parametrize("params", CHINCHILLA_LAWS)
@pytest.mark.parametrize("compute", [1e12, 1e18, 1e24])
def test_the_frontier_is_the_minimum_on_6nd(params, compute):
    law = get("chinchilla")

    def loss(log_size):
        size = math.exp(log_size)
        return float(law.loss({**params, "E": 0.0}, {"N": size, "D": compute / (6 * size)}))

    best = float(np.log(law.frontier.size(params, compute)))
    found = minimize_scalar(loss, bounds=(best - 3, best + 3), method="bounded",
                            options={"xatol": 1e-9})  # fmt: skip
    assert found.x == pytest.approx(best, abs=1e-5)
    assert loss(best) <= found.fun * (1 + 1e-12)


@pytest.mark.parametrize("params", CHINCHILLA_LAWS)
def test_the_frontier_is_a_power_law_with_its_exponents(params):
    frontier = get("chinchilla").frontier
    a, b = frontier.exponents(params)
    low, high = frontier.size(params, 1e18), frontier.size(params, 1e21)
    assert math.log(high / low) / math.log(1e3) == pytest.approx(a, rel=1e-12)
    assert a + b == pytest.approx(1, rel=1e-15)


# ---------------------------------------------------------------------------------------- by name


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        ({"N", "D", "C"}, "chinchilla"),
        ({"N", "C"}, "power-N"),
        ({"D", "C"}, "power-D"),
        ({"C"}, "power-C"),
    ],
)
def test_the_default_law_suits_the_columns(columns, name):
    assert default_for(columns | {"loss"}).name == name


def test_a_table_without_variables_has_no_default():
    with pytest.raises(ConfigError) as caught:
        default_for({"loss"})
    assert caught.value.code == "SC105"


def test_a_misspelt_law_gets_the_nearest_name():
    with pytest.raises(ConfigError) as caught:
        get("chinchila")
    assert caught.value.code == "SC004"
    assert "chinchilla" in caught.value.faults[0].mend


def test_a_law_of_ones_own():
    parts = (Parameter("E", "linear", 0, 9), Parameter("k", "scale", 0, 9))
    law = Law("mine", "E + k/log(D)", parts, ("D",), "none")
    assert law.loss({"E": 1, "k": 2}, {"D": math.e}) == pytest.approx(3)
    with pytest.raises(ConfigError):
        Law("mine", "E + k/log(N)", parts, ("D",), "none").loss({"E": 1, "k": 2}, {"D": 2})
    with pytest.raises(ConfigError):
        Law("mine", "E/log(D)", parts, ("D",), "none")


def test_the_frontier_in_logs_is_finite_where_sizes_are_not():
    params = {"A": 1e3, "B": 1.0, "alpha": 1e-3, "beta": 2e-3}
    frontier = get("chinchilla").frontier
    found = frontier.log_size(params, math.log(6e20))
    assert found == pytest.approx((math.log(0.5) + math.log(1e3) + 2e-3 * math.log(1e20)) / 3e-3)
    assert frontier.log_size(CHINCHILLA_LAWS[0], math.log(1e20)) == pytest.approx(
        math.log(frontier.size(CHINCHILLA_LAWS[0], 1e20)), rel=1e-13
    )
