"""A study on its data, ready to be asked: its sizes, recipe, belief, price and cells."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scaling import count
from scaling.errors import Fault, Message, PlanError
from scaling.laws.cost import SIX_ND, Cost
from scaling.options import read, whole
from scaling.planning import designs, recipes
from scaling.planning.choosing.beliefs import largest_compute, optimum_of, prior_of
from scaling.planning.choosing.choice import Choice, budget_of, choose
from scaling.planning.choosing.prior import Prior
from scaling.planning.costing.pricing import Pricing
from scaling.planning.fill import HALF, fill
from scaling.planning.inputs import Inputs
from scaling.planning.recipes import tuning
from scaling.planning.resolve import Asked, Laid, lay
from scaling.planning.sections import DesignSection, ModelSection, Study
from scaling.planning.sizes import NEAR, Sizes
from scaling.runs.manifest import Manifest

Array = NDArray[np.float64]
Stage = Literal["main", "tune", "check"]
TYPICAL = 1e6  # N from which language models cost about 6ND
UNITS = {"flops": "FLOP", "hours": "device hours"}


@dataclass(frozen=True)
class Planner:
    """A study on its data, ready to be asked."""

    study: Study
    manifest: Manifest
    inputs: Inputs = field(default_factory=Inputs)
    group: str | None = None

    @property
    def task(self) -> count.TaskKind | None:
        """The task, where it is one of ours."""
        return count.TASKS.get(self.study.data.task)

    @property
    def computed(self) -> bool:
        """Whether losses are computed without steps, so that no recipe matters."""
        return self.task is not None and self.task.reads == ("truth",)

    @property
    def settings(self) -> dict[str, Any]:
        """Options of the task, with their defaults.

        Raises
        ------
        ConfigError
            SC011 or SC012.
        """
        given, task = dict(self.study.task), self.task
        if task is None:  # only its own code knows them
            return given
        own = whole(task.options, given)
        return read(task.options, own, "[task]", f"task {task.name}")

    @property
    def design(self) -> DesignSection:
        """The design that the study asks for."""
        assert self.study.design is not None
        return self.study.design

    @cached_property
    def recipe(self) -> recipes.Recipe:
        """The recipe, with its rate as tuned where it was."""
        recipe = recipe_of(self.study)
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
        for name, value in self.manifest.facts.items():  # what a shape has of the data
            if name in known and options.setdefault(name, value) != value:
                found, expected = repr(options[name]), f"{value}, as the data have it"
                raise PlanError(Fault("SC012", f"[model] {name}", found, expected))
        if "vocabulary" in known:
            least = self.manifest.vocabulary + (self.task.more if self.task else 0)
            options["vocabulary"] = model.vocabulary or least
            if options["vocabulary"] < least:
                found = str(options["vocabulary"])
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

    @property
    def _most_epochs(self) -> float | None:
        """How often data may repeat: what comes in the order of time comes once."""
        most = self.design.max_epochs
        if self.task is None or self.settings.get("order") != "time":
            return most
        return 1.0 if most is None else min(most, 1.0)

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
            self._most_epochs,
            self.study.data.unique,
            self.design.epochs,
            self.settings,
            self.study.machine.model_dump(exclude_none=True),
            self.group or self._plain_group,
        )

    @property
    def _plain_group(self) -> str | None:
        """Name of the group where no recipe has a part in the results."""
        return self.manifest.source if self.task and self.task.computed else None

    @cached_property
    def prior(self) -> Prior | None:
        """What is believed of the law."""
        fitted, noise = self.inputs.fitted, self.recipe.noise
        found = prior_of(self.study, noise, fitted, self.cost)
        given = self.study.prior is not None and (self.study.prior.laws or self.study.prior.fit)
        if found is not None and not given and self.design.center is None and not self.of_tokens:
            raise PlanError(
                Fault(
                    "SC012",
                    "[prior] laws",
                    "missing; the default prior is of language models",
                    f"what is believed of models whose D counts {self.sizes.family.unit}s",
                    "a center, or a law with params, or the fit of earlier runs",
                )
            )
        return found

    @property
    def of_tokens(self) -> bool:
        """Whether D counts tokens."""
        return self.sizes.family.unit == "token"

    @cached_property
    def cost(self) -> Cost:
        """What C counts where N*, the loss and the exponent are asked for.

        As the study's first fit says; 6ND where it says nothing and 6ND is near what is counted.
        """
        asked = self.study.fit[0].cost
        if asked == "6nd":
            return SIX_ND
        if asked not in (None, "table"):
            return Cost("given", str(asked))
        return self.sizes.cost(*self._range(), near=NEAR if asked is None else 1.0)

    def _range(self) -> tuple[float, float]:
        """Smallest and largest N that the design names, or those of the family."""
        design = self.design
        named = [*design.params, *(p[0] for p in (*design.points, *design.extra))]
        if isinstance(design.sizes, list):
            named += design.sizes
        if design.box is not None and design.box.N is not None:
            named += design.box.N
        if design.center is not None:
            center = design.center
            best = [center.N * (c / center.C) ** center.exponent for c in design.budgets]
            named += [n * by for n in (center.N, *best) for by in (1 / design.span, design.span)]
        low, high = float(self.sizes.N[0]), float(self.sizes.N[-1])
        if not named and self.of_tokens:
            return max(low, min(TYPICAL, high)), high
        inside = [min(max(n, low), high) for n in named] or [low, high]
        return min(inside), max(inside)

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
        return choose(self._less_tuning(), self.asked, self.pricing, self.prior, target, self.cost)

    # -------------------------------------------------------------------------------------- cells

    def filled(self) -> tuple[DesignSection, list[Message]]:
        """Return the design, scaled to what may be spent if it is not the optimal one."""
        design = self.design
        budget, unit = budget_of(design)
        if budget is None or design.kind == "optimal":
            return design, []

        left, _ = budget_of(self._less_tuning())
        assert left is not None

        def spent(candidate: DesignSection) -> tuple[float, int]:
            own = candidate.model_copy(update={"extra": []})  # what is added comes on top
            laid = lay(self.asked, designs.cells(own, self.ground))
            return self.pricing.spent(laid, unit), len(laid)

        scaled_design, message = fill(design, left, self._exponent(), spent, UNITS[unit])
        return scaled_design, [message]

    def _less_tuning(self) -> DesignSection:
        """The design with what the tuning stage leaves of its budget."""
        budget, unit = budget_of(self.design)
        if budget is None or self.study.tuning is None:
            return self.design
        alone = replace(self.pricing, trunks=False)
        before = sum(alone.spent(one, unit) for one in self.tuning().values())
        if before >= budget:
            found = f"{budget:.4g} {UNITS[unit]} do not pay for the tuning stage"
            least = f"more than the {before:.4g} {UNITS[unit]} that it costs"
            raise PlanError(Fault("SC236", "a budget", found, least, "a shorter or smaller stage"))
        name = "budget_flops" if unit == "flops" else "budget_gpu_hours"
        return self.design.model_copy(update={name: budget - before})

    def tuning(self) -> dict[Stage, Laid]:
        """The study's tuning stage and its check, laid out; run already or not."""
        stages: tuple[Stage, ...] = ("tune", "check")
        return {stage: lay(self.asked, self.tuning_cells(stage)) for stage in stages}

    def _exponent(self) -> float:
        """How a factor of compute is divided between N and D."""
        if self.design.ratio is not None and self.design.kind in ("ratio", "ladder"):
            return HALF
        if self.design.center is not None:
            return self.design.center.exponent
        if self.prior is None:
            return HALF
        found = self.prior.exponents(largest_compute(self.design), self.cost)
        return float(f"{self.prior.weights @ found:.6g}")

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


def recipe_of(study: Study) -> recipes.Recipe:
    """Return the recipe of a study as its design needs it, untuned."""
    section, design = study.recipe, study.design
    recipe = recipes.get(
        section.name,
        section.overrides,
        schedule=section.schedule,
        optimizer=section.optimizer,
    )
    if design is not None and design.trunks:
        recipe = recipe.for_trunks()
    if design is not None and design.vary is not None:
        recipe = recipe.varying(design.vary)
    return recipe
