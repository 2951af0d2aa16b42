"""``scaling compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scaling.cli.app import app
from scaling.cli.common import command_line, numbers, print_json
from scaling.cli.reading import Texts, read_runs, reads_runs, stored_fit, tell_reading

if TYPE_CHECKING:
    from scaling.fitting.result import Fit
    from scaling.runs.read import How


@app.command()
@reads_runs
def compare(
    sources: Annotated[list[Path], typer.Argument(help="fit.json files, or a CSV of runs.")],
    law: Annotated[
        Texts, typer.Option("--law", help="Law to fit to a CSV, or to pick; repeatable.")
    ] = None,
    group: Annotated[
        str | None, typer.Option("--group", help="Column of a CSV that tells recipes apart.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option("--reference", help="Group that others are compared with.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", help="Compute to compare recipes at: 1e21 or LOW:HIGH:COUNT."),
    ] = None,
    objective: Annotated[
        str, typer.Option("--objective", help="For a CSV; log-mse gives AICc and BIC.")
    ] = "log-mse",
    bootstrap: Annotated[
        int, typer.Option("--bootstrap", min=0, help="For a CSV: replicates of each fit.")
    ] = 200,
    interval: Annotated[float, typer.Option("--interval", help="Level of intervals.")] = 0.95,
    literature: Annotated[
        bool, typer.Option("--literature/--no-literature", help="Show published exponents.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable output.")] = False,
    *,
    how: How,
) -> None:
    """Compare laws on the same runs, recipes on the same grid, and both with papers.

    scaling compare results.csv --law chinchilla --law coupled

    scaling compare recipes.csv --group recipe --at 1e21

    scaling compare old/fit.json new/fit.json
    """
    from dataclasses import replace

    from scaling.errors import ConfigError, Fault, QuestionError
    from scaling.fitting.comparison import compare_fits

    options = replace(how, group=group)
    fits = [
        fit
        for source in sources
        for fit in _fits(source, law or [], group, options, objective, bootstrap)
    ]
    found = compare_fits(
        fits, level=interval, at=numbers("--at", at) if at else (), reference=reference
    )
    if not literature:
        found = replace(found, literature=())
    if not as_json and not (found.laws or found.rows or found.literature):
        expected = "two laws, two groups or two files"
        raise ConfigError(Fault("SC004", "compare", "one fit, compared with nothing", expected))
    apart = [message.text for message in found.messages if message.severity == "error"]
    if apart and not (found.laws or found.rows):
        raise QuestionError(Fault("SC433", "compare", apart[0], "losses that are one quantity"))
    if as_json:
        print_json(found.as_dict())
    else:
        typer.echo(found.summary())


def _fits(
    source: Path,
    laws: list[str],
    group: str | None,
    options: How,
    objective: str,
    bootstrap: int,
) -> tuple[Fit, ...]:
    """Read fits, or make them of a table."""
    from scaling.fitting.analyse import analyse
    from scaling.fitting.answers import select
    from scaling.fitting.auto.build import is_auto
    from scaling.fitting.options import Options
    from scaling.fitting.stored import load

    stored = stored_fit(source)
    if stored is not None:
        return select(load(stored), laws, None).fits
    table = read_runs(source, options)
    tell_reading([table])
    if laws and all(is_auto(law) for law in laws):  # it has an objective of its own
        objective = Options().objective
    asked = Options(objective=objective, bootstrap=bootstrap)
    return analyse(table, laws=laws, group=group, options=asked, command=command_line()).fits
