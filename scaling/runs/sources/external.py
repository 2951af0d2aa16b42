"""Data that another trainer reads: their sizes are enough for a plan."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaling.options import Option
from scaling.runs.sources.base import Made

MOST_TOKENS = 10**16


class External:
    """Data of another trainer."""

    name = "external"
    kind = "external"
    options = (
        Option("tokens", "integer", 10**12, "units to train on", high=MOST_TOKENS),
        Option("validation_tokens", "integer", 10**7, "held-out units", high=MOST_TOKENS),
        Option("vocabulary", "integer", 50_304, "number of tokens", high=10**7),
    )

    def make(self, options: Mapping[str, Any], where: Path | None) -> Made:
        """Describe the data; there is nothing to read."""
        del where
        text = ",".join(f"{name}={value}" for name, value in sorted(options.items()))
        there, held_out = options["tokens"], options["validation_tokens"]
        detail = f"data of another trainer: {there:.4g} units, {held_out:.4g} held out"
        digest = hashlib.sha256(text.encode()).hexdigest()
        return Made({}, {}, there, held_out, options["vocabulary"], detail, digest=digest)


EXTERNAL = External()
