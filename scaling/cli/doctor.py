"""``scaling doctor``."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scaling.cli.app import app
from scaling.cli.common import print_json, talk
from scaling.cli.sweep import ProfileName

if TYPE_CHECKING:
    from scaling.training.engines.base import Check

MARKS = {"ok": "ok", "absent": "--", "failed": "FAIL"}
NAME, INDENT = 11, 19  # columns of a name, and before what was found
MISSING = "SC001"


@app.command()
def doctor(
    place: Annotated[
        Path | None,
        typer.Argument(help="Study file or sweep folder; without it, this machine alone."),
    ] = None,
    profile: ProfileName = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable output.")] = False,
) -> None:
    """Check what is installed here, and what a study and its engine need; starts nothing.

    scaling doctor

    scaling doctor study.toml --profile cluster

    scaling doctor out/quickstart

    Each line begins with ok, with -- for what is not there and not needed, or with FAIL. A FAIL
    gives exit code 1, and a mend below it. Names of the host, of the user and of the home are left
    out, so that it can be pasted.
    """
    from scaling.cli.machine import safe, setting_checks
    from scaling.training.installation import core_checks

    core = list(core_checks())
    sound = all(check.ok for check in core)
    rest = _checks(_asked(place, profile)) if sound else iter(())
    said = []
    for check in map(safe, _each([*core, *setting_checks()], rest)):
        said.append(check)
        if not as_json:
            typer.echo("\n".join(_lines(check)))
    if as_json:
        print_json({"schema": "scaling/doctor@1", "checks": [_row(check) for check in said]})
    failed = sum(_state(check) == "failed" for check in said)
    if not sound:
        talk("mend these first; nothing else was looked at")
    elif not as_json:
        talk(f"{failed or 'no'} check{'s' * (failed != 1)} failed")
    if failed:
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Asked:
    """What is to be looked at.

    Attributes
    ----------
    engine : mapping
        Engine section of the study, with the profile over it.
    configured : bool
        Whether anybody has said so.
    trains : bool
        Whether the study trains points here.
    folder : Path or None
        Folder that was given.
    """

    engine: Mapping[str, Any] = field(default_factory=dict)
    configured: bool = False
    trains: bool = True
    folder: Path | None = None


def _asked(place: Path | None, profile: str | None) -> _Asked:
    """Read the study, the folder or the profile that is asked about."""
    from scaling.errors import ConfigError, Fault
    from scaling.planning.profile import merged, read_profile
    from scaling.planning.sections import EngineSection
    from scaling.planning.study import kept_study, read_study
    from scaling.training.place import sweep_of

    study, folder = None, None
    if place is not None and place.is_dir():
        folder = sweep_of(place) or place
        study = kept_study(folder)
    elif place is not None and place.exists():
        study = read_study(place)
    elif place is not None:
        expected = "a study file, or the folder of a sweep"
        raise ConfigError(Fault("SC005", str(place), "there is no such file", expected))
    section = EngineSection() if study is None else study.engine
    laid = {} if profile is None else read_profile(profile)
    engine = merged(section.model_dump(mode="json"), laid)
    trains = study is None or (study.data.table is None and study.data.source != "external")
    return _Asked(engine, place is not None or profile is not None, trains, folder)


def _checks(asked: _Asked) -> Iterator[Check]:
    from scaling.cli import machine
    from scaling.training import installation, place

    installation.begin()
    yield from installation.figure_checks()
    needed = asked.configured and asked.trains
    for check in installation.torch_checks():
        spared = (check.code == MISSING and not needed) or not asked.trains
        yield replace(check, optional=check.optional or spared)
    yield from installation.extra_checks(asked.engine["track"] if asked.trains else ())
    given = asked.folder is not None
    yield from _needed(place.checks(asked.folder or Path()), given, always=("TMPDIR",))
    sweep = place.sweep_of(asked.folder) if asked.folder is not None else None
    if given:
        yield from place.sweep_checks(sweep, asked.engine["name"])
    if asked.trains:
        yield from _engines(asked, sweep)
    if not asked.configured:
        yield from machine.comfort_checks()


def _engines(asked: _Asked, sweep: Path | None) -> Iterator[Check]:
    """Look at the engine that is configured; else at this machine, and what else it could use."""
    from scaling.training.engines import local, ray_cluster, slurm_commands
    from scaling.training.installation import installed

    engine, name = asked.engine, asked.engine["name"]
    on_gpu = engine["device"] == "cuda" or bool(engine["slurm"]["gres"])
    if name in ("local", "debug"):
        yield from local.checks(engine)
    if name == "ray" or not asked.configured:
        needed = name == "ray" or (bool(os.environ.get("RAY_ADDRESS")) and installed("ray"))
        yield from _needed(ray_cluster.checks(engine, sweep), needed)
    if name == "slurm" or not asked.configured:
        slurm = slurm_commands.checks(engine, sweep, on_gpu)
        yield from _needed(slurm, name == "slurm")


def _needed(checks: Iterable[Check], needed: bool, always: tuple[str, ...] = ()) -> Iterator[Check]:
    """Pass checks on; they are optional where nothing that is configured needs them."""
    for check in checks:
        spared = not needed and check.name not in always
        yield replace(check, optional=check.optional or spared)


def _each(core: list[Check], rest: Iterator[Check]) -> Iterator[Check]:
    yield from core
    yield from rest


# ---------------------------------------------------------------------------------------- output


def _state(check: Check) -> str:
    return "ok" if check.ok else "absent" if check.optional else "failed"


def _row(check: Check) -> dict[str, str]:
    named = {"name": check.name, "state": _state(check), "found": check.found}
    return {**named, "code": check.code, "mend": check.mend}


def _lines(check: Check) -> list[str]:
    """Say it on lines of a screen; the mend stays one, so that it can be copied."""
    from scaling.errors import SCREEN_COLUMNS, printable

    head = f"{MARKS[_state(check)]:<4}  {check.name:<{NAME}}  "
    code = f" [{check.code}]" if _state(check) == "failed" else ""
    text, indent = printable(check.found + code), " " * INDENT
    if len(head) > INDENT:  # a long name begins the text
        head, text = head[:6], f"{printable(check.name)}: {text}"
    first = " " * len(head)
    lines = textwrap.wrap(
        text, SCREEN_COLUMNS, initial_indent=first, subsequent_indent=indent,
        break_on_hyphens=False,
    ) or [first]  # fmt: skip
    lines[0] = head + lines[0][len(head) :]
    mended = not check.ok and check.mend
    return [*lines, f"      mend: {printable(check.mend)}"] if mended else lines
