"""``scaling sweep plan|run|status``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scaling.cli.app import sweep_app
from scaling.cli.common import follow_up, numbers, print_json, talk, tell

if TYPE_CHECKING:
    from scaling.planning.plan import Plan
    from scaling.planning.study import Study

File = Annotated[
    Path | None, typer.Argument(help="Study file; ./study.toml if left out.", show_default=False)
]
Out = Annotated[Path, typer.Option("-o", "--out", help="Sweep folder.")]
Smoke = Annotated[bool, typer.Option("--smoke", help="Shrink the study to seconds, for tests.")]
Json = Annotated[bool, typer.Option("--json", help="Print machine-readable output.")]


@sweep_app.command()
def plan(
    file: File = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write plan.jsonl and plan.csv there.")
    ] = None,
    flops: Annotated[
        str | None,
        typer.Option("--flops", help="Budgets without a file: 1e10,3e10 or LOW:HIGH:COUNT."),
    ] = None,
    params: Annotated[
        str | None, typer.Option("--params", help="Sizes N without a file, same forms.")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="Tokens D without a file, same forms.")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option("--calibration", help="What `scaling bench` wrote.")
    ] = None,
    smoke: Smoke = False,
    as_json: Json = False,
) -> None:
    """Turn a study file into points, and say what they cost.

    scaling sweep plan sweeps/quickstart.toml

    scaling sweep plan --flops 1e10:1e11:3 --params 4e3:6e4:6
    """
    study = _study(file, flops, params, data, smoke)
    planned = planned_of(study, calibration)
    found = list(planned.messages)
    if out is not None:
        found += planned.write(out)
    if as_json:
        payload = planned.as_dict() | {"messages": [m.as_dict() for m in found]}
        print_json(payload)
        return
    typer.echo(plan_table(planned))
    for rule in planned.rules:
        talk(f"  {rule}")
    tell(found)
    if out is not None:
        talk(f"wrote {out / 'plan.csv'}")
        follow_up(f"scaling sweep run {out}")


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
    smoke: Smoke = False,
    as_json: Json = False,
) -> None:
    """Train every point that has no result yet; running it again continues.

    scaling sweep run sweeps/quickstart.toml -o out/quickstart
    """
    folder = _planned_folder(file, out, smoke)
    summary = train(folder, engine, workers, device, retry or [])
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


def _study(
    file: Path | None, flops: str | None, params: str | None, data: str | None, smoke: bool
) -> Study:
    from scaling.errors import ConfigError, Fault
    from scaling.planning.study import check_study, read_study, shrink

    given = {"--flops": flops, "--params": params, "--data": data}
    named = [name for name, value in given.items() if value is not None]
    if not named:
        study = read_study(file or Path("study.toml"))
        return shrink(study) if smoke else study
    if file is not None:
        raise ConfigError(Fault("SC004", named[0], "goes without a study file"))
    design: dict[str, Any]
    if flops is not None and data is None:
        design = {"kind": "isoflop", "budgets": numbers("--flops", flops)}
        if params is not None:
            design["sizes"] = numbers("--params", params)
        else:
            design["center"] = {"N": 1.3e4, "C": 2e10, "exponent": 0.53}
    elif params is not None and data is not None and flops is None:
        design = {
            "kind": "grid",
            "params": numbers("--params", params),
            "data": numbers("--data", data),
        }
    else:
        raise ConfigError(
            Fault(
                "SC004",
                " ".join(named),
                "does not make a design",
                "--flops [--params] for isoFLOP, or --params with --data for a grid",
            )
        )
    study = check_study({"schema": 1, "data": {"source": "stdlib"}, "design": design}, name="flags")
    return shrink(study) if smoke else study


def planned_of(study: Study, calibration: Path | None = None) -> Plan:
    """Plan a checked study on this machine's data."""
    from scaling.api import make_plan_of
    from scaling.planning.plan import make_plan

    if calibration is not None:
        engine = study.engine.model_copy(update={"calibration": str(calibration)})
        study = study.model_copy(update={"engine": engine})
    return make_plan_of(study, make_plan)


def plan_table(planned: Plan) -> str:
    """Lay a plan out in 80 columns, with its totals."""
    lines = [
        f"{'budget':>9} {'N':>9} {'D':>10} {'D/N':>6} {'C':>9} {'steps':>7} {'lr':>9} "
        f"{'seed':>4} {'s':>6}"
    ]
    for p in planned:
        budget = "" if p.budget is None else f"{p.budget:.3g}"
        seconds = "" if p.seconds is None else f"{p.seconds:.1f}"
        lines.append(
            f"{budget:>9} {p.N:>9} {p.D:>10} {p.D / p.N:>6.3g} {p.C:>9.3g} {p.steps:>7} "
            f"{p.lr:>9.3g} {p.seed:>4} {seconds:>6}"
        )
    totals = planned.totals
    last = f"{totals['points']} points, {totals['C']:.3g} FLOP"
    if totals["seconds"] is not None:
        from scaling.planning.cost import wall_seconds

        costs = [p.seconds for p in planned if p.seconds is not None]
        workers = planned.study.engine.workers or 1
        last += f", {totals['seconds']:.0f} worker-seconds"
        last += f", {wall_seconds(costs, workers):.0f} s on {workers}"
    lines.append(last)
    lines += [f"left out: N {d['N']:.3g}, {d['why']}" for d in planned.dropped]
    return "\n".join(lines)


def _planned_folder(file: Path, out: Path | None, smoke: bool) -> Path:
    """Plan a study file into its folder, or take a folder that holds a plan."""
    from scaling.errors import ConfigError, Fault
    from scaling.planning.study import read_study, shrink

    if file.is_dir():
        return file
    if out is None:
        raise ConfigError(Fault("SC004", "-o", "missing", "a folder for the sweep"))
    study = read_study(file)
    folder = out / "smoke" if smoke else out
    planned = planned_of(shrink(study) if smoke else study)
    tell(planned.write(folder))
    return folder


def train(
    folder: Path, engine: str | None, workers: int | None, device: str | None, retry: list[str]
) -> Any:
    """Train the pending points of a folder with live progress."""
    import json

    from scaling.cli.progress import watching
    from scaling.errors import ConfigError, Fault
    from scaling.runs.columns import STATUSES
    from scaling.runs.records import load_plan
    from scaling.training import driver

    for option, value, known in (
        ("--device", device, ("auto", "cpu", "cuda")),
        ("--engine", engine, ("local", "debug")),
    ):
        if value is not None and value not in known:
            raise ConfigError(Fault("SC004", option, f'"{value}"', "one of " + ", ".join(known)))
    wrong = [item for item in retry if item not in STATUSES[1:]]
    if wrong:
        expected = "one of " + ", ".join(STATUSES[1:])
        raise ConfigError(Fault("SC004", "--retry", f'"{wrong[0]}"', expected))
    points = load_plan(folder)
    try:
        settings = json.loads((folder / "study.json").read_text())["engine"]
    except (OSError, ValueError, KeyError):
        settings = {}
    with watching(points, folder) as listener:
        summary = driver.run(
            folder,
            engine=engine or settings.get("name", "local"),
            workers=workers or settings.get("workers"),
            device=device or settings.get("device", "auto"),
            checkpoint_seconds=settings.get("checkpoint_seconds", 60.0),
            retry_statuses=retry,
            listener=listener,
        )
    tell(summary.messages)
    done = ", ".join(f"{n} {name}" for name, n in summary.counts.items() if n)
    talk(f"{summary.trained} points trained in {summary.seconds:.0f} s; {done}")
    return summary
