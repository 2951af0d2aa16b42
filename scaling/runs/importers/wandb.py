"""W&B: run folders on disk, offline or synced, through their transaction logs.

The log is an internal format of W&B; what it holds is read on a best-effort basis.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np

from scaling.errors import Message, MissingExtraError, clip
from scaling.runs.importers.assemble import Floats, Run, Series, assemble, merge_restarts
from scaling.runs.importers.base import Imported
from scaling.runs.importers.sources import (
    cell,
    clean,
    counted,
    cut_off,
    damaged,
    file_sha256,
    find_files,
    flatten,
    holds,
    number,
    parse_json,
    source_name,
    unreadable,
    whole,
)
from scaling.runs.importers.wandb_log import MAGIC, Broken, records

name = "wandb"

EXPECTED = "a folder wandb/ with run-…/ or offline-run-…/ in it"
INTERNAL = ("_step", "_timestamp", "_wandb")
SKIP = frozenset({"files", "logs", "tmp", "media", "artifacts"})


@dataclass
class Log:
    """What one transaction log holds."""

    run: Run
    title: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    steps: dict[str, array[int]] = field(default_factory=dict)
    values: dict[str, array[float]] = field(default_factory=dict)
    started: float = 0.0
    messages: list[Message] = field(default_factory=list)


def _is_log(file: str) -> bool:
    return file.endswith(".wandb")


def recognises(path: Path) -> bool:
    """Whether `path` is a transaction log or a folder with logs somewhere in it."""
    if path.is_dir():
        return holds(path, _is_log, SKIP)
    try:
        with path.open("rb") as handle:
            return handle.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read(path: Path) -> Imported:
    """Read runs with their configuration, history and summary.

    A run that was resumed has several logs; of a step that two hold the later one counts.

    Raises
    ------
    TableError
        SC005 or SC101 if nothing can be read.
    MissingExtraError
        If ``wandb``, which knows what a record holds, is not installed.
    """
    files = [path] if path.is_file() else find_files(path, _is_log, SKIP)
    logs = [_read_log(file) for file in files]
    messages = [message for log in logs for message in log.messages]
    known = [log for log in logs if log.run.name]
    if not known:
        found = messages[0].text.partition(";")[0] if messages else "no transaction log in it"
        raise damaged(source_name(path), clip(found, 120), EXPECTED)
    by_run: dict[str, list[Log]] = {}
    for log in sorted(known, key=lambda log: log.started):
        by_run.setdefault(log.run.name, []).append(log)
    runs = [_joined(parts, messages) for parts in by_run.values()]
    text = (
        "Logs on disk are an internal format of W&B, read on a best-effort basis "
        f"(wandb {metadata.version('wandb')}); exports from its site are the stable way."
    )
    messages.insert(0, Message("SC127", text, "info"))
    digest = file_sha256(files[0]) if path.is_file() else None
    return assemble(runs, source_name(path), sha256=digest, messages=messages)


def _read_log(file: Path) -> Log:
    try:
        from google.protobuf.message import DecodeError

        schema = import_module("wandb.proto.wandb_internal_pb2")
    except ImportError:
        raise MissingExtraError.of("wandb", "trackers", "read run folders of W&B") from None
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise unreadable(file, error, EXPECTED) from error
    log = Log(Run(""))
    where = f"{file.parent.name}/{file.name}"
    try:
        for record in records(raw):
            _take(log, schema.Record.FromString(record))
    except Broken as damage:
        log.messages.append(cut_off(where, str(damage)))
    except DecodeError:
        log.messages.append(cut_off(where, "holds a record that cannot be parsed"))
    if log.run.name and not log.run.status:
        log.run.status = "running"
    return log


def _take(log: Log, record: Any) -> None:
    """Add one record to what is known of the run."""
    kind = record.WhichOneof("record_type")
    if kind == "run":
        log.run.name = clean(record.run.run_id)
        log.run.about = {
            "name": clean(record.run.display_name),
            "project": clean(record.run.project),
            "run_group": clean(record.run.run_group),
            "tags": clean(",".join(record.run.tags)),
        }
        log.started = record.run.start_time.seconds + record.run.start_time.nanos / 1e9
        _update(log.config, record.run.config)
        _update(log.summary, record.run.summary)
    elif kind == "config":
        _update(log.config, record.config)
    elif kind == "summary":
        _update(log.summary, record.summary)
    elif kind == "history":
        _history(log, record.history)
    elif kind == "exit":
        log.run.status = "failed" if record.exit.exit_code else "done"


def _update(known: dict[str, Any], change: Any) -> None:
    """Set and remove entries; names of nested ones are joined by ``/``."""
    for item in change.remove:
        gone = _key(item)
        for key in [k for k in known if k == gone or k.startswith(f"{gone}/")]:
            del known[key]
    for item in change.update:
        known |= _leaves(item)


def _key(item: Any) -> str:
    return clean("/".join(item.nested_key) or item.key)


def _leaves(item: Any) -> dict[str, Any]:
    """Return the values of one item; media, whose JSON says its ``_type``, are none."""
    try:
        value = parse_json(item.value_json)
    except ValueError:
        return {}
    if not isinstance(value, dict):
        return {_key(item): value}
    return {} if "_type" in value else flatten(value, f"{_key(item)}/")


def _history(log: Log, history: Any) -> None:
    row: dict[str, Any] = {}
    for item in history.item:
        row |= _leaves(item)
    step = whole(row.get("_step"))
    step = int(history.step.num) if step is None else step
    for key, value in row.items():
        amount = number(value)
        if amount is not None and not key.startswith(INTERNAL):
            log.steps.setdefault(key, array("q")).append(step)
            log.values.setdefault(key, array("d")).append(amount)


def _joined(logs: list[Log], messages: list[Message]) -> Run:
    """Join the logs of one run, earliest first."""
    run = logs[-1].run
    config = _merged(log.config for log in logs)
    run.settings = {
        key: cell(value)
        for key, value in _unwrapped(config).items()
        if key.split("/")[0] != "_wandb"
    }
    summary = {
        key: number(value) for key, value in sorted(_merged(log.summary for log in logs).items())
    }
    run.metrics = {
        key: value
        for key, value in summary.items()
        if value is not None and not key.startswith(INTERNAL)
    }
    replaced = 0
    for key in sorted({key for log in logs for key in log.steps}):  # W&B's own order is random
        parts = [_part(log, key, place) for place, log in enumerate(logs) if key in log.steps]
        run.series[key], given_way = merge_restarts(parts)
        replaced += given_way
    if replaced:
        text = (
            f"Run {clip(run.name, 60)} was resumed; left out: {counted(replaced, 'earlier value')} "
            "of steps that were logged again later."
        )
        messages.append(Message("SC140", text))
    return run


def _merged(maps: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {key: value for known in maps for key, value in known.items()}


def _part(log: Log, key: str, place: int) -> tuple[Series, Floats]:
    series = Series.of(np.frombuffer(log.steps[key], np.int64), np.frombuffer(log.values[key]))
    return series, np.full(len(series), float(place))


def _unwrapped(config: dict[str, Any]) -> dict[str, Any]:
    """Undo ``{"value": …, "desc": …}``, in which some versions wrap each setting."""
    plain: dict[str, Any] = {}
    for key, value in config.items():
        outer, _, inner = key.partition("/")
        if (f"{outer}/desc" in config) and (inner == "value" or inner.startswith("value/")):
            plain[outer + inner.removeprefix("value")] = value
        elif not (inner == "desc" and any(k.startswith(f"{outer}/value") for k in config)):
            plain[key] = value
    return plain
