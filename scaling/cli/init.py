"""``scaling init``: a study to begin with."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scaling.cli.app import app
from scaling.cli.common import print_json, talk

if TYPE_CHECKING:
    from scaling.cli.templates import Template


def _complete(begun: str) -> list[tuple[str, str]]:
    """Names of templates that begin so, for a shell."""
    from scaling.cli.templates import templates

    return [(t.name, t.question) for t in templates().values() if t.name.startswith(begun)]


@app.command()
def init(
    folder: Annotated[
        Path, typer.Argument(help="Where to write; it is made if it is not there.")
    ] = Path(),
    template: Annotated[
        str,
        typer.Option(
            "--template", "-t", help="Which study; --list names them.", autocompletion=_complete
        ),
    ] = "quickstart",
    listed: Annotated[
        bool, typer.Option("--list", help="List the templates: question and cost of each.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable output.")] = False,
) -> None:
    """Write a study.toml to begin with, and the files it needs.

    scaling init

    scaling init mine --template table

    Templates are the ready-made studies, and studies of what is one's own: a table of runs (table),
    a law by its formula (law), a task in a file of Python (task).
    """
    from scaling.cli.templates import templates
    from scaling.runs.files import check_writable, refuse_existing, write_atomic

    if listed:
        _list(list(templates().values()), as_json)
        return
    chosen = _named(template)
    files = {folder / name: text for name, text in chosen.written().items()}
    for path in files:
        refuse_existing(path, force, "name another folder, or --force to replace it")
    for path in files:
        check_writable(path)
    for path, text in files.items():
        write_atomic(path, text)
    following = _next(chosen, folder)
    if as_json:
        print_json({"schema": "scaling/init@1", "template": chosen.name,
                    "files": [str(path) for path in files], "next": following})  # fmt: skip
        return
    for path in files:
        typer.echo(path)
    talk(f"{chosen.name}: {chosen.question}")
    talk(f"cost: {chosen.cost}")
    if chosen.note:
        talk(chosen.note)
    for line in following:
        talk(f"Next: {line}")


def _list(known: list[Template], as_json: bool) -> None:
    if as_json:
        rows = [{"name": t.name, "question": t.question, "cost": t.cost,
                 "files": [*t.files, *([t.drawn["file"]] if t.drawn else [])]}
                for t in known]  # fmt: skip
        print_json({"schema": "scaling/templates@1", "templates": rows})
        return
    from scaling.errors import wrapped

    width = max(len(t.name) for t in known)
    for t in known:
        line = f"{t.name:{width}}  {t.question} Cost: {t.cost}."
        typer.echo("\n".join(wrapped(line, " " * (width + 2))))


def _named(name: str) -> Template:
    """The template of that name."""
    import difflib

    from scaling.cli.templates import templates
    from scaling.errors import ConfigError, Fault, clip
    from scaling.errors import listed as all_of

    known = templates()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, 1, 0.5)
    mend = f"did you mean {near[0]}?" if near else "scaling init --list"
    expected = all_of(known, len(known))
    raise ConfigError(Fault("SC004", "--template", f'no template "{clip(name)}"', expected, mend))


def _next(chosen: Template, folder: Path) -> list[str]:
    """What to do with what was written."""
    import importlib.util

    steps = list(chosen.next)
    if chosen.trains and importlib.util.find_spec("torch") is None:
        steps.insert(0, "pip install 'scaling-study[train]'")
    if folder.resolve() != Path.cwd():
        steps.insert(0, f"cd {shlex.quote(str(folder))}")
    return steps
