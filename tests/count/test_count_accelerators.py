"""Accelerators: rated figures with their sources, found by name and by what torch calls them."""

import pytest

from scaling.count import accelerators
from scaling.errors import ConfigError


def test_devices_are_rated_and_say_where_that_stands():
    known = accelerators.devices()
    assert {"h100-sxm", "a100-80", "t4", "mi300x"} <= set(known)
    for device in known.values():
        assert 1e13 < device.peak < 3e15
        assert 1e10 < device.usable < device.memory < 4e11
        assert 50 < device.watts < 1500
        assert "sheet" in device.source or "paper" in device.source
        assert accelerators.match(device.names[0]) == device
        # nothing here is "with sparsity": no device does 20 TFLOP/s dense a watt
        assert device.peak / device.watts < 2.5e12
    assert accelerators.get("h100-sxm").peak == 989.4e12
    assert accelerators.match("abacus") is None


def test_an_unknown_device_is_refused_with_those_known():
    with pytest.raises(ConfigError, match="h100-sxm") as caught:
        accelerators.get("h100")
    assert caught.value.code == "SC012"


@pytest.mark.parametrize(
    ("title", "peak"),
    [("NVIDIA H100 80GB HBM3", 989e12), ("NVIDIA H100 PCIe", 756e12), ("NVIDIA H100 NVL", 835e12)],
)
def test_the_kinds_of_an_h100_have_their_own_peaks(title, peak):
    found = accelerators.match(title)
    assert found.peak == pytest.approx(peak, rel=1e-3)
    assert found.precision == "bf16"


@pytest.mark.parametrize("title", ["NVIDIA H100 80GB HBM3 MIG 1g.10gb", "NVIDIA H100", "", "cpu"])
def test_a_part_of_a_device_and_a_name_that_says_too_little_are_not_known(title):
    assert accelerators.match(title) is None


def test_no_two_devices_are_called_the_same():
    names = [name for device in accelerators.devices().values() for name in device.names]
    assert len(names) == len(set(names))
