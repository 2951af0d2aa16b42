"""What ``scaling doctor`` looks at around the program: settings, cache, terminal, shell."""

from __future__ import annotations

import getpass
import locale
import os
import re
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaling.training.engines.base import Check

COMPLETIONS = {
    "bash": ".bash_completions/scaling.sh",
    "zsh": ".zfunc/_scaling",
    "fish": ".config/fish/completions/scaling.fish",
}


def setting_checks() -> Iterator[Check]:
    """Look at the files and variables that set defaults."""
    from scaling.cli.settings import current
    from scaling.errors import counted
    from scaling.training.engines.base import Check

    found = current()
    for fault in found.faults:
        text = ": ".join(part for part in (fault.where, fault.found) if part)
        yield Check("settings", text, fault.code, fault.mend or fault.expected)
    if not found.faults:
        there = [file.path for file in found.files if file.there]
        places = " and ".join(there) or "no configuration file"
        yield Check("settings", f"{counted(len(found.found), 'option')} set; {places}")


def comfort_checks() -> Iterator[Check]:
    """Look at what every command does without."""
    yield _cache()
    yield _terminal()
    yield _completion()


def _cache() -> Check:
    from scaling.runs.public import cache_folder
    from scaling.training.engines.base import Check

    folder = cache_folder()
    places = (folder, *folder.parents)
    there = next(place for place in places if os.path.exists(place))  # noqa: PTH110 - or raises
    mend = "export SCALING_CACHE_DIR=FOLDER, one that can be written"
    may = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    if not may or str(there).startswith("/proc"):
        return Check("cache", f"{folder} cannot be written", "SC014", mend, True)
    try:
        folder.stat()
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    except FileNotFoundError:
        return Check("cache", f"{folder}, empty; scaling data fetch makes it")
    except OSError as error:
        return Check("cache", f"{folder} cannot be used: {error.strerror}", "SC014", mend, True)
    return Check("cache", f"{folder}, {size / 1e6:.1f} MB")


def _terminal() -> Check:
    """Look at the encoding of the locale, which is that of a terminal."""
    from scaling.training.engines.base import Check

    named = locale.getpreferredencoding(False)
    spoken = getattr(sys.stdout, "encoding", None) or named
    if all(name.lower().replace("-", "").startswith("utf") for name in (named, spoken)):
        return Check("encoding", "UTF-8")
    found = f"{named if named.lower() != 'utf-8' else spoken}: signs such as ± are written plainly"
    return Check("encoding", found, "SC014", "export LC_ALL=C.UTF-8", True)


def _completion() -> Check:
    from scaling.training.engines.base import Check

    shell = Path(os.environ.get("SHELL", "")).name
    if shell not in COMPLETIONS:
        return Check("completion", f"offered to {', '.join(COMPLETIONS)}")
    if Path(os.path.expanduser("~"), COMPLETIONS[shell]).is_file():  # noqa: PTH111
        return Check("completion", f"installed for {shell}")
    mend = "scaling --install-completion"
    return Check("completion", f"not installed for {shell}", "SC014", mend, True)


# -------------------------------------------------------------------------------- safe to paste


def safe(check: Check) -> Check:
    """Take the names of the host, of the user and of the home out of a check."""
    name, found, mend = (_without_names(text) for text in (check.name, check.found, check.mend))
    host = socket.gethostname()
    if len(host) > 1:
        whole = rf"(?<![\w.-]){re.escape(host)}(?![\w-])"
        found, mend = (re.sub(whole, "this machine", text) for text in (found, mend))
    return replace(check, name=name, found=found, mend=mend)


def _without_names(text: str) -> str:
    home = os.path.expanduser("~").rstrip("/")  # noqa: PTH111 - there may be no home
    if home:
        text = re.sub(rf"(?<![\w/]){re.escape(home)}(?![\w-])", "~", text)
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a number without a name
        return text
    return re.sub(rf"(?<=/){re.escape(user)}(?=/|\b)", "$USER", text)
