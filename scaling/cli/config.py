"""``scaling config``: what files and the environment set, and where each setting came from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from scaling.cli.app import app
from scaling.cli.common import print_json, talk
from scaling.cli.settings import commands, current, options

BUILT_IN = "built-in"


@app.command()
def config(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[show] COMMAND", help="Only of this command, such as sweep run."),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every option, those that nothing sets included.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable output.")] = False,
) -> None:
    """List the defaults of options that files and the environment set, with their origins.

    scaling config

    scaling config sweep run --all

    The command line goes before a variable (SCALING_SWEEP_RUN_WORKERS=2), this before
    ./scaling.toml, this before the user's file, which SCALING_CONFIG names. In a file, the section
    [sweep.run] holds options of sweep run, such as workers = 2.
    """
    root = ctx.find_root().command
    leaves = _chosen(dict(commands(root)), [w for w in words or [] if w != "show"])
    found = current()
    rows = list(_rows(leaves, every))
    if as_json:
        files = [{"path": file.path, "found": file.there} for file in found.files]
        told = ("code", "where", "found", "expected", "mend")
        faults = [{name: getattr(fault, name) for name in told} for fault in found.faults]
        print_json({"schema": "scaling/config@1", "settings": rows, "files": files,
                    "faults": faults})  # fmt: skip
    else:
        names = [f"[{row['section']}] {row['option']}" for row in rows]
        texts = [f"{name} = {row['text']}" for name, row in zip(names, rows, strict=True)]
        width = min(max(map(len, texts), default=0), 48)
        for text, row in zip(texts, rows, strict=True):
            typer.echo(f"{text:{width}}  {row['origin']}")
        if not rows:
            talk("nothing is set: every option has its built-in default")
        for file in found.files:
            talk(f"looked at {file.path}" + ("" if file.there else ": not there"))
        for fault in found.faults:
            talk(fault.render())
    if found.faults:
        raise typer.Exit(2)


def _chosen(leaves: dict[str, Any], words: list[str]) -> dict[str, Any]:
    """The commands whose words begin with these."""
    from scaling.errors import ConfigError, Fault

    given = " ".join(words)
    kept = {n: c for n, c in leaves.items() if not given or f"{n} ".startswith(f"{given} ")}
    if not kept:
        expected = "words of a command, such as fit or sweep run"
        raise ConfigError(Fault("SC004", "COMMAND", f'no command "{given}"', expected))
    return kept


def _rows(leaves: dict[str, Any], every: bool) -> Iterator[dict[str, Any]]:
    """One row an option, its strongest setting first of all."""
    for command, leaf in leaves.items():
        known = current().of(command)
        for option, parameter in options(leaf).items():
            setting = known.get(str(parameter.name))
            if setting is None and not every:
                continue
            default = parameter.default if setting is None else setting.value
            value = str(default) if isinstance(default, Path) else default
            yield {
                "section": command.replace(" ", "."),
                "option": option,
                "value": value,
                "text": _spelt(value) if setting is None else setting.text,
                "origin": BUILT_IN if setting is None else setting.origin,
            }


def _spelt(value: Any) -> str:
    import json

    return "none" if value is None else json.dumps(value, ensure_ascii=False, default=str)
