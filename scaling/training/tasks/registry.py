"""The tasks by name: ours, those of other packages, and a user's own ``module:class``."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Mapping
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from scaling.errors import ConfigError, Fault, clip
from scaling.training.tasks.code import CODE, load

if TYPE_CHECKING:
    import torch

    from scaling.training.tasks.base import Computed, Task

GROUP = "scaling.tasks"
OURS = {
    "text": "text:Text",
    "masked": "masked:Masked",
    "classify": "classify:Classify",
    "truth": "known:Known",
    "examples": "drawn:DrawnExamples",
    "images": "images:Images",
    "recommendation": "recommendation:Recommendation",
}


def class_of(name: str, folder: Path | None = None) -> type[Task] | type[Computed]:
    """Return the class of a task.

    Parameters
    ----------
    name : str
        A name of ours or of an entry point, or ``module:class``.
    folder : Path, optional
        Where the module of ``module:class`` is looked for first.

    Raises
    ------
    ConfigError
        SC321 if it cannot be found or loaded.
    """
    if name in OURS:
        module, _, member = OURS[name].partition(":")
        found = getattr(importlib.import_module(f"scaling.training.tasks.{module}"), member)
        return cast("type[Task]", found)
    added = {entry.name: entry for entry in entry_points(group=GROUP)}
    expected = f"one of {', '.join([*OURS, *sorted(added)])}, or module:class of your own"
    if name not in added and not all(name.partition(":")):
        near = get_close_matches(name, [*OURS, *added], n=1)
        mend = f'did you mean "{near[0]}"?' if near else ""
        raise ConfigError(Fault("SC321", "[data] task", f'"{clip(name)}"', expected, mend))
    try:
        if name in added:
            return cast("type[Task]", added[name].load())
        module, _, member = name.partition(":")
        return cast("type[Task]", getattr(load(module, folder), member))
    except Exception as error:
        said = str(error).strip().splitlines() or [""]
        what = f"{type(error).__name__}: {clip(said[0])}"
        found_text = f'"{clip(name)}": {what}{place_of(error, folder)}'
        raise ConfigError(Fault("SC321", "[data] task", found_text, expected)) from error


def place_of(error: BaseException, folder: Path | None) -> str:
    """File and line of the user's own code where an error arose; empty if in none."""
    frames = traceback.extract_tb(error.__traceback__) if folder is not None else []
    own = [f for f in frames if folder is not None and Path(f.filename).parent == folder.resolve()]
    return f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""


def task_of(point: Mapping[str, Any], device: torch.device, folder: Path | None) -> Task:
    """Make the task of a point that is trained by gradients."""
    code = None if folder is None else folder / CODE
    made = cast("type[Task]", class_of(str(point["task"]), code))
    return made(point, device, folder)


def computed(point: Mapping[str, Any], folder: Path | None) -> Computed | None:
    """Make the task of a point whose loss is computed; None if it is trained."""
    from scaling.training.tasks.base import Computed

    code = None if folder is None else folder / CODE
    found = class_of(str(point["task"]), code)
    return found(point) if issubclass(found, Computed) else None
