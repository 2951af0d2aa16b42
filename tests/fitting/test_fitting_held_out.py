"""What a fit stores of its laws' errors on larger runs, and how a comparison takes it up."""

import json

import numpy as np
import pytest

import scaling as sc
from scaling.errors import Message
from scaling.fitting import backtest
from scaling.fitting.analyse import analyse, combine
from scaling.fitting.comparison import compare_fits
from scaling.fitting.options import Options
from scaling.fitting.stored import load
from scaling.laws.formula import from_formula
from scaling.runs.read import from_frame

LAWS = ["chinchilla", "kaplan"]


@pytest.fixture(scope="module")
def frame(runs, hoffmann):
    """Return 144 runs with a little noise."""
    n, d = np.geomspace(1e7, 1e10, 12), np.geomspace(1e9, 5e11, 12)
    design = {"N": np.repeat(n, 12), "D": np.tile(d, 12)}
    return runs("chinchilla", hoffmann, design, noise=2e-3)


@pytest.fixture(scope="module")
def fits(frame):
    """Return two laws, scored."""
    return analyse(from_frame(frame), laws=LAWS, options=Options(bootstrap=5))


def test_errors_are_those_of_the_held_out_runs(fits, frame):
    """The first origin, fitted here by hand, row by row."""
    compute = (6 * frame.N * frame.D).to_numpy()
    for row in fits.laws:
        assert sum(len(o["errors"]) for o in row["backtest"]["origins"]) <= backtest.SHOWN
        o = row["backtest"]["origins"][0]
        below = compute <= o["cut"] * (1 + 1e-9)
        made = sc.fit(frame[below], row["law"], bootstrap=0)
        rest = frame[~below].assign(C=compute[~below]).sort_values("C", kind="stable")
        error = np.log(made.predict(N=rest.N, D=rest.D).loss.to_numpy() / rest.loss.to_numpy())
        pick = np.linspace(0, len(rest) - 1, len(o["errors"])).round().astype(int)
        assert len(pick) < len(rest)
        assert o["errors"] == pytest.approx(error[pick], rel=1e-3, abs=1e-7)
        assert o["losses"] == pytest.approx(rest.loss.to_numpy()[pick], rel=1e-5)
        assert o["test_factor"] == pytest.approx(rest.C.to_numpy()[pick] / o["cut"], rel=1e-5)
        assert o["test_factor"][-1] == pytest.approx(o["factor"], rel=1e-5)
        assert min(o["test_factor"]) > 1


def test_each_fit_has_its_row_and_the_rows_are_ranked(fits):
    assert [row["law"] for row in fits.laws] == ["chinchilla", "kaplan"]
    assert [row["backtest"]["rank"] for row in fits.laws] == [1, 2]
    for fit in fits.fits:
        assert fit.backtest["law"] == fit.law.name
        assert fit.backtest["among"] == ["chinchilla", "kaplan"]


def test_they_are_read_back_and_an_older_file_has_none(fits, tmp_path):
    fits.save(tmp_path / "fit.json")
    again = load(tmp_path / "fit.json")
    assert again.to_json() == fits.to_json()
    assert [f.backtest for f in again.fits] == [f.backtest for f in fits.fits]
    data = json.loads((tmp_path / "fit.json").read_text())
    del data["laws"]
    (tmp_path / "old.json").write_text(json.dumps(data))
    old = load(tmp_path / "old.json")
    assert old.laws == ()
    assert [f.backtest for f in old.fits] == [{}, {}]


def test_without_rows_the_single_runs_are_left_out(fits):
    origin = json.loads(fits.to_json(full=False))["laws"][0]["backtest"]["origins"][0]
    assert set(origin) == {"cut", "train", "test", "factor", "rmse_log", "bias_log"}


def test_a_comparison_takes_the_rows_that_are_there(fits, frame, monkeypatch):
    bare = analyse(from_frame(frame), laws=LAWS, options=Options(bootstrap=5), backtest=False)
    fresh = compare_fits(bare.fits)
    one = compare_fits([bare.fits[0], fits.fits[1]])
    monkeypatch.setattr(backtest, "_origin", None)  # nothing is fitted again
    stored = compare_fits(fits.fits)
    assert stored.as_dict() == fresh.as_dict() == one.as_dict()
    with pytest.raises(TypeError):
        compare_fits(bare.fits)


def test_rows_of_other_laws_are_not_taken(frame, fits):
    """Rows of three laws are no comparison of two of them."""
    three = analyse(from_frame(frame), laws=[*LAWS, "over-training"], options=Options(bootstrap=5))
    pair = [fit for fit in three.fits if fit.law.name in LAWS]
    assert [row["among"] for row in compare_fits(pair).laws] == [["chinchilla", "kaplan"]] * 2
    assert len(three.laws) == 3


@pytest.mark.parametrize(
    ("given", "bootstrap", "there"),
    [(None, 0, False), (None, 3, True), (True, 0, True), (False, 3, False)],
)
def test_by_default_it_is_done_beside_a_bootstrap(frame, given, bootstrap, there):
    fit = sc.fit(frame, backtest=given, bootstrap=bootstrap)
    assert bool(fit.backtest) is there


def test_one_law_is_scored_without_a_word(frame, tmp_path):
    fit = sc.fit(frame, bootstrap=5)
    assert fit.backtest["backtest"]["rmse_log"] == pytest.approx(2e-3, rel=0.3)
    assert not [m for m in fit.messages if m.code == "SC435"]
    fit.save(tmp_path / "fit.json")
    assert load(tmp_path / "fit.json").laws == (fit.backtest,)
    assert sc.load(tmp_path / "fit.json").backtest == fit.backtest
    assert sc.compare(fit).laws == ()


def test_messages_about_several_laws_are_told_once(frame):
    same = from_formula("E + A/N**alpha + B/D**beta", ["N", "D"])
    twice = analyse(from_frame(frame), laws=["chinchilla", same], options=Options(bootstrap=5))
    assert [bool(row.get("messages")) for row in twice.laws] == [True, False]
    texts = [m.text for m in twice.messages if m.code == "SC435"]
    assert texts == [Message.from_dict(m).text for m in twice.laws[0]["messages"]]
    assert "about equally well" in texts[0]
    assert not [m for fit in twice.fits for m in fit.messages if m.code == "SC435"]
    assert len(combine([twice, twice]).laws) == 4


def test_what_cannot_be_scored_is_left_out(runs, hoffmann, frame):
    n = np.geomspace(1e7, 1e10, 12)
    ray = runs("chinchilla", hoffmann, {"N": n, "D": 20 * n}, noise=2e-3)
    found = analyse(from_frame(ray), options=Options(bootstrap=5), backtest=True)
    assert not found.fits[0].identified
    assert (found.laws, found.fits[0].backtest) == ((), {})
    budget, off = np.repeat([1e18, 1e20], 6), np.tile(np.geomspace(0.2, 5, 6), 2)
    size = sc.law("chinchilla").frontier.size(hoffmann, budget) * off
    few = runs("chinchilla", hoffmann, {"N": size, "D": budget / 6 / size}, noise=1e-3)
    found = analyse(from_frame(few), options=Options(bootstrap=5), backtest=True)
    assert found.fits[0].identified
    assert found.laws == ()
