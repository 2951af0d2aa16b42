"""A sweep in its stages: tuning runs and their check first, where a study asks for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from scaling.cli.common import talk, tell
from scaling.cli.planned import duration, plan_table
from scaling.errors import counted

if TYPE_CHECKING:
    from scaling.planning.plan import Plan
    from scaling.planning.sections import Study

Run = Callable[[Path], Any]


def tuned_in(out: Path | None, study: Study) -> Path | None:
    """The result of the study's own tuning stage in a sweep folder, if it is there."""
    if out is None or study.tuning is None:
        return None
    path = out / "tuning" / "tuned.json"
    try:
        section = json.loads(path.read_text(encoding="utf-8"))["section"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return path if section == study.tuning.model_dump(mode="json") else None


def write_plan(planned: Plan, out: Path, base: Path | None) -> list[Any]:
    """Write a plan, and that of its tuning stage where one comes first; return what to say."""
    from scaling.plans import plan_of

    if planned.study.tuning is not None and tuned_in(out, planned.study) is None:
        _write(plan_of(planned.study, base, stage="tune"), out / "tuning", base)
    return _write(planned, out, base)


def _write(planned: Plan, out: Path, base: Path | None) -> list[Any]:
    """Write a plan; its copy of the study names files from where it stands."""
    from scaling.planning.inputs import rebased
    from scaling.runs.records import PRETRAIN

    before = planned.before
    if before is not None:
        before = replace(before, study=rebased(before.study, base, out / PRETRAIN))
    return replace(planned, study=rebased(planned.study, base, out), before=before).write(out)


def prepare(study: Study, base: Path | None, out: Path, run: Run) -> Plan:
    """Run the tuning stage if one is due, then plan the design and write it to `out`.

    Raises
    ------
    PlanError
        SC215 or SC217 if the rates tried do not bracket their optima.
    Exit
        With code 1 if the tuned law fails its check.
    """
    from scaling.plans import plan_of

    tuned = tuned_in(out, study)
    if study.tuning is not None and tuned is None:
        tuned = _tune(study, base, out / "tuning", run)
    planned = plan_of(study, base, tuned=tuned)
    tell([*planned.messages, *_write(planned, out, base)])
    return planned


def pretrain(
    folder: Path,
    run: Callable[[Path, Sequence[str]], Any],
    retry: Sequence[str] = (),
    only: Sequence[str] = (),
) -> None:
    """Train the stage from whose weights the points of a sweep start, where there is one.

    Runs whose status is in `retry` are trained again, and those whose weights are lost; where
    `only` some points are to be trained, so are the runs that these start from.

    Raises
    ------
    TrainingError
        SC320 if a run of it has no weights to start from.
    """
    from scaling.errors import Fault, TrainingError
    from scaling.runs.records import PRETRAIN, load_plan, read_record
    from scaling.runs.records import retry as set_aside

    first = folder / PRETRAIN
    if not (first / "plan.jsonl").is_file() or not (folder / "plan.jsonl").is_file():
        return
    wanted = [p for p in load_plan(folder) if not only or p["id"].startswith(tuple(only))]
    needed = {p["init"].get("from") for p in wanted}
    points = [p for p in load_plan(first) if p["id"] in needed]

    def status(point: Mapping[str, Any]) -> str | None:
        record = read_record(first, point["id"])
        return None if record is None else str(record["status"])

    lost = [p for p in points if status(p) == "done" and not _has_weights(first, p)]
    if set_aside(first, lost, ["done"]):
        talk(f"pretraining: the weights of {counted(len(lost), 'run')} are lost")
    left = sum(status(p) is None or status(p) in retry for p in points)
    if left:
        talk(f"pretraining: {counted(left, 'run')}")
        run(first, [str(p["id"]) for p in points] if only else ())
    for point in points:
        if status(point) not in ("done", None):
            found = f"the run that others start from is {status(point)}"
            mend = f"see scaling sweep logs {first} {point['id']}; then --retry {status(point)}"
            raise TrainingError(Fault("SC320", f"point {point['id']}", found, "done", mend))


def _has_weights(folder: Path, point: Mapping[str, Any]) -> bool:
    from scaling.runs.records import PointFiles
    from scaling.training.tasks.start import WEIGHTS

    return (PointFiles.of(folder, point["id"]).folder / WEIGHTS).is_file()


def due(folder: Path) -> Study | None:
    """The study of a folder whose tuning stage is not settled yet, else None."""
    from scaling.planning.study import kept_study

    study = kept_study(folder) if (folder / "tuning" / "plan.jsonl").is_file() else None
    if study is None or study.tuning is None:
        return None
    return study if tuned_in(folder, study) is None else None


def _tune(study: Study, base: Path | None, folder: Path, run: Run) -> Path:
    """Train the tuning runs, settle the law of the rate, check it, and keep it."""
    from scaling.errors import PlanError
    from scaling.planning.recipes.tuning import check_rate, settle
    from scaling.plans import plan_of
    from scaling.runs.files import write_atomic

    planned = plan_of(study, base, stage="tune")
    talk(f"tuning the learning rate: {counted(len(planned), 'run')}")
    _write(planned, folder, base)  # points of its check may stand there from before; they are kept
    run(folder)
    noise = _noise(study)
    rows = list(_rows(folder, planned, "tune"))
    try:
        settled = settle(rows, recipe=planned.points[0].recipe, noise=noise)
    except PlanError:
        talk("widen [tuning] factors as said below and run again; finished runs are kept")
        raise
    talk(f"rate = {settled.formula}, exponent {settled.describe()}")
    kept = folder / "law.json"
    write_atomic(kept, json.dumps(settled.as_dict(), indent=1) + "\n")
    if study.tuning is not None and study.tuning.check is not None:
        check = plan_of(study, base, stage="check", tuned=kept)
        talk(f"checking it at N = {check.points[0].N}: {counted(len(check), 'run')}")
        _write(replace(planned, points=(*planned.points, *check.points)), folder, base)
        run(folder)
        settled = check_rate(settled, list(_rows(folder, check, "check")), noise=noise)
        write_atomic(kept, json.dumps(settled.as_dict(), indent=1) + "\n")
    tell(settled.messages)
    if any(message.code == "SC216" for message in settled.messages):
        talk("stopped before the design: the tuned rate does not hold at the check size")
        talk(f'to go on with it: [recipe] tuned = "{kept}", and no [tuning]')
        raise typer.Exit(1)
    path = folder / "tuned.json"
    section = None if study.tuning is None else study.tuning.model_dump(mode="json")
    write_atomic(path, json.dumps({**settled.as_dict(), "section": section}, indent=1) + "\n")
    return path


def _noise(study: Study) -> float | None:
    """Scatter of ln loss, where no seeds are repeated that would show it."""
    from scaling.planning import recipes

    assert study.tuning is not None
    if study.tuning.seeds > 1:
        return None
    own = None if study.prior is None else study.prior.noise
    return own or recipes.get(study.recipe.name, study.recipe.overrides).noise


def _rows(folder: Path, planned: Plan, stage: str) -> Iterator[dict[str, Any]]:
    from scaling.runs.records import read_record

    for point in planned:
        record = read_record(folder, point.id)
        if record is not None:
            yield {
                "N": point.N,
                "D": point.D,
                "lr": point.lr,
                "seed": point.seed,
                "stage": stage,
                "loss": record["loss"],
                "status": record["status"],
            }


def rehearse(planned: Plan, out: Path) -> None:
    """Say what a run would do, and do nothing."""
    from scaling.runs.records import read_record
    from scaling.training.grouping import own_compute

    typer.echo(plan_table(planned))
    tell(planned.messages)
    done = [p for p in planned if read_record(out, p.id) is not None]
    left = [p for p in planned if read_record(out, p.id) is None]
    text = f"{len(done)} of {len(planned)} points have a record; {len(left)} would be trained, "
    design = planned.study.design
    own = own_compute([vars(p) for p in planned], design is not None and design.trunks)
    text += f"{sum(own[p.id] for p in left):.3g} FLOP"
    seconds = [p.seconds for p in left if p.seconds is not None]
    if left and len(seconds) == len(left):
        text += f", {duration(sum(seconds))} of work"
    if planned.before is not None:
        runs = counted(len(planned.before), "run")
        text += f", after {runs} of pretraining ({sum(p.C for p in planned.before):.3g} FLOP)"
    if planned.study.tuning is not None and tuned_in(out, planned.study) is None:
        text += ", after the tuning stage"
    talk(f"{text}; nothing was written")
