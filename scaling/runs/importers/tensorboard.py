"""TensorBoard: folders of event files, one run a folder.

Values come back as they were written: most writers store float32.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scaling.errors import Message, clip
from scaling.runs.importers.assemble import Floats, Run, Series, assemble, merge_restarts
from scaling.runs.importers.base import Imported
from scaling.runs.importers.events import EventFile, read_events
from scaling.runs.importers.sources import (
    counted,
    damaged,
    file_sha256,
    find_files,
    holds,
    relative_name,
    source_name,
)

name = "tensorboard"

TIMESTAMP = re.compile(r"\d{9,}(\.\d+)?")


def _is_event_file(file: str) -> bool:
    return "tfevents" in file and not file.endswith((".gz", ".zip", ".tmp"))


def recognises(path: Path) -> bool:
    """Whether `path` is an event file or a folder with event files somewhere in it."""
    return _is_event_file(path.name) if path.is_file() else holds(path, _is_event_file)


def read(path: Path) -> Imported:
    """Read every scalar of every run below `path`.

    Of a step that two files of one folder hold, the later wall time counts. The folder that
    ``SummaryWriter.add_hparams`` makes inside a run belongs to that run.

    Raises
    ------
    TableError
        SC005 if something cannot be read, SC101 if there is no scalar in it.
    MissingExtraError
        If TensorBoard is not installed.
    """
    found = find_files(path, _is_event_file)
    root = path.parent if path.is_file() else path
    folders: dict[Path, list[EventFile]] = {}
    messages: list[Message] = []
    for file in found:
        events = read_events(file, file.relative_to(root).as_posix())
        messages += events.messages
        folders.setdefault(file.parent, []).append(events)
    runs = {
        folder: _run(relative_name(folder, root), files, messages)
        for folder, files in folders.items()
    }
    messages += _adopt_settings(runs)
    kept = [run for run in runs.values() if run.series or run.settings]
    if not any(run.series for run in kept):
        told = messages[0].text.partition(";")[0] if messages else ""
        found_text = told or "no scalar in any event file"
        raise damaged(source_name(path), clip(found_text, 120), "event files with scalars")
    if len(kept) < len(runs):
        empty = counted(len(runs) - len(kept), "folder")
        text = f"Left out: {empty} whose event files hold no scalar."
        messages.append(Message("SC141", text, "info"))
    digest = file_sha256(found[0]) if path.is_file() else None
    return assemble(kept, source_name(path), sha256=digest, messages=messages)


def _run(run: str, files: Sequence[EventFile], messages: list[Message]) -> Run:
    """Join the files of one folder."""
    made = Run(run)
    restarts = [item for file in files for item in file.restarts]
    replaced = 0
    for file in files:
        made.settings |= file.settings
        made.status = file.status or made.status
    for tag in dict.fromkeys(tag for file in files for tag in file.tags):
        parts = [file.tags[tag].part() for file in files if tag in file.tags]
        valid = [_without_void(part, restarts) for part in parts]
        void = sum(len(part[0]) for part in parts) - sum(len(part[0]) for part in valid)
        series, given_way = merge_restarts(valid)
        replaced += void + given_way
        if len(series):
            made.series[tag] = series
    if replaced:
        text = (
            f"Run {clip(run, 60)} was restarted; left out: {counted(replaced, 'earlier value')} of "
            "steps that were logged again later."
        )
        messages.append(Message("SC140", text))
    return made


def _without_void(
    part: tuple[Series, Floats], restarts: Sequence[tuple[float, int]]
) -> tuple[Series, Floats]:
    """Drop points that a later start of the writer declared void."""
    series, walls = part
    keep = np.ones(len(series), dtype=bool)
    for wall, step in restarts:
        keep &= (walls >= wall) | (series.steps < step)
    return Series(series.steps[keep], series.values[keep]), walls[keep]


def _only_describes(child: Path, runs: dict[Path, Run]) -> bool:
    """Whether a folder holds no run of its own: named by ``add_hparams``, or without a curve."""
    single = all(len(series) <= 1 for series in runs[child].series.values())
    return bool(TIMESTAMP.fullmatch(child.name)) or single


def _adopt_settings(runs: dict[Path, Run]) -> list[Message]:
    """Move hyperparameters from the folder that ``add_hparams`` made to the run they describe."""
    adopted = 0
    for folder, parent in list(runs.items()):
        children = [
            child
            for child in runs
            if child.parent == folder and runs[child].settings and _only_describes(child, runs)
        ]
        if len(children) != 1 or parent.settings:
            continue
        child = runs.pop(children[0])
        parent.settings = child.settings
        parent.status = parent.status or child.status
        parent.metrics |= {
            tag: value for tag, value in child.last_values().items() if tag not in parent.series
        }
        adopted += 1
    if not adopted:
        return []
    text = (
        f"Joined with the run it lies in: {counted(adopted, 'folder')} made by add_hparams; "
        "metrics written only there have no curve."
    )
    return [Message("SC143", text, "info")]
