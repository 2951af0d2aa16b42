"""Which points one process trains together, and in which order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from scaling.runs.files import canonical_json
from scaling.training.engines.base import Job
from scaling.training.engines.local import usable_cores, visible_gpus
from scaling.training.schedule import averages, decay_start

MOST_STACKED = 16  # points of a stack where a trial decides
OWN = ("lr", "weight_decay")  # what the optimiser blocks of a stack may differ in
Point = Mapping[str, Any]


def stackable(point: Point) -> str | None:
    """Key of the points that `point` can share a stack with; None if it shares one with none."""
    o = point["optimizer"]
    if o["name"] != "adamw" or point["init"].get("dropout") or point["family"] != "decoder":
        return None
    same = {k: v for k, v in o.items() if k not in OWN}
    start = {k: v for k, v in point["init"].items() if not k.startswith("seed_")}
    names = ("family", "shape", "data", "evaluation", "sequences", "steps")
    return canonical_json({**{k: point[k] for k in names}, "optimizer": same, "init": start})


def jobs_of(
    points: Sequence[Point],
    pending: Sequence[Point],
    trunks: bool,
    settings: Mapping[str, Any],
    device: str,
    workers: int | None,
) -> list[Job]:
    """Divide the pending points into jobs, those that take longest first.

    Parameters
    ----------
    points : sequence of mapping
        Of the whole plan: a trunk is shared with branches that are done, too.
    pending : sequence of mapping
    trunks : bool
        Whether points of one trunk are trained as branches of it.
    settings : mapping
        Of `scaling.training.setup.Setup`.
    device : {"auto", "cpu", "cuda"}
    workers : int or None
        Processes; as many as there are cores or GPUs if None.
    """
    gpus = visible_gpus() if device != "cpu" else []
    on_gpu = bool(gpus) or device == "cuda"
    places = workers or (len(gpus) or 1 if on_gpu else usable_cores())
    left = {p["id"]: p for p in pending}
    groups: list[tuple[float, Job]] = []

    def take(job: Job, cost: float) -> None:
        groups.append((cost, job))
        for name in job.points:
            left.pop(name, None)

    share = own_compute(points, trunks)
    for branches in _by_trunk(points) if trunks else ():
        own = [p for p in branches if p["id"] in left]
        if own:
            cost = sum(_cost(p) * share[p["id"]] / p["C"] for p in own)
            take(Job(tuple(p["id"] for p in own), "trunk"), cost)
    most = settings.get("stack", "auto")
    most = (MOST_STACKED if on_gpu else 1) if most == "auto" else int(most)
    if most > 1 and int(settings.get("devices", 1)) == 1:
        shared = {p["id"] for group in (_by_trunk(points) if trunks else ()) for p in group}
        every = _stacks([p for p in points if p["id"] not in shared], most, places)
        # The plan decides what is a stack, not what is pending: its bits are not those of no stack.
        several = {p["id"] for stack in every if len(stack) > 1 for p in stack}
        keys = {stackable(p) for p in points if p["id"] in several}
        for stack in _stacks(list(left.values()), most, places, keys):
            take(Job(tuple(p["id"] for p in stack), "stack"), sum(map(_cost, stack)))
    groups += [(_cost(p), Job((name,))) for name, p in left.items()]
    return [job for _, job in sorted(groups, key=lambda group: -group[0])]


def own_compute(points: Sequence[Point], trunks: bool) -> dict[str, float]:
    """Compute that each point takes itself, by id [FLOP]: without what its trunk has done."""
    found = {p["id"]: float(p["C"]) for p in points}
    for branches in _by_trunk(points) if trunks else ():
        paid, ordered = 0, sorted(branches, key=decay_start)
        for point, after in zip(ordered, [*ordered[1:], None], strict=True):
            found[point["id"]] *= 1.0 - paid / point["steps"]
            end, next_start = int(point["steps"]), decay_start(after) if after else 0
            paid = end if averages(point) and end <= next_start else decay_start(point)
    return found


def _cost(point: Point) -> float:
    return float(point["seconds"] or point["C"])


def _by_trunk(points: Sequence[Point]) -> list[list[Point]]:
    """Points that share a trunk with another."""
    found: dict[str, list[Point]] = {}
    for point in points:
        found.setdefault(point["trunk"], []).append(point)
    return [branches for branches in found.values() if len(branches) > 1]


def _stacks(
    points: Sequence[Point], most: int, places: int, keys: Collection[str | None] | None = None
) -> list[list[Point]]:
    """Stacks of at most `most` points; smaller ones where processes would have nothing to do.

    Those of `keys` may be of one point; without, a key must have several.
    """
    found: dict[str, list[Point]] = {}
    for point in points:
        key = stackable(point)
        if key is not None:
            found.setdefault(key, []).append(point)
    groups = [g for key, g in found.items() if (len(g) > 1 if keys is None else key in keys)]
    apart = -(-places // len(groups)) if groups else 1
    stacks = []
    for group in groups:
        count = min(max(-(-len(group) // most), apart), len(group))
        stacks += [group[i::count] for i in range(count)]
    return stacks
