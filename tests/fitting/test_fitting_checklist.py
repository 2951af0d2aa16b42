"""The checklist says what fits and studies know, and leaves open what neither says."""

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import scaling as sc
from scaling.fitting.checklist import FIT, STUDY, checklist
from scaling.fitting.result import Fits
from scaling.fitting.stored import load

ROOT = Path(__file__).parents[2]
CATEGORIES = ["hypothesis", "setup", "collection", "fitting"]


def answers(fits, study=None):
    items = checklist(fits, study)
    assert list(dict.fromkeys(item.category for item in items)) == CATEGORIES
    assert len({item.question for item in items}) == len(items)
    for item in items:
        assert item.question.endswith("?")
        assert (item.answer is None) == (item.source == "")
        assert item.answer is None or (item.answer and "None" not in item.answer)
        assert item.source in ("", FIT, STUDY)
    return {item.question: item.answer for item in items}


@pytest.fixture(scope="module")
def quickstart():
    return load(ROOT / "reports" / "quickstart.fit.json")


@pytest.fixture(scope="module")
def study():
    return tomllib.loads((ROOT / "sweeps" / "quickstart.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def bare(runs, hoffmann, tmp_path_factory):
    """Return the fit of a table that says N, D and loss, without intervals."""
    frame = runs("chinchilla", hoffmann, noise=0.002)
    path = tmp_path_factory.mktemp("bare") / "runs.csv"
    frame.to_csv(path, index=False)
    fit = sc.fit(sc.read(path), "chinchilla", bootstrap=0)
    return Fits((fit,), table=fit.table)


def test_a_study_answers_most(quickstart, study):
    found = answers(quickstart, study)
    fit = quickstart.fits[0]
    assert found["What is asked?"] == study["study"]["question"]
    assert found["What form has the law?"].endswith(fit.law.formula)
    assert f"{fit.n} runs" in found["How many runs, of how many sizes?"]
    sizes = len({n for n, used in zip(fit.rows["N"], fit.rows["used"], strict=True) if used})
    assert f"{sizes} values of N" in found["How many runs, of how many sizes?"]
    assert "stdlib" in found["From where are the data?"]
    assert "decoder" in found["Which architecture?"]
    assert "context 32" in found["Which tokenizer, vocabulary and context?"]
    assert "bytes-small" in found["Which schedule of the learning rate?"]
    assert quickstart.table["convention"] in found["How are N and D counted?"]
    assert str(fit.interval.draws) in found["Which intervals?"]
    assert fit.table["sha256"] in found["From which table?"]
    assert f"seed {quickstart.provenance['seed']}" in found["How can the fit be repeated?"]


def test_what_no_file_says_is_missing(quickstart, study):
    found = answers(quickstart, study)
    assert found["How is the law validated?"].startswith("fitted to smaller runs from 5 origins")
    assert found["What is released beside this report?"] is None


def test_without_a_study_the_runs_are_not_guessed_at(quickstart, study):
    missing = {q for q, answer in answers(quickstart).items() if answer is None}
    told = {q for q, answer in answers(quickstart, study).items() if answer is not None}
    assert missing & told == {
        "What is asked?",
        "From where are the data?",
        "Which architecture?",
        "Which tokenizer, vocabulary and context?",
        "On which set is it measured?",
        "When is it measured?",
        "Is it smoothed or interpolated?",
    }


def test_a_bare_table_is_told_from_its_own_columns(bare):
    found = answers(bare, {})
    assert found["How are N and D counted?"] is None  # the table does not say
    assert found["How many seeds?"] is None
    assert found["How many checkpoints of a run are used?"] is None
    assert found["How many points are used, how many left out and why?"].startswith("36 of 36")
    assert found["Which objective?"].startswith("log-huber, delta 0.001, sum")
    assert found["Which intervals?"] is None


def test_a_study_of_a_table_tells_nothing_of_training(bare):
    for data in ({"table": "runs.csv"}, {"source": "external"}):
        found = answers(bare, {"data": data})
        assert found["When is it measured?"] is None
        assert found["On which set is it measured?"] is None
        assert next(iter(data.values())) in found["From where are the data?"]


def test_held_parameters_repeats_and_hold_outs_are_told(runs, hoffmann):
    frame = runs("chinchilla", hoffmann, noise=0.002)
    frame = frame.assign(D_unique=frame.D / 2, run=[f"r{i}" for i in range(len(frame))], seed=3)
    options = {"fixed": {"E": hoffmann["E"]}, "holdout": "D > 1e11", "bootstrap": 20}
    fit = sc.fit(frame, "chinchilla", **options)
    found = answers(Fits((fit,), table=fit.table))
    held = f"held: E = {hoffmann['E']:.6g}"
    assert held in found["Which parameters are fitted, which held?"]
    assert found["How often do data repeat?"] == "up to 2 times"
    assert found["How many seeds?"] == "1 seed"
    assert found["How many checkpoints of a run are used?"] == "one a run"
    assert f"{fit.holdout.n} runs held out (D > 1e11)" in found["How is the law validated?"]
    assert "20 replicates" in found["Which intervals?"]


def test_rows_left_out_are_counted_by_reason(bare):
    dropped = [{"row": i, "code": "SC120", "why": "status failed"} for i in (2, 3)]
    fits = replace(bare, table={**bare.table, "rows": 38, "dropped": dropped})
    found = answers(fits)["How many points are used, how many left out and why?"]
    assert found == "36 of 38 rows, 2 left out (2 status failed)"


def test_many_fits_are_told_shortly_and_none_not_at_all(bare):
    many = tuple(replace(bare.fits[0], group=f"g{i}") for i in range(6))
    found = answers(replace(bare, fits=many))
    assert found["How many runs, of how many sizes?"].endswith("; and 3 more")
    assert found["What form has the law?"].count("chinchilla") == 1
    empty = answers(replace(bare, fits=()))
    assert empty["What form has the law?"] is None
    assert empty["From which table?"] is not None


def test_what_the_runs_show_of_their_recipe_is_told(runs, hoffmann):
    frame = runs("chinchilla", hoffmann, noise=0.002)
    twice = frame[frame.N == frame.N.min()].assign(seed=1)
    frame = pd.concat([frame.assign(seed=0), twice], ignore_index=True)
    rates = np.where(frame.N > frame.N.min(), 0.001, 0.008)
    frame = frame.assign(lr=rates, batch=256, schedule="linear", warmup=50)
    fits = Fits((sc.fit(frame, "chinchilla", bootstrap=0),))
    found = answers(fits)
    rates = found["Which hyperparameters, and how do they change with size?"]
    assert rates == "learning rate 0.001 to 0.008, batch 256"
    assert found["Which schedule of the learning rate?"] == "linear, warm-up steps 50"
    cells = len(frame[["N", "D"]].drop_duplicates())
    want = f"2 seeds at {len(twice)} of {cells} pairs of N and D, 1 at the others"
    assert found["How many seeds?"] == want


def test_images_are_not_asked_for_a_tokenizer(bare):
    data = {"task": "images", "source": "shapes", "options": {"image": 32, "images": 9}}
    found = answers(bare, {"data": data, "model": {"context": 32}})
    assert "Which tokenizer, vocabulary and context?" not in found
    assert found["Which input and preprocessing?"] == "image 32"
    text = answers(bare, {"data": {"task": "text"}, "model": {"context": 32}})
    said = text["Which tokenizer, vocabulary and context?"]
    assert said == "context 32; not stated: tokenizer, vocabulary"
