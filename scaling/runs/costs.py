"""What the points of a sweep took, by group: FLOP, seconds and how fast they were."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scaling.errors import ConfigError
from scaling.runs.records import PRETRAIN, load_plan

STAGES = ("tuning", PRETRAIN)  # what came first, each in a folder of its own
SOFTWARE = ("scaling-study", "python", "torch", "numpy", "cuda", "cudnn", "driver", "device", "cpu",
            "dtype", "compiled", "commit")  # fmt: skip


def costs_of(out: Path) -> list[dict[str, Any]]:
    """Add up what the records of a sweep say, group by group, and the stages that came first.

    Parameters
    ----------
    out : Path
        Sweep folder with a ``records.jsonl``.

    Returns
    -------
    list of dict
        ``group, points, C`` [FLOP spent], ``training_seconds, compile_seconds,
        evaluation_seconds`` [s of one device each] and ``flops_per_second`` (of training; None
        where it took no time), ``devices`` (their names). Empty without records.
    """
    found = [_added(group, own) for group, own in _by_group(out).items()]
    for stage in STAGES:
        own = [record for records in _by_group(out / stage).values() for record in records]
        if own:
            found.append(_added(stage, own))
    return found


def software_of(out: Path) -> dict[str, list[Any]]:
    """What the points of a sweep and its earlier stages were trained with.

    Parameters
    ----------
    out : Path
        Sweep folder with a ``records.jsonl``.

    Returns
    -------
    dict of list
        Every value that occurs under each name of `SOFTWARE`, sorted; names that no record has are
        left out.
    """
    found: dict[str, set[Any]] = {}
    for folder in (out, *(out / stage for stage in STAGES)):
        for record in _records(folder):
            own = dict(record["provenance"])
            own["commit"] = (own.get("commit") or {}).get("commit")
            for name in SOFTWARE:
                if own.get(name) is not None:
                    found.setdefault(name, set()).add(own[name])
    return {name: sorted(found[name], key=str) for name in SOFTWARE if name in found}


def _by_group(folder: Path) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    named = _groups(folder)
    for record in _records(folder):
        group = named.get(record["id"], record["point"]["group"])
        groups.setdefault(str(group), []).append(record)
    return groups


def _groups(folder: Path) -> dict[str, str]:
    """Group of each point as the plan has it now: a record keeps that of when it was trained."""
    try:
        return {point["id"]: point["group"] for point in load_plan(folder)}
    except ConfigError:
        return {}


def _records(folder: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = (folder / "records.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        record = json.loads(line)
        if "effort" in record and "point" in record:
            yield record


def _devices(record: Mapping[str, Any]) -> int:
    return int(record["provenance"].get("devices") or 1)


def _added(group: str, records: list[dict[str, Any]]) -> dict[str, Any]:
    def total(name: str) -> float:
        each = (float(r["effort"].get(name) or 0.0) * _devices(r) for r in records)
        return round(sum(each), 3)

    training, spent = total("active_seconds"), sum(float(r["C_spent"]) for r in records)
    devices: Mapping[str, None] = dict.fromkeys(str(r["provenance"]["device"]) for r in records)
    return {
        "group": group,
        "points": len(records),
        "C": spent,
        "training_seconds": training,
        "compile_seconds": total("compile_seconds"),
        "evaluation_seconds": total("evaluation_seconds"),
        "flops_per_second": float(f"{spent / training:.4g}") if training > 0.0 else None,
        "devices": sorted(devices),
    }
