"""What commands that read runs share: how to read them, and asking where a reading is open."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from scaling.cli.common import pairs, talk, tell

if TYPE_CHECKING:
    from scaling.runs.detect import AmbiguousColumns
    from scaling.runs.importers.base import Imported
    from scaling.runs.read import How
    from scaling.runs.table import RunsTable

Texts = list[str] | None

Group = Annotated[str | None, typer.Option("--group", help="Column to split by; group by default.")]


def _options(
    maps: Annotated[
        Texts,
        typer.Option("--map", help="Column by expression: N=params_body+params_head; repeatable."),
    ] = None,
    convention: Annotated[
        str | None, typer.Option("--convention", help="What N counts, in your words.")
    ] = None,
    where: Annotated[
        Texts, typer.Option("--where", help='Rows to use: "loss < 3.4"; of several all hold.')
    ] = None,
    final: Annotated[
        bool, typer.Option("--final-only", help="Of each run only the last row, if it has several.")
    ] = False,
    decimal: Annotated[str, typer.Option("--decimal", help="Decimal mark: . or ,")] = ".",
    thousands: Annotated[
        str, typer.Option("--thousands", help="Separator of thousands, such as , or a space.")
    ] = "",
    kind: Annotated[
        str | None,
        typer.Option("--from", help="Format or tracker, where the content does not tell it."),
    ] = None,
    melt: Annotated[
        str | None,
        typer.Option("--melt", help="Wide table: D=loss makes number headers D, their cells loss."),
    ] = None,
) -> How:
    """Gather the options that every command which reads runs has.

    Raises
    ------
    ConfigError
        SC004 for an option that cannot be used.
    """
    from scaling.errors import ConfigError, Fault
    from scaling.runs.numbers import Dialect
    from scaling.runs.read import How

    if decimal not in (".", ","):
        raise ConfigError(Fault("SC004", "--decimal", f'"{decimal}"', ". or ,"))
    if thousands not in ("", ",", ".", " ", "'", "_") or thousands == decimal:
        expected = "one of , . ' _ or a space, and not the decimal mark"
        raise ConfigError(Fault("SC004", "--thousands", f'"{thousands}"', expected))
    return How(
        pairs("--map", maps or []),
        convention,
        _all_of(where or []),
        final=final,
        dialect=Dialect(decimal, thousands),
        kind=kind,
        melt=next(iter(pairs("--melt", [melt]).items())) if melt is not None else None,
    )


def _all_of(conditions: list[str]) -> str | None:
    """Join conditions that must all hold."""
    if len(conditions) < 2:
        return conditions[0] if conditions else None
    return " and ".join(f"({text})" for text in conditions)


def reads_runs(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of reading; it receives them as one `How` called ``how``."""
    hints: dict[str, Any] = {}
    signature: list[inspect.Parameter] = []
    for function in (command, _options):
        names = {"How": Any} | globals()
        known = get_type_hints(function, function.__globals__, names, include_extras=True)
        for name, parameter in inspect.signature(function).parameters.items():
            if name != "how":
                hints[name] = known[name]
                signature.append(parameter.replace(annotation=known[name]))

    @functools.wraps(command)
    def with_options(**given: Any) -> None:
        asked = {name: given.pop(name) for name in inspect.signature(_options).parameters}
        command(**given, how=_options(**asked))

    del with_options.__wrapped__  # its signature is not this one's
    with_options.__annotations__ = hints
    with_options.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]
    return with_options


def stored_fit(source: Path) -> Path | None:
    """Path of the stored fit that a source is or holds; None if it is runs.

    A study's folder that was not fitted yet is no source of runs here: its ``fit.json`` is missed.
    """
    if source.is_dir():
        holds = (source / "fit.json").exists() or (source / "plan.jsonl").exists()
        return source / "fit.json" if holds else None
    if source.suffix != ".json":
        return None
    try:
        with source.open("rb") as handle:
            head = handle.read(256).lstrip()
    except OSError:
        return source
    runs = head[:1] == b"[" or (b'"schema"' not in head and source.name != "fit.json")
    return None if runs and len(head) > 2 else source


def read_runs(source: Path, options: How) -> RunsTable:
    """Read and check runs; on a terminal the user is asked which of several columns is meant."""
    from dataclasses import replace

    from scaling.runs.importers.registry import open_source
    from scaling.runs.read import checked, melted

    found = open_source("-" if str(source) == "-" else source, options.kind)
    if options.melt is not None:
        found, options = melted(found, *options.melt), replace(options, melt=None)
    table: RunsTable = settle(lambda chosen: checked(found, chosen), options, found)
    return table


def settle(read: Any, options: How, found: Imported) -> Any:
    """Call `read`, asking for what it finds ambiguous as long as somebody is there to answer."""
    from dataclasses import replace

    from scaling.runs.detect import AmbiguousColumns

    asked: dict[str, str] = {}
    while True:
        try:
            result = read(replace(options, maps={**options.maps, **asked}))
        except AmbiguousColumns as error:
            if not (sys.stdin.isatty() and sys.stderr.isatty()):
                raise
            asked |= _ask(error, found)
            continue
        if asked:
            chosen = " ".join(f"--map '{role}={text}'" for role, text in asked.items())
            talk(f"  the same without a question: {chosen}")
        return result


def _ask(error: AmbiguousColumns, found: Imported) -> dict[str, str]:
    """Let the user pick a column for each ambiguous role."""
    from scaling.errors import clip
    from scaling.runs.detect import map_text

    answers = {}
    for fault, (role, headers) in zip(error.faults, error.choices.items(), strict=True):
        talk(f"{fault.where}  {fault.found}:")
        for number, header in enumerate(headers, start=1):
            cells = list(found.cells[header].iloc[:3]) if header in found.cells else []
            shown = ", ".join(str(cell)[:12] for cell in cells)
            talk(f"  {number}  {clip(header, 40)}: {shown}, …")
        text = _picked(role, headers)
        answers[role] = map_text(role, text) if text in headers else text
    return answers


def _picked(role: str, headers: tuple[str, ...]) -> str:
    """Ask until the answer is one of the numbers, or one of the columns."""
    while True:
        text = str(typer.prompt(f"Which is {role}? 1-{len(headers)}", err=True)).strip()
        if text in headers or any(mark in text for mark in "+-*/"):
            return text
        if text.isdecimal() and 1 <= int(text) <= len(headers):
            return headers[int(text) - 1]
        talk(f"  a number from 1 to {len(headers)}, a column, or a sum such as {headers[0]}+…")


def tell_reading(tables: Iterable[RunsTable]) -> None:
    """Say how tables were read, and what to look at."""
    from scaling.runs.read import describe

    for table in tables:
        for line in describe(table):
            talk(line)
        tell(table.messages)
