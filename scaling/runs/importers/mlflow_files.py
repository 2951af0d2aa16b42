"""The file store of MLflow: ``mlruns/<experiment>/<run>/{meta.yaml,params,metrics,tags}``."""

from __future__ import annotations

import json
from array import array
from pathlib import Path

from scaling.errors import Message, TableError, clip
from scaling.runs.importers.assemble import Run, Series
from scaling.runs.importers.sources import (
    Cell,
    clean,
    cut_off,
    damaged,
    find_files,
    first_file,
    read_text,
    unreadable,
)

META = "meta.yaml"
TRASH = ".trash"
SKIP = frozenset({"artifacts", "models", "traces", "inputs", "metrics", "params", "tags"})
STATUS = {"1": "running", "2": "running", "3": "done", "4": "failed", "5": "failed"}
NAMES = {"RUNNING": "1", "SCHEDULED": "2", "FINISHED": "3", "FAILED": "4", "KILLED": "5"}


def _is_meta(file: str) -> bool:
    return file == META


def recognises(path: Path) -> bool:
    """Whether `path` is a file store, or one experiment or run of it."""
    file = first_file(path, _is_meta, SKIP)
    try:
        return file is not None and "experiment_id" in read_meta(file)
    except TableError:
        return False


def read_store(path: Path) -> tuple[list[Run], int, list[Message]]:
    """Read a store.

    Returns
    -------
    list of Run
        Active runs in the order of their start.
    int
        Number of deleted runs.
    list of Message
        Damage.

    Raises
    ------
    TableError
        SC005 if something cannot be read, SC101 if it is not text.
    """
    metas = {file.parent: read_meta(file) for file in find_files(path, _is_meta, SKIP)}
    runs: list[tuple[str, Run]] = []
    deleted, messages = 0, []
    for folder, meta in metas.items():
        run = meta.get("run_id") or meta.get("run_uuid")
        if run is None:
            continue
        experiment = metas.get(folder.parent) or _parent_meta(folder)
        gone = TRASH in folder.relative_to(path).parts or "deleted" in (
            meta.get("lifecycle_stage"),
            experiment.get("lifecycle_stage"),
        )
        if gone:
            deleted += 1
            continue
        made, damage = _read_run(folder, run, meta, experiment.get("name", ""))
        runs.append((meta.get("start_time", "").zfill(20), made))
        messages += damage
    _refuse_repeated([run.name for _, run in runs], path.name)
    return [run for _, run in sorted(runs, key=lambda item: item[0])], deleted, messages


def _refuse_repeated(names: list[str], where: str) -> None:
    for name in set(names):
        if names.count(name) > 1:
            found = f"two folders hold run {clip(name)}"
            raise damaged(where, found, "one folder a run", "remove the copy")


def _parent_meta(folder: Path) -> dict[str, str]:
    file = folder.resolve().parent / META
    return read_meta(file) if file.is_file() else {}


def read_meta(file: Path) -> dict[str, str]:
    """Read the flat mapping that MLflow writes as YAML, all values as text.

    Raises
    ------
    TableError
        SC005 or SC101 if it is no text.
    """
    entries: list[tuple[str, str]] = []
    for line in read_text(file, f"{file.parent.name}/{file.name}").splitlines():
        if line.startswith((" ", "\t")) and entries:  # a long value goes on
            key, value = entries[-1]
            entries[-1] = (key, f"{value} {line.strip()}")
        elif ":" in line:
            key, _, value = line.partition(":")
            entries.append((key.strip(), value.strip()))
    return {key: _unquoted(value) for key, value in entries if value not in ("", "null", "~")}


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == "'":
        return clean(value[1:-1].replace("''", "'"))
    if len(value) >= 2 and value[0] == value[-1] == '"':
        try:
            return clean(str(json.loads(value)))
        except ValueError:
            return clean(value[1:-1])
    return clean(value)


def _read_run(
    folder: Path, run: str, meta: dict[str, str], experiment: str
) -> tuple[Run, list[Message]]:
    state = meta.get("status", "")
    made = Run(run, STATUS.get(NAMES.get(state, state), ""))
    tags = _texts(folder / "tags")
    title = tags.get("mlflow.runName") or meta.get("run_name") or meta.get("name") or ""
    made.about = {"name": title, "experiment": experiment}
    made.settings |= _texts(folder / "params")
    made.settings |= {f"tags.{k}": v for k, v in tags.items() if not k.startswith("mlflow.")}
    messages = []
    for key, file in _entries(folder / "metrics"):
        where = f"{folder.name}/metrics/{key}"
        made.series[key], whole_file = _series(file, where)
        if not whole_file:
            messages.append(cut_off(where, "ends within a line"))
    made.series = {key: series for key, series in made.series.items() if len(series)}
    return made, messages


def _entries(folder: Path) -> list[tuple[str, Path]]:
    if not folder.is_dir():
        return []
    found = find_files(folder, lambda _: True)
    return [(clean(file.relative_to(folder).as_posix()), file) for file in found]


def _texts(folder: Path) -> dict[str, Cell | None]:
    return {key: clean(read_text(file, key)) for key, file in _entries(folder)}


def _series(file: Path, where: str) -> tuple[Series, bool]:
    """Read lines of ``time value step``, ordered by step, then time.

    Only the last line may be incomplete, as a crash leaves it: it then has no line end.
    """
    times, values, steps = array("q"), array("d"), array("q")
    try:
        *lines, rest = file.read_bytes().split(b"\n")
    except OSError as error:
        raise unreadable(file, error) from error
    for position, line in enumerate(lines, start=1):
        try:
            parts = line.split()
            times.append(int(parts[0]))
            values.append(float(parts[1]))
            steps.append(int(parts[2]) if len(parts) > 2 else 0)
        except (ValueError, IndexError, OverflowError):
            found = f'"{clip(line.decode("utf-8", "replace"), 40)}"'
            raise damaged(f"{where}:{position}", found, "time, value and step") from None
    return _by_step(times, values, steps), not rest


def _by_step(times: array[int], values: array[float], steps: array[int]) -> Series:
    order = sorted(range(len(values)), key=lambda i: (steps[i], times[i]))
    return Series.of([steps[i] for i in order], [values[i] for i in order])
