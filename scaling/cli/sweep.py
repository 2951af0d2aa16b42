"""``scaling sweep run|status``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from scaling.cli.app import sweep_app
from scaling.cli.common import DryRun, follow_up, print_json, talk, tell

Smoke = Annotated[bool, typer.Option("--smoke", help="Shrink the study to seconds, for tests.")]
Deadline = Annotated[
    float | None,
    typer.Option(
        "--deadline",
        min=0.0,
        help="Seconds after which running points keep a checkpoint and the command ends.",
    ),
]
Track = Annotated[
    list[str] | None,
    typer.Option("--track", help="Copy what trains to tensorboard, wandb or mlflow; repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Print machine-readable output.")]


@sweep_app.command()
def run(
    file: Annotated[Path, typer.Argument(help="Study file, or a folder that holds a plan.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Sweep folder; for a study file.")
    ] = None,
    engine: Annotated[
        str | None, typer.Option("--engine", help="local (processes) or debug (in process).")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Worker processes; one a core.")
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu or cuda.")] = None,
    retry: Annotated[
        list[str] | None,
        typer.Option("--retry", help="Run points of this status again: failed, diverged, too-big."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Train this point alone: an id, or how it begins."),
    ] = None,
    deadline: Deadline = None,
    track: Track = None,
    smoke: Smoke = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Train every point that has no result yet; running it again continues.

    scaling sweep run sweeps/quickstart.toml -o out/quickstart
    """
    check_choices(engine, device, retry or [], track)
    if dry_run:
        _rehearse(file, out, smoke, as_json)
        return
    end = ends(deadline)
    folder = _planned_folder(
        file, out, smoke, lambda place: train(place, engine, workers, device, [], track, end=end)
    )
    summary = train(folder, engine, workers, device, retry or [], track, only=only or (), end=end)
    if as_json:
        from scaling.runs.records import status as state

        print_json(state(folder))
    else:
        typer.echo(str(folder / "results.csv"))
        follow_up(f"scaling fit {folder / 'results.csv'}")
    if summary.counts["failed"] or summary.counts["too-big"]:
        raise typer.Exit(1)


@sweep_app.command()
def status(
    out: Annotated[Path, typer.Argument(help="Sweep folder.")],
    as_json: Json = False,
) -> None:
    """Say how far every point of a sweep is."""
    from scaling.runs.records import status as state

    tuning = out / "tuning"
    if not (out / "plan.jsonl").is_file() and (tuning / "plan.jsonl").is_file():
        talk(f"the tuning stage, in {tuning}; the design is planned once its rates are in")
        out = tuning
    found = state(out)
    if as_json:
        print_json(found)
        return
    for row in found["points"]:
        loss = "" if row["loss"] is None else f"{row['loss']:.4f}"
        budget = "" if row["budget"] is None else f"{row['budget']:9.3g}"
        line = f"{row['id']}  {budget:>9}  {row['N']:>9}  {row['status']:<9}"
        typer.echo(f"{line} {row['step']:>7}/{row['steps']:<7} {loss}".rstrip())
    talk(", ".join(f"{n} {name}" for name, n in found["counts"].items() if n))


# ---------------------------------------------------------------------------------------- pieces


def _planned_folder(file: Path, out: Path | None, smoke: bool, run: Any) -> Path:
    """Plan a study file into its folder, or take a folder that holds a plan."""
    from scaling.cli.stages import due, prepare

    if file.is_dir():
        study = due(file)
        if study is not None:
            prepare(study, file, file, run)
        return file
    study, folder = _study(file, out, smoke)
    prepare(study, file.parent, folder, run)
    return folder


def _study(file: Path, out: Path | None, smoke: bool) -> tuple[Any, Path]:
    from scaling.errors import ConfigError, Fault
    from scaling.planning.study import read_study, shrink

    if out is None:
        raise ConfigError(Fault("SC004", "-o", "missing", "a folder for the sweep"))
    study = read_study(file)
    return (shrink(study), out / "smoke") if smoke else (study, out)


def _rehearse(file: Path, out: Path | None, smoke: bool, as_json: bool) -> None:
    from scaling.api import plan_of
    from scaling.cli.stages import due, rehearse, tuned_in
    from scaling.planning.study import kept_study
    from scaling.runs.records import load_plan, read_record
    from scaling.training.grouping import own_compute

    if not file.is_dir():
        study, folder = _study(file, out, smoke)
        planned = plan_of(study, file.parent, tuned=tuned_in(folder, study))
        if as_json:
            print_json(planned.as_dict())
        else:
            rehearse(planned, folder)
        return
    points = load_plan(file)
    left = [p for p in points if read_record(file, p["id"]) is None]
    kept = kept_study(file)
    design = None if kept is None else kept.design
    own = own_compute(points, design is not None and design.trunks)
    compute = sum(own[p["id"]] for p in left)
    if as_json:
        print_json({"points": left, "totals": {"points": len(left), "C": compute}})
        return
    if due(file) is not None:
        talk("the tuning stage comes first; rates and ids of the points will follow from it")
    talk(f"{len(left)} of {len(points)} points would be trained, {compute:.3g} FLOP")


def check_choices(
    engine: str | None, device: str | None, retry: list[str], track: list[str] | None
) -> None:
    """Refuse options that cannot be used, before anything is planned or trained."""
    from scaling.errors import ConfigError, Fault
    from scaling.runs.columns import STATUSES

    for option, value, known in (
        ("--device", device, ("auto", "cpu", "cuda")),
        ("--engine", engine, ("local", "ray", "slurm", "debug")),
    ):
        if value is not None and value not in known:
            raise ConfigError(Fault("SC004", option, f'"{value}"', "one of " + ", ".join(known)))
    wrong = [item for item in retry if item not in STATUSES[1:]]
    if wrong:
        expected = "one of " + ", ".join(STATUSES[1:])
        raise ConfigError(Fault("SC004", "--retry", f'"{wrong[0]}"', expected))
    if track:
        from scaling.training.trackers.base import check_trackers

        check_trackers(track)


def ends(deadline: float | None) -> float | None:
    """Moment of the monotonic clock at which a deadline is reached [s]."""
    import time

    return None if deadline is None else time.monotonic() + deadline


def train(
    folder: Path,
    engine: str | None,
    workers: int | None,
    device: str | None,
    retry: list[str],
    track: list[str] | None,
    *,
    only: Sequence[str] = (),
    end: float | None = None,
) -> Any:
    """Train the pending points of a folder with live progress; None is what its study says.

    Raises
    ------
    Exit
        With code 130 if a deadline or a signal left points untrained.
    """
    import json
    import time

    from scaling.cli.progress import watching
    from scaling.errors import counted
    from scaling.runs.records import load_plan
    from scaling.training import driver
    from scaling.training.trackers.feed import tracked

    check_choices(engine, device, retry, track)
    points = load_plan(folder)
    try:
        kept = json.loads((folder / "study.json").read_text())
        settings, design = kept["engine"], kept["design"] or {}
    except (OSError, ValueError, KeyError, TypeError):
        settings, design = {}, {}
    limit = settings.get("deadline_seconds")
    deadline = limit if end is None else max(0.0, end - time.monotonic())
    trackers = track or settings.get("track", [])
    trunks = bool(design.get("trunks"))
    with watching(points, folder, trunks) as shown, tracked(folder, trackers, shown) as listener:
        summary = driver.run(
            folder,
            engine=engine or settings.get("name", "local"),
            workers=workers or settings.get("workers"),
            device=device or settings.get("device", "auto"),
            setup=settings,
            trunks=trunks,
            deadline=deadline,
            retry_statuses=retry,
            only=only,
            listener=listener,
        )
    tell(summary.messages)
    done = ", ".join(f"{n} {name}" for name, n in summary.counts.items() if n)
    trained = counted(summary.trained, "point")
    talk(f"{trained} trained in {summary.seconds:.0f} s" + f"; {done}" * bool(done))
    if summary.C_spent < 0.999 * summary.C:
        share = summary.C_spent / summary.C
        talk(f"shared trunks: {summary.C_spent:.3g} FLOP spent, {share:.0%} of {summary.C:.3g}")
    if summary.stopped is not None and "SC313" in {m.code for m in summary.messages}:
        raise typer.Exit(130)
    return summary
