"""What plans say and refuse for the sake of stages, belief, cost and recipe."""

import numpy as np
import pytest

from scaling.errors import ConfigError, PlanError
from scaling.laws.cost import SIX_ND, Cost
from scaling.planning.choosing.prior import about_center
from scaling.planning.preflight import decisions, preflight
from scaling.planning.sizes import cost_through
from scaling.runs.manifest import resolve
from tests.planning.studies import TOKENS, codes, fault_of, planned, study, text_of

GRID = {"kind": "grid", "params": [1e7, 3e7, 1e8], "data": [1e9, 3e9, 1e10]}
ISOFLOP = {"kind": "isoflop", "budgets": [1e17, 3e17, 1e18], "sizes": 7}
LM = {"data": {"source": "external"}, "model": {"context": 1024, "rule": "aspect"},
      "recipe": {"name": "porian-2024"}}  # fmt: skip
VIT = {"data": {"source": "external"}, "model": {"family": "vit"},
       "recipe": {"name": "bytes-small"}}  # fmt: skip
CENTER = {"N": 2e6, "C": 1e17, "exponent": 0.45}


# -------------------------------------------------------------------------------- what C counts


def test_a_power_law_stands_for_counted_cost_where_6nd_is_far_off():
    size = np.geomspace(1e5, 1e7, 9)
    assert cost_through(size, 11.0 * size) == SIX_ND
    found = cost_through(size, 4e3 * size**0.9)
    assert found.compute(1e6, 1e9) == pytest.approx(4e3 * 1e6**0.9 * 1e9, rel=1e-3)


@pytest.mark.parametrize("cost", [SIX_ND, Cost("counted", "4000*N**0.9*D")])
def test_the_law_about_a_centre_has_its_optimum_there_under_its_cost(cost):
    prior = about_center(2e6, 1e17, 0.45, cost=cost)
    truth = prior.truths[0]
    own = {name: np.array([value]) for name, value in truth.params.items()}
    for factor in (0.1, 1.0, 30.0):
        found = decisions(truth.law, own, 1e17 * factor, cost)
        assert found["N"][0] == pytest.approx(2e6 * factor**0.45, rel=1e-6)
        assert found["a"][0] == pytest.approx(0.45, rel=1e-6)


def test_images_are_judged_by_what_they_cost():
    plan = planned({**ISOFLOP, "center": CENTER}, TOKENS, study={"target_flops": 1e19}, **VIT)
    assert plan.cost.name == "counted"
    assert "SC246" in codes(plan)
    counted = plan.cost.compute(*(np.array([getattr(p, k) for p in plan]) for k in ("N", "D")))
    assert counted == pytest.approx([p.C for p in plan], rel=0.1)
    found = preflight(plan, studies=60)
    assert min(found.brackets.values()) > 0.9
    expected = found.outlooks[0].expected["N"]
    assert expected.low < 2e6 * 100**0.45 < expected.high
    text = planned({**ISOFLOP, "center": CENTER}, TOKENS, **LM)
    assert text.cost == SIX_ND
    assert "SC246" not in codes(text)


def test_models_of_images_need_a_belief_of_their_own():
    fault = fault_of(planned, {**GRID, "params": [2e6, 8e6]}, TOKENS, prior={"noise": 0.01}, **VIT)
    assert "language models" in fault.found


def test_the_default_belief_is_named():
    plan = planned(GRID, TOKENS, prior={"noise": 0.004}, **LM)
    assert "language models" in text_of(plan, "SC214")
    given = {"laws": [{"published": "besiroglu-2024"}]}
    assert "SC214" not in codes(planned(GRID, TOKENS, prior=given, **LM))


def test_noise_grows_from_the_largest_run_of_the_design():
    prior = {"noise": 0.01, "noise_growth": 0.2, "laws": [{"published": "besiroglu-2024"}]}
    noise = planned(GRID, TOKENS, prior=prior, **LM).prior.truths[0].noise
    assert noise.compute == pytest.approx(6e18)
    assert noise.total(np.array([1e8]), np.array([1e10])) == pytest.approx(0.01)
    assert noise.total(np.array([1e7]), np.array([1e9])) == pytest.approx(0.01 * 100**0.2)


def test_recipes_of_tokens_are_told_where_examples_are_counted():
    model = {**VIT, "recipe": {"name": "porian-2024"}}
    plan = planned({**ISOFLOP, "center": CENTER}, TOKENS, **model)
    assert "SC247" in codes(plan)
    assert "SC247" not in codes(planned({**ISOFLOP, "center": CENTER}, TOKENS, **VIT))


# ------------------------------------------------------------------------------------ pre-flight


def test_a_second_fit_that_holds_the_truth_is_enough():
    laws = [{"law": "coupled", "params": {"E": 1.8, "A": 2.3e4, "B": 9.8e4, "alpha": 0.75,
                                          "beta": 0.8, "k": 0.45}}]  # fmt: skip
    design = {**ISOFLOP, "budgets": [1e16, 1e17, 1e18], "sizes": 9, "span": 8.0}
    sections = {"prior": {"laws": laws, "noise": 0.004}, "study": {"target_flops": 1e19}, **LM}
    alone = preflight(planned(design, TOKENS, **sections), studies=60)
    assert "SC244" in [m.code for m in alone.messages]
    both = planned(design, TOKENS, fit=[{}, {"law": "coupled"}], **sections)
    held = preflight(both, studies=60)
    assert held.outlooks[0].held_by == "coupled"
    assert "SC244" not in [m.code for m in held.messages]


def test_a_target_far_beyond_the_runs_is_told():
    laws = {"laws": [{"published": "besiroglu-2024"}]}
    near = preflight(planned(GRID, TOKENS, prior=laws, **LM), studies=20)
    assert near.factor == pytest.approx(10.0, rel=1e-3)
    far = preflight(planned(GRID, TOKENS, prior=laws, **LM), target=1e22, studies=20)
    assert "SC248" in [m.code for m in far.messages]
    assert "SC248" not in [m.code for m in near.messages]


# ---------------------------------------------------------------------------------------- stages


def tuned(**changes):
    section = {"sizes": [1e4, 2e4, 4e4], "ratio": 100.0, **changes}
    return planned({"kind": "grid", "params": [1e4, 5e4], "data": [1e6]}, tuning=section)


def test_a_tuning_stage_says_what_it_costs():
    plan = tuned()
    stage = planned({"kind": "grid", "params": [1e4, 5e4], "data": [1e6]}, stage="tune",
                    tuning={"sizes": [1e4, 2e4, 4e4], "ratio": 100.0})  # fmt: skip
    compute = sum(p.C for p in stage)
    assert f"15 tuning runs of {compute:.4g} FLOP" in text_of(plan, "SC238")


@pytest.mark.parametrize(
    ("changes", "where"),
    [({"sizes": [1e4, 1.01e4, 1.02e4]}, "sizes"), ({"check": 1e12}, "check"),
     ({"ratio": 1e-3}, "sizes")],
)  # fmt: skip
def test_a_stage_that_could_never_settle_is_refused_before_it_runs(changes, where):
    with pytest.raises(PlanError) as caught:
        tuned(**changes)
    assert caught.value.code == "SC217"
    assert where in caught.value.faults[0].where


def test_a_budget_pays_for_the_tuning_too():
    design = {"kind": "grid", "params": [1e4, 5e4], "data": [1e6], "budget_flops": 2e13}
    bare = planned(design)
    section = {"sizes": [1e4, 2e4, 4e4], "ratio": 100.0}
    spent = sum(p.C for p in planned(design, tuning=section))
    stage = float(text_of(planned(design, tuning=section), "SC238").split(" of ")[1].split()[0])
    assert 0 < stage < 2e13
    assert spent + stage <= 2e13
    assert spent < sum(p.C for p in bare)
    fault = fault_of(planned, {**design, "budget_flops": 1e12}, tuning=section)
    assert (fault.code, "tuning" in fault.found) == ("SC236", True)


def test_an_optimal_design_pays_for_the_tuning_too():
    design = {"kind": "optimal", "box": {"C": [1e16, 1e18]}, "budget_flops": 3e18}
    section = {"sizes": [1e7, 2e7, 4e7], "ratio": 20.0}
    told = {**LM, "study": {"target_flops": 1e19}, "prior": {"noise": 0.004}}
    plan = planned(design, TOKENS, tuning=section, **told)
    stage = float(text_of(plan, "SC238").split(" of ")[1].split()[0])
    spent = sum(p.C for p in plan)
    assert 0.1 * 3e18 < stage < 3e18
    assert 0.9 * (3e18 - stage) < spent <= 3e18 - stage


# -------------------------------------------------------------------------------------- refusals


def test_runs_that_only_warm_up_are_left_out():
    """A warm-up of N units, 64 x 1024 a step, is 305 steps at N = 2e7; the shorter run has 198."""
    recipe = {"name": "olmo-wsds-2025", "overrides": {"sequences": 64.0}}
    design = {"kind": "grid", "params": [2e7], "data": [1.3e7, 1.3e8]}
    plan = planned(design, TOKENS, **{**LM, "recipe": recipe})
    assert [p.steps > 1900 for p in plan] == [True]
    assert "warms up for" in plan.dropped[0]["why"]


@pytest.mark.parametrize("design", [{**GRID, "seeds": 10**6}, {**GRID, "extra": [[1e7, 1e9, 1e9]]}])
def test_designs_that_no_machine_could_hold_are_refused(design):
    fault = fault_of(planned, design, TOKENS, **LM)
    assert fault.code == "SC012"
    assert "1,000,000" in fault.expected


def test_noise_of_more_than_half_the_loss_is_refused():
    with pytest.raises(ConfigError):
        study(GRID, prior={"noise": 9.0})


def test_cells_that_are_left_out_are_rounded():
    plan = planned({**ISOFLOP, "budgets": [1e9, 1e17], "center": CENTER}, TOKENS, **LM)
    assert plan.dropped
    for cell in plan.dropped:
        assert cell["N"] == float(f"{cell['N']:.6g}")


# ------------------------------------------------------------------------------ shapes and data


def test_shapes_that_nobody_trains_are_told():
    design = {"kind": "grid", "params": [3e7, 3e8], "data": [1e9]}
    flat = planned(design, TOKENS, data={"source": "external"}, model={"context": 1024})
    assert "2 deep" in text_of(flat, "SC250")
    model = {"context": 1024, "rule": "aspect", "options": {"head_width": 64, "width_step": 64}}
    assert "SC250" not in codes(planned(design, TOKENS, **{**LM, "model": model}))
    assert "SC250" not in codes(planned({"kind": "grid", "params": [1e4, 5e4], "data": [1e6]}))


def test_the_rule_of_the_shapes_is_named_even_where_it_is_the_default():
    rules = planned({"kind": "grid", "params": [1e4], "data": [1e6]}).rules
    assert any(rule.startswith("shapes: width:") for rule in rules)


def test_what_is_assumed_of_external_data_is_told():
    assert "vocabulary = 5.03e+04" in text_of(planned(GRID, TOKENS, **LM), "SC251")
    named = {"source": "external", "options": {"tokens": 1e12, "vocabulary": 50304}}
    assert "SC251" not in codes(planned(GRID, TOKENS, **{**LM, "data": named}))


def test_data_that_are_just_enough_are_used_up_to_whole_steps():
    """D = tokens at one epoch: the last step would reach beyond the data, so it is left out."""
    small = resolve("external", {"tokens": 3e9})
    design = {"kind": "grid", "params": [1e7, 1e8], "data": [1e9, 3e9], "max_epochs": 1.0}
    plan = planned(design, small, **LM)
    assert plan.dropped == ()
    for p in plan:
        assert p.D <= 3e9
        assert min(abs(p.D - d) for d in (1e9, 3e9)) <= p.batch
        assert p.epochs == 1.0
    fault = fault_of(planned, {**design, "data": [3.1e9]}, small, **LM)
    assert "epochs" in fault.found


def test_a_budget_that_cannot_be_spent_is_a_warning():
    plan = planned({**GRID, "budget_flops": 1e30}, TOKENS, **LM)
    (message,) = (m for m in plan.messages if m.code == "SC235")
    assert message.severity == "warning"
    assert "No larger form" in message.text
