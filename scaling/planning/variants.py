"""Variants of a study: groups of points that differ in what is compared.

Each variant is the study with some sections changed; the plan holds the points of all of them,
each in a group of its variant's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from scaling.errors import Fault, Message, PlanError
from scaling.planning.costing.cost import joint
from scaling.planning.plan import Plan
from scaling.planning.planner import recipe_of
from scaling.planning.sections import Study
from scaling.planning.study import changed, check_study

PARTS = ("data", "task", "model", "design", "recipe", "pretrain", "machine")


def variants_of(study: Study) -> Iterator[tuple[str | None, Study]]:
    """Yield each variant by its name, or the study itself without one.

    Raises
    ------
    ConfigError
        As a study file of its own would.
    """
    if not study.variant:
        yield None, study
        return
    whole = study.model_dump(mode="python", by_alias=True, exclude_unset=True)
    for variant in study.variant:
        changes = variant.model_dump(mode="python", exclude_unset=True)
        own = {k: v for k, v in whole.items() if k != "variant"}
        if changes.get("pretrain") is False:
            own.pop("pretrain", None)
        parts = {part: changes[part] for part in PARTS if isinstance(changes.get(part), dict)}
        own = changed(own, parts)
        yield variant.name, check_study(own, name=f"variant {variant.name}")


def check_tuned(study: Study, variants: Sequence[tuple[str | None, Study]]) -> None:
    """Refuse variants of another recipe where the rate is tuned: it is tuned for one.

    Raises
    ------
    PlanError
        SC012.
    """
    if study.tuning is None and study.recipe.tuned is None:
        return
    tuned = recipe_of(study).name
    for name, own in variants:
        if recipe_of(own).name != tuned:
            found = f"recipe {recipe_of(own).name}, and the rate is tuned for {tuned}"
            expected = "the recipe of the study in all variants"
            mend = "a study of its own for the other recipe, or no [tuning]"
            where = f"variant {name} [recipe]"
            raise PlanError(Fault("SC012", where, found, expected, mend))


def joined(study: Study, plans: Sequence[Plan]) -> Plan:
    """Put the plans of all variants together.

    Raises
    ------
    PlanError
        SC012 if two variants have a point in common: they would be one and the same run.
    """
    if len(plans) == 1:
        return replace(plans[0], study=study)
    first: dict[str, str] = {}
    for plan in plans:
        for point in plan:
            other = first.setdefault(point.id, point.group)
            if other != point.group:
                found = f"variants {other} and {point.group} have runs in common"
                expected = "variants that differ in what is trained"
                raise PlanError(Fault("SC012", "[[variant]]", found, expected))
    before = [plan.before for plan in plans if plan.before is not None]
    points = [p for plan in plans for p in plan]
    return replace(
        plans[0],
        points=tuple(sorted(points, key=lambda p: p.group)),
        dropped=tuple(cell for plan in plans for cell in plan.dropped),
        messages=_messages(plans),
        rules=tuple(dict.fromkeys(rule for plan in plans for rule in plan.rules)),
        total=joint([plan.total for plan in plans]),
        study=study,
        before=_first(before),
    )


def _first(plans: Sequence[Plan]) -> Plan | None:
    """The stages that come first as one, each run once."""
    if not plans:
        return None
    plans = list({tuple(point.id for point in plan): plan for plan in plans}.values())
    points = {point.id: point for plan in plans for point in plan}
    total = joint([plan.total for plan in plans]) if len(plans) > 1 else plans[0].total
    messages = _messages(plans)
    return replace(plans[0], points=tuple(points.values()), messages=messages, total=total)


def _messages(plans: Sequence[Plan]) -> tuple[Message, ...]:
    """What the plans say, each sentence once."""
    return tuple(dict.fromkeys(message for plan in plans for message in plan.messages))
