"""The stage that comes first: one run of each size, from whose weights the points start."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import Fault, PlanError
from scaling.planning import designs
from scaling.planning.inputs import Inputs
from scaling.planning.plan import Plan
from scaling.planning.planner import Planner
from scaling.planning.resolve import Laid, lay, points
from scaling.planning.sections import Study
from scaling.planning.sizes import Sizes
from scaling.planning.study import check_study, laid_over
from scaling.runs.files import canonical_json
from scaling.runs.manifest import Manifest

HEAD = frozenset({"classes", "transform", "tied"})  # of a shape: what belongs to its head alone


def pretraining(study: Study) -> Study:
    """The study of the stage that comes first, without its sizes.

    Raises
    ------
    ConfigError
        As a study file of its own would.
    """
    assert study.pretrain is not None
    whole = study.model_dump(mode="python", by_alias=True, exclude_unset=True)
    for part in ("pretrain", "variant", "tuning", "prior", "fit", "smoke"):
        whole.pop(part, None)
    changes = study.pretrain.model_dump(mode="python", exclude_unset=True)
    data = changes.get("data", {})
    if "source" in data:  # other data: neither options nor limits of the study's own
        kept = {k: v for k, v in whole["data"].items() if k == "task"}
        whole["data"] = {**kept, **data}
    else:
        whole["data"] = laid_over({k: v for k, v in whole["data"].items() if k != "unique"}, data)
    if "task" in data:
        whole.pop("task", None)
    for part in ("task", "recipe"):
        if part in changes:
            whole[part] = laid_over(whole.get(part) or {}, changes[part])
    whole["design"] = {"kind": "points", "points": [[1.0, study.pretrain.D]]}
    whole["engine"] = {**(whole.get("engine") or {}), "keep": True}
    return check_study(whole, name="[pretrain]")


def plan_first(study: Study, laid: Laid, first: Study, manifest: Manifest, inputs: Inputs) -> Plan:
    """Plan the runs from whose weights points start: one of each of their shapes.

    Parameters
    ----------
    study : Study
        Whose points start from them.
    laid : Laid
        These points.
    first : Study
        What `pretraining` gave.
    manifest, inputs
        Of `first`.

    Raises
    ------
    PlanError
        SC012 if a size cannot be trained on these data.
    """
    assert study.pretrain is not None
    planner = Planner(first, manifest, inputs)
    sizes = _sizes(laid, planner.asked.sizes)
    nothing = np.full(len(sizes), np.nan)
    cells = designs.Cells(
        sizes,
        np.full(len(sizes), study.pretrain.D),
        nothing,
        np.full(len(sizes), study.pretrain.seed, dtype=np.int64),
        np.ones(len(sizes)),
    )
    own, _ = planner.pricing.without_too_large(lay(planner.asked, cells))
    if own.left_out:
        cell = own.left_out[0]
        found = f"N = {cell['N']:.6g} cannot be trained for D = {study.pretrain.D:g}: {cell['why']}"
        raise PlanError(Fault("SC012", "[pretrain]", found, "a run of every size of the design"))
    found_points = points(planner.asked, own)
    times = planner.pricing.times(own)
    for i, point in enumerate(found_points):
        seconds = None if times is None else float(times.seconds[i])
        known = seconds is not None and np.isfinite(seconds)
        vars(point).update(seconds=float(f"{seconds:.4g}") if known else None)
    total = planner.pricing.total(own)
    return Plan(tuple(found_points), (), (), (), total, None, planner.cost, first)


def body_of(shape: Mapping[str, Any]) -> str:
    """Canonical JSON of what a shape says of the body: heads may differ between the stages."""
    return canonical_json({k: v for k, v in shape.items() if k not in HEAD})


def _sizes(laid: Laid, sizes: Sizes) -> NDArray[np.float64]:
    """N of the models of the first stage that have the bodies of those laid out, in order.

    N itself differs where the heads do.
    """
    members = laid.members
    wanted = {body_of(members.shapes[k]) for k in np.unique(members.of[laid.rows]).tolist()}
    family, options = sizes.family, sizes.options
    same = [body_of(family.shape(dial, options)) in wanted for dial in sizes.dials]
    return sizes.N[same] if any(same) else np.unique(laid.N)


def starts(first: Plan, wanted: Mapping[str, Any]) -> dict[str, str]:
    """Id of the run that each shape starts from, by the shape's canonical JSON.

    Raises
    ------
    PlanError
        SC012 if a shape has none: the two stages build different models.
    """
    bodies = {body_of(p.shape): p.id for p in first}
    found = {}
    for text in wanted:
        found[text] = bodies.get(body_of(json.loads(text)), "")
        if not found[text]:
            other = next(iter(bodies), "none")
            raise PlanError(
                Fault(
                    "SC012",
                    "[pretrain]",
                    f"its models are not those of the design: {other}",
                    text,
                    "the same vocabulary, context and family in both stages",
                )
            )
    return found
