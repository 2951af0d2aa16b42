"""TensorBoard: one folder a point, written without torch and without TensorFlow."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import IO, Any

from scaling.training.trackers.base import End, Point, Row, settings_of

START = 1  # SessionLog: what this run says from that step on replaces what it said before
SUCCESS, FAILURE = 1, 2


class TensorBoard:
    """Writes event files under ``folder/<id>``.

    TensorBoard's own writer puts a thread and a queue behind each file; here disk errors must reach
    the caller, so that records are written at once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, _EventFile] = {}

    def begin(self, point: Point) -> int:
        """Open another event file in the folder of the point."""
        folder = self.folder / point["id"]
        resumed = folder.is_dir() and any(folder.iterdir())
        folder.mkdir(parents=True, exist_ok=True)
        file = self.files[point["id"]] = _EventFile(folder, resumed)
        if not resumed:
            file.session(settings_of(point), point["group"])
        return 0

    def log(self, name: str, row: Row) -> None:
        """Add scalars."""
        self.files[name].scalars(*row)
        self.files[name].flush()

    def end(self, name: str, end: End) -> None:
        """Add the curve and the result."""
        file = self.files.pop(name)
        try:
            for row in end.curve:
                file.scalars(*row)
            file.scalars(end.step, end.values)
            file.ended(SUCCESS if end.status == "done" else FAILURE)
        finally:
            file.close()

    def close(self) -> None:
        """Close the files."""
        while self.files:
            self.files.popitem()[1].close()


class _EventFile:
    """One file of events."""

    def __init__(self, folder: Path, resumed: bool) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.plugins.hparams import plugin_data_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.events, self.summaries, self.plugin = event_pb2, summary_pb2, plugin_data_pb2
        # Readers take the files of a folder in the order of their names.
        stem = f"events.out.tfevents.{time.time_ns() // 1000:016d}.{os.getpid()}"
        self.handle: IO[bytes] = (folder / stem).open("xb")
        self.writer: Any = RecordWriter(self.handle)
        self.resumed = resumed
        self.write(file_version="brain.Event:2")
        self.flush()

    def write(self, **fields: Any) -> None:
        event = self.events.Event(wall_time=time.time(), **fields)
        self.writer.write(event.SerializeToString())

    def scalars(self, step: int, values: dict[str, float]) -> None:
        if self.resumed:
            log = self.events.SessionLog(status=START)
            self.write(step=step, session_log=log)
            self.resumed = False
        value = self.summaries.Summary.Value
        found = [value(tag=tag, simple_value=number) for tag, number in values.items()]
        self.write(step=step, summary=self.summaries.Summary(value=found))

    def session(self, settings: dict[str, Any], group: str) -> None:
        """Say the settings, in the form that the tab of hyperparameters reads."""
        info = self.plugin.SessionStartInfo(start_time_secs=time.time())
        for key, value in {**settings, "group": group}.items():
            if isinstance(value, bool):
                info.hparams[key].bool_value = value
            elif isinstance(value, int | float):
                info.hparams[key].number_value = value
            else:
                info.hparams[key].string_value = str(value)
        self._hyper("_hparams_/session_start_info", session_start_info=info)
        self.flush()

    def ended(self, status: int) -> None:
        info = self.plugin.SessionEndInfo(status=status, end_time_secs=time.time())
        self._hyper("_hparams_/session_end_info", session_end_info=info)

    def _hyper(self, tag: str, **content: Any) -> None:
        data = self.plugin.HParamsPluginData(version=0, **content).SerializeToString()
        kind = self.summaries.SummaryMetadata
        about = kind(plugin_data=kind.PluginData(plugin_name="hparams", content=data))
        value = self.summaries.Summary.Value(tag=tag, metadata=about)
        self.write(summary=self.summaries.Summary(value=[value]))

    def flush(self) -> None:
        self.handle.flush()

    def close(self) -> None:
        self.handle.close()
