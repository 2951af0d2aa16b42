"""Writing files so that nothing is lost: whole or not at all."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from scaling.errors import Fault, OutputError


def config_folder() -> Path:
    """Folder of the user's configuration and profiles: XDG_CONFIG_HOME or ``~/.config``."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(os.path.expanduser(base)) / "scaling"  # noqa: PTH111 - a home may not be there


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


def temporary_name(path: Path) -> Path:
    """Name beside `path` that no other process has, on this machine or another one."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


def _write_temporary(path: Path, write: Callable[[IO[bytes]], object]) -> Path:
    temporary = temporary_name(path)
    try:
        with temporary.open("wb") as handle:
            write(handle)
            handle.flush()
            os.fsync(handle.fileno())
    except BaseException:  # a full disk: what was written is of no use
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return temporary


def _content(data: bytes | str) -> Callable[[IO[bytes]], object]:
    raw = data.encode() if isinstance(data, str) else data
    return lambda handle: handle.write(raw)


def write_atomic(path: Path, data: bytes | str) -> None:
    """Replace `path` by `data` in one step, durably.

    Raises
    ------
    OutputError
        SC003 if the target cannot be written; the old file stays.
    """
    write_atomic_by(path, _content(data))


def write_atomic_by(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Replace `path` by what `write` puts into a file, in one step, durably.

    Raises
    ------
    OutputError
        SC003 if the target cannot be written; the old file stays.
    """
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _write_temporary(path, write)
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
        _write_temporary(path, _content(b"")).unlink()


def commit_once(path: Path, data: bytes | str) -> bool:
    """Create `path` with `data` unless it exists; return whether this call created it.

    A hard link refuses an existing target, so of two processes that finish the same point one
    wins and the other learns it.
    """
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _write_temporary(path, _content(data))
        try:
            os.link(temporary, path)
        except FileExistsError:  # which is this very link, where only the answer to it was lost
            return temporary.stat().st_nlink > 1
        finally:
            temporary.unlink(missing_ok=True)
        fsync_folder(path.parent)
    return True


def refuse_existing(
    path: Path, force: bool, mend: str = "another -o, or --force to replace it"
) -> None:
    """Raise if `path` exists and `force` is not set.

    Raises
    ------
    OutputError
        SC002.
    """
    if path.exists() and not force:
        raise OutputError(Fault("SC002", str(path), "exists already", mend=mend))
