"""Which points one process trains together, and in which order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from scaling.count.tasks import HF
from scaling.runs.files import canonical_json
from scaling.training.engines.base import Job, Kind, Places, devices_of
from scaling.training.schedule import averages, decay_start

PARTS = 8  # jobs that each place has at least, so that all end together
MOST_STACKED = 16  # points of a stack where a trial decides
OWN = ("lr", "weight_decay")  # what the optimiser blocks of a stack may differ in
Point = Mapping[str, Any]


def stackable(point: Point) -> str | None:
    """Key of the points that `point` can share a stack with; None if it shares one with none."""
    o = point["optimizer"]
    if o["name"] != "adamw" or point["init"].get("dropout") or point["task"] != "text":
        return None
    if point["family"].startswith(HF):  # a stack is of our own decoders
        return None
    same = {k: v for k, v in o.items() if k not in OWN}
    start = {k: v for k, v in point["init"].items() if not k.startswith("seed_")}
    names = ("family", "shape", "data", "evaluation", "sequences", "steps")
    own = {k: point[k] for k in ("settings", "machine") if k in point}
    return canonical_json({**{k: point[k] for k in names}, "optimizer": same, "init": start, **own})


def jobs_of(
    points: Sequence[Point],
    pending: Sequence[Point],
    trunks: bool,
    settings: Mapping[str, Any],
    engine: Places,
) -> list[Job]:
    """Divide the pending points into jobs, those that take longest first.

    Where starting a job takes long, points of one shape share one, as long as it takes no more
    than a small part of what each place has to do.

    Parameters
    ----------
    points : sequence of mapping
        Of the whole plan: a trunk is shared with branches that are done, too.
    pending : sequence of mapping
    trunks : bool
        Whether points of one trunk are trained as branches of it.
    settings : mapping
        Of `scaling.training.setup.Setup`.
    engine : Places
    """
    places, on_gpu = engine.places, engine.on_gpu
    left = {p["id"]: p for p in pending}
    groups: list[tuple[float, Job]] = []

    def take(own: Sequence[Point], kind: Kind, cost: float) -> None:
        ids = tuple(p["id"] for p in own)
        groups.append((cost, Job(ids, kind, devices_of(own[0], settings))))
        for name in ids:
            left.pop(name, None)

    share = own_compute(points, trunks)
    for branches in _by_trunk(points) if trunks else ():
        own = [p for p in branches if p["id"] in left]
        if own:
            cost = sum(_cost(p) * share[p["id"]] / p["C"] for p in own)
            take(own, "trunk", cost)
    most = settings.get("stack", "auto")
    most = (MOST_STACKED if on_gpu else 1) if most == "auto" else int(most)
    if most > 1 and int(settings.get("devices", 1)) == 1:
        shared = {p["id"] for group in (_by_trunk(points) if trunks else ()) for p in group}
        every = _stacks([p for p in points if p["id"] not in shared], most, places)
        # The plan decides what is a stack, not what is pending: its bits are not those of no stack.
        several = {p["id"] for stack in every if len(stack) > 1 for p in stack}
        keys = {stackable(p) for p in points if p["id"] in several}
        for stack in _stacks(list(left.values()), most, places, keys):
            take(stack, "stack", sum(map(_cost, stack)))
    whole = sum(cost for cost, _ in groups) + sum(map(_cost, left.values()))
    most_cost = whole / (PARTS * places) if engine.packs else 0.0
    for pack in _packs(list(left.values()), most_cost, settings):
        take(pack, "alone", sum(map(_cost, pack)))
    return [job for _, job in sorted(groups, key=lambda group: -group[0])]


def _packs(points: Sequence[Point], most: float, settings: Mapping[str, Any]) -> list[list[Point]]:
    """Points that one process trains one after another: of one shape, and of one cost at most."""
    if most <= 0.0:
        return [[point] for point in points]
    packs: dict[tuple[str, int], list[list[Point]]] = {}
    for point in sorted(points, key=_cost, reverse=True):
        key = canonical_json(point["shape"]), devices_of(point, settings)
        found = packs.setdefault(key, [])
        if found and sum(map(_cost, found[-1])) + _cost(point) <= most:
            found[-1].append(point)
        else:
            found.append([point])
    return [pack for found in packs.values() for pack in found]


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
