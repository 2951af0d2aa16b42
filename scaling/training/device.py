"""The device that a name stands for."""

from __future__ import annotations

import torch

from scaling.errors import Fault, TrainingError


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
