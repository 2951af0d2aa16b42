"""What points cost, from a measured calibration; the plan itself measures nothing."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from scaling.errors import ConfigError, Fault
from scaling.runs.files import canonical_json

SCHEMA = "scaling/calibration@1"


def shape_key(shape: Mapping[str, int], sequences: int) -> str:
    """Key of a shape in a calibration file."""
    return canonical_json({**shape, "sequences": sequences})


def seconds(
    shape: Mapping[str, int], sequences: int, steps: int, calibration: Mapping[str, Any] | None
) -> float | None:
    """Seconds that a point takes on one worker; None if its shape was not measured."""
    if calibration is None:
        return None
    entry = calibration["shapes"].get(shape_key(shape, sequences))
    if entry is None:
        return None
    return float(steps * entry["seconds_per_step"] + entry["evaluation_seconds"])


def read_calibration(path: str | Path) -> dict[str, Any]:
    """Read what `scaling bench` wrote.

    Raises
    ------
    ConfigError
        SC005 or SC012.
    """
    try:
        data: Any = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(Fault("SC005", str(path), f"cannot be read: {error.strerror}")) from None
    except ValueError:
        data = None
    sound = isinstance(data, dict) and data.get("schema") == SCHEMA
    if not sound or not isinstance(data.get("shapes"), dict):
        mend = "scaling bench STUDY.toml -o FILE makes one"
        raise ConfigError(Fault("SC012", str(path), "is not a calibration file", SCHEMA, mend))
    found: dict[str, Any] = data
    return found


def wall_seconds(costs: Iterable[float], workers: int) -> float:
    """Wall time of independent points on equal workers, longest first."""
    loads = [0.0] * workers
    for item in sorted(costs, reverse=True):
        heapq.heapreplace(loads, loads[0] + item)
    return max(loads)
