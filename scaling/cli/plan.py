"""``scaling sweep plan|suggest``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scaling.cli.app import sweep_app
from scaling.cli.common import DryRun, follow_up, print_json, talk, tell
from scaling.cli.planned import (
    changed,
    plan_table,
    positive,
    preflight_lines,
    study_of,
    suggestion_lines,
)
from scaling.cli.stages import tuned_in, write_plan

if TYPE_CHECKING:
    from scaling.errors import Message
    from scaling.planning.additions import Addition
    from scaling.planning.plan import Plan
    from scaling.planning.preflight import Preflight
    from scaling.planning.sections import Study

File = Annotated[
    Path | None, typer.Argument(help="Study file; ./study.toml if left out.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print machine-readable output.")]
MOST_SIMULATED = 2000  # points of a plan that is simulated unasked


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
    budget_flops: Annotated[
        str | None, typer.Option("--budget-flops", help="Scale the design to spend this compute.")
    ] = None,
    budget_gpu_hours: Annotated[
        str | None,
        typer.Option("--budget-gpu-hours", help="Scale the design to spend these device hours."),
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option("--calibration", help="What `scaling bench` wrote.")
    ] = None,
    accelerator: Annotated[
        str | None,
        typer.Option("--accelerator", help="Named device to price the plan for: h100-sxm, …"),
    ] = None,
    mfu: Annotated[
        float | None,
        typer.Option("--mfu", help="Its utilisation; by size if left out.", min=0.001, max=1.0),
    ] = None,
    price: Annotated[
        str | None, typer.Option("--price-per-hour", help="What an hour of one device costs.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="How many points run at once.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target-flops", help="C at which N* and the loss are wanted.")
    ] = None,
    simulate: Annotated[
        bool | None,
        typer.Option(
            "--preflight/--no-preflight",
            help="Simulate what the plan will tell; by default where a law is believed.",
            show_default=False,
        ),
    ] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Shrink the study to seconds, for tests.")
    ] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Turn a study file into points, and say what they cost and what they will tell.

    scaling sweep plan sweeps/quickstart.toml

    scaling sweep plan --flops 1e10:1e11:3 --params 4e3:6e4:6
    """
    from scaling.errors import ConfigError, Fault, wrapped
    from scaling.plans import plan_of

    if budget_flops is not None and budget_gpu_hours is not None:
        both = "and --budget-gpu-hours"
        raise ConfigError(Fault("SC004", "--budget-flops", both, "one of the two"))
    study = study_of(file, flops, params, data, smoke)
    study = changed(
        study,
        {
            "budget_flops": positive("--budget-flops", budget_flops),
            "budget_gpu_hours": positive("--budget-gpu-hours", budget_gpu_hours),
        },
        {
            "calibration": None if calibration is None else _from(file, calibration),
            "accelerator": accelerator,
            "mfu": mfu,
            "price_per_hour": positive("--price-per-hour", price),
            "workers": workers,
        },
    )
    if target is not None:
        section = study.study.model_copy(
            update={"target_flops": positive("--target-flops", target)}
        )
        study = study.model_copy(update={"study": section})
    base = None if file is None else file.parent
    planned = plan_of(study, base, tuned=tuned_in(out, study))
    outlook, more = _outlook(planned, study, base, simulate)
    planned = planned.with_messages(more)
    found = list(planned.messages)
    if out is not None and not dry_run:
        found += write_plan(planned, out, base)
    if as_json:
        _print(planned, found, outlook)
        return
    typer.echo(plan_table(planned))
    if outlook is not None:
        typer.echo("")
        typer.echo("\n".join(preflight_lines(*outlook, planned.total.flops)))
    for rule in (*planned.rules, *planned.total.assumptions):
        talk("\n".join(wrapped(f"  {rule}", "    ")))
    tell(found)
    if out is not None and dry_run:
        talk(f"would write {out / 'plan.csv'}")
    elif out is not None:
        talk(f"wrote {out / 'plan.csv'}")
        follow_up(f"scaling sweep run {out}")


def _from(file: Path | None, path: Path) -> str:
    """A path of the working folder as the study file would name it: from its own folder."""
    return str(path) if file is None else os.path.relpath(path, file.parent)


def _print(planned: Plan, found: list[Any], outlook: Any) -> None:
    payload = planned.as_dict() | {"messages": [m.as_dict() for m in found]}
    if outlook is not None:
        payload["preflight"] = outlook[0].as_dict()
        payload["preflight"]["additions"] = [a.as_dict() for a in outlook[1]]
    print_json(payload)


Outlook = tuple["Preflight", "tuple[Addition, ...]"]


def _outlook(
    planned: Plan, study: Study, base: Path | None, wanted: bool | None
) -> tuple[Outlook | None, list[Message]]:
    """Simulate the plan and look for additions, if that is wanted or can be done at once."""
    from scaling.errors import Message, PlanError
    from scaling.planning.additions import for_plan
    from scaling.planning.planner import Planner
    from scaling.planning.preflight import preflight
    from scaling.plans import sources_of

    if wanted is False or (wanted is None and planned.prior is None):
        return None, []
    if wanted is None and len(planned) > MOST_SIMULATED:
        text = f"Not simulated: {len(planned)} points; --preflight does it all the same."
        return None, [Message("SC249", text, "info")]
    try:
        found = preflight(planned)
    except PlanError as error:
        if wanted:
            raise
        return None, [Message("SC249", f"Not simulated: {error.faults[0].found}.", "info")]
    try:
        planner = Planner(study, *sources_of(study, base))
        more = for_plan(planner, planned, found.target)
    except PlanError as error:
        text = f"No addition is named: {error.faults[0].found}."
        return (found, ()), [*found.messages, Message("SC249", text, "info")]
    return (found, more), list(found.messages)


# ---------------------------------------------------------------------------------------- suggest


@sweep_app.command()
def suggest(
    out: Annotated[
        Path | None,
        typer.Argument(
            help="Sweep folder, or a table of runs; this folder or ./out if left out.",
            show_default=False,
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option("--budget-flops", help="Compute to add; a quarter of the runs so far."),
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, max=1000, help="Most runs to add.")] = 8,
    target: Annotated[
        str | None,
        typer.Option(
            "--target-flops", help="C of the decision; the study's, else ten times the largest."
        ),
    ] = None,
    decision: Annotated[
        str, typer.Option("--decision", help="What is to be known: all, size, loss or exponent.")
    ] = "all",
    law: Annotated[
        str | None,
        typer.Option("--law", help="Law that is fitted; the study's, else chinchilla."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say which runs to add, from what the finished ones say.

    scaling sweep suggest out/quickstart --target-flops 1e14

    scaling sweep suggest results.csv --budget-flops 1e20 --count 4
    """
    from scaling.errors import ConfigError, Fault

    known = ("all", "size", "loss", "exponent")
    if decision not in known:
        raise ConfigError(Fault("SC004", "--decision", f'"{decision}"', ", ".join(known)))
    from scaling.cli.places import sweep_folder
    from scaling.planning.suggest import suggest as choose

    out = sweep_folder(None) if out is None else out
    found = choose(
        out,
        law=law,
        decision=decision,
        budget=positive("--budget-flops", budget),
        target=positive("--target-flops", target),
        most=count,
    )
    if as_json:
        print_json(found.as_dict())
        return
    typer.echo("\n".join(suggestion_lines(found)))
    tell(found.messages)
    if found.chosen and out.is_dir():
        talk("To plan them, add to [design] of the study:")
        typer.echo(found.as_toml())
