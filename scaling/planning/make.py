"""From a study to its plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from scaling.errors import Fault, Message, PlanError
from scaling.planning import designs
from scaling.planning.cautions import cautions
from scaling.planning.inputs import Inputs
from scaling.planning.plan import Plan
from scaling.planning.planner import Planner, Stage
from scaling.planning.point import Point
from scaling.planning.pretrain import plan_first, starts
from scaling.planning.remarks import (
    about_belief,
    about_cost,
    about_data,
    about_recipe,
    about_shapes,
    check_seeds,
    check_task,
    check_trunks,
    rules,
    stages,
)
from scaling.planning.resolve import MIN_STEPS, Asked, Laid, dropped, lay, points
from scaling.planning.sections import Study
from scaling.runs.files import uncollected
from scaling.runs.manifest import Manifest


def make_plan(
    study: Study,
    manifest: Manifest,
    inputs: Inputs | None = None,
    *,
    stage: Stage = "main",
    group: str | None = None,
    first: tuple[Study, Manifest, Inputs] | None = None,
) -> Plan:
    """Resolve a study into points.

    Parameters
    ----------
    study : Study
        With a design.
    manifest : Manifest
        Of the study's data source.
    inputs : Inputs, optional
        What was measured or fitted before.
    stage : {"main", "tune", "check"}
        The design's points, those of the tuning stage, or those of its check.
    group : str, optional
        Of all points; by data and recipe if None.
    first : tuple of (Study, Manifest, Inputs), optional
        The stage from whose weights the points start; see `scaling.planning.pretrain`.

    Raises
    ------
    PlanError
        SC201 if no cell can be realised; others as in `designs`, `fill` and `optimal`.
    """
    planner = Planner(study, manifest, inputs or Inputs(), group)
    check_task(planner)
    messages: list[Message] = []
    if stage == "main":
        design, messages = planner.filled()
        cells = designs.cells(design, planner.ground)
        check_trunks(planner)
        check_seeds(planner)
    else:
        cells = planner.tuning_cells(stage)
    laid, more = planner.pricing.without_too_large(lay(planner.asked, cells))
    left_out = [*laid.left_out, *_left_by_design(cells)]
    before = None
    if first is not None and len(laid):
        before = plan_first(study, laid, *first)
        used = {laid.members.texts[k] for k in laid.members.of[laid.rows].tolist()}
        asked = replace(planner.asked, starts=starts(before, dict.fromkeys(sorted(used))))
    else:
        asked = planner.asked
    ordered, laid, repeated = _ordered(planner, asked, laid, "" if stage == "main" else "/tuning")
    left_out += repeated
    if not ordered:
        raise _impossible(planner, left_out)
    total = planner.pricing.total(laid)
    if stage == "main":
        asked_for = {p.id: float(n) for p, n in zip(ordered, laid.cells.N, strict=True)}
        believed = planner.ground.optimum
        found = cautions(study, ordered, left_out, asked_for, believed)
        messages += [m for m in found if m.code != "SC203" or not planner.computed]
        messages += stages(planner)
        messages += planner.choice.messages(planner.prior) if design.kind == "optimal" else []
    messages += [*more, *about_cost(planner, laid), *about_recipe(planner, laid)]
    if stage == "main":
        messages += [*about_belief(planner), *about_data(planner), *about_shapes(ordered)]
    text = tuple(rules(planner))
    return Plan(
        tuple(ordered),
        tuple(left_out),
        tuple(messages),
        text,
        total,
        planner.prior,
        planner.cost,
        study,
        before,
    )


def _left_by_design(cells: designs.Cells) -> list[Mapping[str, Any]]:
    return [{"why": why, "N": n, "budget": None, "D": d, "seed": 0} for n, d, why in cells.left_out]


def _ordered(
    planner: Planner, asked: Asked, laid: Laid, suffix: str
) -> tuple[list[Point], Laid, list[Mapping[str, Any]]]:
    """Build the points in the plan's order, each once, with their seconds and memory."""
    times, memory = planner.pricing.times(laid), planner.pricing.memory(laid)
    with uncollected():
        found = points(asked, laid)
    seconds = [None] * len(found) if times is None else times.seconds.tolist()
    first: dict[str, int] = {}
    repeated: list[Mapping[str, Any]] = []
    for i, point in enumerate(found):
        if first.setdefault(point.id, i) != i:
            repeated.append(dropped(laid.cells, i, "same shape and length as another cell"))
    place = {
        i: (p.budget or 0.0, p.N, p.D, p.seed, p.lr)
        for i, p in ((i, found[i]) for i in first.values())
    }
    order = sorted(place, key=place.__getitem__)
    out = []
    for i in order:
        known = seconds[i]
        changes: dict[str, Any] = {"memory": int(memory[i])}
        if known is not None and np.isfinite(known):
            changes["seconds"] = float(f"{known:.4g}")
        if suffix:
            changes["group"] = found[i].group + suffix
        point = found[i]
        vars(point).update(changes)  # the point is new: nobody has seen it before
        out.append(point)
    return out, laid.taken(np.array(order, dtype=np.int64)), repeated


def _impossible(planner: Planner, left_out: list[Mapping[str, Any]]) -> PlanError:
    sizes, none = planner.sizes, np.full(1, np.nan)
    smallest = designs.Cells(sizes.N[:1], np.full(1, 1e15), none, np.zeros(1, np.int64), np.ones(1))
    batch = lay(replace(planner.asked, max_epochs=None), smallest).batch
    least = f"sizes from N = {sizes.N[0]:.0f}"
    if len(batch):
        compute = sizes.flops[0] * MIN_STEPS * batch[0]
        least += f" and budgets from {compute:.2g} FLOP ({MIN_STEPS} steps of the smallest model)"
    why = left_out[0]["why"] if left_out else "the design is empty"
    found = f"none of {len(left_out)} cells can be realised: {why}"
    mend = "move the budgets, the sizes or the centre"
    if planner.asked.tolerance is not None:
        mend = f"a [model] tolerance above {planner.asked.tolerance:g}, or {mend}"
    return PlanError(Fault("SC201", "[design]", found, least, mend))
