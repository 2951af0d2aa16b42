"""Files that a study names: found beside it, missing, and damaged."""

import json

import numpy as np
import pandas as pd
import pytest

import scaling as sc
from scaling.errors import ConfigError, ScalingError
from scaling.planning.inputs import read_inputs
from tests.planning.studies import BYTES, TOKENS, fault_of, planned, study

POINTS = {"kind": "points", "points": [[1e4, 1e6], [4e4, 1e6]]}
CALIBRATION = {"engine": {"calibration": "c.json"}}
TUNED = {"recipe": {"tuned": "t.json"}}
FIT = {"prior": {"fit": "f.json"}}
COUNTS = {"model": {"counts": "n.json"}}
NAMED = {"c.json": CALIBRATION, "t.json": TUNED, "f.json": FIT, "n.json": COUNTS}

TABLE = {
    "name": "mine",
    "unit": "example",
    "per_sequence": 1,
    "sizes": [
        {"dial": 2, "body": 9_000, "head": 1_000, "embedding": 500, "forward": 3e4},
        {"dial": 5, "body": 36_000, "head": 4_000, "embedding": 900, "forward": 1.1e5},
    ],
}
RATES = {
    "schema": "scaling/tuning@1",
    "id": "0" * 8,
    "recipe": "bytes-small@1",
    "k": 0.5,
    "p": -0.4,
    "level": 0.95,
    "p_interval": [-0.5, -0.3],
    "centre": 9.5,
    "se_level": 0.05,
    "se_p": 0.03,
    "quantile": 2.0,
    "optima": [],
    "check": None,
    "messages": [],
}
OPTIMUM = {"N": 1e4, "D": 2e5, "lr": 0.0125, "se": 0.1, "freedom": None}


def rates():
    """A settled stage of three sizes, in the fields that its optima have."""
    from dataclasses import fields

    from scaling.planning.recipes.optima import Optimum

    known = {**OPTIMUM, "loss": 3.0, "runs": 3}
    names = [f.name for f in fields(Optimum)]
    one = {name: known.get(name) for name in names}
    return {**RATES, "optima": [{**one, "N": n} for n in (1e4, 2e4, 4e4)]}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A fit of a surface, and one of a law of N alone."""
    folder = tmp_path_factory.mktemp("fits")
    size, data = (x.ravel() for x in np.meshgrid(np.geomspace(1e7, 1e9, 5),
                                                 np.geomspace(1e9, 1e11, 5)))  # fmt: skip
    truth = {"E": 1.7, "A": 400.0, "B": 410.0, "alpha": 0.34, "beta": 0.28}
    noise = 0.002 * np.random.default_rng(0).standard_normal(25)
    loss = sc.law("chinchilla").loss(truth, {"N": size, "D": data}) * np.exp(noise)
    frame = pd.DataFrame({"N": size, "D": data, "loss": loss})
    surface = sc.fit(frame, "chinchilla", bootstrap=40)
    surface.save(folder / "surface.json")
    sc.fit(frame[frame["D"] == data[0]], "power-N", bootstrap=0).save(folder / "curve.json")
    return folder, surface


def put(folder, name, value):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(value if isinstance(value, str) else json.dumps(value))


@pytest.mark.parametrize("name", NAMED)
def test_a_missing_file_is_named(tmp_path, name):
    fault = fault_of(read_inputs, study(POINTS, **NAMED[name]), tmp_path)
    assert fault.code == "SC005"
    assert name in f"{fault.where} {fault.found}"


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "3", "{}", '{"schema": 1}', "\u00e9{"])
@pytest.mark.parametrize("name", NAMED)
def test_a_damaged_file_is_refused(tmp_path, name, content):
    put(tmp_path, name, content)
    with pytest.raises(ConfigError) as caught:
        read_inputs(study(POINTS, **NAMED[name]), tmp_path)
    assert caught.value.code in ("SC012", "SC101")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", NAMED)
def test_bytes_that_are_no_text_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(ConfigError):
        read_inputs(study(POINTS, **NAMED[name]), tmp_path)


def test_a_folder_where_a_file_should_be(tmp_path):
    (tmp_path / "t.json").mkdir()
    assert fault_of(read_inputs, study(POINTS, **TUNED), tmp_path).code == "SC005"


def test_files_are_looked_for_beside_the_study_and_then_here(tmp_path, monkeypatch):
    here, there = tmp_path / "here", tmp_path / "there"
    put(here, "n.json", {**TABLE, "name": "of here"})
    monkeypatch.chdir(here)
    asked = study(POINTS, **COUNTS)
    assert read_inputs(asked, there).family.name == "of here"
    put(there, "n.json", {**TABLE, "name": "of there"})
    assert read_inputs(asked, there).family.name == "of there"
    assert read_inputs(asked).family.name == "of here"


def test_nothing_is_read_where_nothing_is_named(tmp_path):
    found = read_inputs(study(POINTS), tmp_path)
    assert (found.calibration, found.tuned, found.fitted, found.family) == (None,) * 4


# ----------------------------------------------------------------------------------------- counts


def test_a_family_by_its_counts(tmp_path):
    put(tmp_path, "n.json", TABLE)
    asked = study(POINTS, **COUNTS)
    plan = planned(POINTS, BYTES, read_inputs(asked, tmp_path), **COUNTS)
    assert [(p.N_body, p.N_head, p.N_embedding) for p in plan] == [
        (9_000, 1_000, 500), (36_000, 4_000, 900),
    ]  # fmt: skip
    assert [p.C for p in plan] == [3 * 3e4 * plan.points[0].D, 3 * 1.1e5 * plan.points[1].D]
    assert [p.shape for p in plan] == [{"dial": 2}, {"dial": 5}]
    assert {p.family for p in plan} == {"mine"}
    assert all(p.batch == p.sequences for p in plan)


def test_units_of_a_sequence_make_the_batch(tmp_path):
    put(tmp_path, "n.json", {**TABLE, "unit": "token", "per_sequence": 128})
    plan = planned(POINTS, TOKENS, read_inputs(study(POINTS, **COUNTS), tmp_path), **COUNTS)
    assert {p.batch / p.sequences for p in plan} == {128.0}


@pytest.mark.parametrize(
    "change",
    [
        {"unit": "word"},
        {"per_sequence": 0},
        {"per_sequence": 1.5},
        {"sizes": []},
        {"sizes": 5},
        {"sizes": {"dial": 1}},
        {"sizes": [{**TABLE["sizes"][0], "body": -1}]},
        {"sizes": [{**TABLE["sizes"][0], "forward": 0}]},
        {"sizes": [{"dial": 1}]},
        {"sizes": TABLE["sizes"][:1] * 2},
        {"name": 5},
        {"more": 1},
    ],
    ids=str,
)
def test_counts_that_cannot_be_used(tmp_path, change):
    put(tmp_path, "n.json", {**TABLE, **change})
    fault = fault_of(read_inputs, study(POINTS, **COUNTS), tmp_path)
    assert fault.code == "SC012"
    assert fault.found


@pytest.mark.parametrize("recipe", ["mup-2022", "nanochat-2026"])
def test_a_rule_that_needs_a_width_is_refused_where_counts_name_none(tmp_path, recipe):
    put(tmp_path, "n.json", TABLE)
    inputs = read_inputs(study(POINTS, **COUNTS), tmp_path)
    fault = fault_of(planned, POINTS, TOKENS, inputs, recipe={"name": recipe}, **COUNTS)
    assert fault.code == "SC012"
    assert "[recipe.overrides]" in fault.where


def test_options_of_a_family_that_has_none_are_refused(tmp_path):
    put(tmp_path, "n.json", TABLE)
    sections = {"model": {"counts": "n.json", "context": 64}}
    inputs = read_inputs(study(POINTS, **sections), tmp_path)
    fault = fault_of(planned, POINTS, BYTES, inputs, **sections)
    assert (fault.code, fault.where) == ("SC011", "[model] context")


# ----------------------------------------------------------------------------------------- tuning


def test_tuned_rates_replace_those_of_the_recipe(tmp_path):
    put(tmp_path, "t.json", rates())
    inputs = read_inputs(study(POINTS, **TUNED), tmp_path)
    plan = planned(POINTS, BYTES, inputs, **TUNED)
    for p in plan:
        assert p.lr == pytest.approx(0.5 * p.N**-0.4, rel=5e-4)
        assert f"+tuned-{inputs.tuned.id}" in p.recipe
    assert {p.id for p in plan}.isdisjoint(p.id for p in planned(POINTS))


def test_a_stage_that_is_done_counts_where_the_study_names_none(tmp_path):
    put(tmp_path, "done.json", rates())
    tuning = {"tuning": {"sizes": [1e4, 2e4, 4e4]}}
    found = read_inputs(study(POINTS, **tuning), None, tuned=tmp_path / "done.json")
    assert found.tuned.k == 0.5
    codes = [m.code for m in planned(POINTS, BYTES, found, **tuning).messages]
    assert "SC238" not in codes
    assert "SC238" in [m.code for m in planned(POINTS, BYTES, **tuning).messages]


def test_a_stage_that_is_done_has_spent_its_part_of_the_budget(tmp_path):
    put(tmp_path, "done.json", rates())
    design = {"kind": "grid", "params": [1e4, 5e4], "data": [1e6], "budget_flops": 2e13}
    tuning = {"tuning": {"sizes": [1e4, 2e4, 4e4], "ratio": 100.0}}
    found = read_inputs(study(design, **tuning), None, tuned=tmp_path / "done.json")
    before, after = planned(design, **tuning), planned(design, BYTES, found, **tuning)
    assert [(p.N, p.D) for p in after] == [(p.N, p.D) for p in before]
    assert {p.lr for p in after}.isdisjoint(p.lr for p in before)


def test_rates_of_another_recipe_are_refused(tmp_path):
    put(tmp_path, "t.json", {**rates(), "recipe": "gadre-2024@1"})
    inputs = read_inputs(study(POINTS, **TUNED), tmp_path)
    fault = fault_of(planned, POINTS, BYTES, inputs, **TUNED)
    assert fault.code == "SC012"
    assert "gadre-2024@1" in fault.found


# --------------------------------------------------------------------------------------------- fit


def test_a_fit_becomes_a_prior_of_its_draws(fitted):
    folder, fit = fitted
    prior = {"prior": {"fit": "surface.json", "noise": 0.003}}
    found = read_inputs(study(POINTS, **prior), folder)
    assert len(found.fitted.truths) == 40
    alphas = sorted(t.params["alpha"] for t in found.fitted.truths)
    np.testing.assert_allclose(alphas, np.sort(fit.draws["alpha"]), rtol=1e-9)
    plan = planned({"kind": "isoflop", "budgets": [1e18], "sizes": 5}, TOKENS, found,
                   data={"source": "external"}, model={"context": 1024},
                   recipe={"name": "porian-2024"}, **prior)  # fmt: skip
    assert {t.noise.sd for t in plan.prior.truths} == {0.003}
    best = float(fit.optimal(C=1e18).iloc[0]["N"])
    assert min(p.N for p in plan) < best < max(p.N for p in plan)


def test_a_fit_that_divides_no_compute_is_no_prior(fitted):
    folder, _ = fitted
    fault = fault_of(read_inputs, study(POINTS, prior={"fit": "curve.json"}), folder)
    assert fault.code == "SC012"
    assert "chinchilla" in fault.mend


def test_an_estimate_without_draws_is_one_truth(fitted, tmp_path):
    _, fit = fitted
    rows = fit.rows
    frame = pd.DataFrame({k: rows[k] for k in ("N", "D", "loss")})
    sc.fit(frame, "chinchilla", bootstrap=0).save(tmp_path / "f.json")
    found = read_inputs(study(POINTS, **FIT), tmp_path)
    (truth,) = found.fitted.truths
    assert truth.params["alpha"] == pytest.approx(fit.params["alpha"], rel=1e-6)


def test_a_study_of_a_table_is_not_planned(write):
    path = write("s.toml", 'schema = 1\n[data]\ntable = "r.csv"\n')
    with pytest.raises(ScalingError) as caught:
        sc.plan(path)
    assert caught.value.code == "SC012"
    assert "scaling study" in caught.value.faults[0].mend
