"""Costs: from a measurement, or unknown."""

import itertools
import json

import pytest

from scaling.errors import ConfigError
from scaling.planning.cost import read_calibration, seconds, shape_key, wall_seconds
from scaling.planning.plan import make_plan
from scaling.planning.study import check_study
from scaling.runs.manifest import Manifest

DATA = Manifest("stdlib", "ab" * 32, 256, 10_000_000, 700_000, "bytes")
STUDY = {
    "schema": 1,
    "data": {"source": "stdlib"},
    "design": {"kind": "grid", "params": [8e3, 3e4], "data": [2e5, 4e5]},
}


def plan(calibration=None):
    return make_plan(check_study(STUDY), DATA, calibration)


def measured(points):
    entry = {"seconds_per_step": 0.002, "evaluation_seconds": 0.5}
    return {
        "schema": "scaling/calibration@1",
        "shapes": {shape_key(p.shape, p.sequences): entry for p in points},
    }


def test_without_calibration_seconds_are_null():
    found = plan()
    assert {p.seconds for p in found} == {None}
    assert found.totals["seconds"] is None
    assert "SC206" in [m.code for m in found.messages]


def test_with_calibration_seconds_follow_the_steps():
    found = plan(measured(plan()))
    for p in found:
        assert p.seconds == pytest.approx(0.002 * p.steps + 0.5)
    assert found.totals["seconds"] == pytest.approx(sum(p.seconds for p in found))
    assert "SC206" not in [m.code for m in found.messages]
    assert [p.id for p in found] == [p.id for p in plan()]


def test_a_shape_that_was_not_measured_leaves_the_total_unknown():
    points = plan().points
    found = plan(measured(points[:1]))
    assert found.points[0].seconds is not None
    assert found.points[-1].seconds is None
    assert found.totals["seconds"] is None


def test_another_batch_was_not_measured():
    p = plan().points[0]
    assert seconds(p.shape, p.sequences + 1, p.steps, measured([p])) is None


def test_a_calibration_file(write):
    content = measured(plan())
    assert read_calibration(write("c.json", json.dumps(content))) == content


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "3", "null", "{}", '{"schema": "scaling/plan@1", "shapes": {}}',
     '{"schema": "scaling/calibration@1"}', '{"schema": "scaling/calibration@1", "shapes": []}'],
)  # fmt: skip
def test_files_that_are_no_calibration(write, content):
    with pytest.raises(ConfigError) as caught:
        read_calibration(write("c.json", content))
    assert caught.value.code == "SC012"


def test_a_calibration_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError) as caught:
        read_calibration(tmp_path / "c.json")
    assert caught.value.code == "SC005"


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_wall_time_of_equal_workers(workers):
    costs = [5.0, 4.0, 3.0, 3.0, 3.0]
    found = wall_seconds(costs, workers)
    best = min(
        max(sum(c for c, w in zip(costs, where, strict=True) if w == k) for k in range(workers))
        for where in itertools.product(range(min(workers, 5)), repeat=5)
    )
    assert best <= found <= best * 4 / 3
    assert found == wall_seconds(costs[::-1], workers)
