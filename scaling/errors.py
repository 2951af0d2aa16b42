"""Errors and messages: what went wrong, where, and how to mend it.

The tree::

    ScalingError                exit code 2 unless said
    ├── ConfigError             a study file or an option cannot be used
    ├── TableError              a runs table cannot be used (all its faults at once)
    ├── PlanError               a design that cannot be planned
    ├── FitError                no estimate exists (exit code 4)
    ├── QuestionError           a fit or table cannot answer what is asked
    ├── TrainingError           a sweep cannot be run (exit code 1)
    ├── OutputError             a target exists already or cannot be written
    └── MissingExtraError       an optional dependency is not installed

Codes (``SC102``) are shared by errors, warnings and report notes; `scaling.codes` says what each
means.
Errors render themselves in the form ``error[CODE] where  what`` with the offending text, why, and
``mend:``, and never span more than one screen.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["info", "warning", "error"]

SCREEN_LINES, SCREEN_COLUMNS = 24, 80
MAX_EXCERPT = 2000


@dataclass(frozen=True)
class Message:
    """A finding that travels with a result into every rendering.

    Attributes
    ----------
    code : str
        Key of `scaling.codes.CODES`.
    text : str
        One or two plain sentences.
    severity : {"info", "warning", "error"}
        ``info`` states a choice that was made; ``warning`` limits what may be concluded.
    rows : tuple of int
        Rows of the table that it is about; empty where it is about all of it.
    mend : str
        How to mend it; may be empty.
    """

    code: str
    text: str
    severity: Severity = "warning"
    rows: tuple[int, ...] = ()
    mend: str = ""

    def lines(self) -> list[str]:
        """Return the message as a terminal shows it: a warning by its mark, then the mend."""
        mark = " " if self.severity == "info" else "!"
        said = wrapped(f"{mark} {self.text} [{self.code}]", "  ")
        # A mend stays one line, so that its commands can be copied.
        return said + ([f"  mend: {printable(self.mend)}"] if self.mend else [])

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form used by every machine-readable output."""
        plain: dict[str, Any] = {"code": self.code, "text": self.text, "severity": self.severity}
        if self.rows:
            plain["rows"] = list(self.rows)
        if self.mend:
            plain["mend"] = self.mend
        return plain

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Message:
        """Inverse of `as_dict`; a missing severity reads as ``warning``."""
        severity: Severity = data.get("severity", "warning")
        rows = tuple(data.get("rows", ()))
        return cls(data["code"], data["text"], severity, rows, data.get("mend", ""))


@dataclass(frozen=True)
class Fault:
    """One thing wrong with one place of the input.

    Attributes
    ----------
    code : str
        Key of `scaling.codes.CODES`.
    where : str
        ``file``, ``file:row`` or ``file:row:column`` (row 1 is the header line of a CSV).
    found : str
        What was there.
    expected : str
        What should have been there; may be empty.
    mend : str
        How to mend it; may be empty.
    excerpt : str
        The offending line, if showing it helps.
    mark : str
        The part of the excerpt to underline.
    at : int
        Where in the excerpt `mark` is to be looked for.
    detail : str
        Lines that are shown as they are, such as a traceback.
    """

    code: str
    where: str
    found: str
    expected: str = ""
    mend: str = ""
    excerpt: str = ""
    mark: str = ""
    at: int = -1
    detail: str = ""

    def render(self) -> str:
        """Return the fault as the lines that a person reads."""
        lines = wrapped(f"error[{self.code}] {self.where}  {self.found}".rstrip(), "  ")
        if self.excerpt:
            line, mark = clip(self.excerpt, MAX_EXCERPT), clip(self.mark, MAX_EXCERPT)
            lines += _underlined(line, mark, max(self.at, 0))
        lines += [f"  {printable(line)}" for line in self.detail.splitlines()]
        if self.expected:
            lines += wrapped(f"  expected: {self.expected}", "    ")
        if self.mend:
            # one line, so that commands can be copied
            lines.append(f"  mend: {printable(self.mend)}")
        return "\n".join(lines)


def wrapped(text: str, indent: str) -> list[str]:
    """Break a line at the width of a screen; words stay whole, so that commands can be copied."""
    return textwrap.wrap(
        printable(text),
        SCREEN_COLUMNS,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )


def _underlined(line: str, mark: str, first: int, width: int = SCREEN_COLUMNS - 5) -> list[str]:
    """Show a line, cut so that `mark` at or after `first` is seen, with carets below it."""
    at = line.find(mark, first) if mark else -1
    if at < 0:
        return [f"   | {clip(line, width)}"]
    start = max(0, min(at - 20, len(line) - width))
    shown = ("…" if start else "") + line[start + bool(start) :]
    carets = " " * (at - start) + "^" * min(len(mark), width - (at - start))
    return [f"   | {clip(shown, width)}", f"     {carets}"]


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 point``, ``2 points``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(names: Iterable[str], limit: int = 12) -> str:
    """Return ``one of a, b, c``, cut to `limit` names with the number of those not shown."""
    known = [clip(str(name), 30) for name in names]
    rest = f" … and {len(known) - limit} more" if len(known) > limit else ""
    return "one of " + ", ".join(known[:limit]) + rest


class ScalingError(Exception):
    """Base of every error that this package raises on purpose.

    Parameters
    ----------
    faults : Fault or sequence of Fault
        What is wrong; at least one.

    Attributes
    ----------
    faults : tuple of Fault
        All of them.
    exit_code : int
        Of the program, where the error ends it.
    """

    exit_code = 2

    def __init__(self, faults: Fault | Sequence[Fault]) -> None:
        self.faults: tuple[Fault, ...] = (faults,) if isinstance(faults, Fault) else tuple(faults)
        if not self.faults:
            raise ValueError("an error needs at least one fault")
        super().__init__(self.render())

    @property
    def code(self) -> str:
        """Code of the first fault."""
        return self.faults[0].code

    def render(self) -> str:
        """Return the whole message, cut to one screen with the number of hidden faults."""
        shown: list[str] = []
        room = SCREEN_LINES - 2  # one for the hidden, one for the prompt
        for fault in self.faults:
            text = fault.render()
            room -= sum(max(1, -(-len(line) // SCREEN_COLUMNS)) for line in text.splitlines())
            if shown and room < 0:
                break
            shown.append(text)
        hidden = len(self.faults) - len(shown)
        if hidden > 0:
            shown.append(f"… and {hidden} more like these")
        return "\n".join(shown)

    def __reduce__(self) -> tuple[type[ScalingError], tuple[tuple[Fault, ...]]]:
        """Pickle by faults, so that an error survives a process boundary."""
        return (type(self), (self.faults,))


class ConfigError(ScalingError):
    """A study file, an option or an expression cannot be used."""


class TableError(ScalingError):
    """A runs table cannot be used."""


class PlanError(ScalingError):
    """A design cannot be turned into points."""


class FitError(ScalingError):
    """No estimate exists for this law on this table."""

    exit_code = 4


class QuestionError(ScalingError):
    """A fit or a table cannot answer a question; the message names one that it can."""


class TrainingError(ScalingError):
    """A sweep cannot be run, or some of its points failed."""

    exit_code = 1


class OutputError(ScalingError):
    """A target exists already, or cannot be written."""


class MissingExtraError(ScalingError):
    """An optional dependency is not installed."""

    def __init__(self, faults: Fault | Sequence[Fault]) -> None:
        super().__init__(faults)

    @classmethod
    def of(cls, package: str, extra: str, purpose: str) -> MissingExtraError:
        """Build the error that names the install line for `extra`."""
        return cls(
            Fault(
                "SC001",
                package,
                f"not installed, but needed to {purpose}",
                mend=f"pip install 'scaling-study[{extra}]'",
            )
        )


def printable(text: str) -> str:
    """Hide control characters, which could do things to a terminal."""
    return "".join(c if c.isprintable() else "�" for c in text)


def clip(text: str, width: int = 60) -> str:
    """Shorten `text` to `width` characters, marking the cut and hiding control characters."""
    clean = printable(text)
    return clean if len(clean) <= width else clean[: width - 1] + "…"
