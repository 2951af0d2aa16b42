"""Additions to finished runs and to plans: they help as they say, within what may be spent."""

import tomllib

import numpy as np
import pandas as pd
import pytest

import scaling as sc
from scaling.errors import ScalingError
from scaling.planning.additions import additions, for_plan
from scaling.planning.choosing.information import Runs, pooled, precisions
from scaling.planning.choosing.prior import published
from scaling.planning.inputs import Inputs
from scaling.planning.planner import Planner
from scaling.planning.suggest import suggest
from tests.planning.finished import TRUTH, finish
from tests.planning.studies import TOKENS, planned, study

TARGET = 1e20
LM = {
    "data": {"source": "external"},
    "model": {"context": 1024, "rule": "aspect"},
    "recipe": {"name": "porian-2024"},
    "study": {"target_flops": TARGET},
    "prior": {"laws": [{"published": "besiroglu-2024"}], "noise": 0.004},
}
ISOFLOP = {"kind": "isoflop", "budgets": [1e16, 1e17, 1e18], "sizes": 6, "span": 4.0}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """A finished sweep: its folder and its plan."""
    plan = planned(ISOFLOP, TOKENS, **LM)
    return finish(tmp_path_factory.mktemp("sweeps") / "out", plan), plan


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The losses of a grid in a file, without any study."""
    size, data = (x.ravel() for x in np.meshgrid(np.geomspace(1e7, 1e9, 5),
                                                 np.geomspace(1e9, 3e10, 5)))  # fmt: skip
    noise = 0.004 * np.random.default_rng(0).standard_normal(25)
    loss = sc.law("chinchilla").loss(TRUTH, {"N": size, "D": data}) * np.exp(noise)
    path = tmp_path_factory.mktemp("tables") / "results.csv"
    pd.DataFrame({"N": size, "D": data, "loss": loss}).to_csv(path, index=False)
    return path


def amounts(points):
    return tuple(np.array([getattr(p, k) for p in points], float) for k in "ND")


def test_additions_to_a_finished_sweep_reduce_every_error_within_their_budget(sweep):
    folder, plan = sweep
    found = sc.suggest(folder)
    assert found.target == TARGET
    assert found.spent == pytest.approx(sum(p.C for p in plan), rel=1e-6)
    assert 0 < found.cost <= 0.25 * found.spent
    assert found.cost == pytest.approx(sum(a.C * a.runs for a in found.chosen), rel=1e-9)
    assert 1 <= sum(a.runs for a in found.chosen) <= 8
    assert found.belief.startswith("posterior of chinchilla")
    assert found.messages == ()
    for name, before in found.before.items():
        assert found.after[name] < before
    size, data = amounts(plan)
    for a in found.chosen:
        assert size.min() / 2.001 <= a.N <= size.max() * 2.001
        assert data.min() / 2.1 <= a.D <= data.max() * 2.1


@pytest.mark.parametrize("budget", [3e16, 1e18])
@pytest.mark.parametrize("decision", ["size", "loss", "exponent"])
def test_a_budget_and_a_number_of_runs_are_kept(sweep, budget, decision):
    folder, _ = sweep
    found = suggest(folder, budget=budget, decision=decision, most=3)
    assert found.cost <= budget
    assert sum(a.runs for a in found.chosen) <= 3
    name = {"size": "ln N*", "loss": "ln loss", "exponent": "a"}[decision]
    assert found.after[name] < found.before[name]


def test_errors_are_those_of_the_runs_with_and_without_the_additions():
    """By the information of the runs under the plan's prior, put together here."""
    from scaling.planning.additions import around

    plan = planned(ISOFLOP, TOKENS, **LM)
    planner = Planner(study(ISOFLOP, **LM), TOKENS, Inputs())
    runs = Runs(*amounts(plan))
    spent = sum(p.C for p in plan)
    found = additions(plan.prior, runs, around(planner, runs), target=TARGET, spent=spent,
                    budget=0.3 * spent)  # fmt: skip
    size, data = (
        np.concatenate([own, [getattr(a, k) for a in found.chosen for _ in range(a.runs)]])
        for own, k in zip(amounts(plan), "ND", strict=True)
    )
    for se, whole in ((found.before, runs), (found.after, Runs(size, data))):
        wanted = pooled(plan.prior, precisions(plan.prior, whole, TARGET))
        for name, value in se.items():
            assert value == pytest.approx(wanted[name], rel=1e-6)


def test_the_menu_says_what_each_run_alone_takes_away():
    plan = planned(ISOFLOP, TOKENS, **LM)
    planner = Planner(study(ISOFLOP, **LM), TOKENS, Inputs())
    menu = for_plan(planner, plan, TARGET)
    assert len(menu) >= 2
    size, data = amounts(plan)
    before = pooled(plan.prior, precisions(plan.prior, Runs(size, data), TARGET))
    spent = sum(p.C for p in plan)
    for a in menu:
        more = Runs(np.append(size, a.N), np.append(data, a.D))
        after = pooled(plan.prior, precisions(plan.prior, more, TARGET))
        # the decision is all three quantities alike: the mean of ln variance
        shares = [(after[k] / before[k]) ** 2 for k in ("a", "ln N*", "ln loss")]
        assert a.reduction == pytest.approx(1.0 - np.prod(shares) ** (1 / 3), abs=0.02)
        assert a.C <= spent
    costs, shares = ([getattr(a, k) for a in menu] for k in ("C", "reduction"))
    assert costs == sorted(costs)
    assert shares == sorted(shares)
    assert len(set(costs)) == len(costs)


def test_the_line_for_a_study_can_be_pasted_and_planned(sweep):
    folder, plan = sweep
    found = suggest(folder, most=4)
    extra = tomllib.loads("[design]\n" + found.as_toml())["design"]["extra"]
    assert len(extra) == len(found.chosen)
    more = planned({**ISOFLOP, "extra": extra}, TOKENS, **LM)
    old = {p.id for p in plan}
    new = [p for p in more if p.id not in old]
    assert old <= {p.id for p in more}
    assert len(new) == sum(a.runs for a in found.chosen)
    assert sum(p.C for p in new) == pytest.approx(found.cost, rel=0.01)


def test_no_addition_is_a_run_that_is_there():
    """Its first seed would be the run itself, which is planned once."""
    from scaling.planning.additions import around

    plan = planned(ISOFLOP, TOKENS, **LM)
    planner = Planner(study(ISOFLOP, **LM), TOKENS, Inputs())
    size, data = amounts(plan)
    offered = around(planner, Runs(size, data))
    pairs = set(zip(offered.N.tolist(), offered.D.tolist(), strict=True))
    assert len(pairs) == len(offered)  # nor are two of them the same
    middle = [(n, d) for n, d in sorted(pairs) if size.min() < n < size.max()
              and data.min() < d < data.max() and 1e16 < 6 * n * d < 3e17]  # fmt: skip
    n, d = middle[len(middle) // 2]
    less = around(planner, Runs(np.append(size, n), np.append(data, d)))
    assert pairs - set(zip(less.N.tolist(), less.D.tolist(), strict=True)) == {(n, d)}


def test_a_table_alone_is_enough(table):
    found = suggest(table)
    assert found.target == pytest.approx(10 * 6 * 1e9 * 3e10)
    assert found.cost <= 0.25 * found.spent
    assert found.spent == pytest.approx(
        6 * sum(n * d for n in np.geomspace(1e7, 1e9, 5) for d in np.geomspace(1e9, 3e10, 5))
    )
    assert all(found.after[k] < found.before[k] for k in found.before)
    for a in found.chosen:
        assert a.C == pytest.approx(6 * a.N * a.D)
        assert a.N == float(f"{a.N:.3g}")
    assert suggest(table).as_dict() == found.as_dict()


@pytest.mark.parametrize(("every", "budget"), [(2, None), (4, None), (6, 1e18)])
def test_runs_that_do_not_determine_the_law_fall_back_on_the_prior(tmp_path, every, budget):
    """Nine runs of one budget, or five, or three: too few, so that the prior says what to add."""
    design = {**ISOFLOP, "budgets": [1e17], "sizes": 18}
    out = finish(tmp_path / "out", planned(design, TOKENS, **LM), every=every)
    found = suggest(out, budget=budget)
    assert found.belief == "besiroglu-2024"
    assert [m.code for m in found.messages] == ["SC243"]
    assert found.chosen
    assert np.isfinite(list(found.after.values())).all()


def test_without_a_prior_that_is_refused(tmp_path):
    plain = {k: v for k, v in LM.items() if k != "prior"}
    design = {"kind": "ratio", "params": [1e7, 3e7, 1e8, 2e8, 3e8, 4e8, 5e8], "ratio": 20.0}
    out = finish(tmp_path / "out", planned(design, TOKENS, **plain))
    with pytest.raises(ScalingError) as caught:
        suggest(out)
    assert caught.value.code == "SC243"
    assert caught.value.faults[0].mend


def test_the_prior_may_be_a_fit_beside_the_study(tmp_path, table):
    """A folder knows where its study looked for the fit, or says that it is gone."""
    sc.fit(sc.read(table), "chinchilla", bootstrap=40).save(tmp_path / "f.json")
    sections = {**LM, "prior": {"fit": str(tmp_path / "f.json")}}
    from scaling.planning.inputs import read_inputs

    design = {"kind": "isoflop", "budgets": [1e18], "sizes": 6}
    inputs = read_inputs(study(design, **sections))
    out = finish(tmp_path / "out", planned(design, TOKENS, inputs, **sections))
    found = suggest(out)
    assert "posterior of chinchilla, 40 draws" in found.belief
    assert [m.code for m in found.messages] == ["SC243"]


def test_the_target_may_be_named(sweep):
    assert suggest(sweep[0], target=3e21).target == 3e21


def test_a_folder_without_results_and_a_damaged_study_are_refused(tmp_path):
    planned(ISOFLOP, TOKENS, **LM).write(tmp_path / "bare")
    with pytest.raises(ScalingError):
        suggest(tmp_path / "bare")
    out = finish(tmp_path / "out", planned(ISOFLOP, TOKENS, **LM))
    (out / "study.json").write_text("{}")
    with pytest.raises(ScalingError) as caught:
        suggest(out)
    assert caught.value.code == "SC012"


def test_a_sweep_of_another_family_keeps_its_shapes(tmp_path):
    """A ViT has no context; its study, read back from the folder, names all keys."""
    sections = {**LM, "model": {"family": "vit", "options": {"image": 64, "patch": 8}},
                "recipe": {"name": "gadre-2024"}}  # fmt: skip
    design = {"kind": "grid", "params": [3e6, 1e7, 3e7], "data": [1e8, 1e9, 1e10]}
    plan = planned(design, TOKENS, **sections)
    found = suggest(finish(tmp_path / "out", plan))
    sizes = set(Planner(study(design, **sections), TOKENS).sizes.N.tolist())
    assert found.chosen
    assert all(a.N in sizes for a in found.chosen)


def test_the_machine_readable_form(sweep):
    data = suggest(sweep[0]).as_dict()
    assert data["schema"] == "scaling/suggest@1"
    assert set(data) == {"schema", "belief", "target", "spent", "cost", "se", "chosen", "menu",
                         "messages"}  # fmt: skip
    assert set(data["se"]["before"]) == {"a", "ln N*", "ln loss"}
    assert {"N", "D", "C", "runs", "reduction"} == set(data["menu"][0])
    assert published("besiroglu-2024").name not in data["belief"]
