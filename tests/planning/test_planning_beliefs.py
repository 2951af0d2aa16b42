"""What a study believes: the prior it names, and the optimum that follows from it."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from scaling import count
from scaling.laws import get
from scaling.planning.choosing.beliefs import optimum_of, prior_of
from scaling.planning.choosing.prior import Noise, explicit, known, published
from scaling.planning.sections import Center
from scaling.planning.sizes import Sizes
from tests.planning.studies import fault_of, study

PARAMS = {"E": 1.7, "A": 400.0, "B": 410.0, "alpha": 0.34, "beta": 0.28}
SIZES = Sizes.of(count.DECODER, {"vocabulary": 50304, "context": 1024, "layers": 8})
DESIGN = {"kind": "isoflop", "budgets": [1e17, 1e19], "sizes": [1e7, 1e8]}


def of(design=DESIGN, noise=0.02, fitted=None, **sections):
    return prior_of(study(design, **sections), noise, fitted)


def test_a_centre_is_taken_as_it_is_given():
    optimum = optimum_of(Center(N=2e7, C=1e18, exponent=0.4), None, SIZES)
    np.testing.assert_allclose(optimum(np.array([1e18, 1e20])), [2e7, 2e7 * 100**0.4], rtol=1e-14)


def test_nothing_is_believed_where_nothing_is_said():
    assert of() is None
    assert optimum_of(None, None, SIZES) is None


@pytest.mark.parametrize("budget", [1e16, 1e19, 1e22])
def test_the_optimum_is_where_the_loss_is_lowest_at_the_real_cost_of_a_token(budget):
    """Against a search along the budget; heads and attention make it another N than 6ND would."""
    prior = explicit("chinchilla", PARAMS)
    found = float(optimum_of(None, prior, SIZES)(np.array([budget]))[0])
    law = get("chinchilla")

    def loss(log_n):
        size = np.exp(np.array([log_n]))
        return float(law.loss(PARAMS, {"N": size, "D": budget / SIZES.flops_at(size)})[0])

    around = np.log(found)
    best = minimize_scalar(loss, bounds=(around - 2, around + 2), method="bounded",
                           options={"xatol": 1e-6})  # fmt: skip
    assert around == pytest.approx(best.x, abs=2e-3)
    assert loss(around) == pytest.approx(best.fun, rel=1e-7)


def test_several_laws_are_averaged_by_their_weights_in_the_logarithm():
    one, two = explicit("chinchilla", PARAMS), published("hoffmann-2022")
    both = of(prior={"laws": [
        {"law": "chinchilla", "params": PARAMS, "weight": 3.0}, {"published": "hoffmann-2022"},
    ]})  # fmt: skip
    budgets = np.array([1e18, 1e21])
    each = [np.log(optimum_of(None, p, SIZES)(budgets)) for p in (one, two)]
    np.testing.assert_allclose(
        np.log(optimum_of(None, both, SIZES)(budgets)), 0.75 * each[0] + 0.25 * each[1], rtol=1e-12
    )
    np.testing.assert_allclose(both.weights, [0.75, 0.25])


def test_named_laws_have_their_published_values():
    prior = of(prior={"laws": [{"published": "besiroglu-2024"}]})
    assert dict(prior.truths[0].params) == dict(known()["besiroglu-2024"][1].params)
    assert not prior.assumed


def test_a_centre_becomes_laws_with_that_optimum():
    center = {"N": 2e7, "C": 1e18, "exponent": 0.4}
    prior = of({**DESIGN, "center": center})
    assert prior.assumed
    assert {t.law.name for t in prior.truths} == {"chinchilla", "coupled"}
    found = prior.optimum(np.array([1e18, 1e20]))[0]
    np.testing.assert_allclose(found, np.tile([2e7, 2e7 * 100**0.4], (len(found), 1)), rtol=1e-6)


@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_an_exponent_at_its_end_still_makes_laws(exponent):
    prior = of({**DESIGN, "center": {"N": 2e7, "C": 1e18, "exponent": exponent}})
    assert np.isfinite(prior.exponents(1e18)).all()


def test_laws_come_before_a_centre():
    center = {"N": 2e7, "C": 1e18}
    prior = of({**DESIGN, "center": center}, prior={"laws": [{"published": "hoffmann-2022"}]})
    assert [t.source for t in prior.truths] == ["hoffmann-2022"]


def test_an_optimal_design_and_an_empty_prior_take_language_models():
    optimal = {"kind": "optimal", "budget_flops": 1e20}
    target = {"study": {"target_flops": 1e21}}
    for prior in (of(optimal, **target), of(prior={"noise": 0.003})):
        assert len(prior.truths) == 9
        assert "coupled" in {t.law.name for t in prior.truths}


def test_noise_is_the_recipes_unless_the_study_says():
    laws = [{"published": "hoffmann-2022"}]
    assert of(prior={"laws": laws}).truths[0].noise.sd == 0.02
    noise = of(prior={"laws": laws, "noise": 0.003, "noise_growth": 0.1, "trunk_noise": 0.002})
    assert noise.truths[0].noise == Noise(0.003, 0.1, 1e19, 0.002)


def test_a_fit_is_a_prior_with_the_noise_of_the_study():
    fitted = published("hoffmann-2022")
    prior = of(prior={"fit": "f.json", "noise": 0.05}, fitted=fitted)
    assert [t.noise.sd for t in prior.truths] == [0.05]
    assert prior.truths[0].params == fitted.truths[0].params


@pytest.mark.parametrize(
    ("laws", "code", "words"),
    [
        ([{}], "SC012", "published"),
        ([{"published": "hoffmann-2022", "law": "chinchilla"}], "SC012", "either"),
        ([{"published": "nobody-1900"}], "SC210", "hoffmann-2022"),
        ([{"law": "chinchilla", "params": {"E": 1.0}}], "SC210", "alpha"),
        ([{"law": "chinchilla", "params": {**PARAMS, "alpha": 99.0}}], "SC210", "alpha"),
        ([{"law": "power-N", "params": {}}], "SC210", "power-N"),
        ([{"law": "nothing", "params": {}}], None, "nothing"),
    ],
    ids=["neither", "both", "unknown id", "parameters missing", "out of bounds", "of N alone",
         "unknown law"],
)  # fmt: skip
def test_laws_that_cannot_be_believed(laws, code, words):
    fault = fault_of(of, prior={"laws": laws})
    assert code in (None, fault.code)
    assert words in fault.render()
