"""``scaling fit``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scaling.cli.app import app
from scaling.cli.common import DryRun, command_line, follow_up, number, pairs, talk, tell
from scaling.cli.reading import Group, Texts, read_runs, reads_runs, tell_reading

if TYPE_CHECKING:
    from scaling.fitting.result import Fits
    from scaling.runs.read import How
    from scaling.runs.table import RunsTable


@app.command()
@reads_runs
def fit(
    file: Annotated[
        Path,
        typer.Argument(help="A table of runs or a tracker's folder; - reads standard input."),
    ],
    law: Annotated[
        Texts, typer.Option("--law", help="Law to fit, or auto: weigh several; repeatable.")
    ] = None,
    formula: Annotated[
        Texts, typer.Option("--formula", help='A law of your own: "E + A/N**alpha"; repeatable.')
    ] = None,
    response: Annotated[
        str | None, typer.Option("--response", help="Column that the law gives; loss by default.")
    ] = None,
    approach: Annotated[
        Texts, typer.Option("--approach", help="surface, isoflop or envelope; repeatable.")
    ] = None,
    minimum: Annotated[
        str,
        typer.Option(
            "--minimum",
            help="isoFLOP curve: powers, parabola, cubic, quartic or spline.",
        ),
    ] = "powers",
    edge: Annotated[
        str, typer.Option("--edge", help="Minima at the edge of the sizes: refuse or keep.")
    ] = "refuse",
    resample: Annotated[
        str, typer.Option("--resample", help="isoFLOP intervals: noise or bootstrap.")
    ] = "noise",
    bins: Annotated[
        str | None,
        typer.Option("--bins", help="Envelope by bins of log C: COUNT or LOW:HIGH:COUNT."),
    ] = None,
    cost: Annotated[
        str | None,
        typer.Option("--cost", help="C for a and b: 6nd, table, or a formula such as 6*N*D."),
    ] = None,
    objective: Annotated[
        str, typer.Option("--objective", help="log-huber, huber, log-mse, mse or asymmetric.")
    ] = "log-huber",
    delta: Annotated[
        str, typer.Option("--delta", help="Huber's threshold, or auto: from the residuals.")
    ] = "1e-3",
    reduction: Annotated[str, typer.Option("--reduction", help="sum or mean.")] = "sum",
    holdout: Annotated[
        str | None, typer.Option("--holdout", help='Rows to predict instead: "C > 1e20".')
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", help="Row weights by expression.")
    ] = None,
    noise: Annotated[
        str | None, typer.Option("--noise", help="Each row's standard deviation, by expression.")
    ] = None,
    fix: Annotated[Texts, typer.Option("--fix", help="Hold a parameter: E=1.8.")] = None,
    bound: Annotated[Texts, typer.Option("--bound", help="Bounds: alpha=0.1:0.9.")] = None,
    group: Group = None,
    bootstrap: Annotated[
        int, typer.Option("--bootstrap", min=0, help="Bootstrap replicates; 0 for none.")
    ] = 1000,
    interval: Annotated[float, typer.Option("--interval", help="Level of intervals.")] = 0.95,
    method: Annotated[
        str, typer.Option("--interval-method", help="pairs, wild (bootstraps) or delta.")
    ] = "pairs",
    profile: Annotated[
        Texts, typer.Option("--profile", help="Trace the profile of a parameter, or all.")
    ] = None,
    share: Annotated[
        Texts, typer.Option("--share", help="Parameter that is the same in every group.")
    ] = None,
    effective: Annotated[
        str | None,
        typer.Option(
            "--effective",
            help="What other groups are worth in data of --reference: multiplier or transfer.",
        ),
    ] = None,
    reference: Annotated[
        str | None, typer.Option("--reference", help="With --effective: the group that measures.")
    ] = None,
    sensitivity: Annotated[
        bool,
        typer.Option("--sensitivity", help="Fit again in 50 ways: what the method alone moves."),
    ] = False,
    backtest: Annotated[
        bool | None,
        typer.Option(
            "--backtest/--no-backtest",
            help="Score laws on larger runs than they saw; by default with a bootstrap.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the bootstrap.")] = 0,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Write fit.json there.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable output.")] = False,
    full: Annotated[bool, typer.Option("--full", help="With --json: rows and draws too.")] = False,
    dry_run: DryRun = False,
    *,
    how: How,
) -> None:
    """Fit a law to a table of runs, with intervals and what limits them.

    scaling fit results.csv

    scaling fit results.csv --where "loss < 4" --holdout "C > 1e19" -o held.json

    scaling fit curve.csv --law auto -o auto.json

    scaling fit recipes.csv --group recipe --effective multiplier --reference old
    """
    from dataclasses import replace

    from scaling.cli.additional import next_of
    from scaling.errors import ConfigError, Fault
    from scaling.fitting.analyse import Ways, analyse, needs_a_loss
    from scaling.fitting.effective import asked
    from scaling.fitting.options import Options
    from scaling.laws.formula import from_formula
    from scaling.runs.files import refuse_existing
    from scaling.runs.learning import curves_in
    from scaling.runs.provenance import commit

    if out is not None:
        refuse_existing(out, force)
        refuse_existing(out.with_suffix(".npz"), force)  # where very many rows go
    options = Options(
        objective,
        delta if delta == "auto" else number("--delta", delta),
        reduction,
        bootstrap,
        interval,
        seed,
        {k: number(f"--fix {k}", v) for k, v in pairs("--fix", fix or []).items()},
        {k: _bounds(k, v) for k, v in pairs("--bound", bound or []).items()},
        holdout,
        weights,
        noise,
        method,
        response,
        tuple(profile or []),
        tuple(share or []),
        cost,
    )
    approaches = approach or None
    if bins is not None and "envelope" not in (approaches or []):
        raise ConfigError(Fault("SC004", "--bins", bins, "with --approach envelope"))
    worth = asked(effective, reference)
    table = read_runs(
        file,
        replace(
            how,
            group=group,
            needs_loss=needs_a_loss(law or [], response),
            curves="envelope" in (approaches or []),
        ),
    )
    laws: list[Any] = [*(law or [])]
    laws += [from_formula(text, map(str, table.frame), response) for text in formula or []]
    fits = analyse(
        table,
        laws=laws,
        approaches=approaches or _default_approaches(table),
        group=group,
        options=options,
        ways=Ways(minimum, edge, resample, _bins(bins)),
        sensitivity=sensitivity,
        backtest=backtest,
        effective=worth,
        command=command_line(),
    )
    if file.is_dir() and not fits.curves:
        fits = replace(fits, curves=curves_in(file))
    if out is not None and not dry_run:
        known: dict[str, Any] = {"commit": commit(seconds=2.0)}
        if str(file) != "-":
            known["next"] = next_of(file, table, fits, None, group)
        fits = replace(fits, provenance={**fits.provenance, **known})
        fits.save(out)
    if as_json:
        typer.echo(fits.to_json(full=full), nl=False)
    else:
        show(table, fits)
    if out is not None and dry_run:
        talk(f"would write {out}")
    elif out is not None:
        talk(f"wrote {out}")
        follow_up(f"scaling report {out} -o report.html")
    refused = [item for item in fits.fits if not item.identified]
    for item in refused if as_json else []:
        tell(m for m in item.messages if m.severity == "error")
    nothing = not fits.fits and not any(a.line for a in fits.allocations)
    if refused or nothing:
        raise typer.Exit(4)


def _bins(text: str | None) -> int | tuple[float, float, int] | None:
    """Read ``COUNT`` or ``LOW:HIGH:COUNT``."""
    from scaling.errors import ConfigError, Fault

    if text is None:
        return None
    parts = [number("--bins", part) for part in text.split(":")]
    count = parts[-1]
    if len(parts) not in (1, 3) or count != int(count):
        raise ConfigError(Fault("SC004", "--bins", f'"{text}"', "COUNT, or LOW:HIGH:COUNT"))
    return int(count) if len(parts) == 1 else (parts[0], parts[1], int(count))


def _bounds(name: str, text: str) -> tuple[float, float]:
    from scaling.errors import ConfigError, Fault

    low, sign, high = text.partition(":")
    if not sign:
        raise ConfigError(Fault("SC004", f"--bound {name}", f'"{text}"', "LOW:HIGH"))
    return number("--bound", low), number("--bound", high)


def _default_approaches(table: RunsTable) -> list[str]:
    """The surface; isoFLOP too where the table carries planned budgets."""
    planned = "budget" in table.frame and {"N", "D", "C"} <= set(table.frame)
    return ["surface", "isoflop"] if planned else ["surface"]


def show(table: RunsTable | None, fits: Fits) -> None:
    """Print how the table was read, unless it is None, then every fit and allocation."""
    from scaling.errors import Message
    from scaling.fitting.summary import summarise_allocation

    tell_reading([] if table is None else [table])
    for item in fits.fits:
        typer.echo(item.summary())
    for allocation in fits.allocations:
        if allocation.approach != "surface":
            typer.echo(summarise_allocation(allocation))
    for found in fits.effective:
        typer.echo(found.summary())
    tell(Message.from_dict(m) for row in fits.laws for m in row.get("messages", []))
