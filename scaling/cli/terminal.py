"""Standard output and error as they are: of any encoding, or closed."""

from __future__ import annotations

import codecs
import contextlib
import errno
import logging
import os
import sys

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # nothing more can be written
# What is written where an encoding has no such sign.
PLAIN = {
    "±": "+-", "×": "x", "·": "*", "…": "...", "–": "-", "—": "-", "≤": "<=", "≥": ">=",
    "≈": "~", "→": "->", "−": "-", "’": "'", "‘": "'", "“": '"', "”": '"', "²": "^2", "³": "^3",
    "α": "alpha", "β": "beta", "δ": "delta", "σ": "sigma", "ρ": "rho", "∞": "inf", "•": "*",
    "│": "|", "─": "-", "━": "-", "╸": "-", "\N{NO-BREAK SPACE}": " ",
}  # fmt: skip


def _plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    return "".join(PLAIN.get(sign, "?") for sign in signs), error.end


def prepare() -> None:
    """Let both streams write every text, whatever the locale; a closed one swallows it."""
    codecs.register_error("scaling.plain", _plainly)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            # Of a closed descriptor: what is opened next must not take its place.
            number = 1 if name == "stdout" else 2
            with contextlib.suppress(OSError):
                taken = os.open(os.devnull, os.O_WRONLY)
                if taken != number:
                    os.dup2(taken, number)
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif hasattr(stream, "reconfigure") and not _holds_all(stream.encoding):
            stream.reconfigure(errors="scaling.plain")


def quieten() -> None:
    """Let matplotlib find a folder for itself without a word, where the home cannot be written."""
    expected = ("Matplotlib created a temporary", "mkdir -p failed")
    logging.getLogger("matplotlib").addFilter(
        lambda record: not record.getMessage().startswith(expected)
    )


def _holds_all(encoding: str | None) -> bool:
    try:
        return codecs.lookup(encoding or "ascii").name.startswith("utf")
    except LookupError:
        return False


def finish() -> None:
    """Write what is left; where nobody reads it any more, let it go."""
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except BrokenPipeError:
        let_go()


def let_go() -> None:
    """Send what is left for a closed pipe nowhere, so that Python does not complain at its end."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
