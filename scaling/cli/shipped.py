"""Files that lie beside the package in a checkout, and inside it once it is installed."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def shipped(name: str) -> Path:
    """Return where ``sweeps`` or ``CITATION.cff`` lies."""
    inside = PACKAGE / name
    return inside if inside.exists() else PACKAGE.parent / name
