"""Counting parameters by the headers of safetensors files; weights are never loaded."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

from scaling.runs.importers.sources import damaged, parse_json, unreadable, whole

LENGTH = struct.Struct("<Q")
LONGEST = 100_000_000  # the format's own limit
EXPECTED = "a safetensors file"
PACKED = 0.1


def count_parameters(folder: Path) -> int | None:
    """Count the elements of all floating tensors of ``model*.safetensors`` in a folder.

    Returns
    -------
    int or None
        None if there is no such file, or the weights are packed into integers, whose shapes do
        not tell how many there are.

    Raises
    ------
    TableError
        SC005 or SC101 if a header cannot be read.
    """
    try:
        files = sorted(folder.glob("model*.safetensors"))
    except OSError as error:
        raise unreadable(folder, error) from error
    tensors: dict[str, tuple[str, int]] = {}
    for file in files:
        tensors |= _tensors(file)
    floating = sum(n for kind, n in tensors.values() if kind.startswith(("F", "BF")))
    integers = sum(n for kind, n in tensors.values() if kind.startswith(("I", "U")))
    return floating if floating and integers <= PACKED * floating else None


def _tensors(file: Path) -> dict[str, tuple[str, int]]:
    """Return type and number of elements of each tensor in a file."""
    header = _header(file)
    found: dict[str, tuple[str, int]] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        shape = entry.get("shape") if isinstance(entry, dict) else None
        if not isinstance(shape, list) or any((whole(n) or 0) < 0 for n in shape):
            raise damaged(file.name, f"tensor {name[:40]!r} has no shape", EXPECTED)
        sizes = [whole(n) for n in shape]
        if None in sizes:
            raise damaged(file.name, f"tensor {name[:40]!r} has no shape", EXPECTED)
        found[name] = (str(entry.get("dtype", "")), math.prod(n for n in sizes if n is not None))
    return found


def _header(file: Path) -> dict[str, Any]:
    try:
        size = file.stat().st_size
        with file.open("rb") as handle:
            start = handle.read(LENGTH.size)
            length = LENGTH.unpack(start)[0] if len(start) == LENGTH.size else LONGEST + 1
            if length > min(LONGEST, size - LENGTH.size):
                raise damaged(file.name, "the header is cut off", EXPECTED)
            header = parse_json(handle.read(length).decode("utf-8"))
    except OSError as error:
        raise unreadable(file, error) from error
    except ValueError:
        raise damaged(file.name, "the header is not JSON", EXPECTED) from None
    if not isinstance(header, dict):
        raise damaged(file.name, "the header is not a JSON object", EXPECTED)
    return header
