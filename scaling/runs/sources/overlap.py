"""How much of the validation part stands in the training part: whole documents, and 13-grams."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault, clip, counted

GRAM = 13  # words; Brown et al. (2020), Language Models are Few-Shot Learners, app. C
ALLOWED = 0.001
FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no word is lost in the product


@dataclass(frozen=True)
class Document:
    """One document: where it came from, and its bytes."""

    name: str
    text: bytes


@dataclass(frozen=True)
class Overlap:
    """What of the validation part was found in the training part.

    Attributes
    ----------
    documents : float
        Share of the validation bytes that are in documents which are training documents too.
    grams : float
        Share of the distinct 13-grams of words of the validation part that occur in training.
    names : tuple of str
        Validation documents with the most of it, and what they share.
    """

    documents: float
    grams: float
    names: tuple[str, ...]


def grams(text: bytes) -> NDArray[np.uint64]:
    """Hash every run of 13 words of a document, shape (words - 12,); none if it has fewer."""
    words = text.split()
    if len(words) < GRAM:
        return np.zeros(0, dtype=np.uint64)
    known: dict[bytes, int] = {}
    for word in words:
        if word not in known:
            known[word] = int.from_bytes(hashlib.blake2b(word, digest_size=8).digest(), "little")
    values = np.array([known[word] for word in words], dtype=np.uint64)
    found = np.zeros(len(words) - GRAM + 1, dtype=np.uint64)
    for shift in range(GRAM):  # a polynomial of the words, modulo 2^64
        found = found * FACTOR + values[shift : shift + len(found)]
    return found


def measure(train: Iterable[Document], validation: Sequence[Document]) -> Overlap:
    """Look for the documents and 13-grams of the validation part in the training part."""
    own = [np.unique(grams(document.text)) for document in validation]
    every = np.unique(np.concatenate(own)) if own else np.zeros(0, dtype=np.uint64)
    seen = np.zeros(len(every), dtype=bool)
    wanted = {hashlib.sha256(document.text).digest(): document for document in validation}
    twice: dict[str, str] = {}
    for document in train:
        same = wanted.get(hashlib.sha256(document.text).digest())
        if same is not None:
            twice.setdefault(same.name, document.name)
        if len(every):
            there = grams(document.text)
            at = np.searchsorted(every, there).clip(max=len(every) - 1)
            seen[at[every[at] == there]] = True
    lost = {d.name for d in validation if wanted[hashlib.sha256(d.text).digest()].name in twice}
    size = sum(len(document.text) for document in validation)
    common = sum(len(document.text) for document in validation if document.name in lost)
    share = float(seen.mean()) if len(every) else 0.0
    return Overlap(common / max(size, 1), share, _worst(validation, own, every[seen], twice))


def _worst(
    validation: Sequence[Document],
    own: Sequence[NDArray[np.uint64]],
    common: NDArray[np.uint64],
    twice: dict[str, str],
) -> tuple[str, ...]:
    """Name the validation documents that share most, at most three of them."""
    found = [f"{name} is {other}" for name, other in list(twice.items())[:3]]
    shares = [int(np.isin(part, common, assume_unique=True).sum()) for part in own]
    for i in sorted(range(len(shares)), key=lambda i: (-shares[i], i)):
        if len(found) < 3 and shares[i] and validation[i].name not in twice:
            found.append(f"{validation[i].name} has {shares[i]} of {len(own[i])} 13-grams")
    return tuple(found)


def refuse(found: Overlap, allowed: float, where: str) -> None:
    """Refuse more overlap than is allowed.

    Raises
    ------
    ConfigError
        SC332 with the shares and the documents.
    """
    if max(found.documents, found.grams) <= allowed:
        return
    worst = max(found.documents, found.grams)
    said = f"{found.documents:.2%} of the validation bytes are training documents, "
    said += f"{found.grams:.2%} of its 13-grams occur there"
    named = counted(len(found.names), "document")
    raise ConfigError(
        Fault(
            "SC332",
            where,
            said,
            f"at most {allowed:.2%}",
            f"remove them, or allow it: overlap = {np.ceil(worst * 1e4) / 1e4:g} in [data] options",
            detail="\n".join([f"most of it in {named}:", *(clip(n, 100) for n in found.names)]),
        )
    )
