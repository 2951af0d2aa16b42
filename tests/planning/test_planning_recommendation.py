"""Plans of recommenders: sizes of the data, one pass in time, and labels that can be learned."""

import pytest

from scaling import api
from scaling.errors import ScalingError

WORLD = {"users": 60, "items": 40, "ratings": 20_000, "validation_ratings": 1_000}


def study(**sections):
    base = {
        "schema": 1,
        "data": {"task": "recommendation", "source": "ratings", "options": WORLD},
        "model": {"family": "recommender"},
        "design": {"kind": "grid", "params": [109, 397], "data": [1e4, 2e4, 4e4]},
        "recipe": {"name": "ratings-small", "overrides": {"sequences": 100}},
    }
    return {**base, **sections}


def test_tables_are_as_large_as_the_data_say():
    plan = api.plan(study())
    assert {p.N_embedding for p in plan.points} == {100 * 3, 100 * 6}
    assert {p.shape["users"] for p in plan.points} == {60}
    assert {p.D for p in plan.points} == {10_000, 20_000, 40_000}
    assert plan.points[0].settings["target"] == "implicit"
    with pytest.raises(ScalingError) as caught:
        api.plan(study(model={"family": "recommender", "options": {"users": 61}}))
    assert caught.value.code == "SC012"


def test_in_the_order_of_time_there_is_one_pass():
    plan = api.plan(study(task={"order": "time"}))
    assert {p.D for p in plan.points} == {10_000, 20_000}
    assert len(plan.dropped) == 2
    assert "epochs" in plan.dropped[0]["why"]


def test_other_options_are_other_points():
    ids = [{p.id for p in api.plan(study(task=task)).points}
           for task in ({}, {"negatives": 1}, {"target": "rating"})]  # fmt: skip
    assert len(set.union(*ids)) == sum(map(len, ids)) == 18


@pytest.mark.parametrize(
    ("task", "found"),
    [
        ({"positive": 0.0}, "every example is a positive"),
        ({"positive": 2.0}, "no example is a positive"),
        ({"positive": 2.0, "negatives": 3}, "no example is a positive"),
        ({"negatives": -1}, "-1"),
        ({"target": "likes"}, "'likes'"),
        ({"negative": 1}, "task recommendation has no such option"),
    ],
)
def test_tasks_that_cannot_be_meant(task, found):
    with pytest.raises(ScalingError) as caught:
        api.plan(study(task=task))
    assert caught.value.faults[0].found == found


def test_a_file_that_is_missing_is_found_by_the_plan(tmp_path):
    data = {"task": "recommendation", "source": "movielens",
            "options": {"path": str(tmp_path / "none")}}  # fmt: skip
    with pytest.raises(ScalingError) as caught:
        api.plan(study(data=data))
    assert caught.value.code == "SC330"


def test_ratings_are_no_text():
    with pytest.raises(ScalingError) as caught:
        api.plan(study(data={"source": "ratings", "options": WORLD}))
    assert "task = 'recommendation' reads ratings" in caught.value.faults[0].mend
