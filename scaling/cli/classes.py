"""``scaling sweep classes``: how well each class is told, for one point."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from scaling.cli.app import sweep_app
from scaling.cli.common import print_json, talk
from scaling.cli.following import Folder, _folder
from scaling.cli.sweep import Json

SCHEMA = "scaling/classes@1"
SCORES = ("precision", "recall", "f1")


@sweep_app.command()
def classes(
    out: Folder = None,
    point: Annotated[
        str | None, typer.Argument(help="Id of a point, or how it begins; the lowest loss if none.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print precision, recall, F1 and number of validation examples of every class.

    scaling sweep classes out/images
    """
    from scaling.runs.records import load_plan

    folder = _folder(out)
    record = _record(folder, point)
    planned = next(p for p in load_plan(folder) if p["id"] == record["id"])
    metrics = record["metrics"]
    rows = metrics["classes"]
    if as_json:
        print_json(
            {
                "schema": SCHEMA,
                **{name: record[name] for name in ("id", "loss")},
                **{name: planned[name] for name in ("group", "N", "D", "seed")},
                **{name: metrics[name] for name in ("accuracy", "error", "error_se")},
                "classes": rows,
            }
        )
        return
    talk(
        f"point {record['id']} of {planned['group']}: N {planned['N']}, D {planned['D']}, "
        f"loss {record['loss']:.4f}, error {metrics['error']:.4f} ± {metrics['error_se']:.4f}"
    )
    width = max(5, *(len(str(row["name"])) for row in rows))
    typer.echo(f"{'class':{width}}  precision  recall      f1  support")
    for row in rows:
        precision, recall, f1 = (_spelt(row[name]) for name in SCORES)
        typer.echo(
            f"{row['name']:{width}}  {precision:>9}  {recall:>6}  {f1:>6}  {row['support']:>7}"
        )


def _spelt(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _record(out: Path, point: str | None) -> Mapping[str, Any]:
    """The record asked for, or that of the lowest loss, among those that tell classes apart."""
    from scaling.errors import ConfigError, Fault
    from scaling.runs.records import load_plan, read_record

    ids = [p["id"] for p in load_plan(out)]
    mend = f"scaling sweep status {out}"
    if point is not None:
        begun = [name for name in ids if name.startswith(point)]
        if len(begun) != 1 or not point:
            found = f'"{point}"' if not begun else f'"{point}" begins {len(begun)} ids'
            raise ConfigError(Fault("SC004", "POINT", found, "one point of the sweep", mend))
        ids = begun
    records = [record for name in ids if (record := read_record(out, name)) is not None]
    told = [
        record
        for record in records
        if record["status"] == "done" and "classes" in (record.get("metrics") or {})
    ]
    if not told:
        found = f"{len(records)} records, none that is done and has a report of classes"
        expected = 'finished points of a task that has classes, such as task = "images"'
        raise ConfigError(Fault("SC004", str(point or out), found, expected, mend))
    return min(told, key=lambda record: float(record["loss"]))
