"""``scaling sweep run``, and the training of any command that trains."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
EngineName = Annotated[
    str | None,
    typer.Option("--engine", help="local (processes), ray, slurm, or debug (in this process)."),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Jobs at once; one a core, or one a GPU."),
]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu or cuda.")]
ProfileName = Annotated[
    str | None,
    typer.Option("--profile", help="[engine] settings of a place: a name, or FILE.toml."),
]
Json = Annotated[bool, typer.Option("--json", help="Print machine-readable output.")]


@sweep_app.command()
def run(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="Study file, or a folder that holds a plan; ./study.toml, else ./out if left out.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Sweep folder; for a study file.")
    ] = None,
    engine: EngineName = None,
    workers: Workers = None,
    device: Device = None,
    profile: ProfileName = None,
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
    from scaling.cli.stages import pretrain

    how = How.of(engine, workers, device, profile, track, deadline)
    _check_retry(retry or [])
    file, out = _asked(file, out)
    if dry_run:
        _rehearse(file, out, smoke, as_json)
        return
    folder = _planned_folder(file, out, smoke, lambda place: train(place, how))
    pretrain(
        folder, lambda place, ids: train(place, how, retry or (), ids), retry or (), only or ()
    )
    summary = train(folder, how, retry or (), only or ())
    if as_json:
        from scaling.runs.records import status as state

        print_json(state(folder))
    else:
        typer.echo(str(folder / "results.csv"))
        follow_up(f"scaling fit {folder / 'results.csv'}")
    if summary.counts["failed"] or summary.counts["too-big"]:
        raise typer.Exit(1)


# ---------------------------------------------------------------------------------------- pieces


def _asked(file: Path | None, out: Path | None) -> tuple[Path, Path | None]:
    """The study or the folder that is meant, where none is named too."""
    from scaling.cli.places import OUT, STUDY, planned_folder, study_file

    if file is not None:
        return (planned_folder(file) if file.is_dir() else file), out
    planned = any((folder / "plan.jsonl").is_file() for folder in (Path(), OUT))
    if STUDY.is_file() or not planned:
        return study_file(None), out or OUT
    return planned_folder(None), out


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
    from scaling.cli.stages import due, rehearse, tuned_in
    from scaling.planning.study import kept_study
    from scaling.plans import plan_of
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


def _check_retry(retry: Sequence[str]) -> None:
    from scaling.errors import ConfigError, Fault
    from scaling.runs.columns import STATUSES

    wrong = [item for item in retry if item not in STATUSES[1:]]
    if wrong:
        expected = "one of " + ", ".join(STATUSES[1:])
        raise ConfigError(Fault("SC004", "--retry", f'"{wrong[0]}"', expected))


@dataclass(frozen=True)
class How:
    """How the command line wants points to be trained; None leaves it to the study.

    Attributes
    ----------
    engine, device : str, optional
    workers : int, optional
    profile : mapping
        What a profile lays over the study's engine.
    track : list of str, optional
    end : float, optional
        Moment of the monotonic clock at which the run ends [s].
    """

    engine: str | None = None
    workers: int | None = None
    device: str | None = None
    profile: Mapping[str, Any] = field(default_factory=dict)
    track: list[str] | None = None
    end: float | None = None

    @classmethod
    def of(
        cls,
        engine: str | None,
        workers: int | None,
        device: str | None,
        profile: str | None,
        track: list[str] | None,
        deadline: float | None,
    ) -> How:
        """Take options, and refuse those that cannot be used before anything is planned.

        Raises
        ------
        ConfigError
        """
        from scaling.errors import ConfigError, Fault
        from scaling.planning.profile import read_profile

        for option, value, known in (
            ("--device", device, ("auto", "cpu", "cuda")),
            ("--engine", engine, ("local", "ray", "slurm", "debug")),
        ):
            if value is not None and value not in known:
                expected = "one of " + ", ".join(known)
                raise ConfigError(Fault("SC004", option, f'"{value}"', expected))
        if track:
            from scaling.training.trackers.base import check_trackers

            check_trackers(track)
        laid = {} if profile is None else read_profile(profile)
        end = None if deadline is None else time.monotonic() + deadline
        return cls(engine, workers, device, laid, track, end)


def train(folder: Path, how: How, retry: Sequence[str] = (), only: Sequence[str] = ()) -> Any:
    """Train the pending points of a folder with live progress.

    Raises
    ------
    SystemExit
        With code 130 if a deadline, a request or a signal left points untrained.
    """
    from scaling.cli.progress import watching
    from scaling.errors import counted
    from scaling.planning.profile import merged
    from scaling.runs.records import load_plan
    from scaling.training import driver
    from scaling.training.trackers.feed import tracked

    points = load_plan(folder)
    kept, design = kept_engine(folder)
    settings = merged(kept, how.profile)
    limit = settings.get("deadline_seconds")
    deadline = limit if how.end is None else max(0.0, how.end - time.monotonic())
    trackers = how.track or settings.get("track", [])
    trunks = bool(design.get("trunks"))
    with watching(points, folder, trunks) as shown, tracked(folder, trackers, shown) as listener:
        summary = driver.run(
            folder,
            engine=how.engine or settings.get("name", "local"),
            workers=how.workers or settings.get("workers"),
            device=how.device or settings.get("device", "auto"),
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
        raise SystemExit(130)
    return summary


def kept_engine(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The engine and the design of the study that a sweep folder keeps; empty if it has none."""
    try:
        kept = json.loads((folder / "study.json").read_text(encoding="utf-8"))
        return kept["engine"], kept["design"] or {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}, {}
