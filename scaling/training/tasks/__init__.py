"""Tasks: data in a fixed order, the model of a shape, its loss and its metrics."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling.training.tasks.base import Computed, Task
    from scaling.training.tasks.examples import Examples

__all__ = ["Computed", "Examples", "Task"]
_WHERE = {"Computed": "base", "Examples": "examples", "Task": "base"}


def __getattr__(name: str) -> Any:
    """Import what a task of one's own is made from when it is asked for."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
