"""Every law of the catalogue from default settings: noise-free runs give the parameters back."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import least_squares
from truths import every_law

import scaling as sc

ALL = list(every_law())


def table(law, x, y):
    return pd.DataFrame({**x, law.response: y})


def objective_of(y):
    """Losses below 0 have no logarithm, so only levels can be compared."""
    return "log-huber" if (np.asarray(y) > 0).all() else "mse"


def sorted_breaks(params):
    """Order the breaks of a broken law: their names are interchangeable."""
    count = sum(name.startswith("d") for name in params)
    order = sorted(range(1, count + 1), key=lambda i: params[f"d{i}"])
    moved = {
        f"{n}{new}": params[f"{n}{old}"]
        for new, old in enumerate(order, 1)
        for n in ("c", "d", "f")
    }
    return {**params, **moved}


@pytest.mark.parametrize(("law", "x", "truth"), ALL, ids=[c[0].name for c in ALL])
def test_parameters_come_back(law, x, truth):
    y = law.loss(truth, x)
    fit = sc.fit(table(law, x, y), law, bootstrap=0, objective=objective_of(y))
    found = dict(fit.params)
    if law.name.startswith("bnsl"):
        found = sorted_breaks(found)
    assert {name: found[name] for name in truth} == pytest.approx(truth, rel=1e-6)
    assert fit.certificate["converged"]
    assert fit.law.loss(fit.params, x) == pytest.approx(y, rel=1e-10)


NOISY = [c for c in ALL if not c[0].name.startswith(("bnsl", "multi", "farseer"))]


@pytest.mark.parametrize(("law", "x", "truth"), NOISY, ids=[c[0].name for c in NOISY])
def test_scipy_finds_nothing_lower_from_the_optimum(law, x, truth):
    y = law.loss(truth, x)
    noise = 0.002 * np.random.default_rng(0).standard_normal(len(y))
    logs = objective_of(y) == "log-huber"
    y = y * np.exp(noise) if logs else y + noise
    fit = sc.fit(table(law, x, y), law, bootstrap=0, objective="log-mse" if logs else "mse")
    names = list(law.names)
    best = np.array([fit.params[n] for n in names])
    scale = np.where(best == 0, 1.0, np.abs(best))

    def residual(z):
        f = law.loss(dict(zip(names, z * scale, strict=True)), x)
        with np.errstate(all="ignore"):
            return np.nan_to_num(np.log(f) - np.log(y) if logs else f - y, nan=1e3)

    limits = (
        np.array([(law.parameter(n).low, law.parameter(n).high) for n in names]) / scale[:, None]
    )
    at = np.clip(best / scale, *limits.T)
    low = np.where(at == limits[:, 0], limits[:, 0] - 1e-12, limits[:, 0])
    with np.errstate(all="ignore"):
        other = least_squares(
            residual, at, bounds=(low, limits[:, 1]), xtol=1e-15, ftol=1e-15, gtol=1e-15
        )
    value = float((residual(at) ** 2).sum())
    assert fit.objective.value == pytest.approx(value, rel=1e-10)
    assert 2 * other.cost >= fit.objective.value * (1 - 1e-8)


def test_a_law_that_overflows_somewhere_does_not_poison_the_rest(runs, hoffmann):
    frame = runs("chinchilla", hoffmann).assign(N=lambda f: f.N * 1e280)
    fit = sc.fit(frame, "chinchilla", bootstrap=5)
    assert np.isfinite(fit.objective.value)


# ---------------------------------------------------------------------------------- users' formulas


def test_a_formula_is_fitted_as_the_law_that_it_is(runs, hoffmann):
    frame = runs("chinchilla", hoffmann, noise=0.002)
    one = sc.fit(frame, "chinchilla", bootstrap=0)
    two = sc.fit(frame, formula="E + A/N**alpha + B/D**beta", bootstrap=0)
    assert two.law.formula == "E + A/N**alpha + B/D**beta"
    assert {k: two.params[k] for k in hoffmann} == pytest.approx(
        {k: one.params[k] for k in hoffmann}, rel=1e-5
    )


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("c*D**p", {"c": 30.0, "p": -0.1}),
        ("E + k*log(D)", {"E": 1.0, "k": 0.1}),
        (
            "low + (high - low)/(1 + (D/D_mid)**s)",
            {"low": 1.0, "high": 4.0, "D_mid": 1e9, "s": 0.7},
        ),
        ("a + b*exp(-D/tau)", {"a": 1.0, "b": 2.0, "tau": 3e9}),
        ("(B/D**beta + E)**k", None),
    ],
)
def test_other_formulas(text, truth):
    d = np.geomspace(1e7, 1e11, 40)
    law = sc.fit(pd.DataFrame({"D": d, "loss": 2 + 300 / d**0.3}), formula=text, bootstrap=0).law
    if truth is None:
        return
    y = law.loss(truth, {"D": d})
    fit = sc.fit(pd.DataFrame({"D": d, "loss": y}), formula=text, bootstrap=0)
    assert fit.law.loss(fit.params, {"D": d}) == pytest.approx(y, rel=1e-6)
    assert {k: fit.params[k] for k in truth} == pytest.approx(truth, rel=1e-5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "E +",
        "E",
        "N + D",
        "__import__('os')",
        "loss < 3",
        'E + A*"x"',
        "E.real + N",
        "[N]",
        "f(N)",
    ],
)
def test_formulas_that_cannot_be_used(runs, hoffmann, text):
    with pytest.raises(sc.errors.ConfigError) as caught:
        sc.fit(runs("chinchilla", hoffmann), formula=text, bootstrap=0)
    assert caught.value.code == "SC020"


def test_a_formula_reads_a_strangers_columns(runs, hoffmann):
    frame = runs("chinchilla", hoffmann).rename(columns={"N": "params", "D": "tokens"})
    fit = sc.fit(frame, formula="E + A/N**alpha + B/D**beta", bootstrap=0)
    assert {k: fit.params[k] for k in hoffmann} == pytest.approx(hoffmann, rel=1e-5)
