"""``scaling predict`` and ``scaling compare``: what is asked and what is printed."""

import json
import re

import pandas as pd
import pytest

from scaling.laws import get
from tests.cli.stored_fits import LAW, TRUTH, table, text_of
from tests.truths import TRUTHS

KEYS = {"group", "law", "C", "N", "D", "loss", "interval", "extrapolation"}


@pytest.fixture
def rows(predict):
    """Return the rows of ``--json``, whose form is checked."""

    def run(name, *options):
        out = predict(name, *options, "--json")
        assert out.returncode == 0, out.stderr
        data = json.loads(out.stdout)
        assert data["schema"] == "scaling/predict@1"
        for row in data["rows"]:
            assert set(row) >= KEYS
            assert 0 < row["interval"]["level"] < 1
            assert set(row["extrapolation"]) == {"factor", "inside_hull"}
        return data["rows"]

    return run


# ---------------------------------------------------------------------------------- predict


def test_from_a_table_to_a_decision(scaling, small_table, tmp_path):
    out = scaling("fit", small_table, "-o", "fit.json", "--bootstrap", "30")
    assert out.returncode == 0, out.stderr
    out = scaling("predict", "fit.json", "--flops", "1e21")
    assert out.returncode == 0, out.stderr
    assert "what to train" in out.stdout
    assert "C: 6*N*D" in out.stdout
    assert "95% intervals: pairs bootstrap" in out.stdout
    params = json.loads((tmp_path / "fit.json").read_text())["fits"][0]["params"]
    size = LAW.frontier.size(params, 1e21)
    assert f"{size:.3g}" in out.stdout
    assert f"{1e21 / 6 / size:.3g}" in out.stdout
    folder = scaling("predict", ".", "--flops", "1e21")  # a study's folder
    assert folder.stdout == out.stdout


def test_the_optimum_with_its_interval(rows):
    (row,) = rows("fit", "--flops", "1e22")
    assert row["C"] == 1e22
    assert row["question"] == "optimum"
    assert 6 * row["N"] * row["D"] == pytest.approx(1e22, rel=1e-9)
    assert row["loss"] == pytest.approx(float(LAW.loss(TRUTH, row)), rel=2e-3)
    for name in ("N", "D", "loss", "ratio"):
        low, high = row["interval"][name]
        assert low < row[name] < high
    assert row["extrapolation"] == {"factor": pytest.approx(1 / 3), "inside_hull": True}
    (narrow,) = rows("fit", "--flops", "1e22", "--interval", "0.5")
    assert narrow["interval"]["level"] == 0.5
    low, high = row["interval"]["N"]
    assert low < narrow["interval"]["N"][0] < narrow["interval"]["N"][1] < high
    assert [r["C"] for r in rows("fit", "--flops", "1e20:1e22:3")] == [1e20, 1e21, 1e22]


def test_two_of_compute_size_and_data_give_the_loss(rows):
    pairs = (("--params", "1e9", "--data", "1e11"), ("--params", "1e9", "--flops", "6e20"),
             ("--flops", "6e20", "--data", "1e11"))  # fmt: skip
    answers = [rows("fit", *options)[0] for options in pairs]
    for row in answers:
        assert [row[k] for k in "CND"] == pytest.approx([6e20, 1e9, 1e11], rel=1e-9)
        assert row["loss"] == pytest.approx(answers[0]["loss"], rel=1e-12)
        low, high = row["interval"]["run"]
        assert low < row["interval"]["loss"][0] < row["interval"]["loss"][1] < high


def test_a_loss_and_what_it_takes(rows):
    (best,) = rows("fit", "--target-loss", "2.2")
    (back,) = rows("fit", "--flops", repr(best["C"]))
    assert back["loss"] == pytest.approx(2.2, rel=1e-9)
    (data,) = rows("fit", "--target-loss", "2.2", "--params", repr(best["N"]))
    (size,) = rows("fit", "--target-loss", "2.2", "--data", repr(best["D"]))
    assert data["D"] == pytest.approx(best["D"], rel=1e-9)
    assert size["N"] == pytest.approx(best["N"], rel=1e-9)
    assert [r["question"] for r in (best, data, size)] == ["cheapest", "data", "size"]
    for row, name in ((best, "C"), (data, "D"), (size, "N")):
        low, high = row["interval"][name]
        assert low < row[name] < high
    (far,) = rows("fit", "--target-loss", "1.7055")  # some draws never get there
    assert far["interval"]["C"][0] > 0
    assert far["interval"]["C"][1] is None


def test_the_price_of_a_size(rows):
    half, same, double = rows("fit", "--flops", "1e21", "--off", "0.5,1,2")
    assert [half["off"], same["off"], double["off"]] == [0.5, 1, 2]
    assert same["compute_factor"] == pytest.approx(1, rel=1e-9)
    assert half["N"] * 4 == pytest.approx(double["N"], rel=1e-9)
    for row in (half, double):
        assert row["question"] == "price"
        low, high = row["interval"]["compute_factor"]
        assert 1 < low < row["compute_factor"] < high
        assert 0 < row["interval"]["excess"][0] < row["excess"]


def test_inference_and_a_cap(rows):
    (plain,) = rows("fit", "--flops", "1e22")
    (served,) = rows("fit", "--flops", "1e22", "--inference-tokens", "1e12")
    assert served["N"] < plain["N"]
    assert served["C_train"] + 2e12 * served["N"] == pytest.approx(1e22, rel=1e-9)
    (capped,) = rows("fit", "--flops", "1e22", "--unique-data", "5e10")
    assert capped["capped"] is True
    assert [capped[k] for k in "ND"] == pytest.approx([1e22 / 6 / 5e10, 5e10], rel=1e-9)
    (priced,) = rows("fit", "--flops", "1e22", "--cost", "6*N*D + 2*N*1e12")
    assert priced["N"] == pytest.approx(served["N"], rel=1e-9)


def test_other_variables_are_set(rows):
    (one,) = rows("data-constrained", "--flops", "1e20", "--unique-data", "1e9")
    (two,) = rows("data-constrained", "--flops", "1e20", "--set", "D_unique=1e9")
    assert one["D"] > 1e9
    assert (one["N"], one["loss"]) == pytest.approx((two["N"], two["loss"]), rel=1e-9)
    for experts in (1.0, 64.0):
        (row,) = rows("moe-clark", "--params", "1e9", "--set", f"experts={experts}")
        expected = get("moe-clark").loss(TRUTHS["moe-clark"][1], {"N": 1e9, "experts": experts})
        assert row["loss"] == pytest.approx(float(expected), rel=1e-6)


def test_laws_approaches_and_groups_are_picked(rows, predict):
    assert [r["law"] for r in rows("laws", "--flops", "1e21")] == ["chinchilla", "kaplan"]
    assert [r["law"] for r in rows("laws", "--flops", "1e21", "--law", "kaplan")] == ["kaplan"]
    assert [r["group"] for r in rows("two", "--flops", "1e21")] == ["A", "B"]
    (row,) = rows("two", "--flops", "1e21", "--group", "B")
    assert row["group"] == "B"
    assert [r["law"] for r in rows("both", "--flops", "1e22")] == ["chinchilla", "isoflop"]
    (row,) = rows("both", "--flops", "1e22", "--law", "isoflop")
    assert row["extrapolation"] == {"factor": pytest.approx(10, rel=0.01), "inside_hull": None}
    out = predict("both", "--flops", "1e22", "--law", "isoflop")
    assert "no floor" in out.stderr
    out = predict("mixed", "--flops", "1e21")
    assert out.returncode == 0
    assert "SC405" in out.stderr


def test_extrapolation_is_told(predict):
    assert predict("fit", "--flops", "1e22").stderr == ""
    for flops, mark in (("1e23", " "), ("1e25", "!"), ("1e27", "!")):
        out = predict("fit", "--flops", flops)
        line, *rest = out.stderr.splitlines()
        assert line.startswith(mark)
        assert not any(more.startswith("!") for more in rest)
        assert "[SC410]" in out.stderr
    assert "a guess" in " ".join(out.stderr.split())


QUESTIONS = {
    "optimum": ["--flops", "1e21:1e23:3"],
    "inference": ["--flops", "1e22", "--inference-tokens", "1e12"],
    "cap": ["--flops", "1e25", "--unique-data", "5e10"],
    "loss": ["--params", "1e9,7e9", "--data", "1e11"],
    "cheapest": ["--target-loss", "1.7055,2.2"],
    "data": ["--target-loss", "2.3", "--params", "7e9"],
    "size": ["--target-loss", "2.3", "--data", "2e11"],
    "price": ["--flops", "1e21", "--off", "0.001,0.5,2"],
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_tables_fit_80_columns_and_line_up(predict, name):
    out = predict("fit", *QUESTIONS[name])
    assert out.returncode == 0, out.stderr
    lines = out.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert not re.search(r"\bnan\b", out.stdout)
    head = next(i for i, line in enumerate(lines) if line.startswith("    ") and "N" in line)
    numbers = [line for line in lines[head + 1 :] if "largest run" not in line]
    for line in [lines[head], *numbers]:
        assert len(line) % 14 == 2, line  # columns of 14 after two spaces


# ---------------------------------------------------------------------------------- compare


@pytest.fixture
def compare(write, scaling):
    """Compare stored fits or written tables."""

    def run(names, *options, **tables):
        for name in names:
            write(f"{name}.json", text_of(name))
        for name, frame in tables.items():
            write(f"{name}.csv", frame.to_csv(index=False))
        sources = [*(f"{n}.json" for n in names), *(f"{n}.csv" for n in tables)]
        return scaling("compare", *sources, *options)

    return run


def document(out):
    assert out.returncode == 0, out.stderr
    data = json.loads(out.stdout)
    assert data["schema"] == "scaling/compare@1"
    return data


def recipes():
    return pd.concat([table(noise=1e-4), table(1.3, "B", 1, noise=1e-4)], ignore_index=True)


def test_laws_on_a_table(compare):
    options = ["--law", "kaplan", "--law", "chinchilla", "--bootstrap", "0"]
    data = document(compare([], *options, "--json", runs=table()))
    assert [r["law"] for r in data["laws"]] == ["chinchilla", "kaplan"]
    assert [r["backtest"]["rank"] for r in data["laws"]] == [1, 2]
    assert all(r["aicc"] is not None for r in data["laws"])
    assert {r["source"].split()[0] for r in data["literature"]} >= {"Kaplan", "Hoffmann"}
    text = compare([], *options, runs=table()).stdout
    assert text.index(" chinchilla") < text.index(" kaplan")
    assert f"{data['laws'][0]['aicc']:.1f}" in text
    assert f"{data['laws'][0]['backtest']['rmse_log']:.2%}" in text
    assert "Hoffmann et al. 2022, approach 3" in text
    robust = compare([], *options, "--objective", "log-huber", "--json", runs=table())
    assert [r["aicc"] for r in document(robust)["laws"]] == [None, None]
    assert "SC435" in {m["code"] for m in json.loads(robust.stdout)["messages"]}
    bare = compare([], *options, "--no-literature", runs=table()).stdout
    assert "Hoffmann" not in bare


def test_recipes_of_a_table(compare):
    options = ["--group", "recipe", "--bootstrap", "30", "--at", "1e24"]
    data = document(compare([], *options, "--json", runs=recipes()))
    for row in data["rows"]:
        low, high = row["interval"]["multiplier"]
        assert low < 1.3 < high
        assert row["multiplier"] == pytest.approx(1.3, rel=0.01)
        assert row["pairing"]["n"] == 36
        assert row["difference"] < 0
    assert data["rows"][-1]["C"] == 1e24
    assert [t["quantity"] for t in data["tests"]] == ["offset", "exponent"]
    text = compare([], *options, runs=recipes()).stdout
    assert "group B against group A: 36 pairs by N and D" in text
    back = document(compare([], *options, "--reference", "B", "--json", runs=recipes()))
    assert back["rows"][0]["multiplier"] == pytest.approx(1 / 1.3, rel=0.01)


def test_the_largest_runs_are_not_called_extrapolated(compare):
    text = compare([], "--group", "recipe", "--bootstrap", "0", "--no-literature",
                   runs=recipes()).stdout  # fmt: skip
    assert len(re.findall(r"^ +[\d.e+]+ +1\.[23]\d\d ", text, re.M)) == 5
    assert "extrapolated" not in text
    text = compare(
        [], "--group", "recipe", "--bootstrap", "0", "--at", "1e24", runs=recipes()
    ).stdout
    assert "extrapolated" in text


def test_two_stored_fits(compare):
    data = document(compare(["fit", "better"], "--json"))
    assert data["laws"] == []
    for row in data["rows"]:
        assert row["multiplier"] == pytest.approx(1.3, rel=0.1)
        assert row["pairing"]["kind"] == "paired"
    assert data["rows"][0]["pair"] == ["fit.csv", "better.csv"]
    data = document(compare(["laws"], "--json", "--no-literature"))
    assert [r["law"] for r in data["laws"]] == ["chinchilla", "kaplan"]
    assert data["literature"] == []
    data = document(compare(["laws"], "--law", "kaplan", "--json"))
    assert {r["law"] for r in data["literature"]} == {"kaplan"}
    data = document(compare(["two"], "--json"))
    assert data["rows"][0]["pair"] == ["group A", "group B"]


@pytest.mark.parametrize(
    "options",
    [["--law", "chinchilla", "--law", "kaplan"], ["--group", "recipe", "--at", "1e24"],
     ["--group", "recipe", "--law", "chinchilla", "--law", "kaplan"]],
    ids=["laws", "recipes", "both"],
)  # fmt: skip
def test_comparisons_fit_80_columns(compare, options):
    out = compare([], *options, "--bootstrap", "20", runs=recipes())
    assert out.returncode == 0, out.stderr
    lines = [x for x in out.stdout.splitlines() if not re.search(r"\[SC\d+\]$", x)]
    assert [x for x in lines if len(x) > 80] == []
    assert "nan" not in out.stdout


def test_a_comparison_of_nothing_says_so(compare):
    """One fit has no other; an empty line would leave a reader guessing."""
    out = compare(["fit"], "--no-literature")
    assert out.returncode != 0 or out.stdout.strip()


@pytest.mark.parametrize(
    ("names", "options", "code"),
    [
        (["two"], ["--reference", "C"], "SC004"),
        (["two"], ["--at", "x"], "SC004"),
        (["two"], ["--at", "-1"], "SC004"),
        (["two"], ["--interval", "2"], "SC004"),
        (["two"], ["--law", "kaplan"], "SC004"),
        (["iso"], [], "SC004"),
        (["fit", "power-D"], [], "SC433"),
        (["power-D", "moe-clark"], [], "SC430"),
        (["ray", "fit"], [], "SC430"),
        (["nowhere"], [], "SC005"),
    ],
    ids=str,
)
def test_comparisons_that_are_refused(write, refused, names, options, code):
    for name in names:
        if name != "nowhere":
            write(f"{name}.json", text_of(name))
    refused("compare", *(f"{n}.json" for n in names), *options, code=code)


def test_losses_of_other_units_have_no_difference(write, refused):
    """Bits per byte against nats per token once gave multipliers of 1e51."""
    for name, frame in (("nats", table()), ("bits", table(seed=1).rename(columns={"loss": "bpb"}))):
        write(f"{name}.csv", frame.to_csv(index=False))
    out = refused("compare", "nats.csv", "bits.csv", "--bootstrap", "0", code="SC433")
    assert "other units: nats per token and nats per byte" in " ".join(out.stderr.split())


@pytest.mark.parametrize(
    ("options", "code"),
    [(["--law", "chinchila"], "SC004"), (["--group", "nothing"], "SC105"),
     (["--objective", "l1"], "SC004"), (["--where", "loss <"], "SC020"),
     (["--law", "precision"], "SC105")],
    ids=lambda x: " ".join(x) if isinstance(x, list) else x,
)  # fmt: skip
def test_tables_that_cannot_be_compared(refused, small_table, options, code):
    refused("compare", small_table, "--bootstrap", "0", *options, code=code)
