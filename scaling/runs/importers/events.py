"""Event files of TensorBoard: their framing and what of an event is a scalar or a setting.

TensorBoard's own loaders stop at a damaged record without a word, load TensorFlow wherever it is
installed, and turn each scalar into a tensor first. So the framing is read here; the messages are
parsed, and the checksums computed, by the package ``tensorboard``.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scaling.errors import Message, MissingExtraError
from scaling.runs.importers.assemble import Floats, Series
from scaling.runs.importers.sources import Cell, clean, cut_off, unreadable

HEADER, FOOTER = struct.Struct("<QI"), struct.Struct("<I")
ENDS = {1: "done", 2: "failed", 3: "running"}
SESSION_START = 1


class Broken(Exception):
    """The rest of the file cannot be read; the text says why."""


@dataclass
class Points:
    """What one file says of one tag, in the order of logging."""

    steps: array[int] = field(default_factory=lambda: array("q"))
    walls: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("d"))

    def part(self) -> tuple[Series, Floats]:
        """Return the points and their wall times as arrays."""
        walls = np.frombuffer(self.walls, dtype=np.float64)
        return Series.of(np.frombuffer(self.steps, np.int64), np.frombuffer(self.values)), walls


@dataclass
class EventFile:
    """What one event file holds.

    Attributes
    ----------
    tags : dict
        Scalars.
    settings : dict
        Hyperparameters of the session.
    status : str
        How the session ended, empty if that is not said.
    restarts : list of (float, int)
        Wall time and step from which a writer declared what came before to be void.
    messages : list of Message
        Damage.
    """

    tags: dict[str, Points] = field(default_factory=dict)
    settings: dict[str, Cell | None] = field(default_factory=dict)
    status: str = ""
    restarts: list[tuple[float, int]] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)


def read_events(path: Path, where: str) -> EventFile:
    """Read all scalars of a file; what follows a damaged place is lost, and said so.

    Raises
    ------
    TableError
        SC005 if the file cannot be opened.
    MissingExtraError
        If TensorBoard is not installed.
    """
    found = EventFile()
    reader = _Reader(found)
    try:
        for record, checksum in _records(path, reader.checksum):
            reader.take(record, checksum)
    except OSError as error:
        raise unreadable(path, error) from error
    except Broken as damage:
        found.messages.append(cut_off(where, str(damage)))
    return found


def _records(path: Path, checksum: Any) -> Iterator[tuple[bytes, int]]:
    """Yield each record with the checksum that its writer gave it."""
    size = path.stat().st_size
    with path.open("rb") as handle:
        while head := handle.read(HEADER.size):
            if len(head) < HEADER.size:
                raise Broken("ends within a record")
            length, crc = HEADER.unpack(head)
            if checksum(head[:8]) != crc:
                raise Broken(f"is damaged at byte {handle.tell() - HEADER.size}")
            if length > size - handle.tell() - FOOTER.size:
                raise Broken("ends within a record")
            record = handle.read(length)
            yield record, FOOTER.unpack(handle.read(FOOTER.size))[0]


class _Reader:
    """Sorts events into an `EventFile`."""

    def __init__(self, found: EventFile) -> None:
        try:
            from google.protobuf.message import DecodeError
            from tensorboard.compat.proto import event_pb2
            from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
            from tensorboard.plugins.hparams import plugin_data_pb2
        except ImportError:
            raise MissingExtraError.of("tensorboard", "trackers", "read event files") from None
        self.found = found
        self.checksum = masked_crc32c
        self.event, self.hparams = event_pb2.Event, plugin_data_pb2.HParamsPluginData
        self.undecodable = DecodeError
        self.plugins: dict[str, str] = {}

    def take(self, record: bytes, checksum: int) -> None:
        try:
            event = self.event.FromString(record)
        except self.undecodable:
            raise Broken("holds a record that is not an event") from None
        kind = event.WhichOneof("what")
        if kind not in ("summary", "session_log"):
            return
        if self.checksum(record) != checksum:
            raise Broken("holds a record with a wrong checksum")
        if kind == "session_log":
            if event.session_log.status == SESSION_START:
                self.found.restarts.append((event.wall_time, event.step))
            return
        for value in event.summary.value:
            plugin = value.metadata.plugin_data.plugin_name or self.plugins.get(value.tag, "")
            self.plugins.setdefault(value.tag, plugin)
            if plugin == "hparams":
                self.session(value.metadata.plugin_data.content)
            else:
                self.scalar(event, value, plugin)

    def scalar(self, event: Any, value: Any, plugin: str) -> None:
        kind = value.WhichOneof("value")
        if kind == "simple_value":
            amount = value.simple_value
        elif kind == "tensor" and plugin == "scalars":
            amount = _tensor_number(value.tensor)
        else:
            return
        points = self.found.tags.setdefault(clean(value.tag), Points())
        points.steps.append(event.step)
        points.walls.append(event.wall_time)
        points.values.append(amount)

    def session(self, content: bytes) -> None:
        try:
            data = self.hparams.FromString(content)
        except self.undecodable:
            raise Broken("holds hyperparameters that cannot be parsed") from None
        if data.HasField("session_start_info"):
            for name, value in data.session_start_info.hparams.items():
                self.found.settings[clean(name)] = _setting(value)
        if data.HasField("session_end_info"):
            self.found.status = ENDS.get(data.session_end_info.status, "")


def _tensor_number(tensor: Any) -> float:
    from tensorboard.util import tensor_util

    try:
        if any(dim.size != 1 for dim in tensor.tensor_shape.dim):
            raise ValueError
        return float(tensor_util.make_ndarray(tensor).reshape(-1)[0])
    except (ValueError, TypeError, KeyError, IndexError, OverflowError):
        raise Broken("holds a scalar that is not a number") from None


def _setting(value: Any) -> Cell | None:
    kind = value.WhichOneof("kind")
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    if kind == "string_value":
        return clean(value.string_value)
    if kind != "number_value":
        return None
    amount = float(value.number_value)
    exact = math.isfinite(amount) and amount.is_integer() and abs(amount) < 2**53
    return int(amount) if exact else amount
