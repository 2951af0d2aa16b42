"""Every kind of design asks for the cells that its description says, by hand or independently."""

import math
import re

import numpy as np
import pytest

from scaling import count
from scaling.planning import designs
from scaling.planning.designs import Ground
from scaling.planning.sections import Box, Center, DesignSection
from scaling.planning.sizes import Sizes
from tests.planning.studies import BYTES, TOKENS, codes, fault_of, planned, text_of

OPTIONS = {"vocabulary": 256, "context": 32}
SIZES = Sizes.of(count.DECODER, OPTIONS)
LARGE = {"context": 1024, "rule": "aspect"}
CENTER = Center(N=1e5, C=1e12, exponent=0.4)


def believed(budgets):
    """N* of `CENTER`, by its definition."""
    return 1e5 * (budgets / 1e12) ** 0.4


def cells(kind, **keys):
    """Return the cells of a design as tuples (N, D, budget, seed)."""
    found = designs.cells(DesignSection(kind=kind, **keys), Ground(SIZES, believed))
    columns = (found.N, found.D, found.budget, found.seed)
    assert (found.factor == 1.0).all()
    return list(zip(*(c.tolist() for c in columns), strict=True)), found


def same(found, wanted):
    """Compare cells whose NaN mean that a number follows from the others."""
    np.testing.assert_allclose(np.array(found), np.array(wanted, float), rtol=1e-12)


NAN = math.nan


# ------------------------------------------------------------------------------------------ kinds


def test_isoflop_lays_sizes_evenly_in_the_logarithm_around_the_belief():
    found, _ = cells("isoflop", budgets=[4e12, 1e12], sizes=5, span=16.0)
    wanted = [
        (believed(c) * f, NAN, c, 0) for c in (1e12, 4e12) for f in (1 / 16, 0.25, 1.0, 4.0, 16.0)
    ]
    same(found, wanted)


def test_isoflop_takes_listed_sizes_in_order_and_once():
    found, _ = cells("isoflop", budgets=[1e12], sizes=[3e4, 1e4, 3e4], seeds=2)
    same(found, [(n, NAN, 1e12, s) for n in (1e4, 3e4) for s in (0, 1)])


def test_grids_of_two_lists_are_all_pairs():
    found, _ = cells("grid", params=[2e4, 1e4], data=[1e6, 5e5])
    same(found, [(n, d, NAN, 0) for n in (1e4, 2e4) for d in (5e5, 1e6)])
    found, _ = cells("grid", params=[2e4, 1e4], budgets=[1e12, 5e11])
    same(found, [(n, NAN, c, 0) for c in (5e11, 1e12) for n in (1e4, 2e4)])


def test_a_grid_of_data_and_budgets_finds_the_size_that_makes_them_meet():
    found, columns = cells("grid", data=[1e6, 4e6], budgets=[1e12, 4e12])
    assert [(d, c) for _, d, c, _ in found] == [(d, c) for c in (1e12, 4e12) for d in (1e6, 4e6)]
    np.testing.assert_allclose(SIZES.flops_at(columns.N) * columns.D, columns.budget, rtol=1e-9)
    sections = {"data": {"source": "external"}, "model": LARGE, "recipe": {"name": "mup-2022"}}
    design = {"kind": "grid", "data": [4e6, 8e6], "budgets": [1e13, 4e13]}
    plan = planned(design, TOKENS, **sections)
    for p in plan:  # shapes are whole numbers, so D gives way: C is what was asked
        assert p.C == pytest.approx(p.budget, rel=0.02)


def test_a_grid_of_three_lists_keeps_the_pairs_on_a_budget_and_says_why_not_the_others():
    each = SIZES.flops_at(np.array([1e4, 2e4, 4e4]))
    budget = float(each[0] * 4e6)
    found, columns = cells(
        "grid", params=[1e4, 2e4, 4e4], data=[1e6, 2e6, 4e6], budgets=[budget, 100 * budget]
    )
    on = [
        (n, d)
        for n, f in zip((1e4, 2e4, 4e4), each, strict=True)
        for d in (1e6, 2e6, 4e6)
        if abs(f * d / budget - 1) <= 0.25
    ]
    assert [(n, d) for n, d, _, _ in found] == on
    assert 1 < len(on) < 9
    assert {c for _, _, c, _ in found} == {budget}
    assert len(columns.left_out) == 9 - len(on)
    assert not {(n, d) for n, d, _ in columns.left_out} & set(on)
    for n, d, why in columns.left_out:
        compute = float(SIZES.flops_at(np.array([n]))[0] * d)
        assert f"{compute:.3g} FLOP" in why
        assert f"nearest {budget:.3g}" in why


def test_what_a_grid_of_three_leaves_out_stands_in_the_plan():
    flops = float(SIZES.flops_at(np.array([1e4]))[0])
    plan = planned(
        {"kind": "grid", "params": [1e4, 4e4], "data": [1e6, 4e6], "budgets": [flops * 4e6]}
    )
    assert len(plan) + len(plan.dropped) == 4
    assert all("none of the budgets" in d["why"] for d in plan.dropped)
    assert "SC202" in codes(plan)


def test_a_grid_that_contradicts_itself_names_the_pair_that_comes_nearest():
    fault = fault_of(cells, "grid", params=[1e4, 1e5], data=[1e6, 1e7], budgets=[1e20])
    assert fault.code == "SC232"
    assert "N = 1e+05" in fault.found
    assert "D = 1e+07" in fault.found
    assert fault.mend


def test_a_ladder_is_multiples_of_the_optimal_data():
    found, _ = cells("ladder", params=[2e4, 1e4], ratio=20.0, multipliers=[4.0, 0.5, 1.0])
    same(found, [(n, n * 20 * k, NAN, 0) for n in (1e4, 2e4) for k in (0.5, 1.0, 4.0)])


def test_a_ladder_of_sizes_inverts_the_belief():
    found, columns = cells("ladder", params=[3e4, 1e5, 3e5], multipliers=[1.0, 2.0])
    budget = SIZES.flops_at(columns.N) * columns.D
    np.testing.assert_allclose(believed(budget[::2]), columns.N[::2], rtol=1e-3)
    np.testing.assert_allclose(columns.D[1::2], 2 * columns.D[::2], rtol=1e-12)
    assert len(found) == 6


def test_a_ladder_of_budgets_takes_their_optima():
    found, columns = cells("ladder", budgets=[4e12, 1e12], multipliers=[1.0])
    np.testing.assert_allclose(columns.N, believed(np.array([1e12, 4e12])), rtol=1e-12)
    compute = SIZES.flops_at(columns.N) * columns.D
    np.testing.assert_allclose(compute, [1e12, 4e12], rtol=2e-3)
    assert all(math.isnan(c) for _, _, c, _ in found)


@pytest.mark.parametrize(("corner", "n", "d"), [("small", 1e4, 1e6), ("large", 4e4, 4e6)])
def test_an_l_shape_is_two_arms_that_meet_in_one_corner(corner, n, d):
    found, _ = cells("l-shape", params=[4e4, 1e4, 2e4], data=[2e6, 4e6, 1e6], corner=corner)
    pairs = [(a, b) for a, b, _, _ in found]
    arms = {(x, d) for x in (1e4, 2e4, 4e4)} | {(n, y) for y in (1e6, 2e6, 4e6)}
    assert set(pairs) == arms
    assert len(pairs) == len(arms) == 5


BOXES = {
    "N and D": {"N": [1e4, 1e6], "D": [1e6, 1e8]},
    "N and C": {"N": [1e4, 1e6], "C": [1e11, 1e14]},
    "D and C": {"D": [1e6, 1e8], "C": [1e11, 1e14]},
    "all three": {"N": [1e4, 1e6], "D": [1e6, 1e8], "C": [1e12, 1e13]},
}


@pytest.mark.parametrize("name", BOXES)
@pytest.mark.parametrize("count_", [1, 7, 64])
def test_sobol_points_lie_in_the_box_exactly_as_many_as_asked(name, count_):
    found, c = cells("sobol", box=Box(**BOXES[name]), count=count_)
    assert len(found) == count_
    assert len(set(found)) == count_
    values = {"N": c.N, "D": c.D, "C": SIZES.flops_at(c.N) * c.D}
    for key, (low, high) in BOXES[name].items():
        assert (values[key] >= low * (1 - 1e-6)).all()
        assert (values[key] <= high * (1 + 1e-6)).all()


@pytest.mark.parametrize("name", ["N and D", "N and C", "D and C"])
def test_sobol_points_are_even_in_the_logarithm(name):
    """Of 2^k points of a Sobol sequence one lies in each elementary box of area 2^-k."""
    _, c = cells("sobol", box=Box(**BOXES[name]), count=64)
    values = {"N": c.N, "D": c.D, "C": SIZES.flops_at(c.N) * c.D}
    unit = [
        np.log(values[key] / low) / np.log(high / low) for key, (low, high) in BOXES[name].items()
    ]
    for cut in range(7):
        boxes = np.floor(unit[0] * 2**cut) * 2 ** (6 - cut) + np.floor(unit[1] * 2 ** (6 - cut))
        assert len(set(boxes.tolist())) == 64


def test_a_box_whose_ranges_do_not_meet_is_refused():
    box = Box(N=[1e4, 2e4], D=[1e6, 2e6], C=[1e20, 2e20])
    fault = fault_of(cells, "sobol", box=box, count=5)
    assert fault.code == "SC232"
    assert "0 of 5" in fault.found


def test_a_ratio_is_a_ray():
    found, _ = cells("ratio", params=[2e4, 1e4], ratio=20.0)
    same(found, [(1e4, 2e5, NAN, 0), (2e4, 4e5, NAN, 0)])


def test_points_have_seeds_of_their_own():
    found, _ = cells("points", points=[[1e4, 1e6], [2e4, 1e6, 3]], seeds=2)
    same(found, [(1e4, 1e6, NAN, 0), (1e4, 1e6, NAN, 1), *((2e4, 1e6, NAN, s) for s in range(3))])


def test_extra_points_come_with_every_kind():
    found, _ = cells("isoflop", budgets=[1e12], sizes=[1e4], extra=[[2e4, 3e6, 2]])
    same(found, [(1e4, NAN, 1e12, 0), (2e4, 3e6, NAN, 0), (2e4, 3e6, NAN, 1)])


def test_more_seeds_at_the_smallest_budget_else_at_the_least_work():
    found, _ = cells("isoflop", budgets=[1e12, 2e12], sizes=[1e4, 2e4], seeds_at_smallest=3)
    assert [(c, s) for _, _, c, s in found] == [
        *((1e12, s) for _ in (1, 2) for s in range(3)), (2e12, 0), (2e12, 0),
    ]  # fmt: skip
    found, _ = cells("points", points=[[1e4, 4e6], [4e4, 5e5], [2e4, 1e6, 4]], seeds_at_smallest=3)
    # 4e4 x 5e5 and 2e4 x 1e6 tie for the least N D; four seeds are more than three
    assert [(n, s) for n, _, _, s in found] == [
        (1e4, 0), *((4e4, s) for s in range(3)), *((2e4, s) for s in range(4)),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["points", "extra"])
@pytest.mark.parametrize("seeds", [0.4, 2.5])
def test_a_share_of_a_seed_is_refused(kind, seeds):
    base = {"kind": "isoflop", "budgets": [1e12], "sizes": [1e4]}
    design = {"kind": kind} if kind == "points" else base
    fault = fault_of(planned, {**design, kind: [[1e4, 1e6, 1], [2e4, 1e6, seeds]]})
    assert fault.code == "SC012"
    assert kind in fault.where
    assert f"{seeds:g}" in fault.found


# ------------------------------------------------------------------------------ what is realised

FAMILIES = {
    "decoder": {"context": 1024},
    "decoder, nanochat-2026": {"rule": "nanochat-2026", "context": 2048},
    "decoder, marin-2025": {"rule": "marin-2025", "context": 4096},
    "encoder": {"family": "encoder", "context": 512},
    "vit": {"family": "vit"},
    "resnet": {"family": "resnet", "options": {"depth": "50"}},
}
RECIPES = ["bytes-small", "mup-2022", "nanochat-2026", "olmo-wsds-2025", "marin-2025",
           "porian-2024", "gadre-2024"]  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("recipe", RECIPES)
def test_realised_compute_is_within_two_percent_of_its_budget_from_1e15(name, recipe):
    """Whatever the family, the rule of its shapes and the recipe; D follows the N that is made."""
    model = FAMILIES[name]
    rng = np.random.default_rng(len(name) + 10 * RECIPES.index(recipe))
    budgets = sorted(float(f"{b:.4g}") for b in 10 ** rng.uniform(15, 24, 40))
    family = count.get(model.get("family", "decoder"))
    center = {"N": 1e8, "C": 1e19, "exponent": 0.5}
    design = {"kind": "isoflop", "budgets": budgets, "sizes": 5, "center": center}
    plan = planned(design, TOKENS, data={"source": "external"}, model=model,
                   recipe={"name": recipe})  # fmt: skip
    assert len(plan) >= 30
    for p in plan:
        counts = family.counts(p.shape)
        assert counts.N == p.N
        assert p.C == counts.training * p.D
        assert p.D == p.steps * p.batch
        assert abs(p.C / p.budget - 1.0) <= 0.02
        wanted = p.budget / counts.training
        assert abs(p.D - wanted) <= 0.5 * p.batch * (1 + 1e-9)
    assert "SC207" not in codes(plan)
    why = {d["why"] for d in plan.dropped}
    assert all("no shape has N near" in w or "steps" in w or "same shape" in w for w in why)


@pytest.mark.parametrize("tolerance", [0.005, 0.03, 0.2])
@pytest.mark.parametrize("name", FAMILIES)
def test_sizes_are_within_tolerance_or_left_out_with_their_neighbours(name, tolerance):
    model = FAMILIES[name]
    wanted = [float(f"{n:.6g}") for n in np.geomspace(3e6, 3e9, 25)]
    design = {"kind": "grid", "params": [*wanted, 50921472.0, 5679400.0], "data": [1e12]}
    plan = planned(
        design,
        TOKENS,
        data={"source": "external"},
        model={**model, "tolerance": tolerance},
        recipe={"name": "gadre-2024"},
    )
    options = {"context": model.get("context"), "rule": model.get("rule"), "vocabulary": 50304}
    family = count.get(model.get("family", "decoder"))
    known = {o.name for o in family.options}
    options = {k: v for k, v in options.items() if k in known and v} | model.get("options", {})
    table = count.sizes(family, options).N.astype(float)
    out = {d["N"]: d["why"] for d in plan.dropped if "same shape" not in d["why"]}
    kept = [n for n in wanted if n not in out]
    for n in kept:
        best = table[np.abs(table / n - 1).argmin()]
        assert abs(best / n - 1) <= tolerance
        assert best in {p.N for p in plan}
    for n, why in out.items():
        assert np.abs(table / n - 1).min() > tolerance
        below, above = table[table <= n], table[table > n]
        ends = [*(f"{x:.0f}" for x in below[-1:]), *(f"{x:.0f}" for x in above[:1])]
        assert why.endswith(" and ".join(ends))
        assert f"{tolerance:.2%}" in why


def test_sizes_off_by_more_than_a_tenth_are_told():
    design = {"kind": "grid", "params": [9.2e3, 2e5], "data": [1e6]}
    plan = planned(design)
    off = max(abs(p.N / n - 1) for p, n in zip(plan, (9.2e3, 2e5), strict=True))
    assert off > 0.1
    assert f"up to {off:.0%}" in text_of(plan, "SC227")
    assert "1 of 2" in text_of(plan, "SC227")


# ------------------------------------------------------------------------------------- cautions


def test_runs_on_one_ratio_are_told_to_identify_nothing():
    ray = {"kind": "ratio", "params": [1e4, 3e4, 1e5, 3e5], "ratio": 20.0}
    assert "SC230" in codes(planned(ray))
    assert "SC230" not in codes(planned({**ray, "extra": [[1e4, 2e6]]}))
    assert "SC230" not in codes(
        planned({"kind": "grid", "params": [1e4, 3e4, 1e5], "data": [5e5, 2e6]})
    )


def test_an_optimum_outside_the_sizes_is_told_with_its_budget():
    center = {"N": 3e4, "C": 1e11}
    design = {"kind": "isoflop", "budgets": [1e11, 1e12], "center": center}
    inside = {**design, "sizes": 6, "span": 4.0}
    assert "SC231" not in codes(planned(inside))
    text = text_of(planned({**design, "sizes": [1e4, 2e4, 4e4, 6e4]}), "SC231")
    assert "at 1 budget:" in text  # N* = 9.49e4 at 1e12, 3e4 at 1e11
    assert "1e+12 (N* 9.49e+04" in text


@pytest.mark.parametrize(
    ("target", "words"), [(1e9, "below all runs"), (2e11, "inside the runs"), (1e15, None)]
)
def test_a_target_that_costs_less_than_the_runs_is_told(target, words):
    design = {"kind": "isoflop", "budgets": [1e11, 1e12], "sizes": [1e4, 2e4, 4e4]}
    plan = planned(design, study={"target_flops": target})
    if words is None:
        assert "SC233" not in codes(plan)
    else:
        assert words in text_of(plan, "SC233")


def test_data_may_repeat_as_often_as_allowed_and_no_more():
    design = {"kind": "grid", "params": [1e4], "data": [5e6, 2e7, 5e7], "max_epochs": 3.0}
    plan = planned(design)
    assert [p.D for p in plan] == pytest.approx([5e6, 2e7], rel=1e-3)
    (left,) = plan.dropped
    unique = (BYTES.train_tokens - 1) // 32 * 32  # whole contexts, and a token to predict
    assert left["D"] == 5e7
    assert f"{3 * unique:.4g}" in left["why"]
    assert f"{5e7 / unique:.3g} epochs" in left["why"]
    fault = fault_of(planned, {**design, "data": [5e7]})
    assert fault.code == "SC201"
    assert "max_epochs" in fault.found


# ------------------------------------------------------------------------------------------ memory


def test_sizes_beyond_the_memory_are_left_out_and_the_largest_that_fits_is_named():
    design = {"kind": "grid", "params": [1e6, 1e8, 3e9], "data": [1e12]}
    sections = {"data": {"source": "external"}, "model": LARGE, "recipe": {"name": "gadre-2024"}}
    engine = {"memory_gib": 20.0}
    plan = planned(design, TOKENS, engine=engine, **sections)
    assert len(plan) == 2
    assert plan.dropped[0]["N"] == 3e9
    assert "[engine] memory_gib = 20" in plan.dropped[0]["why"]
    (message,) = (m for m in plan.messages if m.code == "SC224")
    assert "1 of 3 points" in message.text
    largest = float(re.search(r"N = ([\d.e+]+)", message.mend)[1])  # four digits
    assert 1e8 < largest < 3e9
    at_limit = {**design, "params": [largest]}
    assert len(planned(at_limit, TOKENS, engine=engine, **sections)) == 1
    fault = fault_of(
        planned, {**design, "params": [largest * 1.02]}, TOKENS, engine=engine, **sections
    )
    assert fault.code == "SC224"
    assert f"N = {largest:.4g}" in fault.mend


def test_the_memory_that_is_named_counts_before_that_of_the_accelerator():
    design = {"kind": "grid", "params": [1e8, 3e9], "data": [1e12]}
    sections = {"data": {"source": "external"}, "model": LARGE, "recipe": {"name": "gadre-2024"}}
    for gib, points in ((20.0, 1), (200.0, 2)):  # the card holds 80 GB: 3e9 needs 54 GiB
        engine = {"memory_gib": gib, "accelerator": "h100-sxm"}
        plan = planned(design, TOKENS, engine=engine, **sections)
        assert len(plan) == points
        assert ("SC224" in codes(plan)) == (points == 1)


# ------------------------------------------------------------------------------------------ trunks


def test_branches_of_a_trunk_cost_their_decays_and_the_longest_stem():
    design = {"kind": "grid", "params": [2e4, 8e4], "data": [1e6, 2e6, 4e6]}
    apart, shared = planned(design), planned({**design, "trunks": True})
    assert [p.id for p in apart] == [p.id for p in shared]
    share = 0.4  # of bytes-small, in which the rate falls
    wanted = 0.0
    for n in sorted({p.N for p in apart}):
        own = [p for p in apart if p.N == n]
        decays = [round(share * p.steps) for p in own]
        stem = max(p.steps - k for p, k in zip(own, decays, strict=True))
        wanted += (stem + sum(decays)) * own[0].batch * own[0].C / own[0].D
    assert shared.total.flops == pytest.approx(wanted, rel=1e-9)
    assert apart.total.flops == pytest.approx(sum(p.C for p in apart), rel=1e-12)
    assert "SC239" not in codes(apart)
    said = text_of(shared, "SC239")
    assert f"{wanted:.4g} FLOP" in said
    assert f"{apart.total.flops:.4g}" in said


@pytest.mark.parametrize("recipe", ["nanochat-2026", "marin-2025"])
def test_trunks_are_refused_where_settings_depend_on_the_length(recipe):
    design = {"kind": "grid", "params": [1e8], "data": [1e11, 2e11], "trunks": True}
    fault = fault_of(
        planned, design, TOKENS, data={"source": "external"}, model=LARGE, recipe={"name": recipe}
    )
    assert fault.code == "SC237"
    assert recipe in fault.found
    overridden = {"name": "bytes-small", "overrides": {"lr": "0.01*(D/1e6)**-0.1"}}
    small = {"kind": "grid", "params": [1e4], "data": [1e6, 2e6], "trunks": True}
    assert fault_of(planned, small, recipe=overridden).code == "SC237"
