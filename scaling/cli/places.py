"""Where a study and its sweep are when nobody says: ``./study.toml``, this folder, ``out``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scaling.errors import ConfigError, Fault

STUDY = Path("study.toml")
OUT = Path("out")  # where `scaling study` writes if it is not told
STAGES = ("", "smoke", "tuning")  # a sweep may be in its beginnings


def study_file(given: Path | None) -> Path:
    """Return the study file that is named, else the one of this folder.

    Raises
    ------
    ConfigError
        SC005 if this folder has none.
    """
    if given is None and not STUDY.is_file():
        raise _missing(".", f"no study here: there is no {STUDY}", "file")
    return given or STUDY


def sweep_folder(given: Path | None) -> Path:
    """Return the sweep folder that is named, else this one or ``out``, whichever holds a sweep.

    Raises
    ------
    ConfigError
        SC005 if there is no sweep.
    """
    return _folder(given, "plan.jsonl", "sweep")


def planned_folder(given: Path | None) -> Path:
    """Return what `sweep_folder` does, where the plan must be that of the sweep itself.

    Raises
    ------
    ConfigError
        SC005 if there is no such plan.
    """
    return _folder(given, "plan.jsonl", "sweep", ("",))


def fitted_folder() -> Path:
    """Return this folder or ``out``, whichever holds a fit, or its beginning that does.

    Raises
    ------
    ConfigError
        SC005 if neither does.
    """
    folder = _folder(None, "fit.json", "fit")
    return next(folder / s for s in STAGES if (folder / s / "fit.json").is_file())


def _folder(given: Path | None, file: str, what: str, stages: Sequence[str] = STAGES) -> Path:
    looked = [Path(), OUT] if given is None else [given]
    for folder in looked:
        if any((folder / stage / file).is_file() for stage in stages):
            return folder
    if given is None:
        found = f"no {what} here: there is no {file}, and no {OUT / file}"
        raise _missing(".", found, "folder")
    there = f"no {what} in it: there is no {file}" if given.is_dir() else "there is no such folder"
    raise _missing(str(given), there, "folder of one")


def _missing(where: str, found: str, what: str) -> ConfigError:
    first = "" if STUDY.is_file() else "scaling init, then "
    mend = f"{first}scaling study {STUDY} -o {OUT}; or name the {what}"
    return ConfigError(Fault("SC005", where, found, mend=mend))
