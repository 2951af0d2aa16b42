"""Over-trained RedPajama models of Gadre et al.: level least squares on 5 and 6 runs (section 6).

Their loss law is ``α' N^η + β' 6^(η/2) (M N)^η + E`` with M = D/N and η < 0. As M N = D it is
over-training's ``E + A/N^α + B/D^α`` with α = -η, A = α' and B = β' 6^(η/2).
"""

import pytest

import scaling as sc
from scaling.errors import FitError

FILE = "gadre2024_redpajama/models_rpj.csv"
SMALLEST = "rpj-d=96_l=8_h=4-16.0"
LADDER = (
    "rpj-d=96_l=8_h=4-1.0", "rpj-d=512_l=8_h=4-1.0", "rpj-d=576_l=24_h=8-1.0",
    "rpj-d=1024_l=24_h=8-1.0",
)  # fmt: skip
NEAR, LONG, LARGE = "rpj-open_lm_1b-1.0", "rpj-open_lm_1b-32.0", "rpj-open_lm_7b-1.0"


@pytest.fixture(scope="module")
def models(cells):
    """Return the 35 models with the loss on C4, by name."""
    frame = cells(FILE).rename(columns={"loss_c4_val": "loss"}).set_index("name")
    assert len(frame) == 35
    return frame[["N", "D", "tok_mult", "loss", "err_avg", "err_avg_subset"]]


def rows(models, *names):
    return models.loc[list(names)].reset_index()


@pytest.fixture(scope="module")
def law(models):
    frame = rows(models, *LADDER, SMALLEST)
    assert list(frame.tok_mult) == [20, 20, 20, 20, 320]
    return sc.fit(frame, "over-training", objective="mse", bootstrap=200)


@pytest.fixture(scope="module", params=["err_avg_subset", "err_avg"])
def task(request, models):
    """Return the column and the error law of 17 or of 46 tasks on the observed losses."""
    frame = rows(models, *LADDER, SMALLEST, NEAR)
    options = {"objective": "mse", "response": request.param, "bootstrap": 200}
    return request.param, sc.fit(frame, "downstream-error", **options)


def loss_at(law, model):
    return law.predict(N=model.N, D=model.D).loss[0]


@pytest.mark.parametrize(
    ("name", "percent"), [(LONG, 0.7103), (LARGE, 0.7320), (NEAR, 0.1098)]
)  # fmt: skip
def test_relative_errors_of_predicted_losses(models, law, name, percent):
    model = models.loc[name]
    assert 100 * abs(loss_at(law, model) / model.loss - 1) == pytest.approx(percent, abs=0.01)


@pytest.mark.parametrize(
    ("name", "predicted", "observed"), [(LONG, 2.5198, 2.5021), (LARGE, 2.4427, 2.4250)]
)
def test_predicted_losses(models, law, name, predicted, observed):
    model = models.loc[name]
    assert loss_at(law, model) == pytest.approx(predicted, abs=5e-4)
    assert model.loss == pytest.approx(observed, abs=5e-5)


def test_parameters_of_the_loss_law(law):
    p = law.params
    assert law.n == 5
    assert p["A"] == pytest.approx(166.21, rel=0.01)
    assert p["B"] * 6 ** (p["alpha"] / 2) == pytest.approx(366.69, rel=0.01)
    assert -p["alpha"] == pytest.approx(-0.272851, abs=0.001)
    assert p["E"] == pytest.approx(1.836648, rel=0.01)


def test_one_residual_degree_of_freedom_gives_no_headline(law):
    """Near-interpolation is not presented as a result, with or without replicates."""
    assert law.status == "not-identified"
    assert not law.identified
    assert {"SC401", "SC405", "SC412"} <= {m.code for m in law.messages}
    lo, hi = law.intervals["alpha"]
    assert hi - lo > 1


def test_one_residual_degree_of_freedom_is_told_without_replicates(models):
    frame = rows(models, *LADDER, SMALLEST)
    bare = sc.fit(frame, "over-training", objective="mse", bootstrap=0)
    told = {m.code: m.text for m in bare.messages}
    assert "5 runs for 4 parameters" in told["SC401"]
    assert "SC416" in told
    assert not bare.intervals


def test_as_many_parameters_as_runs_are_refused(models):
    frame = rows(models, *LADDER)
    with pytest.raises(FitError, match="SC401"):
        sc.fit(frame, "over-training", objective="mse", bootstrap=0)


def test_parameters_of_the_error_law_of_17_tasks(task):
    column, fit = task
    if column == "err_avg_subset":
        p = fit.params
        expected = {"k": 2.2065, "kappa": 0.71459, "epsilon": 0.85699}
        assert {name: p[name] for name in expected} == pytest.approx(expected, rel=0.01)
    assert fit.n == 6
    assert "SC412" in {m.code for m in fit.messages}


def test_errors_from_predicted_losses(models, law, task):
    """The error law is fed with what the loss law predicts, not with observed losses."""
    column, fit = task
    expected, tolerance = {
        "err_avg_subset": ({LONG: 3.6365, LARGE: 0.0464}, 0.01),
        "err_avg": ({LONG: 3.4362, LARGE: 2.0969}, 0.02),
    }[column]
    for name, percent in expected.items():
        model = models.loc[name]
        found = fit.predict(loss=loss_at(law, model)).loss[0]
        assert 100 * abs(found / model[column] - 1) == pytest.approx(percent, abs=tolerance)
