"""Effective data: what was simulated is found, with intervals that cover, and limits are told."""

import numpy as np
import pandas as pd
import pytest

import scaling as sc
from scaling.errors import ScalingError
from scaling.fitting import effective as module
from scaling.fitting.intervals import resample
from tests.effective_runs import DATA, loss_of, times, transferred, treated_runs

ONE = (4e6,)


@pytest.fixture
def alone(monkeypatch):
    """Leave out the laws of the treated runs by themselves, which take most of the time."""
    monkeypatch.setattr(module, "fitted_alone", lambda *_: ())


def found(table, **options):
    made = sc.effective(table, **{"reference": "none", "bootstrap": 150, **options})
    (item,) = made.treatments
    return item


def codes(item):
    return {m.code for m in item.messages}


# --------------------------------------------------------------------------------------- recovery


@pytest.mark.parametrize(
    ("sizes", "data", "kind"),
    [
        (ONE, DATA, "one size"),
        ((1e6, 8e6), DATA, "curve by size"),
        ((1e6, 3e6, 9e6), (1e5, 1e6, 1e7), "floor by size"),
        ((1e6, 4e6, 16e6, 64e6), DATA, "additive"),
    ],
)
def test_multiplier_is_recovered(alone, sizes, data, kind):
    table = treated_runs(times(1.8), sizes=sizes, data=data, noise=0.0)
    made = sc.effective(table, reference="none", bootstrap=30)
    assert made.curve["kind"] == kind
    (item,) = made.treatments
    assert item.multiplier["m"] == pytest.approx(1.8, rel=1e-4)
    assert [c["ratio"] for c in item.cells] == pytest.approx([1.8] * len(item.cells), rel=1e-3)
    assert len(item.cells) == len(sizes) * len(data)


def test_multiplier_with_noise(alone):
    item = found(treated_runs(times(1.8)))
    low, high = item.multiplier["interval"]
    assert low < 1.8 < high
    assert high / low < 1.1
    assert item.verdict == "helps"
    assert item.multiplier["constant"] is True
    assert "is worth 1." in item.sentence
    assert "95% cluster bootstrap over runs" in item.sentence


@pytest.mark.parametrize("noise", [0.0, 0.003])
def test_transfer_is_recovered(alone, noise):
    item = found(treated_runs(transferred(2e3, 0.2, 0.3), noise=noise), form="transfer")
    t = item.transfer
    wide = 40 * noise
    assert t["fitted"]
    assert t["alpha"] == pytest.approx(0.2, abs=1e-3 + wide / 3)
    assert t["beta"] == pytest.approx(0.3, abs=1e-3 + wide / 3)
    assert np.log(t["k"]) == pytest.approx(np.log(2e3), abs=0.01 + 5 * wide)
    moved = [c["D_T"] / (2e3 * c["D_F"] ** 0.2 * c["N"] ** 0.3) for c in item.cells]
    assert np.median(moved) == pytest.approx(1.0, abs=0.001 + 10 * noise)
    assert item.verdict == "helps"


def test_beta_of_transfer_needs_two_sizes(alone):
    item = found(treated_runs(transferred(2e5, 0.2), sizes=ONE, seeds=2), form="transfer")
    assert item.transfer["fitted"]
    assert item.transfer["beta"] is None
    assert any("exponent of N" in m.text for m in item.messages)


def test_rectified_law_beside_the_power_law():
    item = found(treated_runs(transferred(2e5, 0.2), sizes=ONE, seeds=3), bootstrap=40)
    assert [row["law"] for row in item.curves] == ["power-D", "rectified"]
    assert {"D_l", "beta", "E", "B"} == set(item.curves[1]["params"])
    assert item.curves[1]["rmse_log"] < 0.5 * item.curves[0]["rmse_log"]


# --------------------------------------------------------------------------------------- coverage


@pytest.mark.parametrize(
    ("worth", "form"),
    [(times(1.8), "multiplier"), (transferred(2e5, 0.3), "transfer")],
    ids=["multiplier", "transfer"],
)
def test_intervals_cover(alone, worth, form):
    inside, cells = [], []
    for seed in range(40):
        table = treated_runs(worth, sizes=ONE, seeds=2, seed=seed)
        item = found(table, form=form, interval=0.9, bootstrap=120)
        truth = [worth(c["N"], c["D_F"]) / c["D_F"] for c in item.cells]
        ends = item.mean["interval"]
        value = np.exp(np.mean(np.log(truth)))
        if form == "multiplier":
            value, ends = 1.8, item.multiplier["interval"]
        inside.append(ends[0] <= value <= ends[1])
        for cell, true in zip(item.cells, truth, strict=True):
            low, high = cell["ratio_interval"]
            cells.append(low <= true and (high is None or true <= high))
    assert np.mean(inside) >= 0.75
    assert np.mean(cells) >= 0.8


def test_no_effect_is_not_found(alone):
    told = [found(treated_runs(times(1.0), sizes=ONE, seeds=2, seed=s)) for s in range(12)]
    covered = [t.multiplier["interval"][0] <= 1.0 <= t.multiplier["interval"][1] for t in told]
    assert np.mean(covered) >= 0.75
    quiet = next(t for t in told if t.verdict == "no evidence")
    assert quiet.sentence.startswith("There is no evidence that treated helps or hurts")


def test_no_effect_of_transfer(alone):
    item = found(treated_runs(times(1.0), sizes=ONE, seeds=3), form="transfer")
    assert item.verdict == "no evidence"
    assert not item.transfer["fitted"]
    assert "D_T cannot be told from 0" in item.sentence


# ----------------------------------------------------------------------------------------- limits


def test_pretraining_that_hurts(alone):
    item = found(treated_runs(times(0.5)), form="transfer")
    assert item.verdict == "hurts"
    assert item.sentence.startswith("treated hurts")
    assert all(c["D_T"] < 0 for c in item.cells)
    assert not item.transfer["fitted"]
    assert "negative" in item.transfer["why"]
    assert "SC444" in codes(item)


def test_augmentation_that_hurts(alone):
    item = found(treated_runs(times(0.6)))
    assert item.verdict == "hurts"
    assert item.multiplier["interval"][1] < 1.0


def test_one_multiplier_does_not_suffice(alone):
    item = found(treated_runs(lambda n, d: d * (d / 1e5) ** 0.3))
    assert item.multiplier["constant"] is False
    assert item.multiplier["slopes"]["D"]["slope"] == pytest.approx(0.3, abs=0.1)
    assert "SC443" in codes(item)
    assert "One multiplier does not describe it" in item.sentence


@pytest.mark.parametrize("form", ["multiplier", "transfer"])
def test_below_the_floor_is_a_bound(alone, form):
    table = treated_runs(times(1.0), sizes=ONE, shift=-1.5)
    item = found(table, form=form)
    lost = [c for c in item.cells if c["reach"] == "unbounded"]
    assert lost
    for cell in lost:
        assert cell["D_E"] is None
        assert cell["D_E_interval"][1] is None
        assert cell["D_E_interval"][0] > 1e7
    assert len(item.cells) == len(DATA)  # none is dropped
    assert "SC442" in codes(item)
    assert item.mean["bound"] == "at least"
    assert form != "transfer" or "at least" in item.sentence


def test_extrapolation_is_labelled(alone):
    item = found(treated_runs(times(8.0), sizes=ONE))
    reach = {c["D_F"]: c["reach"] for c in item.cells}
    assert (reach[1e5], reach[1e7]) == ("inside", "above")
    assert [m.severity for m in item.messages if m.code == "SC441"] == ["warning"]


# ----------------------------------------------------------------------------------------- tables


def test_sizes_are_paired_within_two_per_cent(alone):
    table = treated_runs(times(1.8))
    other = table.group == "treated"
    table.loc[other & (table.N == 4e6), "N"] = 4.06e6
    table.loc[other & (table.N == 64e6), "N"] = 9e7
    item = found(table.drop(index=[3, 27]))  # cells that are missing
    assert sorted({c["N"] for c in item.cells}) == pytest.approx([1e6, 4e6, 16e6])
    assert len(item.cells) == 14
    assert "SC445" in codes(item)
    assert item.multiplier["m"] == pytest.approx(1.8, rel=0.05)


def test_repeats_of_a_cell_are_averaged(alone):
    table = treated_runs(times(1.8), sizes=ONE, seeds=3)
    item = found(table)
    assert [c["runs"] for c in item.cells] == [3] * len(DATA)


def test_another_response_and_no_size(alone):
    table = treated_runs(times(1.8), sizes=ONE)
    table = table.assign(error=table.loss / 20).drop(columns=["loss", "N"])
    made = sc.effective(table, reference="none", response="error", bootstrap=50)
    assert made.response == "error"
    assert made["treated"].multiplier["m"] == pytest.approx(1.8, rel=0.05)
    assert made["treated"].cells[0]["N"] is None
    with pytest.raises(KeyError):
        _ = made["nobody"]


def test_several_groups_and_another_column(alone):
    table = treated_runs(times(1.8), sizes=ONE, names=("plain", "flip"))
    more = table[table.group == "flip"].assign(group="mixup", loss=lambda t: 1.03 * t.loss)
    table = pd.concat([table, more], ignore_index=True).rename(columns={"group": "augmentation"})
    made = sc.effective(table, reference="plain", group="augmentation", bootstrap=30)
    assert [t.group for t in made.treatments] == ["flip", "mixup"]
    frame = made.to_frame()
    assert list(frame.group.unique()) == ["flip", "mixup"]
    assert {"N", "D_F", "D_E", "ratio", "ratio_lo", "ratio_hi", "D_T_lo", "reach"} <= set(frame)


def test_without_bootstrap_nothing_is_judged(alone):
    item = found(treated_runs(times(1.8), sizes=ONE), bootstrap=0)
    assert item.verdict == "not judged"
    assert item.multiplier["interval"] is None
    assert item.cells[0]["ratio_interval"] is None
    assert item.cells[0]["ratio"] == pytest.approx(1.8, rel=0.1)


def test_it_is_the_same_every_time(alone):
    table = treated_runs(times(1.8), sizes=ONE)
    one, two = (sc.effective(table, reference="none", bootstrap=40) for _ in range(2))
    assert one.as_dict() == two.as_dict()


def test_draws_are_made_within_each_group():
    labels, strata = np.arange(12), np.repeat([0, 1], [9, 3])
    weights = resample(labels, 0, 200, 0, strata)
    assert (weights[:, 9:].sum(axis=1) == 3).all()
    assert (weights.sum(axis=1) == 12).all()
    whole = np.zeros(12, dtype=np.int64)
    assert (resample(labels, 0, 50, 0) == resample(labels, 0, 50, 0, whole)).all()


# --------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("change", "options", "code", "words"),
    [
        (lambda t: t, {"reference": "plain"}, "SC004", "none, treated"),
        (lambda t: t, {"form": "both"}, "SC004", "multiplier or transfer"),
        (lambda t: t[t.group == "treated"], {"reference": "treated"}, "SC004", "one group"),
        (lambda t: t.drop(columns="group"), {}, "SC004", "no groups"),
        (lambda t: t.drop(index=[0, 1, 2]), {}, "SC401", "2 runs"),
        (lambda t: t.assign(N=t.N * (1 + (t.group == "none"))), {}, "SC433", "shares a size"),
        (lambda t: t.drop(columns="D"), {}, "SC105", "D"),
        (lambda t: t.assign(accuracy=1 / t.loss), {"response": "accuracy"}, "SC446", "fall"),
        (lambda t: t.assign(q=t.loss - 4), {"response": "q", "objective": "mse"}, "SC103", "log"),
        (lambda t: t, {"interval": 2.0}, "SC004", "between 0 and 1"),
    ],
    ids=["reference", "form", "one group", "no group", "few runs", "sizes", "no D", "rises",
         "negative", "level"],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(change, options, code, words):
    table = change(treated_runs(times(1.8), sizes=ONE))
    with pytest.raises(ScalingError) as caught:
        sc.effective(table, **{"reference": "none", "bootstrap": 5, **options})
    assert f"[{code}]" in str(caught.value)
    assert words in str(caught.value)


def test_the_truth_is_what_it_says():
    table = treated_runs(times(2.0), noise=0.0)
    row = table[(table.group == "treated")].iloc[0]
    assert row.loss == loss_of(row.N, 2 * row.D)
