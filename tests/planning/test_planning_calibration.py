"""Calibration: as measured where measured, and between and beyond by known laws of seconds."""

import json
import time

import numpy as np
import pytest

from scaling.codes import CODES
from scaling.errors import ConfigError
from scaling.planning.costing.calibration import (
    EXTRAPOLATED,
    INTERPOLATED,
    MEASURED,
    UNKNOWN,
    Calibration,
    shape_key,
)


def entry(flops, step, *, family="decoder", spread=1.0, evaluation=1e-5, setup=0.25, mfu=0.1):
    return {
        "family": family, "flops": flops, "seconds_per_step": step, "low": step / spread,
        "high": step * spread, "evaluation_seconds": evaluation, "setup_seconds": setup,
        "compile_seconds": 0.0, "memory_bytes": 1000, "tokens_per_second": 256 / (step or 1.0),
        "mfu": mfu,
    }  # fmt: skip


def content(shapes, **changes):
    return {
        "schema": "scaling/calibration@3", "device": "cpu", "kind": "cpu", "torch": "2.13.0",
        "threads": 1, "workers": 2, "start_seconds": 2.0, "record_seconds": 0.05,
        "peak_flops": 1e11, "peak_source": "measured matmul", "shapes": shapes, **changes,
    }  # fmt: skip


def of_version_two(found):
    """What the version before wrote of the same measurement."""
    shapes = {
        key: {k: v for k, v in old.items() if k not in ("mfu", "tokens_per_second")}
        for key, old in found["shapes"].items()
    }
    rest = {k: v for k, v in found.items() if k not in ("peak_flops", "peak_source")}
    return {**rest, "schema": "scaling/calibration@2", "shapes": shapes}


def overhead_and_work(flops):
    """A machine with 1 ms of overhead a step and 1e10 FLOP/s."""
    return 1e-3 + np.asarray(flops) / 1e10


def calibration(flops, law=overhead_and_work, **options):
    return Calibration.of(
        content({f"s{i}": entry(f, float(law(f)), **options) for i, f in enumerate(flops)})
    )


def rates(found, keys, flops, families=None):
    return found.rates(keys, families or ["decoder"] * len(keys), flops)


def test_a_measured_shape_costs_what_was_measured():
    found = calibration([1e6, 1e7, 1e8], spread=1.25)
    times = rates(found, ["s1", "s0"], [1e7, 1e6]).times([0, 1, 0], [100, 200, 50], 2048)
    steps = [100 * 2e-3, 200 * 1.1e-3, 50 * 2e-3]
    expected = np.array(steps) + 2048 * 1e-5 + 0.25 + 0.05
    assert times.seconds == pytest.approx(expected, rel=1e-12)
    assert times.low == pytest.approx(expected / 1.25)
    assert times.high == pytest.approx(expected * 1.25)
    assert times.measured.all()
    assert times.messages() == []


def test_between_measured_shapes_seconds_are_close_to_a_smooth_law():
    found = calibration(np.geomspace(1e5, 1e9, 15))
    flops = np.geomspace(1.1e5, 0.9e9, 200)
    got = rates(found, [""] * 200, flops)
    assert set(got.how) == {INTERPOLATED}
    assert np.abs(got.step / overhead_and_work(flops) - 1).max() < 0.02
    assert (got.low <= overhead_and_work(flops)).all()
    assert (got.high >= overhead_and_work(flops)).all()
    assert (np.diff(got.step) >= 0).all()


def test_noise_does_not_make_a_larger_shape_cheaper_and_widens_the_range():
    flops = np.geomspace(1e5, 1e9, 15)
    noise = np.exp(0.3 * np.random.default_rng(0).standard_normal(15))
    seconds = dict(zip(flops, overhead_and_work(flops) * noise, strict=True))
    found = calibration(flops, lambda f: seconds[f])
    between = np.geomspace(1.1e5, 0.9e9, 200)
    got = rates(found, [""] * 200, between)
    assert (np.diff(got.step) >= 0).all()
    inside = (got.low <= overhead_and_work(between)) & (overhead_and_work(between) <= got.high)
    assert inside.mean() > 0.9
    # three shapes at one cost count as one, at their mean
    tied = rates(calibration([1e6, 1e6, 1e6, 1e8], lambda _: 0.004), [""], [1e7])
    assert tied.step == pytest.approx([0.004])


def test_beyond_the_largest_its_throughput_is_carried_on():
    found = calibration(np.geomspace(1e5, 1e9, 15))
    got = rates(found, [""], [1e11])
    assert got.how.tolist() == [EXTRAPOLATED]
    assert got.step == pytest.approx([float(overhead_and_work(1e9)) * 100], rel=1e-5)
    assert got.low[0] <= overhead_and_work(1e11) <= got.high[0]
    (message,) = got.times([0], [10]).messages()
    assert message.code == "SC223"
    assert message.code in CODES


def test_below_the_smallest_overhead_is_the_floor():
    found = calibration(np.geomspace(1e5, 1e9, 15))
    got = rates(found, [""], [1e3])
    assert got.how.tolist() == [EXTRAPOLATED]
    assert got.low[0] <= overhead_and_work(1e3) <= got.high[0]
    assert got.step[0] == pytest.approx(1e-3, rel=0.05)


def test_one_measured_shape_says_little_beyond_itself():
    got = rates(calibration([1e7]), ["s0", "", ""], [1e7, 1e8, 1e6])
    assert got.how.tolist() == [MEASURED, EXTRAPOLATED, EXTRAPOLATED]
    assert (got.high / got.low)[1:].min() > 2


def test_families_do_not_speak_for_each_other():
    found = Calibration.of(content({
        "a": entry(1e6, 0.001), "b": entry(1e8, 0.01), "c": entry(1e7, 5.0, family="resnet"),
    }))  # fmt: skip
    got = rates(found, ["", "", "c"], [1e7, 1e7, 1e7], ["decoder", "vit", "resnet"])
    assert got.how.tolist() == [INTERPOLATED, UNKNOWN, MEASURED]
    assert got.step[0] == pytest.approx(0.001 * 10**0.5, rel=1e-5)
    assert np.isnan(got.step[1])
    assert [m.code for m in got.times([0, 1, 2], [1, 1, 1]).messages()] == ["SC222"]


def test_rates_are_the_same_text_on_every_machine():
    got = rates(calibration(np.geomspace(1e5, 1e9, 15)), [""] * 3, [3e5, 3e6, 3e10])
    for row in (got.step, got.low, got.high, got.evaluation, got.setup):
        assert [float(f"{x:.6g}") for x in row] == row.tolist()


def test_a_hundred_thousand_points_are_quick():
    found = calibration(np.geomspace(1e5, 1e9, 40))
    flops = np.geomspace(1e4, 1e10, 1000)
    which = np.arange(100_000) % 1000
    began = time.perf_counter()
    got = rates(found, [f"x{i}" for i in range(1000)], flops)
    for _ in range(40):
        times = got.times(which, np.full(100_000, 500), 2048)
    assert time.perf_counter() - began < 2.0  # 0.2 s on an idle core
    assert np.isfinite(times.seconds).all()


def test_a_calibration_file(write):
    shapes = {shape_key("decoder", {"width": 8, "layers": 2}, 4): entry(1e6, 0.001)}
    found = Calibration.read(write("c.json", json.dumps(content(shapes))))
    assert (found.device, found.workers, found.start_seconds) == ("cpu", 2, 2.0)
    key = shape_key("decoder", {"layers": 2, "width": 8}, 4)
    assert rates(found, [key], [1e6]).how.tolist() == [MEASURED]
    assert shape_key("decoder", {"layers": 2, "width": 8}, 8) != key


def test_a_file_of_version_two_is_read_and_knows_no_peak():
    new = content({"a": entry(1e6, 0.001), "b": entry(1e8, 0.01)})
    found, old = Calibration.of(new), Calibration.of(of_version_two(new))
    assert (found.peak, found.peak_source) == (1e11, "measured matmul")
    assert (old.peak, old.peak_source) == (None, None)
    assert [e.mfu for e in found.shapes.values()] == [0.1, 0.1]
    assert [e.mfu for e in old.shapes.values()] == [None, None]
    for one in (found, old):
        got = rates(one, ["a", ""], [1e6, 1e7])
        assert got.step == pytest.approx([0.001, 0.001 * 10**0.5], rel=1e-5)
        assert one.shapes["a"].memory == 1000
    assert np.isnan(old.uses(["a"], ["decoder"], [1e6])).all()


def test_a_device_whose_peak_is_not_known():
    found = Calibration.of(
        content({"a": entry(1e6, 0.001, mfu=None)}, peak_flops=None, peak_source="unknown")
    )
    assert (found.peak, found.shapes["a"].mfu) == (None, None)


def test_utilisation_is_that_of_the_nearest_measured_shape_of_the_family():
    found = Calibration.of(content({
        "a": entry(1e6, 0.001, mfu=0.05), "b": entry(1e8, 0.01, mfu=0.4),
        "c": entry(1e9, 0.01, mfu=None), "d": entry(1e7, 5.0, family="resnet", mfu=0.2),
    }))  # fmt: skip
    keys, families = ["b", "", "", "c", "", ""], ["decoder"] * 4 + ["resnet", "vit"]
    got = found.uses(keys, families, [1e8, 0.9e7, 1.1e7, 1e9, 1e12, 1e7])
    assert got[:5].tolist() == [0.4, 0.05, 0.4, 0.4, 0.2]
    assert np.isnan(got[5])


DAMAGED = [
    "", "{", "[]", "3", "null", "{}", '{"schema": "scaling/plan@1", "shapes": {}}',
    '{"schema": "scaling/calibration@2"}', '{"schema": "scaling/calibration@2", "shapes": []}',
    '{"schema": "scaling/calibration@3"}', '{"schema": "scaling/calibration@3", "shapes": []}',
    json.dumps(content({"a": entry(1e6, 1.0, mfu=-0.1)})), json.dumps(content({}, peak_flops=0)),
    json.dumps({**of_version_two(content({"a": entry(1e6, 1.0)})),
                "schema": "scaling/calibration@3"}),
    json.dumps(content({}, peak_flops="fast")),
    json.dumps(content({"a": {}})), json.dumps(content({"a": entry(1e6, 0.0)})),
    json.dumps(content({"a": entry(1e6, -1.0)})),
    json.dumps(content({"a": {**entry(1e6, 1.0), "low": "x"}})),
    json.dumps(content({"a": entry(float("inf"), 1.0)})), json.dumps(content({}, workers=0)),
    json.dumps(content({}, start_seconds=float("nan"))), json.dumps(content({"a": 3})),
]  # fmt: skip


@pytest.mark.parametrize("text", DAMAGED)
def test_files_that_are_no_calibration(write, text):
    with pytest.raises(ConfigError) as caught:
        Calibration.read(write("c.json", text))
    assert caught.value.code == "SC012"
    assert "scaling bench" in str(caught.value)


def test_an_older_calibration_is_refused_with_the_mend(write):
    with pytest.raises(ConfigError, match=r"calibration@1(.|\n)*scaling bench") as caught:
        Calibration.read(write("c.json", '{"schema": "scaling/calibration@1", "shapes": {}}'))
    assert caught.value.code == "SC012"


def test_a_calibration_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError) as caught:
        Calibration.read(tmp_path / "c.json")
    assert caught.value.code == "SC005"
