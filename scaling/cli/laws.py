"""``scaling laws list|show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from scaling.cli.app import laws_app
from scaling.cli.common import print_json

if TYPE_CHECKING:
    from scaling.laws import Law


@laws_app.command("list")
def list_laws(
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable output.")] = False,
) -> None:
    """List the laws by name, with what they give and need."""
    from scaling.laws import LAWS, installed

    found = [*LAWS.values(), *installed()]
    if as_json:
        print_json({"schema": "scaling/laws@1", "laws": [_row(law) for law in found]})
        return
    for law in found:
        typer.echo(f"{law.name:<20} {law.title}")
    typer.echo("\nscaling laws show NAME prints the formula, its parameters and its source.")


@laws_app.command("show")
def show_law(
    name: Annotated[str, typer.Argument(help="Name of a law.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable output.")] = False,
) -> None:
    """Show a law: formula, parameters with bounds, reference, published values."""
    from scaling.laws import get

    law = get(name)
    if as_json:
        published = [
            {"source": p.source, "params": dict(p.params), "convention": p.convention}
            for p in law.published
        ]
        print_json({"schema": "scaling/law@1", **_row(law), "published": published})
        return
    typer.echo(f"{law.name}: {law.title}\n  {law.response} = {law.formula}")
    typer.echo(f"  reads {', '.join(law.variables)}\n  {law.reference}")
    for p in law.parameters:
        typer.echo(f"  {p.name:<9} {p.role:<9} {_bounds(p.low, p.high):<15} {p.meaning}")
    for q in law.published:
        values = ", ".join(f"{k} {v:.6g}" for k, v in q.params.items())
        typer.echo(f"  {q.source}: {values}\n    {q.convention}; {q.interval}. {q.note}".rstrip())


def _row(law: Law) -> dict[str, Any]:
    return {
        "name": law.name,
        "title": law.title,
        "formula": law.formula,
        "response": law.response,
        "variables": list(law.variables),
        "parameters": [p.name for p in law.parameters],
        "reference": law.reference,
    }


def _bounds(low: float, high: float) -> str:
    """Write bounds; those that only keep arithmetic finite count as none."""
    if low >= 0 and high >= 1e50:
        return "0 or more" if low == 0 else "above 0"
    if low == -high and high >= 1e3:
        return "any"
    return f"{low:g} to {high:g}"
