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
    from scaling.laws import LAWS, PROCEDURES, installed

    found = [*LAWS.values(), *installed()]
    if as_json:
        procedures = [{"name": name, "title": title} for name, title in PROCEDURES.items()]
        rows = [_row(law) for law in found]
        print_json({"schema": "scaling/laws@1", "laws": rows, "procedures": procedures})
        return
    for law in found:
        typer.echo(f"{law.name:<20} {law.title}")
    typer.echo("\nFitted by name like a law, but procedures, which weigh several of them:")
    for name, title in PROCEDURES.items():
        typer.echo(f"{name:<20} {title}")
    typer.echo("\nscaling laws show NAME prints the formula, its parameters and its source.")


@laws_app.command("show")
def show_law(
    name: Annotated[str, typer.Argument(help="Name of a law, or auto.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable output.")] = False,
) -> None:
    """Show a law: formula, parameters with bounds, reference, published values."""
    from scaling.laws import PROCEDURES, get

    if name in PROCEDURES:
        _show_procedure(name, as_json)
        return
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


def _show_procedure(name: str, as_json: bool) -> None:
    """Say what a procedure does and which laws take part."""
    from scaling.fitting.auto.listing import candidates_of
    from scaling.laws import PROCEDURES

    candidates = candidates_of(name)
    if as_json:
        rows = {
            reads: [{"law": c.law.name, "future": c.future} for c in some]
            for reads, some in candidates.items()
        }
        title = PROCEDURES[name]
        print_json({"schema": "scaling/procedure@1", "name": name, "title": title, "laws": rows})
        return
    typer.echo(
        f"{name}: {PROCEDURES[name]}\n  A procedure, not a law: it has no formula of its own."
    )
    typer.echo(
        "  Each candidate is fitted below several origins, under several kinds of noise,\n"
        "  and is weighted by how well it forecast the runs beyond them and by its\n"
        "  evidence. Intervals are draws of weighted laws, widened by the errors of those\n"
        "  forecasts."
    )
    if name == "auto":
        typer.echo(
            "  Reads N and D where both take three values or more, else the one that\n"
            "  varies; C where N and D go up together. auto-N, auto-D and auto-C force a\n"
            "  curve in one."
        )
    for reads, some in candidates.items():
        typer.echo(f"  candidates that read {reads}")
        for c in some:
            typer.echo(f"    {c.law.name:<13} {c.future:<11} {c.law.formula}")
    typer.echo(f"\n  scaling fit FILE --law {name}")


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
