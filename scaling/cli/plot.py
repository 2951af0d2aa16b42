"""``scaling plot``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from scaling.cli.app import app
from scaling.cli.common import DryRun, print_json, talk

if TYPE_CHECKING:
    from scaling.reporting.figures.plotting import Plot

ALL = "all"


@app.command()
def plot(
    source: Annotated[Path, typer.Argument(help="fit.json, or a study's output folder.")],
    kind: Annotated[
        str | None, typer.Argument(help="Figure; all of them with all; none lists them.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Target: .svg, .pdf, .png or .csv; a folder for all."),
    ] = None,
    width: Annotated[
        str, typer.Option("--width", help="page (6.9 in) or column (3.4 in).")
    ] = "page",
    theme: Annotated[
        str, typer.Option("--theme", help="paper, talk, serif, or a style of matplotlib's.")
    ] = "paper",
    group: Annotated[str | None, typer.Option("--group", help="Group to draw.")] = None,
    law: Annotated[str | None, typer.Option("--law", help="Law to draw.")] = None,
    target_flops: Annotated[
        float | None, typer.Option("--target-flops", help="Compute that the question is about.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the data, and draw nothing.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Draw single figures of a fit, in the width of a column or of a page.

    scaling plot fit.json

    scaling plot fit.json frontier -o frontier.pdf --width column
    """
    from scaling.errors import ConfigError, Fault
    from scaling.fitting.stored import load
    from scaling.reporting.context import Context
    from scaling.reporting.figures.kinds import kind_of
    from scaling.reporting.figures.plotting import plots_of
    from scaling.runs.files import refuse_existing

    if width not in ("page", "column"):
        raise ConfigError(Fault("SC004", "--width", f'"{width}"', "page or column"))
    chosen = None if kind in (None, ALL) else kind_of(str(kind))
    fits = load(_fit_file(source))
    found = _selected(plots_of(Context(fits, target_flops), chosen), group, law)
    if as_json:
        print_json({"schema": "scaling/plot@1", "figures": [_data(p) for p in found]})
        return
    if kind is None:
        for each in found:
            typer.echo(f"{each.kind.name:14} {each.kind.title}{_of(each)}")
        return
    if not found:
        expected = "a figure that the fit has data for: scaling plot FIT lists them"
        raise ConfigError(Fault("SC004", "plot", f"no data for {kind}", expected))
    for each, path in _targets(found, out, several=kind == ALL):
        refuse_existing(path, force)
        if dry_run:
            talk(f"would write {path}")
            continue
        from scaling.reporting.figures.render import save

        save(each.kind, each.data, path, cast(Any, width), theme)
        talk(f"wrote {path}")


def _fit_file(source: Path) -> Path:
    """Return the fit in a file or a folder; a missing file is refused where it is read."""
    from scaling.cli.reading import stored_fit
    from scaling.errors import ConfigError, Fault

    stored = stored_fit(source)
    if stored is None and source.exists():
        expected = "a fit.json, or a folder that holds one"
        mend = f"scaling fit {source} -o fit.json, then scaling plot fit.json"
        raise ConfigError(Fault("SC101", str(source), "is no fit", expected, mend))
    return stored or source


def _selected(found: list[Plot], group: str | None, law: str | None) -> list[Plot]:
    """Keep the figures of one group or law; a name that nothing has is refused."""
    from scaling.errors import ConfigError, Fault
    from scaling.fitting.result import Fit

    for option, wanted in (("--group", group), ("--law", law)):
        if wanted is None:
            continue

        def name(plot: Plot, option: str = option) -> str | None:
            s = plot.subject
            if option == "--law":
                return s.law.name if isinstance(s, Fit) else None
            return s.group if isinstance(s, Fit) else s if isinstance(s, str) else None

        known = sorted({n for plot in found if (n := name(plot)) is not None})
        found = [plot for plot in found if name(plot) == wanted]
        if not found:
            raise ConfigError(
                Fault("SC004", option, f'"{wanted}"', ", ".join(known) or "none here")
            )
    return found


def _of(plot: Plot) -> str:
    return f", {plot.name}" if plot.name else ""


def _targets(found: list[Plot], out: Path | None, *, several: bool) -> list[tuple[Plot, Path]]:
    """Name the file of each figure; several of a kind are numbered."""
    folder = out if several and out is not None else Path()
    if several or out is None:
        names = [plot.kind.name for plot in found]
        files = [
            f"{name}-{names[: k + 1].count(name)}" if names.count(name) > 1 else name
            for k, name in enumerate(names)
        ]
        return [(p, folder / f"{f}.svg") for p, f in zip(found, files, strict=True)]
    if len(found) == 1:
        return [(found[0], out)]
    return [
        (plot, out.with_name(f"{out.stem}-{k}{out.suffix}"))
        for k, plot in enumerate(found, start=1)
    ]


def _data(plot: Plot) -> dict[str, Any]:
    from scaling.fitting.result import plain

    return {
        "kind": plot.kind.name,
        "title": plot.kind.title,
        "subject": plot.name,
        "caption": plot.data.caption,
        "alt": plot.data.alt,
        "good": plot.kind.good,
        "data": plain(plot.data.columns()),
    }
