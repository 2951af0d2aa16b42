"""What a plan says of its stages, belief, cost and recipe, and what it refuses for their sake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from scaling import count
from scaling.count.tasks import EXTERNAL
from scaling.errors import Fault, Message, PlanError, counted, listed
from scaling.laws.cost import SIX_ND
from scaling.planning.planner import Planner, Stage
from scaling.planning.point import Point
from scaling.planning.resolve import Laid
from scaling.runs.labels import base_of, labels_of
from scaling.runs.manifest import arrays
from scaling.runs.sources.registry import source_of

LEAST_TUNED = 3
LARGE = 1e6  # N from which shapes are judged
FLAT = 512  # widths for each layer, beyond all that are published (OLMo's ladder: 208)
NARROW, BROAD = 32, 256  # widths of heads that are trained


def check_task(planner: Planner) -> None:
    """Refuse a task on data that it cannot read, or with models that it does not train.

    Raises
    ------
    PlanError
        SC012.
    ConfigError
        SC012 for ratings of which all are positives, or none is.
    """
    task, data = planner.task, planner.study.data
    if task is None:
        return
    kind = source_of(planner.manifest.source).kind
    if kind not in (*task.reads, EXTERNAL):
        found = f'"{planner.manifest.source}" gives {kind}'
        expected = f"{listed(task.reads)}, which task {data.task} reads"
        others = [t.name for t in count.TASKS.values() if kind in t.reads]
        mend = f"task = {' or '.join(map(repr, others))} reads {kind}" if others else ""
        raise PlanError(Fault("SC012", "[data] source", found, expected, mend))
    family = planner.sizes.family.name
    if kind != EXTERNAL and planner.inputs.family is None and family not in task.families:
        expected = f"{listed(task.families)}, which task {data.task} trains"
        raise PlanError(Fault("SC012", "[model] family", f'"{family}"', expected))
    if kind == "ratings" and "target" in planner.settings:
        ratings = arrays(planner.manifest.as_dict())[0]["ratings"]
        base_of(labels_of(ratings, planner.settings), planner.settings)  # or it says what is wrong


def check_trunks(planner: Planner) -> None:
    """Refuse branches of a trunk under a recipe that must know the length beforehand.

    Raises
    ------
    PlanError
        SC237.
    """
    depends = planner.recipe.depends_on_length
    if planner.design.trunks and depends:
        raise PlanError(
            Fault(
                "SC237",
                "[design] trunks",
                f"{planner.recipe.name} sets {', '.join(depends)} by the length of a run",
                "a recipe whose settings depend on N alone, so that runs share their beginning",
                "another recipe, a formula without D, or trunks = false",
            )
        )


def check_seeds(planner: Planner) -> None:
    """Refuse seeds that decide nothing: their runs would be copies.

    Raises
    ------
    PlanError
        SC012.
    """
    if planner.design.vary == ["dropout"] and not planner.recipe.constants.get("dropout"):
        found = "dropout alone, and the recipe has none"
        mend = "overrides = { dropout = 0.1 } in [recipe], or other seeds"
        raise PlanError(Fault("SC012", "[design] vary", found, "init, data or both", mend))


def stages(planner: Planner) -> list[Message]:
    """Say what the tuning stage costs, where it is still to be run; refuse one that cannot settle.

    Raises
    ------
    PlanError
        SC217.
    """
    if planner.study.tuning is None or planner.inputs.tuned is not None:
        return []
    laid = planner.tuning()
    _check_tuning(planner, laid)
    runs = sum(map(len, laid.values()))
    compute = sum(float(one.C.sum()) for one in laid.values())
    text = (
        f"{runs} tuning runs of {compute:.4g} FLOP come first and are not among these points; "
        "until their rates are in, rates and ids are those of the untuned recipe."
    )
    return [Message("SC238", text, "info")]


def _check_tuning(planner: Planner, laid: Mapping[Stage, Laid]) -> None:
    """Refuse a tuning stage that could never be settled.

    Raises
    ------
    PlanError
        SC217.
    """
    tune, check = laid["tune"], laid["check"]
    different = len(np.unique(tune.N))
    wanted = planner.study.tuning
    assert wanted is not None
    if different < LEAST_TUNED:
        why = tune.left_out[0]["why"] if tune.left_out else "shapes coincide"
        found = f"give {different} different sizes: {why}"
        expected = f"at least {LEAST_TUNED} that can be trained"
        raise PlanError(Fault("SC217", "[tuning] sizes", found, expected, "sizes further apart"))
    if wanted.check is not None and not len(check):
        found = f"{wanted.check:g} cannot be trained: {check.left_out[0]['why']}"
        raise PlanError(Fault("SC217", "[tuning] check", found, "a size of the family"))


def about_belief(planner: Planner) -> list[Message]:
    """Say what of the belief was made up, and what C counts where it is not 6ND."""
    found: list[Message] = []
    prior, section = planner.prior, planner.study.prior
    if prior is None:
        return found
    if prior.assumed:
        found += prior.messages()
    elif section is None or not (section.laws or section.fit):
        text = f"No law is given as a [prior]: {prior.name} are assumed ({len(prior.truths)} laws)."
        found.append(Message("SC214", text, "info"))
    if planner.cost.formula != SIX_ND.formula:
        text = f"N*, a and the target count C = {planner.cost.formula}, as the family costs it"
        text += ' and not 6ND; fit results with cost = "table" to see the same.'
        found.append(Message("SC246", text, "info"))
    return found


def about_cost(planner: Planner, laid: Laid) -> list[Message]:
    """Say what seconds and compute rest on."""
    if planner.computed:
        return []
    times = planner.pricing.times(laid)
    found = planner.pricing.concerns() + ([] if times is None else times.messages())
    if times is None or np.isnan(times.seconds).any():
        found.append(Message("SC206", _unpriced(planner), "info"))
    if planner.design.trunks:
        apart, shared = float(laid.C.sum()), float(planner.pricing.compute(laid).sum())
        text = (
            f"Each trunk is trained once and every length branches off it: {shared:.4g} FLOP, not "
            f"{apart:.4g}."
        )
        found.append(Message("SC239", text, "info"))
    return found


def _unpriced(planner: Planner) -> str:
    """Say why nothing is known of time, and which settings have no effect for that."""
    engine = planner.study.engine
    text = "Seconds are unknown: `scaling bench` measures this machine, or --accelerator prices"
    if planner.manifest.source == "external":
        text = "Seconds are unknown: --accelerator prices"
    text += " the plan on a named device."
    idle = [name for name in ("mfu", "price_per_hour") if getattr(engine, name) is not None]
    return text + (f" Until then {' and '.join(idle)} have no effect." if idle else "")


def about_recipe(planner: Planner, laid: Laid) -> list[Message]:
    """Say where the recipe is used outside what it was made for."""
    if laid.settings is None or planner.computed:
        return []
    if not planner.of_tokens and planner.recipe.of_tokens:
        text = f"The batch of {planner.recipe.name} is counted in tokens, and D counts "
        text += f"{planner.sizes.family.unit}s here: override sequences."
        return [Message("SC247", text)]
    env = {k: np.asarray(v)[laid.rows] for k, v in laid.env.items()}
    return planner.recipe.concerns(laid.settings.taken(laid.rows), env)


def about_data(planner: Planner) -> list[Message]:
    """Say what is assumed of data that another trainer reads."""
    if planner.manifest.source != "external":
        return []
    assumed = [
        f"{name} = {planner.manifest.options[name]:.4g}"
        for name in ("tokens", "vocabulary")
        if name not in planner.study.data.options
    ]
    if not assumed:
        return []
    text = f"The external data do not say how large they are; assumed: {', '.join(assumed)}."
    return [Message("SC251", text, "info")]


def about_shapes(points: Sequence[Point]) -> list[Message]:
    """Warn of shapes that nobody trains: far wider than deep, or with very wide or narrow heads."""
    odd = []
    for p in points:
        width, layers = p.shape.get("width", 0), p.shape.get("layers", 1)
        head = width / p.shape.get("heads", 1)
        if p.N > LARGE and (width > FLAT * layers or not NARROW <= head <= BROAD):
            odd.append(f"{width} wide, {layers} deep, heads of {head:.4g}")
    if not odd:
        return []
    text = f"{counted(len(odd), 'point')} with shapes that nobody trains, such as {odd[-1]}."
    mend = '[model] rule = "aspect" with options = { head_width = 64, width_step = 64 }'
    return [Message("SC250", text, mend=mend)]


def rules(planner: Planner) -> list[str]:
    """Say what counts count, how models grow, and how they are trained."""
    family, options = planner.sizes.family, planner.sizes.options
    named = next(iter(family.rules), "")
    rule = family.rules.get(str(options.get("rule", named)))
    grows = [] if rule is None else [f"shapes: {rule.name}: {rule.text}"]
    counts = (
        "N = body + head; C = 3 x the forward matrix products, head and full attention included; "
        "C_6nd = 6 N D"
    )
    if planner.computed:
        return [
            *grows,
            "losses are computed: no model is trained, and the recipe has no part in them",
        ]
    return [counts, *grows, *planner.recipe.rules()]
