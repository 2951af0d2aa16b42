"""What each message code means and how to mend it; ``scaling explain`` and the site print this."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Code:
    """What a code means, for `scaling explain`."""

    title: str
    cause: str
    mend: str


def _load() -> dict[str, Code]:
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    return {code: Code(**entry) for code, entry in tomllib.loads(text).items()}


CODES = _load()
