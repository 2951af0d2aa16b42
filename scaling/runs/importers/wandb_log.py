"""Framing of W&B's transaction log ``run-<id>.wandb``.

It is LevelDB's log format with a header of its own and the plain CRC-32: blocks of 32 KiB, in them
chunks of checksum (4 bytes), length (2), type (1) and data; a record may span chunks.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

MAGIC = b":W&B"
FILE_HEADER = struct.Struct("<4sHB")
CHUNK_HEADER = struct.Struct("<IHB")
BLOCK = 32 * 1024
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


class Broken(Exception):
    """The rest of the log cannot be read; the text says why."""


def records(raw: bytes) -> Iterator[bytes]:
    """Yield the records of a log.

    Raises
    ------
    Broken
        After the last record that precedes a cut or damage.
    """
    if len(raw) < FILE_HEADER.size or raw[:4] != MAGIC:
        raise Broken("does not begin as a log of W&B")
    record: bytes | None = None
    for kind, data in _chunks(raw):
        if kind in (FULL, FIRST) and record is None:
            record = data
        elif kind in (MIDDLE, LAST) and record is not None:
            record += data
        else:
            raise Broken("holds a record in pieces that do not fit")
        if kind in (FULL, LAST):
            yield record
            record = None
    if record is not None:
        raise Broken("ends within a record")


def _chunks(raw: bytes) -> Iterator[tuple[int, bytes]]:
    view, at = memoryview(raw), FILE_HEADER.size
    while at < len(raw):
        left = BLOCK - at % BLOCK
        if left < CHUNK_HEADER.size:  # the rest of a block that holds no header is padding
            at += left
            continue
        body = at + CHUNK_HEADER.size
        if body > len(raw):
            raise Broken("ends within a record")
        checksum, length, kind = CHUNK_HEADER.unpack(view[at:body])
        if body + length > len(raw):
            raise Broken("ends within a record")
        data = view[body : body + length]
        if length > left - CHUNK_HEADER.size or checksum != zlib.crc32(
            data, zlib.crc32(raw[body - 1 : body])
        ):
            raise Broken(f"is damaged at byte {at}")
        yield kind, bytes(data)
        at = body + length
