"""``scaling study``: the whole chain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scaling.cli.app import app
from scaling.cli.common import command_line, talk, tell

if TYPE_CHECKING:
    pass


@app.command()
def study(
    file: Annotated[Path, typer.Argument(help="Study file.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for everything.")] = Path("out"),
    engine: Annotated[str | None, typer.Option("--engine", help="local or debug.")] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Worker processes; one a core.")
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu or cuda.")] = None,
    pdf: Annotated[
        bool, typer.Option("--pdf/--no-pdf", help="Write report.pdf too, where typst is there.")
    ] = True,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Shrink the study to seconds, for tests.")
    ] = False,
) -> None:
    """Plan, train, fit and report a study; running it again continues.

    scaling study sweeps/quickstart.toml -o out/quickstart
    """
    from scaling.cli.fit import show
    from scaling.cli.report import write_report
    from scaling.cli.sweep import planned_of, train
    from scaling.fitting.analyse import analyse
    from scaling.fitting.fit import Options
    from scaling.planning.study import read_study, shrink
    from scaling.runs.read import read_table

    checked = read_study(file)
    if smoke:
        checked, out = shrink(checked), out / "smoke"
    if checked.data.table is None:
        planned = planned_of(checked)
        tell([*planned.messages, *planned.write(out)])
        train(out, engine, workers, device, [])
        table = read_table(out / "results.csv", where=checked.fit[0].where)
    else:
        data = checked.data
        table = read_table(
            file.parent / str(data.table),
            maps=data.map,
            convention=data.convention,
            where=data.where,
        )
    wanted = checked.fit[0]
    options = Options(
        wanted.objective,
        wanted.delta,
        wanted.reduction,
        wanted.bootstrap,
        wanted.interval,
        wanted.seed,
        holdout=wanted.holdout,
    )
    laws = [f.law for f in checked.fit if f.law is not None]
    fits = analyse(
        table,
        laws=laws,
        approaches=wanted.approach,
        group=wanted.group,
        options=options,
        minimum=wanted.minimum,
        command=command_line(),
    )
    fits.save(out / "fit.json")
    show(table, fits)
    write_report(
        fits,
        _targets(out, pdf),
        checked.model_dump(mode="json", by_alias=True),
        checked.report.title,
        checked.study.target_flops,
    )
    if any(not item.identified for item in fits.fits):
        raise typer.Exit(4)


def _targets(out: Path, pdf: bool) -> list[Path]:
    import importlib.util

    targets = [out / "report.html"]
    if pdf and importlib.util.find_spec("typst") is not None:
        targets.append(out / "report.pdf")
    elif pdf:
        talk("no PDF: pip install 'scaling-study[pdf]'")
    return targets
