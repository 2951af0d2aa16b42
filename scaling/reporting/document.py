"""What a report says, apart from how it is rendered.

A `Document` is laid out once, by `scaling.reporting.build`, and rendered by the modules of
`scaling.reporting.renderers`. All strings are plain text: a renderer escapes them, none interprets
them.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from scaling.errors import Severity

Level = Literal["supported", "weak", "not identified"]
State = Literal["pass", "warn", "fail", "given", "missing"]
Align = Literal["left", "right"]

FORMULA = ("=", "+", "-", "@", "\t", "\n")  # what a spreadsheet computes
SPACES = "\n\u00a0\u2009\u202f"


def printable(text: str) -> str:
    """Replace control, direction-changing and unassigned characters, which can hide or break text.

    Line feeds and the usual no-break spaces stay.
    """
    odd = {ord(c): "\ufffd" for c in set(text) if not (c.isprintable() or c in SPACES)}
    return text.translate(odd) if odd else text


def csv_of(columns: Mapping[str, Sequence[Any]]) -> str:
    """Return columns as CSV; numbers with seven digits, missing ones empty.

    A text that a spreadsheet would take for a formula (``= + - @`` first) gets an apostrophe in
    front, unless it is a number.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_short(name) for name in columns])
    shown = ([_short(value) for value in column] for column in columns.values())
    writer.writerows(zip(*shown, strict=True))
    return out.getvalue()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _short(value: Any) -> Any:
    if isinstance(value, str):
        text = value.encode("utf-8", "replace").decode().replace("\r", "\n")
        return f"'{text}" if text.startswith(FORMULA) and not _is_number(text) else text
    if isinstance(value, float):
        return f"{value:.7g}" if math.isfinite(value) else ""
    return "" if value is None else value


@dataclass(frozen=True)
class Tip:
    """What is said of a marker in a figure, and where its run stands in the report.

    Attributes
    ----------
    text : str
        Lines of text; the first names the run.
    anchor : str
        Id of the run's row in a table of the document; empty where it has none.
    """

    text: str
    anchor: str = ""


@dataclass(frozen=True)
class Paragraph:
    """Plain prose."""

    text: str


@dataclass(frozen=True)
class Note:
    """A coded message in its place."""

    code: str
    severity: Severity
    text: str


@dataclass(frozen=True)
class Table:
    """Cells as text, rounded already.

    Attributes
    ----------
    caption : str
    columns : tuple of str
        Column heads, with units.
    rows : tuple of tuple of str
    align : tuple of {"left", "right"}
        One a column; right for numbers.
    note : str
        A line under the table; may be empty.
    long : bool
        Whether it may run over pages; such tables are set small and cut in terminal text.
    anchors : tuple of str
        Id of each row, where figures point to rows; such a table can be sorted and filtered.
    attached : str
        CSV of the whole table, where `rows` are a part of it; may be empty.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    align: tuple[Align, ...]
    note: str = ""
    long: bool = False
    anchors: tuple[str, ...] = ()
    attached: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.anchors and len(self.anchors) != len(self.rows):
            raise ValueError("one anchor a row is needed")
        if len(self.align) != len(self.columns):
            raise ValueError("one alignment a column is needed")
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError("every row needs one cell a column")


@dataclass(frozen=True)
class Figure:
    """A figure that is drawn when a renderer asks for it.

    Attributes
    ----------
    key : str
        Unique in the document; prefixes every id of the SVG.
    title, caption : str
    alt : str
        What a reader who cannot see the figure should know.
    good : str
        What good looks like.
    data : mapping of str to sequence
        What is drawn, as columns of equal length.
    tips : tuple of Tip
        Tip of each interactive marker, in the order of drawing.
    draw : callable
        ``(key, title, alt) -> str``: the SVG.
    """

    key: str
    title: str
    caption: str
    alt: str
    good: str
    data: Mapping[str, Sequence[Any]] = field(repr=False)
    tips: tuple[Tip, ...] = field(repr=False)
    draw: Callable[[str, str, str], str] = field(repr=False, compare=False)

    @cached_property
    def svg(self) -> str:
        """SVG whose text is text, with unique ids, a title and a description; drawn once."""
        return self.draw(self.key, self.title, self.alt)


@dataclass(frozen=True)
class Formula:
    """A formula in the notations that the renderers read."""

    plain: str
    mathml: str
    latex: str
    typst: str


@dataclass(frozen=True)
class Listing:
    """Text that is copied rather than read, such as a command; `long` if it is folded away."""

    text: str
    caption: str = ""
    long: bool = False


@dataclass(frozen=True)
class Item:
    """One line of a checklist.

    Attributes
    ----------
    state : {"pass", "warn", "fail", "given", "missing"}
    name : str
        What was checked or asked.
    text : str
        What was found or answered.
    wanted : str
        What passing means; may be empty.
    code : str
        Code of the message that explains it; may be empty.
    """

    state: State
    name: str
    text: str
    wanted: str = ""
    code: str = ""


def told(item: Item) -> str:
    """Return a line of a checklist in words, without its state."""
    text = f"{item.name}: {item.text}" if item.text else item.name
    if item.wanted:
        text += f" (wanted: {item.wanted})"
    return f"{text} [{item.code}]" if item.code else text


def checked(counts: Sequence[int]) -> str:
    """Return how many checks passed, warned and failed, in words."""
    warnings = "warning" if counts[1] == 1 else "warnings"
    return f"Checks: {counts[0]} passed, {counts[1]} {warnings}, {counts[2]} failed."


@dataclass(frozen=True)
class Checklist:
    """Checks that passed or not, or questions that are answered or missing."""

    caption: str
    items: tuple[Item, ...]


Block = Paragraph | Note | Table | Figure | Formula | Listing | Checklist


@dataclass(frozen=True)
class Section:
    """A heading with blocks.

    Attributes
    ----------
    heading : str
    blocks : tuple of blocks
        May be empty for a heading of level 1 with sections of level 2 under it.
    level : {1, 2}
    key : str
        Unique in the document: where links lead to.
    """

    heading: str
    blocks: tuple[Block, ...]
    level: int = 1
    key: str = ""


@dataclass(frozen=True)
class Fact:
    """One number of an answer: ``name``, ``value``, and how sure it is (may be empty)."""

    name: str
    value: str
    sure: str = ""


@dataclass(frozen=True)
class Verdict:
    """The answer for one fit: how far it is supported, what it is, and why not to trust it.

    Attributes
    ----------
    level : {"supported", "weak", "not identified"}
    subject : str
        Group and law; empty where there is only one fit.
    headline : str
        What to train, or that there is no answer.
    sure : str
        The intervals of the headline, or why it has none.
    reasons : tuple of Note
        What limits the answer, the gravest first.
    facts : tuple of Fact
        The numbers of the headline, each with its intervals.
    checks : tuple of int
        How many checks passed, warned and failed; empty where none was made.
    cautions : tuple of str
        What a reader must know even where nothing was found wrong.
    """

    level: Level
    subject: str
    headline: str
    sure: str
    reasons: tuple[Note, ...] = ()
    facts: tuple[Fact, ...] = ()
    checks: tuple[int, ...] = ()
    cautions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Document:
    """A whole report.

    Attributes
    ----------
    title, subtitle, question : str
    verdicts : tuple of Verdict
        One a fit, or one that says that there is none.
    sections : tuple of Section
        In order, those of level 2 after the one that they stand under.
    footer : str
    """

    title: str
    subtitle: str
    question: str
    verdicts: tuple[Verdict, ...]
    sections: tuple[Section, ...]
    footer: str = ""

    @property
    def verdict(self) -> Verdict:
        """The verdict of the first fit."""
        return self.verdicts[0]

    @property
    def blocks(self) -> Iterator[Block]:
        """Every block of every section in order."""
        for section in self.sections:
            yield from section.blocks

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Every figure in order."""
        return tuple(block for block in self.blocks if isinstance(block, Figure))
