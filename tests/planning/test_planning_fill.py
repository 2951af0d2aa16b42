"""A budget is spent: designs stretched to their cost, and optimal ones chosen within it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import scaling as sc
from scaling.planning.fill import scaled
from scaling.planning.sections import DesignSection
from tests.planning.studies import TOKENS, codes, fault_of, planned, text_of

ROOT = Path(__file__).parents[2]
CENTER = {"N": 3e7, "C": 1e17, "exponent": 0.4}
MODEL = {"context": 1024}
LM = {
    "data": {"source": "external"},
    "model": {"context": 1024, "rule": "aspect", "options": {"aspect": 64}},
    "recipe": {"name": "gadre-2024", "overrides": {"sequences": 64, "warmup_steps": 100}},
}
PRIOR = {"laws": [{"published": "besiroglu-2024"}]}
DESIGNS = {
    "isoflop": {"kind": "isoflop", "budgets": [1e17, 3e17, 1e18], "sizes": 6, "center": CENTER},
    "listed sizes": {"kind": "isoflop", "budgets": [1e18, 3e18], "sizes": [2e7, 4e7, 8e7],
                     "center": CENTER},
    "grid": {"kind": "grid", "params": [2e7, 5e7], "data": [1e9, 4e9], "center": CENTER},
    "ladder": {"kind": "ladder", "params": [2e7, 5e7], "multipliers": [0.5, 1.0],
               "center": CENTER},
    "ladder of budgets": {"kind": "ladder", "budgets": [1e17, 1e18], "multipliers": [0.5, 1.0],
                          "center": CENTER},
    "ladder of a ratio": {"kind": "ladder", "params": [2e7, 5e7], "ratio": 20.0,
                          "center": CENTER},
    "l-shape": {"kind": "l-shape", "params": [2e7, 5e7], "data": [1e9, 4e9], "center": CENTER},
    "sobol": {"kind": "sobol", "box": {"N": [2e7, 2e8], "C": [1e17, 1e18]}, "count": 12,
              "center": CENTER},
    "ratio": {"kind": "ratio", "params": [2e7, 5e7, 1e8], "ratio": 20.0, "center": CENTER},
    "points": {"kind": "points", "points": [[2e7, 1e9, 2], [1e8, 2e9]],
               "extra": [[5e7, 1e9]], "center": CENTER},
}  # fmt: skip


def total(plan):
    return sum(p.C for p in plan)


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("share", [0.1, 0.9, 7.0, 100.0])
def test_a_budget_of_compute_is_spent_and_ratios_stay(name, share):
    design = {key: value for key, value in DESIGNS[name].items() if key != "extra"}
    plain = planned(design, TOKENS, **LM)
    budget = float(f"{share * total(plain):.5g}")
    plan = planned({**design, "budget_flops": budget}, TOKENS, **LM)
    assert total(plan) <= budget
    assert total(plan) == pytest.approx(budget, rel=0.06)  # N moves in the steps of its shapes
    said = text_of(plan, "SC235")
    factor = float(said.split(", ")[1].split(" times ")[0])
    assert factor == pytest.approx(total(plan) / total(plain), rel=1e-3)
    assert f"{total(plan):.4g} of {budget:.4g} FLOP" in said
    assert len(plan) == len(plain)
    ratios = np.array([p.C for p in plan]) / np.array([p.C for p in plain])
    assert ratios == pytest.approx(factor, rel=0.25)  # of each run, whose N is a shape's
    assert np.exp(np.log(ratios).mean()) == pytest.approx(factor, rel=0.1)
    if plain.points[0].budget is not None:
        for p, q in zip(plan, plain, strict=True):
            assert p.budget == pytest.approx(factor * q.budget, rel=1e-3)


def test_every_list_of_a_design_is_moved_along_the_optimum():
    design = DesignSection(
        kind="points", budgets=[1e10], params=[2e4], data=[3e6], sizes=[5e4],
        points=[[1e4, 2e6, 3]], extra=[[1e3, 1e6]], box={"N": [1e4, 1e5], "C": [1e10, 1e12]},
    )  # fmt: skip
    found = scaled(design, 100.0, 0.25)
    by_n, by_d = 100**0.25, 100**0.75
    assert found.budgets == pytest.approx([1e12])
    assert found.params == pytest.approx([2e4 * by_n], rel=1e-5)
    assert found.data == pytest.approx([3e6 * by_d], rel=1e-5)
    assert found.sizes == pytest.approx([5e4 * by_n], rel=1e-5)
    assert found.points[0] == pytest.approx([1e4 * by_n, 2e6 * by_d, 3], rel=1e-5)
    assert found.extra == design.extra  # what was suggested for finished runs stays
    assert found.box.N == pytest.approx([1e4 * by_n, 1e5 * by_n], rel=1e-5)
    assert found.box.C == pytest.approx([1e12, 1e14])
    assert found.box.D is None


@pytest.mark.parametrize("hours", [0.5, 20.0, 3000.0])
@pytest.mark.parametrize("name", ["isoflop", "grid", "sobol"])
def test_a_budget_of_hours_on_a_named_accelerator_is_spent(name, hours):
    engine = {"accelerator": "h100-sxm", "workers": 4}
    design = {**DESIGNS[name], "budget_gpu_hours": hours}
    plan = planned(design, TOKENS, engine=engine, **LM)
    spent = sum(p.seconds for p in plan) / 3600.0
    assert spent <= hours * 1.001  # seconds are kept to four digits
    assert spent == pytest.approx(hours, rel=0.06)
    assert plan.total.gpu_hours.value == pytest.approx(spent, rel=1e-3)
    assert f"of {hours:.4g} device hours" in text_of(plan, "SC235")
    assert "SC225" in codes(plan)


def test_hours_without_a_price_are_refused():
    for design in (DESIGNS["grid"], {"kind": "optimal", "center": CENTER}):
        fault = fault_of(
            planned, {**design, "budget_gpu_hours": 5.0}, TOKENS, study={"target_flops": 1e20}, **LM
        )
        assert fault.code == "SC236"
        assert "calibration" in fault.expected


@pytest.mark.parametrize("name", ["isoflop", "grid", "points"])
def test_a_budget_for_which_nothing_can_be_trained_is_refused_with_the_least(name):
    fault = fault_of(planned, {**DESIGNS[name], "budget_flops": 1e3}, TOKENS, **LM)
    assert fault.code == "SC236"
    assert "1000 FLOP" in fault.found
    least = float(fault.expected.split("from ")[1].split(" FLOP")[0])
    design = {key: value for key, value in DESIGNS[name].items() if key != "extra"}
    enough = planned({**design, "budget_flops": 1.1 * least}, TOKENS, **LM)
    assert 0 < total(enough) <= 1.1 * least


def test_extra_points_come_on_top_of_a_budget_and_stay_what_they_are():
    """Suggestions that are pasted into a scaled design leave its finished runs in the plan."""
    design = {**DESIGNS["isoflop"], "budget_flops": 2e19}
    before = {p.id for p in planned(design, TOKENS, **LM)}
    after = planned({**design, "extra": [[3e7, 2e9, 2]]}, TOKENS, **LM)
    new = [p for p in after if p.id not in before]
    assert before < {p.id for p in after}
    assert [(p.seed, p.budget) for p in new] == [(0, None), (1, None)]
    assert all(p.D == pytest.approx(2e9, rel=0.01) for p in new)


def test_most_of_a_design_must_survive_its_scaling():
    """A budget at which only a few of its points can be trained is refused, not filled."""
    plain = planned(DESIGNS["isoflop"], TOKENS, **LM)
    fault = fault_of(planned, {**DESIGNS["isoflop"], "budget_flops": 1e13}, TOKENS, **LM)
    least = float(fault.expected.split("from ")[1].split(" FLOP")[0])
    assert fault.code == "SC236"
    assert least > 1e13
    found = planned({**DESIGNS["isoflop"], "budget_flops": 1.1 * least}, TOKENS, **LM)
    assert len(found) >= 0.9 * len(plain) - 1


def test_runs_that_coincide_are_paid_once():
    """Four sizes that are two shapes: the budget is that of the points, not of the cells."""
    design = {"kind": "grid", "params": [8e3, 8.001e3, 3e4, 3.0002e4], "data": [2e5, 8e5]}
    plain = planned(design)
    assert len(plain) == 4
    budget = 2.0 * total(plain)
    plan = planned({**design, "budget_flops": budget})
    assert total(plan) <= budget
    assert total(plan) == pytest.approx(budget, rel=0.1)
    assert f"{total(plan):.4g} of" in text_of(plan, "SC235")


def test_runs_that_do_not_fit_into_memory_are_not_paid_for():
    engine = {"memory_gib": 20.0}
    design = {"kind": "grid", "params": [1e8, 2e9], "data": [1e10]}
    assert len(planned(design, TOKENS, engine=engine, **LM)) == 1
    plan = planned({**design, "budget_flops": 2e20}, TOKENS, engine=engine, **LM)
    assert total(plan) <= 2e20
    assert total(plan) == pytest.approx(2e20, rel=0.1)
    assert f"{total(plan):.4g} of" in text_of(plan, "SC235")


def test_trunks_are_paid_once():
    design = {**DESIGNS["grid"], "trunks": True, "budget_flops": 1e19}
    plan = planned(design, TOKENS, **LM | {"recipe": {"name": "olmo-wsds-2025"}})
    assert plan.total.flops <= 1e19
    assert plan.total.flops == pytest.approx(1e19, rel=0.06)
    assert total(plan) > 1.05 * plan.total.flops


# ----------------------------------------------------------------------------------------- optimal

OPTIMAL = {"kind": "optimal", "count": 14, "budget_flops": 3e18, "box": {
    "N": [3e6, 3e8], "C": [1e15, 1e18]}}  # fmt: skip
TARGET = {"target_flops": 1e20}


@pytest.mark.parametrize("decision", ["all", "size", "loss", "exponent"])
def test_an_optimal_design_keeps_its_limits(decision):
    plan = planned({**OPTIMAL, "decision": decision}, TOKENS, study=TARGET, prior=PRIOR, **LM)
    assert 5 < len(plan) <= 14
    assert 0.5 * 3e18 < total(plan) <= 3e18
    for p in plan:
        assert 3e6 * (1 - 1e-9) <= p.N <= 3e8 * (1 + 1e-9)
        # C of the box is asked for; what is realised is a whole number of steps from it
        assert 1e15 * 0.98 <= p.C <= 1e18 * 1.02
    assert not [d for d in plan.dropped if "same shape" in d["why"]]
    assert planned({**OPTIMAL, "decision": decision}, TOKENS, study=TARGET, prior=PRIOR,
                   **LM).to_jsonl() == plan.to_jsonl()  # fmt: skip


def test_an_optimal_design_takes_no_run_that_does_not_fit_into_memory():
    sections = {"study": TARGET, "prior": PRIOR, **LM}
    free = planned(OPTIMAL, TOKENS, **sections)
    limit = max(p.memory for p in free) / 2**30 / 32
    small = planned(OPTIMAL, TOKENS, engine={"memory_gib": limit}, **sections)
    assert max(p.memory for p in small) <= limit * 2**30
    assert not [d for d in small.dropped if "GiB" in d["why"]]
    assert max(p.N for p in small) < max(p.N for p in free)
    assert 0.5 * 3e18 < total(small) <= 3e18


@pytest.mark.parametrize("budget", [{"budget_flops": 3e18}, {"budget_gpu_hours": 3.0}], ids=str)
def test_an_optimal_design_of_branches_pays_for_trunks_once(budget):
    design = {k: v for k, v in OPTIMAL.items() if k != "budget_flops"}
    plan = planned({**design, **budget, "trunks": True}, TOKENS, study=TARGET, prior=PRIOR,
                   engine={"accelerator": "a100-80"},
                   **LM | {"recipe": {"name": "olmo-wsds-2025"}})  # fmt: skip
    (most,) = budget.values()
    cost = plan.total.flops if "budget_flops" in budget else plan.total.gpu_hours.value
    assert 0.5 * most < cost <= most * (1 + 1e-9)
    assert len({p.trunk for p in plan}) < len(plan) <= 14


def test_an_optimal_design_in_hours():
    design = {k: v for k, v in OPTIMAL.items() if k != "budget_flops"} | {"budget_gpu_hours": 2.0}
    engine = {"accelerator": "a100-80"}
    plan = planned(design, TOKENS, study=TARGET, prior=PRIOR, engine=engine, **LM)
    assert 1.0 < plan.total.gpu_hours.value <= 2.0
    assert len(plan) <= 14


def test_an_optimal_design_tells_more_than_a_grid_of_its_cost():
    from scaling.planning.choosing.information import Runs, precision

    grid = {"kind": "isoflop", "budgets": [1e17, 3e17, 1e18], "sizes": 5, "span": 4.0}
    plain = planned(grid, TOKENS, prior=PRIOR, **LM)
    box = {"N": [min(p.N for p in plain), max(p.N for p in plain)], "C": [1e17, 1e18]}
    design = {"kind": "optimal", "count": 15, "budget_flops": total(plain), "box": box}
    best = planned(design, TOKENS, study=TARGET, prior=PRIOR, **LM)
    truth = best.prior.truths[0]
    ours, theirs = (
        precision(truth, Runs(*(np.array([getattr(p, k) for p in plan], float) for k in "ND")),
                  1e20).se
        for plan in (best, plain)
    )  # fmt: skip
    assert total(best) <= total(plain)
    for name in ("a", "ln N*", "ln loss"):
        assert ours[name] < 0.95 * theirs[name]


FILE = """schema = 1
[study]
target_flops = 1e20
[data]
source = "external"
[model]
context = 1024
rule = "aspect"
[design]
kind = "optimal"
count = 12
budget_flops = 3e18
[prior]
laws = [{published = "besiroglu-2024"}, {published = "hoffmann-2022"}]
[recipe]
name = "gadre-2024"
"""
PROGRAM = "import sys, scaling as sc\nsys.stdout.write(sc.plan(sys.argv[1]).to_jsonl())"


def test_an_optimal_plan_is_the_same_bytes_in_other_processes(write):
    path = write("s.toml", FILE)
    texts = {sc.plan(path).to_jsonl()}
    for seed, threads in (("1", "1"), ("77", "2")):
        env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed,
               "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}  # fmt: skip
        out = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], capture_output=True,
                             env=env, check=True)  # fmt: skip
        texts.add(out.stdout.decode())
    assert len(texts) == 1
    assert 5 < len(texts.pop().splitlines()) <= 12
