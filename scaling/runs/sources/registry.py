"""The data sources by name: ours, then those that other packages add."""

from __future__ import annotations

import importlib
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import cast

from scaling.errors import ConfigError, Fault, clip
from scaling.runs.sources.base import Source

GROUP = "scaling.sources"
OURS = {
    "stdlib": "stdlib:STDLIB",
    "stdlib-split": "stdlib:STDLIB_SPLIT",
    "tokens": "tokens:TOKENS",
    "text": "text:TEXT",
    "huggingface": "huggingface:HUGGINGFACE",
    "labelled": "labelled:LABELLED",
    "markov-classes": "markov_classes:MARKOV_CLASSES",
    "markov": "markov:MARKOV",
    "movielens": "movielens:MOVIELENS",
    "ratings": "ratings:RATINGS",
    "external": "external:EXTERNAL",
    "zipf": "zipf:ZIPF",
    "walk": "walk:WALK",
    "hmm": "hmm:HMM_SOURCE",
    "hierarchy": "hierarchy:HIERARCHY",
    "oracle": "truth:ORACLE",
    "hutter": "truth:HUTTER",
    "additive": "truth:ADDITIVE",
    "parity": "truth:PARITY",
    "regression": "truth:REGRESSION",
    "parity-examples": "parity:PARITY_EXAMPLES",
    "teacher": "teacher:TEACHER",
    "shapes": "shapes:SHAPES",
    "fashion-mnist": "idx:FASHION_MNIST",
    "mnist": "idx:MNIST",
    "cifar-10": "cifar:CIFAR_10",
    "cifar-100": "cifar:CIFAR_100",
    "image-folder": "image_folder:IMAGE_FOLDER",
}


def names() -> list[str]:
    """Names of all sources."""
    return [*sorted(OURS), *sorted(entry.name for entry in entry_points(group=GROUP))]


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
        near = get_close_matches(name, [*OURS, *added], n=1)
        mend = f'did you mean "{near[0]}"?' if near else ""
        raise ConfigError(Fault("SC012", "[data] source", f'"{clip(name)}"', expected, mend))
    try:
        return cast(Source, added[name].load())
    except Exception as error:
        found = f"cannot be loaded: {type(error).__name__}: {clip(str(error))}"
        raise ConfigError(Fault("SC004", f"data source {name}", found)) from error
