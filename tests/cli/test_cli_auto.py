"""``--law auto`` on the command line: fitted, listed, asked, suggested from, and refused."""

import json

import numpy as np
import pandas as pd
import pytest

import scaling as sc
from scaling.laws import PROCEDURES

ADDITIVE = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}


@pytest.fixture
def tables(write):
    """Write a curve, a grid, the same in two groups, and runs along a ray."""
    rng = np.random.default_rng(0)
    x = np.geomspace(1e6, 1e9, 14)
    loss = (2.0 + 300.0 * x**-0.4) * np.exp(0.003 * rng.standard_normal(14))
    n, d = (v.ravel() for v in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(3e8, 3e10, 5)))
    noise = np.exp(0.003 * rng.standard_normal((2, 25)))
    of = [sc.law("chinchilla").loss(ADDITIVE, {"N": n, "D": k * d}) for k in (1.0, 0.5)]
    made = {
        "curve": {"D": x, "loss": loss, "error": loss - 1.9},
        "grid": {"N": n, "D": d, "loss": of[0] * noise[0]},
        "ray": {"N": x, "D": 20.0 * x, "loss": loss},
    }
    for name, columns in made.items():
        write(f"{name}.csv", pd.DataFrame(columns).to_csv(index=False))
    both = [pd.DataFrame({"N": n, "D": d, "loss": y * e}) for y, e in zip(of, noise, strict=True)]
    frame = pd.concat([f.assign(recipe=g) for f, g in zip(both, "pq", strict=True)])
    write("recipes.csv", frame.to_csv(index=False))


# ---------------------------------------------------------------------------------- listed, shown


def test_procedures_are_listed_apart(scaling, document):
    text = scaling("laws", "list").stdout
    assert "procedures" in text
    found = document("laws", "list", "--json")
    assert {p["name"] for p in found["procedures"]} == set(PROCEDURES)
    assert not set(PROCEDURES) & {law["name"] for law in found["laws"]}


def test_auto_is_shown_with_its_laws(scaling, document):
    text = scaling("laws", "show", "auto").stdout
    for word in ("procedure, not a law", "auto-D", "chinchilla", "power-C", "--law auto"):
        assert word in text
    found = document("laws", "show", "auto-N", "--json")
    assert list(found["laws"]) == ["N"]
    assert {"law": "power-N", "future": "saturating"} in found["laws"]["N"]


def test_help_names_auto(scaling):
    assert "auto" in scaling("fit", "--help").stdout.split("--formula")[0]


# ------------------------------------------------------------------------------------ fitted, asked


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize(
    ("table", "question", "names"),
    [
        ("grid", ["--flops", "1e21"], {"C", "N", "D", "loss"}),
        ("grid", ["--flops", "1e21", "--inference-tokens", "1e11"], {"N", "D"}),
        ("grid", ["--target-loss", "2.6"], {"C", "N", "D"}),
        ("grid", ["--target-loss", "2.6", "--params", "1e9"], {"D"}),
        ("grid", ["--flops", "1e20", "--off", "2"], {"N"}),
        ("curve", ["--data", "1e10"], {"D", "loss"}),
        ("ray", ["--flops", "1e20"], {"C", "loss"}),
    ],
)
def test_a_stored_fit_answers(document, table, question, names):
    fitted = document("fit", f"{table}.csv", "--law", "auto", "--bootstrap", "50", "--json",
                      "-o", "fit.json")  # fmt: skip
    (fit,) = fitted["fits"]
    assert sum(m["weight"] for m in fit["members"]) == pytest.approx(1.0)
    assert fit["evidence_factor"] > 1.0
    (row,) = document("predict", "fit.json", *question, "--json")["rows"]
    assert all(row[name] > 0 for name in names)
    assert row["law"] == "auto"


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize(
    ("question", "code"),
    [(["--flops", "1e21"], "SC430"), (["--target-loss", "2.1"], "SC430"),
     (["--params", "1e9"], "SC430"), (["--data", "1e9", "--unique-data", "1e8"], "SC430")],
)  # fmt: skip
def test_what_a_curve_cannot_say(scaling, refused, question, code):
    scaling("fit", "curve.csv", "--law", "auto", "--bootstrap", "0", "-o", "fit.json")
    refused("predict", "fit.json", *question, code=code)


@pytest.mark.usefixtures("tables")
def test_all_of_it_is_printed_in_full(document):
    found = document("fit", "curve.csv", "--law", "auto", "--bootstrap", "20", "--json", "--full")
    (fit,) = found["fits"]
    assert len(fit["draws"]["part"]) == 20
    assert "mixture" in fit["declaration"]


@pytest.mark.usefixtures("tables")
def test_laws_and_recipes_are_compared(document):
    found = document("compare", "grid.csv", "--law", "auto", "--law", "chinchilla",
                     "--bootstrap", "0", "--json")  # fmt: skip
    assert {row["law"] for row in found["laws"]} == {"auto", "chinchilla"}
    found = document("compare", "recipes.csv", "--law", "auto", "--group", "recipe",
                     "--bootstrap", "4", "--json")  # fmt: skip
    for row in found["rows"]:
        assert 0.4 < row["multiplier"] < 0.65


@pytest.mark.usefixtures("tables")
def test_unlike_grids_are_compared_by_their_surfaces(scaling, document, write, tmp_path):
    frame = pd.read_csv(tmp_path / "grid.csv")
    loss = sc.law("chinchilla").loss(ADDITIVE, {"N": 1.3 * frame.N, "D": 1.3 * frame.D})
    write("other.csv", frame.assign(N=1.3 * frame.N, D=1.3 * frame.D, loss=loss).to_csv())
    for name in ("grid", "other"):
        scaling("fit", f"{name}.csv", "--law", "auto", "--bootstrap", "8", "-o", f"{name}.json")
    found = document("compare", "grid.json", "other.json", "--json")
    inside = [row for row in found["rows"] if row["extrapolation"]["factor"] <= 1.0]
    assert inside
    for row in inside:
        assert row["multiplier"] == pytest.approx(1.0, abs=0.15)
        lo, hi = row["interval"]["multiplier"]
        assert lo < hi


# ---------------------------------------------------------------------------------------- suggested


@pytest.mark.usefixtures("tables")
def test_runs_are_suggested_from_the_laws_that_it_weighs(document):
    found = document("sweep", "suggest", "grid.csv", "--law", "auto", "--json")
    assert found["belief"].startswith("posterior of auto")
    assert found["chosen"]
    before, after = found["se"]["before"], found["se"]["after"]
    assert all(np.isfinite(v) and after[name] <= v for name, v in before.items())


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize(("table", "code"), [("ray", "SC210"), ("curve", "SC105")])
def test_nothing_is_suggested_from_a_curve(refused, table, code):
    refused("sweep", "suggest", f"{table}.csv", "--law", "auto", code=code)


@pytest.mark.usefixtures("tables")
def test_next_runs_stand_beside_the_fit(scaling, tmp_path):
    scaling("fit", "grid.csv", "--law", "auto", "--bootstrap", "50", "-o", "fit.json")
    stored = json.loads((tmp_path / "fit.json").read_text())
    assert stored["provenance"]["next"]["runs"]
    assert stored["provenance"]["resampling"]["method"] == "draws of weighted laws"


# ------------------------------------------------------------------------------------------ studies

STUDY = """
schema = 1
[data]
table = "{table}.csv"
[[fit]]
law = {law}
{more}
"""


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize(
    ("law", "more", "text"),
    [
        ('"auto"', 'objective = "mse"', "--objective"),
        ('"auto"', "fix = { E = 1.0 }", "--fix"),
        ('["auto", "power-D"]', "bound = { E = [0.0, 1.0] }", "--bound"),
        ('["auto", "atuo"]', "", "did you mean auto?"),
        ('["auto"]', 'holdout = "D >"', "holdout"),
    ],
)
def test_studies_are_refused_before_they_begin(write, scaling, law, more, text):
    write("study.toml", STUDY.format(table="curve", law=law, more=more))
    out = scaling("study", "study.toml", "-o", "out", "--no-pdf")
    assert out.returncode == 2
    assert text in out.stderr
    assert "SC900" not in out.stderr


@pytest.mark.usefixtures("tables")
def test_an_empty_list_of_laws_is_refused(write, refused):
    write("study.toml", STUDY.format(table="curve", law="[]", more=""))
    refused("study", "study.toml", code="SC012")


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize(
    ("options", "code", "exit_code"),
    [
        (["--fix", "E=1"], "SC004", 2),
        (["--share", "E"], "SC004", 2),
        (["--profile", "all"], "SC004", 2),
        (["--response", "nothing"], "SC105", 2),
        (["--holdout", "D > 1"], "SC401", 4),
        (["--where", "D > 3e8"], "SC401", 4),
    ],
)
def test_fits_that_are_refused(refused, options, code, exit_code):
    refused("fit", "curve.csv", "--law", "auto", *options, code=code, exit_code=exit_code)
