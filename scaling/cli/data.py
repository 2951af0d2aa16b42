"""``scaling data list|fetch|sources``."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scaling.cli.app import data_app
from scaling.cli.common import DryRun, follow_up, print_json, talk
from scaling.errors import wrapped

if TYPE_CHECKING:
    from scaling.runs.public import DataSet

Cache = Annotated[
    Path | None,
    typer.Option("--cache", help="Folder of downloads; SCALING_CACHE_DIR or the user's cache."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print machine-readable output.")]


@data_app.command("list")
def list_data(cache: Cache = None, as_json: AsJson = False) -> None:
    """List the public data sets by name: rows, licence, and whether they are at hand."""
    from scaling.runs.public import find_table, list_sets, state

    if as_json:
        rows = []
        for found in list_sets():
            paths = [find_table(found, table, cache) for table in found.files]
            rows.append(_as_dict(found, paths, state(found, cache)))
        print_json({"schema": "scaling/data@1", "sets": rows})
        return
    for found in list_sets():
        sizes = " + ".join(f"{table.rows:,}" for table in found.files)
        typer.echo(f"{found.name:<27} {sizes:<17} {found.licence:<12} {state(found, cache)}")
    folder = os.environ.get("SCALING_DATA_DIR")
    if folder and not Path(folder).is_dir():
        talk(f"SCALING_DATA_DIR names no folder: {folder}")
    talk("\nscaling data fetch NAME downloads one, checks it and says whom to cite.")


@data_app.command("sources")
def sources(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="One source, with its options.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what a study can train on: the data sources, and which tasks read them.

    scaling data sources shapes
    """
    from scaling.count.tasks import TASKS
    from scaling.runs.sources.registry import names, source_of

    found = [source_of(one) for one in ([name] if name else names())]
    readers = {s.name: [t.name for t in TASKS.values() if s.kind in t.reads] for s in found}
    if as_json:
        rows = [
            {"name": s.name, "kind": s.kind, "tasks": readers[s.name],
             "options": [vars(o) for o in s.options]}
            for s in found
        ]  # fmt: skip
        print_json({"schema": "scaling/sources@1", "sources": rows})
        return
    for source in found:
        tasks = ", ".join(readers[source.name]) or "none here: it is only planned"
        typer.echo(f"{source.name:<16} {source.kind:<9} task: {tasks}")
        for option in source.options if name else ():
            default = "needed" if option.default is None else f"default {option.default!r}"
            text = f"{option.name} ({default}): {option.text}"
            if option.kind != "text":
                text += f"; {option.expected}"
            typer.echo("\n".join(wrapped(f"  {text}", "    ")))
    if not name:
        talk("\nscaling data sources NAME shows the options of one.")


@data_app.command("fetch")
def fetch_data(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME", help="Names of data sets; all fetches every one."),
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder to copy the tables to.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    cache: Cache = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Fetch public runs from their origin, checked by sha256, and say whom to cite.

    SCALING_DATA_DIR names a folder of copies that are used instead, and SCALING_DATA_URL a mirror.

    scaling data fetch chinchilla_epoch2024

    scaling data fetch all -o runs
    """
    from scaling.runs.public import fetch_set, state

    chosen = _chosen(names, cache)
    if out is not None:
        _refuse_existing([out / table.name for found in chosen for table in found.files], force)
    if dry_run:
        for found in chosen:
            origin = f"github.com/{found.repo} at {found.commit[:12]}"
            talk(f"{found.name} ({state(found, cache)}) would be fetched from {origin}")
        return
    rows, commands = [], []
    for found in chosen:
        paths = fetch_set(found.name, cache)
        if out is not None:
            paths = _copied(paths, out)
        commands.append(_fit_command(found, _short(paths[0])))
        rows.append(_as_dict(found, paths, state(found, cache)))
        if not as_json:
            for path in paths:
                typer.echo(path)
            _talk_about(found)
    if as_json:
        print_json({"schema": "scaling/data@1", "sets": rows})
        return
    for command in commands:
        follow_up(command)


def _chosen(names: list[str], cache: Path | None) -> list[DataSet]:
    """Return the data sets that are named; ``all`` leaves out what cannot be had."""
    from scaling.runs.public import PICKLE, get_set, list_sets, state

    chosen: dict[str, DataSet] = {}
    for name in names:
        if name != "all":
            chosen[name] = get_set(name)
            continue
        for found in list_sets():
            if state(found, cache) == PICKLE:
                talk(f"{found.name} is left out: {PICKLE}")
            else:
                chosen[found.name] = found
    return list(chosen.values())


def _refuse_existing(paths: list[Path], force: bool) -> None:
    from scaling.runs.files import refuse_existing

    for path in paths:
        refuse_existing(path, force)


def _copied(paths: list[Path], out: Path) -> list[Path]:
    from scaling.runs.files import write_atomic

    targets = [out / path.name for path in paths]
    for path, target in zip(paths, targets, strict=True):
        write_atomic(target, path.read_bytes())
    return targets


def _fit_command(found: DataSet, path: str) -> str:
    return f"scaling fit {shlex.quote(path)} {found.fit}".rstrip()


def _short(path: Path) -> str:
    """Write a path from here where it lies below."""
    here = Path.cwd()
    return str(path.relative_to(here) if here in path.parents else path)


def _talk_about(found: DataSet) -> None:
    from scaling.errors import wrapped

    said = {
        "origin": f"https://github.com/{found.repo}/tree/{found.commit}",
        "licence": found.terms,
        "cite": found.citation,
        "note": found.note,
    }
    talk(f"{found.name}: {found.title}")
    for word, text in said.items():
        for line in wrapped(f"  {word:<8} {text}", " " * 11):
            talk(line)


def _as_dict(found: DataSet, paths: list[Path | None] | list[Path], where: str) -> dict[str, Any]:
    first = str(paths[0]) if paths[0] else found.files[0].name
    return {
        "name": found.name,
        "title": found.title,
        "state": where,
        "files": [
            {
                "file": table.name,
                "rows": table.rows,
                "sha256": table.sha256,
                "path": str(path) if path else None,
            }
            for table, path in zip(found.files, paths, strict=True)
        ],
        "repo": found.repo,
        "commit": found.commit,
        "licence": found.licence,
        "terms": found.terms,
        "citation": found.citation,
        "url": found.url,
        "note": found.note,
        "fit": _fit_command(found, first),
    }
