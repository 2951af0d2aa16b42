"""What importers share: finding and opening files, JSON from strangers, and errors with a place."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from scaling.errors import Fault, Message, TableError, clip

Cell = str | float | int

DEPTH = 100
LOOKED_AT = 20_000


def damaged(where: str, found: str, expected: str, mend: str = "") -> TableError:
    """Build the error of a source that cannot be understood."""
    return TableError(Fault("SC101", clip(where, 120), found, expected, mend))


def unreadable(path: Path, error: OSError, expected: str = "a readable file") -> TableError:
    """Build the error of a source that is missing or closed to us."""
    found = f"cannot be read: {error.strerror or error}"
    return TableError(Fault("SC005", clip(str(path), 120), found, expected, "check the path"))


def cut_off(where: str, what: str) -> Message:
    """Say that the end of a file is lost and the rest was kept."""
    return Message("SC126", f"{clip(where, 80)} {what}; what precedes it was kept.")


def counted(number: int, noun: str) -> str:
    """Return ``1 run`` or ``3 runs``."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def source_name(path: Path) -> str:
    """Name of a file or folder in messages, also where the path is ``.``."""
    return path.name or path.resolve().name or str(path)


def relative_name(folder: Path, root: Path) -> str:
    """Name of `folder` below `root`; the root itself goes by its own name."""
    below = folder.relative_to(root).as_posix()
    return clean(source_name(root) if below == "." else below)


def find_files(
    root: Path, wanted: Callable[[str], bool], skip: frozenset[str] = frozenset()
) -> list[Path]:
    """Return the files below `root` (or `root` itself) whose name is wanted, in order of path.

    Folders named in `skip` and links to folders are not entered.

    Raises
    ------
    TableError
        SC005 if `root` or a folder in it cannot be read.
    """
    if root.is_file():
        return [root] if wanted(root.name) else []

    def refuse(error: OSError) -> None:
        raise unreadable(Path(str(error.filename or root)), error, "a readable folder") from error

    return sorted(_walk(root, wanted, skip, refuse))


def holds(root: Path, wanted: Callable[[str], bool], skip: frozenset[str] = frozenset()) -> bool:
    """Whether a wanted file lies among the first files below `root`: quick and without errors."""
    return first_file(root, wanted, skip) is not None


def first_file(
    root: Path, wanted: Callable[[str], bool], skip: frozenset[str] = frozenset()
) -> Path | None:
    """Return a wanted file among the first files below `root`, or None; without errors."""
    return next(_walk(root, wanted, skip, None, LOOKED_AT), None)


def _walk(
    root: Path,
    wanted: Callable[[str], bool],
    skip: frozenset[str],
    onerror: Callable[[OSError], None] | None,
    limit: int | None = None,
) -> Iterator[Path]:
    seen = 0
    for folder, below, names in os.walk(root, onerror=onerror):
        below[:] = sorted(set(below) - skip)
        yield from (Path(folder, name) for name in names if wanted(name))
        seen += len(names) + 1
        if limit is not None and seen > limit:
            return


def file_sha256(path: Path) -> str:
    """Return the hex digest of a file of any size.

    Raises
    ------
    TableError
        SC005 if it cannot be read.
    """
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def read_text(path: Path, where: str) -> str:
    """Read UTF-8 text.

    Raises
    ------
    TableError
        SC005 if the file cannot be read, SC101 if it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        found = f"byte {error.start} is not UTF-8"
        raise damaged(where, found, "UTF-8 text", "save the file as UTF-8") from None


def load_json(path: Path, where: str, expected: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    TableError
        SC005 if the file cannot be read, SC101 if it is not a JSON object.
    """
    try:
        value = parse_json(read_text(path, where))
    except ValueError as error:
        found = f"is not JSON: {clip(str(error), 70)}"
        raise damaged(where, found, expected, "export it again; was the copy cut off?") from None
    if not isinstance(value, dict):
        raise damaged(where, f"a JSON {type(value).__name__}", expected)
    return value


def parse_json(text: str) -> Any:
    """Parse JSON that is not nested beyond `DEPTH`.

    Raises
    ------
    ValueError
        If it is not such JSON.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(f"nested more than {DEPTH} deep") from None
    level = [value]
    for _ in range(DEPTH):
        level = [item for value in level for item in _children(value)]
        if not level:
            return value
    raise ValueError(f"nested more than {DEPTH} deep")


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested objects, their names joined by ``/``."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            leaves |= flatten(value, f"{prefix}{clean(key)}/")
        else:
            leaves[prefix + clean(key)] = value
    return leaves


def clean(text: str) -> str:
    """Return `text` with what UTF-8 cannot hold replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")


def number(value: Any) -> float | None:
    """Return a JSON number, or one of JSON's spellings of NaN and infinity, as float, else None."""
    if isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity"):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def whole(value: Any) -> int | None:
    """Return a JSON number without fraction that fits 64 bits, such as a step, else None."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -(2**63) <= value < 2**63 else None


def cell(value: Any) -> Cell | None:
    """Return a JSON value as one cell: lists and objects as JSON text, null as None."""
    if value is None:
        return None
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return clean(json.dumps(value))
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value) if abs(value) < 2**53 else value
    return value
