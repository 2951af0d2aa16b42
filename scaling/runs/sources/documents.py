"""Documents to tokens: split by document, looked through for overlap, as bytes or tokenised."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault
from scaling.options import Option
from scaling.runs.sources.base import Arrays, Made
from scaling.runs.sources.overlap import ALLOWED, Document, measure, refuse
from scaling.runs.sources.tokenizer import Tokenizer

END = b"\0"  # after each document of bytes

OPTIONS = (
    Option("tokenizer", "text", "", "tokenizer.json of Hugging Face, looked for beside the data "
           "first; bytes without one"),
    Option("validation_share", "number", 0.0625, "share of documents that are held out, where the "
           "data do not say which", low=0, high=0.5),
    Option("overlap", "number", ALLOWED, "share of the validation part that may occur in training",
           low=0, high=1),
)  # fmt: skip


def held_out(document: Document, share: float) -> bool:
    """Whether a document belongs to validation: by the hash of its text alone.

    So the split depends on no other document, and equal documents are never on both sides.
    """
    first = int.from_bytes(hashlib.sha256(document.text).digest()[:8], "big")
    return first < share * 2.0**64


def split(
    documents: Iterable[Document], share: float
) -> tuple[tuple[Document, ...], tuple[Document, ...]]:
    """Part documents into those to train on and those that are held out; each text once."""
    parts: tuple[list[Document], list[Document]] = ([], [])
    seen: set[bytes] = set()
    for document in documents:
        key = hashlib.sha256(document.text).digest()
        if key not in seen and document.text.strip():
            seen.add(key)
            parts[held_out(document, share)].append(document)
    return tuple(parts[0]), tuple(parts[1])


def made(
    parts: Sequence[Sequence[Document]],
    options: Mapping[str, Any],
    where: Path,
    what: str,
) -> Made:
    """Return the data of documents that were split.

    Parameters
    ----------
    parts : two sequences of Document
        For training and for validation.
    options : mapping
        `OPTIONS`.
    where : Path
        Folder or file of the data.
    what : str
        For the line that readers see.

    Raises
    ------
    ConfigError
        SC330 for a part without text or a text that is not UTF-8 where a tokenizer needs it, SC332
        for validation text in the training part.
    """
    for part, name in zip(parts, ("training", "validation"), strict=True):
        if not any(document.text for document in part):
            mend = "more documents, or a larger validation_share in [data] options"
            found = f"no text for {name} among {sum(map(len, parts))} documents"
            raise ConfigError(Fault("SC330", str(where), found, "text in both parts", mend))
    train, validation = parts
    overlap = measure(train, validation)
    refuse(overlap, float(options["overlap"]), str(where))
    tokenizer = None
    if options["tokenizer"]:
        tokenizer = Tokenizer.read(_beside(options["tokenizer"], where))
    arrays = [encoded(part, tokenizer) for part in parts]
    vocabulary = 256 if tokenizer is None else tokenizer.vocabulary
    size = sum(len(d.text) + (tokenizer is None) * len(END) for d in validation)
    detail = f"{what}: {len(train)} + {len(validation)} documents, "
    detail += "bytes" if tokenizer is None else f"tokens of {tokenizer.path.name}"
    detail += f"; of the validation 13-grams {overlap.grams:.2%} occur in training"
    held: tuple[Arrays, Arrays] = ({"tokens": arrays[0]}, {"tokens": arrays[1]})
    return Made(
        *held, len(arrays[0]), len(arrays[1]), vocabulary, detail,
        bytes_per_token=size / len(arrays[1]),
    )  # fmt: skip


def encoded(documents: Sequence[Document], tokenizer: Tokenizer | None) -> NDArray[Any]:
    """Return the tokens of documents one after the other, each with its end, shape (tokens,)."""
    if tokenizer is None:
        text = b"".join(document.text + END for document in documents)
        return np.frombuffer(text, dtype=np.uint8)
    return tokenizer.encoded([(document.name, document.text) for document in documents])


def _beside(name: str, where: Path) -> Path:
    folder = where if where.is_dir() else where.parent
    return folder / name if (folder / name).exists() else Path(name).expanduser()
