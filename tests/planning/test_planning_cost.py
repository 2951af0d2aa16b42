"""Costs: wall time, trunks, devices and totals, against hand values."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from scaling.codes import CODES
from scaling.count.accelerators import get
from scaling.errors import ConfigError
from scaling.planning.costing import devices
from scaling.planning.costing.calibration import ASSUMED, MEASURED, UNKNOWN, Calibration, Times
from scaling.planning.costing.cost import Range, concerns, shared_compute, total, wall_seconds


def times(seconds, low=0.9, high=1.2, how=MEASURED):
    found = np.asarray(seconds, dtype=float)
    return Times(found, low * found, high * found, np.full(len(found), how, dtype=np.int8))


def calibration(device="cpu", kind="cpu", workers=2):
    return Calibration(device, kind, "2.13.0", 1, workers, 3.0, 0.0, {})


# -------------------------------------------------------------------------------------- wall time


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_wall_time_of_equal_workers(workers):
    costs = [5.0, 4.0, 3.0, 3.0, 3.0]
    found = wall_seconds(costs, workers)
    best = min(
        max(sum(c for c, w in zip(costs, where, strict=True) if w == k) for k in range(workers))
        for where in itertools.product(range(min(workers, 5)), repeat=5)
    )
    assert best <= found <= best * (4 / 3 - 1 / (3 * workers))
    assert found == wall_seconds(costs[::-1], workers)
    assert wall_seconds(costs, workers, 2.0) == found + 2.0


def test_no_points_take_no_time():
    assert wall_seconds([], 4, 2.0) == 0.0


# ----------------------------------------------------------------------------------------- trunks


def test_a_trunk_with_branches_costs_what_the_literature_says():
    """D of 1/2 to 8 with 20% cooldowns: 9.5 instead of 15.5 (Hägele et al. 2024)."""
    D = np.array([4, 0.5, 8, 1, 2])
    found = shared_compute(["a"] * 5, D, 0.2, 1.0)
    assert found.sum() == pytest.approx(9.5)
    assert D.sum() == 15.5
    assert found == pytest.approx([0.8 * 2 + 0.8, 0.5, 0.8 * 4 + 1.6, 0.8 * 0.5 + 0.2, 1.2])


def test_each_trunk_is_paid_for_once():
    rng = np.random.default_rng(0)
    trunk, D = rng.integers(0, 7, 60), rng.uniform(1, 9, 60)
    decay, flops = rng.uniform(0, 1, 60), 1e6 * (1.0 + trunk)
    found = shared_compute(trunk, D, decay, flops)
    for name in range(7):
        mine = trunk == name
        stem = ((1 - decay[mine]) * D[mine]).max()
        whole = 1e6 * (1 + name) * (stem + (decay[mine] * D[mine]).sum())
        assert found[mine].sum() == pytest.approx(whole)
    alone = shared_compute(np.arange(60), D, decay, flops)
    assert alone == pytest.approx(D * flops)


# ---------------------------------------------------------------------------------------- devices


def test_hours_of_the_handbook():
    """1e18 FLOP at 40% of one H100 take 42 minutes, 1e17 at 25% 6.7 minutes."""
    h100 = get("h100-sxm")
    big = devices.device_times(h100, [1e18], [2e8], [1000])
    assert big.seconds / 60 == pytest.approx([42.1], abs=0.1)
    small = devices.device_times(h100, [1e17], [1e7], [1000])
    assert small.seconds / 60 == pytest.approx([6.74], abs=0.05)
    assert small.low < small.seconds
    assert small.seconds < small.high
    assert small.high / small.seconds == pytest.approx(0.25 / 0.10)
    assert [m.code for m in small.messages()] == ["SC225"]
    assert "SC225" in CODES


def test_utilisation_rises_with_size_without_a_jump():
    sizes = np.geomspace(1e5, 1e10, 400)
    for row in devices.mfu(sizes):
        assert (np.diff(row) >= 0).all()
        assert np.diff(row).max() < 0.02
    middle, low, high = devices.mfu([1e6, 1e9])
    assert middle.tolist() == [0.25, 0.40]
    assert (low < middle).all()
    assert (middle < high).all()


def test_a_small_model_waits_for_launches():
    h100 = get("h100-sxm")
    found = devices.device_times(h100, [1e10], [1e4], [5000])
    assert found.seconds.tolist() == [15.0]  # 3 ms a step, not 1e10 FLOP at a quarter of the peak
    assert (found.low.tolist(), found.high.tolist()) == ([5.0], [40.0])


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01])
def test_an_impossible_utilisation_is_refused(share):
    with pytest.raises(ConfigError) as caught:
        devices.device_times(get("t4"), [1e18], [1e8], [10], share)
    assert caught.value.code == "SC012"
    one = devices.device_times(get("t4"), [6.5e18], [1e8], [10], 1.0)
    assert one.seconds == one.low == one.high == 1e5


# ----------------------------------------------------------------------------------------- totals


def test_a_total_on_this_machine():
    found = total(times([10, 20, 30]), [1e9, 2e9, 3e9], 2, calibration=calibration())
    assert (found.points, found.flops, found.workers) == (3, 6e9, 2)
    assert found.seconds == Range(60.0, 54.0, 72.0)
    assert found.wall_seconds == Range(33.0, 30.0, 39.0)
    assert found.gpu_hours is found.money is found.kwh is None
    assert any("measured on cpu with 2 working at once" in line for line in found.assumptions)


def test_a_calibration_of_other_conditions_is_told():
    l4, t4 = get("l4"), get("t4")
    measured = calibration("NVIDIA L4", "cuda", workers=2)
    assert concerns(measured, 2, None) == concerns(measured, 2, l4) == []
    found = concerns(measured, 3, t4)
    assert [m.code for m in found] == ["SC226", "SC226"]
    assert "NVIDIA T4" in found[0].text
    assert "NVIDIA L4" in found[0].text
    assert "--workers 3" in found[1].mend


def test_seconds_of_a_cpu_are_never_hours_of_the_gpu_that_a_study_names():
    found = total(times([10.0]), [1.0], 1, calibration=calibration(), device=get("t4"))
    assert found.gpu_hours is None
    assert found.kwh is None


def test_a_total_in_hours_money_and_energy():
    h100 = get("h100-sxm")
    found = total(
        times([7200, 3600], how=ASSUMED), [1e18, 5e17], 2, device=h100, price_per_hour=3.0
    )
    assert found.gpu_hours.value == pytest.approx(3.0)
    assert found.money.value == pytest.approx(9.0)
    assert found.kwh.value == pytest.approx(3.0 * 0.7 * 0.8 * 1.2)
    assert found.money.high == pytest.approx(9.0 * 1.2)
    said = " ".join(found.assumptions)
    for part in ("9.894e+14", "25% (10% to 40%)", "3 ms", "3 an hour", "700 W", "80%", "1.2"):
        assert part in said


def test_workers_that_share_a_device_share_its_hours():
    found = total(
        times([7200, 7200]), [1.0, 1.0], 2, price_per_hour=2.0,
        calibration=calibration("NVIDIA L4", "cuda", workers=2),
    )  # fmt: skip
    assert found.gpu_hours.value == pytest.approx(2.0)
    assert found.kwh.value == pytest.approx(2.0 * 0.072 * 0.8 * 1.2)


def test_the_price_of_a_machine_without_a_gpu_is_paid_while_it_runs():
    found = total(
        times([3597, 3597]), [1.0, 1.0], 2, calibration=calibration(), price_per_hour=0.5, watts=100
    )
    assert found.money.value == pytest.approx(0.5)
    assert found.kwh.value == pytest.approx(0.1 * 0.8 * 1.2)


@pytest.mark.parametrize("known", [None, times([1.0, np.nan], how=UNKNOWN)])
def test_what_is_not_known_stays_open(known):
    found = total(known, [1.0, 2.0], 2, calibration=calibration(), memory=5.0)
    assert (found.seconds, found.wall_seconds, found.money) == (None, None, None)
    assert found.as_dict() == {
        "points": 2, "C": 3.0, "workers": 2, "seconds": None, "wall_seconds": None,
        "gpu_hours": None, "money": None, "kwh": None, "mfu": None,
        "memory_bytes": 5.0, "memory_measured": False, "range": {},
        "assumptions": [],
    }  # fmt: skip


def test_what_the_device_was_used_for_is_told_with_its_peak():
    rated = replace(calibration(), peak=1.1e11, peak_source="measured matmul")
    use = Range(0.2, 0.05, 0.4)
    found = total(times([10.0]), [1.0], 2, calibration=rated, measured_use=use, notes=["A note."])
    (said,) = (line for line in found.assumptions if line.startswith("MFU"))
    assert said.startswith("MFU 20% (5% to 40% by shape)")
    assert "1.1e+11 FLOP/s a worker (measured matmul)" in said
    assert "A note." in found.assumptions
    assert found.as_dict()["mfu"] == 0.2
    assert found.as_dict()["range"]["mfu"] == [0.05, 0.4]
    plain = total(times([10.0]), [1.0], 2, calibration=calibration())
    assert plain.mfu is None
    assert not any("MFU" in line for line in plain.assumptions)


def test_a_total_as_json():
    found = total(times([1 / 3]), [1.0], 1, calibration=calibration()).as_dict()
    assert found["seconds"] == 0.333333
    assert found["range"]["wall_seconds"] == [3.3, 3.4]
