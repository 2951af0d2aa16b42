"""Accelerators by name: peak, memory and power as their vendors rate them.

A peak belongs to a precision. What is listed is that of dense matrix products at 16 bits, which is
what a GPU trains in; an MFU of 32-bit or TF32 products is not taken against it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from scaling.errors import ConfigError, Fault

USABLE = 0.9  # share of the rated memory that a process can fill


@dataclass(frozen=True)
class Device:
    """An accelerator as its vendor rates it.

    Attributes
    ----------
    name, title : str
    peak : float
        Dense matrix products at 16 bits [FLOP/s].
    precision : str
        What those 16 bits are.
    memory : float
        [bytes].
    watts : float
        Board power [W].
    names : tuple of str
        What torch calls it.
    source : str
        Where the figures stand.
    """

    name: str
    title: str
    peak: float
    precision: str
    memory: float
    watts: float
    names: tuple[str, ...]
    source: str

    @property
    def usable(self) -> float:
        """Memory that a process can fill [bytes]."""
        return USABLE * self.memory


@cache
def devices() -> Mapping[str, Device]:
    """Return all known devices, by name."""
    path = Path(__file__).with_suffix(".toml")
    found = {}
    for name, entry in tomllib.loads(path.read_text(encoding="utf-8")).items():
        memory = float(entry.pop("memory_gb")) * 1e9
        names = tuple(entry.pop("names"))
        found[name] = Device(name=name, memory=memory, names=names, **entry)
    return MappingProxyType(found)


def get(name: str, where: str = "device") -> Device:
    """Return the device called `name`.

    Raises
    ------
    ConfigError
        SC012 with the known names.
    """
    known = devices()
    if name not in known:
        near = [other for other in known if other.startswith(name.split("-")[0])]
        mend = f"did you mean {' or '.join(near)}?" if near else ""
        raise ConfigError(Fault("SC012", where, f'"{name}"', "one of " + ", ".join(known), mend))
    return known[name]


def match(title: str) -> Device | None:
    """Return the device that torch calls `title`; None for one that is not known."""
    return next((d for d in devices().values() if title in d.names), None)
