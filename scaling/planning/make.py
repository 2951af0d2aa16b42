"""From a study to its plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scaling import count
from scaling.errors import Fault, Message, PlanError
from scaling.planning import designs, recipes
from scaling.planning.cautions import cautions
from scaling.planning.choosing.beliefs import optimum_of, prior_of
from scaling.planning.choosing.choice import Choice, budget_of, choose
from scaling.planning.choosing.prior import Prior
from scaling.planning.costing.pricing import Pricing
from scaling.planning.fill import HALF, fill
from scaling.planning.inputs import Inputs
from scaling.planning.plan import Plan
from scaling.planning.recipes import tuning
from scaling.planning.resolve import MIN_STEPS, Asked, Laid, Point, dropped, lay, points
from scaling.planning.sections import DesignSection, ModelSection, Study
from scaling.planning.sizes import Sizes
from scaling.runs.files import uncollected
from scaling.runs.manifest import Manifest

Array = NDArray[np.float64]
Stage = Literal["main", "tune", "check"]


@dataclass(frozen=True)
class Planner:
    """A study on its data, ready to be asked."""

    study: Study
    manifest: Manifest
    inputs: Inputs = field(default_factory=Inputs)

    @property
    def design(self) -> DesignSection:
        """The design that the study asks for."""
        assert self.study.design is not None
        return self.study.design

    @cached_property
    def recipe(self) -> recipes.Recipe:
        """The recipe, with its rate as tuned where it was."""
        section = self.study.recipe
        recipe = recipes.get(section.name, section.overrides)
        return recipe if self.inputs.tuned is None else recipe.with_tuning(self.inputs.tuned)

    @cached_property
    def sizes(self) -> Sizes:
        """The members of the family."""
        model = self.study.model
        family = self.inputs.family or count.get(model.family)
        return Sizes.of(family, self._options(family))

    def _options(self, family: count.Family) -> dict[str, Any]:
        """Options of the family: its own, and those of ``[model]`` that it knows.

        Raises
        ------
        PlanError
            SC012 if the vocabulary or the data are too small.
        """
        model, known = self.study.model, {o.name for o in family.options}
        options: dict[str, Any] = {} if self.inputs.family is not None else dict(model.options)
        if model.rule is not None:
            options["rule"] = model.rule
        for name in ("context", "layers", "ffn_ratio"):
            value = getattr(model, name)
            if name in known and value is not None:
                options[name] = value
            elif name not in known and value != ModelSection.model_fields[name].default:
                expected = ", ".join(sorted(known)) or "none: its table says all"
                found = f"not an option of family {family.name}"
                raise PlanError(Fault("SC011", f"[model] {name}", found, expected))
        if "vocabulary" in known:
            options["vocabulary"] = model.vocabulary or self.manifest.vocabulary
            if options["vocabulary"] < self.manifest.vocabulary:
                found, least = str(options["vocabulary"]), self.manifest.vocabulary
                raise PlanError(
                    Fault(
                        "SC012", "[model] vocabulary", found, f"at least {least}, as the data need"
                    )
                )
        shortest = min(self.manifest.train_tokens, self.manifest.validation_tokens)
        if "context" in known and shortest <= options["context"]:
            found = f"{shortest} tokens"
            expected = f"more than one context of {options['context']}"
            raise PlanError(Fault("SC012", "[data] options tokens", found, expected))
        return options

    @cached_property
    def asked(self) -> Asked:
        """What all points share."""
        model = self.study.model
        return Asked(
            self.sizes,
            model.tolerance,
            self.recipe,
            self.manifest,
            self.study.data.task,
            self.design.max_epochs,
        )

    @cached_property
    def prior(self) -> Prior | None:
        """What is believed of the law."""
        return prior_of(self.study, self.recipe.noise, self.inputs.fitted)

    @cached_property
    def pricing(self) -> Pricing:
        """What things cost where the study runs."""
        engine = self.study.engine
        return Pricing(self.asked, engine, self.inputs.calibration, self.design.trunks)

    @cached_property
    def ground(self) -> designs.Ground:
        """What a design stands on."""
        believed = optimum_of(self.design.center, self.prior, self.sizes)
        return designs.Ground(self.sizes, believed, lambda: self.choice.cells())

    @cached_property
    def choice(self) -> Choice:
        """The runs of an optimal design."""
        assert self.prior is not None
        target = self.study.study.target_flops
        return choose(self.design, self.asked, self.pricing, self.prior, target)

    # -------------------------------------------------------------------------------------- cells

    def filled(self) -> tuple[DesignSection, list[Message]]:
        """Return the design, scaled to what may be spent if it is not the optimal one."""
        design = self.design
        budget, unit = budget_of(design)
        if budget is None or design.kind == "optimal":
            return design, []

        def spent(candidate: DesignSection) -> float:
            laid = lay(self.asked, designs.cells(candidate, self.ground))
            return self.pricing.spent(laid, unit)

        found, message = fill(design, budget, self._exponent(), spent, _UNITS[unit])
        return found, [message]

    def _exponent(self) -> float:
        """How a factor of compute is divided between N and D."""
        if self.design.ratio is not None and self.design.kind in ("ratio", "ladder"):
            return HALF
        if self.design.center is not None:
            return self.design.center.exponent
        if self.prior is None or not self.design.budgets:
            return HALF
        return float(self.prior.weights @ self.prior.exponents(max(self.design.budgets)))

    def tuning_cells(self, stage: Stage) -> designs.Cells:
        """Cells of the tuning stage, or of its check."""
        section = self.study.tuning
        assert section is not None
        found = tuning.cells(
            section.sizes,
            ratio=section.ratio,
            factors=section.factors,
            seeds=section.seeds,
            check=section.check,
        )
        own = [cell for cell in found if cell.stage == stage]
        return designs.Cells(
            np.array([c.N for c in own], dtype=np.float64),
            np.array([c.D for c in own], dtype=np.float64),
            np.full(len(own), np.nan),
            np.array([c.seed for c in own], dtype=np.int64),
            np.array([c.factor for c in own], dtype=np.float64),
        )


_UNITS = {"flops": "FLOP", "hours": "device hours"}


def make_plan(
    study: Study,
    manifest: Manifest,
    inputs: Inputs | None = None,
    *,
    stage: Stage = "main",
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

    Raises
    ------
    PlanError
        SC201 if no cell can be realised; others as in `designs`, `fill` and `optimal`.
    """
    planner = Planner(study, manifest, inputs or Inputs())
    messages: list[Message] = []
    if stage == "main":
        design, messages = planner.filled()
        cells = designs.cells(design, planner.ground)
        _check_trunks(planner)
    else:
        cells = planner.tuning_cells(stage)
    laid, more = planner.pricing.without_too_large(lay(planner.asked, cells))
    left_out = [*laid.left_out, *_left_by_design(cells)]
    ordered, laid, repeated = _ordered(planner, laid, "" if stage == "main" else "/tuning")
    left_out += repeated
    if not ordered:
        raise _impossible(planner, left_out)
    total = planner.pricing.total(laid)
    if stage == "main":
        asked_for = {p.id: float(n) for p, n in zip(ordered, laid.cells.N, strict=True)}
        believed = planner.ground.optimum
        messages += cautions(study, ordered, left_out, asked_for, believed)
        messages += _stages(planner)
        messages += planner.choice.messages(planner.prior) if design.kind == "optimal" else []
    messages += [*more, *_about_cost(planner, laid), *_about_recipe(planner, laid)]
    if planner.prior is not None and planner.prior.assumed and stage == "main":
        messages += planner.prior.messages()
    rules = tuple(_rules(planner))
    return Plan(
        tuple(ordered), tuple(left_out), tuple(messages), rules, total, planner.prior, study
    )


def _left_by_design(cells: designs.Cells) -> list[Mapping[str, Any]]:
    return [{"why": why, "N": n, "budget": None, "D": d, "seed": 0} for n, d, why in cells.left_out]


def _ordered(
    planner: Planner, laid: Laid, suffix: str
) -> tuple[list[Point], Laid, list[Mapping[str, Any]]]:
    """Build the points in the plan's order, each once, with their seconds and memory."""
    times, memory = planner.pricing.times(laid), planner.pricing.memory(laid)
    with uncollected():
        found = points(planner.asked, laid)
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
    return PlanError(
        Fault("SC201", "[design]", found, least, "move the budgets, the sizes or the centre")
    )


def _check_trunks(planner: Planner) -> None:
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


# -------------------------------------------------------------------------------------- messages


def _stages(planner: Planner) -> list[Message]:
    if planner.study.tuning is None or planner.inputs.tuned is not None:
        return []
    runs = len(planner.tuning_cells("tune")) + len(planner.tuning_cells("check"))
    text = (
        f"{runs} tuning runs come first; until their rates are in, rates and ids of these points "
        "are those of the untuned recipe."
    )
    return [Message("SC238", text, "info")]


def _about_cost(planner: Planner, laid: Laid) -> list[Message]:
    times = planner.pricing.times(laid)
    found = planner.pricing.concerns() + ([] if times is None else times.messages())
    if times is None or np.isnan(times.seconds).any():
        text = "Seconds are unknown: `scaling bench` measures this machine."
        found.append(Message("SC206", text, "info"))
    if planner.design.trunks:
        apart, shared = float(laid.C.sum()), float(planner.pricing.compute(laid).sum())
        text = (
            f"Costs are those of a trainer that trains each trunk once: {shared:.4g} FLOP, not "
            f"{apart:.4g}. `scaling sweep run` trains every branch from its start."
        )
        found.append(Message("SC239", text))
    return found


def _about_recipe(planner: Planner, laid: Laid) -> list[Message]:
    if laid.settings is None:
        return []
    env = {k: np.asarray(v)[laid.rows] for k, v in laid.env.items()}
    return planner.recipe.concerns(laid.settings.taken(laid.rows), env)


def _rules(planner: Planner) -> list[str]:
    family, options = planner.sizes.family, planner.sizes.options
    rule = family.rules.get(str(options.get("rule", "")))
    grows = [] if rule is None else [f"shapes: {rule.name}: {rule.text}"]
    counts = (
        "N = body + head; C = 3 x the forward matrix products, head and full attention included; "
        "C_6nd = 6 N D"
    )
    return [counts, *grows, *planner.recipe.rules()]
