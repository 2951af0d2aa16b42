"""``fit.json``: strict, complete, and the same fit when it is read again."""

import json

import numpy as np
import pytest

import scaling as sc
from scaling.errors import ConfigError
from scaling.fitting.analyse import Ways, analyse
from scaling.fitting.options import Options
from scaling.fitting.result import Fit, Fits
from scaling.fitting.stored import load
from scaling.laws import Law, Parameter
from scaling.runs.read import read_table

FIT = {
    "group", "law", "formula", "n", "objective", "params", "cost", "interval", "holdout",
    "members", "evidence_factor", "status", "messages",
}  # fmt: skip
FULL = {"rows", "draws", "covariance", "profiles", "sensitivity"}
ALLOCATION = {"group", "approach", "a", "b", "interval", "minima"}


def strict(text):
    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Return two groups of isoFLOP runs with a diverged one, missing seeds and odd text."""
    law, params = sc.law("chinchilla"), dict(sc.law("chinchilla").published[0].params)
    rng = np.random.default_rng(0)
    lines = ["run,group,budget,N,D,C,loss,seed,status"]
    for g, name in enumerate(('alt, "β"', "neu")):
        for budget in (1e18, 1e19, 1e20, 1e21):
            best = float(law.frontier.size(params, budget))
            for k, factor in enumerate(np.geomspace(0.25, 4, 7)):
                n = best * factor
                d = budget / 6 / n
                loss = float(law.loss(params | {"E": 1.5 + g}, {"N": n, "D": d}))
                loss *= np.exp(0.002 * rng.standard_normal())
                quoted = '"' + name.replace('"', '""') + '"'
                seed = "" if k == 3 else str(k)
                lines.append(f"r{g}-{budget:g}-{k},{quoted},{budget},{n},{d},{budget},{loss},"
                             f"{seed},done")  # fmt: skip
    lines.append("bad,neu,1e18,1e8,1e9,1e18,,1,diverged")
    path = tmp_path_factory.mktemp("table") / "runs.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_table(path, convention="N without embeddings")


@pytest.fixture(scope="module")
def fits(table):
    """Return two groups by two laws and both approaches."""
    return analyse(
        table,
        laws=["chinchilla", "power-C"],
        approaches=("surface", "isoflop"),
        options=Options(bootstrap=15, interval=0.9, seed=3, holdout="budget > 5e20"),
        ways=Ways("parabola"),
        command="scaling fit runs.csv",
    )


@pytest.fixture(scope="module")
def again(fits, tmp_path_factory):
    """Return the fits, written and read."""
    path = tmp_path_factory.mktemp("saved") / "fit.json"
    fits.save(path)
    return load(path)


def test_the_names_that_other_programs_rely_on(fits):
    data = strict(fits.to_json())
    assert data["schema"] == "scaling/fit@1"
    assert set(data["table"]) >= {
        "file", "sha256", "rows", "used", "convention", "columns", "dropped",
    }  # fmt: skip
    assert (data["table"]["rows"], data["table"]["used"]) == (57, 56)
    assert set(data["table"]["columns"]["N"]) == {"source", "unit", "scale"}
    assert data["table"]["dropped"] == [{"row": 58, "code": "SC303", "why": "status diverged"}]
    assert len(data["fits"]) == 4
    for fit in data["fits"]:
        assert set(fit) >= FIT | FULL
        assert set(fit["objective"]) == {"name", "delta", "reduction", "value"}
        assert set(fit["cost"]) == {"name", "formula"}
        assert set(fit["interval"]) == {
            "level", "kind", "draws", "failed", "cluster", "clusters", "params", "se", "factor",
        }  # fmt: skip
        assert set(fit["holdout"]) == {
            "where", "n", "rmse_log", "bias_log", "coverage", "factor",
        }  # fmt: skip
        assert all(set(m) >= {"code", "text"} for m in fit["messages"])
        assert {len(column) for column in fit["rows"].values()} <= {28, 29}
    assert {a["approach"] for a in data["allocations"]} == {"surface", "isoflop"}
    for allocation in data["allocations"]:
        assert set(allocation) >= ALLOCATION
        for m in allocation["minima"]:
            assert set(m) == {"budget", "N", "D", "loss", "bracketed", "why", "offset"}
        if allocation["interval"]:
            assert set(allocation["interval"]) >= {"level", "a", "b"}


def test_without_rows_and_draws(fits):
    data = strict(fits.to_json(full=False))
    for fit in data["fits"]:
        assert set(fit) >= FIT
        assert not set(fit) & FULL
    assert all("curves" not in a for a in data["allocations"])


def test_reading_gives_the_same_fits(fits, again):
    assert isinstance(again, Fits)
    assert list(again) == list(fits)
    assert again.as_dict() == strict(fits.to_json())
    assert again.to_json() == fits.to_json()
    assert again.messages == fits.messages
    for key in fits:
        one, two = fits[key], again[key]
        assert one.law == two.law
        assert dict(one.params) == dict(two.params)
        assert one.interval == two.interval
        assert one.holdout == two.holdout
        assert one.checks == two.checks
        assert one.messages == two.messages
        assert one.objective == two.objective
        assert (one.status, one.n, one.group) == (two.status, two.n, two.group)
        assert all((one.draws[k] == two.draws[k]).all() for k in one.draws)
        assert one.summary() == two.summary()
    for one, two in zip(fits.allocations, again.allocations, strict=True):
        assert (one.a, one.b, one.minima, one.messages) == (two.a, two.b, two.minima, two.messages)
        assert one.method == two.method


def test_predictions_are_the_same_to_the_last_bit(fits, again):
    for key, fit in fits.items():
        if key[1] == "chinchilla":
            assert fit.optimal(C=[1e20, 1e24]).equals(again[key].optimal(C=[1e20, 1e24]))
            assert fit.predict(N=1e9, D=[1e9, 1e12]).equals(
                again[key].predict(N=1e9, D=[1e9, 1e12])
            )
        else:
            assert fit.predict(C=[1e20, 1e24]).equals(again[key].predict(C=[1e20, 1e24]))


def test_missing_is_null(fits):
    data = strict(fits.to_json())
    (rows,) = (f["rows"] for f in data["fits"] if (f["group"], f["law"]) == ("neu", "power-C"))
    assert rows["seed"][3] is None
    assert rows["loss"][-1] is None
    assert rows["residual"][-1] is None
    assert rows["used"][-1] is False
    assert rows["why"][-1] == "status diverged"


def test_one_fit_is_read_as_one_fit(fits, tmp_path):
    fit = fits["neu", "chinchilla"]
    fit.save(tmp_path / "one.json")
    one = sc.load(tmp_path / "one.json")
    assert isinstance(one, Fit)
    assert dict(one.params) == dict(fit.params)
    assert one.table == fit.table
    fits.save(tmp_path / "all.json")
    assert isinstance(sc.load(tmp_path / "all.json"), Fits)


def test_what_lies_beside_one_fit_is_read_with_the_whole_file(fits, tmp_path):
    assert fits.allocations
    kept = Fits((fits["neu", "chinchilla"],), fits.allocations, fits.table)
    kept.save(tmp_path / "fit.json")
    assert isinstance(sc.load(tmp_path / "fit.json"), Fit)
    whole = sc.load(tmp_path / "fit.json", whole=True)
    assert list(whole) == [("neu", "chinchilla")]
    assert [a.as_dict() for a in whole.allocations] == [a.as_dict() for a in fits.allocations]


def test_a_single_replicate_leaves_no_nan(table, tmp_path):
    fits = analyse(table, options=Options(bootstrap=1))
    data = strict(fits.to_json())
    assert data["fits"][0]["interval"]["se"]["alpha"] is None
    fits.save(tmp_path / "fit.json")
    assert load(tmp_path / "fit.json").fits[0].summary()


def test_a_fit_that_failed_to_identify_is_kept_with_its_reason(runs, hoffmann, tmp_path):
    n = np.geomspace(1e7, 1e10, 12)
    frame = runs("chinchilla", hoffmann, {"N": n, "D": 20 * n}, noise=0.002)
    fit = sc.fit(frame, bootstrap=20)
    fit.save(tmp_path / "fit.json")
    strict((tmp_path / "fit.json").read_text())
    one = sc.load(tmp_path / "fit.json")
    assert one.status == "not-identified"
    assert not one.identified
    assert one.messages == fit.messages


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, "SC005"),
        ("", "SC101"),
        ("{", "SC101"),
        ("[1]", "SC101"),
        ('{"schema": "scaling/fit@2"}', "SC101"),
        ('{"fits": []}', "SC101"),
    ],
)
def test_what_is_not_a_fit(tmp_path, text, code):
    path = tmp_path / "fit.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert caught.value.code == code
    assert "fit.json" in str(caught.value)


def test_a_law_that_is_not_in_the_catalogue_comes_with_its_declaration(runs, tmp_path):
    law = Law(
        "mine", "E + k*D**-0.4", (Parameter("E", "linear", 0, 9), Parameter("k", "scale", 1, 1e9)),
        ("D",), "none",
    )  # fmt: skip
    fit = sc.fit(runs(law, {"E": 1.0, "k": 900.0}), law, bootstrap=0)
    assert fit.params["k"] == pytest.approx(900, rel=1e-6)
    fit.save(tmp_path / "fit.json")
    (found,) = load(tmp_path / "fit.json").fits
    assert (found.law.name, found.law.formula) == ("mine", law.formula)
    assert found.predict(D=[1e8, 1e9]).loss.tolist() == fit.predict(D=[1e8, 1e9]).loss.tolist()
    text = (tmp_path / "fit.json").read_text()
    content = json.loads(text)
    del content["fits"][0]["declaration"]
    (tmp_path / "bare.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="mine"):
        load(tmp_path / "bare.json")


def test_results_cannot_be_changed(fits):
    fit = fits.fits[0]
    with pytest.raises(AttributeError):
        fit.status = "converged"
    with pytest.raises(KeyError):
        fits["neu", "nothing"]
