"""The price of a smaller model, against closed forms of the additive law."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq

from scaling.reporting.figures.overtraining import OVERTRAINING, overtraining_data
from tests.reporting.drawn_figures import checked, context, fitted, runs


@pytest.fixture(scope="module")
def fits():
    return fitted(runs(7))


def parts(fit):
    return (fit.params[name] for name in ("E", "A", "B", "alpha", "beta"))


def test_excess_has_the_closed_form(fits):
    (fit,) = fits.fits
    E, A, B, alpha, beta = parts(fit)
    data = overtraining_data(context(fits), None)
    for item in data.excess:
        n = np.sqrt(item.C / 6 / item.ratio)
        d = item.ratio * n
        best = float(fit.law.frontier.size(fit.params, item.C))
        reducible = A / best**alpha + B / (item.C / 6 / best) ** beta
        off = n / best
        ratio = (beta * off**-alpha + alpha * off**beta) / (alpha + beta)
        assert np.allclose(item.percent, 100 * reducible * (ratio - 1) / (E + reducible), atol=1e-7)
        assert np.allclose(6 * n * d, item.C)
        assert item.percent.min() < 0.01
    assert [round(np.log10(e.C), 3) for e in data.excess] == [19.5, 21, 23]


def test_serving_moves_the_optimum_left_as_sardana_says(fits):
    (fit,) = fits.fits
    E, A, B, alpha, beta = parts(fit)
    data = overtraining_data(context(fits), None)
    sizes = [s.best_N for s in data.served]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == pytest.approx(float(fit.law.frontier.size(fit.params, data.at)), rel=1e-6)
    for s in data.served:

        def slope(log_n, tokens=s.T):
            n = np.exp(log_n)
            d = (B / (data.loss - E - A / n**alpha)) ** (1 / beta)
            return alpha * A / n**alpha / (beta * B / d**beta) - 1 - tokens / (3 * d)

        low = np.log((A / (data.loss - E)) ** (1 / alpha)) + 1e-3
        assert s.best_N == pytest.approx(np.exp(brentq(slope, low, 40)), rel=1e-5)
        assert s.best_total == pytest.approx(6 * s.best_N * s.best_D + 2 * s.best_N * s.T)
        d = (B / (data.loss - E - A / s.N**alpha)) ** (1 / beta)
        assert np.allclose(s.total, 6 * s.N * d + 2 * s.N * s.T, rtol=1e-6)
        assert s.best_total <= s.total.min() * (1 + 1e-9)
    assert data.served[1].T == pytest.approx(data.served[0].best_D)


def test_what_is_extrapolated_is_said(fits):
    (fit,) = fits.fits
    data = overtraining_data(context(fits), None)
    ratio = np.array(fit.rows["D"]) / np.array(fit.rows["N"])
    assert data.reach == (pytest.approx(ratio.min()), pytest.approx(ratio.max()))
    middle, _, far = data.excess
    assert middle.inside.any()
    assert not far.inside.any()
    assert (middle.ratio[middle.inside] >= data.reach[0]).all()
    assert (middle.ratio[middle.inside] <= data.reach[1]).all()
    assert "Dashed: outside the runs, by the law alone" in data.caption
    svg = checked(OVERTRAINING, data)
    assert "20 tokens a parameter" in svg


def test_a_target_sets_the_loss_and_the_largest_scale(fits):
    data = overtraining_data(context(fits, 1e25), None)
    (fit,) = fits.fits
    assert data.at == data.excess[-1].C == 1e25
    assert data.loss == pytest.approx(float(fit.optimal(C=1e25)["loss"].iloc[0]))
    checked(OVERTRAINING, data)
    inside = overtraining_data(context(fits, 1e20), None)
    assert inside.excess[-1].C == pytest.approx(1e23)


def test_images_have_no_rule_of_20_tokens(fits):
    shown = {**fits.table["columns"], "D": {"unit": "images"}}
    table = {**fits.table, "columns": shown}
    data = overtraining_data(context(replace(fits, table=table)), None)
    assert data.rule is None
    assert "20 tokens" not in checked(OVERTRAINING, data)


def test_draws_are_not_needed():
    bare = fitted(runs(7), bootstrap=0)
    data = overtraining_data(context(bare), None)
    checked(OVERTRAINING, data)


def test_no_surface_no_figure(fits):
    one = fitted(runs(7), laws=["power-C"], bootstrap=0)
    assert overtraining_data(context(one), None) is None
    (fit,) = fits.fits
    lost = replace(fits, fits=(replace(fit, status="not-identified"),))
    assert overtraining_data(context(lost), None) is None
    assert overtraining_data(context(replace(fits, fits=())), None) is None


def test_a_cost_without_closed_form():
    fits = fitted(runs(7), bootstrap=0, cost="6*N*D + 1e10*D")
    data = overtraining_data(context(fits), None)
    for s in data.served:
        d = s.best_D
        assert s.best_total == pytest.approx(
            6 * s.best_N * d + 1e10 * d + 2 * s.best_N * s.T, rel=1e-6
        )
    assert "D" in data.cost.removeprefix("C = 6")
    checked(OVERTRAINING, data)
