"""Variants of a study, a stage that comes first, and data that each run repeats."""

import json

import pytest

from scaling import api
from scaling.errors import ConfigError, PlanError, ScalingError
from scaling.planning.study import check_study, shrink
from scaling.planning.suggest import suggest
from scaling.planning.variants import variants_of
from scaling.plans import plan_of

MARKOV = {"source": "markov", "options": {"symbols": 16, "tokens": 60_000,
                                          "validation_tokens": 8_000}}  # fmt: skip
STUDY = {
    "schema": 1,
    "data": MARKOV,
    "model": {"context": 16, "layers": 1},
    "design": {"kind": "grid", "params": [9e2, 1.9e3], "data": [4e3, 8e3]},
}
TWO = [{"name": "one"}, {"name": "two", "recipe": {"overrides": {"weight_decay": 0.2}}}]


def planned(**sections):
    return api.plan({**STUDY, **sections})


def test_each_variant_is_a_group_of_its_own_name():
    plan = planned(variant=TWO)
    alone = planned()
    assert [p.group for p in plan] == ["one"] * 4 + ["two"] * 4
    assert [p.id for p in plan][:4] == [p.id for p in alone]
    assert {p.optimizer["weight_decay"] for p in plan if p.group == "two"} == {0.2}
    assert plan.total.points == 8
    assert plan.total.flops == pytest.approx(2 * alone.total.flops, rel=1e-12)


def test_a_variant_is_the_study_with_its_sections_laid_over():
    study = check_study({**STUDY, "variant": [{"name": "x", "data": {"options": {"seed": 5}}}]})
    ((name, own),) = variants_of(study)
    assert name == "x"
    assert own.data.options == {**MARKOV["options"], "seed": 5}
    assert own.variant == []
    assert study.data.options == MARKOV["options"]


@pytest.mark.parametrize(
    ("variants", "said"),
    [
        ([{"name": "a"}, {"name": "b"}], "in common"),
        ([{"name": "a"}, {"name": "a"}], "twice"),
    ],
)
def test_variants_that_are_the_same_are_refused(variants, said):
    with pytest.raises((ConfigError, PlanError)) as caught:
        planned(variant=variants)
    assert said in str(caught.value)


def test_a_fault_of_a_variant_names_it():
    with pytest.raises(ConfigError) as caught:
        planned(variant=[{"name": "wide", "model": {"contex": 8}}])
    assert "variant wide" in str(caught.value)
    assert "context" in str(caught.value)


def test_what_is_asked_of_the_machine_is_part_of_the_id_only_where_it_is_compared():
    plain = planned()
    both = planned(variant=[{"name": "off", "machine": {"compile": "off"}},
                            {"name": "on", "machine": {"compile": "inductor"}}])  # fmt: skip
    assert len({p.id for p in both} | {p.id for p in plain}) == 12
    assert {json.dumps(dict(p.machine)) for p in both} == {
        '{"compile": "off"}', '{"compile": "inductor"}'
    }  # fmt: skip
    assert "machine" not in json.loads(plain.to_jsonl().splitlines()[0])
    assert "machine" in json.loads(both.to_jsonl().splitlines()[0])


def test_each_run_repeats_its_own_part_of_the_data():
    plan = planned(design={**STUDY["design"], "epochs": 4})
    for p in plan:
        assert p.D_unique == p.data["unique"]
        assert p.D_unique % 16 == 0
        assert p.epochs == pytest.approx(4, rel=0.02)
    assert len({p.trunk for p in plan}) == len(plan)  # no two see the same subset


def test_more_than_there_is_cannot_be_repeated():
    with pytest.raises(PlanError, match="epochs = 2"):
        planned(design={**STUDY["design"], "data": [2e5], "epochs": 2})
    with pytest.raises(ConfigError, match="one of the two"):
        planned(design={**STUDY["design"], "epochs": 2, "max_epochs": 3})


# ----------------------------------------------------------------------------------- pretraining


def test_points_name_the_run_they_start_from_and_their_ids_follow_it():
    first = {"D": 6e3, "data": {"options": {"seed": 3}}}
    plan = planned(pretrain=first)
    assert plan.before is not None
    of = {json.dumps(dict(p.shape)): p.id for p in plan.before}
    assert len(of) == 2
    assert all(p.init["from"] == of[json.dumps(dict(p.shape))] for p in plan)
    other = planned(pretrain={**first, "D": 7e3})
    assert not {p.id for p in plan} & {p.id for p in other}
    assert not {p.id for p in plan} & {p.id for p in planned()}
    assert plan.before.study.engine.keep


def test_variants_share_what_comes_first():
    other = {"name": "b", "recipe": {"overrides": {"weight_decay": 0.2}}}
    variants = [{"name": "scratch", "pretrain": False}, {"name": "a"}, other]
    first = {"D": 6e3, "recipe": {"overrides": {"weight_decay": 0.1}}}
    plan = planned(pretrain=first, variant=variants)
    assert len(plan.before.points) == 2
    starts = {p.group: p.init.get("from") for p in plan}
    assert starts["scratch"] is None
    assert starts["a"] == starts["b"] is not None


def test_a_stage_of_other_models_is_refused():
    other = {"source": "markov", "options": {**MARKOV["options"], "symbols": 32}}
    with pytest.raises(PlanError, match="not those of the design"):
        planned(pretrain={"D": 6e3, "data": other})


def test_a_stage_that_is_too_short_is_refused():
    with pytest.raises(PlanError, match="cannot be trained"):
        planned(pretrain={"D": 100})


# ------------------------------------------------------------------------------------- the rest


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"data": {**MARKOV, "task": "texts"}}, "SC321"),
        ({"task": {"augment": "mixup"}}, "no such option"),
        ({"model": {"family": "encoder", "context": 16}}, "which task text trains"),
    ],
)
def test_a_task_that_does_not_go_with_data_or_models(sections, said):
    with pytest.raises((ConfigError, PlanError)) as caught:
        planned(**sections)
    assert said in str(caught.value)


def test_smoke_changes_what_the_study_says():
    smoke = {"design": {"kind": "grid", "params": [9e2], "data": [4e3]},
             "data": {"options": {"tokens": 50_000}}}  # fmt: skip
    small = shrink(check_study({**STUDY, "smoke": smoke}))
    assert small.design.params == [9e2]
    assert small.data.options == {**MARKOV["options"], "tokens": 50_000}
    assert small.smoke == {}


def test_the_rate_is_tuned_once_for_all_variants():
    study = {
        **STUDY,
        "tuning": {"sizes": [2e3, 4e3, 9e3], "ratio": 10.0},
        "variant": [{"name": "one"}, {"name": "two", "machine": {"precision": "float32"}}],
    }
    tuned = plan_of(check_study(study), stage="tune")
    assert len({p.id for p in tuned}) == len(tuned.points) == 15
    other = {"name": "other", "recipe": {"overrides": {"lr": 0.02}}}
    with pytest.raises(PlanError, match="tuned for"):
        api.plan({**study, "variant": [*study["variant"], other]})


def test_a_fault_of_a_variant_says_whose_it_is():
    wrong = {"name": "wrong", "data": {"options": {"tokns": 3}}}
    with pytest.raises(ConfigError, match=r"variant wrong: \[data\] tokns"):
        api.plan({**STUDY, "variant": [{"name": "right"}, wrong]})


def test_epochs_and_trunks_share_nothing():
    design = {**STUDY["design"], "epochs": 2, "trunks": True}
    with pytest.raises(ConfigError, match="epochs and trunks"):
        api.plan({**STUDY, "design": design})


def test_suggestions_are_those_of_one_group(tmp_path):
    import numpy as np

    rng = np.random.default_rng(0)
    lines = ["N,D,loss,group"]
    for group, floor in (("one", 1.7), ("two", 2.5)):
        for n in np.geomspace(1e6, 1e8, 6):
            for d in np.geomspace(1e8, 1e10, 5):
                loss = (floor + 400 / n**0.34 + 410 / d**0.28) * np.exp(1e-3 * rng.normal())
                lines.append(f"{n},{d},{loss},{group}")
    (tmp_path / "runs.csv").write_text("\n".join(lines))
    found = suggest(tmp_path / "runs.csv", most=2)
    assert "SC252" in {message.code for message in found.messages}
    alone = [line for line in lines if not line.endswith("two")]
    (tmp_path / "one.csv").write_text("\n".join(alone))
    own = suggest(tmp_path / "one.csv", most=2)
    assert [(a.N, a.D) for a in found.chosen] == [(a.N, a.D) for a in own.chosen]


def test_suggestions_read_a_sweep_whose_runs_repeat_their_own_data(tmp_path):
    design = {"kind": "grid", "params": [9e2], "data": [4e3, 8e3], "epochs": 2}
    api.plan({**STUDY, "design": design}).write(tmp_path)
    with pytest.raises(ScalingError) as caught:
        suggest(tmp_path)
    assert "is not what" not in str(caught.value)
