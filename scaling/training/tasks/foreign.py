"""A task of the user's own: its data as a manifest, its models counted, its code kept."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from scaling.errors import ConfigError, Fault, ScalingError
from scaling.runs.manifest import Manifest
from scaling.training.counting import count_made
from scaling.training.tasks.base import Computed, Task
from scaling.training.tasks.examples import Examples, digest
from scaling.training.tasks.registry import class_of


@dataclass(frozen=True)
class Foreign:
    """What planning needs of a task that is not ours.

    Attributes
    ----------
    manifest : Manifest or None
        None where the study names a source of ours.
    counted : mapping or None
        Counts of its models, as `scaling.planning.inputs` takes them; None where the study names
        a family of ours.
    code : mapping of str to str
        Text of its module by file name, which the sweep folder keeps; empty for a package's.
    """

    manifest: Manifest | None
    counted: Mapping[str, Any] | None
    code: Mapping[str, str]


def describe(
    name: str, data: Mapping[str, Any], model: Mapping[str, Any], base: Path | None, own: bool
) -> Foreign:
    """Make the data of a user's task once, and count its models without allocating them.

    Parameters
    ----------
    name : str
        ``module:class``, or the name of an entry point.
    data, model : mapping
        ``[data] options`` and ``[model] options`` of the study.
    base : Path, optional
        Folder of the study file, in which the module is looked for.
    own : bool
        Whether the task brings data of its own.

    Raises
    ------
    ConfigError
        SC321 if the class is no task or fails; others as in `scaling.training.counting`.
    """
    kind = class_of(name, base or Path())
    if not (isinstance(kind, type) and issubclass(kind, (Task, Computed))):
        found = f"{name} is {type(kind).__name__}"
        expected = "a class made from scaling.training.tasks.Examples, Task or Computed"
        raise ConfigError(Fault("SC321", "[data] task", found, expected))
    if not own and issubclass(kind, Examples) and kind.data is not Examples.data:
        found, mend = "beside a task that has data of its own", "leave [data] source out"
        raise ConfigError(Fault("SC012", "[data] source", found, mend=mend))
    if issubclass(kind, Examples) and kind.network is not Examples.network and "dials" not in model:
        found, expected = "missing", f"the sizes that {name} makes networks of, such as [8, 16, 32]"
        raise ConfigError(Fault("SC012", "[model.options] dials", found, expected))
    code = _code(kind, base or Path())
    manifest, counted, example = None, None, None
    if own:
        train, held_out = _data(kind, name, data)
        manifest = _manifest(name, data, train, held_out, "".join(code.values()))
        example = tuple(part[:1] for part in train)
    if "dials" in model:
        if not issubclass(kind, Examples) or example is None:
            found = "[model] options dials, without data and network of its own"
            raise ConfigError(Fault("SC321", "[data] task", found, "a class made from Examples"))
        inputs = kind.inputs(example)
        counted = count_made(lambda dial: (kind.network(dial, data), inputs), name, model)
    return Foreign(manifest, counted, code)


def _data(kind: type[Any], name: str, options: Mapping[str, Any]) -> Any:
    """Both parts of a task's own data, looked over."""
    where, expected = f"{name}.data", "two tuples of tensors with examples along the first axis"
    try:
        parts = kind.data(options)
        train, held_out = (tuple(part) for part in parts)
    except ScalingError:
        raise
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
        raise ConfigError(Fault("SC321", where, found, expected)) from error
    for part in (train, held_out):
        lengths = {len(t) for t in part if isinstance(t, Tensor) and t.dim()}
        if not part or len(lengths) != 1 or not all(isinstance(t, Tensor) for t in part):
            raise ConfigError(
                Fault("SC321", where, f"{len(part)} parts of lengths {lengths}", expected)
            )
    return train, held_out


def _manifest(
    name: str, options: Mapping[str, Any], train: Sequence[Tensor], held_out: Sequence[Tensor],
    code: str,
) -> Manifest:  # fmt: skip
    there, kept = len(train[0]), len(held_out[0])
    detail = f"{there} examples of {name}, {kept} held out"
    return Manifest(
        name, digest(train, held_out, code), 0, there, kept, detail, None, dict(options)
    )


def _code(kind: type[Any], base: Path) -> dict[str, str]:
    """Text of the module, where it is the user's own file and not an installed package."""
    try:
        path = Path(inspect.getfile(kind)).resolve()
    except (TypeError, OSError):
        return {}
    if path.parent != base.resolve():
        return {}
    return {path.name: path.read_text(encoding="utf-8")}
