"""Plans are the same bytes on every machine and Python: their digests are kept here.

A digest changes only where a plan is meant to change; then finished sweeps do not continue, so say
so in the changelog.
"""

import hashlib

import pytest

from tests.planning.studies import TOKENS, planned

LM = {"data": {"source": "external"}, "study": {"target_flops": 1e19},
      "prior": {"noise": 0.004}, "engine": {"accelerator": "h100-sxm"}}  # fmt: skip
BUDGETS = [1e16, 3e16, 1e17, 3e17, 1e18]
DESIGNS = {
    "isoflop": {"kind": "isoflop", "budgets": BUDGETS, "sizes": 9, "seeds_at_smallest": 2},
    "grid": {"kind": "grid", "data": [1e9, 3e9], "budgets": BUDGETS},
    "ladder": {"kind": "ladder", "params": [1e7, 1e8], "multipliers": [0.3, 1.0, 3.0]},
    "sobol": {"kind": "sobol", "box": {"N": [1e7, 1e9], "C": [1e17, 1e19]}, "count": 32},
    "optimal": {"kind": "optimal", "box": {"C": [1e16, 1e18]}, "budget_flops": 3e18},
    "filled": {"kind": "isoflop", "budgets": BUDGETS, "sizes": 7, "budget_flops": 7.7e19},
}
RECIPES = ("porian-2024", "marin-2025", "nanochat-2026")
DIGESTS = {
    "isoflop": "11d0eadc0cc5e2d1",
    "grid": "f14e32b4b07eaeb2",
    "ladder": "9d4c04b0bda9542e",
    "sobol": "897b1980082500de",
    "optimal": "6749637eee00e9a3",
    "filled": "45942e6ff2b99950",
}


@pytest.mark.parametrize("name", DESIGNS)
def test_a_plan_is_the_same_bytes_everywhere(name):
    text = ""
    for recipe in RECIPES:
        model = {"context": 1024, "rule": "aspect", "options": {"head_width": 64}}
        plan = planned(DESIGNS[name], TOKENS, recipe={"name": recipe}, model=model, **LM)
        text += plan.to_jsonl() + plan.to_csv()
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == DIGESTS[name]
