"""From a checked study to its plan: its data resolved, its models counted, its stages in order.

Planning knows no torch and reads no data; what it needs of both is made here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling.planning.inputs import Inputs
    from scaling.planning.plan import Plan
    from scaling.planning.planner import Stage
    from scaling.planning.sections import Study
    from scaling.runs.manifest import Manifest
    from scaling.training.tasks.foreign import Foreign


def plan_of(
    study: Study, base: Path | None = None, *, stage: Stage = "main", tuned: Path | None = None
) -> Plan:
    """Plan a checked study on this machine's data.

    Parameters
    ----------
    study : Study
    base : Path, optional
        Folder of the study file, where files that it names are looked for first.
    stage : {"main", "tune", "check"}
        The design, the tuning stage, or its check.
    tuned : Path, optional
        Result of the tuning stage.
    """
    from scaling.planning.make import make_plan
    from scaling.planning.planner import recipe_of
    from scaling.planning.pretrain import pretraining
    from scaling.planning.variants import check_tuned, joined, variants_of
    from scaling.training.tasks.code import own_code

    plans: list[Plan] = []
    code: dict[str, str] = {}
    variants = list(variants_of(study))
    check_tuned(study, variants)
    if stage != "main":  # one law of the rate for all of them
        variants = [(None, study.model_copy(update={"variant": []}))]
    for name, own in variants:
        first = None
        if own.pretrain is not None and stage == "main":
            before = pretraining(own)
            tuned_too = recipe_of(before).name == recipe_of(own).name  # else it has its own rate
            with _within("[pretrain]"):
                first = (before, *sources_of(before, base, tuned if tuned_too else None))
        with _within(f"variant {name}" * (name is not None)):
            found = sources_of(own, base, tuned)
            plans.append(make_plan(own, *found, stage=stage, group=name, first=first))
        for part in (own,) if first is None else (own, first[0]):
            code.update(own_code(part.data.task, base or Path())[0])
    return joined(study, plans).with_code(code)


@contextmanager
def _within(part: str) -> Iterator[None]:
    """Say of what is wrong in which part of a study it stands."""
    from scaling.errors import ScalingError

    try:
        yield
    except ScalingError as error:
        if not part:
            raise
        faults = [replace(f, where=f"{part}: {f.where}") for f in error.faults]
        raise type(error)(faults) from error


def sources_of(
    study: Study, base: Path | None = None, tuned: Path | None = None
) -> tuple[Manifest, Inputs]:
    """Resolve the data of a study and read the files that it names.

    Raises
    ------
    ConfigError
        SC012 for a study without a source; others as in `read_inputs`.
    """
    from scaling.count.tasks import HF, foreign
    from scaling.errors import ConfigError, Fault
    from scaling.planning.inputs import read_inputs
    from scaling.runs.manifest import resolve

    if foreign(study.data.task):
        found = _foreign(study, base)
        inputs = read_inputs(study, base, tuned=tuned, counted=found.counted)
        if found.manifest is not None:
            return found.manifest, inputs
        assert study.data.source is not None
        own = resolve(study.data.source, study.data.options, base)
        return (replace(own, code=found.hash) if found.code else own), inputs
    if study.data.source is None:
        raise ConfigError(
            Fault(
                "SC012",
                "[data] source",
                "missing",
                "a source to train on",
                "a study of a finished table needs no plan: scaling study FILE.toml fits it",
            )
        )
    counted, manifest = None, None
    if study.model.family.startswith(HF):
        manifest = resolve(study.data.source, study.data.options, base)
        counted = _configured(study, manifest)
    elif ":" in study.model.family:
        counted = _counted(study, base)
    inputs = read_inputs(study, base, tuned=tuned, counted=counted)
    return manifest or resolve(study.data.source, study.data.options, base), inputs


def _foreign(study: Study, base: Path | None) -> Foreign:
    """Make the data of a task that is not ours, and count its models."""
    from scaling.errors import MissingExtraError

    try:
        from scaling.training.tasks.foreign import describe
    except ModuleNotFoundError:
        raise MissingExtraError.of("torch", "train", "use a task of your own") from None
    data, model = study.data, study.model
    return describe(data.task, data.options, model.options, base, data.source is None)


def _configured(study: Study, manifest: Manifest) -> dict[str, Any]:
    """Count the models of a type of Hugging Face once, on torch's meta device."""
    from scaling.count.tasks import LANGUAGE, TASKS
    from scaling.errors import ConfigError, Fault, MissingExtraError

    task, family = study.data.task, study.model.family
    if task not in LANGUAGE:
        expected = " or ".join(LANGUAGE)
        raise ConfigError(Fault("SC012", "[data] task", f'"{task}" of family {family}', expected))
    try:
        from scaling.training.tasks.huggingface import count_config
    except ModuleNotFoundError:
        raise MissingExtraError.of("torch", "train", "count a model of Hugging Face") from None
    vocabulary = study.model.vocabulary or manifest.vocabulary + TASKS[task].more
    return count_config(family, study.model.options, vocabulary, task)


def _counted(study: Study, base: Path | None) -> dict[str, Any]:
    """Count a user's model once for every value of its dial, on torch's meta device."""
    from scaling.errors import MissingExtraError

    try:
        from scaling.training.counting import count_models
    except ModuleNotFoundError:
        raise MissingExtraError.of("torch", "train", "count a model of your own") from None
    return count_models(study.model.family, study.model.options, base)


def stages_of(planned: Plan, out: Path) -> list[tuple[Path, Plan]]:
    """Folders and plans of a study in the order of their running."""
    from scaling.runs.records import PRETRAIN

    own = [(out, planned)]
    return own if planned.before is None else [(out / PRETRAIN, planned.before), *own]
