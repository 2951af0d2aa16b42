"""Effective data through the program: options, fit.json, studies, and what is refused."""

import json

import pytest

from scaling.fitting.stored import load
from tests.effective_runs import times, transferred, treated_runs

OPTIONS = ("--law", "power-D", "--bootstrap", "20")
STUDY = """schema = 1
[data]
table = "runs.csv"
[[fit]]
law = "power-D"
approach = ["surface"]
bootstrap = 20
sensitivity = false
response = "error"
effective = "{form}"
{reference}
"""


@pytest.fixture
def runs(tmp_path):
    table = treated_runs(times(1.8), sizes=(4e6,), seeds=2)
    table.assign(error=table.loss / 20).to_csv(tmp_path / "runs.csv", index=False)
    return "runs.csv"


def test_it_stands_in_the_json_and_comes_back(scaling, runs, tmp_path):
    asked = (runs, *OPTIONS, "--effective", "multiplier", "--reference", "none")
    out = scaling("fit", *asked, "-o", "fit.json")
    assert out.returncode == 0, out.stderr
    assert "treated is worth 1." in out.stdout
    data = json.loads((tmp_path / "fit.json").read_text())
    (block,) = data["effective"]
    assert (block["form"], block["reference"]) == ("multiplier", "none")
    assert block["treatments"][0]["multiplier"]["interval"][0] > 1.0
    fits = load(tmp_path / "fit.json")
    assert json.loads(fits.to_json()) == data
    assert fits.effective[0]["treated"].sentence in fits.effective[0].summary().replace("\n  ", " ")
    brief = json.loads(scaling("fit", *asked, "--json").stdout)["effective"][0]
    assert "lines" not in brief
    assert brief["treatments"][0]["cells"]
    shown = scaling("report", "fit.json", "-o", "r.md")
    assert shown.returncode == 0, shown.stderr
    assert "## Effective data" in (tmp_path / "r.md").read_text()


def test_without_it_the_list_is_empty(scaling, runs):
    out = scaling("fit", runs, *OPTIONS, "--json")
    assert json.loads(out.stdout)["effective"] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--effective", "multiplier"), "--reference"),
        (("--reference", "none"), "--effective"),
        (("--effective", "both", "--reference", "none"), "multiplier or transfer"),
        (("--effective", "transfer", "--reference", "scratch"), "none, treated"),
    ],
)
def test_refusals(scaling, runs, options, words):
    out = scaling("fit", runs, *OPTIONS, *options)
    assert out.returncode == 2
    assert "error[SC004]" in out.stderr
    assert words in " ".join(out.stderr.split())


def test_a_study_asks_for_it(scaling, runs, write, tmp_path):
    write("s.toml", STUDY.format(form="transfer", reference='reference = "none"'))
    out = scaling("study", "s.toml", "-o", "out", "--no-pdf")
    assert out.returncode == 0, out.stderr
    data = json.loads((tmp_path / "out" / "fit.json").read_text())
    assert data["effective"][0]["response"] == "error"
    assert data["effective"][0]["form"] == "transfer"
    assert {fit["response"] for fit in data["fits"]} == {"error"}
    assert "Effective data" in (tmp_path / "out" / "report.html").read_text()


def test_a_study_without_a_reference_is_refused_at_once(scaling, runs, write, tmp_path):
    write("s.toml", STUDY.format(form="transfer", reference=""))
    out = scaling("study", "s.toml", "-o", "out", "--no-pdf")
    assert out.returncode == 2
    assert "--reference" in out.stderr
    assert not (tmp_path / "out").exists()


def test_transfer_on_the_command_line(scaling, tmp_path):
    table = treated_runs(transferred(2e3, 0.2, 0.3), sizes=(1e6, 8e6), seeds=2)
    table.to_csv(tmp_path / "t.csv", index=False)
    asked = ("--law", "power-D", "--bootstrap", "30", "--effective", "transfer")
    out = scaling("fit", "t.csv", *asked, "--reference", "none", "--json")
    found = json.loads(out.stdout)["effective"][0]["treatments"][0]["transfer"]
    assert found["beta"] == pytest.approx(0.3, abs=0.1)
