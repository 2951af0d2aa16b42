"""Held-out error: rolling origins by hand, named hold-outs, and what is missing."""

from dataclasses import replace

import numpy as np
import pytest

from scaling.fitting.backtest import compare_laws
from scaling.reporting.figures.holdout import HOLDOUT, holdout_data
from tests.reporting.drawn_figures import along, checked, context, fitted, places, runs


@pytest.fixture(scope="module")
def named():
    """Return fits with the largest budget held out."""
    return fitted(runs(6, budgets=np.geomspace(1e18, 1e21, 6)), holdout="budget > 9e20")


def with_errors(fits):
    """Score the law on larger runs, with single errors as the fit stores them."""
    (fit,) = fits.fits
    rows, _ = compare_laws([fit])
    rng = np.random.default_rng(0)
    for origin in rows[0]["backtest"]["origins"]:
        count = min(origin["test"], 9)
        far = np.geomspace(1.2, origin["factor"], count)
        origin["test_factor"] = far.tolist()
        origin["errors"] = (origin["rmse_log"] * rng.standard_normal(count)).tolist()
    return replace(fits, laws=tuple(rows)), rows[0]["backtest"]["origins"]


@pytest.fixture(scope="module")
def rolled():
    """Return fits with origins, and the origins."""
    return with_errors(fitted(runs(6), bootstrap=0))


def test_origins_are_those_of_the_fit(rolled):
    fits, origins = rolled
    data = holdout_data(context(fits), None)
    r = data.rolling
    assert (r.law, r.along) == ("chinchilla", "C")
    assert np.allclose(r.cut, [o["cut"] for o in origins])
    assert np.allclose(r.rmse, [100 * o["rmse_log"] for o in origins])
    assert np.allclose(r.factor, [1e21 / o["cut"] for o in origins])
    for k, origin in enumerate(origins):
        own = r.run_origin == k
        assert np.allclose(r.run_error[own], 100 * np.array(origin["errors"]))
        assert np.allclose(r.run_factor[own], origin["test_factor"])
    assert "Random splits would flatter" in data.caption
    assert "target" not in data.caption
    assert data.held is None
    assert data.tips == ()
    checked(HOLDOUT, data)


@pytest.mark.parametrize(("target", "drawn"), [(3e21, True), (1e27, False), (1e20, None)])
def test_the_target_is_beside_what_was_tested(rolled, target, drawn):
    fits, origins = rolled
    data = holdout_data(context(fits, target), None)
    svg = checked(HOLDOUT, data)
    if drawn is None:  # the target lies among the runs
        assert data.asked is None
        return
    assert data.asked == pytest.approx(target / 1e21, rel=1e-6)
    tested = max(o["factor"] for o in origins)
    assert f"{tested:.0f}× was tested" in data.caption
    assert ("target: 1,000,000× →" in svg) != drawn


def test_origins_without_single_errors_or_without_any(rolled):
    fits, _ = rolled
    (row,) = fits.laws
    bare = [
        {k: v for k, v in o.items() if k not in ("errors", "test_factor")}
        for o in row["backtest"]["origins"]
    ]
    lone = {**row, "backtest": {**row["backtest"], "origins": bare[:1]}}
    data = holdout_data(context(replace(fits, laws=(lone,))), None)
    assert len(data.rolling.run_error) == 0
    checked(HOLDOUT, data)
    lost = [{**o, "rmse_log": None, "bias_log": None} for o in bare]
    none = {**row, "backtest": {**row["backtest"], "origins": lost}}
    assert holdout_data(context(replace(fits, laws=(none,))), None) is None
    assert holdout_data(context(replace(fits, laws=())), None) is None


def test_runs_held_out_by_name(named):
    (fit,) = named.fits
    data = holdout_data(context(named), None)
    h = data.held
    out = np.array(fit.rows["held_out"])
    assert np.allclose(h.observed, np.array(fit.rows["loss"], dtype=float)[out])
    own = {name: fit.params[name] for name in fit.law.names}
    x = {v: np.array(fit.rows[v], dtype=float)[out] for v in ("N", "D")}
    assert np.allclose(h.predicted, fit.law.loss(own, x))
    assert (h.lo < h.predicted).all()
    assert (h.predicted < h.hi).all()
    rmse = float(np.sqrt((np.log(h.predicted / h.observed) ** 2).mean()))
    assert rmse == pytest.approx(fit.holdout.rmse_log)
    assert f"{100 * rmse:.2g}%" in data.alt
    assert [t.text.split("\n")[0] for t in h.tips] == [f"r{k}" for k in np.flatnonzero(out)]
    svg = checked(HOLDOUT, data)
    found = places(svg, "held")
    assert along(h.observed[[i for i, _, _ in found]], [x for _, x, _ in found]) > 0.99999
    assert along(h.predicted[[i for i, _, _ in found]], [y for _, _, y in found]) > 0.99999


def test_both_panels_and_one_run(named):
    fits, _ = with_errors(named)
    data = holdout_data(context(fits), None)
    assert HOLDOUT.shape(data) == (1, 2)
    checked(HOLDOUT, data)
    one = fitted(runs(7), holdout="run == 'r25'", bootstrap=0)
    data = holdout_data(context(one), None)
    assert len(data.held.observed) == 1
    assert np.isnan(data.held.lo).all()
    assert "interval" not in data.caption
    checked(HOLDOUT, data)


def test_groups_and_a_law_of_one_variable():
    frame = runs(6, groups=("x", "y"))
    fits = fitted(frame, laws=["power-C"], bootstrap=0)
    rows = []
    for fit in fits.fits:
        rows += compare_laws([fit])[0]
    fits = replace(fits, laws=tuple(rows))
    for group in ("x", "y"):
        data = holdout_data(context(fits), group)
        own = next(r for r in rows if r["group"] == group)
        assert data.rolling.rmse[0] == pytest.approx(
            100 * own["backtest"]["origins"][0]["rmse_log"]
        )
        checked(HOLDOUT, data)
