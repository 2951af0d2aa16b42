"""The text of Python's own standard library, byte by byte: data that are always there."""

from __future__ import annotations

import hashlib
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import Fault, TrainingError
from scaling.options import Option
from scaling.runs.sources.base import Made

_SKIPPED_FOLDERS = frozenset(
    {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}
)
_VALIDATION_SHARE = 16  # of 256: one file in sixteen is held out
_SEPARATOR = b"\0"


class Stdlib:
    """Bytes of the standard library's source."""

    name = "stdlib"
    kind = "tokens"
    options: tuple[Option, ...] = ()

    def make(self, options: Mapping[str, Any], where: Path | None) -> Made:
        """Read the library of the Python that runs."""
        del options, where
        train, validation = _stdlib()
        detail = "bytes of the Python standard library's source, tests left out, split by file"
        parts = ({"tokens": train}, {"tokens": validation})
        return Made(*parts, len(train), len(validation), 256, detail)


def _stdlib() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Concatenate the library's files in the order of their paths; each file once.

    A file goes to validation if the first byte of its path's hash is small, so that the split does
    not depend on which other files exist.
    """
    parts: tuple[list[bytes], list[bytes]] = ([], [])
    seen: set[bytes] = set()
    for name, text in _stdlib_files():
        digest = hashlib.sha256(text).digest()
        if digest in seen:
            continue
        seen.add(digest)
        held_out = hashlib.sha256(name.encode()).digest()[0] < _VALIDATION_SHARE
        parts[held_out].append(text + _SEPARATOR)
    train, validation = (np.frombuffer(b"".join(part), dtype=np.uint8) for part in parts)
    if len(train) < 1_000_000 or len(validation) < 50_000:
        raise TrainingError(
            Fault(
                "SC305",
                "data source stdlib",
                f"only {len(train) + len(validation)} bytes of source files",
                "about 10 MB",
                "use a full Python installation",
            )
        )
    return train, validation


def _stdlib_files() -> Iterator[tuple[str, bytes]]:
    root = Path(sysconfig.get_paths()["stdlib"])
    found = {}
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).parts
        generated = path.name.startswith("_sysconfigdata")  # differs from build to build
        if not generated and not _SKIPPED_FOLDERS.intersection(parts) and path.is_file():
            found["/".join(parts)] = path
    for name in sorted(found):
        yield name, found[name].read_bytes()


STDLIB = Stdlib()
