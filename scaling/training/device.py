"""The device that a name stands for, and the peak that its use is measured against."""

from __future__ import annotations

import time
from functools import cache
from statistics import median

import torch

from scaling.count.accelerators import match
from scaling.errors import Fault, TrainingError

MEASURED = "measured matmul"
UNKNOWN = "unknown"
SIDE = 512  # of the square matrices that are multiplied
MATMULS, MATMUL_SECONDS = 32, 0.2  # at most so many, for so long


def device_of(name: str) -> torch.device:
    """Return the device of a name: ``cpu``, ``cuda``, or ``auto`` for CUDA where there is one.

    Raises
    ------
    TrainingError
        SC306 if there is no CUDA device.
    """
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        found = "no CUDA device on this machine"
        raise TrainingError(Fault("SC306", "--device cuda", found, mend="--device cpu"))
    return torch.device(("cuda" if there else "cpu") if name == "auto" else name)


@cache
def peak_flops(device: torch.device) -> tuple[float | None, str]:
    """Peak of what the training loop computes in on a device, the divisor of its MFU.

    On a GPU the loop multiplies in bfloat16: the peak is the vendor's for dense bfloat16, and there
    is none for a device that is rated in another precision (fp16 alone) or not known. A CPU has no
    vendor's figure: the peak is the rate at which one thread, as a worker has, multiplies dense
    float32 matrices now, so that it holds for the load of this moment. Found once a process.

    Parameters
    ----------
    device : torch.device

    Returns
    -------
    peak : float or None
        [FLOP/s].
    source : str
        ``measured matmul`` on a CPU, title and precision of a known GPU, else ``unknown``.
    """
    if device.type == "cpu":
        return _matmul_rate(), MEASURED
    found = match(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
    if found is None or found.precision != "bf16":
        return None, UNKNOWN
    return found.peak, f"{found.title}, dense {found.precision}"


def _matmul_rate() -> float:
    """FLOP/s of dense float32 products on one thread: the median of a few."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        a, out = torch.full((SIDE, SIDE), 0.5), torch.empty(SIDE, SIDE)
        torch.mm(a, a, out=out)  # the first is slow
        spent: list[float] = []
        end = time.perf_counter() + MATMUL_SECONDS
        while not spent or (len(spent) < MATMULS and time.perf_counter() < end):
            began = time.perf_counter()
            torch.mm(a, a, out=out)
            spent.append(time.perf_counter() - began)
    finally:
        torch.set_num_threads(threads)
    return float(2 * SIDE**3 / median(spent))
