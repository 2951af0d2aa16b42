"""``scaling laws list|show``."""

from __future__ import annotations

from typing import Annotated

import typer

from scaling.cli.app import laws_app
from scaling.cli.common import print_json


@laws_app.command("list")
def list_laws(
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable output.")] = False,
) -> None:
    """List the laws by name, formula and reference."""
    from scaling.laws import LAWS

    if as_json:
        rows = [
            {
                "name": x.name,
                "formula": x.formula,
                "variables": list(x.variables),
                "reference": x.reference,
            }
            for x in LAWS.values()
        ]
        print_json({"schema": "scaling/laws@1", "laws": rows})
        return
    for x in LAWS.values():
        typer.echo(f"{x.name:<12} {x.formula}")


@laws_app.command("show")
def show_law(
    name: Annotated[str, typer.Argument(help="Name of a law.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable output.")] = False,
) -> None:
    """Show a law: formula, parameters with bounds, reference, published values."""
    from scaling.laws import get

    x = get(name)
    if as_json:
        print_json(
            {
                "schema": "scaling/law@1",
                "name": x.name,
                "formula": x.formula,
                "reference": x.reference,
                "parameters": [p.name for p in x.parameters],
                "published": [
                    {"source": p.source, "params": dict(p.params), "convention": p.convention}
                    for p in x.published
                ],
            }
        )
        return
    typer.echo(f"{x.name}: {x.title}\n  {x.formula}\n  {x.reference}")
    for p in x.parameters:
        typer.echo(f"  {p.name:<6} {p.role:<9} [{p.low:g}, {p.high:g}]  {p.meaning}")
    for q in x.published:
        values = ", ".join(f"{k} {v:.6g}" for k, v in q.params.items())
        typer.echo(f"  {q.source}: {values}\n    {q.convention}; {q.interval}. {q.note}".rstrip())
