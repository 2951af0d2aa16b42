"""The bench: which shapes it takes, what it measures, and that it agrees with training itself."""

import math

import pytest

torch = pytest.importorskip("torch")

from scaling import api  # noqa: E402
from scaling.errors import ConfigError, TrainingError  # noqa: E402
from scaling.runs.records import load_plan  # noqa: E402
from scaling.training import bench, bench_worker, device, trainer  # noqa: E402
from tests.training.conftest import TINY  # noqa: E402


def fake(width, flops, family="decoder"):
    return {"family": family, "shape": {"width": width}, "sequences": 4, "C": flops, "steps": 1}


def places(chosen, shapes):
    return [round(math.log10(shapes[key]["C"]), 6) for key in chosen]


def test_points_of_one_shape_are_one_shape_in_order_of_cost():
    points = [fake(8, 1e9), fake(4, 1e8), fake(8, 1e9), {**fake(8, 2e9), "sequences": 8}]
    found = bench.distinct(points)
    assert [p["C"] for p in found.values()] == [1e8, 1e9, 2e9]
    assert list(found) == [bench.shape_key(points[i]) for i in (1, 0, 3)]


def test_few_shapes_are_spread_over_their_cost():
    shapes = bench.distinct([fake(i, 10.0 ** (6 + i / 20)) for i in range(61)])
    assert len(bench.select(shapes, 61)) == 61
    assert places(bench.select(shapes, 4), shapes) == [6, 6.75, 7.5, 9]
    assert places(bench.select(shapes, 5), shapes) == [6, 6.75, 7.5, 8.25, 9]
    assert bench.select(shapes, 5) == bench.select(dict(reversed(shapes.items())), 5)


def test_shapes_that_are_known_need_no_second_measurement():
    shapes = bench.distinct([fake(i, 10.0 ** (6 + i / 20)) for i in range(61)])
    known = bench.select(shapes, 4)
    assert places(bench.select(shapes, 5, known), shapes) == [8.25]
    assert bench.select(shapes, 4, known) == []
    assert bench.select(shapes, 61, shapes) == []
    assert len(bench.select(shapes, 61, known)) == 57


def test_each_family_has_its_ends_measured():
    shapes = bench.distinct(
        [fake(i, 10.0 ** (6 + i / 20)) for i in range(61)]
        + [fake(i, 10.0 ** (4 + i / 20), "other") for i in range(21)]
    )
    chosen = bench.select(shapes, 6)
    other = [key for key in chosen if shapes[key]["family"] == "other"]
    assert len(chosen) == 6
    assert places(other, shapes)[0] == 4
    assert places(other, shapes)[-1] == 5


@pytest.fixture
def rated(monkeypatch):
    """A peak that takes no time of a clock that stands still."""
    monkeypatch.setattr(device, "peak_flops", lambda device: (1e11, "measured matmul"))


@pytest.fixture(scope="module")
def points(plan_into, tmp_path_factory):
    return load_plan(plan_into(tmp_path_factory.mktemp("bench")))


@pytest.fixture(scope="module")
def calibration(points):
    told = []
    found = bench.measure(
        points, "cpu", 0.3, workers=2, listener=lambda key, entry, i, n: told.append((i, n))
    )
    assert sorted(told) == [(1, 2), (2, 2)]
    return found


def test_every_shape_is_measured_under_its_conditions(points, calibration):
    assert calibration["schema"] == "scaling/calibration@3"
    assert calibration["peak_source"] == "measured matmul"
    assert 1e9 < calibration["peak_flops"] < 1e12
    assert (calibration["kind"], calibration["threads"], calibration["workers"]) == ("cpu", 1, 2)
    assert calibration["torch"] == torch.__version__
    assert set(calibration["shapes"]) == {bench.shape_key(p) for p in points}
    assert 0 < calibration["record_seconds"] < 5
    assert calibration["start_seconds"] > 0.1  # torch alone takes longer to import
    for p in points:
        entry = calibration["shapes"][bench.shape_key(p)]
        assert entry["flops"] == p["C"] / p["steps"]
        assert 0 < entry["low"] <= entry["seconds_per_step"] <= entry["high"]
        assert entry["evaluation_seconds"] > 0
        assert entry["setup_seconds"] >= 0
        assert entry["memory_bytes"] is None or 0 < entry["memory_bytes"] < 2**30
        seconds = entry["seconds_per_step"]
        assert entry["tokens_per_second"] == pytest.approx(p["batch"] / seconds, rel=1e-5)
        share = entry["flops"] / (seconds * calibration["peak_flops"])
        assert entry["mfu"] == pytest.approx(share, rel=1e-3)
        assert 0 < entry["mfu"] < 1


class Clock:
    """A trainer on a clock of its own: 3 ms a step, 100 ms more for the first."""

    def __init__(self):
        self.now = 0.0
        self.step = 0
        self.model = self.task = self
        self.checks = 100

    def build(self, point, device, _setup=None):
        self.now += 0.5
        self.step = 0
        return self

    def train_step(self):
        self.now += 0.003 if self.step else 0.103
        self.step += 1
        return 0.0, 0.0

    def evaluate(self, model):
        self.now += 0.2

    def train(self):
        pass

    eval = train


def test_what_is_measured_is_what_was_spent(monkeypatch, points, rated):
    clock = Clock()
    monkeypatch.setattr(trainer, "Trainer", clock.build)
    monkeypatch.setattr(bench_worker.time, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(bench_worker, "_record", lambda point: 0.01)
    found = bench_worker.Bench(torch.device("cpu"))
    first, second = (found.measure(points[0], 1.0) for _ in range(2))
    for answer in (first, second):
        assert answer["steps"] == pytest.approx([0.003] * len(answer["steps"]))
        # blocks of 1, 2 and 4 steps are too short for a clock, those of 8 are kept
        assert len(answer["steps"]) == math.ceil((1.0 - 7 * 0.003) / 0.024)
        assert answer["evaluation_seconds"] == pytest.approx(0.2 / 100)
        assert answer["setup_seconds"] == pytest.approx(0.6)
        assert answer["peak_flops"] == 1e11
    assert first["first_seconds"] == pytest.approx(0.0, abs=1e-9)
    assert first["record_seconds"] == 0.01
    assert "first_seconds" not in second


def test_a_slow_step_is_measured_a_few_times_only(monkeypatch, points, rated):
    clock = Clock()
    monkeypatch.setattr(trainer, "Trainer", clock.build)
    monkeypatch.setattr(bench_worker.time, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(bench_worker, "_record", lambda point: 0.01)
    answer = bench_worker.Bench(torch.device("cpu")).measure(points[0], 0.001)
    assert answer["steps"] == pytest.approx([0.003] * bench_worker.MIN_BLOCKS)


def test_what_is_known_is_kept_and_only_the_rest_measured(points, calibration):
    key = bench.shape_key(points[-1])
    part = {**calibration, "shapes": {key: {**calibration["shapes"][key], "low": 1e-9}}}
    told = []
    found = bench.measure(
        points, "cpu", 0.1, workers=2, known=part, listener=lambda key, *_: told.append(key)
    )
    assert told == [bench.shape_key(points[0])]
    assert found["shapes"][key]["low"] == 1e-9
    assert set(found["shapes"]) == set(calibration["shapes"])
    assert bench.measure(points, "cpu", 0.1, workers=2, known=found) == found


def test_a_file_of_version_two_gains_what_it_did_not_have(points, calibration):
    new = ("mfu", "tokens_per_second")
    key = bench.shape_key(points[-1])
    old = {k: v for k, v in calibration["shapes"][key].items() if k not in new}
    shapes = {key: old, "of another study": {**old, "family": "other"}}
    part = {**calibration, "schema": "scaling/calibration@2", "shapes": shapes}
    del part["peak_flops"], part["peak_source"]
    found = bench.measure(points, "cpu", 0.1, workers=2, known=part)
    assert found["schema"] == "scaling/calibration@3"
    share = old["flops"] / (old["seconds_per_step"] * found["peak_flops"])
    assert found["shapes"][key]["mfu"] == pytest.approx(share, rel=1e-3)
    assert found["shapes"][key]["tokens_per_second"] > 0
    other = found["shapes"]["of another study"]
    assert other["mfu"] == found["shapes"][key]["mfu"]
    assert other["tokens_per_second"] is None


def test_shapes_of_one_file_are_rated_by_one_peak():
    known = {"peak_flops": 1e11, "peak_source": "measured matmul"}
    answers = [{"peak_flops": p, "peak_source": "measured matmul"} for p in (1e10, 4e10, 2e10)]
    assert bench._peak(known, answers) == known
    assert bench._peak({}, answers) == {"peak_flops": 2e10, "peak_source": "measured matmul"}
    nothing = [{"peak_flops": None, "peak_source": "unknown"}]
    assert bench._peak({}, nothing) == nothing[0]
    assert bench._peak({}, []) == {"peak_flops": None, "peak_source": None}
    entry = {"flops": 1e6, "seconds_per_step": 0.003}
    assert bench._with_use(entry, {"batch": 256}, 1e11)["mfu"] == 0.003333
    assert bench._with_use(entry, {"batch": 256}, None)["mfu"] is None
    assert bench._with_use(entry, {"batch": 256}, None)["tokens_per_second"] == 85333.3


def test_what_was_measured_under_other_conditions_is_not_added_to(points, calibration):
    part = {**calibration, "shapes": {}, "workers": 7}
    with pytest.raises(ConfigError, match="workers 7") as caught:
        bench.measure(points, "cpu", 0.1, workers=1, known=part)
    assert caught.value.code == "SC226"


def test_a_device_that_is_not_there(points):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(TrainingError) as caught:
        bench.measure(points, "cuda", 0.1, workers=1)
    assert caught.value.code == "SC306"


def test_a_point_that_cannot_be_built_ends_the_bench(points):
    broken = {**points[0], "N": points[0]["N"] + 1}
    with pytest.raises(TrainingError) as caught:
        bench.measure([broken], "cpu", 0.1, workers=1)
    assert caught.value.code == "SC302"


def test_points_that_start_from_others_and_computed_ones(tmp_path):
    from scaling.cli import bench as command

    study = {**TINY, "pretrain": {"D": 6e3, "data": {"options": {"seed": 3}}}}
    wanted = command._one_of_each(api.plan(study))
    assert all("from" not in point["init"] for point in wanted)
    truth = {
        "schema": 1,
        "data": {"task": "truth", "source": "hutter"},
        "model": {"family": "table"},
        "design": {"kind": "grid", "params": [1e2], "data": [1e4]},
    }
    plan = api.plan(truth)
    with pytest.raises(ConfigError, match="without steps"):
        command._refuse_computed(command._one_of_each(plan), tmp_path)
    assert not {"SC203", "SC206", "SC219", "SC247"} & {m.code for m in plan.messages}
