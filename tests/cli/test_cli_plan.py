"""``scaling sweep plan`` and ``suggest``: budgets, prices, and what they print."""

import json
import tomllib

import pytest

import scaling as sc
from tests.cli.conftest import snapshot
from tests.planning.finished import finish

LM = """schema = 1
[study]
target_flops = 1e20
[data]
source = "external"
[model]
context = 1024
rule = "aspect"
[recipe]
name = "porian-2024"
[prior]
laws = [{published = "besiroglu-2024"}]
"""
ISOFLOP = LM + '[design]\nkind = "isoflop"\nbudgets = [1e17, 3e17, 1e18]\nsizes = 6\n'
GRID = LM + '[design]\nkind = "grid"\nparams = [2e7, 1e8]\ndata = [1e9, 4e9]\n'
OPTIMAL = LM + '[design]\nkind = "optimal"\ncount = 10\n'
BYTES = """schema = 1
[data]
source = "markov"
options = {symbols = 16, tokens = 400000, validation_tokens = 20000}
[design]
kind = "grid"
params = [4e3, 8e3]
data = [2e5, 4e5]
"""
NS, DS = ([low * 1.07**i for i in range(60)] for low in (1e7, 1e9))
MANY = LM + f'[design]\nkind = "grid"\nparams = {NS}\ndata = {DS}\n'


def narrow(text):
    """Lines of more than 80 columns; a mend is one line on purpose, so that it can be copied."""
    return [x for x in text.splitlines() if len(x) > 80 and not x.startswith("  mend: ")]


def warned(document, code):
    return [m for m in document["messages"] if m["code"] == code]


# ---------------------------------------------------------------------------------------- budgets


def test_a_design_is_filled_with_compute(write, document):
    write("s.toml", GRID)
    found = document("sweep", "plan", "s.toml", "--budget-flops", "5e19", "--json")
    spent = sum(p["C"] for p in found["points"])
    assert found["totals"]["C"] == pytest.approx(spent)
    assert 0.94 * 5e19 < spent <= 5e19
    (message,) = warned(found, "SC235")
    assert f"{spent:.4g} of 5e+19 FLOP" in message["text"]


def test_a_design_is_filled_with_hours_of_a_named_accelerator(write, document):
    write("s.toml", GRID)
    options = ("--accelerator", "h100-sxm", "--price-per-hour", "2.5", "--workers", "4")
    found = document("sweep", "plan", "s.toml", "--budget-gpu-hours", "100", *options, "--json")
    totals = found["totals"]
    assert 94 < totals["gpu_hours"] <= 100
    assert totals["money"] == pytest.approx(2.5 * totals["gpu_hours"], rel=1e-4)
    assert totals["seconds"] == pytest.approx(3600 * totals["gpu_hours"], rel=1e-4)
    assert totals["workers"] == 4
    longest = max(p["seconds"] for p in found["points"])  # four points on four workers
    assert totals["wall_seconds"] == pytest.approx(longest, rel=1e-3)
    assert warned(found, "SC225")


def test_options_come_before_what_the_file_says(write, document):
    write("s.toml", GRID + "budget_gpu_hours = 1.0\n[engine]\naccelerator = 't4'\n")
    found = document("sweep", "plan", "s.toml", "--budget-flops", "5e19", "--json")
    assert 0.94 * 5e19 < found["totals"]["C"] <= 5e19
    slow = found["totals"]["seconds"]
    fast = document("sweep", "plan", "s.toml", "--budget-flops", "5e19", "--accelerator",
                    "h100-sxm", "--json")["totals"]["seconds"]  # fmt: skip
    assert fast < slow / 5


def test_a_utilisation_sets_the_hours(write, document):
    write("s.toml", GRID)
    options = ("--accelerator", "h100-sxm", "--mfu", "0.5", "--no-preflight", "--json")
    totals = document("sweep", "plan", "s.toml", *options)["totals"]
    # 989.4e12 FLOP/s dense bf16, as NVIDIA rates it; no step of these is short enough to wait
    assert totals["gpu_hours"] == pytest.approx(totals["C"] / (0.5 * 989.4e12) / 3600, rel=2e-3)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--budget-gpu-hours", "5"), "SC236", "calibration"),
        (("--budget-flops", "1e3"), "SC236", "from"),
        (("--budget-flops", "1e19", "--budget-gpu-hours", "5"), "SC004", "one of the two"),
        (("--budget-flops", "0"), "SC004", "above 0"),
        (("--budget-flops", "nan"), "SC004", "above 0"),
        (("--budget-flops", "much"), "SC004", "a number"),
        (("--price-per-hour", "-1"), "SC004", "above 0"),
        (("--target-flops", "inf"), "SC004", "above 0"),
        (("--accelerator", "tpu-v9"), "SC012", "h100-sxm"),
        (("--calibration", "nowhere.json"), "SC005", "nowhere.json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_options_that_cannot_be_used_write_nothing(write, refused, options, code, words):
    write("s.toml", GRID)
    out = refused("sweep", "plan", "s.toml", "-o", "out", *options, code=code)
    assert words in out.stderr


def test_an_optimal_design_takes_its_budget_and_target_from_options(write, document, refused):
    write("s.toml", OPTIMAL.replace("target_flops = 1e20\n", ""))
    refused("sweep", "plan", "s.toml", "--budget-flops", "1e19", code="SC012")
    refused("sweep", "plan", "s.toml", "--target-flops", "1e21", code="SC012")
    found = document("sweep", "plan", "s.toml", "--budget-flops", "1e19", "--target-flops", "1e21",
                     "--json")  # fmt: skip
    assert 5 < len(found["points"]) <= 10
    assert found["totals"]["C"] <= 1e19
    assert found["preflight"]["target"] == 1e21


# ------------------------------------------------------------------------------------------- files


def test_a_dry_run_writes_nothing(write, scaling, tmp_path):
    write("s.toml", BYTES)
    before = snapshot(tmp_path)
    out = scaling("sweep", "plan", "s.toml", "-o", "out", "--dry-run")
    assert out.returncode == 0
    assert snapshot(tmp_path) == before
    assert "would write" in out.stderr
    assert "4 points" in out.stdout
    assert scaling("sweep", "plan", "s.toml", "-o", "out").stdout == out.stdout
    written = {p.name for p in (tmp_path / "out").iterdir()}
    assert written == {"plan.jsonl", "plan.csv", "study.json"}


def test_what_is_written_is_what_is_printed(write, document, tmp_path):
    write("s.toml", BYTES)
    found = document("sweep", "plan", "s.toml", "-o", "out", "--json")
    lines = (tmp_path / "out" / "plan.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == found["points"]


def test_the_machine_readable_form(write, document):
    write("s.toml", ISOFLOP)
    found = document("sweep", "plan", "s.toml", "--json")
    assert set(found) == {"schema", "points", "dropped", "totals", "rules", "messages",
                          "preflight"}  # fmt: skip
    assert found["schema"] == "scaling/plan@1"
    outlook = found["preflight"]
    assert set(outlook) == {"target", "level", "factor", "cost", "noise", "laws", "brackets",
                            "additions"}  # fmt: skip
    assert outlook["target"] == 1e20
    (law,) = outlook["laws"]
    assert law["source"] == "besiroglu-2024"
    assert law["fitted"] == "chinchilla"
    assert set(law["expected"]) == {"a", "N", "loss"}
    for e in law["expected"].values():
        assert e["low"] < e["truth"] < e["high"]
    assert [b["budget"] for b in outlook["brackets"]] == [1e17, 3e17, 1e18]
    assert all(b["chance"] > 0.95 for b in outlook["brackets"])
    assert {"N", "D", "C", "runs", "reduction"} == set(outlook["additions"][0])


def test_the_pre_flight_is_left_out_or_asked_for(write, document, refused):
    write("s.toml", ISOFLOP)
    assert "preflight" not in document("sweep", "plan", "s.toml", "--no-preflight", "--json")
    write("b.toml", BYTES)
    assert "preflight" not in document("sweep", "plan", "b.toml", "--json")
    refused("sweep", "plan", "b.toml", "--preflight", code="SC241")


# -------------------------------------------------------------------------------------------- text

TEXTS = {
    "isoflop": (ISOFLOP, ()),
    "priced": (ISOFLOP, ("--accelerator", "h100-sxm", "--price-per-hour", "2.5", "--workers", "8")),
    "filled": (ISOFLOP, ("--budget-flops", "1e25")),
    "hours": (ISOFLOP, ("--accelerator", "h100-sxm", "--budget-gpu-hours", "5e5")),
    "small": (BYTES, ()),
    "language models": (ISOFLOP.replace('laws = [{published = "besiroglu-2024"}]', ""), ()),
    "centre": (ISOFLOP.split("[prior]")[0] + ISOFLOP[ISOFLOP.index("[design]"):]
               + "center = {N = 3.21e7, C = 3.33e17, exponent = 0.456}\n", ()),
    "left out": (GRID + "max_epochs = 1.0\n"
                 + "[engine]\nmemory_gib = 3.0\n", ("--budget-flops", "1e21")),
    "optimal": (OPTIMAL, ("--budget-flops", "1e19")),
    "trunks": (GRID + "trunks = true\n", ()),
    "tuning": (GRID + "[tuning]\nsizes = [1e7, 2e7, 4e7]\ncheck = 1e8\n", ()),
    "off": (LM + '[design]\nkind = "isoflop"\nbudgets = [1e16, 1e17, 2e17, 3e17, 1e18, 3e18, 1e19]'
            "\nsizes = [3e8, 4e8, 5e8, 6e8]\n", ()),
    "many": (MANY, ("--no-preflight",)),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_text_is_eighty_columns_wide(write, scaling, name):
    content, options = TEXTS[name]
    write("s.toml", content)
    out = scaling("sweep", "plan", "s.toml", "--dry-run", *options)
    assert out.returncode == 0, out.stderr
    assert narrow(out.stdout) == []
    assert narrow(out.stderr) == []
    head = out.stdout.splitlines()[0].split()
    whole = ["budget", "N", "shape", "D", "D/N", "C", "batch", "steps", "lr", "seed", "time"]
    assert head == [column for column in whole if column in head]  # narrow screens lose some
    assert {"budget", "N", "D", "C", "steps", "lr", "seed", "time"} <= set(head)


def test_thousands_of_points_print_a_short_table(write, scaling):
    write("s.toml", MANY)
    out = scaling("sweep", "plan", "s.toml")
    lines = out.stdout.splitlines()
    assert len(lines) < 100
    assert "3600 points" in out.stdout
    (cut,) = (line for line in lines if "more:" in line)
    assert cut.startswith("… 3540 more")
    assert lines.index(cut) == 51  # below the head and fifty points
    assert "Pre-flight" not in out.stdout


def test_rows_of_several_groups_stand_under_their_names(write, scaling):
    variants = (
        '[[variant]]\nname = "old"\n[[variant]]\nname = "new"\nrecipe = { schedule = "1-sqrt" }\n'
    )
    write("s.toml", BYTES + variants)
    lines = scaling("sweep", "plan", "s.toml").stdout.splitlines()
    half = len(sc.plan(tomllib.loads(BYTES)))
    assert [lines.index("new:"), lines.index("old:")] == [1, half + 2]
    assert lines[2 : half + 2] == lines[half + 3 : 2 * half + 3]


def test_every_row_of_the_table_is_a_point(write, scaling):
    write("s.toml", BYTES)
    out = scaling("sweep", "plan", "s.toml")
    rows = [line.split() for line in out.stdout.splitlines()[1:5]]
    plan = sc.plan(tomllib.loads(BYTES))
    for row, p in zip(rows, plan, strict=True):
        shape = f"{p.shape['width']}x{p.shape['layers']}"
        assert row[:3] == [str(p.N), shape, str(p.D)]
        assert row[5:9] == [str(p.batch), str(p.steps), f"{p.lr:.3g}", "0"]


# ----------------------------------------------------------------------------------------- suggest


@pytest.fixture
def sweep(tmp_path):
    """A finished sweep in the test's folder."""
    return finish(tmp_path / "out", sc.plan(tomllib.loads(ISOFLOP)))


def test_suggestions_of_a_sweep(scaling, sweep, tmp_path):
    before = snapshot(tmp_path)
    out = scaling("sweep", "suggest", "out", "--count", "6")
    assert out.returncode == 0, out.stderr
    assert narrow(out.stdout) == narrow(out.stderr) == []
    assert snapshot(tmp_path) == before
    line = out.stdout[out.stdout.index("extra = [") :]
    extra = tomllib.loads(line)["extra"]
    assert 1 <= sum(seeds for _, _, seeds in extra) <= 6
    (tmp_path / "more.toml").write_text(ISOFLOP + line)
    more = scaling("sweep", "plan", "more.toml", "-o", "out")
    assert more.returncode == 0, more.stderr
    assert "SC304" not in more.stderr  # no run that is there leaves
    state = json.loads(scaling("sweep", "status", "out", "--json").stdout)["counts"]
    assert state["pending"] == sum(seeds for _, _, seeds in extra)


def test_suggestions_of_a_table(scaling, sweep, document):
    found = document("sweep", "suggest", "out/results.csv", "--budget-flops", "1e18", "--json")
    assert found["schema"] == "scaling/suggest@1"
    assert found["cost"] <= 1e18
    out = scaling("sweep", "suggest", "out/results.csv")
    assert narrow(out.stdout) == narrow(out.stderr) == []
    assert "extra" not in out.stdout


def test_suggestions_before_the_law_is_determined(scaling, tmp_path):
    finish(tmp_path / "out", sc.plan(tomllib.loads(ISOFLOP)), every=6)
    out = scaling("sweep", "suggest", "out")
    assert out.returncode == 0, out.stderr
    assert "SC243" in out.stderr
    assert narrow(out.stdout) == narrow(out.stderr) == []


@pytest.mark.parametrize(
    ("options", "code"),
    [(("--decision", "all-of-it"), "SC004"), (("--budget-flops", "-1"), "SC004"),
     (("--law", "nothing"), None), (("--budget-flops", "1"), "SC212")],
)  # fmt: skip
def test_suggestions_that_cannot_be_made(scaling, sweep, options, code):
    out = scaling("sweep", "suggest", "out", *options)
    assert out.returncode == 2
    assert "Traceback" not in out.stderr
    assert code is None or f"error[{code}]" in out.stderr
    assert out.stdout == ""
