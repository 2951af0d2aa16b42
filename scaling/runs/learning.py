"""Learning curves, thinned to what a figure needs and laid out in columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.errors import ConfigError, Message
from scaling.runs.columns import OF_TRAINING
from scaling.runs.detect import NO_HELDOUT
from scaling.runs.importers.study import read_curve
from scaling.runs.records import PointFiles, load_plan, read_record
from scaling.runs.table import RunsTable, curves_of, thinned

Array = NDArray[np.float64]
COLUMNS = ("run", "group", "N", "status", "trunk", "branch", "what", "D", "C", "loss")
A_RUN = 24  # points of one run, evenly spaced in the logarithm
ALL = 6000  # points of all; beyond that whole runs are left out, evenly
ENOUGH = 8  # held-out losses that make a curve by themselves
DIGITS = 7

Columns = dict[str, list[Any]]


def curves_in(folder: Path) -> Columns:
    """Curves of the finished points of a study's folder, those that diverged included.

    Parameters
    ----------
    folder : Path
        With ``plan.jsonl`` and ``points/``.

    Returns
    -------
    dict of list
        A row a point of a curve, under `COLUMNS`: ``what`` is ``val`` for a held-out loss and
        ``train`` for the loss of the batch at that step, as it was logged; ``branch`` is the D at
        which the learning rate of a run began to fall that shares its trunk with others. Missing is
        None. Empty where nothing is there to be read.
    """
    try:
        points = load_plan(folder)
    except (ConfigError, UnicodeDecodeError):
        return {}
    trunks = pd.Series([str(point.get("trunk")) for point in points])
    shared = set(trunks[trunks.duplicated()])
    found = (_of_point(folder, point, str(point.get("trunk")) in shared) for point in points)
    return _columns([curve for curve in found if curve is not None])


def _of_point(folder: Path, point: Mapping[str, Any], shared: bool) -> Columns | None:
    record = read_record(folder, point["id"])
    if record is None:
        return None
    ignored: list[Message] = []  # of damaged lines, which every reading of the folder tells of
    curve = read_curve(PointFiles.of(folder, point["id"]).curve, point["id"], ignored)
    if curve is None or not {"tokens", "flops", "train_loss", "val_loss"} <= set(curve):
        return None
    decay = point.get("optimizer", {}).get("decay_steps")
    branch = None
    if shared and isinstance(decay, int) and 0 < decay < point["steps"]:
        branch = (point["steps"] - decay) * point["batch"]
    about = {
        "run": point["id"],
        "group": point.get("group"),
        "N": point.get("N"),
        "status": record["status"],
        "trunk": point.get("trunk"),
        "branch": branch,
    }
    d, c = curve["tokens"].to_numpy(), curve["flops"].to_numpy()
    held_out, training = curve["val_loss"].to_numpy(), curve["train_loss"].to_numpy()
    val = _spaced(d, held_out, A_RUN)
    few = len(val) < ENOUGH
    train = _spaced(d, training, A_RUN - len(val)) if few else val[:0]
    return _rows(about, [("train", train, training), ("val", val, held_out)], d, c)


def curves_of_table(table: RunsTable) -> Columns:
    """Curves of a table with a row for each point of a run; see `curves_in`.

    Rows that a condition left out are no part of them.
    """
    frame = table.frame
    along = next((name for name in ("D", "C") if name in frame), None)
    if along is None or "loss" not in frame:
        return {}
    diverged = (
        (frame["status"] == "diverged").to_numpy(dtype=bool)
        if "status" in frame
        else np.zeros(len(frame), dtype=bool)
    )
    kept = table.used | diverged
    d, c, n, loss = (_numbers(frame, name) for name in ("D", "C", "N", "loss"))
    where = frame[along].to_numpy(dtype=np.float64)
    unit = table.columns["loss"].unit if "loss" in table.columns else ""
    training = OF_TRAINING in unit or any(m.text.endswith(NO_HELDOUT) for m in table.messages)
    found = []
    labels = pd.Series(curves_of(frame))[kept]
    for at in labels.groupby(labels, sort=False).indices.values():
        rows = labels.index.to_numpy()[at]
        if len(rows) < 2:
            continue
        last = rows[int(np.nanargmax(where[rows]))] if np.isfinite(where[rows]).any() else rows[-1]
        about: dict[str, Any] = {
            name: _cell(frame, name, int(last)) for name in ("run", "group", "trunk")
        }
        about |= {"N": _amount(n[last]), "branch": None}
        about["status"] = "diverged" if diverged[rows].any() else "done"
        rows = rows[_spaced(where[rows], loss[rows], A_RUN)]
        found.append(_rows(about, [("train" if training else "val", rows, loss)], d, c))
    return _columns(found)


def _numbers(frame: pd.DataFrame, name: str) -> Array:
    if name not in frame:
        return np.full(len(frame), np.nan)
    return np.asarray(pd.to_numeric(frame[name], errors="coerce"), dtype=np.float64)


def _cell(frame: pd.DataFrame, name: str, row: int) -> str | None:
    value = frame[name].iloc[row] if name in frame else None
    return None if value is None or pd.isna(value) else str(value)


def _spaced(where: Array, loss: Array, most: int) -> NDArray[np.int64]:
    """Places of at most so many finite losses, about evenly spaced in the logarithm."""
    good = np.flatnonzero(np.isfinite(loss) & np.isfinite(where) & (where > 0))
    good = good[np.argsort(where[good], kind="stable")]
    if len(good) <= most:
        return good
    marks = np.geomspace(where[good[0]], where[good[-1]], most)
    nearest = np.abs(np.log(where[good])[None, :] - np.log(marks)[:, None]).argmin(axis=1)
    return np.asarray(good[np.unique(nearest)])


def _rows(
    about: Mapping[str, Any],
    parts: Iterable[tuple[str, NDArray[np.int64], Array]],
    d: Array,
    c: Array,
) -> Columns:
    out: Columns = {name: [] for name in COLUMNS}
    for what, rows, loss in parts:
        for name, value in {**about, "what": what}.items():
            out[name] += [value] * len(rows)
        for name, values in (("D", d), ("C", c), ("loss", loss)):
            out[name] += [_amount(value) for value in values[rows]]
    return out


def _amount(value: float) -> float | int | None:
    """Shorten a number to what a figure can show; whole numbers stay as they are."""
    if not np.isfinite(value):
        return None
    if float(value).is_integer() and abs(value) < 1e15:
        return int(value)
    return float(f"{value:.{DIGITS}g}")


def _columns(curves: Sequence[Columns]) -> Columns:
    """Put curves below each other; of too many, every so many is kept."""
    curves = [curve for curve in curves if curve["run"]]
    total = sum(len(curve["run"]) for curve in curves)
    if total > ALL:
        longest = max(len(curve["run"]) for curve in curves)
        order = np.arange(len(curves), dtype=np.int64)
        curves = [curves[i] for i in thinned(order, ALL // longest)]
    if not curves:
        return {}
    out = {name: [value for curve in curves for value in curve[name]] for name in COLUMNS}
    return {name: values for name, values in out.items() if any(v is not None for v in values)}
