"""The peak that MFU is taken against: rated on a GPU, measured on a CPU, never guessed."""

import time

import pytest

torch = pytest.importorskip("torch")

from scaling.training import device  # noqa: E402

CUDA = torch.device("cuda")


@pytest.fixture(autouse=True)
def fresh():
    """Let each test find the peak anew."""
    device.peak_flops.cache_clear()
    yield
    device.peak_flops.cache_clear()


@pytest.mark.parametrize(
    ("title", "peak", "source"),
    [
        ("NVIDIA H100 80GB HBM3", 989.4e12, "NVIDIA H100 SXM 80 GB, dense bf16"),
        ("NVIDIA H100 PCIe", 756e12, "NVIDIA H100 PCIe 80 GB, dense bf16"),
        ("NVIDIA H100 NVL", 835e12, "NVIDIA H100 NVL 94 GB, dense bf16"),
        ("Tesla T4", None, "unknown"),  # rated at fp16, and the loop computes in bf16
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None, "unknown"),
        ("Abacus 9000", None, "unknown"),
    ],
)
def test_a_gpu_has_the_peak_that_its_vendor_rates(monkeypatch, title, peak, source):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: title)
    assert device.peak_flops(CUDA) == (peak, source)


def test_a_device_of_another_kind_has_none():
    assert device.peak_flops(torch.device("meta")) == (None, "unknown")


def test_a_cpu_is_measured_once_on_one_thread(cpu, monkeypatch):
    threads = torch.get_num_threads()
    began = time.perf_counter()
    peak, source = device.peak_flops(cpu)
    spent = time.perf_counter() - began
    assert source == "measured matmul"
    assert 1e9 < peak < 1e12
    assert spent < 1.0  # 0.1 s on an idle core
    assert torch.get_num_threads() == threads
    monkeypatch.setattr(device, "_matmul_rate", lambda: pytest.fail("measured again"))
    assert device.peak_flops(cpu) == (peak, source)


def test_the_rate_is_that_of_the_median_product(monkeypatch):
    ticks, asked = [0.004, 0.004, 0.004, 0.1, 0.004], []

    class Clock:
        now = 0.0

        def perf_counter(self):
            return self.now

    clock = Clock()

    def mm(a, b, out):
        asked.append(a.shape)
        clock.now += ticks[len(asked) % 5]

    monkeypatch.setattr(device, "time", clock)
    monkeypatch.setattr(torch, "mm", mm)
    assert device._matmul_rate() == pytest.approx(2 * 512**3 / 0.004)
    assert clock.now < device.MATMUL_SECONDS + 0.11
    assert 5 < len(asked) < device.MATMULS
