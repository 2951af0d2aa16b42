"""Very many rows and draws in a file beside the JSON: they come back as they were, or not."""

import json

import numpy as np
import pandas as pd
import pytest

import scaling as sc
from scaling.errors import ConfigError
from scaling.fitting import packed
from scaling.fitting.analyse import analyse
from scaling.fitting.options import Options
from scaling.fitting.stored import load
from scaling.runs.read import from_frame


def frame(count=60):
    """Isoflop runs with columns of every kind, cells missing in each."""
    law = sc.law("chinchilla")
    truth = dict(law.published[0].params)
    budget = np.repeat(np.geomspace(1e17, 1e21, count // 12), 12)
    n = law.frontier.size(truth, budget) * np.tile(np.geomspace(0.25, 4, 12), count // 12)
    d = budget / 6 / n
    k = np.arange(count)
    loss = law.loss(truth, {"N": n, "D": d}) * np.exp(1e-3 * np.sin(7.0 * k))
    made = pd.DataFrame({"run": [f'r"{i}/ü' for i in k], "N": n, "D": d, "C": budget,
                         "budget": budget, "loss": loss, "seed": k % 3, "lr": 0.01, "warmup": 5,
                         "schedule": "linear", "trunk": [f"t{i // 2}" for i in k]})  # fmt: skip
    made.loc[3, ["lr", "schedule", "seed"]] = None
    made["status"] = np.where(k == 7, "diverged", "done")
    made.loc[7, "loss"] = np.nan
    return made


@pytest.fixture(scope="module")
def fits():
    """Return a fit with draws and an allocation with them."""
    options = Options(bootstrap=12)
    return analyse(from_frame(frame()), approaches=["surface", "isoflop"], options=options)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(packed, "MOST_ROWS", 59)
    monkeypatch.setattr(packed, "MOST_DRAWS", 11)


def test_they_come_back_as_they_were(fits, small, tmp_path):
    fits.save(tmp_path / "fit.json")
    data = json.loads((tmp_path / "fit.json").read_text())
    assert data["npz"]["file"] == "fit.npz"
    assert data["fits"][0]["rows"] == data["fits"][0]["draws"] == {}
    assert [a["draws"] for a in data["allocations"] if a["approach"] == "isoflop"] == [{}]
    again = load(tmp_path / "fit.json")
    assert again.to_json() == fits.to_json()
    rows = again.fits[0].rows
    assert list(rows) == list(fits.fits[0].rows)
    assert rows["seed"][:4] == [0, 1, 2, None]
    assert (rows["lr"][3], rows["schedule"][3], rows["loss"][7]) == (None, None, None)
    assert rows["run"][2] == 'r"2/ü'
    assert rows["used"].count(False) == 1
    one, two = fits.fits[0], again.fits[0]
    assert all((one.draws[name] == two.draws[name]).all() for name in one.draws)
    assert two.optimal(C=1e22).equals(one.optimal(C=1e22))


def test_the_same_fit_gives_the_same_bytes(fits, small, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        fits.save(tmp_path / name / "fit.json")
    for file in ("fit.json", "fit.npz"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_small_fits_stand_in_one_file(fits, tmp_path):
    fits.save(tmp_path / "fit.json")
    assert [p.name for p in tmp_path.iterdir()] == ["fit.json"]
    assert "npz" not in json.loads((tmp_path / "fit.json").read_text())
    assert (tmp_path / "fit.json").read_text() == fits.to_json()


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "is not the file that belongs"),
        (lambda path: path.write_bytes(b""), "is not the file that belongs"),
    ],
)
def test_another_file_beside_it_is_refused(fits, small, tmp_path, spoil, found):
    fits.save(tmp_path / "fit.json")
    spoil(tmp_path / "fit.npz")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "fit.json")
    (fault,) = caught.value.faults
    assert (fault.code, fault.where) == ("SC101", str(tmp_path / "fit.npz"))
    assert found in fault.found


@pytest.mark.parametrize("other", ["../fit.npz", "/etc/hostname", 3])
def test_only_a_file_beside_the_fit_is_read(fits, small, tmp_path, other):
    (tmp_path / "in").mkdir()
    fits.save(tmp_path / "in" / "fit.json")
    data = json.loads((tmp_path / "in" / "fit.json").read_text())
    (tmp_path / "in" / "fit.npz").rename(tmp_path / "fit.npz")
    data["npz"]["file"] = other
    (tmp_path / "in" / "fit.json").write_text(json.dumps(data))
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "in" / "fit.json")
    assert "cannot be read" in caught.value.faults[0].found


def test_twenty_thousand_rows(tmp_path):
    many = frame(20_004).assign(loss=lambda f: f["loss"].fillna(3.0), status="done")
    fit = sc.fit(many, bootstrap=0)
    fit.save(tmp_path / "fit.json")
    assert (tmp_path / "fit.npz").is_file()
    assert (tmp_path / "fit.json").stat().st_size < 50_000
    again = sc.load(tmp_path / "fit.json")
    assert dict(again.rows) == dict(fit.rows)


def test_rows_hold_what_the_table_says_of_a_run(fits):
    rows = fits.fits[0].rows
    assert set(rows) >= {"lr", "warmup", "schedule", "trunk", "run", "N", "D"}
    assert not set(rows) & {"N_embedding", "N_head", "batch", "steps", "epochs"}
    assert rows["trunk"][:3] == ["t0", "t0", "t1"]
    assert {len(column) for column in rows.values()} == {60}
