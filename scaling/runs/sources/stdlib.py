"""The text of Python's own standard library, byte by byte: data that are always there."""

from __future__ import annotations

import hashlib
import sysconfig
from collections.abc import Callable, Iterator, Mapping
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
PARTS = ("most", "rest", "shuffled")
NETWORK = frozenset(
    "asynchat asyncio asyncore cgi concurrent email ftplib html http imaplib ipaddress mailbox "
    "mimetypes multiprocessing netrc nntplib poplib robotparser selectors smtpd smtplib socket "
    "socketserver ssl telnetlib urllib uu wsgiref xdrlib xml xmlrpc".split()
)
SHUFFLE_SEED = 20_240_520
_TOLD = {
    "most": "all but networks and workers",
    "rest": "networks and workers",
    "shuffled": "all but networks and workers, in a random order",
}


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


class StdlibSplit:
    """Two domains of the standard library that share no file, and one of them in disorder.

    ``rest`` is what talks to other machines and processes (networks, mail, the web, XML, workers);
    ``most`` is everything else. ``shuffled`` is ``most`` with its bytes in a random order: the same
    frequencies, and nothing else to learn. Each is split by file as ``stdlib`` is, so no part for
    training holds text of any part for validation but of its own shuffled form.
    """

    name = "stdlib-split"
    kind = "tokens"
    options = (Option("part", "choice", "most", "which text", choices=PARTS),)

    def make(self, options: Mapping[str, Any], where: Path | None) -> Made:
        """Read one domain of the library of the Python that runs."""
        del where
        part = options["part"]
        train, validation = _stdlib(lambda name: (_domain(name) == "rest") is (part == "rest"))
        if part == "shuffled":
            rng = np.random.default_rng(SHUFFLE_SEED)
            train, validation = rng.permutation(train), rng.permutation(validation)
        detail = f"bytes of the Python standard library, {_TOLD[part]}, split by file"
        parts = ({"tokens": train}, {"tokens": validation})
        sizes = (len(train), len(validation))
        return Made(*parts, *sizes, 256, detail, bytes_per_token=1.0)


def _domain(name: str) -> str:
    """Domain of a file, by the package or module at the top of its path."""
    return "rest" if name.split("/")[0].removesuffix(".py") in NETWORK else "most"


def _stdlib(
    chosen: Callable[[str], bool] = lambda _: True,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
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
        if not chosen(name):  # after the twins are out, so that domains share no text
            continue
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


STDLIB, STDLIB_SPLIT = Stdlib(), StdlibSplit()
