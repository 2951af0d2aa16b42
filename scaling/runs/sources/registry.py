"""The data sources by name: ours, then those that other packages add."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import cast

from scaling.errors import ConfigError, Fault, clip
from scaling.runs.sources.base import Source

GROUP = "scaling.sources"
OURS = {
    "stdlib": "stdlib:STDLIB",
    "markov": "markov:MARKOV",
    "movielens": "movielens:MOVIELENS",
    "ratings": "ratings:RATINGS",
    "external": "external:EXTERNAL",
}


def source_of(name: str) -> Source:
    """Return the source called `name`.

    Raises
    ------
    ConfigError
        SC012 with the known names; SC004 if another package's cannot be loaded.
    """
    if name in OURS:
        module, _, member = OURS[name].partition(":")
        found = getattr(importlib.import_module(f"scaling.runs.sources.{module}"), member)
        return cast(Source, found)
    added = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in added:
        expected = "one of " + ", ".join([*OURS, *sorted(added)])
        raise ConfigError(Fault("SC012", "[data] source", f'"{clip(name)}"', expected))
    try:
        return cast(Source, added[name].load())
    except Exception as error:
        found = f"cannot be loaded: {type(error).__name__}: {clip(str(error))}"
        raise ConfigError(Fault("SC004", f"data source {name}", found)) from error
