"""Tokens in shards: files of nanoGPT, llm.c, OLMo or NumPy, memory-mapped."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault
from scaling.options import Option
from scaling.runs.sources.base import Arrays, Made
from scaling.runs.sources.overlap import ALLOWED
from scaling.runs.sources.shards import (
    FORMATS,
    WHOLE,
    Joined,
    Shard,
    check_vocabulary,
    digest_of,
    read_shard,
)

MOST_TOKENS = 2**31  # ids are 32 bits wide at most
SUFFIXES = (".bin", ".npy")


class Tokens:
    """A folder of shards, each part one stream in the order of the files' names."""

    name = "tokens"
    kind = "tokens"
    options = (
        Option("path", "text", None, "the folder of the shards"),
        Option("train", "text", "*train*", "files to train on, as a pattern in that folder"),
        Option("validation", "text", "*val*", "held-out files, as a pattern in that folder"),
        Option("format", "choice", "auto", "of the files", choices=FORMATS),
        Option("vocabulary", "integer", None, "number of tokens", high=MOST_TOKENS),
        Option("end", "integer", -1, "id that ends a document, -1 for none", low=-1, high=2**31),
        Option("overlap", "number", ALLOWED, "share of the validation tokens that may be in "
               "training documents", low=0, high=1),
    )  # fmt: skip

    def make(self, options: Mapping[str, Any], where: Path | None) -> Made:
        """Map the shards, and look for what would spoil a run."""
        folder = where or Path()
        if not folder.is_dir():
            said = "is a file" if folder.exists() else "is not there"
            raise ConfigError(
                Fault("SC330", str(folder), said, "a folder of shards", "[data] options path")
            )
        vocabulary = int(options["vocabulary"])
        parts = [shards_of(folder, options[part], options["format"], part)
                 for part in ("train", "validation")]  # fmt: skip
        _apart(*parts)
        for shards in parts:
            check_vocabulary(shards, vocabulary)
        _refuse_documents(parts, int(options["end"]), float(options["overlap"]), folder)
        train, validation = (join([shard.tokens for shard in shards]) for shards in parts)
        kinds = sorted({shard.kind for shards in parts for shard in shards})
        detail = f"{len(parts[0])} + {len(parts[1])} shards of format {', '.join(kinds)}"
        held: tuple[Arrays, Arrays] = ({"tokens": train}, {"tokens": validation})
        return Made(*held, len(train), len(validation), vocabulary, detail, digest=digest_of(parts))


def shards_of(folder: Path, pattern: str, kind: str, part: str) -> list[Shard]:
    """Map the files of one part, in the order of their names.

    Raises
    ------
    ConfigError
        SC330 for a part without files, without tokens, or of more than one type.
    """
    try:
        found = sorted(p for p in folder.glob(pattern) if p.suffix in SUFFIXES and p.is_file())
    except (ValueError, NotImplementedError) as error:
        raise ConfigError(Fault("SC012", f"[data] options {part}", str(error))) from None
    if not found:
        said = f"holds no {' or '.join(SUFFIXES)} file that matches {pattern}"
        mend = f'[data] options {part} = "a pattern of the files"'
        raise ConfigError(Fault("SC330", str(folder), said, f"files for {part}", mend))
    shards = [read_shard(path, kind) for path in found]
    first = shards[0]
    for shard in shards:
        if shard.tokens.dtype != first.tokens.dtype:
            said = f"{shard.tokens.dtype} ({shard.kind})"
            expected = f"{first.tokens.dtype} ({first.kind}), as in {first.path.name}"
            raise ConfigError(Fault("SC330", str(shard.path), said, expected))
    if not sum(len(shard.tokens) for shard in shards):
        said = f"no tokens for {part} in {len(shards)} file(s)"
        raise ConfigError(Fault("SC330", str(folder), said, "at least one"))
    return shards


def join(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return the only part, or all of them as one stream."""
    return parts[0] if len(parts) == 1 else cast(NDArray[Any], Joined(parts))


def _apart(train: Sequence[Shard], validation: Sequence[Shard]) -> None:
    """Refuse a file that is in both parts, or whose content is."""
    known = {digest_of([[shard]]): shard for shard in train}
    for shard in validation:
        same = known.get(digest_of([[shard]]))
        if same is not None:
            raise ConfigError(
                Fault("SC332", str(shard.path), f"is training data too: {same.path.name}",
                      "other files for validation", "mend the patterns train and validation")
            )  # fmt: skip


def _refuse_documents(
    parts: Sequence[Sequence[Shard]], end: int, allowed: float, folder: Path
) -> None:
    """Refuse validation documents that are training documents, where their ends are known.

    Shards of more than 64 MiB are left out.
    """
    if end < 0:
        return
    train, validation = (
        [text for shard in shards if shard.tokens.nbytes <= WHOLE
         for text in _documents(shard.tokens, end)]
        for shards in parts
    )  # fmt: skip
    known = {key for key, _ in train}
    size = sum(tokens for _, tokens in validation)
    common = sum(tokens for key, tokens in validation if key in known)
    if size and common / size > allowed:
        share = common / size
        raise ConfigError(
            Fault(
                "SC332", str(folder),
                f"{share:.2%} of the validation tokens are in training documents",
                f"at most {allowed:.2%}",
                f"split by document, or allow it: overlap = {np.ceil(share * 1e4) / 1e4:g}",
            )
        )  # fmt: skip


def _documents(tokens: NDArray[Any], end: int) -> list[tuple[bytes, int]]:
    """Hash and length of each document that is not empty."""
    whole = np.asarray(tokens)
    edges = [0, *(np.flatnonzero(whole == end) + 1).tolist(), len(whole)]
    found = []
    for first, last in itertools.pairwise(edges):
        text = whole[first:last]
        text = text[text != end]
        if len(text):
            found.append((hashlib.sha256(text.astype("<u4").tobytes()).digest(), len(text)))
    return found


TOKENS = Tokens()
