"""``scaling report``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scaling.cli.app import app
from scaling.cli.common import DryRun, command_line, talk
from scaling.cli.reading import read_runs, reads_runs, stored_fit, tell_reading

if TYPE_CHECKING:
    from scaling.fitting.result import Fits
    from scaling.runs.read import How


@dataclass(frozen=True)
class Look:
    """How a report looks: the theme of its figures, and a template of the page."""

    theme: str = "paper"
    template: Path | None = None


@app.command()
@reads_runs
def report(
    source: Annotated[
        Path, typer.Argument(help="fit.json, a CSV of runs, or a study's output folder.")
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Target: .html, .pdf, .md, .txt or .json.")
    ] = Path("report.html"),
    pdf: Annotated[Path | None, typer.Option("--pdf", help="Write a PDF too.")] = None,
    target_flops: Annotated[
        float | None, typer.Option("--target-flops", help="Compute that the question is about.")
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="Title of the report.")] = None,
    theme: Annotated[
        str, typer.Option("--theme", help="Of figures: paper, talk, serif, or matplotlib's.")
    ] = "paper",
    template: Annotated[
        Path | None,
        typer.Option("--template", help="Jinja file that overrides parts of the page (HTML)."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    dry_run: DryRun = False,
    *,
    how: How,
) -> None:
    """Render a report from a fit, a table or a study's folder.

    scaling report fit.json -o report.html --pdf report.pdf
    """
    from scaling.errors import ConfigError, Fault
    from scaling.runs.files import refuse_existing

    inside = source.is_dir() and stored_fit(source) is not None
    if inside and out == Path("report.html"):
        out = source / out
    targets = [path for path in (out, pdf) if path is not None]
    for path in targets:
        own = inside and path.resolve().parent == source.resolve()
        refuse_existing(path, force or own)
    if target_flops is not None and not target_flops > 0:
        raise ConfigError(Fault("SC004", "--target-flops", str(target_flops), "above 0"))
    fits = _fits(source, how)
    if dry_run:
        talk("would write " + " and ".join(str(path) for path in targets))
        return
    look = Look(theme, template)
    write_report(fits, targets, study_of(source), title, target_flops, look)


def _fits(source: Path, options: How) -> Fits:
    from scaling.fitting.analyse import analyse
    from scaling.fitting.stored import load

    stored = stored_fit(source)
    if stored is not None:
        return load(stored)
    table = read_runs(source, options)
    tell_reading([table])
    planned = "budget" in table.frame and {"N", "D", "C"} <= set(table.frame)
    approaches = ["surface", "isoflop"] if planned else ["surface"]
    return analyse(table, approaches=approaches, command=command_line())


def study_of(source: Path) -> dict[str, Any] | None:
    """Return the study that a folder was made from, if it says."""
    import json

    folder = source if source.is_dir() else source.parent
    try:
        found: dict[str, Any] = json.loads((folder / "study.json").read_text())
    except (OSError, ValueError):
        return None
    return found


def write_report(
    fits: Fits,
    targets: list[Path],
    study: dict[str, Any] | None,
    title: str | None,
    target_flops: float | None,
    look: Look | None = None,
) -> None:
    """Lay the fits out once and render them to every target."""
    from scaling.reporting import Report, build

    about = (study or {}).get("study", {})
    document = build(
        fits,
        title=title or about.get("title"),
        question=about.get("question") or None,
        target_flops=target_flops or about.get("target_flops"),
        study=study,
        command=fits.provenance.get("command"),
        theme=(look or Look()).theme,
    )
    rendered = Report(document)
    for path in targets:
        rendered.write(path, template=(look or Look()).template)
        talk(f"wrote {path}")
