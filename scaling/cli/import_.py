"""``scaling import``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scaling.cli.app import app
from scaling.cli.common import DryRun, follow_up, print_json, talk
from scaling.cli.reading import reads_runs, settle, tell_reading

if TYPE_CHECKING:
    import pandas as pd

    from scaling.runs.read import How
    from scaling.runs.table import RunsTable


@app.command("import")
@reads_runs
def import_(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="SRC", help="Tables, tracker folders or databases, studies; or -."),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Write the runs table there; - prints it.")
    ] = Path("-"),
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable output.")] = False,
    dry_run: DryRun = False,
    *,
    how: How,
) -> None:
    """Bring runs from elsewhere into one runs table, with their ids; curves go beside it.

    scaling import export.csv --decimal , -o runs.csv

    scaling import wandb/ mlflow.db -o tracked.csv     several sources, one table

    scaling import flan.csv --melt D=loss --map N=size --where "D > 0" -o tuned.csv
    """
    from dataclasses import replace

    from scaling.errors import ConfigError, Fault
    from scaling.runs.files import refuse_existing, write_atomic
    from scaling.runs.write import canonical_frame, derived_columns, stacked, to_csv

    to_file = str(out) != "-"
    if to_file and out.suffix.lower() not in ("", ".csv"):
        expected = "a name that ends in .csv: the runs table is written as CSV"
        raise ConfigError(Fault("SC004", "-o", f'"{out}"', expected))
    if to_file and out.resolve() in [source.resolve() for source in sources]:
        found = f"{out} is a source: it would be replaced by what is understood of it"
        raise ConfigError(Fault("SC004", "-o", found, "another name"))
    _refuse_twice(sources)
    beside = out.with_name(f"{out.stem}.curves.csv")
    if to_file:
        for path in (out, beside):
            refuse_existing(path, force)
    options = replace(how, needs_loss=False)
    tables: dict[str, RunsTable] = {}
    curves: dict[str, pd.DataFrame] = {}
    for source in sources:
        name = _free(source, tables)
        tables[name], points = _read(source, options)
        if points is not None:
            curves[name] = points
    # What one source has and another only derives must not be empty in half of the rows.
    own = {c for t in tables.values() for c in set(t.columns) - derived_columns(t)}
    whole = stacked({name: canonical_frame(t, kept=own) for name, t in tables.items()})
    tell_reading(tables.values())
    wrote = "would write" if dry_run else "wrote"
    if to_file:
        if not dry_run:
            write_atomic(out, to_csv(whole))
        talk(f"{wrote} {out}: {len(whole)} run{'' if len(whole) == 1 else 's'}")
    if to_file and curves:
        stack = _points(curves)
        if not dry_run:
            write_atomic(beside, to_csv(stack))
        talk(f"{wrote} {beside}: {len(stack)} points of {stack['run'].nunique()} runs")
    elif curves:
        talk("  curves are written with -o FILE only")
    if as_json:
        print_json(
            {
                "schema": "scaling/import@1",
                "runs": str(out) if to_file else None,
                "curves": str(beside) if to_file and curves else None,
                "rows": len(whole),
                "columns": [str(c) for c in whole],
                "messages": [m.as_dict() for t in tables.values() for m in t.messages],
            }
        )
    elif not to_file:
        typer.echo(to_csv(whole), nl=False)
    if to_file and not dry_run:
        follow_up(f"scaling fit {out}")


def _refuse_twice(sources: list[Path]) -> None:
    """The same runs twice would count twice.

    Raises
    ------
    ConfigError
        SC004.
    """
    from scaling.errors import ConfigError, Fault

    seen = [source.resolve() for source in sources]
    for at, source in enumerate(seen):
        if source in seen[:at]:
            raise ConfigError(Fault("SC004", str(sources[at]), "stands twice", "each source once"))


def _free(source: Path, taken: dict[str, RunsTable]) -> str:
    """Name a source by its last part, or by more of its path where that is taken."""
    name = "stdin" if str(source) == "-" else source.resolve().name
    return name if name not in taken else str(source)


def _read(source: Path, options: How) -> tuple[RunsTable, pd.DataFrame | None]:
    """Read one source and its curves; rows in mid-run are curves where --final-only is given."""
    from dataclasses import replace

    from scaling.runs.importers.registry import open_source
    from scaling.runs.read import checked
    from scaling.runs.write import canonical_frame

    found = open_source("-" if str(source) == "-" else source, options.kind)
    table: RunsTable = settle(lambda chosen: checked(found, chosen), options, found)
    if found.curves is not None and len(found.curves):
        asked = replace(options, curves=True, final=False, where=None)
        points: RunsTable = settle(lambda chosen: checked(found, chosen), asked, found)
        return table, canonical_frame(points, left_out=True)
    if options.final and len(table) > table.frame["run"].nunique():
        return table, canonical_frame(table, left_out=True)
    return table, None


def _points(curves: dict[str, pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    if len(curves) == 1:
        return next(iter(curves.values()))
    parts = [frame.assign(source=name) for name, frame in curves.items()]
    return pd.concat(parts, ignore_index=True)
