"""Profiles: the engine of a place, kept in a file of its own and laid over any study."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from scaling.errors import ConfigError, Fault
from scaling.planning.sections import EngineSection
from scaling.planning.sections_base import Section
from scaling.planning.study import faults_of, read_toml
from scaling.runs.files import config_folder


class Profile(Section):
    """A profile file: an ``[engine]`` section and nothing else."""

    engine: EngineSection


def read_profile(name: str) -> dict[str, Any]:
    """Read the keys that a profile sets.

    Parameters
    ----------
    name : str
        A path that ends in ``.toml``, or the name of a file in `scaling.runs.files.config_folder`.

    Returns
    -------
    dict
        What its ``[engine]`` says; nothing of what it leaves out.

    Raises
    ------
    ConfigError
        SC005, SC010, SC011 or SC012.
    """
    path = Path(name) if name.endswith(".toml") else config_folder() / f"{name}.toml"
    if not path.is_file():
        names = {p.stem for p in config_folder().glob("*.toml")} - {"config"}
        there = ", ".join(sorted(names)) or "none"
        expected = f"a file, or a name in {config_folder()} (there: {there})"
        raise ConfigError(Fault("SC005", str(path), "no such profile", expected))
    data, text = read_toml(path, "a profile", "a TOML file with an [engine] section")
    other = sorted(set(data) - {"engine"})
    if other:
        found = f'"{other[0]}"'
        raise ConfigError(Fault("SC011", path.name, found, "a profile of [engine] alone"))
    try:
        profile = Profile.model_validate(data)
    except ValidationError as error:
        raise ConfigError(faults_of(error.errors(), data, path.name, text)) from None
    return profile.engine.model_dump(mode="json", exclude_unset=True)


def merged(engine: Mapping[str, Any], profile: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a profile over the engine of a study, its tables key by key."""
    found = dict(engine)
    for key, value in profile.items():
        before = found.get(key)
        inner = isinstance(before, Mapping) and isinstance(value, Mapping)
        found[key] = {**before, **value} if inner else value  # type: ignore[dict-item]
    return found
