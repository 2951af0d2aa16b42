"""A sweep in its stages: rates are tuned, settled, checked, and then used."""

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
import typer

import scaling as sc
from scaling.cli.stages import due, prepare, tuned_in, write_plan
from scaling.errors import ConfigError, PlanError
from scaling.planning.study import check_study
from scaling.runs.records import commit_record, load_plan, read_record, write_results
from tests.cli.conftest import snapshot
from tests.cli.studies import GRID

STUDY = (
    GRID
    + """[tuning]
sizes = [9e2, 1.9e3, 3.8e3]
factors = [0.25, 0.5, 1.0, 2.0, 4.0]
ratio = 10.0
check = 8e3
"""
)


def study_of(**tuning):
    content = tomllib.loads(STUDY)
    content["tuning"] |= tuning
    return check_study(content)


def best(size):
    """The rate at which the pretended losses are lowest."""
    return 0.01 * (size / 1e3) ** -0.4


class Pretend:
    """Writes records with losses ln L = 1 + 0.3 (ln lr - ln best)^2 instead of training."""

    def __init__(self, off=1.0, above=5e3):
        self.off, self.above, self.trained = off, above, []

    def __call__(self, folder):
        points = load_plan(folder)
        for p in points:
            if read_record(folder, p["id"]) is not None:
                continue
            rate = best(p["N"]) * (self.off if p["N"] > self.above else 1.0)
            loss = float(np.exp(1.0 + 0.3 * np.log(p["lr"] / rate) ** 2))
            record = {"id": p["id"], "status": "done", "loss": loss, "loss_se": None,
                      "train_loss": loss, "steps_done": p["steps"], "cause": None}  # fmt: skip
            assert commit_record(folder, record)
            self.trained.append(p["id"])
        write_results(folder, points)


def test_the_settled_rate_is_that_of_the_runs_and_the_plans(tmp_path, capsys):
    out, run = tmp_path / "out", Pretend()
    plan = prepare(study_of(), None, out, run)
    tuned = json.loads((out / "tuning" / "tuned.json").read_text())
    assert tuned["p"] == pytest.approx(-0.4, abs=2e-3)
    assert tuned["k"] == pytest.approx(0.01 * 1e3**0.4, rel=0.02)
    assert tuned["check"]["agrees"]
    for p in plan:
        assert p.lr == pytest.approx(best(p.N), rel=2e-3)
        assert f"+tuned-{tuned['id']}" in p.recipe
        assert not p.group.endswith("/tuning")
    assert [json.loads(x)["id"] for x in (out / "plan.jsonl").read_text().splitlines()] == [
        p.id for p in plan
    ]
    assert len(run.trained) == 3 * 5 + 3  # and the check's three rates
    rows = (out / "tuning" / "results.csv").read_text().splitlines()
    assert len(rows) == 1 + 18
    assert all("/tuning" in row for row in rows[1:])
    said = capsys.readouterr().err
    assert "tuning the learning rate: 15 runs" in said
    assert "checking it at N = " in said


def test_what_is_settled_is_not_run_again(tmp_path, capsys):
    out, run = tmp_path / "out", Pretend()
    first = prepare(study_of(), None, out, run)
    before = snapshot(out)
    again = prepare(study_of(), None, out, Pretend(off=9.0))
    assert [p.id for p in again] == [p.id for p in first]
    assert snapshot(out) == before
    assert tuned_in(out, study_of()) == out / "tuning" / "tuned.json"
    assert tuned_in(out, study_of(factors=[0.5, 1.0, 2.0])) is None  # another stage is due
    assert tuned_in(out, study_of().model_copy(update={"tuning": None})) is None
    assert "SC304" not in capsys.readouterr().err


def test_a_stage_that_was_cut_off_goes_on(tmp_path):
    class Half(Pretend):
        def __call__(self, folder):
            super().__call__(folder)
            raise KeyboardInterrupt

    out, half, rest = tmp_path / "out", Half(), Pretend()
    with pytest.raises(KeyboardInterrupt):
        prepare(study_of(), None, out, half)
    assert not (out / "plan.jsonl").exists()
    prepare(study_of(), None, out, rest)
    assert len(half.trained) == 15
    assert len(rest.trained) == 3


def test_rates_that_do_not_bracket_stop_the_sweep_and_wider_ones_go_on(tmp_path, capsys):
    out, run = tmp_path / "out", Pretend()
    with pytest.raises(PlanError) as caught:
        prepare(study_of(factors=[4.0, 8.0, 16.0]), None, out, run)
    assert {f.code for f in caught.value.faults} == {"SC215"}
    assert "widen [tuning] factors" in capsys.readouterr().err
    assert not (out / "plan.jsonl").exists()
    assert not (out / "tuning" / "law.json").exists()
    more = Pretend()
    prepare(study_of(factors=[0.5, 1.0, 2.0, 4.0, 8.0, 16.0]), None, out, more)
    assert len(more.trained) == 3 * 3 + 3
    assert tuned_in(out, study_of(factors=[0.5, 1.0, 2.0, 4.0, 8.0, 16.0])) is not None


def test_a_failed_check_stops_the_sweep_and_keeps_the_law(tmp_path, capsys):
    out = tmp_path / "out"
    with pytest.raises(typer.Exit) as caught:
        prepare(study_of(), None, out, Pretend(off=1.9))
    assert caught.value.exit_code == 1
    said = capsys.readouterr().err
    assert "SC216" in said
    assert tuned_in(out, study_of()) is None
    assert not (out / "plan.jsonl").exists()
    law = out / "tuning" / "law.json"
    assert not json.loads(law.read_text())["check"]["agrees"]
    assert f'tuned = "{law}"' in said
    idle = Pretend()
    with pytest.raises(typer.Exit):  # nothing is trained again, and nothing else is said
        prepare(study_of(), None, out, idle)
    assert idle.trained == []
    assert "SC304" not in capsys.readouterr().err
    content = tomllib.loads(STUDY)
    del content["tuning"]
    content["recipe"] = {"tuned": str(law)}  # the user goes on with it, as was said
    assert sc.plan(content).points[0].lr == pytest.approx(best(sc.plan(content).points[0].N), 2e-3)


def test_a_stage_without_a_check_is_settled_at_once(tmp_path):
    out, run = tmp_path / "out", Pretend()
    prepare(check_study({**tomllib.loads(STUDY), "tuning": {
        "sizes": [9e2, 1.9e3, 3.8e3], "ratio": 10.0}}), None, out, run)  # fmt: skip
    assert len(run.trained) == 15
    assert json.loads((out / "tuning" / "tuned.json").read_text())["check"] is None


def test_a_planned_folder_knows_that_its_rates_are_due(tmp_path):
    out = tmp_path / "out"
    study = study_of()
    from scaling.plans import plan_of

    assert write_plan(plan_of(study), out, None) == []
    assert len(load_plan(out / "tuning")) == 15
    again = due(out)
    assert again == study
    prepare(again, None, out, Pretend())
    assert due(out) is None
    untuned = tmp_path / "untuned"
    content = {k: v for k, v in tomllib.loads(STUDY).items() if k != "tuning"}
    write_plan(sc.plan(content), untuned, None)
    assert due(untuned) is None


def test_a_study_that_was_spoilt_in_its_folder_is_named(tmp_path):
    from scaling.plans import plan_of

    out = tmp_path / "out"
    write_plan(plan_of(study_of()), out, None)
    (out / "study.json").write_text('{"schema": 1}')
    with pytest.raises(ConfigError) as caught:
        due(out)
    assert caught.value.code == "SC012"
    assert caught.value.faults[0].where == str(out / "study.json")


# --------------------------------------------------------------------------------------- commands


def test_a_dry_run_says_what_would_be_done_and_does_nothing(write, scaling, tmp_path):
    write("s.toml", STUDY)
    before = snapshot(tmp_path)
    for command in (("sweep", "run", "s.toml", "-o", "out", "--dry-run"),
                    ("study", "s.toml", "-o", "out", "--dry-run")):  # fmt: skip
        out = scaling(*command)
        assert out.returncode == 0, out.stderr
        assert "0 of 4 points have a record; 4 would be trained" in out.stderr
        said = " ".join(out.stderr.split())
        assert re.search(r"18 tuning runs of [\d.e+]+ FLOP come first", said)
        assert snapshot(tmp_path) == before


def test_tuning_for_real(write, scaling, document, tmp_path):
    """The smallest study that brackets its rates: 15 runs of a second or less, then the sweep."""
    pytest.importorskip("torch")
    factors = "[0.0625, 0.25, 1.0, 4.0, 16.0]"
    text = STUDY.replace("[0.25, 0.5, 1.0, 2.0, 4.0]", factors).replace("check = 8e3\n", "")
    write("s.toml", text)
    out = scaling("sweep", "run", "s.toml", "-o", "out", "--engine", "debug")
    assert out.returncode == 0, out.stderr
    assert out.stdout.strip().endswith("results.csv")
    tuned = json.loads((tmp_path / "out" / "tuning" / "tuned.json").read_text())
    assert len(tuned["optima"]) == 3
    rows = sc.read(tmp_path / "out" / "tuning" / "results.csv")
    for optimum in tuned["optima"]:
        own = rows[rows["N"] == optimum["N"]].sort_values("lr")
        lowest = own.loc[own["loss"].idxmin()]
        assert own["lr"].min() < lowest["lr"] < own["lr"].max()
        assert abs(np.log(optimum["lr"] / lowest["lr"])) < np.log(4.0)
    plan = load_plan(tmp_path / "out")
    assert all(f"+tuned-{tuned['id']}" in p["recipe"] for p in plan)
    for p in plan:
        assert p["lr"] == pytest.approx(tuned["k"] * p["N"] ** tuned["p"], rel=1e-3)
    counts = document("sweep", "status", "out", "--json")["counts"]
    assert counts["done"] == 4
    before = snapshot(tmp_path / "out" / "points")
    again = scaling("sweep", "run", "out", "--engine", "debug")
    assert again.returncode == 0, again.stderr
    assert "0 points trained" in again.stderr
    assert snapshot(Path(tmp_path) / "out" / "points") == before


@pytest.mark.parametrize("options", [(), ("--coordinates",)], ids=["bench", "coordinates"])
@pytest.mark.parametrize("change", ["gated", "external"])
def test_what_is_not_trained_here_is_not_measured_here(write, refused, options, change):
    pytest.importorskip("torch")
    text = STUDY.split("[tuning]")[0]
    if change == "gated":
        text = text.replace("layers = 1", "layers = 1\noptions = {gated = true}")
    else:
        start = text.index("options = {symbols")
        text = text[:start] + text[text.index("[model]") :]
        text = text.replace("markov", "external").replace("9e2, 1.9e3", "2e6").replace("e3]", "e6]")
    write("s.toml", text)
    refused("bench", "s.toml", "-o", "c.json", *options, code="SC308")
