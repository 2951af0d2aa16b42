"""What every tracker is given, and the door that it has."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from scaling.errors import ConfigError, Fault, MissingExtraError
from scaling.runs.records import PointFiles, read_record
from scaling.training.installation import installed as _installed

NEEDS = {
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),
}
# Of a point, what stands beside its settings or belongs to the machine.
NO_SETTINGS = {"id", "data", "evaluation", "flops_per_unit", "init", "memory", "seconds"}
CURVES = ("train_loss", "val_loss", "lr", "grad_norm")
Point = Mapping[str, Any]
Row = tuple[int, dict[str, float]]


@dataclass(frozen=True)
class End:
    """How a point ended.

    Attributes
    ----------
    status : str
        As in its record.
    cause : str
        Why it failed; empty if it did not.
    step : int
        Steps done.
    values : dict
        ``loss``, ``loss_se`` and ``seconds``, as far as there are any.
    curve : list of (int, dict)
        Its curve by step, under `CURVES`.
    """

    status: str
    cause: str
    step: int
    values: dict[str, float]
    curve: list[Row]


class Tracker(Protocol):
    """Keeps one run a point; used by one thread, and may raise whatever it likes."""

    def begin(self, point: Point) -> int:
        """Open the run of a point, or its earlier one; return the last live step that it holds."""

    def log(self, name: str, row: Row) -> None:
        """Add live values of the point `name`."""

    def end(self, name: str, end: End) -> None:
        """Add the curve and the result of the point `name`, and close its run."""

    def close(self) -> None:
        """Close runs that have not ended; a later call of `begin` goes on with them."""


def check_trackers(names: Iterable[str]) -> tuple[str, ...]:
    """Return the trackers that were asked for, each once.

    Raises
    ------
    ConfigError
        SC004 for a name that is none.
    MissingExtraError
        SC001 if one is not installed: who names it wants it, so this is no time to go on without.
    """
    chosen = tuple(dict.fromkeys(names))
    for name in chosen:
        if name not in NEEDS:
            raise ConfigError(Fault("SC004", "--track", f'"{name}"', "one of " + ", ".join(NEEDS)))
        missing = [package for package in NEEDS[name] if not _installed(package)]
        if missing:
            raise MissingExtraError.of(missing[0], "trackers", f"track runs with {name}")
    return chosen


def settings_of(point: Point) -> dict[str, Any]:
    """Return a point as flat settings, with dots: ``N``, ``lr``, ``shape.width``."""
    settings: dict[str, Any] = {"point": point["id"], "source": point["data"]["source"]}
    for key, value in point.items():
        if key in NO_SETTINGS or value is None:
            continue
        if isinstance(value, Mapping):
            settings |= {f"{key}.{inner}": v for inner, v in value.items() if v is not None}
        else:
            settings[key] = value
    return settings


def title_of(point: Point) -> str:
    """Return the name of a point's run."""
    return f"{point['group']}/{point['id']}"


def end_of(out: Path, point: Point) -> End | None:
    """Read how a point ended from its record and curve; None if it has no record."""
    record = read_record(out, point["id"])
    if record is None:
        return None
    values = {name: record.get(name) for name in ("loss", "loss_se", "seconds")}
    return End(
        record["status"],
        record.get("cause") or "",
        int(record.get("steps_done") or 0),
        finite(values),
        read_curve(PointFiles.of(out, point["id"]).curve),
    )


def read_curve(path: Path) -> list[Row]:
    """Read the curve of a point; a point that failed early has none."""
    try:
        with path.open(newline="", encoding="utf-8") as handle:
            lines = list(csv.DictReader(handle))
    except OSError:
        return []
    rows = [
        (int(line["step"]), finite({name: float(line[name]) for name in CURVES if line.get(name)}))
        for line in lines
    ]
    return [row for row in rows if row[1]]


def finite(values: Mapping[str, float | None]) -> dict[str, float]:
    """Leave out what is missing or no number: trackers treat those each in their own way."""
    return {k: float(v) for k, v in values.items() if v is not None and math.isfinite(v)}


def make(name: str, out: Path) -> Tracker:
    """Open a tracker, whose local files go to ``OUT/track``; this loads its package."""
    folder = out.resolve() / "track"
    if name == "tensorboard":
        from scaling.training.trackers.tensorboard import TensorBoard

        return TensorBoard(folder / name)
    if name == "wandb":
        from scaling.training.trackers.wandb import WandB

        return WandB(folder)
    from scaling.training.trackers.mlflow import MLflow

    return MLflow(folder / name)


def pieces(items: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    """Cut a sequence into pieces of at most `size`."""
    return (items[i : i + size] for i in range(0, len(items), size))
