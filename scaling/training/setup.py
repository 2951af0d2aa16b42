"""How this machine trains: what may follow the hardware, and never N, D, batch or rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from scaling.training.engines.base import devices_of

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}


@dataclass(frozen=True)
class Setup:
    """Settings of the machine.

    Attributes
    ----------
    precision : {"auto", "float32", "bfloat16", "float64"}
        Of the matrix products; ``bfloat16`` means autocast over float32 weights, which ``auto``
        takes on a GPU that has it. ``float64`` is everything in double precision, for comparisons.
    compile : {"auto", "off", "inductor", "graphs", "trial"}
        Whether the pass is compiled, and with CUDA graphs; a trial measures what pays. ``auto`` is
        a trial on a GPU and off on a CPU, whose results are then the same bits everywhere.
    stack : int or "auto"
        Points of one shape that are trained as one model at most; ``auto`` is a trial on a GPU and
        1 on a CPU.
    devices : int
        Devices of each point with N of `devices_from` or more.
    devices_from : float
    sharding : {"auto", "ddp", "fsdp"}
        How a point lies on several devices; ``auto`` shards what does not fit on one.
    checkpoint_seconds : float
        Time between checkpoints [s].
    keep : bool
        Whether the last checkpoint of a finished point stays.
    share : float
        Part of a GPU's memory that this process may take, where several use one.
    folder : Path or None
        Sweep folder, where weights to start from and tasks of the user's own are looked for.
    """

    precision: str = "auto"
    compile: str = "auto"
    stack: int | str = "auto"
    devices: int = 1
    devices_from: float = 0.0
    sharding: str = "auto"
    checkpoint_seconds: float = 60.0
    keep: bool = False
    share: float = 1.0
    folder: Path | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Setup:
        """Take from a study's engine section what is known here."""
        known = set(cls.__dataclass_fields__) - {"folder"}
        return cls(**{k: v for k, v in settings.items() if k in known})

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as JSON has them, without the folder."""
        return {name: value for name, value in asdict(self).items() if name != "folder"}

    def of_point(self, point: Mapping[str, Any]) -> Setup:
        """Return the settings with what a point itself asks for, as variants of a study do."""
        own = point.get("machine")
        return replace(self, **own) if own else self

    def dtype(self, device: torch.device) -> torch.dtype:
        """Type of the matrix products on a device."""
        if self.precision != "auto":
            return PRECISIONS[self.precision]
        gains = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if gains else torch.float32

    def tries(self, device: torch.device) -> bool:
        """Whether compiling is decided by a trial on this device."""
        return self.compile == "trial" or (self.compile == "auto" and device.type == "cuda")

    def ranks(self, point: Mapping[str, Any]) -> int:
        """Devices that a point is trained on."""
        return devices_of(point, self.as_dict())


def prepare_share(device: torch.device, setup: Setup) -> None:
    """Keep a process that shares a GPU to its part of the memory."""
    if device.type == "cuda" and setup.share < 1.0:
        torch.cuda.set_per_process_memory_fraction(setup.share, device)


def prepare(device: torch.device) -> None:
    """Fix what decides speed and determinism: threads, denormals, TF32."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
