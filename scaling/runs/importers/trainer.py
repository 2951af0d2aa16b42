"""Hugging Face Trainer: ``trainer_state.json``, one run a folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from scaling.errors import Fault, Message, TableError, clip
from scaling.runs.importers.assemble import Run, Series, assemble
from scaling.runs.importers.base import Imported
from scaling.runs.importers.safetensors import count_parameters
from scaling.runs.importers.sources import (
    Cell,
    cell,
    clean,
    counted,
    cut_off,
    damaged,
    file_sha256,
    find_files,
    holds,
    load_json,
    number,
    relative_name,
    source_name,
    whole,
)

name = "trainer"

STATE = "trainer_state.json"
EXPECTED = "the state that a Hugging Face Trainer saves"
CHECKPOINT = re.compile(r"checkpoint-\d+")
NEEDED = {"global_step", "log_history"}
# What the Trainer logs under a name that means something else in a table of runs.
RENAMED = {"loss": "train_loss", "train_loss": "train_loss_mean"}
COUNTS = ("total_flos", "num_input_tokens_seen")
SETTINGS = ("max_steps", "num_train_epochs", "train_batch_size")


def _is_state(file: str) -> bool:
    return file == STATE


def recognises(path: Path) -> bool:
    """Whether `path` is a trainer's state or a folder with one somewhere in it."""
    return _is_state(path.name) if path.is_file() else holds(path, _is_state)


def read(path: Path) -> Imported:
    """Read one run a folder; of its checkpoints the one with the largest step counts.

    ``loss`` becomes ``train_loss``; what the Trainer itself calls ``train_loss``, an average over
    the whole run, becomes ``train_loss_mean``. A count of 0 operations or tokens means that they
    were not counted.

    Raises
    ------
    TableError
        SC005 or SC101 if something cannot be read or there is no state.
    """
    files = [path] if path.is_file() else find_files(path, _is_state)
    if not files:
        raise damaged(source_name(path), f"no {STATE} in it", EXPECTED)
    root = path.parent if path.is_file() else path
    if path.is_file() and CHECKPOINT.fullmatch(path.resolve().parent.name):
        root = path.resolve().parent.parent
        files = [path.resolve()]
    runs, early = [], []
    messages: list[Message] = []
    for folder, (file, state) in _newest(files, root).items():
        run = _run(relative_name(folder, root), state, file, messages)
        _count(run, [file.parent, folder], messages)
        runs.append(run)
        if state["global_step"] < (whole(state.get("max_steps")) or 0):
            early.append(run.name)
    if early:
        shown = ", ".join(clip(run, 40) for run in early[:6]) + (" …" if len(early) > 6 else "")
        stopped = counted(len(early), "run")
        text = f"Stopped before max_steps, but counted as done: {stopped} ({shown})."
        messages.append(Message("SC142", text))
    digest = file_sha256(files[0]) if path.is_file() else None
    return assemble(runs, source_name(path), sha256=digest, messages=messages)


def _newest(files: list[Path], root: Path) -> dict[Path, tuple[Path, dict[str, Any]]]:
    """Return the most advanced state of each run's folder; all faults at once."""
    newest: dict[Path, tuple[Path, dict[str, Any]]] = {}
    ranks: dict[Path, tuple[int, bool]] = {}
    faults: list[Fault] = []
    for file in files:
        try:
            state = _load(file, root)
        except TableError as error:
            faults += error.faults
            continue
        inside = CHECKPOINT.fullmatch(file.parent.name) and file.parent != root
        folder = file.parent.parent if inside else file.parent
        rank = (state["global_step"], not inside)
        if folder not in newest or rank > ranks[folder]:
            newest[folder], ranks[folder] = (file, state), rank
    if faults:
        raise TableError(faults)
    return newest


def _load(file: Path, root: Path) -> dict[str, Any]:
    where = file.relative_to(root).as_posix()
    state = load_json(file, where, EXPECTED)
    missing = NEEDED - set(state)
    if missing:
        raise damaged(where, f"has no {', '.join(sorted(missing))}", EXPECTED)
    history = state["log_history"]
    if whole(state["global_step"]) is None or not isinstance(history, list):
        raise damaged(where, "global_step or log_history is of another kind", EXPECTED)
    if not all(isinstance(entry, dict) for entry in history):
        raise damaged(where, "an entry of log_history is not an object", EXPECTED)
    return state


def _run(run: str, state: dict[str, Any], file: Path, messages: list[Message]) -> Run:
    made = Run(run, "done")
    made.settings["steps"] = whole(state["global_step"])
    for key in SETTINGS:
        value: Cell | None = cell(state.get(key))
        if isinstance(value, int | float) and value > 0:
            made.settings[key] = value
    points: dict[str, tuple[list[int], list[float]]] = {}
    without = 0
    for entry in state["log_history"]:
        step = whole(entry.get("step"))
        if step is None:
            without += 1
            continue
        for key, value in entry.items():
            amount = number(value)
            if amount is not None and key != "step" and (amount > 0 or key not in COUNTS):
                title = clean(RENAMED.get(key, key))
                steps, values = points.setdefault(title, ([], []))
                if ([step], [amount]) != (steps[-1:], values[-1:]):  # the epoch stands in each line
                    steps.append(step)
                    values.append(amount)
    if without:
        where = f"{run}/{file.name}"
        text = (
            f"{clip(where, 60)}: left out {counted(without, 'line')} of log_history without a step."
        )
        messages.append(Message("SC141", text))
    made.series = {key: Series.of(steps, values) for key, (steps, values) in points.items()}
    for key in COUNTS:
        amount = number(state.get(key))
        if amount is not None and amount > 0:
            made.metrics[key] = amount
    return made


def _count(run: Run, folders: list[Path], messages: list[Message]) -> None:
    """Set ``params_total`` from the headers of weights beside the state, where there are any."""
    for folder in dict.fromkeys(folders):
        try:
            count = count_parameters(folder)
        except TableError as error:
            where = f"{run.name}/{folder.name}"
            messages.append(cut_off(where, f"has weights of which {error.faults[0].found}"))
            return
        if count is not None:
            run.settings["params_total"] = count
            return
