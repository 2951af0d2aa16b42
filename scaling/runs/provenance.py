"""Where a number came from: versions and commit, never host names or paths."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any


def package_version() -> str:
    """Version of this package; ``unknown`` when it is run from a bare checkout."""
    try:
        return importlib.metadata.version("scaling-study")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def versions(*names: str) -> dict[str, str | None]:
    """Versions of Python, this package and the distributions named; None if absent."""
    out: dict[str, str | None] = {
        "python": platform.python_version(),
        "scaling-study": package_version(),
    }
    for name in names:
        try:
            out[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            out[name] = None
    return out


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
