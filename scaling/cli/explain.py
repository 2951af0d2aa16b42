"""``scaling explain CODE``."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Annotated

import typer

from scaling.cli.app import app
from scaling.cli.common import follow_up, print_json


def _completed(incomplete: str) -> Iterable[tuple[str, str]]:
    """Return the codes that begin so, with their titles, for the shell."""
    from scaling.codes import CODES

    small = incomplete.islower()
    offered = [(code.lower() if small else code, item.title) for code, item in CODES.items()]
    return [(code, title) for code, title in offered if code.startswith(incomplete)]


@app.command()
def explain(
    code: Annotated[
        list[str] | None,
        typer.Argument(
            help="A code such as SC102, or words of what it is about.",
            autocompletion=_completed,
            metavar="[CODE]",
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--list", help="List all codes, as without an argument.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable output.")] = False,
) -> None:
    """Say what a message code means, show such a message, and say how to mend it.

    scaling explain SC102

    scaling explain decimal comma     codes that these words are about
    """
    from scaling.codes import CODES, about, named, nearest
    from scaling.errors import ConfigError, Fault, clip

    asked = " ".join(code or ())
    codes = named(asked)
    unknown = [one for one in codes if one not in CODES]
    if every or not asked.strip():
        _list(list(CODES), as_json)
    elif unknown:
        near = nearest(unknown[0])
        mend = f'did you mean {near}, "{CODES[near].title}"?'
        raise ConfigError(Fault("SC004", "CODE", f'no code is "{clip(unknown[0])}"', "", mend))
    elif codes:
        _explain(codes, as_json)
    elif found := about(asked):
        _list(found, as_json, ranked=True)
    else:
        mend = "scaling explain --list shows all codes"
        raise ConfigError(Fault("SC004", "CODE", f'no code is about "{clip(asked)}"', "", mend))


def _explain(codes: Sequence[str], as_json: bool) -> None:
    """Print all that is known of codes."""
    from scaling.codes import CODES
    from scaling.errors import wrapped

    if as_json and len(codes) == 1:
        print_json({"schema": "scaling/code@1", "code": codes[0], **vars(CODES[codes[0]])})
        return
    if as_json:
        _list(codes, as_json)
        return
    for number, code in enumerate(codes):
        entry = CODES[code]
        lines = [f"{code}  {entry.title}", "", *wrapped(f"  {entry.cause}", "  "), ""]
        lines += ["  for example:", textwrap.indent(entry.example.rstrip(), "    "), ""]
        lines += wrapped(f"  mend: {entry.mend}", "    ")
        typer.echo("\n".join([""] * (number > 0) + lines))


def _list(codes: Sequence[str], as_json: bool, ranked: bool = False) -> None:
    """Print codes with their titles, below the headings of their ranges unless they are ranked."""
    from scaling.codes import CODES, in_ranges

    if as_json:
        entries = [{"code": code, **vars(CODES[code])} for code in codes]
        print_json({"schema": "scaling/codes@1", "codes": entries})
        return
    lines: list[str] = []
    for heading, own in ({"": codes} if ranked else in_ranges(codes)).items():
        lines += [""] * bool(lines) + [heading] * bool(heading)
        lines += [f"  {code}  {CODES[code].title}" for code in own]
    typer.echo("\n".join(lines))
    follow_up(f"scaling explain {codes[0]}")
