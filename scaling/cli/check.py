"""``scaling check``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scaling.cli.app import app
from scaling.cli.common import follow_up, print_json, talk
from scaling.cli.reading import Group, read_runs, reads_runs

if TYPE_CHECKING:
    from scaling.errors import ScalingError
    from scaling.runs.read import How
    from scaling.runs.table import RunsTable


@app.command()
@reads_runs
def check(
    file: Annotated[Path, typer.Argument(help="Runs, as for fit; - reads standard input.")],
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail, with exit code 1, on warnings too.")
    ] = False,
    curves: Annotated[
        bool, typer.Option("--curves", help="Runs may have a row for each point of their curve.")
    ] = False,
    response: Annotated[
        str | None, typer.Option("--response", help="What a law is to give, where it is no loss.")
    ] = None,
    group: Group = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable output.")] = False,
    *,
    how: How,
) -> None:
    """Say how runs are read and what about them should be looked at before a fit.

    scaling check results.csv

    scaling check results.csv --strict     exit code 1 if there is a warning
    """
    from dataclasses import replace

    from scaling.errors import ConfigError, Fault, TableError, clip, listed

    options = replace(how, group=group, needs_loss=response is None, curves=curves)
    try:
        table = read_runs(file, options)
    except TableError as error:
        if as_json:
            print_json({"schema": "scaling/check@1", "ok": False, **_faults(error)})
        raise
    if response is not None and response not in table.frame:
        known = listed(map(str, table.frame))
        raise ConfigError(Fault("SC105", "--response", f'no column "{clip(response)}"', known))
    if group is not None and table.column(group) is None:
        known = listed(map(str, table.frame))
        raise ConfigError(Fault("SC105", "--group", f'no column "{clip(group)}"', known))
    warned = [m for m in table.messages if m.severity != "info"]
    ok = not (strict and warned)
    if as_json:
        print_json({"schema": "scaling/check@1", "ok": ok, **_findings(table)})
    else:
        _show(table, len(warned))
    if not ok:
        raise typer.Exit(1)


def _faults(error: ScalingError) -> dict[str, Any]:
    findings = [
        {
            "code": fault.code,
            "severity": "error",
            "where": fault.where,
            "text": f"{fault.found}; expected: {fault.expected}".removesuffix("; expected: "),
            "rows": [],
            "mend": fault.mend,
        }
        for fault in error.faults
    ]
    return {"table": None, "findings": findings}


def _findings(table: RunsTable) -> dict[str, Any]:
    blank: dict[str, Any] = {"where": table.file, "rows": [], "mend": ""}
    return {"table": table.as_dict(), "findings": [blank | m.as_dict() for m in table.messages]}


def _show(table: RunsTable, warned: int) -> None:
    """Print the reading and the findings: here they are the data that was asked for."""
    from scaling.runs.read import describe

    lines = describe(table)
    for message in sorted(table.messages, key=lambda m: m.severity == "info"):
        lines += message.lines()
    typer.echo("\n".join(lines))
    talk(f"{warned or 'no'} warning{'' if warned == 1 else 's'}")
    follow_up("scaling explain CODE says more about a finding")
