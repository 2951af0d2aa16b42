"""What a fit cannot answer: each refusal has its code and names the nearest question."""

import numpy as np
import pandas as pd
import pytest

import scaling as sc
from scaling.errors import ConfigError, FitError, QuestionError
from scaling.fitting.questions import at


@pytest.fixture(scope="module")
def fit(runs, hoffmann):
    """Return a surface fit with 40 replicates."""
    frame = runs("chinchilla", hoffmann, noise=0.003)
    return sc.fit(frame, "chinchilla", bootstrap=40, interval=0.9)


@pytest.fixture(scope="module")
def unidentified():
    """Return a fit of runs at one ratio of data to size."""
    size = 1e7 * 2.0 ** np.arange(12)
    loss = 1.7 + 400 / size**0.34 + 0.001 * (np.arange(12) * 7 % 5)
    return sc.fit(
        pd.DataFrame({"N": size, "D": 20 * size, "loss": loss}), "chinchilla", bootstrap=0
    )


REFUSED = {
    "below the floor": (lambda f: f.cheapest(loss=1.5), "SC431", "ask for a loss above it"),
    "below the cap's floor": (lambda f: f.cheapest(loss=1.75, unique_data=1e10), "SC431",
                              "with 1e+10 of data"),
    "small model": (lambda f: f.needed(loss=2.2, N=1e7), "SC431", "raise N"),
    "few data": (lambda f: f.needed(loss=2.2, D=1e8), "SC431", "raise D"),
    "data beyond the cap": (lambda f: f.needed(loss=2.2, N=1e9, unique_data=1e10), "SC432",
                            "law of repeated data"),
    "given data beyond the cap": (lambda f: f.needed(loss=2.3, D=1e11, unique_data=1e10), "SC432",
                                  "law of repeated data"),
    "a run beyond the cap": (lambda f: at(f, N=1e9, D=1e11, unique_data=1e10), "SC432",
                             "ask at that D"),
    "neither": (lambda f: f.needed(loss=2.2), "SC430", "N for the data that it needs"),
    "both": (lambda f: f.needed(loss=2.2, N=1e9, D=1e9), "SC430", "D for the size"),
    "compute alone": (lambda f: at(f, C=1e21), "SC430", "--flops C alone is the optimum"),
    "nothing left": (lambda f: at(f, C=1e21, N=1e9, cost="6*N*D+2*N*1e13"), "SC430", "more C"),
    "unknown variable": (lambda f: f.optimal(C=1e20, experts=8), "SC430", "N and D alone"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_fit_cannot_answer(fit, name):
    ask, code, text = REFUSED[name]
    with pytest.raises(QuestionError) as caught:
        ask(fit)
    assert caught.value.code == code
    assert text in str(caught.value)


@pytest.mark.parametrize("unique", [None, 1e10])
def test_the_floor_that_is_named_is_the_laws(fit, unique):
    p = fit.params
    floor = p["E"] + (p["B"] * unique ** -p["beta"] if unique else 0.0)
    with pytest.raises(QuestionError) as caught:
        fit.cheapest(loss=floor - 1e-4, unique_data=unique)
    assert f"{floor:.6g}" in str(caught.value)
    assert np.isfinite(fit.cheapest(loss=floor + 1e-4, unique_data=unique).C[0])


def test_the_floor_of_repeated_data(repeats):
    """No compute makes more of 1e9 tokens than (1 + R_D) times as many."""
    p, unique = repeats.params, 1e9
    g = (p["alpha"] * p["A"] / (p["beta"] * p["B"])) ** (1 / (p["alpha"] + p["beta"]))
    size = g * (unique * g) ** (p["beta"] / p["alpha"]) * (1 + p["R_N"])
    data = unique * (1 + p["R_D"])
    floor = p["E"] + p["A"] * size ** -p["alpha"] + p["B"] * data ** -p["beta"]
    with pytest.raises(QuestionError) as caught:
        repeats.cheapest(loss=floor - 1e-4, unique_data=unique)
    assert caught.value.code == "SC431"
    assert f"{floor:.6g}" in str(caught.value)
    assert np.isfinite(repeats.cheapest(loss=floor + 1e-3, unique_data=unique).C[0])


@pytest.mark.parametrize(
    ("law", "text"),
    [("power-D", "--data"), ("power-N", "--params"), ("power-C", "--flops"),
     ("downstream-error", "a law of the loss in N and D"),
     ("data-constrained", "--unique-data"), ("moe-krajewski", "--set granularity=")],
)  # fmt: skip
def test_what_the_law_cannot_answer(plain, law, text):
    fit = plain(law)
    for ask in (lambda: fit.optimal(C=1e20), lambda: fit.cheapest(loss=2.5),
                lambda: fit.needed(loss=2.5, N=1e9), lambda: fit.price(C=1e20, off=2)):  # fmt: skip
        with pytest.raises(QuestionError) as caught:
            ask()
        assert caught.value.code == "SC430"
        assert text in str(caught.value)


def test_a_law_without_an_optimum(runs, hoffmann):
    frame = runs("chinchilla", hoffmann)
    fit = sc.fit(frame, formula="E + A/(N**alpha*D**beta)", bootstrap=0)
    with pytest.raises(QuestionError) as caught:
        fit.optimal(C=1e20)
    assert caught.value.code == "SC430"
    assert "no optimum" in str(caught.value)


@pytest.mark.parametrize(
    "ask",
    [lambda f: f.optimal(C=1e20), lambda f: f.cheapest(loss=2.5),
     lambda f: f.needed(loss=2.5, N=1e9), lambda f: f.price(C=1e20, off=2),
     lambda f: at(f, N=1e9, D=1e10)],
    ids=["optimal", "cheapest", "needed", "price", "at"],
)  # fmt: skip
def test_a_fit_that_is_not_identified_answers_nothing(unidentified, ask):
    assert unidentified.status == "not-identified"
    with pytest.raises(FitError) as caught:
        ask(unidentified)
    assert (caught.value.code, caught.value.exit_code) == ("SC405", 4)
    (told,) = [m.mend for m in unidentified.messages if m.code == "SC405" and m.mend]
    assert caught.value.faults[0].mend == told


UNSOUND = {
    "negative compute": (lambda f: f.optimal(C=-1e20), "SC004"),
    "one NaN": (lambda f: f.optimal(C=[1e20, np.nan]), "SC004"),
    "none": (lambda f: f.optimal(C=[]), "SC004"),
    "negative inference": (lambda f: f.optimal(C=1e20, inference_tokens=-1.0), "SC004"),
    "endless inference": (lambda f: f.optimal(C=1e20, inference_tokens=np.inf), "SC004"),
    "negative cap": (lambda f: f.optimal(C=1e20, unique_data=-1e9), "SC004"),
    "level": (lambda f: f.optimal(C=1e20, interval=1.0), "SC004"),
    "cost of data alone": (lambda f: f.optimal(C=1e20, cost="6*D"), "SC004"),
    "cost of others": (lambda f: f.optimal(C=1e20, cost="6*N*X"), "SC020"),
    "negative loss": (lambda f: f.cheapest(loss=-2.0), "SC004"),
    "no loss": (lambda f: f.cheapest(loss=0.0), "SC004"),
    "negative size": (lambda f: f.needed(loss=2.5, N=-1e9), "SC004"),
    "no data": (lambda f: f.needed(loss=2.5, D=0.0), "SC004"),
    "price of negative compute": (lambda f: f.price(C=-1e20, off=2), "SC004"),
    "price of a negative size": (lambda f: f.price(C=1e20, off=[2, -0.5]), "SC004"),
    "a negative run": (lambda f: f.predict(N=-1e9, D=1e10), "SC004"),
}


@pytest.mark.parametrize("name", UNSOUND)
def test_amounts_are_positive_and_options_sound(fit, name):
    ask, code = UNSOUND[name]
    with pytest.raises(ConfigError) as caught:
        ask(fit)
    assert caught.value.code == code


@pytest.mark.parametrize("value", [-1e9, 0.0, np.nan])
def test_held_amounts_are_positive_too(repeats, value):
    with pytest.raises(ConfigError) as caught:
        repeats.optimal(C=1e20, D_unique=value)
    assert caught.value.code == "SC004"
