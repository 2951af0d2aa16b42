"""Training data as a manifest: what they are, counted and hashed, without torch.

A manifest names a *source* (`scaling.runs.sources`) with its options, and holds the hash of what
they give; the hash enters the id of every point, so a sweep is never continued on other data.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault, TrainingError
from scaling.options import Option, read, whole
from scaling.runs.files import canonical_json
from scaling.runs.sources.base import PATH, Arrays, Made
from scaling.runs.sources.registry import source_of


@dataclass(frozen=True)
class Manifest:
    """What training reads.

    Attributes
    ----------
    source : str
        Name of the data source.
    hash : str
        sha256 over the data for training and validation, or what stands for them.
    vocabulary : int
        Number of distinct token values, or of classes; 0 where there is none.
    train_tokens, validation_tokens : int
        Sizes of the two parts in units of D: tokens, or examples.
    detail : str
        One line for readers.
    entropy : float or None
        Exact lowest expected loss [nats per unit], where it is known.
    options : mapping
        What the source needs to be made again.
    facts : mapping of str to int
        What a model's shape must agree with, by the name of the family's option.
    where : str or None
        Path of the data on the machine that planned; it decides nothing.
    bytes_per_token : float or None
        Bytes of text in a token of the validation part, where the text is known.
    names : tuple of str
        Of the classes, where they have names.
    code : str or None
        sha256 of the code of a user's own task that reads the source.
    """

    source: str
    hash: str
    vocabulary: int
    train_tokens: int
    validation_tokens: int
    detail: str
    entropy: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, int] = field(default_factory=dict)
    where: str | None = None
    bytes_per_token: float | None = None
    names: tuple[str, ...] = ()
    code: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form that stands in every point of a plan."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        found["options"] = dict(self.options)
        found["names"] = list(self.names)
        # absent where there is nothing to say
        for name in ("facts", "where", "bytes_per_token", "names", "code"):
            if not found[name]:
                del found[name]
        return found


def resolve(
    source: str, options: Mapping[str, Any] | None = None, base: Path | None = None
) -> Manifest:
    """Make the manifest of a source on this machine.

    Parameters
    ----------
    source : str
        Name of a data source.
    options : mapping, optional
        Those of the source.
    base : Path, optional
        Folder in which a relative ``path`` is looked for first, then the working folder.

    Raises
    ------
    ConfigError
        SC012 for an unknown source, SC011 or SC012 for its options; others as the source says.
    """
    found = source_of(source)
    options = _checked(found.options, source, options or {})
    where = _place(options.pop(PATH, None), base)
    made = _made(source, canonical_json(options), where)
    facts = {name: int(value) for name, value in made.facts.items()}
    return Manifest(
        source, _digest(made), made.vocabulary, made.train_units, made.validation_units,
        made.detail, made.entropy, options, facts, where, made.bytes_per_token,
        made.names,
    )  # fmt: skip


def arrays(manifest: Mapping[str, Any]) -> tuple[Arrays, Arrays]:
    """Return the parts for training and validation of a manifest, checked against its hash.

    Raises
    ------
    TrainingError
        SC305 if this machine's data differ from those planned, SC308 for ``external`` data.
    """
    name = manifest["source"]
    if name == "external":
        raise TrainingError(
            Fault(
                "SC308",
                "[data] source",
                '"external" data belong to another trainer',
                "a source that this trainer reads, such as stdlib or markov",
                "train the points of plan.jsonl with your own program and fit its results",
            )
        )
    where = manifest.get("where")
    options = whole(source_of(name).options, manifest["options"])
    try:
        made = _made(name, canonical_json(options), where)
    except ConfigError as error:  # it could be read where it was planned
        fault = error.faults[0]
        found, expected = f"{fault.where}: {fault.found}", fault.expected
        mend = fault.mend or "data on storage that all machines share"
        raise TrainingError(Fault("SC305", f"data source {name}", found, expected, mend)) from None
    digest = _digest(made)
    if digest != manifest["hash"]:
        mend = "plan again here, or use the Python version that planned it"
        if where is not None:
            mend = f"plan again, or put the data that were planned back to {where}"
        raise TrainingError(
            Fault(
                "SC305",
                f"data source {name}",
                f"hash {digest[:12]} on this machine",
                f"{manifest['hash'][:12]} as planned",
                mend,
            )
        )
    return made.train, made.validation


def bytes_per_token(manifest: Mapping[str, Any]) -> float | None:
    """Bytes of text in a token of the validation part; None where there is no text behind it."""
    known = manifest.get("bytes_per_token")
    if known is None and manifest["source"] == "stdlib":  # older than the field, and all bytes
        return 1.0
    return None if known is None else float(known)


def load(manifest: Mapping[str, Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the training and validation tokens of a manifest, each of shape (tokens,).

    Raises
    ------
    TrainingError
        As `arrays` does.
    """
    train, validation = arrays(manifest)
    return train["tokens"], validation["tokens"]


def _checked(known: tuple[Option, ...], source: str, given: Mapping[str, Any]) -> dict[str, Any]:
    return read(known, whole(known, given), "[data]", f'source "{source}"')


def _place(path: str | None, base: Path | None) -> str | None:
    """Absolute form of the path that a study names."""
    if not path:
        return None
    named = Path(path).expanduser()
    beside = named if base is None else base / named
    return str((beside if beside.exists() else named).resolve())


@lru_cache(maxsize=2)
def _made(source: str, options: str, where: str | None) -> Made:
    return source_of(source).make(json.loads(options), None if where is None else Path(where))


def _digest(made: Made) -> str:
    """sha256 of the arrays in the order of their names, the two parts divided by a bar."""
    if made.digest is not None:
        return made.digest
    digest = hashlib.sha256()
    for number, part in enumerate((made.train, made.validation)):
        digest.update(b"|" * number)
        for name in sorted(part):
            digest.update(np.ascontiguousarray(part[name]).view(np.uint8).data)
    return digest.hexdigest()
