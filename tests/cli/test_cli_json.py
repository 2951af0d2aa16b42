"""Standard output is data: pure JSON under --json, however much there is to say."""

import json

import pytest

STUDY = """schema = 1
[data]
source = "markov"
options = {symbols = 8, tokens = 400000, validation_tokens = 20000}
[design]
kind = "grid"
params = [1.6e3, 3.5e3, 3.501e3]
data = [2e4, 4e4]
"""
FIT = {
    "group", "law", "formula", "n", "objective", "params", "cost", "interval", "holdout",
    "members", "evidence_factor", "status", "messages",
}  # fmt: skip


def pure(out, schema, exit_code=0):
    assert out.returncode == exit_code, out.stderr

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    data = json.loads(out.stdout, parse_constant=refuse)
    assert data["schema"] == schema
    return data


@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [
        (["fit", "results.csv", "--json", "--bootstrap", "5"], 0),
        (["fit", "results.csv", "--where", "loss < 0"], 4),
        (["sweep", "plan", "nowhere.toml", "--json"], 2),
    ],
)
def test_a_fresh_process_gives_what_these_tests_see(
    fresh, scaling, small_table, arguments, exit_code
):
    one, two = fresh(*arguments), scaling(*arguments)
    assert one.returncode == exit_code
    assert (one.returncode, one.stdout, one.stderr) == (two.returncode, two.stdout, two.stderr)


def test_fit(fresh, small_table):
    out = fresh("fit", small_table, "--json", "--bootstrap", "15", "--holdout", "C > 2e18",
                  "--interval", "0.8", "-o", "fit.json")  # fmt: skip
    data = pure(out, "scaling/fit@1")
    assert {"file", "sha256", "rows", "used", "convention", "columns", "dropped"} <= set(
        data["table"]
    )
    assert data["table"]["rows"] == 36
    assert data["table"]["columns"]["N"] == {"source": "params", "unit": "parameters", "scale": 1}
    (fit,) = data["fits"]
    assert set(fit) >= FIT
    assert "rows" not in fit
    assert "draws" not in fit
    assert {"E", "A", "B", "alpha", "beta", "a", "b"} == set(fit["params"])
    assert set(fit["interval"]) >= {
        "level", "kind", "draws", "failed", "cluster", "clusters", "params", "se",
    }  # fmt: skip
    assert fit["interval"]["level"] == 0.8
    for name, (lo, hi) in fit["interval"]["params"].items():
        assert lo <= fit["params"][name] <= hi or name not in ("alpha", "beta")
    assert set(fit["holdout"]) == {"where", "n", "rmse_log", "bias_log", "coverage", "factor"}
    assert fit["n"] + fit["holdout"]["n"] == 36
    assert "wrote fit.json" in out.stderr


def test_full_fit_is_the_file(scaling, small_table, tmp_path):
    out = scaling("fit", small_table, "--json", "--full", "--bootstrap", "10", "-o", "fit.json")
    data = pure(out, "scaling/fit@1")
    assert data == json.loads((tmp_path / "fit.json").read_text())
    (fit,) = data["fits"]
    assert len(fit["rows"]["loss"]) == 36
    assert len(fit["draws"]["alpha"]) == 10


def test_fit_of_standard_input_is_the_fit_of_the_file(scaling, small_table):
    text = small_table.read_text()
    one = pure(scaling("fit", small_table, "--json", "--bootstrap", "5"), "scaling/fit@1")
    two = pure(scaling("fit", "-", "--json", "--bootstrap", "5", stdin=text), "scaling/fit@1")
    assert one["fits"] == two["fits"]
    assert one["table"]["sha256"] == two["table"]["sha256"]


def test_plan_and_status(scaling, write, tmp_path):
    write("s.toml", STUDY)
    first = pure(scaling("sweep", "plan", "s.toml", "--json", "-o", "out"), "scaling/plan@1")
    assert first["totals"]["points"] == len(first["points"]) == 4
    assert first["totals"]["seconds"] is None
    assert len(first["dropped"]) == 2
    assert {"SC202", "SC206"} <= {m["code"] for m in first["messages"]}
    lines = (tmp_path / "out" / "plan.jsonl").read_bytes()
    again = pure(scaling("sweep", "plan", "s.toml", "--json", "-o", "out"), "scaling/plan@1")
    assert again == first
    assert (tmp_path / "out" / "plan.jsonl").read_bytes() == lines
    status = pure(scaling("sweep", "status", "out", "--json"), "scaling/status@1")
    assert {p["status"] for p in status["points"]} == {"pending"}
    assert status["counts"]["pending"] == 4


def test_a_plan_of_smoke_size_names_another_plan(scaling, write):
    write("s.toml", STUDY)
    pure(scaling("sweep", "plan", "s.toml", "--json", "-o", "out"), "scaling/plan@1")
    small = pure(
        scaling("sweep", "plan", "s.toml", "--json", "--smoke", "-o", "out"), "scaling/plan@1"
    )
    assert small["totals"]["points"] == 9


@pytest.mark.parametrize(
    ("arguments", "schema"),
    [
        (["laws", "list", "--json"], "scaling/laws@1"),
        (["laws", "show", "chinchilla", "--json"], "scaling/law@1"),
        (["explain", "SC102", "--json"], "scaling/code@1"),
    ],
)
def test_other_commands(scaling, arguments, schema):
    out = scaling(*arguments)
    pure(out, schema)
    assert out.stderr == ""
