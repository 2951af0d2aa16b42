"""``scaling explain CODE``."""

from __future__ import annotations

from typing import Annotated

import typer

from scaling.cli.app import app
from scaling.cli.common import print_json


@app.command()
def explain(
    code: Annotated[str, typer.Argument(help="A code such as SC102.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable output.")] = False,
) -> None:
    """Say what a message code means, and how to mend its cause."""
    from scaling.codes import CODES
    from scaling.errors import ConfigError, Fault, wrapped

    key = code.upper()
    if key not in CODES:
        raise ConfigError(
            Fault("SC004", "CODE", f'"{code}" is not a code', f"{min(CODES)} to {max(CODES)}")
        )
    entry = CODES[key]
    if as_json:
        print_json({"schema": "scaling/code@1", "code": key, **vars(entry)})
        return
    lines = [f"{key}  {entry.title}", *wrapped(f"  {entry.cause}", "  ")]
    typer.echo("\n".join([*lines, *wrapped(f"  mend: {entry.mend}", "    ")]))
