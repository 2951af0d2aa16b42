"""lm-evaluation-harness: ``results*.json``, one row a file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from scaling.errors import Fault, TableError
from scaling.runs.importers.assemble import Run, assemble
from scaling.runs.importers.base import Imported
from scaling.runs.importers.sources import (
    Cell,
    cell,
    clean,
    damaged,
    file_sha256,
    find_files,
    holds,
    load_json,
    number,
    relative_name,
    source_name,
)

name = "lm-eval"

EXPECTED = "results of lm-evaluation-harness"
FILE = re.compile(r"results.*\.json", re.DOTALL)
BESIDES = {"alias", "name", "sample_len", "sample_count"}


def _may_be(file: str) -> bool:
    return FILE.fullmatch(file) is not None


def recognises(path: Path) -> bool:
    """Whether `path` is a file of results or a folder with such files somewhere in it."""
    if path.is_file():
        return _may_be(path.name) and _holds_result(path)
    try:
        return holds(path, _may_be) and any(map(_holds_result, find_files(path, _may_be)))
    except TableError:
        return False


def _holds_result(file: Path) -> bool:
    try:
        return _is_result(load_json(file, file.name, EXPECTED))
    except TableError:
        return False


def _is_result(data: dict[str, Any]) -> bool:
    results = data.get("results")
    tasks = isinstance(results, dict) and all(isinstance(v, dict) for v in results.values())
    return tasks and ("versions" in data or isinstance(data.get("config"), dict))


def read(path: Path) -> Imported:
    """Read the metrics of each file as ``<task>/<metric>``; standard errors stay out.

    Raises
    ------
    TableError
        SC005 or SC101 if something cannot be read or holds no results; all files' faults at once.
    """
    files = [path] if path.is_file() else find_files(path, _may_be)
    root = path.parent if path.is_file() else path
    runs: list[Run] = []
    faults: list[Fault] = []
    for file in files:
        where = file.relative_to(root).as_posix()
        try:
            data = load_json(file, where, EXPECTED)
            if _is_result(data):
                runs.append(_run(relative_name(file, root), data))
            elif path.is_file():
                raise damaged(where, "has no results of tasks", EXPECTED)
        except TableError as error:
            faults += error.faults
    if faults:
        raise TableError(faults)
    if not runs:
        raise damaged(source_name(path), "no file of results in it", EXPECTED)
    digest = file_sha256(path) if path.is_file() else None
    return assemble(runs, source_name(path), sha256=digest)


def _run(run: str, data: dict[str, Any]) -> Run:
    made = Run(run, "done")
    config = data.get("config")
    config = config if isinstance(config, dict) else {}
    arguments = _arguments(config.get("model_args"))
    model = arguments.get("pretrained") or data.get("model_name") or config.get("model")
    made.about["model"] = cell(model)
    if arguments.get("revision") is not None:
        made.about["revision"] = cell(arguments["revision"])
    count: Cell | None = cell(config.get("model_num_parameters"))
    if isinstance(count, int | float) and count > 0:  # -1 where it is not known
        made.settings["params"] = count
    for task, metrics in data["results"].items():
        for metric, value in metrics.items():
            base, _, extra = metric.partition(",")
            amount = number(value)
            if amount is None or base in BESIDES or base.endswith("_stderr"):
                continue
            title = base if extra in ("", "none") else metric
            made.metrics[clean(f"{task}/{title}")] = amount
    return made


def _arguments(value: Any) -> dict[str, Any]:
    """Arguments of the model, which are an object or text such as ``pretrained=…,dtype=…``."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, str):
        return {}
    return {key.strip(): text for key, _, text in (p.partition("=") for p in value.split(","))}
