"""Where a number came from: versions and commit, never host names or paths."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any


def package_version() -> str:
    """Version of this package; ``unknown`` when it is run from a bare checkout."""
    return _version("scaling-study") or "unknown"


def versions(*names: str) -> dict[str, str | None]:
    """Versions of Python, this package and the distributions named; None if absent."""
    found: dict[str, str | None] = {
        "python": platform.python_version(),
        "scaling-study": package_version(),
    }
    return found | {name: _version(name) for name in names}


@lru_cache
def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def platform_of() -> dict[str, Any]:
    """System, architecture and number of processors; nothing that names the machine."""
    found: dict[str, Any] = {"system": platform.system(), "machine": platform.machine()}
    return found | {"cpus": os.cpu_count()}


@lru_cache
def gpu_driver() -> str | None:
    """Version of NVIDIA's driver; None where there is none."""
    try:
        words = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8").split()
    except OSError:
        return None
    return next((word for word in words if word[:1].isdigit() and "." in word), None)


def commit(folder: Path | None = None, seconds: float = 5.0) -> dict[str, Any] | None:
    """Commit of the checkout that holds `folder`, and whether it has changes; None outside one.

    Where git needs longer than so many seconds to see the changes, ``dirty`` is None.
    """

    def git(*args: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", *args],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=True,
            )
        except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
            return None
        return done.stdout.strip()

    found = git("rev-parse", "HEAD")
    if not found:
        return None
    changes = git("status", "--porcelain")
    return {"commit": found, "dirty": None if changes is None else bool(changes)}
