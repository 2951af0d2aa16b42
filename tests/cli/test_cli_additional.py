"""The next most useful runs, stored beside a fit."""

import json

import pandas as pd
import pytest

import scaling as sc
from scaling.cli import additional
from scaling.cli.additional import next_in, next_of
from scaling.fitting.stored import from_dict
from scaling.planning.suggest import suggest, suggest_for
from scaling.runs.read import from_frame
from tests.cli.stored_fits import of_law, ray, table, text_of
from tests.planning.finished import finish
from tests.planning.studies import TOKENS, planned

LM = {
    "data": {"source": "external"},
    "model": {"context": 1024, "rule": "aspect"},
    "recipe": {"name": "porian-2024"},
    "study": {"target_flops": 1e20},
    "prior": {"laws": [{"published": "besiroglu-2024"}], "noise": 0.004},
}
ISOFLOP = {"kind": "isoflop", "budgets": [1e16, 1e17, 1e18], "sizes": 6, "span": 4.0}


def stored(name):
    return from_dict(json.loads(text_of(name)))


def test_a_study_stores_what_suggest_says(tmp_path):
    folder = finish(tmp_path / "out", planned(ISOFLOP, TOKENS, **LM))
    found, said = next_in(folder), suggest(folder)
    assert found["runs"] == [{"N": a.N, "D": a.D, "C": a.C, "repeats": a.runs} for a in said.chosen]
    assert found["target"] == 1e20
    assert found["se"] == said.as_dict()["se"]
    assert found["cost"] == sum(r["C"] * r["repeats"] for r in found["runs"]) <= found["budget"]
    for name, share in found["gain"].items():
        assert share == pytest.approx(1 - said.after[name] / said.before[name], rel=1e-3)
        assert 0 < share < 1
    assert found["command"] == "scaling sweep suggest out"  # no folder of this machine
    assert json.dumps(next_in(folder)) == json.dumps(found)


def test_a_table_stores_what_its_own_fit_says(tmp_path):
    runs, fits = from_frame(table()), stored("fit")
    found = next_of(tmp_path / "my runs.csv", runs, fits, 1e24)
    said = suggest_for(runs, fits.fits[0], source=tmp_path / "my runs.csv", target=1e24)
    assert len(found["runs"]) == len(said.chosen) > 0
    assert found["belief"].startswith("posterior of chinchilla")
    assert found["target"] == 1e24
    assert found["command"] == "scaling sweep suggest 'my runs.csv'"


def test_of_several_groups_the_runs_of_one_count(tmp_path):
    both = pd.concat([table(), table(1.3, "B", 1)]).assign(group=lambda f: f["D"].map(str))
    runs, fits = from_frame(both), stored("two")
    assert [fit.group for fit in fits.fits] == ["A", "B"]
    found = next_of(tmp_path / "r.csv", runs, fits, 1e24, "recipe")
    assert found["group"] == "A"
    assert found["spent"] == pytest.approx(float((6 * table()["N"] * table()["D"]).sum()))
    assert found["runs"]


@pytest.mark.parametrize(
    ("name", "frame", "reason", "code"),
    [
        ("ray", ray, "do not determine chinchilla (not-identified)", "SC243"),
        ("power-D", lambda: of_law("power-D"), "no law of N and D", None),
    ],
)
def test_what_cannot_be_chosen_says_why(tmp_path, name, frame, reason, code):
    found = next_of(tmp_path / "runs.csv", from_frame(frame()), stored(name), None)
    assert reason in found["reason"]
    assert (found["runs"], found["code"]) == ([], code)
    assert found["command"] == "scaling sweep suggest runs.csv"


def test_without_errors_or_with_very_many_runs_nothing_is_chosen(tmp_path, monkeypatch):
    runs = from_frame(table())
    bare = sc.fit(table(), bootstrap=0)
    bare.save(tmp_path / "fit.json")
    fits = from_dict(json.loads((tmp_path / "fit.json").read_text()))
    assert "no bootstrap" in next_of(tmp_path / "r.csv", runs, fits, None)["reason"]
    monkeypatch.setattr(additional, "MOST_ROWS", 35)
    assert "more than 35 runs" in next_of(tmp_path / "r.csv", runs, stored("fit"), None)["reason"]


def test_a_fit_that_is_written_has_it(scaling, tmp_path):
    table().to_csv(tmp_path / "runs.csv", index=False)
    options = ("--bootstrap", "30", "-o", "fit.json")
    assert scaling("fit", "runs.csv", *options).returncode == 0
    first = (tmp_path / "fit.json").read_bytes()
    found = json.loads(first)["provenance"]["next"]
    assert found["runs"]
    assert found["command"] == "scaling sweep suggest runs.csv"
    assert scaling("fit", "runs.csv", *options).returncode == 2  # it is there
    again = (*options[:-1], "again.json")
    assert scaling("fit", "runs.csv", *again).returncode == 0
    same = (tmp_path / "again.json").read_bytes()
    assert same.replace(b"again.json", b"fit.json") == first
    assert json.loads(first)["provenance"]["commit"] is None
    text = (tmp_path / "runs.csv").read_text()
    assert scaling("fit", "-", *options, "--force", stdin=text).returncode == 0
    assert "next" not in json.loads((tmp_path / "fit.json").read_text())["provenance"]
