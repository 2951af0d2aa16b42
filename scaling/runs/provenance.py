"""Where a number came from: versions and commit, never host names or paths."""

from __future__ import annotations

import importlib.metadata
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


def commit(folder: Path | None = None) -> dict[str, Any] | None:
    """Commit of the checkout that holds `folder`, and whether it has changes; None outside one."""

    def git(*args: str) -> str:
        done = subprocess.run(
            ["git", *args], cwd=folder, capture_output=True, text=True, timeout=5, check=True
        )
        return done.stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
