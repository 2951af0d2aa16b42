"""Shards of tokens as others write them, memory-mapped and joined without a copy.

======================  =========================================================================
nanoGPT ``.bin``        no header, uint16
llm.c ``.bin``          256 int32: magic 20240520, version 1, number of tokens; then uint16. Magic
                        20240801 with version 7 has uint32
OLMo ``.npy``           no header in spite of the name, uint32
NumPy ``.npy``          NumPy's own header, one axis of unsigned or signed integers
======================  =========================================================================
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault

FORMATS = ("auto", "nanogpt", "llm.c", "olmo", "numpy")
HEADER = 256  # int32 values before the tokens of an llm.c shard
KINDS = {20240520: (1, "<u2"), 20240801: (7, "<u4")}  # magic: version, type of a token
NUMPY_MAGIC = b"\x93NUMPY"
WHOLE, BLOCK, BLOCKS = 2**26, 2**20, 64  # [bytes], [bytes], count


class Joined:
    """One-dimensional arrays, one after the other, read as if they were one.

    Slices and gathers touch only what they return, so that arrays may be memory maps of files that
    are larger than the memory.

    Parameters
    ----------
    parts : sequence of ndarray
        Each of shape (tokens,), all of one type.
    """

    ndim = 1

    def __init__(self, parts: Sequence[NDArray[Any]]) -> None:
        self.parts = tuple(parts)
        self.dtype = np.dtype(self.parts[0].dtype)
        if any(part.dtype != self.dtype or part.ndim != 1 for part in self.parts):
            raise ValueError("parts must be 1-d arrays of one type")
        self.edges = np.array([0, *itertools.accumulate(map(len, self.parts))], dtype=np.int64)

    def __len__(self) -> int:
        return int(self.edges[-1])

    @property
    def shape(self) -> tuple[int]:
        """(tokens,)."""
        return (len(self),)

    @property
    def nbytes(self) -> int:
        """Size of all parts [bytes]."""
        return len(self) * self.dtype.itemsize

    @overload
    def __getitem__(self, at: int) -> Any: ...

    @overload
    def __getitem__(self, at: slice | NDArray[np.integer[Any]]) -> NDArray[Any]: ...

    def __getitem__(self, at: int | slice | NDArray[np.integer[Any]]) -> Any:
        """Return one token, a run of them, or those at an array of places of any shape."""
        if isinstance(at, slice):
            first, last, step = at.indices(len(self))
            if step != 1:
                return self[np.arange(first, last, step)]
            return self._run(first, max(first, last))
        places = np.asarray(at)
        places = np.where(places < 0, places + len(self), places)
        if places.size and (places.min() < 0 or places.max() >= len(self)):
            raise IndexError(f"a place outside of {len(self)} tokens")
        found = np.empty(places.shape, dtype=self.dtype)
        of = np.searchsorted(self.edges, places, side="right") - 1
        for number in np.unique(of):
            inside = of == number
            found[inside] = self.parts[number][places[inside] - self.edges[number]]
        return found if found.ndim else found[()]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Copy everything into memory."""
        del copy
        return np.asarray(self[:], dtype=dtype)

    def copy(self) -> NDArray[Any]:
        """Copy everything into memory."""
        return self[:]

    def _run(self, first: int, last: int) -> NDArray[Any]:
        pieces = [
            part[max(0, first - start) : max(0, last - start)]
            for part, start in zip(self.parts, self.edges[:-1].tolist(), strict=True)
        ]
        return np.concatenate(pieces)


@dataclass(frozen=True)
class Shard:
    """One file of tokens.

    Attributes
    ----------
    path : Path
    kind : str
        One of `FORMATS`, without ``auto``.
    tokens : ndarray
        Memory map of its tokens, shape (tokens,).
    """

    path: Path
    kind: str
    tokens: NDArray[Any]


def read_shard(path: Path, kind: str = "auto") -> Shard:
    """Map a file of tokens after a look at its first bytes.

    Parameters
    ----------
    path : Path
    kind : str
        One of `FORMATS`; ``auto`` goes by the header, and by the name where there is none: a
        ``.npy`` without one is OLMo's, everything else nanoGPT's.

    Raises
    ------
    ConfigError
        SC330 with the file: it cannot be opened, its header does not fit its size, its size is no
        multiple of a token, or it is not of the `kind` that was asked for.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(4 * HEADER)
    except OSError as error:
        raise _fault(path, f"cannot be read: {error.strerror}", "a file of tokens") from None
    found = _sniffed(path, head, size)
    if kind not in ("auto", found):
        if found in ("numpy", "llm.c") or kind in ("numpy", "llm.c"):
            raise _fault(path, f"a file of format {found}", f"format {kind}", _NAME_IT)
        found = kind
    if size == 0:
        raise _fault(path, "is empty", "a file of tokens")
    if found == "numpy":
        return Shard(path, found, _numpy(path))
    if found == "llm.c":
        return Shard(path, found, _with_header(path, head, size))
    width = 2 if found == "nanogpt" else 4
    if size % width:
        whole = f"a multiple of {width} bytes, as {found} files without a header are"
        raise _fault(path, f"{size} bytes", whole, _NAME_IT)
    return Shard(path, found, np.memmap(path, dtype=f"<u{width}", mode="r"))


_NAME_IT = "name the format in [data] options, or fetch the file again"


def _fault(path: Path, found: str, expected: str, mend: str = "") -> ConfigError:
    return ConfigError(Fault("SC330", str(path), found, expected, mend))


def _sniffed(path: Path, head: bytes, size: int) -> str:
    if head.startswith(NUMPY_MAGIC):
        return "numpy"
    if len(head) == 4 * HEADER:
        values = np.frombuffer(head, dtype="<i4")
        magic, version, count = (int(v) for v in values[:3])
        if magic in KINDS:
            return "llm.c"
        # tokens are not followed by 253 zeros: this is a header, of another magic or order
        if not values[3:].any() and count * 2 <= size:
            known = " or ".join(map(str, KINDS))
            raise _fault(path, f"a header of magic {magic} and version {version}", f"magic {known}")
    return "olmo" if path.suffix == ".npy" else "nanogpt"


def _with_header(path: Path, head: bytes, size: int) -> NDArray[Any]:
    if len(head) < 4 * HEADER:
        raise _fault(path, f"{size} bytes", "a header of 1024 bytes", _NAME_IT)
    magic, version, count = (int(v) for v in np.frombuffer(head, dtype="<i4")[:3])
    known, kind = KINDS[magic]
    if version != known:
        raise _fault(path, f"version {version} of magic {magic}", f"version {known}")
    there = (size - len(head)) / np.dtype(kind).itemsize
    if there != count:
        raise _fault(
            path, f"its header counts {count} tokens, its size {there:g}",
            "as many tokens as the header says", "fetch the file again: it is cut off, or too long",
        )  # fmt: skip
    return np.memmap(path, dtype=kind, mode="r", offset=len(head), shape=(count,))


def _numpy(path: Path) -> NDArray[Any]:
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise _fault(path, f"cannot be read: {error}", "an array of NumPy", _NAME_IT) from None
    if found.ndim != 1 or found.dtype.kind not in "ui":
        said = f"an array of {found.dtype} of shape {found.shape}"
        raise _fault(path, said, "one axis of integers")
    return np.asanyarray(found)


def looked_at(tokens: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Parts of a shard that stand for it, each with the place of its first token.

    All of it up to 64 MiB, in blocks of 1 MiB; of a larger one 64 blocks of 1 MiB, evenly spread
    from its first to its last.
    """
    size = tokens.dtype.itemsize
    block = BLOCK // size
    if tokens.nbytes <= WHOLE:
        starts = list(range(0, len(tokens), block))
    else:
        starts = np.linspace(0, len(tokens) - block, BLOCKS).astype(np.int64).tolist()
    for start in starts:
        yield start, np.asarray(tokens[start : start + block])


def digest_of(parts: Sequence[Sequence[Shard]]) -> str:
    """sha256 of the shards of each part: their sizes, types and what `looked_at` sees of them.

    Names do not matter, the order does.
    """
    digest = hashlib.sha256()
    for shards in parts:
        digest.update(f"|{len(shards)}".encode())
        for shard in shards:
            digest.update(f",{shard.tokens.dtype.str}:{len(shard.tokens)}".encode())
            for _, block in looked_at(shard.tokens):
                digest.update(np.ascontiguousarray(block).view(np.uint8).data)
    return digest.hexdigest()


def check_vocabulary(shards: Sequence[Shard], vocabulary: int) -> None:
    """Look for ids that are not below the vocabulary, where `looked_at` looks.

    Raises
    ------
    ConfigError
        SC331 with the file, the place of the first one in it, and its value.
    """
    for shard in shards:
        for start, block in looked_at(shard.tokens):
            wrong = (block >= vocabulary) | (block < 0)
            if wrong.any():
                at = int(wrong.argmax())
                raise ConfigError(
                    Fault(
                        "SC331",
                        str(shard.path),
                        f"token {start + at} is {int(block[at])}",
                        f"ids from 0 to {vocabulary - 1}, as vocabulary = {vocabulary} says",
                        "raise vocabulary in [data] options, or name the right format",
                    )
                )
