"""``scaling study``: the whole chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scaling.cli.app import app
from scaling.cli.common import DryRun, command_line, talk
from scaling.cli.sweep import Deadline, Device, EngineName, How, ProfileName, Track, Workers, train

if TYPE_CHECKING:
    from scaling.fitting.result import Fits
    from scaling.planning.sections import DataSection, DesignSection, Study
    from scaling.planning.sections_fit import FitSection
    from scaling.runs.table import RunsTable

SURFACE = {"N", "D", "C", "loss"}  # what minima of budgets are looked for in


@app.command()
def study(
    file: Annotated[
        Path | None,
        typer.Argument(help="Study file; ./study.toml if left out.", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for everything.")] = Path("out"),
    engine: EngineName = None,
    workers: Workers = None,
    device: Device = None,
    profile: ProfileName = None,
    track: Track = None,
    pdf: Annotated[
        bool, typer.Option("--pdf/--no-pdf", help="Write report.pdf too, where typst is there.")
    ] = True,
    deadline: Deadline = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Shrink the study to seconds, for tests.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Plan, train, fit and report a study; running it again continues.

    scaling study sweeps/quickstart.toml -o out/quickstart
    """
    from scaling.cli.additional import next_in, next_of
    from scaling.cli.fit import show
    from scaling.cli.places import study_file
    from scaling.cli.report import write_report
    from scaling.cli.stages import prepare, pretrain, rehearse, tuned_in
    from scaling.fitting.analyse import combine
    from scaling.fitting.effective import asked
    from scaling.planning.study import read_study, shrink
    from scaling.plans import plan_of
    from scaling.runs.learning import curves_in
    from scaling.runs.provenance import commit
    from scaling.runs.read import describe

    how = How.of(engine, workers, device, profile, track, deadline)
    file = study_file(file)
    checked = read_study(file)
    for section in checked.fit:
        asked(section.effective, section.reference)  # before anything is trained
    if smoke:
        checked, out = shrink(checked), out / "smoke"
    table = out / "results.csv"
    if checked.data.table is None:
        if dry_run:
            rehearse(plan_of(checked, file.parent, tuned=tuned_in(out, checked)), out)
            return
        prepare(checked, file.parent, out, lambda place: train(place, how))
        pretrain(out, lambda place, ids: train(place, how, (), ids))
        train(out, how)
    else:
        table = _table(checked.data, checked.data.table, file.parent)
        if dry_run:
            talk(f"would fit {table} and write fit.json and a report to {out}")
            return
    made = [_fit(section, table, checked) for section in checked.fit]
    told: tuple[Any, ...] = ()
    for read, found in made:
        reading = (describe(read), read.messages)
        show(None if reading == told else read, found)
        told = reading
    pairs = list(zip(checked.fit, [found for _, found in made], strict=True))
    fits = combine([found for section, found in pairs if section.report])
    following = (
        next_in(out)
        if checked.data.table is None
        else next_of(table, *made[0], checked.study.target_flops, checked.fit[0].group)
    )
    more: dict[str, Any] = {"next": following, "commit": commit(seconds=2.0), "study": _file(file)}
    if checked.data.table is None:
        more |= _history(out, checked)
        fits = replace(fits, curves=curves_in(out) or fits.curves)
    small = smoke and checked.design is not None
    printed = [] if small else _printed(checked, pairs)
    more["names"] = [s.name for s, found in pairs if s.report for _ in found.fits]
    if printed:
        more["printed"] = printed
    fits = replace(fits, provenance={**fits.provenance, **more})
    fits.save(out / "fit.json")
    write_report(
        fits,
        _targets(out, pdf),
        checked.model_dump(mode="json", by_alias=True, exclude_unset=True),
        checked.report.title,
        checked.study.target_flops,
    )
    if smoke:
        talk("a run in small, to see the chain work: its figures mean nothing")
    if any(not row["agrees"] for row in printed):
        raise typer.Exit(1)
    if not small and any(not item.identified for item in fits.fits):
        raise typer.Exit(4)


def _file(path: Path) -> dict[str, str]:
    """Name and fingerprint of the study file."""
    import hashlib

    return {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _table(data: DataSection, name: str, folder: Path) -> Path:
    """Return where the finished table lies: beside the study, or where fetched tables are."""
    from scaling.runs.public import at_hand

    return folder / name if data.public is None else at_hand(data.public, name)


def _printed(study: Study, pairs: Sequence[tuple[FitSection, Fits]]) -> list[dict[str, Any]]:
    """Hold the fits against the figures that were printed, and print both."""
    from scaling.fitting.printed import Printed, compare_with_printed
    from scaling.fitting.summary import summarise_printed

    if not study.printed:
        return []
    figures = [Printed(**figure.model_dump()) for figure in study.printed]
    rows = compare_with_printed([(section.name, part) for section, part in pairs], figures)
    typer.echo(summarise_printed(rows))
    return rows


def _history(out: Path, checked: Study) -> dict[str, Any]:
    """What a report says of how the runs came about: their cost, and the rate that was tuned."""
    import json

    from scaling.cli.stages import tuned_in
    from scaling.runs.costs import costs_of, software_of

    tuned = tuned_in(out, checked)
    found: dict[str, Any] = {"costs": costs_of(out), "training": software_of(out)}
    if tuned is not None:
        settled = json.loads(tuned.read_text(encoding="utf-8"))
        found["tuned"] = {k: v for k, v in settled.items() if k != "section"}
    return found


def _approaches(section: FitSection, design: DesignSection | None) -> Sequence[str]:
    """How minima are looked for: those of budgets only where the design has some."""
    if "approach" in section.model_fields_set or design is None or design.budgets:
        return section.approach
    return ["surface"]


def _fit(section: FitSection, path: Path, study: Study) -> tuple[RunsTable, Fits]:
    """Fit the results as one section of the study asks."""
    from scaling.fitting.analyse import Ways, analyse, needs_a_loss
    from scaling.fitting.effective import asked
    from scaling.laws.formula import from_formula
    from scaling.runs.read import read_table

    data, approaches = study.data, _approaches(section, study.design)
    conditions = [text for text in (data.where, section.where) if text is not None]
    laws: list[Any] = [*section.laws]
    worth = asked(section.effective, section.reference)
    table = read_table(
        path,
        needs_loss=needs_a_loss(laws, section.response),
        maps={**data.map, **section.map},
        convention=data.convention,
        where=" and ".join(f"({text})" for text in conditions) or None,
        curves="envelope" in approaches,
        final=data.final_only and "envelope" not in approaches,
        melt=(data.melt[0], data.melt[1]) if data.melt is not None else None,
        group=section.group,
    )
    if "approach" not in section.model_fields_set and not set(table.frame) >= SURFACE:
        approaches = [a for a in approaches if a != "isoflop"]  # a curve has no minima
    if section.formula is not None:
        laws.append(from_formula(section.formula, map(str, table.frame), section.response))
    found = analyse(
        table,
        laws=laws,
        approaches=approaches,
        group=section.group,
        options=section.options(),
        ways=Ways(section.minimum, section.edge, bins=_bins(section.bins)),
        sensitivity=section.sensitivity,
        backtest=section.backtest,
        effective=worth,
        command=command_line(),
    )
    return table, found


def _bins(given: int | list[float] | None) -> int | tuple[float, float, int] | None:
    """Read a number of bins, or the ends of log C and a number."""
    from scaling.errors import ConfigError, Fault

    if given is None or isinstance(given, int):
        return given
    low, high, count = given
    if count != int(count):
        raise ConfigError(Fault("SC004", "bins", f"{count:g} bins", "LOW, HIGH and a whole number"))
    return low, high, int(count)


def _targets(out: Path, pdf: bool) -> list[Path]:
    import importlib.util

    targets = [out / "report.html"]
    able = all(importlib.util.find_spec(name) for name in ("typst", "pikepdf"))
    if pdf and able:
        targets.append(out / "report.pdf")
    elif pdf:
        talk("no PDF: pip install 'scaling-study[pdf]'")
    return targets
