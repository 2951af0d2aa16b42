"""`law="auto"`: what it gives, what moves it and what does not, and how it is kept."""

import numpy as np
import pandas as pd
import pytest

import scaling as sc
from scaling.errors import ConfigError, FitError, TableError
from scaling.fitting import allocation
from scaling.fitting.allocation import best_size, least_cost
from scaling.fitting.auto.build import forecast
from scaling.fitting.auto.mixture import Mixture
from scaling.fitting.auto.unmixed import by_law
from scaling.laws import PROCEDURES
from scaling.laws.cost import SIX_ND

ADDITIVE = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}
FLOOR = 2.0


def curve(variable="D", points=16, noise=0.003, seed=0):
    """Runs of a power law with a floor, which is near at the largest."""
    x = np.geomspace(1e6, 1e9, points)
    error = noise * np.random.default_rng(seed).standard_normal(points)
    return pd.DataFrame({variable: x, "loss": (FLOOR + 300.0 * x**-0.4) * np.exp(error)})


def surface(noise=0.003, seed=0, sizes=5, lengths=6):
    """Runs of an additive law on a grid of N and D."""
    n, d = np.meshgrid(np.geomspace(1e7, 1e9, sizes), np.geomspace(3e8, 3e10, lengths))
    x = {"N": n.ravel(), "D": d.ravel()}
    error = noise * np.random.default_rng(seed).standard_normal(n.size)
    return pd.DataFrame(x | {"loss": sc.law("chinchilla").loss(ADDITIVE, x) * np.exp(error)})


@pytest.fixture(scope="module")
def of_curve():
    return sc.fit(curve(), "auto", bootstrap=200)


@pytest.fixture(scope="module")
def of_surface():
    return sc.fit(surface(), "auto", bootstrap=200)


@pytest.fixture(params=["of_curve", "of_surface"])
def fitted(request):
    return request.getfixturevalue(request.param)


def ahead(fit):
    """Points inside the runs and beyond them."""
    x = {v: np.array([1e8, 1e9, 1e11]) for v in fit.law.variables}
    return fit.predict(**x)[["loss", "lo", "hi"]].to_numpy()


# ---------------------------------------------------------------------------------- what it gives


def test_it_is_an_ordinary_fit_of_a_mixture(fitted):
    assert isinstance(fitted.law, Mixture)
    assert fitted.identified
    assert fitted.law.name == "auto"
    found = ahead(fitted)
    assert (found[:, 1] < found[:, 0]).all()
    assert (found[:, 0] < found[:, 2]).all()


def test_weights_add_to_one_and_are_ordered(fitted):
    for weights in (
        [m["weight"] for m in fitted.members],
        [p.weight for p in fitted.law.parts],
    ):
        assert sum(weights) == pytest.approx(1.0)
    assert sum(p.share for p in fitted.law.parts) == pytest.approx(1.0)
    weights = [m["weight"] for m in fitted.members]
    assert weights == sorted(weights, reverse=True)
    shares = [p.share for p in fitted.law.parts]
    assert shares == sorted(shares, reverse=True)
    assert {m["law"] for m in fitted.members} == {p.law.name for p in fitted.law.parts}


def test_a_floor_that_runs_reach_is_forecast(of_curve):
    row = of_curve.predict(D=1e14).iloc[0]
    assert row.loss == pytest.approx(FLOOR, rel=0.02)
    assert row.lo < FLOOR < row.hi


def test_the_optimum_of_simulated_runs_is_near_the_truth(of_surface):
    compute = 1e21
    row = of_surface.optimal(C=compute).iloc[0]
    truth = float(sc.law("chinchilla").frontier.size(ADDITIVE, compute))
    lowest = sc.law("chinchilla").loss(ADDITIVE, {"N": truth, "D": compute / (6 * truth)})
    assert row.N == pytest.approx(truth, rel=0.35)
    assert row.loss == pytest.approx(float(lowest), rel=0.01)
    assert of_surface.params["a"] == pytest.approx(0.28 / 0.62, abs=0.05)
    assert of_surface.params["a"] + of_surface.params["b"] == pytest.approx(1.0)


@pytest.mark.parametrize("variable", ["N", "D", "C"])
def test_a_curve_in_one_variable_can_be_forced(variable):
    frame = surface(sizes=8, lengths=8) if variable != "C" else curve("C")
    fit = sc.fit(frame, f"auto-{variable}", bootstrap=0)
    assert fit.law.variables == (variable,)
    assert fit.interval is None
    assert not fit.draws


def test_runs_along_a_ray_are_a_curve_in_compute():
    n = np.geomspace(1e6, 1e9, 12)
    x = {"N": n, "D": 20.0 * n}
    frame = pd.DataFrame(x | {"loss": sc.law("chinchilla").loss(ADDITIVE, x)})
    assert sc.fit(frame, "auto", bootstrap=0).law.variables == ("C",)


# ------------------------------------------------------------------------- what does not move it


def test_draws_follow_from_the_seed(of_curve):
    again = sc.fit(curve(), "auto", bootstrap=200)
    other = sc.fit(curve(), "auto", bootstrap=200, seed=1)
    for name, values in of_curve.draws.items():
        assert np.array_equal(values, again.draws[name])
    assert not np.array_equal(of_curve.draws["d0"], other.draws["d0"])
    assert ahead(of_curve)[:, 0] == pytest.approx(ahead(other)[:, 0], rel=1e-12)


@pytest.mark.parametrize("make", [curve, surface])
def test_order_and_copies_of_rows_change_nothing(make, request):
    fit = request.getfixturevalue("of_curve" if make is curve else "of_surface")
    frame = make()
    shuffled = frame.sample(frac=1.0, random_state=1)
    copied = pd.concat([frame, frame.iloc[::2]])
    for changed in (shuffled, copied):
        other = sc.fit(changed, "auto", bootstrap=200)
        assert ahead(other) == pytest.approx(ahead(fit), rel=1e-9)
    assert "SC107" in {m.code for m in other.messages}


@pytest.mark.parametrize("variable", ["D", "loss"])
def test_units_change_nothing_else(of_curve, variable):
    factor = 1000.0
    frame = curve().assign(**{variable: lambda f: f[variable] * factor})
    fit = sc.fit(frame, "auto", bootstrap=200)
    at = 1e11 * (factor if variable == "D" else 1.0)
    found = fit.predict(D=at)[["loss", "lo", "hi"]].to_numpy()[0]
    if variable == "loss":
        found = found / factor
    assert found[0] == pytest.approx(ahead(of_curve)[2, 0], rel=2e-3)
    assert found == pytest.approx(ahead(of_curve)[2], rel=1e-2)  # few draws


@pytest.mark.parametrize("make", [curve, surface])
def test_runs_beyond_an_origin_do_not_enter_its_forecast(make):
    frame = make()
    order = (frame.get("N", 1.0) * frame.D).rank(method="first")
    found = []
    moved = frame.assign(loss=frame.loss.where(order < len(frame) - 1, 0.8 * frame.loss))
    for f in (frame, moved):
        origins = sc.fit(f, "auto", bootstrap=0).certificate["auto"]["origins"]
        found.append([o for o in origins if o["test"] >= 2])
    assert len(found[0]) > 2
    for one, two in zip(*found, strict=True):
        assert one["cut"] == pytest.approx(two["cut"])
        assert one["losses"] != two["losses"]
        predicted, again = (np.log(o["losses"]) + o["errors"] for o in (one, two))
        assert predicted == pytest.approx(again, abs=1e-5), one["cut"]  # six digits are kept


def test_the_last_runs_move_the_forecast():
    """What the test above leaves alone must matter to the forecast from all runs."""
    frame = curve()
    factor = [*[1.0] * (len(frame) - 2), 0.8, 0.8]
    moved = frame.assign(loss=frame.loss * factor)
    one, two = (sc.fit(f, "auto", bootstrap=0).predict(D=1e11).loss[0] for f in (frame, moved))
    assert abs(np.log(one / two)) > 0.05


# ------------------------------------------------------------------------------------- kept, read


def test_a_stored_mixture_answers_alike(fitted, tmp_path):
    path = tmp_path / "fit.json"
    fitted.save(path)
    again = sc.load(path)
    assert isinstance(again.law, Mixture)
    assert ahead(again) == pytest.approx(ahead(fitted), rel=1e-12)
    assert again.members == fitted.members
    assert again.evidence_factor == fitted.evidence_factor
    assert again.law.declaration() == fitted.law.declaration()
    other = tmp_path / "again.json"
    again.save(other)
    assert other.read_text() == path.read_text()


def test_many_draws_are_packed_beside_it(tmp_path):
    path = tmp_path / "fit.json"
    fit = sc.fit(curve(), "auto", bootstrap=4500)
    fit.save(path)
    assert path.with_suffix(".npz").exists()
    assert ahead(sc.load(path)) == pytest.approx(ahead(fit), rel=1e-12)


def test_questions_about_compute(of_surface, of_curve):
    cheapest = of_surface.cheapest(loss=2.6).iloc[0]
    assert of_surface.optimal(C=cheapest.C).loss[0] == pytest.approx(2.6, rel=1e-6)
    needed = of_surface.needed(loss=2.6, N=1e9).iloc[0]
    assert of_surface.predict(N=1e9, D=needed.D).loss[0] == pytest.approx(2.6, rel=1e-6)
    with pytest.raises(sc.errors.QuestionError) as caught:
        of_curve.optimal(C=1e21)
    assert "--data" in caught.value.faults[0].mend


@pytest.mark.parametrize("own", [False, True])
def test_optima_of_draws_are_those_of_a_search(of_surface, own):
    draws = {name: values[:12, None] for name, values in of_surface.draws.items()}
    log_c = np.log([1e19, 1e21, 1e23])
    if own:
        log_c = log_c + np.linspace(-0.5, 0.5, 12)[:, None]
    u, v = best_size(of_surface.law, draws, log_c)
    exact = allocation._in_chunks(  # the search that laws without a table take
        allocation._along_budget, of_surface.law, draws, log_c, SIX_ND, {}
    )[0]
    found = np.isfinite(exact)
    assert found.mean() > 0.9
    assert u[found] == pytest.approx(exact[found], abs=1e-3)
    assert u + v == pytest.approx(np.broadcast_to(log_c - np.log(6.0), u.shape))


def test_costs_of_draws_lead_back_to_their_losses(of_surface):
    draws = {name: values[:12, None] for name, values in of_surface.draws.items()}
    goal = np.log([2.4, 2.2])
    log_c, u, v = least_cost(of_surface.law, draws, goal)
    reached = of_surface.law.loss(draws, {"N": np.exp(u), "D": np.exp(v)})
    assert np.isfinite(log_c).all()
    assert np.log(reached) == pytest.approx(np.broadcast_to(goal, reached.shape), abs=1e-3)
    assert np.isnan(least_cost(of_surface.law, draws, np.log([1e-3]))[0]).all()


@pytest.mark.parametrize("law", ["power-D", "m4-D"])
def test_intervals_hold_far_beyond_simulated_curves(law):
    params = {"E": FLOOR, "B": 300.0, "beta": 0.4}
    if law == "m4-D":
        params = {"E": FLOOR, "E_0": 6.0, "alpha": 0.8, "B": 400.0, "c": 0.45}
    d, ahead = np.geomspace(1e6, 1e9, 30), np.array([2e9, 1e10, 1e11])
    exact, held = sc.law(law).loss(params, {"D": ahead}), []
    for seed in range(8):
        noise = np.exp(0.005 * np.random.default_rng(seed).standard_normal(30))
        loss = sc.law(law).loss(params, {"D": d}) * noise
        fit = sc.fit(pd.DataFrame({"D": d, "loss": loss}), "auto", bootstrap=200, backtest=False)
        table = fit.predict(D=ahead, interval=0.9)
        held.append((table.lo <= exact) & (exact <= table.hi))
        assert (np.log(table.hi / table.lo) < 0.25).all()
    assert 0.7 <= np.mean(held)


def test_draws_by_law_give_what_the_mixture_gives(of_surface):
    """Inside the runs, where nothing is widened and surfaces have no shared departure."""
    x = {"N": np.array([1e8]), "D": np.array([3e9])}
    parts = list(by_law(of_surface.law, of_surface.draws))
    assert sum(float(w.sum()) for _, _, w in parts) == pytest.approx(1.0)
    own = np.concatenate([np.log(law.loss(p, x)) for law, p, _ in parts])
    columns = {k: np.asarray(v)[:, None] for k, v in of_surface.draws.items()}
    whole = np.log(of_surface.law.loss(columns, x)).ravel()
    inner = [25, 50, 75]  # far out the mixture moves parameters to first order alone
    assert np.percentile(own, inner) == pytest.approx(np.percentile(whole, inner), abs=2e-3)
    alone = list(by_law(of_surface.law, {}))
    assert sum(float(w.sum()) for _, _, w in alone) == pytest.approx(1.0)
    mean = sum(float(w[0]) * np.log(law.loss(p, x)[0]) for law, p, w in alone)
    assert mean == pytest.approx(float(np.log(of_surface.law.loss({}, x)[0])), rel=1e-9)


# ---------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    "options",
    [
        {"objective": "mse"},
        {"delta": "auto"},
        {"reduction": "mean"},
        {"fixed": {"E": 1.0}},
        {"bounds": {"E": (0.0, 1.0)}},
        {"method": "delta"},
        {"profile": ["E"]},
        {"share": ["E"]},
    ],
    ids=lambda o: next(iter(o)),
)
def test_options_of_one_law_are_refused(options):
    with pytest.raises(ConfigError) as caught:
        sc.fit(curve(), "auto", **options)
    assert caught.value.code == "SC004"
    assert "--law" in caught.value.faults[0].mend


@pytest.mark.parametrize(
    ("frame", "error", "code"),
    [
        (curve(points=5), FitError, "SC401"),
        (curve().assign(D=1e8), FitError, "SC401"),
        (curve().assign(D=lambda f: 1e8 * (1 + 1e-5 * np.arange(len(f)))), FitError, "SC401"),
        (curve().iloc[:, 1:], ConfigError, "SC105"),
        (curve().assign(loss=lambda f: f.loss - 2.1), TableError, "SC103"),
        (curve().assign(loss=lambda f: f.loss.where(f.index != 3)), TableError, "SC104"),
    ],
    ids=["few", "one value", "close", "no variable", "negative", "empty"],
)
def test_tables_that_cannot_be_forecast(frame, error, code):
    with pytest.raises(error) as caught:
        sc.fit(frame, "auto", bootstrap=0)
    assert caught.value.code == code


def test_a_response_that_is_not_positive_is_refused():
    frame = curve().assign(gain=lambda f: f.loss - 2.1)
    with pytest.raises(TableError) as caught:
        sc.fit(frame, "auto", response="gain", bootstrap=0)
    assert caught.value.code == "SC103"


def test_a_response_that_rises_is_told():
    frame = curve().assign(accuracy=lambda f: 1.0 - f.loss / 10.0)
    fit = sc.fit(frame, "auto", response="accuracy", bootstrap=0)
    assert "SC133" in {m.code for m in fit.messages}


def test_very_many_runs_are_thinned_and_told():
    frame = surface(sizes=20, lengths=30)
    fit = sc.fit(frame, "auto", bootstrap=0)
    assert fit.n == 600
    assert fit.law.points.n == 256
    assert "SC450" in {m.code for m in fit.messages}


def test_a_long_curve_is_averaged_and_told():
    fit = sc.fit(curve(points=200), "auto", bootstrap=0, backtest=False)
    assert fit.law.points.n == 48
    (told,) = [m for m in fit.messages if m.code == "SC450"]
    assert "200 rows were averaged in 48 steps" in told.text


def test_rows_without_weight_are_neither_copies_nor_thinned():
    frame = curve().assign(w=[0.0] * 3 + [1.0] * 13)
    fit = sc.fit(frame, "auto", weights="w", bootstrap=0, backtest=False)
    assert fit.law.points.n == 13
    assert not {"SC107", "SC450"} & {m.code for m in fit.messages}


def test_scatter_of_repeats_says_how_large_the_noise_is():
    repeats = pd.concat([curve(points=7, noise=0.01, seed=k) for k in range(20)])
    fit = sc.fit(repeats, "auto", bootstrap=400, backtest=False)
    own = np.sqrt([p.variance for p in fit.law.parts])
    assert own == pytest.approx(0.01, rel=0.25)
    wide = np.log(fit.predict(D=1e9).run_hi / fit.predict(D=1e9).run_lo)[0]
    assert wide == pytest.approx(2 * 1.96 * 0.01, rel=0.35)


def test_more_than_one_future_is_told():
    """Three sizes and lengths without noise: a bend that nothing rules out."""
    x = np.array([1e6, 2e6, 4e6, 8e6, 1.6e7, 3.2e7])
    error = 0.02 * np.random.default_rng(3).standard_normal(6)
    frame = pd.DataFrame({"D": x, "loss": 30.0 * x**-0.15 * np.exp(error)})
    fit = sc.fit(frame, "auto", bootstrap=0)
    futures = [f["future"] for f in fit.certificate["auto"]["futures"]]
    assert len(futures) > 1
    assert "SC449" in {m.code for m in fit.messages}


@pytest.mark.parametrize("name", PROCEDURES)
def test_a_procedure_is_no_law(name):
    with pytest.raises(ConfigError) as caught:
        sc.law(name)
    assert "procedure" in caught.value.faults[0].found
    assert f"--law {name}" in caught.value.faults[0].mend


def test_a_misspelt_procedure_gets_its_name():
    with pytest.raises(ConfigError) as caught:
        sc.fit(curve(), "atuo")
    assert caught.value.faults[0].mend == "did you mean auto?"


def test_arrays_alone_can_be_forecast():
    frame = curve()
    law, found = forecast({"D": frame.D.to_numpy()}, frame.loss.to_numpy())
    assert float(law.loss({}, {"D": 1e14})) == pytest.approx(FLOOR, rel=0.02)
    assert sum(w for w, _ in found["futures"].values()) == pytest.approx(1.0, abs=0.02)


# ----------------------------------------------------------------------------------- beside others


def test_draws_without_an_optimum_reach_no_loss(of_surface):
    """A draw whose loss falls with N alone has no cheapest way to a loss, and says so by NaN."""
    draws = {name: values[:3, None].copy() for name, values in of_surface.draws.items()}
    for name in draws:
        if name.startswith("d"):
            draws[name] *= 1e6  # far beyond anything drawn
    log_c, u, v = least_cost(of_surface.law, draws, np.log([2.4]))
    assert log_c.shape == (3, 1)
    assert np.isnan(u).any()
    assert (np.isnan(u) == np.isnan(v)).all()


def test_it_stands_beside_other_laws_and_groups():
    frame = pd.concat([curve(seed=0).assign(g="p"), curve(seed=1).assign(g="q")])
    fits = sc.fit(frame, ["auto", "power-D"], group="g", bootstrap=50, objective="log-mse")
    assert {(f.group, f.law.name) for f in fits.values()} == {
        (g, law) for g in "pq" for law in ("auto", "power-D")
    }
    for fit in fits.values():
        assert fit.backtest["backtest"]["rmse_log"] is not None
    assert fits["p", "power-D"].objective.name == "log-mse"


def test_held_out_runs_are_scored(of_surface):
    fit = sc.fit(surface(), "auto", bootstrap=100, holdout="C > 3e19")
    assert fit.n < of_surface.n
    assert fit.holdout.rmse_log < 0.02
    assert fit.holdout.n + fit.n == of_surface.n


def test_no_sensitivity_panel_is_made_and_that_is_told():
    fit = sc.fit(surface(), "auto", bootstrap=0, sensitivity=True)
    assert not fit.sensitivity
    assert "SC438" in {m.code for m in fit.messages}
