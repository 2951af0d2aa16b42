"""Mends that name options of the command line, said in keywords too."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from scaling.errors import ScalingError

P = ParamSpec("P")
R = TypeVar("R")

# Options whose keyword has another name, or whose value another form than the option's text.
KEYWORDS = {
    "bound": 'bounds={"alpha": (0, 1)}',
    "convention": 'convention="..."',
    "final-only": "final=True",
    "fix": 'fixed={"alpha": 0.34}',
    "interval-method": 'method="..."',
    "map": 'maps={"N": "params"}',
    "melt": 'melt=("D", "loss")',
    "share": 'share=["..."]',
}


def with_keywords(function: Callable[P, R]) -> Callable[P, R]:
    """Let errors of a public function say which of its keywords the options in them are.

    Mends are written once, for the command line. In a traceback or a notebook a line below them
    says what to type here: ``from Python: --map is maps={"N": "params"}``.
    """
    taken = set(inspect.signature(function).parameters)

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except ScalingError as error:
            note = in_keywords(str(error), taken)
            if note and note not in getattr(error, "__notes__", ()):
                error.add_note(note)
            raise

    return called


def in_keywords(text: str, taken: set[str]) -> str:
    """Return what the options named in a text are among the keywords, or nothing."""
    said = []
    for option in dict.fromkeys(re.findall(r"(?<![\w-])--([a-z][a-z-]*[a-z])", text)):
        keyword = KEYWORDS.get(option, f"{option.replace('-', '_')}=...")
        if keyword.partition("=")[0] in taken:
            said.append(f"--{option} is {keyword}")
    return f"  from Python: {'; '.join(said)}" if said else ""
