"""Plans: what is asked for, exactly; a pure function of the study."""

import csv
import io
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import scaling as sc
from scaling.count import DECODER
from scaling.errors import ConfigError, OutputError, PlanError, ScalingError
from scaling.planning import recipes
from scaling.planning.make import make_plan
from scaling.planning.study import check_study
from scaling.runs.files import canonical_json
from scaling.runs.manifest import Manifest

ROOT = Path(__file__).parents[2]
DATA = Manifest("stdlib", "ab" * 32, 256, 10_000_000, 700_000, "bytes")
BUDGETS = [1e10, 2e10, 4e10]
CENTER = {"N": 1.3e4, "C": 1e10, "exponent": 0.5}
FIELDS = [
    "id", "group", "budget", "N", "N_body", "N_embedding", "N_head", "D", "C", "C_6nd", "shape",
    "batch", "lr", "steps", "seed", "trunk", "seconds",
]  # fmt: skip


def study(design, **sections):
    return check_study({"schema": 1, "data": {"source": "stdlib"}, "design": design, **sections})


def isoflop(**changes):
    return {"kind": "isoflop", "budgets": BUDGETS, "sizes": 6, "center": CENTER, "span": 3.0,
            **changes}  # fmt: skip


def grid(**changes):
    return {"kind": "grid", "params": [8e3, 3e4], "data": [2e5, 4e5], **changes}


def planned(design, manifest=DATA, inputs=None, **sections):
    return make_plan(study(design, **sections), manifest, inputs)


# --------------------------------------------------------------------------------------- isoFLOP


def test_compute_is_the_budget_up_to_half_a_step():
    for p in planned(isoflop()):
        assert abs(p.C / p.budget - 1) <= 0.5 / p.steps
        counts = DECODER.counts(p.shape)
        groups = (counts.body, counts.head, counts.embedding)
        assert (p.N_body, p.N_head, p.N_embedding) == groups
        assert p.N_body + p.N_head == p.N
        assert pytest.approx(counts.training * p.D, rel=1e-15) == p.C
        assert pytest.approx(6.0 * p.N * p.D, rel=1e-15) == p.C_6nd
        assert p.steps * p.batch == p.D
        assert p.batch == p.sequences * p.shape["context"]


def test_sizes_span_what_was_asked_evenly_around_the_centre():
    centre = {"N": 2e5, "C": 1e12, "exponent": 0.5}
    budgets = [1e12, 4e12]
    plan = planned(isoflop(budgets=budgets, center=centre))
    assert sorted({p.budget for p in plan}) == budgets
    for budget in budgets:
        logs = [math.log(p.N) for p in plan if p.budget == budget]
        middle = math.log(2e5) + 0.5 * math.log(budget / 1e12)
        wanted = [middle + math.log(3) * x for x in (-1, -0.6, -0.2, 0.2, 0.6, 1)]
        assert logs == pytest.approx(wanted, abs=0.07)


def test_listed_sizes_are_taken_at_every_budget():
    plan = planned({"kind": "isoflop", "budgets": BUDGETS, "sizes": [1e4, 3e4]})
    for budget in BUDGETS:
        sizes = [p.N for p in plan if p.budget == budget]
        assert sizes == pytest.approx([1e4, 3e4], rel=0.1)


def test_a_budget_missed_by_rounding_is_told():
    plan = planned(isoflop(budgets=[1.2e9], center={**CENTER, "N": 1.6e4, "C": 1.2e9}, span=1.8))
    worst = max(abs(p.C / p.budget - 1) for p in plan)
    assert ("SC207" in [m.code for m in plan.messages]) == (worst > 0.02)
    assert worst > 0.005


# ------------------------------------------------------------------------------------------ grids


def test_a_grid_has_every_pair_in_order():
    plan = planned(grid(seeds=2))
    assert [(p.N, p.D, p.seed) for p in plan] == sorted((p.N, p.D, p.seed) for p in plan)
    assert len(plan) == 8
    assert {p.budget for p in plan} == {None}
    for p in plan:
        assert min(abs(math.log(p.N / n)) for n in (8e3, 3e4)) < 0.25
        assert min(abs(p.D - d) for d in (2e5, 4e5)) <= p.batch / 2


@pytest.mark.parametrize("design", [isoflop(seeds_at_smallest=3), grid(seeds_at_smallest=3)])
def test_more_seeds_at_the_smallest_only(design):
    plan = planned(design)
    first = plan.points[0]
    several = {(p.budget, p.N, p.D) for p in plan if p.seed == 2}
    if design["kind"] == "grid":
        assert several == {(None, first.N, first.D)}
    else:
        assert {b for b, _, _ in several} == {min(BUDGETS)}
        assert len(several) == 6


def test_repeated_cells_are_planned_once_and_told():
    plan = planned(grid(params=[8e3, 8.001e3, 3e4]))
    assert len(plan) == 4
    assert len(plan.dropped) == 2
    assert {d["why"] for d in plan.dropped} == {"same shape and length as another cell"}
    assert "SC202" in [m.code for m in plan.messages]
    assert len({p.id for p in plan}) == 4


def test_data_repeat_where_they_must():
    plan = planned(grid(), Manifest("stdlib", "cd" * 32, 256, 100_001, 50_000, "few"))
    assert {p.D_unique for p in plan} == {100_000}
    for p in plan:
        assert p.epochs == pytest.approx(p.D / 100_000)
    assert "SC204" in [m.code for m in plan.messages]
    assert {p.epochs for p in planned(grid())} == {1.0}


# -------------------------------------------------------------------------------------- impossible


@pytest.mark.parametrize(
    "design",
    [
        isoflop(budgets=[1e3]),
        isoflop(budgets=[1e300]),
        isoflop(sizes=[1.0, 2.0]),
        isoflop(sizes=[1e15, 1e16]),
        grid(params=[10.0]),
        grid(data=[10.0]),
    ],
    ids=["budget too small", "budget too large", "sizes too small", "sizes too large",
         "grid size", "grid data"],
)  # fmt: skip
def test_a_design_that_nothing_fits_says_what_would(design):
    with pytest.raises(PlanError) as caught:
        planned(design)
    fault = caught.value.faults[0]
    assert (fault.code, caught.value.exit_code) == ("SC201", 2)
    assert "none of" in fault.found
    assert fault.mend
    smallest = float(re.search(r"N = (\d+)", fault.expected)[1])
    budget = float(re.search(r"from ([\d.e+]+) FLOP", fault.expected)[1])
    assert len(planned(isoflop(budgets=[budget * 1.1], sizes=[smallest, 1e5]))) == 1


def test_data_shorter_than_a_context_are_refused():
    with pytest.raises(ScalingError) as caught:
        planned(grid(), Manifest("stdlib", "cd" * 32, 256, 20, 20, "too few"))
    assert caught.value.exit_code == 2


def test_a_vocabulary_that_the_data_exceed_is_refused():
    with pytest.raises(PlanError) as caught:
        planned(grid(), model={"vocabulary": 100})
    assert "256" in caught.value.faults[0].expected


# ------------------------------------------------------------------------------------------ purity


def test_ids_are_hashes_that_name_everything_that_decides_the_result():
    base = planned(grid()).points[0]
    assert re.fullmatch(r"[0-9a-f]{16}", base.id)
    assert re.fullmatch(r"[0-9a-f]{16}", base.trunk)
    other = Manifest("stdlib", "ef" * 32, 256, 10_000_000, 700_000, "bytes")
    changes = [
        planned(grid(), other),
        planned(grid(), model={"context": 16}),
        planned(grid(), model={"layers": 3}),
        planned(grid(), recipe={"overrides": {"lr": 0.004}}),
        planned(grid(params=[9e3])),
        planned(grid(data=[3e5])),
    ]
    ids = [base.id, *(plan.points[0].id for plan in changes), planned(grid(seeds=2)).points[1].id]
    assert len(set(ids)) == len(ids)


def test_titles_engines_fits_and_seconds_do_not_enter_ids():
    base = [p.id for p in planned(grid())]
    sections = {
        "study": {"title": "other"},
        "engine": {"name": "debug", "workers": 7, "device": "cpu"},
        "fit": [{"law": "power-N"}],
    }
    assert [p.id for p in planned(grid(), **sections)] == base


def test_the_order_in_the_file_does_not_matter():
    one = planned(isoflop()).to_jsonl()
    assert planned(isoflop(budgets=BUDGETS[::-1] + BUDGETS[:1])).to_jsonl() == one
    assert planned(grid(params=[3e4, 8e3])).to_jsonl() == planned(grid()).to_jsonl()


def test_a_trunk_is_shared_by_lengths_and_by_nothing_else():
    plan = planned(grid(data=[2e5, 4e5, 8e5], seeds=2))
    trunks = {}
    for p in plan:
        assert p.steps >= 500
        trunks.setdefault(p.trunk, set()).add((p.N, p.seed))
    assert len(trunks) == 4
    assert all(len(found) == 1 for found in trunks.values())


PROGRAM = (
    "import sys, scaling as sc\nplan = sc.plan(sys.argv[1])\n"
    "sys.stdout.write(plan.to_jsonl() + plan.to_csv())"
)
FILE = """schema = 1
[data]
source = "markov"
options = {symbols = 8, tokens = 400000, validation_tokens = 20000}
[design]
kind = "grid"
params = [4e3, 8e3]
data = [2e5, 4e5]
"""


def test_the_same_study_is_the_same_plan_in_another_process(write):
    path = write("s.toml", FILE)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "3"}
    out = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], capture_output=True, env=env,
                         check=True)  # fmt: skip
    plan = sc.plan(path)
    assert out.stdout.decode() == plan.to_jsonl() + plan.to_csv()
    assert len(plan) == 4


def test_naming_a_default_of_the_data_keeps_the_ids():
    content = {
        "schema": 1,
        "data": {"source": "markov", "options": {"tokens": 4e5, "validation_tokens": 2e4}},
        "design": grid(),
    }
    first = [p.id for p in sc.plan(content)]
    content["data"]["options"] |= {"symbols": 64, "seed": 0, "concentration": 0.3}
    assert [p.id for p in sc.plan(content)] == first


# ------------------------------------------------------------------------------------------- files


def test_files_of_a_plan(tmp_path):
    plan = planned(isoflop())
    assert plan.write(tmp_path / "out") == []
    lines = (tmp_path / "out" / "plan.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [p.id for p in plan]
    assert all(line == canonical_json(json.loads(line)) for line in lines)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "plan.csv").read_text())))
    scalars = [name for name in FIELDS if name != "shape"]
    assert set(scalars) | set(plan.points[0].shape) <= set(rows[0])
    for row, p in zip(rows, plan, strict=True):
        assert row["id"] == p.id
        assert float(row["C"]) == p.C
        assert int(row["width"]) == p.shape["width"]
        assert row["seconds"] == ""
    assert json.loads((tmp_path / "out" / "study.json").read_text())["design"]["sizes"] == 6


def test_the_machine_readable_form():
    plan = planned(isoflop())
    data = json.loads(json.dumps(plan.as_dict(), allow_nan=False))
    assert data["schema"] == "scaling/plan@1"
    assert set(FIELDS) <= set(data["points"][0])
    assert data["totals"]["points"] == len(plan) == len(data["points"])
    assert data["totals"]["C"] == pytest.approx(sum(p.C for p in plan))
    assert data["totals"]["seconds"] is None
    assert {"code", "text"} <= set(data["messages"][0])


def test_another_plan_in_the_folder_is_told(tmp_path):
    planned(grid()).write(tmp_path)
    assert planned(grid()).write(tmp_path) == []
    (message,) = planned(grid(data=[4e5, 8e5])).write(tmp_path)
    assert message.code == "SC304"
    assert "2 points are shared" in message.text
    assert "2 of the old" in message.text


def test_a_file_that_is_no_plan_is_not_replaced(tmp_path):
    (tmp_path / "plan.jsonl").write_text("precious\n")
    with pytest.raises(OutputError) as caught:
        planned(grid()).write(tmp_path)
    assert caught.value.code == "SC002"
    assert [p.name for p in tmp_path.iterdir()] == ["plan.jsonl"]
    assert (tmp_path / "plan.jsonl").read_text() == "precious\n"


@pytest.mark.parametrize("name", ["quickstart", "known-truth"])
def test_smoke_shrinks_the_sweeps(name):
    path = ROOT / "sweeps" / f"{name}.toml"
    full, small = sc.plan(path), sc.plan(path, smoke=True)
    assert 6 <= len(small) <= len(full)
    assert small.totals["C"] < full.totals["C"] / 20
    assert not {p.id for p in small} & {p.id for p in full}


# ----------------------------------------------------------------------------------------- recipes


@pytest.mark.parametrize(
    "overrides",
    [
        {"lrr": 1.0},
        {"lr": -1.0},
        {"lr": 0.0},
        {"lr": math.nan},
        {"lr": math.inf},
        {"sequences": 1.5},
        {"sequences": 0.0},
        {"sequences": math.nan},
        {"sequences": math.inf},
        {"beta1": 1.5},
        {"decay": 1.5},
    ],
    ids=str,
)
def test_overrides_that_cannot_be_meant(overrides):
    with pytest.raises(ConfigError) as caught:
        recipes.get("bytes-small", overrides)
    assert caught.value.code in ("SC011", "SC012")
    assert next(iter(overrides)) in caught.value.faults[0].where


def test_an_unknown_recipe():
    with pytest.raises(ConfigError) as caught:
        recipes.get("bytes-large", {})
    assert "bytes-small" in caught.value.faults[0].expected


def test_overrides_stand_in_the_name_of_recipe_and_group():
    point = planned(grid(), recipe={"overrides": {"lr": 0.004}}).points[0]
    assert "lr=0.004" in point.recipe
    assert point.lr == 0.004
    assert point.group == f"stdlib/{point.recipe}"


def test_the_rate_falls_with_size_and_not_with_length():
    plan = planned(grid(params=[8e3, 3e4, 1e5], data=[2e5, 8e5]))
    rates = {}
    for p in plan:
        rates.setdefault(p.N, set()).add(p.lr)
    assert all(len(found) == 1 for found in rates.values())
    ordered = [rates[n].pop() for n in sorted(rates)]
    assert ordered == sorted(ordered, reverse=True)
    assert ordered[-1] < ordered[0]


@pytest.mark.parametrize("overrides", [{}, {"warmup_steps": 0.0}, {"decay": 0.0}], ids=str)
@pytest.mark.parametrize("steps", [20, 1000])
def test_every_step_of_a_schedule_has_a_rate(overrides, steps):
    schedule = pytest.importorskip("scaling.training.schedule")
    optimizer = recipes.get("bytes-small", overrides).resolve(10_000, steps)
    rates = [schedule.learning_rate(k, steps, optimizer) for k in range(steps)]
    assert all(0 < rate <= optimizer["lr"] for rate in rates)
    assert max(rates) == optimizer["lr"]
