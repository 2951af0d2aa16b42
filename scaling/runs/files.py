"""Writing files so that nothing is lost: whole or not at all."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scaling.errors import Fault, OutputError


def canonical_json(value: Any) -> str:
    """Return the one JSON text of `value`: sorted keys, no spaces, no NaN.

    Point ids are hashes of this text, so it must not depend on version or platform; floats use
    Python's shortest round-trip form.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256_text(text: str) -> str:
    """Return the hex digest of `text` in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


@contextlib.contextmanager
def explain_os_errors(path: Path) -> Iterator[None]:
    """Turn an `OSError` on `path` into an `OutputError` that says how to mend it."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            Fault(
                "SC003",
                str(path),
                f"cannot be written: {error.strerror or error}",
                mend="choose a writable place with free space; nothing was changed",
            )
        ) from error


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Keep the garbage collector from walking very many new objects again and again."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def fsync_folder(folder: Path) -> None:
    """Make a rename or link in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_temporary(path: Path, data: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
    except OSError:  # a full disk: what was written is of no use
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return temporary


def write_atomic(path: Path, data: bytes | str) -> None:
    """Replace `path` by `data` in one step, durably.

    Raises
    ------
    OutputError
        SC003 if the target cannot be written; the old file stays.
    """
    raw = data.encode() if isinstance(data, str) else data
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _write_temporary(path, raw)
        try:
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        fsync_folder(path.parent)


def check_writable(path: Path) -> None:
    """Raise what writing `path` would raise, before the work whose result is to go there.

    Raises
    ------
    OutputError
        SC003.
    """
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_temporary(path, b"").unlink()


def commit_once(path: Path, data: bytes | str) -> bool:
    """Create `path` with `data` unless it exists; return whether this call created it.

    A hard link refuses an existing target, so of two processes that finish the same point one
    wins and the other learns it.
    """
    raw = data.encode() if isinstance(data, str) else data
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _write_temporary(path, raw)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        fsync_folder(path.parent)
    return True


def refuse_existing(path: Path, force: bool) -> None:
    """Raise if `path` exists and `force` is not set.

    Raises
    ------
    OutputError
        SC002.
    """
    if path.exists() and not force:
        raise OutputError(
            Fault("SC002", str(path), "exists already", mend="another -o, or --force to replace it")
        )
