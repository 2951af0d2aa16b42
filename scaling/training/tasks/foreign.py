"""A task of the user's own: its data as a manifest, its models counted, its code kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scaling.errors import ConfigError, Fault, ScalingError
from scaling.runs.files import sha256_text
from scaling.runs.manifest import Manifest
from scaling.training.counting import count_made
from scaling.training.tasks.base import Batch, Computed, Task
from scaling.training.tasks.code import joined, own_code
from scaling.training.tasks.examples import Examples, digest
from scaling.training.tasks.registry import class_of

TRIED = 2  # examples that a loss is asked of


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
        Text of its module, and of those beside it that it imports, by file name: the sweep
        folder keeps them. Empty for a package's.
    """

    manifest: Manifest | None
    counted: Mapping[str, Any] | None
    code: Mapping[str, str]

    @property
    def hash(self) -> str:
        """sha256 over the code."""
        return sha256_text(joined(self.code))


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
        Folder of the study file, in which the module is looked for, or of a sweep, which has its
        code.
    own : bool
        Whether the task brings data of its own.

    Raises
    ------
    ConfigError
        SC321 if the class is no task or fails; others as in `scaling.training.counting`.
    """
    code, base = own_code(name, base or Path())
    kind = class_of(name, base)
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
    manifest, counted, example = None, None, None
    if own:
        train, held_out = _data(kind, name, data)
        manifest = _manifest(name, data, train, held_out, joined(code))
        example = tuple(part[:1] for part in train)
    if "dials" in model:
        if not issubclass(kind, Examples) or example is None:
            found = "[model] options dials, without data and network of its own"
            raise ConfigError(Fault("SC321", "[data] task", found, "a class made from Examples"))
        inputs = kind.inputs(example)
        counted = count_made(lambda dial: (kind.network(dial, data), inputs), name, model)
        _try_loss(kind, name, min(model["dials"]), data, tuple(part[:TRIED] for part in train))
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
        if max(lengths) < TRIED:
            found, least = f"a part of {max(lengths)} examples", f"at least {TRIED} in both parts"
            raise ConfigError(Fault("SC321", where, found, least))
    return train, held_out


def _try_loss(
    kind: type[Examples], name: str, dial: int, options: Mapping[str, Any], batch: Batch
) -> None:
    """Ask for the losses of a few examples, which nothing has asked for before training.

    Raises
    ------
    ConfigError
        SC321 if there is no loss, or not one an example.
    """
    where, expected = f"{name}.each", "a tensor of one loss an example"
    if kind.each is Task.each:
        if kind.loss is not Task.loss and kind.examine is not Task.examine:
            return
        raise ConfigError(Fault("SC321", where, "missing", expected))
    task = object.__new__(kind)
    task.point = {"task": name, "data": {"options": options}, "shape": {"dial": dial}, "seed": 0}
    task.device, task.folder = torch.device("cpu"), None
    try:
        with torch.random.fork_rng(devices=[]):
            found = task.each(kind.network(dial, options), batch)
    except (KeyError, AttributeError):  # it wants more of a point than there is before a plan
        return
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise ConfigError(Fault("SC321", where, said, expected)) from error
    if not isinstance(found, Tensor) or found.shape != (TRIED,):
        said = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        text = f"{said} of {TRIED} examples"
        raise ConfigError(Fault("SC321", where, text, f"{expected}: shape ({TRIED},)"))


def _manifest(
    name: str, options: Mapping[str, Any], train: Sequence[Tensor], held_out: Sequence[Tensor],
    code: str,
) -> Manifest:  # fmt: skip
    there, kept = len(train[0]), len(held_out[0])
    detail = f"{there} examples of {name}, {kept} held out"
    return Manifest(
        name, digest(train, held_out, code), 0, there, kept, detail, None, dict(options)
    )
