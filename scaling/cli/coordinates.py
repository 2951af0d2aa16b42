"""``scaling bench --coordinates``: whether one learning rate serves all widths of a study."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from scaling.cli.common import print_json, talk, tell

LONG = 1e7  # tokens a point is planned for; a few steps of it are trained
BASE = 32  # width around which widths are laid where the recipe names none


def coordinates(file: Path, device: str | None, *, as_json: bool, dry_run: bool) -> None:
    """Train a few steps at several widths, print the slopes, and fail if they are not flat."""
    from scaling.errors import Message, MissingExtraError

    try:
        from scaling.training.coordinates import check_coordinates
        from scaling.training.driver import refuse_unknown
    except ModuleNotFoundError:
        raise MissingExtraError.of("torch", "train", "train a few steps") from None
    study, points = _points(file)
    refuse_unknown(points)
    if dry_run:
        widths = ", ".join(str(p["shape"]["width"]) for p in points)
        talk(f"a few steps would be trained at widths {widths}")
        return
    found = check_coordinates(points, device or study.engine.device, listener=talk)
    if as_json:
        print_json(found)
    else:
        typer.echo(f"{'layer':<24} {'quantity':<8} {'slope':>7} {'limit':>6}")
        for s in found["slopes"]:
            verdict = "  grows with width" if s["slope"] > 0 else "  falls with width"
            line = f"{s['layer']:<24} {s['quantity']:<8} {s['slope']:>7.3f} {s['limit']:>6.2f}"
            typer.echo(line + ("" if s["passes"] else verdict))
        failed = dict.fromkeys(s["layer"] for s in found["slopes"] if not s["passes"])
        verdict = "one rate serves all widths"
        if failed:
            verdict = f"the rate must follow width in {', '.join(failed)}"
        typer.echo(verdict)
        tell(Message.from_dict(m) for m in found["messages"])
    if not found["passes"]:
        raise typer.Exit(1)


def _points(file: Path) -> tuple[Any, list[dict[str, Any]]]:
    """Points of the study's own recipe that differ in width alone."""
    from scaling.count.tasks import foreign
    from scaling.errors import ConfigError, Fault
    from scaling.planning.planner import Planner
    from scaling.planning.recipes.tuning import coordinate_widths
    from scaling.planning.sections import DesignSection
    from scaling.planning.study import read_study
    from scaling.plans import plan_of, sources_of

    study = read_study(file)
    other = study.model.family != "decoder" or (study.model.rule or "width") != "width"
    if other or foreign(study.data.task):
        found = f"family {study.model.family}, rule {study.model.rule or 'width'}"
        if foreign(study.data.task):
            found = f"models of the task {study.data.task}"
        mend = "check the recipe on such a study; what it shows is a matter of widths"
        raise ConfigError(Fault("SC012", "[model]", found, "decoders of one depth", mend))
    planner = Planner(study, *sources_of(study, file.parent))
    dials = planner.sizes.dials
    widths = coordinate_widths(int(planner.recipe.constants.get("base_width", BASE)))
    nearest = [min(range(len(dials)), key=lambda i: abs(dials[i] - width)) for width in widths]
    points = [[float(planner.sizes.N[i]), LONG] for i in sorted(set(nearest))]
    design = DesignSection(kind="points", points=points)
    changes: dict[str, Any] = {"design": design, "tuning": None, "variant": [], "pretrain": None}
    alone = study.model_copy(update=changes)
    planned = plan_of(alone, file.parent)
    return study, [asdict(point) for point in planned]
