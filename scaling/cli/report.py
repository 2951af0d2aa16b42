"""``scaling report``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scaling.cli.app import app
from scaling.cli.common import DryRun, command_line, numbers, talk
from scaling.cli.reading import read_runs, reads_runs, stored_fit, tell_reading

if TYPE_CHECKING:
    from scaling.fitting.result import Fits
    from scaling.reporting.document import Document
    from scaling.runs.read import How

LONGEST_NAME = 40


@dataclass(frozen=True)
class Look:
    """How a report looks: the theme of its figures, and a template of the page."""

    theme: str = "paper"
    template: Path | None = None


@app.command()
@reads_runs
def report(
    sources: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="SOURCE...",
            help="fit.json, a CSV of runs, or a study's output folder (this one or ./out if left "
            "out); several are compared.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Target: .html, .pdf, .md, .txt, .json; - for text.")
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
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare the groups or laws of one source.")
    ] = False,
    reference: Annotated[
        str | None,
        typer.Option("--reference", help="Study or group that others are compared with."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", help="Compute to compare at too: 1e21,1e22 or LOW:HIGH:COUNT."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    dry_run: DryRun = False,
    *,
    how: How,
) -> None:
    """Render a report from a fit, a table or a study's folder; of several, a comparison.

    scaling report fit.json -o report.html --pdf report.pdf

    scaling report old new results.csv --target-flops 1e21 -o comparison.html
    """
    from scaling.cli.places import fitted_folder
    from scaling.errors import ConfigError, Fault
    from scaling.runs.files import refuse_existing

    sources = sources or [fitted_folder()]
    compares = compare or len(sources) > 1
    source = sources[0]
    inside = not compares and source.is_dir() and stored_fit(source) is not None
    if inside and out == Path("report.html"):
        out = source / out
    targets = [path for path in (out, pdf) if path is not None]
    for path in targets:
        beside = inside and path.resolve().parent == source.resolve()
        refuse_existing(path, force or (beside and path.exists() and _of_study(source)))
    if target_flops is not None and not target_flops > 0:
        raise ConfigError(Fault("SC004", "--target-flops", str(target_flops), "above 0"))
    if not compares and (reference is not None or at is not None):
        option = "--reference" if reference is not None else "--at"
        expected = "two sources, or --compare for the groups of one"
        raise ConfigError(Fault("SC004", option, "nothing to compare with", expected))
    look = Look(theme, template)
    every = [_fits(path, how) for path in sources]
    if not compares:
        if dry_run:
            _would_write(targets)
            return
        write_report(every[0], targets, study_of(source), title, target_flops, look)
        return
    document = _compared(sources, every, title, target_flops, reference, at, theme)
    if dry_run:
        _would_write(targets)
        return
    write_document(document, targets, template)


def _of_study(folder: Path) -> bool:
    """Whether a fitted folder is a study's own, whose report may be written anew."""
    from scaling.fitting.stored import load

    return (folder / "plan.jsonl").is_file() or "study" in load(folder / "fit.json").provenance


def _would_write(targets: list[Path]) -> None:
    talk("would write " + " and ".join(str(path) for path in targets))


def _compared(
    sources: list[Path],
    every: list[Fits],
    title: str | None,
    target_flops: float | None,
    reference: str | None,
    at: str | None,
    theme: str,
) -> Document:
    """Compare what the sources hold and lay it out."""
    from dataclasses import replace

    from scaling.fitting.parties import compare_parts, parted
    from scaling.reporting.comparison import build_comparison

    studies = [study_of(source) for source in sources]
    labels = labels_of(sources, studies)
    carried = [
        replace(fits, provenance={**fits.provenance, "study": study})
        for fits, study in zip(every, studies, strict=True)
    ]
    parts = parted(list(zip(labels, carried, strict=True)))
    scales = numbers("--at", at) if at is not None else []
    wanted = [target_flops] if target_flops is not None and len(parts) > 1 else []
    found = compare_parts(parts, at=[*scales, *wanted], reference=reference)
    known = {name: part.provenance["study"] or {} for name, part in parts.items()}
    return build_comparison(
        found,
        parts,
        title=title,
        target_flops=target_flops,
        studies=known,
        command=command_line(),
        theme=theme,
    )


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
        found: dict[str, Any] = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def labels_of(sources: list[Path], studies: list[dict[str, Any] | None]) -> list[str]:
    """Return a short name of each source: its study's title where that is short, else its file.

    What files everywhere are called says nothing, so that their folder names them.
    """
    out = []
    for source, study in zip(sources, studies, strict=True):
        about = str(((study or {}).get("study") or {}).get("title") or "")
        stem = source.stem.removesuffix(".fit")
        folder = source.resolve().parent.name
        name = source.resolve().name if source.is_dir() else stem
        if stem in ("fit", "results", "-") and not source.is_dir():
            name = folder or stem
        out.append(about if 0 < len(about) <= LONGEST_NAME else name)
    twice = {name for name in out if out.count(name) > 1}
    return [
        f"{source.resolve().parent.name}/{name}" if name in twice else name
        for name, source in zip(out, sources, strict=True)
    ]


def write_report(
    fits: Fits,
    targets: list[Path],
    study: dict[str, Any] | None,
    title: str | None,
    target_flops: float | None,
    look: Look | None = None,
) -> None:
    """Lay the fits out once and render them to every target."""
    from scaling.reporting import build

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
    write_document(document, targets, (look or Look()).template)


def write_document(document: Document, targets: list[Path], template: Path | None = None) -> None:
    """Render a document to every target."""
    from scaling.reporting import Report

    rendered = Report(document)
    for path in targets:
        if str(path) == "-":
            typer.echo(rendered.text(), nl=False)
            continue
        rendered.write(path, template=template)
        talk(f"wrote {path}")
