"""Prices of a plan: what was measured of a shape stands before what is estimated of it."""

import pytest

from scaling.planning.costing.calibration import Calibration, Measured, shape_key
from scaling.planning.inputs import Inputs
from tests.planning.studies import BYTES, planned

DESIGN = {"kind": "grid", "params": [1e4, 4e4, 1e5], "data": [1e6, 2e6]}
BYTE = 777_000_001  # no estimate comes out as this


def measured(points, *, kind="cpu", memory=BYTE, mfu=0.25):
    """A calibration of the shapes of these points."""
    shapes = {
        shape_key(p.family, p.shape, p.sequences): Measured(
            p.family, p.C / p.steps, 1e-3, 9e-4, 2e-3, 1e-5, 0.1, 0.0, memory, mfu
        )
        for p in points
    }
    device = "cpu" if kind == "cpu" else "NVIDIA H100 80GB HBM3"
    return Calibration(device, kind, "2.13.0", 1, 1, 2.0, 0.01, shapes, 1e11, "measured matmul")


def plan(calibration=None, **sections):
    return planned(DESIGN, BYTES, Inputs(calibration), **sections)


def said(found, word):
    return [line for line in found.total.assumptions if word in line]


@pytest.fixture(scope="module")
def free():
    return plan()


def test_memory_that_was_measured_stands_before_the_estimate(free):
    some = [p for p in free if min(q.N for q in free) == p.N]
    found = plan(measured(some))
    for new, old in zip(found, free, strict=True):
        assert new.memory == (BYTE if new.N == some[0].N else old.memory)
        assert new.id == old.id
    assert said(found, "Memory") == [
        "Memory of 2 of 6 points was measured; that of the others is estimated."
    ]
    assert found.total.memory == BYTE
    assert found.totals["memory_measured"] is True


def test_the_largest_point_may_be_an_estimate(free):
    some = [p for p in free if min(q.N for q in free) == p.N]
    found = plan(measured(some, memory=1000))
    assert found.total.memory == max(p.memory for p in free)
    assert found.totals["memory_measured"] is False
    assert free.totals["memory_measured"] is False
    assert not said(free, "Memory")


def test_all_measured_is_said_in_fewer_words(free):
    assert said(plan(measured(free)), "Memory") == ["Memory of 6 of 6 points was measured."]


def test_a_shape_whose_memory_is_not_known_is_estimated(free):
    found = plan(measured(free, memory=None))
    assert [p.memory for p in found] == [p.memory for p in free]
    assert not said(found, "Memory")


def test_memory_of_a_cpu_says_nothing_of_an_accelerator(free):
    engine = {"accelerator": "h100-sxm"}
    there = [p.memory for p in plan(engine=engine)]
    assert [p.memory for p in plan(measured(free), engine=engine)] == there
    assert {p.memory for p in plan(measured(free, kind="cuda"), engine=engine)} == {BYTE}


def test_what_did_not_fit_at_once_is_trained_in_parts(free):
    """The whole batch is known to be too large; the estimate of a part of it is what remains."""
    engine = {"memory_gib": (BYTE - 1) / 2**30}
    found = plan(measured(free), engine=engine)
    assert len(found) == len(free)
    assert all(new.memory <= old.memory for new, old in zip(found, free, strict=True))


def test_utilisation_of_a_plan_is_that_of_all_its_work(free):
    calibration = measured(free)
    shapes = dict(calibration.shapes)
    least = min(shapes, key=lambda key: shapes[key].flops)
    shapes[least] = Measured(**{**vars(shapes[least]), "mfu": 0.05})
    found = plan(Calibration(**{**vars(calibration), "shapes": shapes}))
    slow = sum(p.C for p in found if p.N == min(q.N for q in found))
    rest = found.total.flops - slow
    use = found.total.mfu
    assert use.value == pytest.approx((slow + rest) / (slow / 0.05 + rest / 0.25))
    assert (use.low, use.high) == (0.05, 0.25)
    assert len(said(found, "MFU")) == 1


def test_a_calibration_without_a_peak_leaves_utilisation_out(free):
    found = plan(measured(free, mfu=None))
    assert found.totals["mfu"] is None
    assert not said(found, "MFU")
    assert free.totals["mfu"] is None
